package rtc

import (
	"math"
	"time"

	"transponder/internal/media"
)

// RTPClock makes the RTP times of one track that is sent. The times of pictures are the stream's. Sound counts its samples
// as long as each packet follows the one before without a gap, because listeners hear even a small gap. One goroutine may
// use it.
type RTPClock struct {
	rate  int64 // units per second
	count bool  // count samples

	begun  bool
	from   media.Timestamp // the stream's time at which the RTP time was origin
	origin uint32
	time   uint32          // the RTP time of the last frame
	last   media.Timestamp // the stream's time of the last frame
	units  int64           // the duration of the last frame in RTP time; 0: unknown
}

// NewRTPClock makes a clock for a codec, whose first RTP time is origin.
func NewRTPClock(codec media.Codec, origin uint32) *RTPClock {
	return &RTPClock{rate: int64(codec.ClockRate()), count: codec.Kind() == media.Audio, origin: origin}
}

// slack is how much the stream's time may differ from the count of samples. The stream's times of sound follow the
// publisher's sender reports, so they are not exact multiples of the packets' duration.
const slack = 20 * time.Millisecond

// At returns the RTP time of the next frame, whose time on the stream's clock is t. units is its duration in RTP time, 0 if
// unknown.
func (c *RTPClock) At(t media.Timestamp, units int64) uint32 {
	expected := time.Duration(c.units * 1e9 / c.rate)
	switch {
	case !c.begun:
		c.begun, c.from, c.time = true, t, c.origin
	case c.count && c.units > 0 && (t.Sub(c.last)-expected).Abs() < slack:
		c.time += uint32(c.units)
	default:
		if c.count { // from now on, count from here
			c.from, c.origin = c.last, c.time
		}
		c.time = c.origin + c.inUnits(t.Sub(c.from))
	}
	c.last, c.units = t, units
	return c.time
}

// Begun says whether a frame has got its time.
func (c *RTPClock) Begun() bool { return c.begun }

// Now returns the RTP time at a time on the stream's clock.
func (c *RTPClock) Now(t media.Timestamp) uint32 { return c.time + c.inUnits(t.Sub(c.last)) }

// inUnits converts a duration to units of RTP time.
func (c *RTPClock) inUnits(d time.Duration) uint32 {
	return uint32(int64(math.Round(d.Seconds() * float64(c.rate))))
}
