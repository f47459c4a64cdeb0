package rtc

import (
	"encoding/base64"
	"encoding/binary"
	"strings"

	"transponder/internal/media"
)

// NAL unit types (ITU-T H.264, 7.4.1) and packet types (RFC 6184, 5.2).
const (
	nalSlice    = 1
	nalIDR      = 5
	nalSPS      = 7
	nalPPS      = 8
	nalAUD      = 9
	nalFiller   = 12
	nalSTAPA    = 24
	nalFUA      = 28
	nalTypeMask = 0x1f
)

// h264Parts turns single NAL units, STAP-A and FU-A packets (RFC 6184) into NAL units with 4-byte lengths.
type h264Parts struct {
	key     bool
	inFU    bool
	fuStart int
}

// h264Primer returns the parameter sets of an offer (RFC 6184, 8.1: sprop-parameter-sets) as an access unit, nil if there
// are none. Some senders do not repeat them in the stream.
func h264Primer(sprop string) []byte {
	var primer []byte
	for set := range strings.SplitSeq(sprop, ",") {
		nal, err := base64.StdEncoding.DecodeString(set)
		if err != nil || len(nal) == 0 {
			continue
		}
		if t := nal[0] & nalTypeMask; t == nalSPS || t == nalPPS {
			primer = binary.BigEndian.AppendUint32(primer, uint32(len(nal)))
			primer = append(primer, nal...)
		}
	}
	return primer
}

func (d *h264Parts) begin() { *d = h264Parts{} }

// starts implements parts (ITU-T H.264, 7.4.1.2.3).
func (d *h264Parts) starts(p []byte) bool {
	if p[0]&nalTypeMask == nalSTAPA && len(p) > 3 {
		p = p[3:]
	}
	t := p[0] & nalTypeMask
	return t == nalSPS || t == nalAUD
}

func (d *h264Parts) whole() bool { return !d.inFU }

func (d *h264Parts) isKey([]byte) bool { return d.key }

// refers implements parts: a unit with only parameter sets and the like refers to nothing.
func (d *h264Parts) refers(unit []byte) bool {
	for nal := range media.EachNAL(unit) {
		if t := nal[0] & nalTypeMask; t >= nalSlice && t <= nalIDR {
			return true
		}
	}
	return false
}

func (d *h264Parts) add(unit, p []byte) ([]byte, bool) {
	kind := p[0] & nalTypeMask
	switch {
	case d.inFU && kind != nalFUA:
		return unit, false
	case kind > 0 && kind < nalSTAPA:
		return d.nal(unit, p), true
	case kind == nalSTAPA:
		return d.aggregate(unit, p[1:])
	case kind == nalFUA && len(p) > 2:
		return d.fragment(unit, p)
	default:
		return unit, false
	}
}

// aggregate appends the NAL units of a STAP-A (RFC 6184, 5.7.1). p is the packet without its first byte.
func (d *h264Parts) aggregate(unit, p []byte) ([]byte, bool) {
	for len(p) > 0 {
		if len(p) < 2 {
			return unit, false
		}
		n := int(binary.BigEndian.Uint16(p))
		if n == 0 || len(p) < 2+n {
			return unit, false
		}
		unit = d.nal(unit, p[2:2+n])
		p = p[2+n:]
	}
	return unit, true
}

func (d *h264Parts) nal(unit, p []byte) []byte {
	d.key = d.key || p[0]&nalTypeMask == nalIDR
	unit = binary.BigEndian.AppendUint32(unit, uint32(len(p)))
	return append(unit, p...)
}

// fragment appends an FU-A (RFC 6184, 5.8).
func (d *h264Parts) fragment(unit, p []byte) ([]byte, bool) {
	const start, end = 0x80, 0x40
	kind := p[1] & nalTypeMask
	switch {
	case p[1]&start != 0:
		if d.inFU || kind == 0 || kind >= nalSTAPA {
			return unit, false
		}
		d.inFU, d.fuStart = true, len(unit)
		d.key = d.key || kind == nalIDR
		unit = append(unit, 0, 0, 0, 0, p[0]&0xe0|kind)
	case !d.inFU:
		return unit, false
	}
	unit = append(unit, p[2:]...)
	if p[1]&end != 0 {
		binary.BigEndian.PutUint32(unit[d.fuStart:], uint32(len(unit)-d.fuStart-4))
		d.inFU = false
	}
	return unit, true
}
