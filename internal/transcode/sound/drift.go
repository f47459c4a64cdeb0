package sound

// How a source's clock is followed. A second's time constant makes 500 ppm an error of half a millisecond beyond the dead
// band; half a percent is a twelfth of a semitone, which nobody hears come and go.
const (
	driftFilter   = sampleRate / 2    // samples over which the error is averaged, against jitter of timestamps
	driftRecovery = sampleRate        // samples over which an error is made good
	driftBand     = sampleRate / 2000 // error that is left alone, 0.5 ms, so that good clocks cost no quality
	driftLimit    = 0.005             // most samples to add or take away, of those that pass
	driftAverage  = 10 * sampleRate   // samples over which the reported drift is averaged
)

// drift decides how many samples to add to packets or take away, so that the tape follows the packets' timestamps.
type drift struct {
	err  float64 // samples that the tape is short of, averaged
	owed float64 // part of a sample still to add
	rate float64 // samples added for each that passed, averaged
}

// correct returns how many samples to add to a packet of n, given by how many the tape is short of the packet's time.
func (d *drift) correct(short int64, n int) int {
	size := float64(n)
	d.err += (float64(short) - d.err) * min(1, size/driftFilter)
	beyond := d.err - max(-driftBand, min(driftBand, d.err))
	limit := driftLimit * size
	d.owed += max(-limit, min(limit, beyond*size/driftRecovery))
	add := int(d.owed)
	d.owed -= float64(add)
	d.rate += (float64(add)/size - d.rate) * min(1, size/driftAverage)
	return add
}

// aligned says that the error was removed by other means.
func (d *drift) aligned() { d.err, d.owed = 0, 0 }

// stretch spreads the samples of src evenly over dst, first on first and last on last, with cubic (Catmull-Rom)
// interpolation: a linear one would dull the sound in the middle of each packet. Both hold at least two samples.
func stretch(dst, src []float32) {
	n, m := len(src)/channels, len(dst)/channels
	step := float64(n-1) / float64(m-1)
	for j := range m {
		x := float64(j) * step
		i := min(int(x), n-2)
		f := float32(x - float64(i))
		before, after := max(i-1, 0), min(i+2, n-1)
		for c := range channels {
			p0, p1 := src[channels*before+c], src[channels*i+c]
			p2, p3 := src[channels*(i+1)+c], src[channels*after+c]
			dst[channels*j+c] = p1 + f/2*(p2-p0+f*(2*p0-5*p1+4*p2-p3+f*(3*(p1-p2)+p3-p0)))
		}
	}
}
