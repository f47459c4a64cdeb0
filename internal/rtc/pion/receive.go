package pion

import (
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"transponder/internal/media"
	"transponder/internal/rtc"
	"transponder/internal/rtc/udp"
)

// read processes the packets of one SSRC until it ends. Pion calls it in a goroutine of its own.
func (s *session) read(remote *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	kind := media.Audio
	if remote.Kind() == webrtc.RTPCodecTypeVideo {
		kind = media.Video
	}
	s.safely(func() {
		if s.begin(kind, uint32(remote.SSRC()), receiver) {
			defer s.readers.Done()
			s.readPackets(kind, remote)
		}
	})
}

// begin prepares for the packets of an SSRC, and reads its reports. If it returns false, nobody wants the packets; otherwise
// the caller tells readers when it has read them all.
func (s *session) begin(kind media.Kind, ssrc uint32, receiver *webrtc.RTPReceiver) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.of(kind).section == nil {
		return false
	}
	if t := s.of(kind); t.ssrc == 0 {
		t.ssrc = ssrc
	}
	s.connect()
	s.readers.Add(1)
	s.readers.Go(func() { s.safely(func() { s.readReports(kind, receiver) }) })
	return true
}

func (s *session) readPackets(kind media.Kind, remote *webrtc.TrackRemote) {
	buf := make([]byte, udp.MaxDatagram)
	for {
		n, _, err := remote.Read(buf)
		if err != nil {
			return
		}
		s.push(kind, buf[:n])
	}
}

// of returns the track of a kind. mu is held.
func (s *session) of(kind media.Kind) *receiveTrack {
	if kind == media.Video {
		return &s.video
	}
	return &s.audio
}

// push processes a packet. Retransmissions on an SSRC that the offer did not declare come here too. Other payload types
// that the answer does not have are ignored: browsers send only what the answer has.
func (s *session) push(kind media.Kind, b []byte) {
	p, err := rtc.ParsePacket(b)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	t := s.of(kind)
	switch p.PayloadType {
	case t.section.PayloadType:
	case t.section.RTXType:
		s.repair(t, p)
		return
	default:
		return
	}
	s.give(t, p)
}

// retransmission processes a packet of the declared retransmission stream. Only video has one. Pion calls it in a goroutine of
// its own.
func (s *session) retransmission(b []byte) {
	s.safely(func() { s.pushRepair(b) })
}

func (s *session) pushRepair(b []byte) {
	p, err := rtc.ParsePacket(b)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := &s.video; !s.ended && t.section != nil && p.PayloadType == t.section.RTXType {
		s.repair(t, p)
	}
}

// repair processes a retransmission. mu is held.
func (s *session) repair(t *receiveTrack, p rtc.Packet) {
	if t.section.RTXType == 0 {
		return
	}
	if p, ok := p.Repaired(t.ssrc, t.section.PayloadType); ok {
		s.give(t, p)
	}
}

// give pushes a packet into the jitter buffer of its track, and sets the timer if there is something to ask for. mu is held.
func (s *session) give(t *receiveTrack, p rtc.Packet) {
	now := s.now()
	if !p.Repair {
		if p.SSRC != t.ssrc {
			t.meter = rtc.JitterMeter{Rate: t.meter.Rate}
		}
		t.ssrc = p.SSRC
		t.meter.Add(p.Time, now)
	}
	t.jitter.Push(p, now)
	if t.jitter.Waits() {
		s.schedule(min(s.tickAt, t.jitter.Due(now)))
	}
}

// schedule sets the timer, unless it is set for earlier. mu is held.
func (s *session) schedule(at time.Duration) {
	if at < s.tickAt {
		s.tickAt = at
		s.timer.Reset(max(0, at-s.now()))
	}
}

// tick sends what is due: NACKs, requests for key frames, bit rates. It runs in the timer's goroutine.
func (s *session) tick() {
	if feedback := s.due(); len(feedback) > 0 {
		_ = s.pc.WriteRTCP(feedback) // fails only when the session is closed
	}
}

// due returns what is due now, and sets the timer for the next time.
func (s *session) due() []rtcp.Packet {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || !s.connected {
		return nil
	}
	now := s.now()
	s.tickAt = never
	if s.wantsKey.Swap(false) && s.video.jitter != nil {
		s.video.jitter.WantKeyFrame()
	}
	var feedback []rtcp.Packet
	for _, t := range []*receiveTrack{&s.audio, &s.video} {
		if t.jitter != nil && t.ssrc != 0 {
			feedback = s.ask(t, now, feedback)
		}
	}
	return s.bitRate(now, feedback)
}

// ask appends what the jitter buffer of a track requests. mu is held.
func (s *session) ask(t *receiveTrack, now time.Duration, feedback []rtcp.Packet) []rtcp.Packet {
	var space [64]uint16
	nacks, pli, again := t.jitter.Tick(now, space[:0])
	if len(nacks) > 0 {
		feedback = append(feedback, &rtcp.TransportLayerNack{MediaSSRC: t.ssrc, Nacks: rtcp.NackPairsFromSequenceNumbers(nacks)})
	}
	if pli {
		feedback = append(feedback, &rtcp.PictureLossIndication{MediaSSRC: t.ssrc})
	}
	if t.jitter.Waits() {
		s.schedule(again)
	}
	return feedback
}

// bitRate appends a REMB each second for senders without transport-wide feedback: they have no better way to learn what
// they may send. mu is held.
func (s *session) bitRate(now time.Duration, feedback []rtcp.Packet) []rtcp.Packet {
	v := s.video.section
	if v == nil || !v.REMB || v.TWCC != 0 || s.video.ssrc == 0 || s.endpoint.cfg.MaxBitrate == 0 {
		return feedback
	}
	if now >= s.remb {
		s.remb = now + time.Second
		feedback = append(feedback, &rtcp.ReceiverEstimatedMaximumBitrate{
			Bitrate: float32(s.endpoint.cfg.MaxBitrate), SSRCs: []uint32{s.video.ssrc},
		})
	}
	s.schedule(s.remb)
	return feedback
}

// readReports processes the sender reports of one SSRC until it ends.
func (s *session) readReports(kind media.Kind, receiver *webrtc.RTPReceiver) {
	buf := make([]byte, udp.MaxDatagram)
	for {
		n, _, err := receiver.Read(buf)
		if err != nil {
			return
		}
		for r := range rtc.SenderReports(buf[:n]) {
			s.report(kind, r)
		}
	}
}

// report gives a sender report to the sink.
func (s *session) report(kind media.Kind, r rtc.SenderReport) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended && r.SSRC == s.of(kind).ssrc {
		s.sink.Clock(kind, r.NTP, r.Time)
	}
}
