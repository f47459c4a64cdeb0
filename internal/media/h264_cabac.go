package media

// A skipped macroblock costs fewer bits if the coder expects it more. The expectation is highest at first with this cabac_init_idc and the
// highest quantizer (H.264, table 9-13: m = 29, n = 16 for ctxIdx 11). Neighbours that are skipped, or do not exist, always select the first
// of the three contexts.
const (
	skipTable = 2
	skipQP    = 51
	skipState = (29*skipQP)>>4 + 16 - 64 // pStateIdx (9.3.1.1); valMPS is 1
)

// rangeLPS is the part of table 9-44 from skipState on.
var rangeLPS = [...][4]uint32{
	{14, 18, 21, 24}, {14, 17, 20, 23}, {13, 16, 19, 22}, {12, 15, 18, 21}, {12, 14, 17, 20}, {11, 14, 16, 19}, {11, 13, 15, 18},
	{10, 12, 15, 17}, {10, 12, 14, 16}, {9, 11, 13, 15}, {9, 11, 12, 14}, {8, 10, 12, 14}, {8, 9, 11, 13}, {7, 9, 11, 12},
	{7, 9, 10, 12}, {7, 8, 10, 11}, {6, 8, 9, 11}, {6, 7, 9, 10}, {6, 7, 8, 9},
}

// writeSkipped writes the slice data of skipped macroblocks, including rbsp_stop_one_bit. w is at the beginning of a byte.
func writeSkipped(w *bitWriter, macroblocks uint32) {
	c := arithmeticCoder{w: w, span: 510, first: true}
	state := 0
	for i := range macroblocks {
		// mb_skip_flag is 1, the more probable value.
		c.span -= rangeLPS[state][c.span>>6&3]
		c.renormalize()
		state = min(state+1, len(rangeLPS)-1)

		c.span -= 2 // end_of_slice_flag
		if i == macroblocks-1 {
			c.low += c.span
			c.span = 2
		}
		c.renormalize()
	}
	c.put(c.low >> 9 & 1)
	w.bits(c.low>>7&3|1, 2)
}

// arithmeticCoder is the encoder of H.264, 9.3.4.2.
type arithmeticCoder struct {
	w           *bitWriter
	low, span   uint32
	outstanding int
	first       bool // the first bit is not written
}

func (c *arithmeticCoder) renormalize() {
	for c.span < 256 {
		switch {
		case c.low < 256:
			c.put(0)
		case c.low >= 512:
			c.low -= 512
			c.put(1)
		default:
			c.low -= 256
			c.outstanding++
		}
		c.span <<= 1
		c.low <<= 1
	}
}

func (c *arithmeticCoder) put(bit uint32) {
	if c.first {
		c.first = false
	} else {
		c.w.bits(bit, 1)
	}
	for ; c.outstanding > 0; c.outstanding-- {
		c.w.bits(1-bit, 1)
	}
}
