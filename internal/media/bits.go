package media

// bitWriter writes fields of any number of bits, the most significant bit first.
type bitWriter struct {
	b    []byte
	free int // bits of the last byte that are not written yet
}

// bits writes the lowest n bits of v.
func (w *bitWriter) bits(v uint32, n int) {
	for n--; n >= 0; n-- {
		if w.free == 0 {
			w.b = append(w.b, 0)
			w.free = 8
		}
		w.free--
		w.b[len(w.b)-1] |= byte(v>>n&1) << w.free
	}
}

// copy writes the bits of b from one position to another.
func (w *bitWriter) copy(b []byte, from, to int) {
	for ; from < to && w.free > 0; from++ {
		w.bits(uint32(b[from/8]>>(7-from%8)), 1)
	}
	shift := from % 8
	for ; from+8 <= to; from += 8 {
		x := b[from/8] << shift
		if shift > 0 {
			x |= b[from/8+1] >> (8 - shift)
		}
		w.b = append(w.b, x)
	}
	for ; from < to; from++ {
		w.bits(uint32(b[from/8]>>(7-from%8)), 1)
	}
}

// ue writes an unsigned Exp-Golomb code (H.264, 9.1).
func (w *bitWriter) ue(v uint32) {
	n := 0
	for (v+1)>>n > 1 {
		n++
	}
	w.bits(0, n)
	w.bits(v+1, n+1)
}

// se writes a signed Exp-Golomb code (H.264, 9.1.1).
func (w *bitWriter) se(v int32) {
	if v > 0 {
		w.ue(uint32(2*v - 1))
	} else {
		w.ue(uint32(-2 * v))
	}
}

// align fills the last byte with copies of a bit.
func (w *bitWriter) align(bit uint32) {
	for w.free > 0 {
		w.bits(bit, 1)
	}
}
