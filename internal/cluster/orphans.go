package cluster

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"transponder/internal/state"
	"transponder/internal/transponder"
)

// Ender knows pushes by their records. *transponder.Registry is one.
type Ender interface {
	Show(r transponder.Record, lives bool, f transponder.Filter) (transponder.Info, bool)
	EndWaiting(ctx context.Context, r transponder.Record, expired bool) error
	ResumesFor(r transponder.Record) (d time.Duration, ok bool)
}

// Company tells who lives. *Cluster does.
type Company interface {
	Self() Owner
	Nodes() []Node // those that live, always in one order
	Known() bool   // Nodes is what the cluster holds now
	Changed() <-chan struct{}
}

// OrphanParts are what Orphans work with.
type OrphanParts struct {
	Cluster Company
	Claims  *Claims
	Pushes  Ender
	Log     *slog.Logger
}

// Orphans are the pushes that no living process runs: their servers died, or gave them up, and no publisher came for them to another server.
// Every server shows them and can end them. If nobody comes for a push in time, one of the servers ends it.
//
// A server that is only cut off from NATS looks as if it had died. It goes on with what its publishers feed, so nobody may take its pushes
// without a publisher. That is why orphans stay where they are until they end.
type Orphans struct {
	parts OrphanParts

	seen  map[string]sighting  // owned by Run; by the id of the push
	names map[string]time.Time // owned by Run; names whose process is gone, by their keys, and since when that is known
}

// sighting is an orphan as it was seen first.
type sighting struct {
	owner Owner
	epoch uint64
	since time.Time
	waits time.Duration
}

const (
	// orphanTick is how often it is looked whether the time of an orphan is over.
	orphanTick = 5 * time.Second
	// orphanLook is the time between two readings of all records while the members do not change.
	orphanLook = 5 * time.Minute
	// orphanLeast is how long an orphan waits at least, whatever its options say: for a publisher, and for a server that was cut off for a moment.
	orphanLeast = time.Minute
	// orphanWorkers is how many orphans are ended at once.
	orphanWorkers = 16
	// orphanTimeout is how long ending one may take.
	orphanTimeout = 30 * time.Second
)

// NewOrphans makes Orphans. The caller calls Run once.
func NewOrphans(parts OrphanParts) *Orphans {
	return &Orphans{parts: parts, seen: map[string]sighting{}}
}

// Find returns the pushes that a filter picks and that no living process runs, and those of nodes that live but do not answer, whose names the
// caller gives. A filter with the id of a push or the name of a stream costs one request; any other reads all records. A push is found by the
// name of its stream, not by the one that it has at its destination.
func (o *Orphans) Find(ctx context.Context, f transponder.Filter, missing []string) ([]transponder.Info, error) {
	wanted := func(h head) bool {
		return !o.parts.Claims.owned(h.Owner, h.ID) || slices.Contains(missing, h.Node)
	}
	var records []transponder.Record
	var err error
	if f.ID != "" {
		var r transponder.Record
		if r, err = o.parts.Claims.Find(ctx, f.ID); err == nil {
			records = []transponder.Record{r}
		}
	} else {
		records, err = o.parts.Claims.pick(ctx, f.StreamName, wanted)
	}
	if err != nil && !errors.Is(err, transponder.ErrNotFound) {
		return nil, err
	}
	var found []transponder.Info
	for _, r := range records {
		lives := o.parts.Claims.owned(Owner{r.Node, r.Incarnation}, r.ID)
		if lives && !slices.Contains(missing, r.Node) {
			continue
		}
		if i, ok := o.parts.Pushes.Show(r, lives, f); ok {
			found = append(found, i)
		}
	}
	return found, nil
}

// Terminate ends a push that no living process runs. It fails with transponder.ErrNotFound, with transponder.ErrDuplicate if a living process
// runs the push, and with transponder.ErrIsolated. It may wait until the process that had the push has surely noticed. A process that is cut off
// ends the push when it can reach the others again.
func (o *Orphans) Terminate(ctx context.Context, id string) error {
	r, err := o.parts.Claims.Find(ctx, id)
	if err != nil {
		return err
	}
	if o.parts.Claims.owned(Owner{r.Node, r.Incarnation}, r.ID) {
		return transponder.ErrDuplicate
	}
	return o.parts.Pushes.EndWaiting(ctx, r, false)
}

