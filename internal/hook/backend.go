package hook

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// mostUnderWay is how many requests one backend gets at a time. It is below the connections to all backends, so that a slow backend
	// leaves some to others.
	mostUnderWay = 64
	// mostWaiting is how many requests may wait for that. Past it there is no answer.
	mostWaiting = 1000
	// eventWait is how long an event waits for its turn: 5000 sessions that end together need a minute and a half if the backend takes 1 s.
	eventWait = 2 * time.Minute

	// After breakAfter requests in a row without an answer, requests have no answer at once for breakFor. Then one is sent.
	breakAfter = 10
	breakFor   = 2 * time.Second
)

// backend is the state of the backend of one app.
type backend struct {
	places  chan struct{} // has a value for each request under way
	waiting chan struct{} // has a value for each request that waits and that a client waits for

	mu       sync.Mutex
	failures int                         // guarded by mu; in a row
	closed   time.Time                   // guarded by mu; until then there is no answer
	probing  bool                        // guarded by mu; the one request after that is under way
	counts   map[countKey]int64          // guarded by mu
	times    [len(timeBuckets) + 1]int64 // guarded by mu; answers by how long they took
	timeSum  time.Duration               // guarded by mu
	ignored  int64                       // guarded by mu; refusals that were ignored
	lost     int64                       // guarded by mu; events that were not delivered
	warned   map[Method]bool             // guarded by mu; refusals of these methods were ignored and logged
	logged   time.Time                   // guarded by mu; when a missing answer was logged
}

type countKey struct {
	method Method
	result Result
}

// Result is how a request ended.
type Result string

const (
	Answered   Result = "answered"
	RefusedIt  Result = "refused"   // 3xx, 4xx
	Unanswered Result = "no_answer" // no connection, no answer in time, 5xx, or an answer that is no object
	Cancelled  Result = "cancelled" // the client no longer waits
)

// timeBuckets are the bounds of the histogram of answers.
var timeBuckets = [...]time.Duration{
	5 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second, 30 * time.Second,
}

func newBackend() *backend {
	return &backend{
		places: make(chan struct{}, mostUnderWay), waiting: make(chan struct{}, mostWaiting),
		counts: map[countKey]int64{}, warned: map[Method]bool{},
	}
}

// send sends a hook when it is its turn. What a client waits for has one timeout for waiting and answer. An event has one for the answer, and
// waits longer: each session has one at most, so that they need no other bound.
func (h *Hooks) send(ctx context.Context, q request) (Object, error) {
	b := h.backend(q.app.Key)
	wait := h.cfg.timeout()
	if q.patient {
		wait = eventWait
	}
	limited, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	if err := b.admit(time.Now()); err != nil {
		b.count(q.method, Unanswered)
		return nil, err
	}
	begun := time.Now()
	answer, err := h.takeTurn(limited, b, q)
	if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		err = errLate
	}
	b.settle(q.method, ctx.Err() != nil, err, time.Since(begun))
	return answer, err
}

// takeTurn waits for a place, then posts.
func (h *Hooks) takeTurn(ctx context.Context, b *backend, q request) (Object, error) {
	if !q.patient {
		select {
		case b.waiting <- struct{}{}:
		default:
			return nil, errBusy
		}
	}
	release, err := h.place(ctx, b)
	if !q.patient {
		<-b.waiting
	}
	if err != nil {
		return nil, err
	}
	defer release()
	if q.patient {
		limited, cancel := context.WithTimeout(ctx, h.cfg.timeout())
		defer cancel()
		ctx = limited
	}
	return h.post(ctx, q)
}

// place waits for a place of the backend, and for one of all connections.
func (h *Hooks) place(ctx context.Context, b *backend) (release func(), err error) {
	select {
	case b.places <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	select {
	case h.connections <- struct{}{}:
	case <-ctx.Done():
		<-b.places
		return nil, context.Cause(ctx)
	}
	return func() { <-h.connections; <-b.places }, nil
}

// admit returns an error if requests have no answer at present.
func (b *backend) admit(now time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.failures < breakAfter:
		return nil
	case now.Before(b.closed), b.probing:
		return errBreaker
	}
	b.probing = true
	return nil
}

// settle notes how a request ended.
func (b *backend) settle(m Method, cancelled bool, err error, took time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probing = false
	switch {
	case err == nil, isRefusal(err):
		b.failures = 0
		b.time(took)
		result := Answered
		if err != nil {
			result = RefusedIt
		}
		b.counts[countKey{m, result}]++
	case cancelled:
		b.counts[countKey{m, Cancelled}]++
	default:
		b.counts[countKey{m, Unanswered}]++
		if errors.Is(err, errBusy) { // the backend answers others
			return
		}
		if b.failures++; b.failures >= breakAfter {
			b.closed = time.Now().Add(breakFor)
		}
	}
}

// time counts how long an answer took. The caller holds mu.
func (b *backend) time(took time.Duration) {
	i := 0
	for i < len(timeBuckets) && took > timeBuckets[i] {
		i++
	}
	b.times[i]++
	b.timeSum += took
}

func (b *backend) count(m Method, r Result) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.counts[countKey{m, r}]++
}

func (b *backend) countLost(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lost += n
}

// ignore counts a refusal that is ignored, and says whether it is the first of the method.
func (b *backend) ignore(m Method) (first bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ignored++
	first = !b.warned[m]
	b.warned[m] = true
	return first
}

// mayLog says whether a missing answer is to be logged: one line a second.
func (b *backend) mayLog(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Sub(b.logged) < time.Second {
		return false
	}
	b.logged = now
	return true
}

// isDown says whether the last requests had no answer.
func (b *backend) isDown() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failures >= breakAfter
}
