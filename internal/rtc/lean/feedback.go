package lean

import (
	"time"

	"github.com/pion/rtcp"

	"transponder/internal/rtc"
	"transponder/internal/rtc/udp"
)

const (
	// localSSRC is what our reports come from; we send no media that could be confused with it.
	localSSRC = 1
	// feedbackInterval is the time between two transport-wide feedbacks, as libwebrtc's own receivers have it at most bit rates.
	feedbackInterval = 100 * time.Millisecond
	// grid lets the sessions of a socket send their feedback together, so that it wakes up once for many.
	grid = 20 * time.Millisecond
	// reportPause is the pause between two receiver reports, and between two REMBs.
	reportPause = time.Second
	// maxFeedback is the most that goes into one datagram.
	maxFeedback = 1100
)

// schedule is when things are due.
type schedule struct{ feedback, report, check time.Duration }

// adopt makes a socket the session's own: its goroutine has the timer from now on. It is called in that goroutine, with mu held.
func (s *session) adopt(socket *udp.Socket, now time.Duration) {
	s.socket = socket
	s.home.Store(socket)
	s.timer = udp.NewTimer(func(now time.Duration) { s.tick(socket, now) })
	s.set(now)
}

// wake lets the session have its tick at a time, if not before. mu is held.
func (s *session) wake(at time.Duration) {
	// A timer can only be moved by the goroutine that has it; another one, for once, lets it be as it is.
	if at < s.timerAt && s.in != nil && s.in == s.socket {
		s.set(at)
	}
}

// set sets the timer. mu is held.
func (s *session) set(at time.Duration) {
	s.timerAt = at
	s.socket.Set(s.timer, at)
}

// tick does what is due. It runs in the goroutine of a socket, which may be the session's no more.
func (s *session) tick(socket *udp.Socket, now time.Duration) {
	s.mu.Lock()
	defer s.release()
	if s.ended || socket != s.socket {
		return
	}
	s.in = socket
	if now-s.heardAt > s.r.cfg.Expiry {
		s.end(s.expired())
		return
	}
	if now >= s.due.check {
		s.check(socket, s.path, now)
	}
	next := now + feedbackInterval
	if s.tx != nil {
		next = s.feedback(now)
	}
	s.set(next)
}

// expired says what a peer that is silent lacks.
func (s *session) expired() error {
	if s.tx == nil {
		return rtc.ErrICEFailed
	}
	return rtc.ErrICEKeepAlive
}

// feedback tells the peer what there is to tell, and returns when there may be more. mu is held.
func (s *session) feedback(now time.Duration) (next time.Duration) {
	if s.wantsKey.Swap(false) && s.video.jitter != nil {
		s.video.jitter.WantKeyFrame()
	}
	c := compound{s: s, plain: s.report}
	reports := now >= s.due.report
	if reports {
		s.due.report = now + reportPause
	}
	c.begin(reports, now)
	next = now + reportPause
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

// compound is a compound RTCP packet in the making.
type compound struct {
	s     *session
	plain []byte
	bare  int // length of what goes before feedback
	empty bool
}

// begin puts in what must be first (RFC 3550, 6.1): a receiver report, with blocks where that is due, and the canonical name. With
// reduced-size RTCP, feedback stands alone.
func (c *compound) begin(blocks bool, now time.Duration) {
	c.plain = c.plain[:0]
	c.empty = !blocks
	if c.s.reduced && !blocks {
		c.bare = 0
		return
	}
	report := &rtcp.ReceiverReport{SSRC: localSSRC}
	if blocks {
		for _, t := range []*receiveTrack{&c.s.audio, &c.s.video} {
			if t.arrived.begun {
				report.Reports = append(report.Reports, t.arrived.block(now))
			}
		}
	}
	c.write(report)
	c.write(&rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{{
		Source: localSSRC, Items: []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: c.s.ufrag}},
	}}})
	c.bare = len(c.plain)
}

func (c *compound) write(p rtcp.Packet) {
	b, err := p.Marshal()
	if err != nil {
		return // none of ours cannot be written
	}
	c.plain = append(c.plain, b...)
}

// add puts feedback in.
func (c *compound) add(p rtcp.Packet) {
	before := len(c.plain)
	c.write(p)
	c.added(before)
}

// added takes note of feedback that was put in from a place on. It goes into a further datagram if this one is full.
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

// ask puts in what a track wants from the sender, and returns when it wants to be asked again.
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
		return now + reportPause
	}
	return again
}

// bitRate puts in a REMB for senders that have no better way to learn what they may send.
func (c *compound) bitRate() {
	v := &c.s.video
	if v.section == nil || !v.section.REMB || v.section.TWCC != 0 || v.ssrc == 0 || c.s.r.cfg.MaxBitrate == 0 {
		return
	}
	c.add(&rtcp.ReceiverEstimatedMaximumBitrate{
		SenderSSRC: localSSRC, Bitrate: float32(c.s.r.cfg.MaxBitrate), SSRCs: []uint32{v.ssrc},
	})
}

// flush sends what there is.
func (c *compound) flush() {
	if c.empty {
		return
	}
	c.empty = true
	s := c.s
	s.report = c.plain
	b, err := s.tx.EncryptRTCP(s.sealed[:0], c.plain, nil)
	if err != nil {
		return
	}
	s.sealed = b
	s.socket.Send(b, s.path.source, s.path.addr)
}