// Run ends pushes for which nobody came back, until ctx ends. The first of the living servers does that for all. A server that has just become
// the first knows of no orphan how long it has waited, so it begins anew.
func (o *Orphans) Run(ctx context.Context) error {
	tick := time.NewTicker(orphanTick)
	defer tick.Stop()
	var next time.Time // of the next reading of all records
	for {
		changed := o.parts.Cluster.Changed()
		switch now := time.Now(); {
		case !o.first():
			clear(o.seen)
			o.names, next = nil, time.Time{}
		case !now.Before(next):
			next = now.Add(orphanLook)
			if err := errors.Join(o.look(ctx, now), o.forgetNames(ctx, now)); err != nil {
				next = time.Time{}
				if ctx.Err() == nil && !errors.Is(err, transponder.ErrIsolated) {
					o.parts.Log.Warn("the records of servers that are gone cannot be read", "err", err)
				}
			}
			fallthrough
		default:
			o.sweep(ctx, now)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
			next = time.Time{}
		case <-tick.C:
		}
	}
}

// first reports whether this process is the first of those that live.
func (o *Orphans) first() bool {
	c := o.parts.Cluster
	nodes := c.Nodes()
	return c.Known() && len(nodes) > 0 && nodes[0].Owner == c.Self()
}

// look reads all records, and notes which have no living process.
func (o *Orphans) look(ctx context.Context, now time.Time) error {
	records, err := o.parts.Claims.Waiting(ctx, "")
	if err != nil {
		return err
	}
	seen := map[string]sighting{}
	for _, r := range records {
		waits, ok := o.parts.Pushes.ResumesFor(r)
		if !ok {
			continue // until somebody ends it
		}
		s := sighting{Owner{r.Node, r.Incarnation}, r.Epoch, now, max(waits, orphanLeast)}
		if before, ok := o.seen[r.ID]; ok && before.owner == s.owner && before.epoch == s.epoch {
			s.since = before.since
		}
		seen[r.ID] = s
	}
	o.seen = seen
	return nil
}

// forgetNames removes the names of streams whose process has been gone for some time: else names that nobody uses again would stay for ever. A
// process that was only cut off takes its names again.
func (o *Orphans) forgetNames(ctx context.Context, now time.Time) error {
	keeper := o.parts.Claims.keeper
	records, err := keeper.List(ctx, namesBucket, "")
	if err != nil {
		return err
	}
	before, gone := o.names, map[string]time.Time{}
	for _, r := range records {
		name, err := parseName(r)
		if err == nil && o.parts.Claims.parts.Members.Lives(name.Owner) {
			continue
		}
		since, known := before[r.Key]
		switch {
		case !known:
			gone[r.Key] = now
		case now.Sub(since) < orphanLeast:
			gone[r.Key] = since
		default:
			if err := keeper.Delete(ctx, namesBucket, r.Key, r.Revision); err != nil && !errors.Is(err, state.ErrConflict) && !errors.Is(err, state.ErrNotFound) {
				return err
			}
		}
	}
	o.names = gone
	return nil
}

// sweep ends the orphans whose time is over.
func (o *Orphans) sweep(ctx context.Context, now time.Time) {
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, orphanWorkers)
	for id, s := range o.seen {
		if now.Sub(s.since) < s.waits {
			continue
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		delete(o.seen, id) // what cannot be ended now is found again
		wg.Go(func() {
			defer func() { <-slots }()
			ctx, cancel := context.WithTimeout(ctx, orphanTimeout)
			defer cancel()
			o.expire(ctx, id, s)
		})
	}
}

// expire ends an orphan, unless somebody has taken it meanwhile.
func (o *Orphans) expire(ctx context.Context, id string, s sighting) {
	r, err := o.parts.Claims.Find(ctx, id)
	switch owner := (Owner{r.Node, r.Incarnation}); {
	case err != nil:
	case owner != s.owner || r.Epoch != s.epoch || o.parts.Claims.owned(owner, id):
		return
	default:
		err = o.parts.Pushes.EndWaiting(ctx, r, true)
	}
	switch {
	case err == nil, ctx.Err() != nil, errors.Is(err, transponder.ErrNotFound), errors.Is(err, transponder.ErrDuplicate), errors.Is(err, transponder.ErrIsolated):
	default:
		o.parts.Log.Warn("a push that nobody came back for cannot be ended", "push", id, "err", err)
	}
}
