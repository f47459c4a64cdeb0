package stream

import (
	"math"
	"time"

	"transponder/internal/media"
)

// rateWindow is the time over which a frame rate is measured: long enough that errors of milliseconds do not turn 30 into 29.97.
const rateWindow = 2 * time.Second

// frameRate measures the frame rate of a feed by the times of the pictures, since they arrive in bursts. The zero frameRate is ready to use.
// It is not safe for concurrent use.
type frameRate struct {
	begun  bool
	first  media.Timestamp // of the window
	last   media.Timestamp
	frames int // after the first

	seen float64 // the rate in the window before
	rate float64 // 0: unknown
}

// came notes a picture.
func (r *frameRate) came(at media.Timestamp) {
	if !r.begun || at <= r.last || r.paused(at) {
		r.begun, r.first, r.last, r.frames = true, at, at, 0
		return
	}
	r.last = at
	r.frames++
	if span := at.Sub(r.first); span > rateWindow {
		r.measured(float64(r.frames) / span.Seconds())
		r.first, r.frames = at, 0
	}
}

// paused reports whether pictures were missing before the one at that time: none came for a whole window, or for five times as long as
// usual.
func (r *frameRate) paused(at media.Timestamp) bool {
	gap := at.Sub(r.last)
	return gap > rateWindow || r.frames >= 5 && gap > 5*r.last.Sub(r.first)/time.Duration(r.frames)
}

// measured notes the rate of a window. A usual rate counts at once. Any other rate, and every change, counts when two windows agree.
func (r *frameRate) measured(fps float64) {
	rate, usual := usualRate(fps)
	agree := near(rate, r.seen, 0.02)
	r.seen = rate
	switch {
	case r.rate == 0 && usual, agree && !near(rate, r.rate, 0.005):
		r.rate = rate
	}
}

// usualRates are the frame rates of cameras and encoders.
var usualRates = []float64{1, 2, 5, 7.5, 8, 10, 12, 12.5, 15, 20, 23.976, 24, 25, 29.97, 30, 48, 50, 59.94, 60, 72, 90, 100, 120, 144, 240}

// usualRate returns the nearest usual rate if it is within the error of measuring, else the rounded measured rate.
func usualRate(fps float64) (rate float64, usual bool) {
	for _, r := range usualRates {
		// 30 comes after 29.97 in the list, and is preferred in doubt.
		if near(fps, r, 0.02) && (rate == 0 || math.Abs(fps-r) <= math.Abs(fps-rate) || near(fps, r, 0.0006)) {
			rate = r
		}
	}
	if rate != 0 {
		return rate, true
	}
	return math.Round(fps), false
}

// near reports whether a differs from b by at most a share of b.
func near(a, b, share float64) bool { return math.Abs(a-b) <= b*share }
