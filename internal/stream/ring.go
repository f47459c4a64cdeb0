package stream

import (
	"time"

	"transponder/internal/media"
)

const (
	minRing = 16 // capacity of a new queue
	maxRing = 64 // capacity that an empty queue keeps: as much as a reader takes at once
)

// ring is a queue of frames that grows as needed. Its user sets the bounds. When it is empty it releases memory beyond maxRing. It knows
// where the newest group of pictures begins, so that this group can be taken back whole.
type ring struct {
	frames []media.Frame // length a power of two, or nil
	first  int
	n      int
	bytes  int

	newest int // index in frames of the newest key frame; valid while older > 0
	older  int // pictures before the newest key frame
	group  int // pictures from the newest key frame on; all pictures if that key frame was taken or withdrawn
}

func (q *ring) put(f media.Frame) {
	if q.n == len(q.frames) {
		q.grow()
	}
	at := (q.first + q.n) & (len(q.frames) - 1)
	q.frames[at] = f
	q.n++
	q.bytes += len(f.Data)
	if f.Kind() != media.Video {
		return
	}
	if f.Key {
		q.newest = at
		q.older += q.group
		q.group = 0
	}
	q.group++
}

// take moves frames to dst and returns their number.
func (q *ring) take(dst []media.Frame) int {
	n := min(q.n, len(dst))
	for i := range n {
		at := &q.frames[(q.first+i)&(len(q.frames)-1)]
		dst[i] = *at
		q.bytes -= len(at.Data)
		if at.Kind() == media.Video {
			if q.older > 0 {
				q.older--
			} else {
				q.group--
			}
		}
		*at = media.Frame{} // so that the data can be collected
	}
	if n > 0 {
		q.first = (q.first + n) & (len(q.frames) - 1)
		q.n -= n
	}
	if q.n == 0 && len(q.frames) > maxRing {
		q.clear()
	}
	return n
}

// withdraw takes the newest group of pictures out of the queue if the whole group is still there and older pictures are in front of it. Sound
// stays in its order. It returns the number of frames and bytes that it took, and the time of their key frame. Until the next key frame is
// put, there is no newest group to withdraw.
func (q *ring) withdraw() (frames, bytes int, from media.Timestamp) {
	if q.older == 0 || q.group == 0 {
		return 0, 0, 0
	}
	mask := len(q.frames) - 1
	from = q.frames[q.newest].Time
	kept := (q.newest - q.first) & mask
	for i := kept; i < q.n; i++ {
		at := &q.frames[(q.first+i)&mask]
		f := *at
		*at = media.Frame{}
		if f.Kind() == media.Video {
			frames++
			bytes += len(f.Data)
			continue
		}
		q.frames[(q.first+kept)&mask] = f
		kept++
	}
	q.n, q.bytes = kept, q.bytes-bytes
	q.group, q.older = q.older, 0 // the pictures that are left end where the next key frame begins
	return frames, bytes, from
}

// cut takes out the frames for which keep returns false, and leaves the others in their order. i is the place in the queue. Of pictures,
// keep must refuse the oldest ones, and of the newest group none or all.
func (q *ring) cut(keep func(i int, f *media.Frame) bool) {
	mask := len(q.frames) - 1
	kept, newest, pictures := 0, (q.newest-q.first)&mask, 0
	for i := range q.n {
		at := &q.frames[(q.first+i)&mask]
		f := *at
		if !keep(i, at) {
			q.bytes -= len(f.Data)
			*at = media.Frame{}
			continue
		}
		*at = media.Frame{}
		q.frames[(q.first+kept)&mask] = f
		if q.older > 0 && i == newest {
			q.newest = (q.first + kept) & mask
		}
		if f.Kind() == media.Video {
			pictures++
		}
		kept++
	}
	q.n = kept
	if pictures <= q.group {
		q.older, q.group = 0, pictures
	} else {
		q.older = pictures - q.group
	}
}

// oldestOf returns the time of the first frame of a kind.
func (q *ring) oldestOf(kind media.Kind) (t media.Timestamp, ok bool) {
	for i := range q.n {
		if f := &q.frames[(q.first+i)&(len(q.frames)-1)]; f.Kind() == kind {
			return f.Time, true
		}
	}
	return 0, false
}

// newestKey returns the place in the queue of the newest key frame of pictures, and its time.
func (q *ring) newestKey() (i int, at media.Timestamp, ok bool) {
	for i := q.n - 1; i >= 0; i-- {
		if f := &q.frames[(q.first+i)&(len(q.frames)-1)]; f.Key && f.Kind() == media.Video {
			return i, f.Time, true
		}
	}
	return 0, 0, false
}

func (q *ring) clear() { *q = ring{} }

// discardVideo takes all pictures out of the queue.
func (q *ring) discardVideo() {
	old := *q
	q.clear()
	for i := range old.n {
		if f := old.frames[(old.first+i)&(len(old.frames)-1)]; f.Kind() != media.Video {
			q.put(f)
		}
	}
}

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
	bigger := make([]media.Frame, max(minRing, 2*len(q.frames)))
	for i := range q.n {
		bigger[i] = q.frames[(q.first+i)&(len(q.frames)-1)]
	}
	if len(q.frames) > 0 {
		q.newest = (q.newest - q.first) & (len(q.frames) - 1)
	}
	q.frames, q.first = bigger, 0
}
