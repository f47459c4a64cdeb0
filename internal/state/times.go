package state

import (
	"sync/atomic"
	"time"
)

// TimeBounds are the upper bounds of the classes of Times. The last class has no bound.
var TimeBounds = [...]time.Duration{
	time.Millisecond, 3 * time.Millisecond, 10 * time.Millisecond, 30 * time.Millisecond, 100 * time.Millisecond, 300 * time.Millisecond, time.Second, 3 * time.Second,
}

// Times are durations, counted by class.
type Times struct {
	Counts [len(TimeBounds) + 1]int64
	Sum    time.Duration
}

// times counts durations. Any goroutine may use it.
type times struct {
	counts [len(TimeBounds) + 1]atomic.Int64
	sum    atomic.Int64
}

func (t *times) add(d time.Duration) {
	class := 0
	for class < len(TimeBounds) && d > TimeBounds[class] {
		class++
	}
	t.counts[class].Add(1)
	t.sum.Add(int64(d))
}

func (t *times) stats() (all Times) {
	for i := range t.counts {
		all.Counts[i] = t.counts[i].Load()
	}
	all.Sum = time.Duration(t.sum.Load())
	return all
}
