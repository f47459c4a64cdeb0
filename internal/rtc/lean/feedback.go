package lean

import (
	"time"

	"github.com/pion/rtcp"

	"transponder/internal/rtc"
	"transponder/internal/rtc/udp"
)

const (
	// localSSRC is the SSRC of our reports. We send no media that could have the same.
	localSSRC = 1
	// feedbackInterval is the time between two transport-wide feedbacks. The receivers of libwebrtc use the same at most
	// bit rates.
	feedbackInterval = 100 * time.Millisecond
	// grid: feedback is due at multiples of grid, so that the goroutine of a socket wakes up once for many sessions.
	grid = 20 * time.Millisecond
	// reportInterval is the time between two receiver reports, and between two REMBs.
	reportInterval = time.Second
	// maxFeedback limits the feedback in one datagram, in bytes.
	maxFeedback = 1100
)

// schedule says when the next transport-wide feedback and the next receiver report are due.
type schedule struct{ feedback, report time.Duration }

// adopt makes a socket the session's. It is called in that socket's goroutine, with mu held.
func (s *session) adopt(socket *udp.Socket, now time.Duration) {
	s.socket.Store(socket)
	s.timer = udp.NewTimer(func(now time.Duration) { s.tick(socket, now) })
	s.set(now)
}

// wake lets tick run at a time, or before. mu is held.
func (s *session) wake(at time.Duration) {
	// Only the goroutine of the session's socket may set the timer. In another goroutine, which is rare, the timer stays as
	// it is.
	if at < s.timerAt && s.holder != nil && s.holder == s.socket.Load() {
		s.set(at)
	}
}

// set sets the timer. It is called in the goroutine of the session's socket, with mu held.
func (s *session) set(at time.Duration) {
	s.timerAt = at
	s.socket.Load().Set(s.timer, at)
}

// tick does what is due: checks, feedback, and the end of a silent session. It runs in the goroutine of a socket. If the
// client has moved to another socket since the timer was set, it does nothing.
func (s *session) tick(socket *udp.Socket, now time.Duration) {
	s.mu.Lock()
	defer s.unlock()
	if s.ended || socket != s.socket.Load() {
		return
	}
	s.holder = socket
	if now-s.ice.heardAt > s.r.cfg.Expiry {
		s.end(s.expired())
		return
	}
	if now >= s.ice.checkAt {
		s.ice.check(socket, s.ice.selected, now)
	}
	next := now + feedbackInterval
	if s.tx != nil {
		next = s.feedback(now)
	}
	s.set(next)
}

// expired returns the error for a client that has fallen silent.
func (s *session) expired() error {
	if s.tx == nil {
		return rtc.ErrICEFailed
	}
	return rtc.ErrICEKeepAlive
}

// feedback sends the RTCP that is due, and returns when it is to be called again. mu is held.
func (s *session) feedback(now time.Duration) (next time.Duration) {
	if s.wantsKey.Swap(false) && s.video.jitter != nil {
		s.video.jitter.WantKeyFrame()
	}
	c := compound{s: s, plain: s.rtcp}
	reports := now >= s.due.report
	if reports {
		s.due.report = now + reportInterval
	}
	c.begin(reports, now)
	next = now + reportInterval
	for _, t := range []*receiveTrack{&s.audio, &s.video} {
		if t.jitter != nil && t.ssrc != 0 {
			next = min(next, c.ask(t, now))
		}
	}
	if reports {
		c.bitRate()
	}
	if s.arrivals != nil {
		if now >= s.due.feedback {
			s.due.feedback = (now + feedbackInterval) / grid * grid
			for s.arrivals.due() {
				before := len(c.plain)
				c.plain = s.arrivals.appendFeedback(c.plain)
				c.added(before)
			}
		}
		next = min(next, s.due.feedback)
	}
	c.flush()
	return min(next, s.due.report)
}

// compound is a compound RTCP packet that is being made.
type compound struct {
	s     *session
	plain []byte
	bare  int  // length of what stands before the feedback
	empty bool // there is nothing worth sending
}

// begin writes what must come first (RFC 3550, 6.1): a receiver report, with report blocks if blocks says so, and the
// canonical name. With reduced-size RTCP, feedback may stand alone.
func (c *compound) begin(blocks bool, now time.Duration) {
	c.plain = c.plain[:0]
	c.empty = !blocks
	if c.s.reducedRTCP && !blocks {
		c.bare = 0
		return
	}
	report := &rtcp.ReceiverReport{SSRC: localSSRC}
	if blocks {
		for _, t := range []*receiveTrack{&c.s.audio, &c.s.video} {
			if t.arrived.Begun() {
				report.Reports = append(report.Reports, t.arrived.Block(now))
			}
		}
	}
	c.write(report)
	c.write(&rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{{
		Source: localSSRC, Items: []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: c.s.ice.name}},
	}}})
	c.bare = len(c.plain)
}

func (c *compound) write(p rtcp.Packet) {
	b, err := p.Marshal()
	if err != nil {
		return // does not happen: we make only valid packets
	}
	c.plain = append(c.plain, b...)
}

// add adds feedback.
func (c *compound) add(p rtcp.Packet) {
	before := len(c.plain)
	c.write(p)
	c.added(before)
}

// added finishes the adding of feedback, which begins at the offset before. If the datagram is full now, it sends the
// datagram without that feedback, and begins another one with it.
func (c *compound) added(before int) {
	if len(c.plain) > maxFeedback && before > c.bare {
		rest := append([]byte(nil), c.plain[before:]...)
		c.plain = c.plain[:before]
		c.flush()
		c.begin(false, 0)
		c.plain = append(c.plain, rest...)
	}
	c.empty = false
}

// ask adds what the jitter buffer of a track requests, and returns when it is to be asked again.
func (c *compound) ask(t *receiveTrack, now time.Duration) time.Duration {
	var space [64]uint16
	nacks, pli, again := t.jitter.Tick(now, space[:0])
	if len(nacks) > 0 {
		c.add(&rtcp.TransportLayerNack{
			SenderSSRC: localSSRC, MediaSSRC: t.ssrc, Nacks: rtcp.NackPairsFromSequenceNumbers(nacks),
		})
	}
	if pli {
		c.add(&rtcp.PictureLossIndication{SenderSSRC: localSSRC, MediaSSRC: t.ssrc})
	}
	if !t.jitter.Waits() {
		return now + reportInterval
	}
	return again
}

// bitRate adds a REMB for senders without transport-wide feedback: they have no better way to learn what they may send.
func (c *compound) bitRate() {
	v := &c.s.video
	if v.section == nil || !v.section.REMB || v.section.TWCC != 0 || v.ssrc == 0 || c.s.r.cfg.MaxBitrate == 0 {
		return
	}
	c.add(&rtcp.ReceiverEstimatedMaximumBitrate{
		SenderSSRC: localSSRC, Bitrate: float32(c.s.r.cfg.MaxBitrate), SSRCs: []uint32{v.ssrc},
	})
}

// flush sends the packet, unless it is empty.
func (c *compound) flush() {
	if c.empty {
		return
	}
	c.empty = true
	s := c.s
	s.rtcp = c.plain
	b, err := s.tx.EncryptRTCP(s.sealed[:0], c.plain, nil)
	if err != nil {
		return
	}
	s.sealed = b
	s.socket.Load().Send(b, s.ice.selected.source, s.ice.selected.addr)
}
