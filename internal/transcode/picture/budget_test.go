package picture

import (
	"errors"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"transponder/internal/media"
	"transponder/internal/stream"
	"transponder/internal/transcode/libav"
)

// camOf returns a source that has sent one frame of such a track.
func camOf(t *testing.T, track media.Track) *stream.Source {
	t.Helper()
	s, err := stream.NewHub(stream.DefaultConfig(), nil).Publish(stream.Info{Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(nil) })
	s.Video.Write(media.Frame{Track: &track, Key: true})
	return s
}

func TestPredict(t *testing.T) {
	hd := media.Track{Codec: media.H264, Width: 1280, Height: 720}
	tests := []struct {
		name  string
		track media.Track
		cfg   libav.VideoConfig
		want  float64
	}{
		{"same size", hd, libav.VideoConfig{}, 30 * 0.9216 * (2 + 4.8) / 1000},
		{"smaller", hd, libav.VideoConfig{Height: 360}, 30 * (0.9216*2.7 + 0.2304*4.8) / 1000},
		{"turned", media.Track{Codec: media.H264, Width: 720, Height: 1280, Rotation: 90}, libav.VideoConfig{Height: 360}, 30 * (0.9216*2.7 + 0.2304*4.8) / 1000},
		{"another codec", media.Track{Codec: media.VP9, Width: 1280, Height: 720}, libav.VideoConfig{}, 30 * 0.9216 * (4 + 4.8) / 1000},
		{"fewer pictures", hd, libav.VideoConfig{FPS: 10}, 0.9216 * (30*2 + 10*4.8) / 1000},
		{"slow preset", hd, libav.VideoConfig{Preset: "medium"}, 30 * 0.9216 * (2 + 16) / 1000},
		{"unknown size", media.Track{Codec: media.H264}, libav.VideoConfig{}, 30 * 0.9216 * (2 + 4.8) / 1000},
	}
	for _, tt := range tests {
		if got := predict(camOf(t, tt.track), tt.cfg); math.Abs(got-tt.want) > 1e-3 {
			t.Errorf("%s: %.4f cores, want %.4f", tt.name, got, tt.want)
		}
	}
}

// A budget of two cores with a load that the test sets.
func newTestBudget(load *float64) *budget {
	b := newBudget(0.8)
	b.cores, b.whole = 2, true
	b.usage = func(time.Time) float64 { return *load }
	return b
}

func TestAdmit(t *testing.T) {
	s := camOf(t, media.Track{Codec: media.H264, Width: 1280, Height: 720})
	key := func(height int) renditionKey { return renditionKey{s, Profile{Height: height}} }
	now := time.Now()
	tests := []struct {
		name    string
		load    float64
		promise float64    // to another
		running *rendition // beside it
		factor  float64
		want    string // in the error; empty: it is admitted
	}{
		{"idle", 0, 0, nil, 1, ""},
		{"as much as is free", 1.1, 0, nil, 1, ""},
		{"too much", 1.15, 0, nil, 1, "about 0.50 cores, and of the 1.6 that may be used 0.45 are free"},
		{"overloaded", 5, 0, nil, 1, "0.00 are free"},
		{"room that is promised", 1, 0.2, nil, 1, "0.40 are free"},
		{"one that has just begun", 1, 0, &rendition{cost: cost{began: now, predicted: 0.3, measured: 0.1}}, 1, "0.40 are free"},
		{"one that runs", 1, 0, &rendition{cost: cost{began: now.Add(-time.Minute), predicted: 0.3, measured: 0.1}}, 1, ""},
		{"a slow machine", 0, 0, nil, 4, "about 2.00 cores"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newTestBudget(&tt.load)
			b.factor, b.used = tt.factor, tt.load
			if tt.promise > 0 {
				if err := b.admit(key(100), tt.promise, nil); err != nil {
					t.Fatal(err)
				}
			}
			var running []*rendition
			if tt.running != nil {
				running = append(running, tt.running)
			}
			err := b.admit(key(200), 0.5, running)
			var busy *BusyError
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (!errors.As(err, &busy) || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}

	// A promise is kept for its own rendition, and over when that has begun.
	load := 1.0
	b := newTestBudget(&load)
	b.used = load
	for range 3 {
		if err := b.admit(key(200), 0.5, nil); err != nil {
			t.Errorf("asked once more: %v", err)
		}
	}
	if err := b.admit(key(300), 0.5, nil); err == nil {
		t.Error("the same room was promised twice")
	}
	b.begun(key(200))
	if err := b.admit(key(300), 0.5, nil); err != nil {
		t.Errorf("after the promise: %v", err)
	}

	// Without a bound all are.
	v, err := New(Config{Preset: "superfast", Threads: 1, Command: []string{"/bin/false"}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	v.budget.used = 100
	if err := v.budget.admit(key(400), 50, nil); err != nil {
		t.Errorf("without a bound: %v", err)
	}
}

// The load is that of the last seconds.
func TestBudgetLoad(t *testing.T) {
	load := 1.0
	b := newTestBudget(&load)
	for range 20 {
		b.sample(time.Now(), nil)
	}
	if math.Abs(b.used-1) > 0.01 {
		t.Errorf("%.2f cores in use after 20 samples of 1", b.used)
	}
	load = 0
	for range 5 {
		b.sample(time.Now(), nil)
	}
	if b.used > 0.2 {
		t.Errorf("%.2f cores in use 5 samples after the load ended", b.used)
	}
}
