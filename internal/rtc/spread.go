package rtc

import (
	"context"
	"time"
)

const (
	// BurstSize is how many packets of a frame are sent at once: 35 kB, which any queue on the path takes. Home routers drop
	// packets of a large frame that come all at once.
	BurstSize = 30
	// burstPause is the pause between two bursts, and maxSpread limits the sum of a frame's pauses.
	burstPause = 2 * time.Millisecond
	maxSpread  = 15 * time.Millisecond
)

// Spread makes the pauses between the bursts of large frames. The zero value is ready for use, by one goroutine.
type Spread struct{ timer *time.Timer } // one timer is used again and again

// Pause waits after a burst of a frame with so many packets, or until ctx ends; then it returns the cause.
func (s *Spread) Pause(ctx context.Context, packets int) error {
	d := min(burstPause, maxSpread*BurstSize/time.Duration(max(packets, 1)))
	if s.timer == nil {
		s.timer = time.NewTimer(d)
	} else {
		s.timer.Reset(d)
	}
	select {
	case <-s.timer.C:
		return nil
	case <-ctx.Done():
		s.timer.Stop()
		return context.Cause(ctx)
	}
}
