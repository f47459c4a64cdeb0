package transponder

import (
	"transponder/internal/flv"
	"transponder/internal/media"
)

// timeline is the clock of the frames that are sent. It is zero at the first frame of the push and goes on over all connections, including the time
// between them, so that a server that appends them to one recording never sees time go back. Only the first connection begins at zero;
// servers know that from the relays of nginx-rtmp.
type timeline struct {
	begun  bool
	zero   media.Timestamp // on the clock of the stream
	last   int64           // milliseconds; the time of the latest frame
	offset int64           // milliseconds; added to the times of the present connection
	placed *flv.Muxer      // the muxer of the present connection
}

// place moves the tags that m made of f to their time on the timeline.
func (c *timeline) place(m *flv.Muxer, f media.Frame, tags []flv.Tag) {
	if len(tags) == 0 {
		return
	}
	if !c.begun {
		c.begun, c.zero, c.last = true, f.Time, -1
	}
	at := f.Time.Sub(c.zero).Milliseconds()
	if c.placed != m { // f is the first frame of a connection, and its tags are at zero
		c.placed, c.offset = m, max(at, c.last+1)
	}
	c.last = max(c.last, at, c.offset)
	for i := range tags {
		tags[i].Time += uint32(c.offset)
	}
}
