package rtc

import "encoding/binary"

// SenderReport tells a sender's wall clock at an RTP time (RFC 3550, 6.4.1).
type SenderReport struct {
	SSRC uint32
	NTP  uint64 // wall clock, as an NTP timestamp
	Time uint32 // RTP time
}

// SenderReports yields the sender reports of a compound RTCP packet.
func SenderReports(b []byte) func(yield func(SenderReport) bool) {
	const senderReport, size = 200, 20
	return func(yield func(SenderReport) bool) {
		for len(b) >= 4 && b[0]>>6 == 2 {
			n := 4 + 4*int(binary.BigEndian.Uint16(b[2:]))
			if n > len(b) {
				return
			}
			if b[1] == senderReport && n >= size {
				r := SenderReport{
					SSRC: binary.BigEndian.Uint32(b[4:]),
					NTP:  binary.BigEndian.Uint64(b[8:]),
					Time: binary.BigEndian.Uint32(b[16:]),
				}
				if !yield(r) {
					return
				}
			}
			b = b[n:]
		}
	}
}
