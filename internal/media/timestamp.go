package media

import "time"

// Timestamp is a time on the clock of a stream: nanoseconds since the beginning of the stream. It has 64 bits everywhere in the server. The
// formats on the wire have fewer bits and wrap.
//
// The clock of a stream runs with the clock of the server. Each door maps the times that it receives to the time of arrival, so the timestamp
// of a frame is never far from stream.Source.Now.
type Timestamp int64

// Add returns t moved by d.
func (t Timestamp) Add(d time.Duration) Timestamp { return t + Timestamp(d) }

// Sub returns the time from u to t.
func (t Timestamp) Sub(u Timestamp) time.Duration { return time.Duration(t - u) }

// WholeMS returns t rounded down to whole milliseconds.
func (t Timestamp) WholeMS() Timestamp {
	return Timestamp(t.Milliseconds()) * Timestamp(time.Millisecond)
}

// Milliseconds returns t in whole milliseconds, rounded down.
func (t Timestamp) Milliseconds() int64 {
	ms := int64(t) / int64(time.Millisecond)
	if int64(t)%int64(time.Millisecond) < 0 {
		ms--
	}
	return ms
}

// Samples returns the duration of n samples at a rate in Hz. It is exact for more than a year of samples.
func Samples(n int64, rate int) time.Duration {
	r := int64(rate)
	return time.Duration(n/r)*time.Second + time.Duration(n%r*int64(time.Second)/r)
}
