package rtc

import (
	"sync"

	"transponder/internal/media"
)

// maxUnit bounds an access unit. A key frame of a 4K picture at 50 Mbit/s stays under 2 MB.
const maxUnit = 8 << 20

// parts is what an assembler must know of a codec's packets. Payloads are never empty.
type parts interface {
	// begin forgets the unit before.
	begin()
	// starts says whether a packet can only be the first of its access unit, whatever was lost before it.
	starts(payload []byte) bool
	// add appends a packet's part of the unit; false: it cannot be one.
	add(unit, payload []byte) ([]byte, bool)
	// whole says whether nothing is half when the unit ends.
	whole() bool
	// isKey says whether decoding may start at the unit.
	isKey(unit []byte) bool
	// refers says whether a unit that is no key frame may need what was before it.
	refers(unit []byte) bool
}

// newParts returns what reads a codec's packets.
func newParts(codec media.Codec) parts {
	switch codec {
	case media.VP8:
		return &vp8Parts{}
	case media.VP9:
		return &vp9Parts{}
	case media.AV1:
		return &av1Parts{}
	case media.H265:
		return &h265Parts{}
	default:
		return &h264Parts{}
	}
}

// assembler puts access units together from packets in order. A unit that is not whole goes no further, nor does what follows it
// up to the next key frame.
type assembler struct {
	parts  parts
	unit   func(unit []byte, rtpTime uint32, key bool)
	broken func() // a unit was thrown away

	au        []byte  // in scratch; nil between units
	scratch   *[]byte // from scratches
	rtpTime   uint32
	open      bool
	bad       bool // the unit is not whole
	gapBefore bool // packets are missing before the next one
	needKey   bool
	primer    []byte // a unit to go before the first one
}

// gap says that packets are missing before the next one.
func (d *assembler) gap() {
	d.gapBefore = true
	if d.open {
		d.bad = true
	}
}

// push takes the next packet; its payload is not empty.
func (d *assembler) push(p Packet) {
	if d.open && p.Time != d.rtpTime {
		d.finish() // the marker is missing
	}
	if !d.open {
		d.open, d.rtpTime = true, p.Time
		d.parts.begin()
		if d.au == nil {
			d.scratch = scratches.Get().(*[]byte)
			d.au = (*d.scratch)[:0]
		}
		if d.gapBefore {
			d.needKey = true
			d.bad = !d.parts.starts(p.Payload)
		}
	}
	d.gapBefore = false
	if !d.bad {
		var ok bool
		d.au, ok = d.parts.add(d.au, p.Payload)
		d.bad = !ok || len(d.au) > maxUnit
	}
	if p.Marker {
		d.finish()
	}
}

func (d *assembler) finish() {
	if whole := !d.bad && d.parts.whole() && len(d.au) > 0; !whole {
		d.needKey = true
		d.broken()
	} else {
		d.emit()
	}
	d.open, d.bad = false, false
	*d.scratch = d.au
	if len(d.au) > maxUnit {
		*d.scratch = nil
	}
	scratches.Put(d.scratch)
	d.au, d.scratch = nil, nil
}

// emit hands a whole unit on, unless what it refers to was lost.
func (d *assembler) emit() {
	key := d.parts.isKey(d.au)
	if d.needKey && !key && d.parts.refers(d.au) {
		return
	}
	if key {
		d.needKey = false
	}
	if d.primer != nil {
		d.unit(d.primer, d.rtpTime, false)
		d.primer = nil
	}
	d.unit(d.au, d.rtpTime, key)
}

// scratches are the buffers that units are put together in. They are shared: a key frame's size is needed for a few
// milliseconds in two seconds, and would otherwise be kept for every stream.
var scratches = sync.Pool{New: func() any { return new([]byte) }}
