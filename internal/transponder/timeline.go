package transponder

import (
	"transponder/internal/flv"
	"transponder/internal/media"
)

// timeline is the clock of the far end: zero with the push's first frame, and going on over all its connections, so that who
// appends them to one recording never sees time go back. (nginx-rtmp's relays begin connections at any time, so receivers
// are used to one that is not zero.) The time between two connections is in it.
type timeline struct {
	begun  bool
	zero   media.Timestamp // of the stream's clock
	last   int64           // milliseconds; of the latest frame
	offset int64           // milliseconds; of the present connection's zero
	placed *flv.Muxer      // the offset is this one's
}

// place moves the tags that m made of f.
func (c *timeline) place(m *flv.Muxer, f media.Frame, tags []flv.Tag) {
	if len(tags) == 0 {
		return
	}
	if !c.begun {
		c.begun, c.zero, c.last = true, f.Time, -1
	}
	at := f.Time.Sub(c.zero).Milliseconds()
	if c.placed != m { // f is its first, whose tags are at zero
		c.placed, c.offset = m, max(at, c.last+1)
	}
	c.last = max(c.last, at, c.offset)
	for i := range tags {
		tags[i].Time += uint32(c.offset)
	}
}
