package line

import (
	"container/heap"
	"time"
)

// timer is a time at which something is due. It is part of the thing that waits.
type timer struct {
	at    time.Time
	index int // in the heap, counted from 1; 0: not in it
	fire  func(now time.Time)
}

// schedule holds timers, the next one first.
type schedule struct{ timers timerHeap }

// set moves a timer to another time. The zero time stops it.
func (s *schedule) set(t *timer, at time.Time) {
	switch {
	case at.IsZero() && t.index == 0:
	case at.IsZero():
		heap.Remove(&s.timers, t.index-1)
	case t.index == 0:
		t.at = at
		heap.Push(&s.timers, t)
	default:
		t.at = at
		heap.Fix(&s.timers, t.index-1)
	}
}

// next returns the time of the next timer, the zero time if there is none.
func (s *schedule) next() time.Time {
	if len(s.timers) == 0 {
		return time.Time{}
	}
	return s.timers[0].at
}

// run fires the timers that are due.
func (s *schedule) run(now time.Time) {
	for len(s.timers) > 0 && !s.timers[0].at.After(now) {
		t := s.timers[0]
		heap.Remove(&s.timers, 0)
		t.fire(now)
	}
}

type timerHeap []*timer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }

func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i+1, j+1
}

func (h *timerHeap) Push(x any) {
	t := x.(*timer)
	*h = append(*h, t)
	t.index = len(*h)
}

func (h *timerHeap) Pop() any {
	last := len(*h) - 1
	t := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	t.index = 0
	return t
}
