package sound

import (
	"fmt"
	"math"
	"testing"
)

// A tone that passes comes out as it is, at its time, whatever the sizes of the parts it came in; what the lower rate cannot
// hold is gone.
func TestResampler(t *testing.T) {
	for _, tt := range []struct {
		in, out int64
		hz      float64
		passes  bool
	}{
		{48000, 48000, 1000, true},
		{44100, 48000, 997, true},
		{48000, 44100, 15000, true},
		{8000, 48000, 3000, true},
		{48000, 8000, 1000, true},
		{48000, 16000, 6500, true},
		{192000, 8000, 440, true},
		{1440000, 1440256, 1000, true}, // a loop that is stretched, at 48 kHz
		{48000, 8000, 5000, false},
		{48000, 16000, 10000, false},
	} {
		t.Run(fmt.Sprintf("%d to %d, %v Hz", tt.in, tt.out, tt.hz), func(t *testing.T) {
			rate := float64(tt.in)
			for rate > 200000 {
				rate /= 30
			}
			at := func(seconds float64) float32 { return float32(0.5 * math.Sin(2*math.Pi*tt.hz*seconds)) }
			r := NewResampler(2, tt.in, tt.out)
			var out []float32
			n := int(rate) / 4
			for i, size := 0, 1; i < n; i, size = i+size, size%700+13 {
				var pcm []float32
				for k := i; k < min(i+size, n); k++ {
					pcm = append(pcm, at(float64(k)/rate), -at(float64(k)/rate))
				}
				out = r.Append(out, pcm)
			}
			ahead := r.half
			if tt.in == tt.out {
				ahead = 0
			}
			if got, want := len(out)/2, float64(n-ahead)*float64(tt.out)/float64(tt.in); math.Abs(float64(got)-want) > 8 {
				t.Errorf("%d samples, want %.0f", got, want)
			}
			var worst float64
			for j := len(out) / 8; j < len(out)/2; j++ {
				want := float32(0)
				if tt.passes {
					want = at(float64(j) * float64(tt.in) / float64(tt.out) / rate)
				}
				worst = max(worst, math.Abs(float64(out[2*j]-want)), math.Abs(float64(out[2*j+1]+want)))
			}
			t.Logf("greatest error %.1f dB", 20*math.Log10(2*worst))
			if worst > 0.5e-3 {
				t.Errorf("greatest error is %.1f dB, want less than -60", 20*math.Log10(2*worst))
			}
		})
	}
}

func BenchmarkResampler(b *testing.B) {
	r := NewResampler(2, 44100, 48000)
	pcm := make([]float32, 2*44100)
	var out []float32
	for b.Loop() {
		out = r.Append(out[:0], pcm)
	}
}
