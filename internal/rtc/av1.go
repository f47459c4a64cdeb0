package rtc

import (
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/av1"
	"github.com/pion/rtp/codecs"
)

// av1Parts takes the packets of AV1 (AV1 RTP specification 1.0, 4) and makes temporal units of them, in the low-overhead format with
// sizes and without delimiters.
type av1Parts struct {
	reader codecs.AV1Depacketizer
	begun  bool
}

func (d *av1Parts) begin() {
	d.reader = codecs.AV1Depacketizer{}
	d.begun = false
}

// The aggregation header's bits: a packet that continues an OBU, whose last OBU goes on, that begins a coded video sequence.
const (
	av1Continues = 0x80
	av1GoesOn    = 0x40
	av1New       = 0x08
)

func (d *av1Parts) starts(p []byte) bool { return p[0]&av1New != 0 && p[0]&av1Continues == 0 }

func (d *av1Parts) add(unit, p []byte) ([]byte, bool) {
	if continues := p[0]&av1Continues != 0; continues != d.reader.Y || continues && !d.begun {
		return unit, false
	}
	d.begun = true
	obus, err := d.reader.Unmarshal(p)
	return append(unit, obus...), err == nil
}

func (d *av1Parts) whole() bool { return !d.reader.Y }

func (d *av1Parts) isKey(unit []byte) bool { return av1Sequence(unit) != nil }

func (d *av1Parts) refers([]byte) bool { return true }

// av1Sequence returns the sequence header OBU that goes before a key frame in its temporal unit (AV1 specification, 7.5), nil if
// there is none.
func av1Sequence(unit []byte) []byte {
	for len(unit) > 0 {
		var header av1.OBUHeader
		var size av1.LEB128
		if header.Unmarshal(unit) != nil || !header.HasSize {
			return nil
		}
		at := 1
		if unit[0]&4 != 0 { // an extension
			at++
		}
		if at >= len(unit) {
			return nil
		}
		n, err := size.Unmarshal(unit[at:])
		if err != nil || int64(size) > int64(len(unit)-at-n) {
			return nil
		}
		end := at + n + int(size)
		switch header.Type {
		case av1.OBUTypeSequenceHeader:
			return unit[:end]
		case obuFrameHeader, obuFrame:
			return nil
		}
		unit = unit[end:]
	}
	return nil
}

// OBU types (AV1 specification, 6.2.2).
const (
	obuFrameHeader av1.OBUType = 3
	obuFrame       av1.OBUType = 6
)
