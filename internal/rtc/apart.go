package rtc

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"transponder/internal/media"
)

// This file serves peers that bundle nothing, as GStreamer's webrtcbin does unless it is told to: audio and video have a transport each.
// To receivers and senders that is two peers with one section each; here they become one session.

// parts returns an offer for each section that is used, with nothing else in it.
func (d *Description) parts(offer Offer) []Offer {
	head, sections := splitSections(offer.SDP)
	var list []Offer
	for i, s := range d.Sections {
		if s.Codec == media.CodecNone {
			continue
		}
		var b strings.Builder
		write := func(lines []string, without string) {
			for _, line := range lines {
				if key, _ := attribute(line); key != without {
					b.WriteString(line + "\r\n")
				}
			}
		}
		write(head, "group")
		b.WriteString(sections[i][0] + "\r\na=mid:" + s.MID + "\r\n")
		write(sections[i][1:], "mid")
		list = append(list, Offer{SDP: b.String(), TCP: offer.TCP})
	}
	return list
}

// joinAnswers makes one answer of those to the parts.
func (d *Description) joinAnswers(answers []string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	head, _ := splitSections(answers[0])
	for _, l := range head {
		line("%s", l)
	}
	for _, s := range d.Sections {
		if s.Codec == media.CodecNone {
			s.refusal(line)
			continue
		}
		_, sections := splitSections(answers[0])
		answers = answers[1:]
		for _, l := range sections[0] {
			line("%s", l)
		}
	}
	return b.String()
}

// both hears of several sessions, and makes one of what they say: it is connected when all are, and closed when one is.
type both struct {
	mu        sync.Mutex
	connected int  // guarded by mu
	all       int  // guarded by mu
	closed    bool // guarded by mu
}

// do calls f unless the end was told.
func (b *both) do(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		f()
	}
}

// connect calls f when the last of them is connected.
func (b *both) connect(f func()) {
	b.do(func() {
		if b.connected++; b.connected == b.all {
			f()
		}
	})
}

// end calls f for the first of them that ends.
func (b *both) end(f func()) {
	b.do(func() {
		b.closed = true
		f()
	})
}

// partSink is the sink of one of several sessions that receive for one.
type partSink struct {
	*both
	sink Sink
}

func (p partSink) Connected() { p.connect(p.sink.Connected) }
func (p partSink) Video(codec media.Codec, unit []byte, rtpTime uint32, key bool) {
	p.do(func() { p.sink.Video(codec, unit, rtpTime, key) })
}
func (p partSink) Rotated(degrees int) { p.do(func() { p.sink.Rotated(degrees) }) }
func (p partSink) Audio(codec media.Codec, payload []byte, rtpTime uint32) {
	p.do(func() { p.sink.Audio(codec, payload, rtpTime) })
}
func (p partSink) Clock(kind media.Kind, ntp uint64, rtpTime uint32) {
	p.do(func() { p.sink.Clock(kind, ntp, rtpTime) })
}
func (p partSink) Lost(kind media.Kind) { p.do(func() { p.sink.Lost(kind) }) }
func (p partSink) Closed(cause error)   { p.end(func() { p.sink.Closed(cause) }) }

// apartSession is a session whose audio and video come by a transport each.
type apartSession []Session

var (
	_ Session  = apartSession{}
	_ Trickler = apartSession{}
)

// answerApart answers an offer that bundles nothing.
func answerApart(ctx context.Context, r Receiver, d *Description, offer Offer, sink Sink) (Session, string, error) {
	parts := d.parts(offer)
	shared := &both{all: len(parts)}
	var sessions apartSession
	var answers []string
	for _, part := range parts {
		s, answer, err := r.Answer(ctx, part, partSink{shared, sink})
		if err != nil {
			shared.end(func() {}) // the sink hears nothing of those that are closed now
			_ = sessions.Close()
			return nil, "", err
		}
		sessions, answers = append(sessions, s), append(answers, answer)
	}
	return sessions, d.joinAnswers(answers), nil
}

