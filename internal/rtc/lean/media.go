package lean

import (
	"slices"
	"time"

	"transponder/internal/rtc"
	"transponder/internal/rtc/udp"
)

// maxEarly limits the media datagrams that are kept until the handshake is done. The client has the keys half a round trip
// before us, and starts with a key frame.
const maxEarly = 128

// takeMedia processes a packet of SRTP or SRTCP. mu is held.
func (s *session) takeMedia(d *udp.Datagram) {
	if s.rx == nil {
		if len(s.early) < maxEarly {
			s.early = append(s.early, slices.Clone(d.Data))
		} else {
			s.r.refused.Add(1)
		}
		return
	}
	if s.open(d.Data, d.At, d.Arrived()) {
		s.heard(d, s.ice.pathOf(d.From))
	}
}

// open decrypts a packet in place and processes it. It returns false if the packet is not the client's or is a replay. now
// is the time of processing, arrived the time when the kernel got the packet. mu is held.
func (s *session) open(b []byte, now, arrived time.Duration) bool {
	// RTCP has the packet type where RTP has marker and payload type (RFC 5761, 4).
	if len(b) > 1 && b[1] >= 192 && b[1] < 224 {
		plain, err := s.rx.DecryptRTCP(nil, b, nil)
		if err != nil {
			s.r.refused.Add(1)
			return false
		}
		s.takeReports(plain, now)
		return true
	}
	plain, err := s.rx.DecryptRTP(b[:0], b, &s.header)
	if err != nil {
		s.r.refused.Add(1)
		return false
	}
	p, err := rtc.ParsePacket(plain)
	if err != nil {
		s.r.refused.Add(1)
		return true
	}
	if s.arrivals != nil {
		if number, ok := p.TransportSequence(s.transportCC); ok {
			s.arrivals.add(p.SSRC, number, arrived)
		}
	}
	s.push(p, now, arrived)
	return true
}

// push gives a packet to the jitter buffer of its track. It ignores payload types that the answer does not have: browsers
// send only what the answer has.
func (s *session) push(p rtc.Packet, now, arrived time.Duration) {
	t := &s.audio
	switch v := s.video.section; {
	case t.section != nil && p.PayloadType == t.section.PayloadType:
	case v != nil && p.PayloadType == v.PayloadType:
		t = &s.video
	case v != nil && v.RTXType != 0 && p.PayloadType == v.RTXType:
		t = &s.video
		var ok bool
		if p, ok = p.Repaired(t.ssrc, v.PayloadType); !ok {
			return
		}
	default:
		return
	}
	if !p.Repair {
		t.ssrc = p.SSRC
		t.arrived.Add(p, arrived)
	}
	t.jitter.Push(p, now)
	if t.jitter.Waits() {
		s.wake(t.jitter.Due(now))
	}
}

// takeReports processes the sender reports of a compound RTCP packet.
func (s *session) takeReports(b []byte, now time.Duration) {
	for r := range rtc.SenderReports(b) {
		for _, t := range []*receiveTrack{&s.audio, &s.video} {
			if t.section != nil && r.SSRC == t.ssrc {
				t.arrived.Report(r, now)
				s.sink.Clock(t.section.Kind, r.NTP, r.Time)
			}
		}
	}
}
