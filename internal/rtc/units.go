package rtc

import (
	"sync"

	"transponder/internal/media"
)

// maxUnit limits the size of an access unit. A key frame of a 4K picture at 50 Mbit/s is smaller than 2 MB.
const maxUnit = 8 << 20

// parts knows how access units of one codec are cut into packets. Payloads are never empty.
type parts interface {
	// begin starts a new unit.
	begin()
	// starts says whether a packet is surely the first of its access unit, even if packets before it were lost.
	starts(payload []byte) bool
	// add appends the part of the unit that a packet holds. It returns false if the packet cannot belong to the unit.
	add(unit, payload []byte) ([]byte, bool)
	// whole says whether the unit is complete.
	whole() bool
	// isKey says whether decoding may start at the unit.
	isKey(unit []byte) bool
	// refers says whether a unit that is not a key frame may refer to earlier units.
	refers(unit []byte) bool
}

// newParts returns the parts of a codec.
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

// assembler joins packets, which come in order, into access units. It drops a unit that is not whole, and then all units up
// to the next key frame.
type assembler struct {
	parts  parts
	unit   func(unit []byte, rtpTime uint32, key bool)
	broken func() // called when a unit is dropped because it is not whole

	au        []byte  // in scratch; nil between units
	scratch   *[]byte // from scratches
	rtpTime   uint32
	open      bool
	bad       bool // the unit is not whole
	gapBefore bool // packets are missing before the next one
	needKey   bool
	primer    []byte // a unit that is emitted before the first one
}

// gap reports that packets are missing before the next one.
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

// change goes on with another codec. A unit that is open is dropped, and the next unit that is emitted is a key frame.
func (d *assembler) change(parts parts) {
	if d.open {
		d.bad = true
		d.finish()
	}
	d.parts, d.primer, d.needKey = parts, nil, true
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

// emit hands a whole unit on, unless it refers to a lost one.
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

// scratches are the buffers in which units are joined. All streams share them: a stream needs the size of a key frame only
// for a few milliseconds in two seconds.
var scratches = sync.Pool{New: func() any { return new([]byte) }}
