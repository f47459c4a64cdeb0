package transponder

import (
	"sync"
	"sync/atomic"

	"transponder/internal/flv"
	"transponder/internal/media"
	"transponder/internal/stream"
)

// timeline is the clock of the frames that are sent. It is zero at the first frame of the push and goes on over all connections, including the time
// between them, and over restarts of the server, so that a server that appends them to one recording never sees time go back. Only the first
// connection begins at zero; servers know that from the relays of nginx-rtmp.
type timeline struct {
	origin *origin    // shared by connections that exist at the same time
	last   int64      // milliseconds; the time of the latest frame, -1 before
	offset int64      // milliseconds; added to the times of the present connection
	placed *flv.Muxer // the muxer of the present connection

	far atomic.Int64 // last, for any goroutine
}

// resume goes on after a time that the far end has seen. zero is on the clock of the frames that are sent now.
func (c *timeline) resume(zero media.Timestamp, far int64) {
	c.origin.set(zero)
	c.last = far
	c.far.Store(far)
}

// place moves the tags that m made of f to their time on the timeline.
func (c *timeline) place(m *flv.Muxer, f media.Frame, tags []flv.Tag) {
	if len(tags) == 0 {
		return
	}
	at := f.Time.Sub(c.origin.of(f.Time)).Milliseconds()
	if c.placed != m { // f is the first frame of a connection, and its tags are at zero
		c.placed, c.offset = m, max(at, c.last+1)
	}
	c.last = max(c.last, at, c.offset)
	c.far.Store(c.last)
	for i := range tags {
		tags[i].Time += uint32(c.offset)
	}
}

// origin is the time on the clock of the stream at which the time of the far end is zero: that of the first frame that is sent, in whole
// milliseconds. Timelines that share it give equal times to one frame. Any goroutine may use it.
type origin struct {
	clock *stream.Source // whose clock that is; nil: the first source of the push. It does not change

	mu    sync.Mutex
	begun bool            // guarded by mu
	zero  media.Timestamp // guarded by mu
}

// of returns the origin. If there is none yet, it is the time of first.
func (o *origin) of(first media.Timestamp) media.Timestamp {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.begun {
		o.begun, o.zero = true, first.WholeMS()
	}
	return o.zero
}

// set makes zero the origin.
func (o *origin) set(zero media.Timestamp) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.begun, o.zero = true, zero.WholeMS()
}

// get returns the origin, if there is one.
func (o *origin) get() (zero media.Timestamp, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.zero, o.begun
}
