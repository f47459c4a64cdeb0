package leg

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/pion/rtcp"

	"transponder/internal/rtc"
)

// reportInterval is the mean time between two reports of a track. Each pause is random, from half of it to one and a half, so that calls do not
// report at the same moments (RFC 3550, 6.2 and 6.3.1).
const reportInterval = 5 * time.Second

// lately: a sender that has sent within this time makes sender reports (RFC 3550, 6.4).
const lately = 2 * reportInterval

func reportPause() time.Duration {
	return reportInterval/2 + time.Duration(uniform(int(reportInterval/time.Millisecond)))*time.Millisecond
}

// sendRTCP sends a compound packet: a report, the canonical name and feedback; mu is held. Feedback never stands alone: that would need an
// agreement (RFC 5506).
func (l *Leg) sendRTCP(t *track, now time.Duration, feedback ...rtcp.Packet) {
	key := t.flow.Encrypt
	if key != nil && t.sealRTCP == nil {
		return
	}
	t.reports.aim(t.reportsTo(), t.latch.latched() || t.rtcpFrom.IsValid(), now)
	if !t.reports.spend(now) {
		return
	}
	name := rtcp.SourceDescriptionChunk{
		Source: t.out.ssrc, Items: []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: l.cname}},
	}
	packets := append([]rtcp.Packet{t.report(now), &rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{name}}}, feedback...)
	b, err := rtcp.Marshal(packets)
	if err != nil {
		return // does not happen: we make only valid packets
	}
	if t.sealRTCP != nil {
		if b, err = t.sealRTCP.EncryptRTCP(l.scratch[:0], b, nil); err != nil {
			return
		}
		l.scratch = b
	}
	t.socket().Send(b, t.reports.to)
}

// report makes a sender report if we send, else a receiver report.
func (t *track) report(now time.Duration) rtcp.Packet {
	var blocks []rtcp.ReceptionReport
	if t.arrived.Begun() {
		blocks = append(blocks, t.arrived.Block(now))
	}
	s := t.out.figures()
	if s.packets == 0 || now-s.at > lately || s.clock == 0 {
		return &rtcp.ReceiverReport{SSRC: t.out.ssrc, Reports: blocks}
	}
	wall := time.Now()
	passed := int64(wall.Sub(s.wall)) * int64(s.clock) / int64(time.Second)
	return &rtcp.SenderReport{
		SSRC: t.out.ssrc, NTPTime: rtc.NTPTime(wall), RTPTime: s.time + uint32(passed),
		PacketCount: uint32(s.packets), OctetCount: uint32(s.bytes), Reports: blocks,
	}
}

// askKeyFrame asks for a key frame if that is due; mu is held. PLI is sent even if it was not agreed on: PBXs take it out of the SDP, though
// the phone behind them understands it. FIR is sent in its place only if the phone wants that and nothing else.
func (l *Leg) askKeyFrame(now time.Duration) {
	t := &l.video
	if t.flow == nil || !t.arrived.Begun() || l.frames == nil {
		return
	}
	if now-t.heardAt > answerTime { // no pictures come, so no key frame is missing
		l.keys.rest()
		return
	}
	ask, missing := l.keys.due(now)
	switch {
	case ask && t.flow.FIR && !t.flow.PLI:
		l.requests.FIR++
		l.keys.sequence++
		l.sendRTCP(t, now, &rtcp.FullIntraRequest{
			SenderSSRC: t.out.ssrc, MediaSSRC: t.ssrc, FIR: []rtcp.FIREntry{{SSRC: t.ssrc, SequenceNumber: l.keys.sequence}},
		})
	case ask:
		l.requests.PLI++
		l.sendRTCP(t, now, &rtcp.PictureLossIndication{SenderSSRC: t.out.ssrc, MediaSSRC: t.ssrc})
	}
	if missing {
		l.requests.Missing++
		l.later = append(l.later, l.events.KeyFrameMissing)
	}
}

// takeRTCP processes a compound packet; mu is held. BYE is passed over: the call ends by SIP.
func (l *Leg) takeRTCP(t *track, b []byte, from netip.AddrPort, now time.Duration) {
	if t.flow == nil || !t.isReporter(from, now) {
		t.stats.Refused.Stranger++
		return
	}
	if t.key != nil {
		if t.open == nil {
			t.stats.Refused.SRTP++
			return
		}
		var err error
		if b, err = t.open.DecryptRTCP(nil, b, nil); err != nil {
			t.stats.Refused.SRTP++
			return
		}
	}
	if !t.mux && from != t.latch.remote() {
		t.rtcpFrom = from
	}
	if from.Addr() == t.latch.remote().Addr() {
		t.out.aim(t.latch.remote(), true, now)
	}
	for r := range rtc.SenderReports(b) {
		if r.SSRC == t.ssrc && t.arrived.Begun() {
			t.arrived.Report(r, now)
			if l.frames != nil {
				l.frames.Clock(t.kind, r.NTP, r.Time)
			}
		}
	}
	if wantsKeyFrame(b) {
		l.later = append(l.later, l.player.requestKeyFrame)
	}
}

// isReporter says whether RTCP from an address is the phone's: it comes from the host that RTP comes from or is expected from, or from the
// address for RTCP in the SDP.
func (t *track) isReporter(from netip.AddrPort, now time.Duration) bool {
	if t.latch.source.IsValid() && t.latch.held {
		return from.Addr() == t.latch.source.Addr() || from == t.told
	}
	return from == t.told || t.latch.judge(from, now) != stranger || from.Addr() == t.latch.remote().Addr()
}

// wantsKeyFrame says whether a compound packet asks for a key frame, by PLI (RFC 4585, 6.3.1) or FIR (RFC 5104, 4.3.1).
func wantsKeyFrame(b []byte) bool {
	const payloadFeedback, pli, fir = 206, 1, 4
	for len(b) >= 4 && b[0]>>6 == 2 {
		n := 4 + 4*int(binary.BigEndian.Uint16(b[2:]))
		if n > len(b) {
			return false
		}
		if f := b[0] & 0x1f; b[1] == payloadFeedback && (f == pli || f == fir) {
			return true
		}
		b = b[n:]
	}
	return false
}
