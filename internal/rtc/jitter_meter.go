package rtc

import "time"

// JitterMeter measures the interarrival jitter of one SSRC (RFC 3550, 6.4.1 and A.8). Rate must be set. One goroutine at a time
// may use it.
type JitterMeter struct {
	Rate int64 // of the RTP clock, in units a second

	begun   bool
	transit uint32 // of the last packet, in units of RTP time; it has an unknown offset, and wraps
	jitter  int64  // in sixteenths of a unit
}

// Add counts a packet with this RTP time.
func (m *JitterMeter) Add(rtpTime uint32, arrived time.Duration) {
	transit := uint32(int64(arrived/time.Microsecond)*m.Rate/1e6) - rtpTime
	if m.begun {
		d := int64(int32(transit - m.transit))
		m.jitter += max(d, -d) - (m.jitter+8)>>4
	}
	m.begun, m.transit = true, transit
}

// Units returns the jitter in units of RTP time, as receiver reports have it.
func (m *JitterMeter) Units() uint32 { return uint32(m.jitter >> 4) }

// Jitter returns the jitter as a duration, 0 before the second packet.
func (m *JitterMeter) Jitter() time.Duration {
	if m.Rate == 0 {
		return 0
	}
	return time.Duration(m.Units()) * time.Second / time.Duration(m.Rate)
}
