package cluster

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"transponder/internal/testkit"
	"transponder/internal/testkit/natskit"
	"transponder/internal/transponder"
)

// scroll is a Journal that a test writes.
type scroll struct {
	mu     sync.Mutex
	run    string
	loaded uint64
	events []transponder.Event // guarded by mu
	added  chan struct{}       // guarded by mu
}

func newScroll(run string) *scroll { return &scroll{run: run, added: make(chan struct{})} }

func (s *scroll) Run() string    { return s.run }
func (s *scroll) Kept() bool     { return true }
func (s *scroll) Loaded() uint64 { return s.loaded }

func (s *scroll) Last() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.events) == 0 {
		return 0
	}
	return s.events[len(s.events)-1].Number
}

// add adds the event with a number.
func (s *scroll) add(number uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, transponder.Event{
		Run: s.run, Number: number, Sequence: number, ID: fmt.Sprintf("push-%d", number), At: time.Now(), From: transponder.Starting, To: transponder.Live,
	})
	close(s.added)
	s.added = make(chan struct{})
}

// restart returns the journal of the next process, which has lost the oldest events.
func (s *scroll) restart(lost int) *scroll {
	next := newScroll(s.run)
	next.loaded = s.Last()
	next.events = append(next.events, s.events[lost:]...)
	return next
}

func (s *scroll) Since(ctx context.Context, after uint64, dst []transponder.Event) (n int, missed uint64, err error) {
	for {
		s.mu.Lock()
		added := s.added
		if len(s.events) > 0 && after+1 < s.events[0].Number {
			missed = s.events[0].Number - 1 - after
		}
		for _, e := range s.events {
			if e.Number > after && n < len(dst) {
				dst[n] = e
				n++
			}
		}
		s.mu.Unlock()
		if n > 0 {
			return n, missed, nil
		}
		select {
		case <-added:
		case <-ctx.Done():
			return 0, 0, context.Cause(ctx)
		}
	}
}

// follow follows the events as a node with a journal, until stop is called or the test ends.
func follow(t *testing.T, c *Cluster, journal Journal) (e *Events, stop func()) {
	t.Helper()
	e = NewEvents(EventsParts{JetStream: c.JetStream(), Name: "tp", Node: c.Self().Node, Replicas: c.Replicas, Journal: journal, Log: quiet()})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() { defer close(done); _ = e.Follow(ctx) }()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return e, stop
}

// has waits until events with these sequences, and no others, are known, in this order.
func (e *Events) has(want ...uint64) func() string {
	return func() string {
		var got []uint64
		e.mu.Lock()
		for _, r := range e.ring {
			got = append(got, r.Sequence)
		}
		e.mu.Unlock()
		if fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Sprintf("the events %v are known, want %v", got, want)
		}
		return ""
	}
}

// A server that ends while NATS is away sends what NATS does not have when it is started again: each event once, and it counts those that
// its journal has forgotten.
func TestEventsOutliveTheirServer(t *testing.T) {
	t.Parallel()
	nats := natskit.Start(t)
	a, b := newNode(t, nats.URL(), "a"), newNode(t, nats.URL(), "b")
	journal := newScroll("run-a")
	sender, stop := follow(t, a, journal)
	reader, _ := follow(t, b, newScroll("run-b"))
	for n := range uint64(3) {
		journal.add(n + 1)
	}
	testkit.Eventually(t, time.Minute, reader.has(1, 2, 3))
	reader.mu.Lock()
	if got, want := reader.ring[2].origin, (Origin{"a", "run-a", 3}); got != want {
		t.Errorf("the origin of an event is %v, want %v", got, want)
	}
	reader.mu.Unlock()

	nats.Kill(t)
	testkit.Eventually(t, time.Minute, func() string {
		if a.Conn().IsConnected() {
			return "the link is still there"
		}
		return ""
	})
	for n := range uint64(5) {
		journal.add(n + 4)
	}
	testkit.Eventually(t, time.Minute, func() string {
		if st := sender.Stats(); st.Failures == 0 || st.Waiting != 5 || st.Lag == 0 {
			return fmt.Sprintf("while NATS is away: %+v, want 5 that wait", st)
		}
		return ""
	})
	stop()

	nats.Start(t)
	next := journal.restart(5) // 4 and 5 are forgotten
	again, _ := follow(t, a, next)
	next.add(9)
	testkit.Eventually(t, time.Minute, reader.has(1, 2, 3, 6, 7, 8, 9))
	testkit.Eventually(t, time.Minute, func() string {
		if st := again.Stats(); st.Written != 4 || st.Lost != 2 || st.Waiting != 0 || st.Lag != 0 {
			return fmt.Sprintf("after the restart: %+v, want 4 written and 2 lost", st)
		}
		return ""
	})
}
