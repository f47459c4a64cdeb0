//go:build cgo

package libav

import (
	"math"
	"testing"
	"time"
)

// The buffer that the encoder is asked for fits into the 32 bits that libavcodec has for it, whatever the settings allow.
func TestBufferFits(t *testing.T) {
	for _, tt := range []struct {
		name   string
		bps    int
		buffer time.Duration
		want   int64
	}{
		{"usual", 3_000_000, time.Second, 3_000_000},
		{"short", 3_000_000, 100 * time.Millisecond, 300_000},
		{"the most for one second", RateRange.Max, time.Second, 1_000_000_000},
		{"more than fits", 300_000_000, 10 * time.Second, math.MaxInt32},
		{"the most of all", RateRange.Max, BufferRange.Max, math.MaxInt32},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := VideoConfig{RateBPS: tt.bps, Buffer: tt.buffer}
			if err := cfg.Validate(); err != nil {
				t.Fatal(err)
			}
			v := &Video{cfg: cfg, pace: newPace(cfg)}
			if rate, buffer := v.rate(encoding{}); int64(buffer) != tt.want || int(rate) != tt.bps {
				t.Errorf("bit rate %d, buffer %d; want %d and %d", rate, buffer, tt.bps, tt.want)
			}
		})
	}
}
