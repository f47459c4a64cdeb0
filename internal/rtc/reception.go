package rtc

import (
	"time"

	"github.com/pion/rtcp"
)

// Reception counts the packets of one SSRC, for receiver reports (RFC 3550, 6.4.1 and A.3). Meter.Rate must be set. One goroutine at a
// time may use it.
type Reception struct {
	Meter JitterMeter

	begun    bool
	ssrc     uint32
	base     uint32
	highest  uint32 // with cycles
	received uint32

	expectedBefore, receivedBefore uint32 // as of the last block

	reportNTP uint64 // of the last sender report; 0: none came
	reportAt  time.Duration
}

// Begun says whether a packet has come.
func (r *Reception) Begun() bool { return r.begun }

// Add counts a packet. The first packet of another SSRC starts the count anew.
func (r *Reception) Add(p Packet, arrived time.Duration) {
	if !r.begun || p.SSRC != r.ssrc {
		*r = Reception{
			Meter: JitterMeter{Rate: r.Meter.Rate},
			begun: true, ssrc: p.SSRC, base: uint32(p.Seq), highest: uint32(p.Seq), received: 1,
		}
		r.Meter.Add(p.Time, arrived)
		return
	}
	r.received++
	if ahead := int16(p.Seq - uint16(r.highest)); ahead > 0 {
		r.highest += uint32(ahead)
	}
	r.Meter.Add(p.Time, arrived)
}

// Report notes a sender report.
func (r *Reception) Report(s SenderReport, now time.Duration) {
	r.reportNTP, r.reportAt = s.NTP, now
}

// Block makes the block of a receiver report, for the packets since the last block.
func (r *Reception) Block(now time.Duration) rtcp.ReceptionReport {
	expected := r.highest - r.base + 1
	lost := int64(int32(expected - r.received))
	b := rtcp.ReceptionReport{
		SSRC:               r.ssrc,
		TotalLost:          uint32(min(max(lost, 0), 1<<23-1)),
		LastSequenceNumber: r.highest,
		Jitter:             r.Meter.Units(),
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
