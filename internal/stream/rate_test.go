package stream

import (
	"math/rand/v2"
	"testing"
	"time"

	"transponder/internal/media"
)

func TestFrameRate(t *testing.T) {
	exact := func(fps float64) func(int) time.Duration {
		return func(i int) time.Duration { return time.Duration(float64(i) / fps * float64(time.Second)) }
	}
	inMilliseconds := func(fps float64) func(int) time.Duration {
		at := exact(fps)
		return func(i int) time.Duration { return at(i).Round(time.Millisecond) }
	}
	jittery := func(fps float64) func(int) time.Duration {
		at, random := exact(fps), rand.New(rand.NewPCG(1, 2))
		return func(i int) time.Duration { return at(i) + time.Duration(random.IntN(20))*time.Millisecond }
	}
	for _, tt := range []struct {
		name   string
		at     func(int) time.Duration
		frames int
		want   float64
	}{
		{"nothing", exact(30), 0, 0},
		{"the first second", exact(30), 31, 0},
		{"30", exact(30), 62, 30},
		{"30 in milliseconds", inMilliseconds(30), 1000, 30},
		{"29.97 in milliseconds", inMilliseconds(30000.0 / 1001), 1000, 29.97},
		{"23.976", inMilliseconds(24000.0 / 1001), 1000, 23.976},
		{"24", inMilliseconds(24), 1000, 24},
		{"25", inMilliseconds(25), 1000, 25},
		{"59.94", inMilliseconds(60000.0 / 1001), 1000, 59.94},
		{"60", inMilliseconds(60), 1000, 60},
		{"a camera of 30", jittery(30), 200, 30},
		{"a camera of 15", jittery(15), 100, 15},
		{"slides", exact(1), 10, 1},
		{"an odd rate, in its first window", exact(17.4), 36, 0},
		{"an odd rate", exact(17.4), 100, 17},
		{"a camera that turns dark", func(i int) time.Duration {
			if i < 300 {
				return exact(30)(i)
			}
			return 10*time.Second + exact(15)(i-300)
		}, 400, 15},
		{"a camera that turns dark for a moment", func(i int) time.Duration {
			switch {
			case i < 300:
				return exact(30)(i)
			case i < 310:
				return 10*time.Second + exact(15)(i-300)
			}
			return 10*time.Second + 666*time.Millisecond + exact(30)(i-310)
		}, 400, 30},
		{"a short pause", func(i int) time.Duration {
			if i < 20 {
				return exact(25)(i)
			}
			return time.Second + exact(25)(i)
		}, 75, 25},
		{"a pause", func(i int) time.Duration {
			if i < 40 {
				return exact(30)(i)
			}
			return time.Minute + exact(30)(i)
		}, 110, 30},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var r frameRate
			for i := range tt.frames {
				r.came(media.Timestamp(time.Hour + tt.at(i)))
			}
			if r.rate != tt.want {
				t.Errorf("rate %v, want %v", r.rate, tt.want)
			}
		})
	}
}
