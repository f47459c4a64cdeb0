package rtmpserver

import (
	"time"

	"transponder/internal/media"
)

const (
	// maxStep is the largest step between two messages that is taken for time that passed. Longer ones are jumps: a
	// restarted encoder, a file that begins again, tracks that do not share a clock.
	maxStep = 3 * time.Second

	// maxLag is how far behind the arrival a stream's time may fall, after which it is set anew. It covers what a stalled
	// link delivers late and still with true times.
	maxLag = 5 * time.Second

	// maxLead is how far ahead of the arrival a stream's time may run: what an encoder sends at once after a stall. A
	// publisher that is faster, like a file sent without pace, is read no faster.
	maxLead = 2 * time.Second

	// window is over how long the earliest arrival is taken for the true one.
	window = 10 * time.Second

	// slew is the most that a window corrects: a tenth of a percent, inaudible and faster than any two clocks part.
	slew = window / 1000
)

// clock lays a publisher's 32-bit milliseconds on the stream's clock, which is that of arrival. All tracks share it, so
// they stay in step.
type clock struct {
	started bool
	last    uint32          // of the latest message
	at      media.Timestamp // where last lies on the stream's clock

	windowEnd media.Timestamp
	earliest  time.Duration // least delay of arrival seen in the window
	jumps     int64
}

// timestamp returns the time on the stream's clock of a message that says ms and arrived at now.
func (c *clock) timestamp(ms uint32, now media.Timestamp) media.Timestamp {
	step := time.Duration(int32(ms-c.last)) * time.Millisecond
	at := c.at.Add(step)
	switch {
	case !c.started:
		c.started = true
		c.set(now)
	case step > maxStep || step < -maxStep || now.Sub(at) > maxLag:
		c.jumps++
		c.set(now)
	default:
		c.at = at
	}
	c.last = ms
	c.correct(now)
	return c.at
}

// set begins anew at the time of arrival.
func (c *clock) set(now media.Timestamp) {
	c.at = now
	c.windowEnd, c.earliest = now.Add(window), window
}

// correct follows the difference in speed between the publisher's clock and ours: the message that was least delayed in a
// window is held to have come at once.
func (c *clock) correct(now media.Timestamp) {
	c.earliest = min(c.earliest, now.Sub(c.at))
	if now < c.windowEnd {
		return
	}
	c.at = c.at.Add(min(max(c.earliest, -slew), slew))
	c.windowEnd, c.earliest = now.Add(window), window
}
