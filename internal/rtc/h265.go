package rtc

import (
	"encoding/binary"

	"transponder/internal/media"
)

// NAL unit types (ITU-T H.265, 7.4.2.2) and packet types (RFC 7798, 4.4).
const (
	hevcFirstRAP = 16 // random access points
	hevcLastRAP  = 21
	hevcVPS      = 32
	hevcSPS      = 33
	hevcPPS      = 34
	hevcAUD      = 35
	hevcFiller   = 38
	hevcAP       = 48
	hevcFU       = 49
)

func hevcType(b byte) byte { return b >> 1 & 0x3f }

// h265Parts turns single NAL units, aggregation packets and fragments (RFC 7798) into NAL units with 4-byte lengths. The
// packets have no decoding order numbers, which WebRTC does not use.
type h265Parts struct {
	key     bool
	inFU    bool
	fuStart int
}

func (d *h265Parts) begin() { *d = h265Parts{} }

// starts implements parts (ITU-T H.265, 7.4.2.4.4).
func (d *h265Parts) starts(p []byte) bool {
	if hevcType(p[0]) == hevcAP && len(p) > 4 {
		p = p[4:]
	}
	t := hevcType(p[0])
	return t >= hevcVPS && t <= hevcAUD
}

func (d *h265Parts) whole() bool { return !d.inFU }

func (d *h265Parts) isKey([]byte) bool { return d.key }

func (d *h265Parts) refers(unit []byte) bool {
	for nal := range media.EachNAL(unit) {
		if hevcType(nal[0]) < hevcVPS {
			return true
		}
	}
	return false
}

func (d *h265Parts) add(unit, p []byte) ([]byte, bool) {
	kind := hevcType(p[0])
	switch {
	case len(p) < 3, d.inFU && kind != hevcFU:
		return unit, false
	case kind == hevcAP:
		return d.aggregate(unit, p[2:])
	case kind == hevcFU:
		return d.fragment(unit, p)
	case kind < hevcAP:
		return d.nal(unit, p), true
	default:
		return unit, false
	}
}

// aggregate appends the NAL units of an aggregation packet (RFC 7798, 4.4.2). p is the packet without its header.
func (d *h265Parts) aggregate(unit, p []byte) ([]byte, bool) {
	for len(p) > 0 {
		if len(p) < 2 {
			return unit, false
		}
		n := int(binary.BigEndian.Uint16(p))
		if n < 2 || len(p) < 2+n {
			return unit, false
		}
		unit = d.nal(unit, p[2:2+n])
		p = p[2+n:]
	}
	return unit, true
}

func (d *h265Parts) nal(unit, p []byte) []byte {
	d.note(hevcType(p[0]))
	unit = binary.BigEndian.AppendUint32(unit, uint32(len(p)))
	return append(unit, p...)
}

func (d *h265Parts) note(kind byte) { d.key = d.key || kind >= hevcFirstRAP && kind <= hevcLastRAP }

// fragment appends a fragmentation unit (RFC 7798, 4.4.3).
func (d *h265Parts) fragment(unit, p []byte) ([]byte, bool) {
	const start, end = 0x80, 0x40
	kind := p[2] & 0x3f
	switch {
	case len(p) < 4:
		return unit, false
	case p[2]&start != 0:
		if d.inFU || kind >= hevcAP {
			return unit, false
		}
		d.inFU, d.fuStart = true, len(unit)
		d.note(kind)
		unit = append(unit, 0, 0, 0, 0, p[0]&0x81|kind<<1, p[1])
	case !d.inFU:
		return unit, false
	}
	unit = append(unit, p[3:]...)
	if p[2]&end != 0 {
		binary.BigEndian.PutUint32(unit[d.fuStart:], uint32(len(unit)-d.fuStart-4))
		d.inFU = false
	}
	return unit, true
}
