package lean

import (
	"time"

	"github.com/pion/rtcp"

	"transponder/internal/rtc"
)

// reception counts the packets of one SSRC, for receiver reports (RFC 3550, 6.4.1 and A.3).
type reception struct {
	rate int64 // of the RTP clock

	begun    bool
	ssrc     uint32
	base     uint32
	highest  uint32 // with cycles
	received uint32
	transit  int64 // of the last packet, in ticks of the clock
	jitter   int64 // in sixteenths of a tick

	expectedBefore, receivedBefore uint32 // as of the last block

	reportNTP uint64 // of the last sender report; 0: none came
	reportAt  time.Duration
}

// add counts a packet.
func (r *reception) add(p rtc.Packet, arrived time.Duration) {
	transit := int64(arrived/time.Microsecond)*r.rate/1e6 - int64(p.Time)
	if !r.begun || p.SSRC != r.ssrc {
		*r = reception{
			rate: r.rate, begun: true, ssrc: p.SSRC, base: uint32(p.Seq), highest: uint32(p.Seq), transit: transit, received: 1,
		}
		return
	}
	r.received++
	if ahead := int16(p.Seq - uint16(r.highest)); ahead > 0 {
		r.highest += uint32(ahead)
	}
	// RTP time wraps, so only the difference of two transits has a meaning.
	d := int64(int32(uint32(transit) - uint32(r.transit)))
	r.transit = transit
	r.jitter += max(d, -d) - (r.jitter+8)>>4
}

// jitterTime returns the jitter as a duration.
func (r *reception) jitterTime() time.Duration {
	if r.rate == 0 {
		return 0
	}
	return time.Duration(r.jitter>>4) * time.Second / time.Duration(r.rate)
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
		Jitter:             uint32(r.jitter >> 4),
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
