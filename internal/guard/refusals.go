package guard

import (
	"log/slog"
	"maps"
	"sync"
	"time"
)

// Refused names what was turned away: by which door, and why.
type Refused struct{ Door, Why string }

// Refusals counts what the doors turn away, and logs it: a line a second at the most, which says how many lines were left out. A
// nil Refusals does nothing. All methods may be called from any goroutine.
type Refusals struct {
	log *slog.Logger

	mu      sync.Mutex
	counts  map[Refused]int64 // guarded by mu
	said    time.Time         // guarded by mu; the last line's time
	skipped int64             // guarded by mu; refusals since then
}

// NewRefusals makes a count of nothing.
func NewRefusals(log *slog.Logger) *Refusals {
	return &Refusals{log: log, counts: map[Refused]int64{}}
}

// Note counts a refusal; args are for the log.
func (c *Refusals) Note(door, why string, args ...any) {
	if c == nil {
		return
	}
	now := time.Now()
	c.mu.Lock()
	c.counts[Refused{door, why}]++
	if now.Sub(c.said) < time.Second {
		c.skipped++
		c.mu.Unlock()
		return
	}
	skipped := c.skipped
	c.said, c.skipped = now, 0
	c.mu.Unlock()
	c.log.Warn("turned away", append([]any{"door", door, "why", why, "more", skipped}, args...)...)
}

// Counts returns how many were turned away so far.
func (c *Refusals) Counts() map[Refused]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.counts)
}
