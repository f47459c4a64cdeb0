package transponder

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// limiter lets pushes connect one after another, so that a server that comes back does not connect to all destinations, and ask all publishers
// for key frames, at the same moment. Any goroutine may use it.
type limiter struct {
	every time.Duration // between two pushes; 0: no limit

	mu   sync.Mutex
	next time.Time // guarded by mu; when the next push may go on
}

func newLimiter(perSecond int) *limiter {
	if perSecond <= 0 {
		return &limiter{}
	}
	return &limiter{every: time.Second / time.Duration(perSecond)}
}

// wait waits for the turn of the caller. The pauses vary at random, and are right on average.
func (l *limiter) wait(ctx context.Context) error {
	l.mu.Lock()
	now := time.Now()
	at := l.next
	if at.Before(now) {
		at = now
	}
	l.next = at.Add(l.every)
	l.mu.Unlock()
	pause := at.Sub(now)
	if pause == 0 {
		return nil
	}
	pause += time.Duration(rand.Float64() * float64(l.every))
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
