package sound

// These numbers say how the tape follows the clock of a source. With a time constant of a second, a clock that is 500 ppm off gives
// an error of half a millisecond beyond driftBand. A stretch of half a percent is a twelfth of a semitone, which nobody hears.
const (
	driftFilter   = sampleRate / 2    // samples over which the error is averaged, against jitter of timestamps
	driftRecovery = sampleRate        // samples over which an error is corrected
	driftBand     = sampleRate / 2000 // an error up to 0.5 ms is not corrected, so that good clocks cost no quality
	driftLimit    = 0.005             // the most samples to add or remove, as a part of the samples that pass
	driftAverage  = 10 * sampleRate   // samples over which the drift that is reported is averaged
)

// drift decides how many samples to add to each packet, or to remove, so that the tape follows the timestamps.
type drift struct {
	err  float64 // samples missing on the tape, averaged
	owed float64 // the fraction of a sample that is still to be added
	rate float64 // samples added for each sample that passed, averaged
}

// correct returns how many samples to add to a packet of n samples. short is how many samples the tape lacks before that
// packet.
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

// aligned resets the error after it was removed by silence or a cut.
func (d *drift) aligned() { d.err, d.owed = 0, 0 }

// stretch spreads the samples of src evenly over dst, the first on the first and the last on the last, by cubic (Catmull-Rom)
// interpolation: linear interpolation would dull the sound in the middle of each packet. Both hold at least two samples.
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
