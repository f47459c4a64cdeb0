package phone

import (
	"encoding/binary"
	"strings"
)

// endBit marks the last packets of a telephone event (RFC 4733, 2.3).
const endBit = 0x80

const eventKeys = "0123456789*#ABCD"

// eventOf returns the event code of a digit (RFC 4733, 3.2).
func eventOf(key byte) (byte, bool) {
	i := strings.IndexByte(eventKeys, key)
	return byte(i), i >= 0
}

// Digit is a telephone event that came.
type Digit struct {
	Key       byte
	Time      uint32 // RTP time of all its packets
	Updates   int    // packets before the end
	Ends      int
	Duration  uint16 // of the last packet, in RTP ticks
	Marker    bool   // the first packet has it
	Regular   bool   // the duration only grows, and the ends have the same
	WithSound bool   // sound of the same time came, too
}

// Digits returns the telephone events of a payload type among packets.
func Digits(packets []Packet, events uint8) (digits []Digit) {
	for _, p := range packets {
		if p.Type != events || len(p.Payload) != 4 || int(p.Payload[0]) >= len(eventKeys) {
			continue
		}
		if len(digits) == 0 || digits[len(digits)-1].Time != p.Time {
			digits = append(digits, Digit{Key: eventKeys[p.Payload[0]], Time: p.Time, Marker: p.Marker, Regular: true})
		}
		d := &digits[len(digits)-1]
		duration := binary.BigEndian.Uint16(p.Payload[2:])
		switch {
		case p.Payload[1]&endBit != 0 && d.Ends > 0:
			d.Regular = d.Regular && duration == d.Duration
			d.Ends++
		case p.Payload[1]&endBit != 0:
			d.Regular = d.Regular && duration >= d.Duration
			d.Ends++
		default:
			d.Regular = d.Regular && duration > d.Duration && d.Ends == 0
			d.Updates++
		}
		d.Duration = duration
	}
	for i := range digits {
		d := &digits[i]
		for _, p := range packets {
			if into := p.Time - d.Time; p.Type != events && into < uint32(d.Duration) {
				d.WithSound = true
			}
		}
	}
	return digits
}
