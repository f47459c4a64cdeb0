package udp

import (
	"math/bits"
	"time"
)

const (
	// tick is the resolution of timers. The shortest time that is needed is the 5 ms after which a lost packet is asked for.
	tick = 5 * time.Millisecond
	// spokes is how many ticks the wheel holds, one bit each. A timer that is set for later is looked at, and set again,
	// before its time.
	spokes = 64
)

// Timer calls a function at a time, in the goroutine of the socket that it is set on. The zero value is not usable.
type Timer struct {
	fire func(now time.Duration)
	at   time.Duration

	prev, next *Timer // in the ring of a spoke; nil while the timer is not set
	spoke      int
}

// NewTimer makes a timer that calls fire. It is not set yet.
func NewTimer(fire func(now time.Duration)) *Timer { return &Timer{fire: fire} }

// wheel holds timers by the tick in which they are due. It must be initialized with init.
type wheel struct {
	rings [spokes]Timer // the heads of the rings
	full  uint64        // one bit for each ring that is not empty
	done  int64         // the number of ticks that have passed
}

func (w *wheel) init() {
	for i := range w.rings {
		w.rings[i].prev, w.rings[i].next = &w.rings[i], &w.rings[i]
	}
}

// set sets a timer, to the next tick at the earliest.
func (w *wheel) set(t *Timer, at time.Duration) {
	w.remove(t)
	t.at = at
	due := int64((at + tick - 1) / tick)
	due = min(max(due, w.done+1), w.done+spokes-1)
	t.spoke = int(due % spokes)
	head := &w.rings[t.spoke]
	t.prev, t.next = head.prev, head
	head.prev.next, head.prev = t, t
	w.full |= 1 << t.spoke
}

func (w *wheel) remove(t *Timer) {
	if t.next == nil {
		return
	}
	t.prev.next, t.next.prev = t.next, t.prev
	t.prev, t.next = nil, nil
	if head := &w.rings[t.spoke]; head.next == head {
		w.full &^= 1 << t.spoke
	}
}

// next returns when advance is to be called next; not ok if no timer is set.
func (w *wheel) next() (at time.Duration, ok bool) {
	if w.full == 0 {
		return 0, false
	}
	first := int((w.done + 1) % spokes)
	ahead := bits.TrailingZeros64(bits.RotateLeft64(w.full, -first))
	return time.Duration(w.done+1+int64(ahead)) * tick, true
}

// advance fires the timers that are due.
func (w *wheel) advance(now time.Duration) {
	last := int64(now / tick)
	if last-w.done > spokes {
		w.done = last - spokes // each ring is looked at once
	}
	for w.done < last && w.full != 0 {
		w.done++
		head := &w.rings[w.done%spokes]
		for t := head.next; t != head; t = head.next {
			w.remove(t)
			if t.at > now {
				w.set(t, t.at)
				continue
			}
			t.fire(now)
		}
	}
	w.done = max(w.done, last)
}
