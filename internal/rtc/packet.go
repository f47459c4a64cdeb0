package rtc

import (
	"encoding/binary"
	"errors"
)

// ErrPacket means that bytes are no RTP packet.
var ErrPacket = errors.New("not an RTP packet")

// Packet is what matters of an RTP packet (RFC 3550, 5.1).
type Packet struct {
	SSRC        uint32
	PayloadType uint8
	Seq         uint16
	Time        uint32
	Marker      bool
	Repair      bool   // came as a retransmission on a stream of its own
	Payload     []byte // without padding; empty if the packet is nothing else
}

// ParsePacket reads an RTP packet. The payload is a slice of b.
func ParsePacket(b []byte) (Packet, error) {
	const fixed = 12
	if len(b) < fixed || b[0]>>6 != 2 {
		return Packet{}, ErrPacket
	}
	p := Packet{
		Marker:      b[1]&0x80 != 0,
		PayloadType: b[1] & 0x7f,
		Seq:         binary.BigEndian.Uint16(b[2:]),
		Time:        binary.BigEndian.Uint32(b[4:]),
		SSRC:        binary.BigEndian.Uint32(b[8:]),
	}
	at, end := fixed+4*int(b[0]&0x0f), len(b)
	if b[0]&0x10 != 0 { // header extension
		if end < at+4 {
			return Packet{}, ErrPacket
		}
		at += 4 + 4*int(binary.BigEndian.Uint16(b[at+2:]))
	}
	if b[0]&0x20 != 0 { // padding
		end -= int(b[len(b)-1])
	}
	if at > end {
		return Packet{}, ErrPacket
	}
	p.Payload = b[at:end]
	return p, nil
}

// Repaired turns a retransmission (RFC 4588, 4) into the packet that it repeats, of the stream with that SSRC and payload
// type. It returns false for a retransmission stream's padding.
func (p Packet) Repaired(ssrc uint32, payloadType uint8) (Packet, bool) {
	if len(p.Payload) < 2 {
		return Packet{}, false
	}
	p.SSRC, p.PayloadType, p.Repair = ssrc, payloadType, true
	p.Seq, p.Payload = binary.BigEndian.Uint16(p.Payload), p.Payload[2:]
	return p, true
}
