package sound

import "math"

const (
	// sincZeros is the number of zero crossings of the filter on each side of a sample. sincSteps is the number of values of
	// the filter that are stored between two crossings. With this window, aliases and errors are 80 dB below the signal.
	sincZeros = 24
	sincSteps = 512
	sincBeta  = 8.5

	// sincPass is the part of the band below half the lower rate that is kept.
	sincPass = 0.94
)

// sinc is the right half of the filter: a sinc function under a Kaiser window.
var sinc = func() []float32 {
	t := make([]float32, sincZeros*sincSteps+2) // one more for interpolation at the end
	for i := range sincZeros*sincSteps + 1 {
		x := float64(i) / sincSteps
		v := 1.0
		if i > 0 {
			v = math.Sin(math.Pi*x) / (math.Pi * x)
		}
		t[i] = float32(v * bessel(sincBeta*math.Sqrt(1-x*x/(sincZeros*sincZeros))) / bessel(sincBeta))
	}
	return t
}()

// bessel is the modified Bessel function of the first kind and order zero.
func bessel(x float64) float64 {
	sum, term := 1.0, 1.0
	for k := 1.0; term > sum*1e-12; k++ {
		term *= x / 2 / k * (x / 2 / k)
		sum += term
	}
	return sum
}

// Resampler changes the sampling rate by an exact ratio. Sample j of the output is the value of the input signal at j*in/out,
// without delay. Before the first sample there is silence.
type Resampler struct {
	channels int
	in, out  int64   // the ratio
	scale    float64 // of the filter; below 1 if the rate is lowered
	half     int     // samples on each side that count

	buf  []float32 // input, from half-1 samples before the next value on
	at   int       // the sample of buf at the next value, or just before it
	frac int64     // how far the next value is behind that sample, in parts of out
}

// NewResampler returns a Resampler that makes out samples from every in samples. channels is 1 or 2.
func NewResampler(channels int, in, out int64) *Resampler {
	r := &Resampler{channels: channels, in: in, out: out, scale: sincPass * min(1, float64(out)/float64(in))}
	r.half = int(math.Ceil(sincZeros / r.scale))
	r.at = r.half - 1
	r.buf = make([]float32, channels*r.at)
	return r
}

// Append takes the next samples of the input and appends the samples of the output that are complete to dst.
func (r *Resampler) Append(dst, pcm []float32) []float32 {
	if r.in == r.out {
		return append(dst, pcm...)
	}
	r.buf = append(r.buf, pcm...)
	n := len(r.buf) / r.channels
	for r.at+r.half < n {
		dst = r.value(dst)
		r.frac += r.in
		r.at += int(r.frac / r.out)
		r.frac %= r.out
	}
	done := min(r.at-r.half+1, n)
	r.buf = r.buf[:copy(r.buf, r.buf[r.channels*done:])]
	r.at -= done
	return dst
}

// value appends the next sample of the output.
func (r *Resampler) value(dst []float32) []float32 {
	near := float64(r.frac) / float64(r.out)
	step := r.scale * sincSteps
	var left, right float32
	pcm := r.buf[r.channels*(r.at-r.half+1):][:r.channels*2*r.half]
	for i := range 2 * r.half {
		x := math.Abs(float64(i-r.half+1)-near) * step
		k := int(x)
		if k > sincZeros*sincSteps {
			continue
		}
		h := sinc[k] + (sinc[k+1]-sinc[k])*float32(x-float64(k))
		left += h * pcm[r.channels*i]
		if r.channels == 2 {
			right += h * pcm[2*i+1]
		}
	}
	g := float32(r.scale)
	if r.channels == 1 {
		return append(dst, g*left)
	}
	return append(dst, g*left, g*right)
}