// RequestKeyFrame implements Session.
func (a apartSession) RequestKeyFrame() {
	for _, s := range a {
		s.RequestKeyFrame()
	}
}

// Stats implements Session.
func (a apartSession) Stats() SessionStats {
	sum := SessionStats{ICEConnected: true}
	for _, s := range a {
		st := s.Stats()
		sum.Add(st.JitterBufferStats)
		sum.RoundTrip = max(sum.RoundTrip, st.RoundTrip)
		sum.Jitter = max(sum.Jitter, st.Jitter)
		sum.ICEConnected = sum.ICEConnected && st.ICEConnected
	}
	return sum
}

// AddCandidate implements Trickler. Which transport a candidate is of is not told here: a check to the wrong one is not answered.
func (a apartSession) AddCandidate(candidate string) error {
	for _, s := range a {
		if t, ok := s.(Trickler); ok {
			if err := t.AddCandidate(candidate); err != nil {
				return err
			}
		}
	}
	return nil
}

// Close implements Session.
func (a apartSession) Close() error {
	var failed error
	for _, s := range a {
		if err := s.Close(); err != nil {
			failed = err
		}
	}
	return failed
}

// partEvents hears of one of several sessions that send for one.
type partEvents struct {
	*both
	events SendEvents
}

func (p partEvents) Connected()         { p.connect(p.events.Connected) }
func (p partEvents) WantsKeyFrame()     { p.do(p.events.WantsKeyFrame) }
func (p partEvents) Closed(cause error) { p.end(func() { p.events.Closed(cause) }) }

// apartOutlet is an outlet whose audio and video leave by a transport each.
type apartOutlet map[media.Kind]Outlet

var _ Outlet = apartOutlet{}

// sendApart answers an offer to receive that bundles nothing.
func sendApart(ctx context.Context, sender Sender, d *Description, tcp bool, events SendEvents) (Outlet, string, error) {
	used := d.Used()
	shared := &both{all: len(used)}
	outlets := apartOutlet{}
	var answers []string
	for _, s := range used {
		part := &Description{Sections: []*Section{s}, Lite: d.Lite}
		o, answer, err := sender.Send(ctx, part, tcp, partEvents{shared, events})
		if err != nil {
			shared.end(func() {})
			_ = outlets.Close()
			return nil, "", err
		}
		outlets[s.Kind] = o
		answers = append(answers, answer)
	}
	return outlets, d.joinAnswers(answers), nil
}

// Write implements Outlet.
func (a apartOutlet) Write(kind media.Kind, payloads [][]byte, rtpTime uint32, last bool) error {
	if o := a[kind]; o != nil {
		return o.Write(kind, payloads, rtpTime, last)
	}
	return nil
}

// Report implements Outlet.
func (a apartOutlet) Report(kind media.Kind, wall time.Time, rtpTime uint32) {
	if o := a[kind]; o != nil {
		o.Report(kind, wall, rtpTime)
	}
}

// Stats implements Outlet.
func (a apartOutlet) Stats() PlayStats {
	var sum PlayStats
	for _, o := range a {
		st := o.Stats()
		sum.Packets += st.Packets
		sum.Bytes += st.Bytes
		sum.VideoBytes += st.VideoBytes
		sum.NACKed += st.NACKed
		sum.PLIs += st.PLIs
		sum.Lost += st.Lost
	}
	return sum
}

// AddCandidate implements Outlet, as apartSession does.
func (a apartOutlet) AddCandidate(candidate string) error {
	for _, o := range a {
		if err := o.AddCandidate(candidate); err != nil {
			return err
		}
	}
	return nil
}

// Close implements Outlet.
func (a apartOutlet) Close() error {
	var failed error
	for _, o := range a {
		if err := o.Close(); err != nil {
			failed = err
		}
	}
	return failed
}
