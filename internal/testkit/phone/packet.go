package phone

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// Packet is an RTP packet (RFC 3550, 5.1).
type Packet struct {
	Type    uint8
	Marker  bool
	Seq     uint16
	Time    uint32
	SSRC    uint32
	Payload []byte

	At   time.Time      // when it came
	From netip.AddrPort // who sent it
}

func (p Packet) bytes() []byte {
	b := []byte{0x80, p.Type & 0x7f}
	if p.Marker {
		b[1] |= 0x80
	}
	b = binary.BigEndian.AppendUint16(b, p.Seq)
	b = binary.BigEndian.AppendUint32(b, p.Time)
	b = binary.BigEndian.AppendUint32(b, p.SSRC)
	return append(b, p.Payload...)
}

// ReadPacket reads RTP as the server and simple phones make it: without CSRC, extension and padding.
func ReadPacket(b []byte) (Packet, bool) {
	if len(b) < 12 || b[0] != 0x80 {
		return Packet{}, false
	}
	return Packet{
		Type: b[1] & 0x7f, Marker: b[1]&0x80 != 0, Seq: binary.BigEndian.Uint16(b[2:]), Time: binary.BigEndian.Uint32(b[4:]),
		SSRC: binary.BigEndian.Uint32(b[8:]), Payload: b[12:],
	}, true
}
