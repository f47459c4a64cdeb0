//go:build cgo

package libav

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"transponder/internal/media"
)

// Pictures that come steadily, with jitter, late or not at all, on the grid of a constant rate.
func TestPaceConstant(t *testing.T) {
	const seconds = 20
	tests := []struct {
		name     string
		from, to float64
		jitter   time.Duration
		dropped  float64 // of those that came
		repeated float64 // of those that went out
	}{
		{"same", 30, 30, 0, 0, 0},
		{"same with jitter", 30, 30, 15 * time.Millisecond, 0, 0},
		{"half", 30, 15, 0, 0.5, 0},
		{"half with jitter", 30, 15, 10 * time.Millisecond, 0.5, 0},
		{"25 of 30", 30, 25, 0, 1.0 / 6, 0},
		{"double", 30, 60, 0, 0, 0.5},
		{"film to 30", 24, 30, 0, 0, 0.2},
		{"NTSC to 30", 30000.0 / 1001, 30, 5 * time.Millisecond, 0, 0.001},
		{"a slide a second", 1, 25, 0, 0, 0.96},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPace(VideoConfig{FPS: tt.to, KeyFrameInterval: 50})
			random := rand.New(rand.NewPCG(1, 2))
			in, out, dropped, repeated := 0, 0, 0, 0
			for ; float64(in) < seconds*tt.from; in++ {
				at := media.Timestamp(float64(in) / tt.from * 1e9).Add(time.Hour)
				if tt.jitter > 0 {
					at = at.Add(time.Duration(random.Int64N(int64(tt.jitter))) - tt.jitter/2)
				}
				repeats, shown := p.picture(at)
				if !shown {
					dropped++
					continue
				}
				repeated += repeats
				for i := range repeats + 1 {
					got, key := p.next()
					want := p.origin.Add(time.Duration(math.Round(float64(out) * 1e9 / tt.to)))
					if got != want || key != (out%50 == 0 && out > 0) {
						t.Fatalf("picture %d at %v, key %v, want at %v", out, got, key, want)
					}
					if off := got.Sub(at).Seconds() * tt.to; i == repeats && math.Abs(off) > 1 {
						t.Fatalf("picture %d is %.2f frames off", out, off)
					}
					out++
				}
			}
			if want := seconds * tt.to; math.Abs(float64(out)-want) > max(2, tt.to/tt.from) {
				t.Errorf("%d pictures out, want %.0f", out, want)
			}
			if got := float64(dropped) / float64(in); math.Abs(got-tt.dropped) > 0.005 {
				t.Errorf("%.3f dropped, want %.3f", got, tt.dropped)
			}
			if got := float64(repeated) / float64(out); math.Abs(got-tt.repeated) > 0.015 {
				t.Errorf("%.3f repeated, want %.3f", got, tt.repeated)
			}
		})
	}
}

// A long gap is not filled, and what follows is in its place again.
func TestPaceGap(t *testing.T) {
	p := newPace(VideoConfig{FPS: 30})
	for _, at := range []time.Duration{0, 10 * time.Second, 10*time.Second + time.Second/30} {
		repeats, shown := p.picture(media.Timestamp(at))
		got, _ := p.next()
		if repeats != 0 || !shown || (got.Sub(media.Timestamp(at))).Abs() > time.Second/60 {
			t.Errorf("picture of %v: %d repeats, shown %v at %v", at, repeats, shown, time.Duration(got))
		}
	}
}

// At the source's own rate times are kept, what goes back is dropped, and key frames come by time, by number or by request.
func TestPaceSource(t *testing.T) {
	tests := []struct {
		name string
		cfg  VideoConfig
		want []int
	}{
		{"by time", VideoConfig{KeyFrameTime: time.Second}, []int{0, 20, 35, 55}},
		{"by number", VideoConfig{KeyFrameInterval: 24}, []int{0, 24, 35, 59}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPace(tt.cfg)
			p.begin(0)
			var keys []int
			for i := range 60 {
				at := media.Timestamp(time.Duration(i) * 50 * time.Millisecond)
				if i == 0 {
					p.picture(at)
				} else if _, shown := p.picture(at); !shown {
					t.Fatalf("picture %d is dropped", i)
				}
				if _, shown := p.picture(at); shown {
					t.Fatalf("picture %d is shown twice", i)
				}
				p.wantKey = p.wantKey || i == 35
				got, key := p.next()
				if got != at {
					t.Fatalf("picture of %v at %v", at, got)
				}
				if key {
					keys = append(keys, i)
				}
			}
			if len(keys) != len(tt.want) {
				t.Fatalf("key frames at %v, want %v", keys, tt.want)
			}
			for i := range keys {
				if keys[i] != tt.want[i] {
					t.Fatalf("key frames at %v, want %v", keys, tt.want)
				}
			}
			if got := p.fps(); math.Abs(got-20) > 2 {
				t.Errorf("%.1f pictures per second measured, want 20", got)
			}
		})
	}
}

func TestRational(t *testing.T) {
	for fps, want := range map[float64][2]int{
		30: {30000, 1000}, 29.97: {30000, 1001}, 59.94: {60000, 1001}, 23.976: {24000, 1001}, 12.5: {12500, 1000}, 1: {1000, 1000},
	} {
		if num, den := rational(fps); num != want[0] || den != want[1] {
			t.Errorf("%v = %d/%d, want %v", fps, num, den, want)
		}
	}
}
