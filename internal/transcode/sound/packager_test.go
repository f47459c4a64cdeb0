//go:build cgo

package sound

import (
	"math"
	"slices"
	"testing"
	"time"

	"transponder/internal/media"
	"transponder/internal/stream"
	"transponder/internal/transcode/libav"
	"transponder/internal/transcode/sound/soundtest"
)

// Silence that is not coded sounds like silence that is, and so does what comes before and after it.
func TestReusedSilence(t *testing.T) {
	music := soundtest.Music(time.Second)
	silence := make([]float32, channels*sampleRate)
	input := slices.Concat(music, silence, music, silence[:len(silence)/50], music)

	// code returns what is heard, and how many frames were reused.
	code := func(tell bool) ([]float32, int64) {
		src, err := stream.NewHub(stream.DefaultConfig(), nil).Publish(stream.Info{Name: "a"})
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close(nil)
		r := src.NewReader(stream.ReaderConfig{Audio: src.Audio})
		enc, err := libav.NewEncoder(soundtest.AACStereo)
		if err != nil {
			t.Fatal(err)
		}
		defer enc.Close()
		p := newPackager(enc, soundtest.AACStereo, src.Audio, 0)
		for frame := range slices.Chunk(input, channels*enc.FrameSize()) {
			if len(frame) < channels*enc.FrameSize() {
				break
			}
			silent := tell && !slices.ContainsFunc(frame, func(x float32) bool { return x != 0 })
			if err := p.frame(frame, silent); err != nil {
				t.Fatal(err)
			}
		}
		frames := make([]media.Frame, 1000)
		n, err := r.Read(t.Context(), frames)
		if err != nil {
			t.Fatal(err)
		}
		checkClock(t, frames[:n])
		return decodeFrames(t, frames[:n]), p.reused
	}
	want, _ := code(false)
	got, reused := code(true)
	if reused < 35 || len(got) != len(want) {
		t.Fatalf("%d frames reused, %d samples for %d", reused, len(got), len(want))
	}
	var worst float64
	for i := range got {
		worst = max(worst, math.Abs(float64(got[i]-want[i])))
	}
	t.Logf("greatest difference: %g", worst)
	if worst > 0.01 {
		t.Errorf("reused silence changes the sound by up to %g", worst)
	}
}
