// Package hearing measures how far decoded sound is from the sound that was encoded. It needs only the samples: interleaved
// stereo at 48 kHz, with both sounds aligned to the sample. bench quality uses it, and so do the tests of our encoder.
package hearing

import (
	"math"
	"math/cmplx"
)

const (
	rate     = 48000
	channels = 2
	size     = 2048 // samples of a frame
)

// Edges are the borders in Hz of the bands of SignalToNoise. The last band ends where encoders for streams begin to cut off.
var Edges = []float64{0, 200, 400, 800, 1600, 3200, 5000, 7000, 9000, 11000, 13000, 15000}

// Silent is the energy below which nothing in a band can be heard: about -90 dB of full scale.
const silent = 1e-9 * size * size / 16

// Signal-to-noise ratios are limited to these bounds, in dB. Below them the band is as good as lost; above them nobody hears a difference.
const least, most = -10, 60

// SignalToNoise returns the signal-to-noise ratio of each band between Edges in dB, as the mean over frames and channels. A band
// that is silent throughout gives NaN.
func SignalToNoise(want, got []float32) []float64 {
	bands := len(Edges) - 1
	sums, counts := make([]float64, bands), make([]int, bands)
	frames(want, got, func(sound, wrong []complex128) {
		for b := range bands {
			var energy, errors float64
			for k := line(Edges[b]); k < line(Edges[b+1]); k++ {
				energy += power(sound[k])
				errors += power(wrong[k])
			}
			if energy > silent {
				sums[b] += max(least, min(most, 10*math.Log10(energy/(errors+1e-30))))
				counts[b]++
			}
		}
	})
	for b := range sums {
		sums[b] /= float64(counts[b])
	}
	return sums
}

// line returns the number of the first spectral line of a band.
func line(hz float64) int { return int(math.Ceil(hz * size / rate)) }

// NoiseToMask returns roughly the total NMR of ITU-R BS.1387, 4.4, in dB: how far the error is above the mask, which is the error that the
// sound hides. Bands are a quarter of a Bark wide. Sound masks higher and lower bands, and later sound as far as the windows overlap.
//
// It says little about bass: up to 12 Bark the mask lies only 3 dB below the sound, so a clean bass gains nothing here.
func NoiseToMask(want, got []float32) float64 {
	const perBark = 4
	bark := func(hz float64) float64 { return 7 * math.Asinh(hz/650) }
	bands := int(perBark*(bark(18000)-bark(80))) + 1
	band := make([]int, size/2)
	for k := range band {
		band[k] = int(perBark * (bark(float64(k)*rate/size) - bark(80)))
	}
	// up[d] and down[d] are the shares of a band's energy that reach the band d bands higher, and lower.
	up, down := make([]float64, bands), make([]float64, bands)
	for d := range bands {
		up[d], down[d] = math.Pow(10, -1.2*float64(d)/perBark), math.Pow(10, -2.7*float64(d)/perBark)
	}
	var sum float64
	var n int
	energy, errors := make([]float64, bands), make([]float64, bands)
	frames(want, got, func(sound, wrong []complex128) {
		clear(energy)
		clear(errors)
		for k, b := range band {
			if b >= 0 && b < bands && k > 0 {
				energy[b] += power(sound[k])
				errors[b] += power(wrong[k])
			}
		}
		var mean float64
		for b := range errors {
			mask := 1e-7 // about the threshold of hearing
			for o, x := range energy {
				if o < b {
					mask += x * up[b-o]
				} else {
					mask += x * down[o-b]
				}
			}
			offset := max(3, 0.25*float64(b)/perBark)
			mean += errors[b] / (mask / math.Pow(10, offset/10))
		}
		sum += mean / float64(bands)
		n++
	})
	return 10 * math.Log10(sum/float64(n))
}

func power(x complex128) float64 { return real(x)*real(x) + imag(x)*imag(x) }

// frames calls f for each frame of each channel, with the spectrum of the sound and the spectrum of the error. It leaves out the first two
// frames: a codec may need them to start.
func frames(want, got []float32, f func(sound, wrong []complex128)) {
	sound, wrong := make([]complex128, size), make([]complex128, size)
	for at := 2 * channels * size; at+channels*size <= min(len(want), len(got)); at += channels * size / 2 {
		for c := range channels {
			for i := range size {
				w := 0.5 - 0.5*math.Cos(2*math.Pi*float64(i)/size)
				x, y := float64(want[at+channels*i+c]), float64(got[at+channels*i+c])
				sound[i], wrong[i] = complex(w*x, 0), complex(w*(x-y), 0)
			}
			fourier(sound)
			fourier(wrong)
			f(sound, wrong)
		}
	}
}

// roots are the roots of unity for the transform of a frame.
var roots = func() []complex128 {
	t := make([]complex128, size/2)
	for k := range t {
		t[k] = cmplx.Rect(1, -2*math.Pi*float64(k)/size)
	}
	return t
}()

// fourier transforms a frame in place.
func fourier(a []complex128) {
	for i, j := 1, 0; i < size; i++ {
		bit := size >> 1
		for ; j&bit != 0; bit >>= 1 {
			j ^= bit
		}
		j |= bit
		if i < j {
			a[i], a[j] = a[j], a[i]
		}
	}
	for half := 1; half < size; half *= 2 {
		for from := 0; from < size; from += 2 * half {
			for k := range half {
				x, y := a[from+k], a[from+k+half]*roots[k*(size/2/half)]
				a[from+k], a[from+k+half] = x+y, x-y
			}
		}
	}
}
