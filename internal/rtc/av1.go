package rtc

import (
	"github.com/pion/rtp/codecs"

	"transponder/internal/media"
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

func (d *av1Parts) isKey(unit []byte) bool { return media.AV1Sequence(unit) != nil }

func (d *av1Parts) refers([]byte) bool { return true }
