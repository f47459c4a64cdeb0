package transponder

import (
	"sync"

	"transponder/internal/flv"
	"transponder/internal/media"
)

// timeline is the clock of the frames that are sent. It is zero at the first frame of the push and goes on over all connections, including the time
// between them, so that a server that appends them to one recording never sees time go back. Only the first connection begins at zero;
// servers know that from the relays of nginx-rtmp.
type timeline struct {
	origin *origin    // shared by connections that exist at the same time; nil: not yet
	last   int64      // milliseconds; the time of the latest frame
	offset int64      // milliseconds; added to the times of the present connection
	placed *flv.Muxer // the muxer of the present connection
}

// place moves the tags that m made of f to their time on the timeline.
func (c *timeline) place(m *flv.Muxer, f media.Frame, tags []flv.Tag) {
	if len(tags) == 0 {
		return
	}
	if c.origin == nil {
		c.origin = new(origin)
	}
	at := f.Time.Sub(c.origin.of(f.Time)).Milliseconds()
	if c.placed == nil {
		c.last = -1
	}
	if c.placed != m { // f is the first frame of a connection, and its tags are at zero
		c.placed, c.offset = m, max(at, c.last+1)
	}
	c.last = max(c.last, at, c.offset)
	for i := range tags {
		tags[i].Time += uint32(c.offset)
	}
}

// origin is the time on the clock of the stream at which the time of the far end is zero: that of the first frame that is sent, in whole
// milliseconds. Timelines that share it give equal times to one frame. Any goroutine may use it.
type origin struct {
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
