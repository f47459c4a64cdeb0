package lean

import (
	"time"

	"github.com/pion/rtcp"

	"transponder/internal/rtc"
)

// reception counts the packets of one SSRC, for receiver reports (RFC 3550, 6.4.1 and A.3).
type reception struct {
	begun    bool
	ssrc     uint32
	base     uint32
	highest  uint32 // with cycles
	received uint32
	meter    rtc.JitterMeter

	expectedBefore, receivedBefore uint32 // as of the last block

	reportNTP uint64 // of the last sender report; 0: none came
	reportAt  time.Duration
}

// add counts a packet.
func (r *reception) add(p rtc.Packet, arrived time.Duration) {
	if !r.begun || p.SSRC != r.ssrc {
		*r = reception{
			begun: true, ssrc: p.SSRC, base: uint32(p.Seq), highest: uint32(p.Seq), received: 1, meter: rtc.JitterMeter{Rate: r.meter.Rate},
		}
		r.meter.Add(p.Time, arrived)
		return
	}
	r.received++
	if ahead := int16(p.Seq - uint16(r.highest)); ahead > 0 {
		r.highest += uint32(ahead)
	}
	r.meter.Add(p.Time, arrived)
}

// report notes a sender report.
func (r *reception) report(s rtc.SenderReport, now time.Duration) {
	r.reportNTP, r.reportAt = s.NTP, now
}

// block makes the block of a receiver report, for the packets since the last block.
func (r *reception) block(now time.Duration) rtcp.ReceptionReport {
	expected := r.highest - r.base + 1
	lost := int64(int32(expected - r.received))
	b := rtcp.ReceptionReport{
		SSRC:               r.ssrc,
		TotalLost:          uint32(min(max(lost, 0), 1<<23-1)),
		LastSequenceNumber: r.highest,
		Jitter:             r.meter.Units(),
	}
	interval := int64(expected - r.expectedBefore)
	if lost := interval - int64(r.received-r.receivedBefore); interval > 0 && lost > 0 {
		b.FractionLost = uint8(min(lost*256/interval, 255))
	}
	r.expectedBefore, r.receivedBefore = expected, r.received
	if r.reportNTP != 0 {
		b.LastSenderReport = uint32(r.reportNTP >> 16)
		b.Delay = uint32((now - r.reportAt) * 65536 / time.Second)
	}
	return b
}
