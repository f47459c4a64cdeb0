package source

import "bytes"

// Mark is in an SEI message (user_data_unregistered) of every video access
// unit: the sender, the number of the frame, and times of sending.
//
// A mark stands at the head of its frame, before the time of the frame's last
// packet is known, so it gives the time just before its own first packet and
// the time just after the last packet of the frame before it.
type Mark struct {
	Stream   uint16
	Seq      uint32
	First    int64 // CLOCK_MONOTONIC ns, before this frame's first packet
	PrevLast int64 // CLOCK_MONOTONIC ns, after the previous frame's last packet
}

// The fields are written as hexadecimal text: fixed width, and never a zero
// byte, so no emulation prevention is needed and a packet made once can be
// filled in again for every frame.
var markUUID = [16]byte{'w', 'h', 'i', 'p', 0x2d, 'b', 0x4e, 'c', 0xa7, 'h', 0x2d, 'm', 'a', 'r', 'k', '1'}

const (
	seiNAL           = 6
	seiUserData      = 5
	markTextLen      = 4 + 8 + 16 + 16
	markPayloadLen   = len(markUUID) + markTextLen
	markNALLen       = 1 + 1 + 1 + markPayloadLen + 1
	markUUIDOffset   = 3
	markTextOffset   = markUUIDOffset + len(markUUID)
	rbspTrailingBits = 0x80
)

// AppendMark appends the SEI NAL unit of m to b.
func AppendMark(b []byte, m Mark) []byte {
	b = append(b, seiNAL, seiUserData, byte(markPayloadLen))
	b = append(b, markUUID[:]...)
	b = appendHex(b, uint64(m.Stream), 4)
	b = appendHex(b, uint64(m.Seq), 8)
	b = appendHex(b, uint64(m.First), 16)
	b = appendHex(b, uint64(m.PrevLast), 16)
	return append(b, rbspTrailingBits)
}

// FindMark looks for a mark in one NAL unit.
func FindMark(nal []byte) (Mark, bool) {
	if len(nal) < markNALLen || nal[0]&0x1f != seiNAL {
		return Mark{}, false
	}
	i := bytes.Index(nal, markUUID[:])
	if i < 0 || len(nal) < i+len(markUUID)+markTextLen {
		return Mark{}, false
	}
	text := nal[i+len(markUUID):]
	var f [4]uint64
	for k, n := range [4]int{4, 8, 16, 16} {
		v, ok := parseHex(text[:n])
		if !ok {
			return Mark{}, false
		}
		f[k], text = v, text[n:]
	}
	return Mark{Stream: uint16(f[0]), Seq: uint32(f[1]), First: int64(f[2]), PrevLast: int64(f[3])}, true
}

func appendHex(b []byte, v uint64, digits int) []byte {
	const hex = "0123456789abcdef"
	for shift := (digits - 1) * 4; shift >= 0; shift -= 4 {
		b = append(b, hex[v>>shift&15])
	}
	return b
}

func parseHex(b []byte) (uint64, bool) {
	var v uint64
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			v = v<<4 | uint64(c-'0')
		case c >= 'a' && c <= 'f':
			v = v<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return v, true
}
