package stream

import (
	"time"

	"transponder/internal/media"
)

// ring is a queue of frames that grows as needed; its user bounds it.
type ring struct {
	frames []media.Frame // length a power of two, or nil
	first  int
	n      int
	bytes  int
}

func (q *ring) put(f media.Frame) {
	if q.n == len(q.frames) {
		q.grow()
	}
	q.frames[(q.first+q.n)&(len(q.frames)-1)] = f
	q.n++
	q.bytes += len(f.Data)
}

// take moves frames to dst and returns how many.
func (q *ring) take(dst []media.Frame) int {
	n := min(q.n, len(dst))
	for i := range n {
		at := &q.frames[(q.first+i)&(len(q.frames)-1)]
		dst[i] = *at
		q.bytes -= len(at.Data)
		*at = media.Frame{} // let go of the data
	}
	if n > 0 {
		q.first = (q.first + n) & (len(q.frames) - 1)
		q.n -= n
	}
	return n
}

func (q *ring) clear() { *q = ring{} }

// oldest returns the time of the first frame; the queue is not empty.
func (q *ring) oldest() media.Timestamp { return q.frames[q.first].Time }

// span returns the time from the first to the last frame.
func (q *ring) span() time.Duration {
	if q.n == 0 {
		return 0
	}
	last := q.frames[(q.first+q.n-1)&(len(q.frames)-1)]
	return max(0, last.Time.Sub(q.oldest()))
}

func (q *ring) grow() {
	bigger := make([]media.Frame, max(16, 2*len(q.frames)))
	for i := range q.n {
		bigger[i] = q.frames[(q.first+i)&(len(q.frames)-1)]
	}
	q.frames, q.first = bigger, 0
}
