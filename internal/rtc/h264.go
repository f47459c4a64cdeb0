package rtc

import (
	"encoding/base64"
	"encoding/binary"
	"strings"
	"sync"
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

// maxUnit bounds an access unit. A key frame of a 4K picture at 50 Mbit/s stays under 2 MB.
const maxUnit = 8 << 20

// h264Units puts access units together from packets in order (RFC 6184): single NAL units, STAP-A and FU-A. A unit that is
// not whole goes no further, nor does what follows it up to the next key frame.
type h264Units struct {
	unit   func(unit []byte, rtpTime uint32, key bool)
	broken func() // a unit was thrown away

	au        []byte  // NAL units with 4-byte lengths, in scratch; nil between units
	scratch   *[]byte // from scratches
	rtpTime   uint32
	open      bool
	bad       bool // the unit is not whole
	key       bool
	gapBefore bool // packets are missing before the next one
	inFU      bool
	fuStart   int
	needKey   bool
	primer    []byte // parameter sets of the offer, before the first unit
}

// prime takes the parameter sets of an offer (RFC 6184, 8.1: sprop-parameter-sets), for senders that do not repeat them.
func (d *h264Units) prime(sprop string) {
	for set := range strings.SplitSeq(sprop, ",") {
		nal, err := base64.StdEncoding.DecodeString(set)
		if err != nil || len(nal) == 0 {
			continue
		}
		if t := nal[0] & nalTypeMask; t == nalSPS || t == nalPPS {
			d.primer = binary.BigEndian.AppendUint32(d.primer, uint32(len(nal)))
			d.primer = append(d.primer, nal...)
		}
	}
}

// gap says that packets are missing before the next one.
func (d *h264Units) gap() {
	d.gapBefore = true
	if d.open {
		d.bad = true
	}
}

// push takes the next packet; its payload is not empty.
func (d *h264Units) push(p Packet) {
	if d.open && p.Time != d.rtpTime {
		d.finish() // the marker is missing
	}
	if !d.open {
		d.open, d.rtpTime = true, p.Time
		if d.au == nil {
			d.scratch = scratches.Get().(*[]byte)
			d.au = (*d.scratch)[:0]
		}
		if d.gapBefore {
			d.needKey = true
			d.bad = !startsUnit(p.Payload)
		}
	}
	d.gapBefore = false
	d.add(p.Payload)
	if p.Marker {
		d.finish()
	}
}

// startsUnit says whether a packet can only be the first of its access unit (ITU-T H.264, 7.4.1.2.3), whatever was lost
// before it.
func startsUnit(p []byte) bool {
	if p[0]&nalTypeMask == nalSTAPA && len(p) > 3 {
		p = p[3:]
	}
	t := p[0] & nalTypeMask
	return t == nalSPS || t == nalAUD
}

func (d *h264Units) finish() {
	whole := !d.bad && !d.inFU && len(d.au) > 0
	switch {
	case !whole:
		d.needKey = true
		d.broken()
	case d.needKey && !d.key && hasSlice(d.au):
		// What it refers to was lost.
	default:
		if d.key {
			d.needKey = false
		}
		if d.primer != nil {
			d.unit(d.primer, d.rtpTime, false)
			d.primer = nil
		}
		d.unit(d.au, d.rtpTime, d.key)
	}
	d.open, d.bad, d.inFU, d.key = false, false, false, false
	if d.au != nil {
		*d.scratch = d.au
	}
	scratches.Put(d.scratch)
	d.au, d.scratch = nil, nil
}

// scratches are the buffers that units are put together in. They are shared: a key frame's size is needed for a few
// milliseconds in two seconds, and would otherwise be kept for every stream.
var scratches = sync.Pool{New: func() any { return new([]byte) }}

// hasSlice says whether a unit holds coded pictures, not only parameter sets and the like.
func hasSlice(unit []byte) bool {
	for nal := range NALUnits(unit) {
		if t := nal[0] & nalTypeMask; t >= nalSlice && t <= nalIDR {
			return true
		}
	}
	return false
}

func (d *h264Units) add(p []byte) {
	kind := p[0] & nalTypeMask
	if d.inFU && kind != nalFUA {
		d.bad, d.inFU = true, false
	}
	switch {
	case d.bad:
	case kind > 0 && kind < nalSTAPA:
		d.nal(p)
	case kind == nalSTAPA:
		d.aggregate(p[1:])
	case kind == nalFUA && len(p) > 2:
		d.fragment(p)
	default:
		d.bad = true
	}
	if len(d.au) > maxUnit {
		d.au, d.bad = nil, true
	}
}

// aggregate takes a STAP-A without its first byte (RFC 6184, 5.7.1).
func (d *h264Units) aggregate(p []byte) {
	for len(p) > 0 {
		if len(p) < 2 {
			d.bad = true
			return
		}
		n := int(binary.BigEndian.Uint16(p))
		if n == 0 || len(p) < 2+n {
			d.bad = true
			return
		}
		d.nal(p[2 : 2+n])
		p = p[2+n:]
	}
}

func (d *h264Units) nal(p []byte) {
	d.key = d.key || p[0]&nalTypeMask == nalIDR
	d.au = binary.BigEndian.AppendUint32(d.au, uint32(len(p)))
	d.au = append(d.au, p...)
}

// fragment takes an FU-A (RFC 6184, 5.8).
func (d *h264Units) fragment(p []byte) {
	const start, end = 0x80, 0x40
	kind := p[1] & nalTypeMask
	switch {
	case p[1]&start != 0:
		if d.inFU || kind == 0 || kind >= nalSTAPA {
			d.bad = true
			return
		}
		d.inFU, d.fuStart = true, len(d.au)
		d.key = d.key || kind == nalIDR
		d.au = append(d.au, 0, 0, 0, 0, p[0]&0xe0|kind)
	case !d.inFU:
		d.bad = true
		return
	}
	d.au = append(d.au, p[2:]...)
	if p[1]&end != 0 {
		binary.BigEndian.PutUint32(d.au[d.fuStart:], uint32(len(d.au)-d.fuStart-4))
		d.inFU = false
	}
}

// NALUnits yields the NAL units of an access unit with 4-byte lengths. It stops where the unit is not well-formed.
func NALUnits(unit []byte) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(unit) > 4 {
			n := int(binary.BigEndian.Uint32(unit))
			if n == 0 || n > len(unit)-4 || !yield(unit[4:4+n]) {
				return
			}
			unit = unit[4+n:]
		}
	}
}
