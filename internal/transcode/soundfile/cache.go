package soundfile

import (
	"fmt"
	"time"

	"transponder/internal/media"
)

// encodingKey identifies an encoding. A file that was changed on disk has another key than before.
type encodingKey struct {
	name     string
	modified time.Time
	size     int64
	loop     bool
	format   media.AudioFormat
}

// cache holds encodings and bounds their size. It drops the encoding that was played longest ago. Library.mu guards it.
type cache struct {
	maxBytes int64
	kept     map[encodingKey]*encoding
	uses     int64 // counts calls of touch
}

func newCache(maxBytes int64) cache {
	return cache{maxBytes: maxBytes, kept: map[encodingKey]*encoding{}}
}

// touch records that a player has just left an encoding.
func (c *cache) touch(e *encoding) {
	c.uses++
	e.lastUse = c.uses
}

// size returns the number of encodings and the bytes that are reserved for them.
func (c *cache) size() (files int, bytes int64) {
	for _, e := range c.kept {
		bytes += e.bytes
	}
	return len(c.kept), bytes
}

// reserve makes room for the packets of an encoding. It returns the encodings that were dropped for that; the caller closes them.
func (c *cache) reserve(e *encoding, bytes int64) (dropped []*encoding, err error) {
	_, sum := c.size()
	for sum += bytes; sum > c.maxBytes; {
		oldest := c.oldest()
		if oldest == nil {
			return dropped, fmt.Errorf("%w: it is too long for what is kept of encoded sound", ErrUnplayable)
		}
		sum -= oldest.bytes
		delete(c.kept, oldest.key)
		dropped = append(dropped, oldest)
	}
	e.bytes = bytes
	return dropped, nil
}

// oldest returns the encoding without players that was played longest ago, nil if all have players.
func (c *cache) oldest() (oldest *encoding) {
	for _, e := range c.kept {
		if !e.working && (oldest == nil || e.lastUse < oldest.lastUse) {
			oldest = e
		}
	}
	return oldest
}

// removeAll empties the cache and returns what was in it.
func (c *cache) removeAll() (removed []*encoding) {
	for _, e := range c.kept {
		removed = append(removed, e)
	}
	clear(c.kept)
	return removed
}
