package libav

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"transponder/internal/limits"
	"transponder/internal/media"
)

const (
	// MinSide and MaxSide bound the sides of pictures, in and out.
	MinSide = 16
	MaxSide = 8192
	// MaxPixels bounds the area of pictures, in and out: what H.264 allows up to its level 5.2 (table A-1), which is
	// 4096x2304.
	MaxPixels = 36864 * 256
	// MaxFPS bounds the pictures per second.
	MaxFPS = 240

	defaultKeyFrameTime = 2 * time.Second
	defaultBuffer       = time.Second
	defaultPreset       = "superfast"
)

// The ranges of a VideoConfig's numbers. A 0 in the config stands for the default, as its field says.
var (
	// RateRange is in bit/s.
	RateRange = limits.Of(0, 1_000_000_000)
	// QualityRange is libx264's CRF: from the best to the worst, and 0 for no constant quality.
	QualityRange = limits.Of(0, 51)
	// BufferRange holds some pictures at least, and at most as much as a viewer can wait for.
	BufferRange = limits.Of(100*time.Millisecond, 10*time.Second)
	// KeyFrameTimeRange ends where no viewer waits any more.
	KeyFrameTimeRange = limits.Of(0, 24*time.Hour)
	// ThreadsRange ends where the largest picture still fits into the memory that a child process may have. With 64 threads it does not.
	ThreadsRange = limits.Of(1, 16)
)

// ErrKeyFrame means that a picture was lost, and that none can be decoded before the next key frame.
var ErrKeyFrame = errors.New("pictures can be decoded from the next key frame on")

// VideoStats counts pictures.
type VideoStats struct {
	Decoded  int // came out of the decoder
	Damaged  int // access units that gave nothing, as they or what they build on is damaged
	Dropped  int // decoded, but not encoded: skipped, out of order, or too many for the constant rate
	Repeated int // encoded once more, for the constant rate
	Encoded  int // repeated ones included
}

// presets are libx264's, from the fastest to the slowest.
var presets = []string{"ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower",
	"veryslow", "placebo"}

// VideoConfig says what pictures are made into. The zero value asks for H.264 of the source's size and rate.
type VideoConfig struct {
	// Codec is H264 or VP8; none: H264.
	Codec media.Codec
	// Width and Height are the size, even. Height alone: the shorter side becomes Height, and the longer follows the
	// source's shape.
	Width, Height int
	// Letterbox fits the picture into Width x Height, with black beside it; else it is stretched to them.
	Letterbox bool

	// FPS asks for a constant rate, for which pictures are dropped or repeated; 0: each is sent at its own time.
	FPS float64
	// KeyFrameInterval is how many frames there are from one key frame to the next; 0: KeyFrameTime tells.
	KeyFrameInterval int
	// KeyFrameTime is the time from one key frame to the next; 0: 2 s.
	KeyFrameTime time.Duration

	// RateBPS is the bit rate; 0: what the size and the rate of pictures call for, see DefaultRateBPS.
	RateBPS int
	// Quality, from 1 (best) to 51, asks for one quality (libx264's CRF), for which the bit rate is but the most; 0: the bit rate is
	// used up, and pictures are as good as it allows.
	Quality int
	// Buffer is for how long the bit rate may be exceeded, as far as it was not used before; 0: 1 s.
	Buffer time.Duration
	// Preset is libx264's; empty: superfast. VP8 has one way of being made.
	Preset string
	// Threads is how many threads encode; 0: one.
	Threads int
}

// Validate joins every fault.
func (c VideoConfig) Validate() error {
	var faults []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	check(slices.Contains([]media.Codec{media.CodecNone, media.H264, media.VP8}, c.Codec), "pictures are not made into %v", c.Codec)
	side := func(n int) bool { return n >= MinSide && n <= MaxSide && n%2 == 0 }
	check(c.Height == 0 || side(c.Height), "height %d is not an even number from %d to %d", c.Height, MinSide, MaxSide)
	check(c.Width == 0 || side(c.Width), "width %d is not an even number from %d to %d", c.Width, MinSide, MaxSide)
	check(c.Width == 0 || c.Height > 0, "width without height")
	check(c.Width*c.Height <= MaxPixels, "%dx%d is more than %d pixels", c.Width, c.Height, MaxPixels)
	check(!c.Letterbox || c.Width > 0, "letterbox without a size")
	check(c.FPS == 0 || c.FPS >= 1 && c.FPS <= MaxFPS, "%v pictures per second are not 1 to %d", c.FPS, MaxFPS) // nor NaN
	check(c.KeyFrameInterval >= 0, "key frame interval %d is negative", c.KeyFrameInterval)
	check(KeyFrameTimeRange.Contains(c.KeyFrameTime), "key frame time %v is not %v", c.KeyFrameTime, KeyFrameTimeRange)
	check(RateRange.Contains(c.RateBPS), "bit rate %d bit/s is not %v", c.RateBPS, RateRange)
	check(QualityRange.Contains(c.Quality), "quality %d is not %v", c.Quality, QualityRange)
	check(c.Buffer == 0 || BufferRange.Contains(c.Buffer), "buffer of %v is not %v", c.Buffer, BufferRange)
	check(c.Preset == "" || slices.Contains(presets, c.Preset), "preset %q is none of %v", c.Preset, presets)
	check(c.Threads == 0 || ThreadsRange.Contains(c.Threads), "%d threads are not %v", c.Threads, ThreadsRange)
	return errors.Join(faults...)
}

// Size returns the size of what is made of a picture whose size, when turned as it is to be shown, is width x height.
func (c VideoConfig) Size(width, height int) (int, int) {
	switch {
	case c.Height == 0:
		return evenSide(width), evenSide(height)
	case c.Width > 0:
		return c.Width, c.Height
	case width >= height:
		return evenSide(width * c.Height / max(height, 1)), c.Height
	default:
		return c.Height, evenSide(height * c.Height / max(width, 1))
	}
}

// evenSide rounds a side down to an even one within the bounds.
func evenSide(n int) int { return min(max(n&^1, MinSide), MaxSide) }

// fit returns the largest part of a canvas that has the shape of width x height, in even numbers, and where it begins.
func fit(canvasWidth, canvasHeight, width, height int) (left, top, innerWidth, innerHeight int) {
	innerWidth, innerHeight = canvasWidth, canvasHeight
	if width*canvasHeight > height*canvasWidth {
		innerHeight = max(height*canvasWidth/width&^1, 2)
	} else {
		innerWidth = max(width*canvasHeight/height&^1, 2)
	}
	return (canvasWidth - innerWidth) / 2 &^ 1, (canvasHeight - innerHeight) / 2 &^ 1, innerWidth, innerHeight
}

// rates are what pictures need whose shorter side is so long, at up to 30 per second.
var rates = []struct{ side, bps int }{{0, 100_000}, {360, 800_000}, {480, 1_500_000}, {720, 2_500_000}, {1080, 4_500_000}}

// DefaultRateBPS returns the bit rate for pictures of that size, fps of them per second: 800 kbit/s for 360p, 1.5 Mbit/s
// for 480p, 2.5 Mbit/s for 720p, 4.5 Mbit/s for 1080p and in proportion between and beyond; more above 30 per second.
func DefaultRateBPS(width, height int, fps float64) int {
	side := min(width, height)
	i := 1
	for i < len(rates)-1 && side > rates[i].side {
		i++
	}
	low, high := rates[i-1], rates[i]
	bps := low.bps + (high.bps-low.bps)*(side-low.side)/(high.side-low.side)
	return int(math.Round(float64(bps) * max(fps/30, 1)))
}
