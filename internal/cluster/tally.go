package cluster

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// Outcome is how a request to another server ended.
type Outcome string

// How requests end.
const (
	OutcomeAnswered Outcome = "answered"
	OutcomeRefused  Outcome = "refused" // the other server has answered with an error
	OutcomeGone     Outcome = "gone"    // nobody answers for the other server
	OutcomeTimeout  Outcome = "timeout" // no answer in time
	OutcomeFailed   Outcome = "failed"  // NATS is away
)

// RequestKind is what requests are counted by.
type RequestKind struct {
	Verb    string
	Outcome Outcome
}

// LatencyBounds are the upper bounds of RequestStats.Buckets, whose last one has none: a look into memory takes a millisecond, and nothing more than 4 s.
var LatencyBounds = [...]time.Duration{
	time.Millisecond, 3 * time.Millisecond, 10 * time.Millisecond, 30 * time.Millisecond, 100 * time.Millisecond, 300 * time.Millisecond, time.Second, 2 * time.Second,
}

// RequestStats count requests to other servers.
type RequestStats struct {
	ByKind  map[RequestKind]int64
	Buckets [len(LatencyBounds) + 1]int64 // requests that took at most as long as the bound, and longer than the bound before
	Total   time.Duration                 // of all requests
}

// tally counts the requests of a process.
type tally struct {
	mu    sync.Mutex
	stats RequestStats // guarded by mu
}

func (t *tally) note(verb string, outcome Outcome, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stats.ByKind == nil {
		t.stats.ByKind = map[RequestKind]int64{}
	}
	t.stats.ByKind[RequestKind{verb, outcome}]++ // verbs are constants, so the map has a bound
	t.stats.Total += took
	i := 0
	for i < len(LatencyBounds) && took > LatencyBounds[i] {
		i++
	}
	t.stats.Buckets[i]++
}

func (t *tally) read() RequestStats {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.stats
	s.ByKind = maps.Clone(s.ByKind)
	return s
}

// outcomeOf says what the result of a request over NATS means.
func outcomeOf(refused bool, err error) Outcome {
	switch {
	case refused:
		return OutcomeRefused
	case err == nil:
		return OutcomeAnswered
	case errors.Is(err, nats.ErrNoResponders):
		return OutcomeGone
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return OutcomeTimeout
	}
	return OutcomeFailed
}
