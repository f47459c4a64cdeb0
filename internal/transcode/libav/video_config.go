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
	// MinSide and MaxSide bound the width and the height of pictures, decoded and encoded.
	MinSide = 16
	MaxSide = 8192
	// MaxPixels bounds the area of pictures, decoded and encoded, to what H.264 allows up to level 5.2 (table A-1):
	// 4096x2304.
	MaxPixels = 36864 * 256
	// MaxFPS is the highest frame rate.
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

// ErrKeyFrame means that a picture was lost, and that decoding can go on only at the next key frame.
var ErrKeyFrame = errors.New("pictures can be decoded from the next key frame on")

// VideoStats counts pictures.
type VideoStats struct {
	Decoded int // came out of the decoder
	Damaged int // access units that could not be decoded, because they or the pictures they refer to are damaged
	Dropped int // decoded, but not encoded: by Drop, out of order, or too many for the constant frame rate
	Encoded int // including those that were encoded again for the constant frame rate
}

// presets are those of libx264, from the fastest to the slowest.
var presets = []string{"ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower",
	"veryslow", "placebo"}

// VideoConfig says how pictures are encoded. The zero value asks for H.264 of the source's size and frame rate.
type VideoConfig struct {
	// Codec is H264 or VP8; none: H264.
	Codec media.Codec
	// Width and Height are even. With a Height alone, the shorter side of the picture becomes Height, and the longer side
	// keeps the shape of the source.
	Width, Height int
	// Letterbox fits the picture into Width x Height and fills the rest with black; without it, the picture is stretched.
	Letterbox bool

	// FPS asks for a constant frame rate, for which pictures are dropped or repeated; 0: each picture is sent at its own
	// time.
	FPS float64
	// KeyFrameInterval is the number of frames from one key frame to the next; 0: KeyFrameTime applies.
	KeyFrameInterval int
	// KeyFrameTime is the time from one key frame to the next; 0: 2 s.
	KeyFrameTime time.Duration

	// RateBPS is the bit rate in bit/s; 0: it follows from size and frame rate, see DefaultRateBPS.
	RateBPS int
	// Quality, from 1 (best) to 51, asks for constant quality (libx264's CRF), with the bit rate as its upper bound; 0: the
	// encoder uses the whole bit rate.
	Quality int
	// Buffer is the time over which the bit rate is averaged; 0: 1 s.
	Buffer time.Duration
	// Preset is libx264's; empty: superfast. VP8 has no presets.
	Preset string
	// Threads is the number of threads that encode; 0: one.
	Threads int
}

// Validate reports every value that cannot work.
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
	check(c.FPS == 0 || c.FPS >= 1 && c.FPS <= MaxFPS, "%v pictures per second are not 1 to %d", c.FPS, MaxFPS) // false for NaN, too
	check(c.KeyFrameInterval >= 0, "key frame interval %d is negative", c.KeyFrameInterval)
	check(KeyFrameTimeRange.Contains(c.KeyFrameTime), "key frame time %v is not %v", c.KeyFrameTime, KeyFrameTimeRange)
	check(RateRange.Contains(c.RateBPS), "bit rate %d bit/s is not %v", c.RateBPS, RateRange)
	check(QualityRange.Contains(c.Quality), "quality %d is not %v", c.Quality, QualityRange)
	check(c.Buffer == 0 || BufferRange.Contains(c.Buffer), "buffer of %v is not %v", c.Buffer, BufferRange)
	check(c.Preset == "" || slices.Contains(presets, c.Preset), "preset %q is none of %v", c.Preset, presets)
	check(c.Threads == 0 || ThreadsRange.Contains(c.Threads), "%d threads are not %v", c.Threads, ThreadsRange)
	return errors.Join(faults...)
}

// Size returns the size of the encoded pictures for pictures of width x height, measured after rotation.
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

// evenSide rounds a side down to an even number within MinSide and MaxSide.
func evenSide(n int) int { return min(max(n&^1, MinSide), MaxSide) }

// fit returns the largest rectangle of a canvas that has the shape of width x height, in even numbers, and its position.
func fit(canvasWidth, canvasHeight, width, height int) (left, top, innerWidth, innerHeight int) {
	innerWidth, innerHeight = canvasWidth, canvasHeight
	if width*canvasHeight > height*canvasWidth {
		innerHeight = max(height*canvasWidth/width&^1, 2)
	} else {
		innerWidth = max(width*canvasHeight/height&^1, 2)
	}
	return (canvasWidth - innerWidth) / 2 &^ 1, (canvasHeight - innerHeight) / 2 &^ 1, innerWidth, innerHeight
}

// rates are the bit rates for pictures with a shorter side of so many pixels, at up to 30 per second.
var rates = []struct{ side, bps int }{{0, 100_000}, {360, 800_000}, {480, 1_500_000}, {720, 2_500_000}, {1080, 4_500_000}}

// DefaultRateBPS returns the bit rate, in bit/s, for pictures of width x height, fps of them per second: 800 kbit/s for 360p,
// 1.5 Mbit/s for 480p, 2.5 Mbit/s for 720p, 4.5 Mbit/s for 1080p, in proportion between and beyond, and more above 30 per
// second.
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
