package transponder

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// storm lets many pushes ask for their turn at the same moment. It returns how long after that each of them went on, in order.
func storm(t *testing.T, pushes int, turn func(begun time.Time) error) []time.Duration {
	begun := time.Now()
	var mu sync.Mutex
	var turns []time.Duration
	var wg sync.WaitGroup
	for range pushes {
		wg.Go(func() {
			if err := turn(begun); err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			turns = append(turns, time.Since(begun))
		})
	}
	wg.Wait()
	slices.Sort(turns)
	return turns
}

// Pushes that come back at the same moment go on one after another. The pauses vary, so that they do not come in step, and are right on average.
func TestLimiterPacesAStorm(t *testing.T) {
	const pushes, perSecond = 500, 50
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(perSecond)
		turns := storm(t, pushes, func(time.Time) error { return l.wait(t.Context()) })
		if last, want := turns[pushes-1], pushes*time.Second/perSecond; last > want || last < want-time.Second/perSecond {
			t.Errorf("the last of %d goes on after %v, want %v", pushes, last, want)
		}
		equal := 0
		for i, at := range turns {
			if i >= perSecond && at-turns[i-perSecond] < time.Second-time.Second/perSecond {
				t.Errorf("%d go on within %v, from %v on", perSecond+1, at-turns[i-perSecond], turns[i-perSecond])
			}
			if i > 0 && at-turns[i-1] == time.Second/perSecond {
				equal++
			}
		}
		if equal > pushes/10 {
			t.Errorf("%d of %d pauses are the same", equal, pushes)
		}

		begun := time.Now() // an hour without a storm gives nobody the right to a burst
		time.Sleep(time.Hour)
		for range 2 {
			if err := l.wait(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if d := time.Since(begun) - time.Hour; d < time.Second/perSecond {
			t.Errorf("two go on within %v", d)
		}
	})
}

// A push that ends while it waits for its turn ends at once. Without a limit nobody waits.
func TestLimiterGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(1)
		ctx, cancel := context.WithCancelCause(t.Context())
		if err := l.wait(ctx); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(100*time.Millisecond, func() { cancel(ErrStopping) })
		begun := time.Now()
		if err := l.wait(ctx); !errors.Is(err, ErrStopping) || time.Since(begun) != 100*time.Millisecond {
			t.Errorf("a push that ends meanwhile: %v after %v", err, time.Since(begun))
		}
		begun = time.Now()
		none := newLimiter(0)
		for range 100 {
			if err := none.wait(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if d := time.Since(begun); d != 0 {
			t.Errorf("without a limit 100 take %v", d)
		}
	})
}

// However late pushes get their turn, no second has more of them than the limit says.
func TestLimiterHoldsBackTheLate(t *testing.T) {
	const pushes, perSecond = 500, 50
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(perSecond)
		turns := storm(t, pushes, func(begun time.Time) error {
			if err := l.wait(t.Context()); err != nil {
				return err
			}
			late := time.Since(begun).Truncate(700 * time.Millisecond) // the machine has no time for this process for 0.7 s, again and again
			time.Sleep(time.Until(begun.Add(late + 700*time.Millisecond)))
			return l.pass(t.Context())
		})
		for i := perSecond; i < pushes; i++ {
			if d := turns[i] - turns[i-perSecond]; d < time.Second {
				t.Fatalf("%d go on within %v, from %v on", perSecond+1, d, turns[i-perSecond])
			}
		}
		if took := turns[pushes-1]; took > 12*time.Second {
			t.Errorf("all go on after %v, want 12 s at most", took)
		}

		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(100*time.Millisecond, func() { cancel(ErrStopping) })
		one := newLimiter(1)
		if err := one.pass(ctx); err != nil {
			t.Error(err)
		}
		if err := one.pass(ctx); !errors.Is(err, ErrStopping) {
			t.Errorf("a push that ends meanwhile: %v", err)
		}
		none := newLimiter(0)
		if err := none.pass(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
