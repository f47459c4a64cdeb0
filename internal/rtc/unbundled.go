package rtc

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"transponder/internal/media"
)

// This file serves clients that bundle nothing, as GStreamer's webrtcbin does by default: audio and video have a transport
// each. Receivers and senders get two offers of one section each; here the two sessions become one.

// parts returns one offer for each section that is used.
func (o *ParsedOffer) parts() []*ParsedOffer {
	var list []*ParsedOffer
	for _, s := range o.Used() {
		list = append(list, &ParsedOffer{Sections: []*Section{s}, Lite: o.Lite, TCP: o.TCP})
	}
	return list
}

// joinAnswers makes one answer of the answers to the parts.
func (o *ParsedOffer) joinAnswers(answers []string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	head, _ := splitSections(answers[0])
	for _, l := range head {
		line("%s", l)
	}
	for _, s := range o.Sections {
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

// unbundled joins the events of the sessions of one offer: the whole is connected when all sessions are, and closed when
// the first session is.
type unbundled struct {
	mu        sync.Mutex
	connected int  // guarded by mu: how many sessions are connected
	all       int  // guarded by mu: how many sessions there are
	closed    bool // guarded by mu
}

// do calls f, unless the end has been reported.
func (u *unbundled) do(f func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.closed {
		f()
	}
}

// connect counts a connected session, and calls f if it was the last one.
func (u *unbundled) connect(f func()) {
	u.do(func() {
		if u.connected++; u.connected == u.all {
			f()
		}
	})
}

// end calls f if this is the first session that ends.
func (u *unbundled) end(f func()) {
	u.do(func() {
		u.closed = true
		f()
	})
}

// unbundledSink is the sink of one of the sessions.
type unbundledSink struct {
	*unbundled
	sink Sink
}

func (p unbundledSink) ICEConnected() { p.do(func() { NoteICE(p.sink) }) }
func (p unbundledSink) Connected()    { p.connect(p.sink.Connected) }
func (p unbundledSink) Video(codec media.Codec, unit []byte, rtpTime uint32, key bool) {
	p.do(func() { p.sink.Video(codec, unit, rtpTime, key) })
}
func (p unbundledSink) Rotated(degrees int) { p.do(func() { p.sink.Rotated(degrees) }) }
func (p unbundledSink) Audio(codec media.Codec, payload []byte, rtpTime uint32) {
	p.do(func() { p.sink.Audio(codec, payload, rtpTime) })
}
func (p unbundledSink) Clock(kind media.Kind, ntp uint64, rtpTime uint32) {
	p.do(func() { p.sink.Clock(kind, ntp, rtpTime) })
}
func (p unbundledSink) Lost(kind media.Kind) { p.do(func() { p.sink.Lost(kind) }) }
func (p unbundledSink) Closed(cause error)   { p.end(func() { p.sink.Closed(cause) }) }

// unbundledSession is a session whose audio and video come over a transport each.
type unbundledSession []part[Session]

var (
	_ Session      = unbundledSession{}
	_ Trickler     = unbundledSession{}
	_ ICERestarter = unbundledSession{}
)

// answerUnbundled answers an offer to send that bundles nothing.
func answerUnbundled(ctx context.Context, r Receiver, offer *ParsedOffer, sink Sink) (Session, string, error) {
	parts := offer.parts()
	shared := &unbundled{all: len(parts)}
	var sessions unbundledSession
	var answers []string
	for _, p := range parts {
		s, answer, err := r.Answer(ctx, p, unbundledSink{shared, sink})
		if err != nil {
			shared.end(func() {}) // so that closing the other session is not reported to the sink
			_ = sessions.Close()
			return nil, "", err
		}
		sessions, answers = append(sessions, part[Session]{s, p.Sections[0].MID}), append(answers, answer)
	}
	return sessions, offer.joinAnswers(answers), nil
}

// RequestKeyFrame implements Session.
func (u unbundledSession) RequestKeyFrame() {
	for _, p := range u {
		p.session.RequestKeyFrame()
	}
}

// Stats implements Session.
func (u unbundledSession) Stats() SessionStats {
	sum := SessionStats{ICEConnected: true}
	for _, p := range u {
		st := p.session.Stats()
		sum.Add(st.JitterBufferStats)
		sum.RoundTrip = max(sum.RoundTrip, st.RoundTrip)
		sum.Jitter = max(sum.Jitter, st.Jitter)
		sum.ICEConnected = sum.ICEConnected && st.ICEConnected
	}
	return sum
}

// AddCandidate implements Trickler. It does not know which transport a candidate belongs to, so each session gets it:
// checks to the wrong address are not answered.
func (u unbundledSession) AddCandidate(candidate string) error {
	for _, p := range u {
		if t, ok := p.session.(Trickler); ok {
			if err := t.AddCandidate(candidate); err != nil {
				return err
			}
		}
	}
	return nil
}

// RestartICE implements ICERestarter.
func (u unbundledSession) RestartICE(ctx context.Context, client []ICE) ([]ICE, error) {
	return restartParts(ctx, u, client)
}

// Close implements Session.
func (u unbundledSession) Close() error {
	var failed error
	for _, p := range u {
		if err := p.session.Close(); err != nil {
			failed = err
		}
	}
	return failed
}

// unbundledEvents takes the events of one of the sessions that send.
type unbundledEvents struct {
	*unbundled
	events SendEvents
}

func (p unbundledEvents) Connected()         { p.connect(p.events.Connected) }
func (p unbundledEvents) WantsKeyFrame()     { p.do(p.events.WantsKeyFrame) }
func (p unbundledEvents) Closed(cause error) { p.end(func() { p.events.Closed(cause) }) }

// unbundledOutlet is an outlet whose audio and video leave over a transport each.
type unbundledOutlet map[media.Kind]part[Outlet]

var (
	_ Outlet       = unbundledOutlet{}
	_ ICERestarter = unbundledOutlet{}
)

// sendUnbundled answers an offer to receive that bundles nothing.
func sendUnbundled(ctx context.Context, sender Sender, offer *ParsedOffer, streamID string, events SendEvents) (Outlet, string, error) {
	parts := offer.parts()
	shared := &unbundled{all: len(parts)}
	outlets := unbundledOutlet{}
	var answers []string
	for _, p := range parts {
		o, answer, err := sender.Send(ctx, p, streamID, unbundledEvents{shared, events})
		if err != nil {
			shared.end(func() {})
			_ = outlets.Close()
			return nil, "", err
		}
		outlets[p.Sections[0].Kind] = part[Outlet]{o, p.Sections[0].MID}
		answers = append(answers, answer)
	}
	return outlets, offer.joinAnswers(answers), nil
}

// Write implements Outlet.
func (u unbundledOutlet) Write(kind media.Kind, payloads [][]byte, rtpTime uint32, last bool) error {
	if p, ok := u[kind]; ok {
		return p.session.Write(kind, payloads, rtpTime, last)
	}
	return nil
}

// Report implements Outlet.
func (u unbundledOutlet) Report(kind media.Kind, wall time.Time, rtpTime uint32) {
	if p, ok := u[kind]; ok {
		p.session.Report(kind, wall, rtpTime)
	}
}

// Stats implements Outlet.
func (u unbundledOutlet) Stats() PlayStats {
	var sum PlayStats
	for _, p := range u {
		st := p.session.Stats()
		sum.Packets += st.Packets
		sum.Bytes += st.Bytes
		sum.VideoBytes += st.VideoBytes
		sum.NACKed += st.NACKed
		sum.PLIs += st.PLIs
		sum.Lost += st.Lost
	}
	return sum
}

// AddCandidate implements Outlet, in the same way as unbundledSession.
func (u unbundledOutlet) AddCandidate(candidate string) error {
	for _, p := range u {
		if err := p.session.AddCandidate(candidate); err != nil {
			return err
		}
	}
	return nil
}

// RestartICE implements ICERestarter.
func (u unbundledOutlet) RestartICE(ctx context.Context, client []ICE) ([]ICE, error) {
	return restartParts(ctx, slices.Collect(maps.Values(u)), client)
}

// Close implements Outlet.
func (u unbundledOutlet) Close() error {
	var failed error
	for _, p := range u {
		if err := p.session.Close(); err != nil {
			failed = err
		}
	}
	return failed
}
