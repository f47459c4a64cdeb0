package cluster

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"transponder/internal/state"
	"transponder/internal/transponder"
)

func TestOutcomeOf(t *testing.T) {
	for _, c := range []struct {
		name    string
		refused bool
		err     error
		want    Outcome
	}{
		{"an answer", false, nil, OutcomeAnswered},
		{"an error of the other server", true, nil, OutcomeRefused},
		{"nobody there", false, nats.ErrNoResponders, OutcomeGone},
		{"no answer", false, fmt.Errorf("request: %w", context.DeadlineExceeded), OutcomeTimeout},
		{"no answer, says NATS", false, nats.ErrTimeout, OutcomeTimeout},
		{"no link", false, nats.ErrConnectionClosed, OutcomeFailed},
	} {
		if got := outcomeOf(c.refused, c.err); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestTally(t *testing.T) {
	var y tally
	y.note("has", OutcomeAnswered, time.Millisecond)
	y.note("has", OutcomeAnswered, 2*time.Millisecond)
	y.note("http", OutcomeTimeout, 4*time.Second)
	s := y.read()
	if s.Total != 4003*time.Millisecond || s.Buckets != [...]int64{1, 1, 0, 0, 0, 0, 0, 0, 1} || s.ByKind[RequestKind{"has", OutcomeAnswered}] != 2 {
		t.Errorf("stats = %+v", s)
	}
	y.note("has", OutcomeAnswered, time.Millisecond)
	if s.ByKind[RequestKind{"has", OutcomeAnswered}] != 2 {
		t.Error("the stats change after they were read")
	}
}

func TestClaimCounters(t *testing.T) {
	var c Claims
	for _, err := range []error{nil, transponder.ErrDuplicate, fmt.Errorf("x: %w", state.ErrNewer), transponder.ErrIsolated, errors.New("another")} {
		c.counters.note(true, err)
	}
	c.counters.note(false, nil)
	if got, want := c.Stats(), (ClaimStats{Created: 1, Taken: 1, Refused: 2, Isolated: 1, Failed: 1}); got != want {
		t.Errorf("stats = %+v, want %+v", got, want)
	}
}
