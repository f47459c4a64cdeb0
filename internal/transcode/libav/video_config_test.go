package libav

import (
	"math"
	"testing"
	"time"

	"transponder/internal/media"
)

func TestVideoSize(t *testing.T) {
	tests := []struct {
		name          string
		cfg           VideoConfig
		width, height int
		wantW, wantH  int
	}{
		{"as it is", VideoConfig{}, 1280, 720, 1280, 720},
		{"odd", VideoConfig{}, 1279, 719, 1278, 718},
		{"tiny", VideoConfig{}, 8, 2, 16, 16},
		{"height", VideoConfig{Height: 480}, 1280, 720, 852, 480},
		{"height of a portrait", VideoConfig{Height: 480}, 720, 1280, 480, 852},
		{"height of a square", VideoConfig{Height: 480}, 500, 500, 480, 480},
		{"higher", VideoConfig{Height: 1080}, 640, 360, 1920, 1080},
		{"height of a line", VideoConfig{Height: 480}, 4096, 16, 8192, 480},
		{"exact", VideoConfig{Width: 640, Height: 480}, 1280, 720, 640, 480},
		{"exact, of a portrait", VideoConfig{Width: 640, Height: 480}, 720, 1280, 640, 480},
		{"letterbox", VideoConfig{Width: 640, Height: 480, Letterbox: true}, 720, 1280, 640, 480},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if w, h := tt.cfg.Size(tt.width, tt.height); w != tt.wantW || h != tt.wantH {
				t.Errorf("%dx%d becomes %dx%d, want %dx%d", tt.width, tt.height, w, h, tt.wantW, tt.wantH)
			}
		})
	}
}

func TestVideoFit(t *testing.T) {
	tests := []struct {
		name                   string
		canvasW, canvasH, w, h int
		want                   [4]int
	}{
		{"same shape", 640, 480, 1280, 960, [4]int{0, 0, 640, 480}},
		{"wide", 640, 480, 1280, 720, [4]int{0, 60, 640, 360}},
		{"tall", 1280, 720, 720, 1280, [4]int{438, 0, 404, 720}},
		{"a line", 640, 480, 8192, 2, [4]int{0, 238, 640, 2}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got [4]int
			if got[0], got[1], got[2], got[3] = fit(tt.canvasW, tt.canvasH, tt.w, tt.h); got != tt.want {
				t.Errorf("left, top, width, height = %v, want %v", got, tt.want)
			}
		})
	}
}

func TestVideoConfigValidate(t *testing.T) {
	tests := []struct {
		name string
		cfg  VideoConfig
		ok   bool
	}{
		{"nothing", VideoConfig{}, true},
		{"all", VideoConfig{
			Width: 1280, Height: 720, Letterbox: true, FPS: 29.97, KeyFrameInterval: 60, KeyFrameTime: time.Second, RateBPS: 2_000_000,
			Preset: "veryfast", Threads: 2,
		}, true},
		{"the largest", VideoConfig{Width: 4096, Height: 2304}, true},
		{"too large", VideoConfig{Width: 8192, Height: 8192}, false},
		{"VP8", VideoConfig{Codec: media.VP8}, true},
		{"a codec that is not made", VideoConfig{Codec: media.AV1}, false},
		{"odd", VideoConfig{Height: 481}, false},
		{"flat", VideoConfig{Height: 14}, false},
		{"negative", VideoConfig{Width: -2, Height: 480}, false},
		{"width alone", VideoConfig{Width: 640}, false},
		{"letterbox without width", VideoConfig{Height: 480, Letterbox: true}, false},
		{"too fast", VideoConfig{FPS: 241}, false},
		{"too slow", VideoConfig{FPS: 0.5}, false},
		{"no number", VideoConfig{FPS: math.NaN()}, false},
		{"interval", VideoConfig{KeyFrameInterval: -1}, false},
		{"time", VideoConfig{KeyFrameTime: -1}, false},
		{"rate", VideoConfig{RateBPS: -1}, false},
		{"preset", VideoConfig{Preset: "superfast:crf=1"}, false},
		{"threads", VideoConfig{Threads: 1000}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.cfg.Validate(); (err == nil) != tt.ok {
				t.Errorf("got %v, want ok %v", err, tt.ok)
			}
		})
	}
}

func TestDefaultRateBPS(t *testing.T) {
	tests := []struct {
		width, height int
		fps           float64
		want          int
	}{
		{640, 360, 30, 800_000},
		{854, 480, 30, 1_500_000},
		{1280, 720, 15, 2_500_000},
		{720, 1280, 30, 2_500_000},
		{1280, 720, 60, 5_000_000},
		{1920, 1080, 30, 4_500_000},
		{1600, 900, 30, 3_500_000},
		{3840, 2160, 30, 10_500_000},
		{16, 16, 30, 131_111},
	}
	for _, tt := range tests {
		if got := DefaultRateBPS(tt.width, tt.height, tt.fps); got != tt.want {
			t.Errorf("%dx%d at %v per second: %d bit/s, want %d", tt.width, tt.height, tt.fps, got, tt.want)
		}
	}
}
