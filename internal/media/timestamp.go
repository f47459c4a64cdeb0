package media

import "time"

// Timestamp is a moment on a stream's clock: nanoseconds since the stream began. It is 64 bits wide everywhere inside the
// server; the wire formats wrap it at their own width.
//
// A stream's clock runs with the server's: a door maps what it receives onto the time of arrival, so a frame's timestamp is
// never far from stream.Source.Now.
type Timestamp int64

// Add returns t moved by d.
func (t Timestamp) Add(d time.Duration) Timestamp { return t + Timestamp(d) }

// Sub returns the time from u to t.
func (t Timestamp) Sub(u Timestamp) time.Duration { return time.Duration(t - u) }

// Milliseconds returns t in whole milliseconds, rounded down.
func (t Timestamp) Milliseconds() int64 {
	ms := int64(t) / int64(time.Millisecond)
	if int64(t)%int64(time.Millisecond) < 0 {
		ms--
	}
	return ms
}

// Samples returns the duration of n samples at a rate in Hz. The product stays exact past a year of samples.
func Samples(n int64, rate int) time.Duration {
	r := int64(rate)
	return time.Duration(n/r)*time.Second + time.Duration(n%r*int64(time.Second)/r)
}
