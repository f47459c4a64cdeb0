package hearing

import (
	"math"
	"math/rand/v2"
	"testing"
)

// noisy returns white noise at a level, and the same with other noise so many dB below it.
func noisy(db float64) (want, got []float32) {
	r := rand.New(rand.NewPCG(1, 2))
	below := math.Pow(10, -db/20)
	for range 2 * rate {
		x := 0.1 * r.NormFloat64()
		want = append(want, float32(x))
		got = append(got, float32(x+0.1*below*r.NormFloat64()))
	}
	return want, got
}

func TestSignalToNoise(t *testing.T) {
	for _, db := range []float64{0, 10, 40} {
		for b, got := range SignalToNoise(noisy(db)) {
			if math.Abs(got-db) > 2 { // a band of bass has few lines
				t.Errorf("from %v Hz on: %.1f dB, want %v", Edges[b], got, db)
			}
		}
	}
	want, _ := noisy(0)
	for b, got := range SignalToNoise(want, want) {
		if got != most {
			t.Errorf("from %v Hz on the same sound has %.1f dB, want %v", Edges[b], got, most)
		}
	}
	for b, got := range SignalToNoise(make([]float32, 2*rate), want) {
		if !math.IsNaN(got) {
			t.Errorf("from %v Hz on silence has %.1f dB", Edges[b], got)
		}
	}
}

// A tone that is wrong is so in its own band.
func TestBandOfNoise(t *testing.T) {
	want, _ := noisy(0)
	for b := range len(Edges) - 1 {
		got := make([]float32, len(want))
		hz := (Edges[b] + Edges[b+1]) / 2
		for i, x := range want {
			got[i] = x + float32(0.02*math.Sin(2*math.Pi*hz*float64(i/2)/rate))
		}
		snr := SignalToNoise(want, got)
		for o, x := range snr {
			if (x < 30) != (o == b) {
				t.Errorf("a tone of %v Hz: %.1f dB from %v Hz on", hz, x, Edges[o])
			}
		}
	}
}

func TestNoiseToMask(t *testing.T) {
	quiet, loud := NoiseToMask(noisy(30)), NoiseToMask(noisy(10))
	if math.Abs(loud-quiet-20) > 0.5 {
		t.Errorf("20 dB more noise: from %.1f to %.1f dB", quiet, loud)
	}
	if loud > 5 || loud < -10 {
		t.Errorf("noise 10 dB below noise is %.1f dB above the mask", loud)
	}
}
