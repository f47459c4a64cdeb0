package transponder

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"transponder/internal/trace"
)

// claimers is how many pushes are claimed at the same time after a restart.
const claimers = 32

// Restore takes over the pushes that have outlived the process before: each waits for its publisher. outage is how long the server was gone. It is
// called before the ports open, so that nobody sees the server without them. A push that cannot go on is ended, or, if this version of the server
// may not end it, shown until somebody ends it.
func (r *Registry) Restore(ctx context.Context, outage time.Duration) error {
	err := r.loadPast(ctx)
	records, waiting := r.parts.Keeper.Waiting(ctx, "")
	if waiting != nil {
		waiting = fmt.Errorf("read the pushes of before the restart: %w", waiting)
	}
	return errors.Join(err, waiting, r.adopt(ctx, records, outage))
}

// Resume takes over what waits of one stream, whose publisher is here now. Of another process's push it may wait until that process surely has given
// it up. Records that this version of the server must leave as they are stay where they are. It fails if not all could be taken: then the caller tries again when the members of the cluster have changed.
func (r *Registry) Resume(ctx context.Context, stream string) error {
	records, err := r.parts.Keeper.Waiting(ctx, stream)
	if err != nil {
		return err
	}
	records = slices.DeleteFunc(records, func(record Record) bool { return !record.Usable() })
	return r.adopt(ctx, records, 0)
}

// adopt claims pushes and starts them, oldest first.
func (r *Registry) adopt(ctx context.Context, records []Record, outage time.Duration) error {
	slices.SortFunc(records, func(a, b Record) int { return cmp.Or(cmp.Compare(a.Begun, b.Begun), cmp.Compare(a.ID, b.ID)) })
	claims, errs := make([]Claim, len(records)), make([]error, len(records))
	var wg sync.WaitGroup
	places := make(chan struct{}, claimers)
	for i, record := range records {
		places <- struct{}{}
		wg.Go(func() {
			claims[i], errs[i] = r.claimWaiting(ctx, record)
			<-places
		})
	}
	wg.Wait()
	for i, claim := range claims {
		if errors.Is(errs[i], ErrDuplicate) || errors.Is(errs[i], ErrNotFound) {
			errs[i] = nil // somebody else has it, or has ended it
			continue
		}
		if errs[i] == nil {
			var dead error
			if outage > r.cfg.MaxOutage {
				dead = errExpired
			}
			_, errs[i] = r.adoptOne(ctx, records[i], claim, dead)
		}
	}
	return errors.Join(errs...)
}

// claimWaiting claims a push that no living process has. A record that this version of the server must leave as it is gets a claim that can
// only end it.
func (r *Registry) claimWaiting(ctx context.Context, record Record) (Claim, error) {
	if !record.Usable() {
		return &stuckClaim{record: record, keeper: r.parts.Keeper}, nil
	}
	return r.parts.Keeper.Claim(ctx, record)
}

// adoptOne starts a push that was claimed. before is its record as it was before that. dead is what ends the push at once, nil if nothing does.
func (r *Registry) adoptOne(ctx context.Context, before Record, claim Claim, dead error) (*entry, error) {
	record := claim.Record()
	how := &restored{stats: &r.resumes, dead: dead}
	status := pushStatus{Reason: ReasonRestarted, Detail: "The server was restarted. The push waits for its publisher."}
	if before.Node != "" && before.Node != record.Node {
		status.Reason, status.Detail = ReasonNodeLost, nodeLost
	}
	req, addresses, err := r.cfg.restored(record)
	resume := r.cfg.resumeFor(req)
	if req.Via == ViaAuto && r.isHere(record.Stream) {
		resume = r.cfg.ResumeFor // the setting that made the push at the server before is in force here, too
	}
	how.until = time.Now().Add(resume)
	switch {
	case !record.Usable():
		how.stuck = true
		status.Detail = record.why()
		addresses = unknownAddress(record)
		req.StreamName = record.Stream
	case err != nil:
		r.log.Error("a push cannot go on after the restart", "push", record.ID, "err", err)
		how.dead = cmp.Or(dead, errExpired)
		addresses = unknownAddress(record)
		req.StreamName = record.Stream
	case resume == 0:
		how.dead = cmp.Or(dead, errExpired)
	}
	free, err := r.takePlaces(req, len(addresses))
	if err != nil { // more pushes than the settings give to one caller now: those that run go on
		r.log.Info("a push goes on over the limit of its owner", "push", record.ID, "err", err)
		free = func() {}
	}
	src := r.parts.Hub.Absent(record.Stream)
	p := r.newPush(trace.Span{}, req, addresses, src, claim, nil)
	p.restore(record, how)
	p.openSound(record)
	ctx, e := r.newEntry(ctx, p, keysOf(req, addresses), free)
	if !r.enter(e) {
		free()
		e.cancel(nil)
		return nil, ErrStopping
	}
	p.log.Info("push restored", "reason", status.Reason, "state", record.State, "epoch", record.Epoch)
	r.journal.resume(record.ID, record.Seq)
	p.awaits(stateByName(record.State), status)
	r.launch(ctx, e)
	return e, nil
}

// isHere reports whether the publisher of a stream is connected to this server.
func (r *Registry) isHere(name string) bool {
	src, ok := r.parts.Hub.Source(name)
	return ok && !src.Info().IsRelay()
}

// openSound plays the sound file that played before, from its beginning.
func (p *push) openSound(r Record) {
	if r.Sound == "" {
		return
	}
	player, err := p.parts.Sounds.Open(r.Sound, r.Loop)
	if err != nil {
		p.log.Warn("sound file does not play on after the restart", "file", r.Sound, "err", err)
		return
	}
	p.voice.file, p.voice.player = r.Sound, player
}

// why says why this version of the server cannot act on a record.
func (r Record) why() string {
	if r.Least > recordVersion {
		return "A newer version of the server has written this push. It waits for that version."
	}
	return "The key to the address of this push is lost. The push can only be ended."
}

// resumeFor returns how long a push waits for its publisher after a restart; 0: the push does not outlive its process.
func (c Config) resumeFor(req Request) time.Duration {
	switch {
	case req.Via == ViaAuto, req.Via == ViaCall:
		return 0
	case req.Options.ResumeFor != nil:
		return *req.Options.ResumeFor
	}
	return c.ResumeFor
}

// Release gives a push up for another process, and returns when that process may take it: the server at the address was told goodbye.
func (r *Registry) Release(ctx context.Context, id string) error {
	e, err := r.entry(id)
	if err != nil {
		return err
	}
	e.cancel(errReleased)
	select {
	case <-e.gone:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// stopCause returns why a push ends in this process when the server stops: it goes on later if it can be resumed.
func (r *Registry) stopCause(e *entry) error {
	if r.keeps && r.cfg.resumeFor(e.req) > 0 && e.claim.Kept() {
		return errRestarting
	}
	return ErrStopping
}

// ResumeStats returns figures of the pushes that were restored.
func (r *Registry) ResumeStats() ResumeStats { return r.resumes.stats() }

// stuckClaim stands for the claim to a record that this version of the server must leave as it is. It can only be ended.
type stuckClaim struct {
	looseClaim
	record Record
	keeper Keeper
}

func (c *stuckClaim) Record() Record { return c.record }

func (c *stuckClaim) Forget(ctx context.Context) error { return c.keeper.Drop(ctx, c.record) }
