package udp

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestWheel: timers fire once, not before their time, and at the first tick after it.
func TestWheel(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var w wheel
	w.init()
	var now time.Duration
	due := map[*Timer]time.Duration{}
	fired := 0
	for range 200 {
		var timer *Timer
		timer = NewTimer(func(at time.Duration) {
			want, set := due[timer]
			if !set || at != now || want > now {
				t.Fatalf("fired at %v of %v, set for %v (%v)", at, now, want, set)
			}
			delete(due, timer)
			if fired++; fired%2 == 0 { // half of them go on
				due[timer] = now + time.Duration(r.IntN(600))*time.Millisecond
				w.set(timer, due[timer])
			}
		})
		due[timer] = time.Duration(r.IntN(1000)) * time.Millisecond
		w.set(timer, due[timer])
	}
	for len(due) > 0 {
		now += time.Duration(r.IntN(20_000_000))
		if r.IntN(50) == 0 {
			now += time.Second // the goroutine did not get to run
		}
		w.advance(now)
		for timer, at := range due {
			if at < now-tick {
				t.Fatalf("at %v a timer waits that was set for %v", now, at)
			}
			if r.IntN(500) == 0 {
				w.remove(timer)
				delete(due, timer)
			}
		}
		if next, ok := w.next(); ok != (len(due) > 0) || ok && next <= now-tick {
			t.Fatalf("at %v the next tick is at %v (%v) with %d timers", now, next, ok, len(due))
		}
	}
	if fired < 200 {
		t.Errorf("only %d fired", fired)
	}
}

func TestWheelNext(t *testing.T) {
	var w wheel
	w.init()
	var order []int
	timer := func(n int) *Timer { return NewTimer(func(time.Duration) { order = append(order, n) }) }
	w.set(timer(1), 12*time.Millisecond)
	w.set(timer(0), 0)
	moved := timer(2)
	w.set(moved, 3*time.Millisecond)
	w.set(moved, 40*time.Millisecond)
	for _, want := range []time.Duration{5, 15, 40} {
		next, ok := w.next()
		if !ok || next != want*time.Millisecond {
			t.Fatalf("next is %v (%v), want %v ms", next, ok, int(want))
		}
		w.advance(next)
	}
	if want := []int{0, 1, 2}; !slices.Equal(order, want) {
		t.Errorf("fired %v, want %v", order, want)
	}
	if _, ok := w.next(); ok {
		t.Error("something is left")
	}
}
