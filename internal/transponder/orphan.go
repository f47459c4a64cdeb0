package transponder

import (
	"context"
	"time"

	"transponder/internal/trace"
)

// An orphan is a push that no living process runs: its server died, or gave it up, and its publisher did not come to another server. Only its
// record is left. See cluster.Orphans.

// Show returns what a record tells of a push, if a filter picks it. lives: another process has the push and lives, so the state is the
// one that it wrote last; else the push waits for its publisher.
func (r *Registry) Show(record Record, lives bool, f Filter) (Info, bool) {
	req, addresses, err := r.cfg.restored(record)
	if err != nil || !record.Usable() {
		req.StreamName, addresses = record.Stream, unknownAddress(record)
	}
	p := r.newPush(trace.Span{}, req, addresses, r.parts.Hub.Absent(record.Stream), &stuckClaim{record: record}, nil)
	p.restore(record, &restored{})
	status := pushStatus{State: Awaiting, Since: record.Changed, Reason: record.Reason, Detail: record.Info}
	switch {
	case lives:
		status.State, status.Since = stateByName(record.State), time.UnixMilli(record.Since)
	case !record.Usable():
		status.Detail = record.why()
	case record.Node != "":
		status.Reason, status.Detail = ReasonNodeLost, nodeLost
	}
	p.machine.status = status
	p.voice.file = record.Sound
	if !p.matches(f) {
		return Info{}, false
	}
	i := p.Info()
	i.Node, i.Stale = record.Node, record.Node != ""
	return i, true
}

// nodeLost is the detail of ReasonNodeLost.
const nodeLost = "The server that had the push is gone. The push waits for its publisher."

// unknownAddress stands for the addresses of a record that cannot be read.
func unknownAddress(r Record) []*address {
	return []*address{{target: pushTarget{shown: r.Target}}}
}

// EndWaiting ends a push that no living process has, and returns when it cannot be found any more. It may wait until the process that had the
// push has surely noticed. expired: the publisher did not come back in time; otherwise somebody wants the end. It fails as Keeper.Claim does.
func (r *Registry) EndWaiting(ctx context.Context, record Record, expired bool) error {
	cause := errTerminated
	if expired {
		cause = errExpired
	}
	claim, err := r.claimWaiting(ctx, record)
	if err != nil {
		return err
	}
	e, err := r.adoptOne(ctx, record, claim, cause)
	if err != nil {
		return err
	}
	select {
	case <-e.gone:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// ResumesFor returns how long a push without a process waits for its publisher. ok is false if it waits until somebody ends it: this version
// of the server cannot act on its record.
func (r *Registry) ResumesFor(record Record) (d time.Duration, ok bool) {
	if !record.Usable() {
		return 0, false
	}
	req, _, err := r.cfg.restored(record)
	if err != nil {
		return 0, true
	}
	return r.cfg.resumeFor(req), true
}
