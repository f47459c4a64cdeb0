package rtc

import (
	"encoding/binary"
	"errors"
)

// ErrPacket means that bytes are not an RTP packet.
var ErrPacket = errors.New("not an RTP packet")

// Packet is an RTP packet, without the fields that we do not need (RFC 3550, 5.1).
type Packet struct {
	SSRC        uint32
	PayloadType uint8
	Seq         uint16
	Time        uint32
	Marker      bool
	Repair      bool   // a retransmission that came on a stream of its own
	Payload     []byte // without padding; empty if the packet is only padding

	extension []byte // the elements of the header extension, in the one-byte form (RFC 8285, 4.2)
	rotation  uint8  // 1 + the number of quarter turns clockwise that the packet announces; 0 if it announces none
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
		const oneByte = 0xbede
		begin, profile := at+4, binary.BigEndian.Uint16(b[at:])
		at += 4 + 4*int(binary.BigEndian.Uint16(b[at+2:]))
		if at <= end && profile == oneByte {
			p.extension = b[begin:at]
		}
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

// element returns the data of the header extension's element with an id, nil if there is none.
func (p *Packet) element(id uint8) []byte {
	for b := p.extension; len(b) > 0; {
		if b[0] == 0 { // padding
			b = b[1:]
			continue
		}
		n := int(b[0]&0x0f) + 1
		if len(b) < 1+n {
			break
		}
		if b[0]>>4 == id {
			return b[1 : 1+n]
		}
		b = b[1+n:]
	}
	return nil
}

// quarterTurns reads the picture's rotation (3GPP TS 26.114, 7.4.5) from the element with an id, in the form of
// Packet.rotation.
func (p *Packet) quarterTurns(id uint8) uint8 {
	if e := p.element(id); len(e) > 0 {
		return 1 + e[0]&3
	}
	return 0
}

// TransportSequence returns the transport-wide sequence number in the element with an id, if the packet has one.
func (p *Packet) TransportSequence(id uint8) (number uint16, ok bool) {
	if e := p.element(id); len(e) >= 2 {
		return binary.BigEndian.Uint16(e), true
	}
	return 0, false
}

// Repaired turns a retransmission (RFC 4588, 4) into the original packet, of the stream with that SSRC and payload type. It
// is not ok if the retransmission holds only padding.
func (p Packet) Repaired(ssrc uint32, payloadType uint8) (Packet, bool) {
	if len(p.Payload) < 2 {
		return Packet{}, false
	}
	p.SSRC, p.PayloadType, p.Repair = ssrc, payloadType, true
	p.Seq, p.Payload = binary.BigEndian.Uint16(p.Payload), p.Payload[2:]
	return p, true
}
