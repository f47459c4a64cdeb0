package sound

import (
	"slices"
	"testing"

	"transponder/internal/transcode/sound/soundtest"
)

// A frame is silent if all of it is, wherever packets and frames begin, and what is inaudible is as good as nothing.
func TestTapeTellsSilence(t *testing.T) {
	loud := soundtest.Tone(200, 0.5, ms(10))
	hum := soundtest.Tone(200, inaudible, ms(120)) // 5760 samples, an Opus packet at its longest
	low := soundtest.Tone(200, 2*inaudible, ms(20))
	for _, tt := range []struct {
		name    string
		packets [][]float32
		want    []bool // of each frame of 1024 samples
	}{
		{"loud", [][]float32{loud, loud, loud}, []bool{false}},
		{"low", [][]float32{low, low, low}, []bool{false, false}},
		{"inaudible", [][]float32{hum[:2048], hum[:2050]}, []bool{true, true}},
		{"inaudible after loud", [][]float32{loud, hum}, []bool{false, true, true, true, true, true}},
		{"inaudible in small parts", [][]float32{hum[:1000], hum[:1000], loud, hum[:200], hum[:3108]}, []bool{false, false, true}},
		{"loud in the midst", [][]float32{hum[:1500], loud, hum[:2048], hum[:2048]}, []bool{false, false, true}},
	} {
		var got []bool
		tape := newTape(0, 1024, func(frame []float32, silent bool) error {
			if silent && slices.ContainsFunc(frame, func(x float32) bool { return x != 0 }) {
				t.Errorf("%s: frame %d is not silent", tt.name, len(got))
			}
			got = append(got, silent)
			return nil
		})
		for _, p := range tt.packets {
			if err := tape.write(slices.Clone(p)); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: frames are silent: %v, want %v", tt.name, got, tt.want)
		}
	}
}
