package phone

import (
	"sync"
	"time"

	"github.com/pion/rtcp"
)

// Source makes what a stream sends. Next returns the packets that are due at a time since the start, and when it is to be called again.
// It has no clock of its own.
type Source interface {
	Next(at time.Duration, keyFrame bool) (packets []Packet, again time.Duration)
	// RTPTime returns the RTP time of a moment since the start, for sender reports.
	RTPTime(at time.Duration) (ssrc, rtpTime uint32)
}

// Reports says how a stream reports its clock.
type Reports struct {
	Every time.Duration // 0: it sends no sender reports
	// NTP returns the clock that is reported; nil: the true one. 0 stands for a phone without a clock (RFC 3550, 6.4.1).
	NTP func(time.Time) uint64
}

// NTP returns a time as an NTP timestamp.
func NTP(t time.Time) uint64 {
	const epoch = 2208988800 // seconds from 1900 to 1970
	return uint64(t.Unix()+epoch)<<32 | uint64(t.Nanosecond())<<32/1e9
}

// Play sends what a source makes, from now on, until stop is called or the test ends. Several sources may play at once. stop may be
// called twice.
func (s *Stream) Play(src Source, reports Reports) (stop func()) {
	return s.PlayFrom(time.Now(), src, reports)
}

// PlayFrom is Play with another start, so that two streams can have the same.
func (s *Stream) PlayFrom(start time.Time, src Source, reports Reports) (stop func()) {
	quit, over := make(chan struct{}), make(chan struct{})
	s.wg.Go(func() {
		defer close(over)
		s.pace(start, src, reports, quit)
	})
	return sync.OnceFunc(func() { close(quit); <-over })
}

func (s *Stream) pace(start time.Time, src Source, reports Reports, quit <-chan struct{}) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	line := delayed{network: s.Network}
	next, report := time.Duration(0), reports.Every/10
	for {
		select {
		case <-timer.C:
		case <-quit:
			return
		case <-s.done:
			return
		}
		for at := time.Since(start); next <= at; {
			var packets []Packet
			due := next
			packets, next = src.Next(due, s.wished())
			for _, p := range packets {
				for _, out := range line.pass(p) {
					s.Send(out)
				}
			}
		}
		if at := time.Since(start); reports.Every > 0 && at >= report {
			s.report(start, at, src, reports)
			report += reports.Every
		}
		timer.Reset(time.Until(start.Add(next)))
	}
}

func (s *Stream) report(start time.Time, at time.Duration, src Source, reports Reports) {
	ntp := NTP
	if reports.NTP != nil {
		ntp = reports.NTP
	}
	ssrc, rtpTime := src.RTPTime(at)
	s.SendControl(
		&rtcp.SenderReport{SSRC: ssrc, NTPTime: ntp(start.Add(at)), RTPTime: rtpTime},
		&rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{{
			Source: ssrc, Items: []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: "phone"}},
		}}},
	)
}

// delayed is a network that loses, doubles and reorders packets.
type delayed struct {
	network func(int, Packet) (copies, after int)
	n       int
	held    []heldPacket
}

type heldPacket struct {
	packet Packet
	until  int
}

// pass takes a packet and returns those that are sent now.
func (d *delayed) pass(p Packet) (out []Packet) {
	if d.network == nil {
		return []Packet{p}
	}
	copies, after := d.network(d.n, p)
	for range copies {
		d.held = append(d.held, heldPacket{p, d.n + after})
	}
	rest := d.held[:0]
	for _, h := range d.held {
		if h.until <= d.n {
			out = append(out, h.packet)
		} else {
			rest = append(rest, h)
		}
	}
	d.held = rest
	d.n++
	return out
}
