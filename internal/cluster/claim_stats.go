package cluster

import (
	"errors"
	"sync/atomic"

	"transponder/internal/state"
	"transponder/internal/transponder"
)

// ClaimStats count what became of claims on pushes.
type ClaimStats struct {
	Created        int64 // new pushes
	Taken          int64 // pushes of a process that is gone, or that gave them up
	Refused        int64 // somebody who lives has the push, or nobody any more
	Isolated       int64 // the store could not be asked
	Failed         int64 // other errors
	EpochConflicts int64 // pushes that this process had to give up, because another one has claimed them later
}

// claimCounters are the counters behind ClaimStats.
type claimCounters struct {
	created, taken, refused, isolated, failed, epochConflicts atomic.Int64
}

// note counts a claim on a push that is new or not.
func (c *claimCounters) note(isNew bool, err error) {
	switch {
	case err == nil && isNew:
		c.created.Add(1)
	case err == nil:
		c.taken.Add(1)
	case errors.Is(err, transponder.ErrDuplicate), errors.Is(err, transponder.ErrNotFound), errors.Is(err, state.ErrNewer):
		c.refused.Add(1)
	case errors.Is(err, transponder.ErrIsolated):
		c.isolated.Add(1)
	default:
		c.failed.Add(1)
	}
}

// Stats returns the counts so far.
func (c *Claims) Stats() ClaimStats {
	n := &c.counters
	return ClaimStats{n.created.Load(), n.taken.Load(), n.refused.Load(), n.isolated.Load(), n.failed.Load(), n.epochConflicts.Load()}
}
