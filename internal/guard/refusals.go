package guard

import (
	"log/slog"
	"maps"
	"sync"
	"time"
)

// Refused is a kind of refusal: which door refused, and for which reason.
type Refused struct{ Door, Why string }

// Refusals counts and logs what the doors refuse. The log gets at most one line per second, which says how many refusals had no line. A nil
// Refusals does nothing. All methods may be called from any goroutine.
type Refusals struct {
	log *slog.Logger

	mu      sync.Mutex
	counts  map[Refused]int64 // guarded by mu
	said    time.Time         // guarded by mu; when the last line was logged
	skipped int64             // guarded by mu; refusals since said
}

// NewRefusals returns Refusals that has counted nothing yet.
func NewRefusals(log *slog.Logger) *Refusals {
	return &Refusals{log: log, counts: map[Refused]int64{}}
}

// Note counts a refusal. args are attributes for the log.
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

// Counts returns how many refusals of each kind there were.
func (c *Refusals) Counts() map[Refused]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.counts)
}
