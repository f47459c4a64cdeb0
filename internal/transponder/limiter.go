package transponder

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// limiter lets pushes connect one after another, so that a server that comes back does not connect to all destinations, and ask all publishers
// for key frames, at the same moment. A push calls wait, and pass right before it connects. Any goroutine may use it.
type limiter struct {
	every time.Duration // between two pushes; 0: no limit

	mu     sync.Mutex
	next   time.Time   // guarded by mu; when the next push may go on
	passed []time.Time // guarded by mu; when the last pushes passed, as many as may in a second; a ring
	oldest int         // guarded by mu; index in passed
}

func newLimiter(perSecond int) *limiter {
	if perSecond <= 0 {
		return &limiter{}
	}
	return &limiter{every: time.Second / time.Duration(perSecond), passed: make([]time.Time, perSecond)}
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
	return pauseFor(ctx, pause+time.Duration(rand.Float64()*float64(l.every)))
}

// pass waits until less than the allowed number of pushes have passed within the last second. On a busy machine many get their turn late, and
// together.
func (l *limiter) pass(ctx context.Context) error {
	for {
		pause := l.try(time.Now())
		if pause <= 0 {
			return nil
		}
		if err := pauseFor(ctx, pause); err != nil {
			return err
		}
	}
}

// try lets the caller pass now, or returns when to try again.
func (l *limiter) try(now time.Time) (again time.Duration) {
	if l.every == 0 {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if again = time.Second - now.Sub(l.passed[l.oldest]); again > 0 {
		return again
	}
	l.passed[l.oldest] = now
	l.oldest = (l.oldest + 1) % len(l.passed)
	return 0
}

func pauseFor(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
