package transponder

import "time"

// Clock gives wall times that do not step, in milliseconds since 1970: the anchors of far-end times. A far end's time only grows as long as the
// clock does, over restarts too. A nil Clock begins with the wall time of the first call.
//
// While the process runs, the clock follows the monotonic clock, so that setting the machine's clock changes nothing. At the start it is the wall
// time, or later if the wall time was set back since the process before ran.
type Clock struct {
	start time.Time
	base  int64 // at start
}

// NewClock makes a clock that begins with the wall time, but not before the latest time that the clock of an earlier process can have shown; zero:
// there was none.
func NewClock(latest time.Time) *Clock {
	now := time.Now()
	return &Clock{start: now, base: max(now.UnixMilli(), latest.UnixMilli())}
}

// ms returns the clock's time at a moment of this process.
func (c *Clock) ms(t time.Time) int64 {
	if c == nil {
		return t.UnixMilli()
	}
	return c.base + t.Sub(c.start).Milliseconds()
}

// Now returns the time.
func (c *Clock) Now() time.Time { return time.UnixMilli(c.ms(time.Now())) }
