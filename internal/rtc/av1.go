package rtc

import (
	"github.com/pion/rtp/codecs"

	"transponder/internal/media"
)

// av1Parts turns packets of AV1 (AV1 RTP specification 1.0, 4) into temporal units, in the low-overhead format: OBUs with
// sizes, without temporal delimiters.
type av1Parts struct {
	reader codecs.AV1Depacketizer
	begun  bool
}

func (d *av1Parts) begin() {
	d.reader = codecs.AV1Depacketizer{}
	d.begun = false
}

// Bits of the aggregation header.
const (
	av1Continues = 0x80 // Z: the first OBU continues one of the packet before
	av1New       = 0x08 // N: the packet starts a coded video sequence
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

func (d *av1Parts) isKey(unit []byte) bool { return media.AV1Sequence(unit) != nil }

func (d *av1Parts) refers([]byte) bool { return true }
