package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"transponder/internal/state"
	"transponder/internal/transponder"
)

// claim is the right of this process to run one push. It is a transponder.Claim.
type claim struct {
	claims *Claims
	place  string

	turn chan struct{} // holds a value while somebody reads or writes the record in the keeper

	mu       sync.Mutex
	record   transponder.Record // guarded by mu; the newest
	revision uint64             // guarded by mu; 0: the record is not in the keeper
	dirty    bool               // guarded by mu; the record is to be saved
	tried    time.Time          // guarded by mu; of the last write
	saves    int                // guarded by mu; writes so far
	failed   bool               // guarded by mu; the last write failed
	over     bool               // guarded by mu; released or forgotten
	silent   bool               // the process before went without a word, so it may be cut off and believe that it has the push. Set before others know the claim
	released transponder.Record // guarded by mu; what the record shall say after the release
	lost     bool               // guarded by mu; another process has the push
	moved    chan struct{}      // closed once lost is set
}

// Record returns the record as it was claimed, or saved since.
func (k *claim) Record() transponder.Record {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.record
}

func (k *claim) set(r transponder.Record, revision uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.record, k.revision = r, revision
}

// Kept reports whether the record is written, and lasts.
func (k *claim) Kept() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.revision != 0 && (k.claims.parts.Lasting == nil || k.claims.parts.Lasting())
}

// Open reports whether media may be written now.
func (k *claim) Open() bool { return k.claims.parts.Gate.Open() }

// Alone reports that this process is cut off.
func (k *claim) Alone() (since time.Time, alone bool) { return k.claims.parts.Gate.Alone() }

// Changed is closed when the gate may have changed.
func (k *claim) Changed() <-chan struct{} { return k.claims.parts.Gate.Changed() }

// Lost is closed when another process has the push.
func (k *claim) Lost() <-chan struct{} { return k.moved }

// Save writes the record soon.
func (k *claim) Save(r transponder.Record) {
	k.mu.Lock()
	if !k.over && !k.lost {
		k.record = k.own(r)
		k.dirty = true
	}
	k.mu.Unlock()
	k.claims.nudge()
}

// own returns a record with what only the keeper changes. The caller holds mu.
func (k *claim) own(r transponder.Record) transponder.Record {
	r.ID, r.Node, r.Incarnation, r.Epoch = k.record.ID, k.record.Node, k.record.Incarnation, k.record.Epoch
	r.Version, r.Least, r.More = k.record.Version, k.record.Least, k.record.More
	return r
}

// due returns when the record is to be saved, if it is.
func (k *claim) due() (at time.Time, dirty bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	pause := saveEvery
	if k.saves < quickSaves {
		pause = quickly
	}
	if k.failed {
		pause = saveAgain
	}
	return k.tried.Add(pause), k.dirty
}

// begin waits until nobody else reads or writes the record. The caller calls end.
func (k *claim) begin(ctx context.Context) error {
	select {
	case k.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (k *claim) end() { <-k.turn }

// save writes the newest record. What fails is tried again later.
func (k *claim) save(ctx context.Context) {
	if k.begin(ctx) != nil {
		return
	}
	defer k.end()
	k.mu.Lock()
	r, dirty := k.record, k.dirty && !k.over && !k.lost
	k.dirty = false
	k.mu.Unlock()
	if !dirty {
		return
	}
	_ = k.write(ctx, r) // put notes that it failed
}

// write writes a record over the one that this process wrote before. The caller has begun.
func (k *claim) write(ctx context.Context, r transponder.Record) error {
	for range maxConflicts {
		k.mu.Lock()
		revision := k.revision
		k.mu.Unlock()
		err := k.put(ctx, r, revision)
		if !errors.Is(err, state.ErrConflict) {
			return err
		}
		if err := k.settle(ctx); err != nil {
			return err
		}
	}
	return fmt.Errorf("push %s: %w", r.ID, state.ErrConflict)
}

// put writes a record with an expected revision.
func (k *claim) put(ctx context.Context, r transponder.Record, expect uint64) error {
	value, err := k.claims.encode(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, keeperTimeout)
	defer cancel()
	revision, err := k.claims.keeper.Put(ctx, pushesBucket, k.place, value, expect)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tried, k.failed = time.Now(), err != nil
	if err != nil {
		k.dirty = true
		return fmt.Errorf("write a push's record: %w", err)
	}
	k.revision = revision
	k.saves++
	return nil
}

// settle decides what it means that the record is not as this process wrote it. Of two records the one with the higher epoch is true. If the
// record is gone or older, the keeper has forgotten it, and the next write makes it anew. If it is this process's, a write that failed has
// arrived all the same. The caller has begun.
func (k *claim) settle(ctx context.Context) error {
	now, revision, err := k.claims.read(ctx, k.place)
	if err != nil && !errors.Is(err, transponder.ErrNotFound) {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	own := k.record
	mine := now.Node == own.Node && now.Incarnation == own.Incarnation
	if err == nil && (now.Epoch > own.Epoch || now.Epoch == own.Epoch && !mine || now.ID != own.ID && now.Epoch >= own.Epoch) {
		if !k.lost && !k.over {
			k.lost = true
			close(k.moved)
			k.claims.counters.epochConflicts.Add(1)
		}
		return transponder.ErrMoved
	}
	k.revision = revision // 0 if the record is gone
	return nil
}

// verify checks that the record is still as this process wrote it.
func (k *claim) verify(ctx context.Context) error {
	if err := k.begin(ctx); err != nil {
		return err
	}
	defer k.end()
	k.mu.Lock()
	before, r, over := k.revision, k.record, k.over || k.lost
	k.mu.Unlock()
	if over {
		return nil
	}
	if err := k.settle(ctx); err != nil {
		return err
	}
	k.mu.Lock()
	same := k.revision == before && before != 0
	k.mu.Unlock()
	if same {
		return nil
	}
	return k.write(ctx, r)
}

// Release gives the push up. See transponder.Claim.
func (k *claim) Release(ctx context.Context, r transponder.Record) error {
	defer k.drop()
	err := k.finish(ctx, func() error {
		k.mu.Lock()
		r = k.own(r)
		r.Node, r.Incarnation = "", ""
		k.released = r
		k.mu.Unlock()
		return k.write(ctx, r)
	})
	if err != nil {
		k.claims.give(k)
	}
	return err
}

// handOver writes the record of a claim that was released when the keeper did not take it. If another process has the push by then, that is as good.
func (k *claim) handOver(ctx context.Context) error {
	if err := k.begin(ctx); err != nil {
		return err
	}
	defer k.end()
	k.mu.Lock()
	r, lost := k.released, k.lost
	k.mu.Unlock()
	if lost || r.ID == "" {
		return nil
	}
	if err := k.write(ctx, r); err != nil && !errors.Is(err, transponder.ErrMoved) && !errors.Is(err, state.ErrNewer) {
		return err
	}
	return nil
}

// Forget ends the push. See transponder.Claim.
func (k *claim) Forget(ctx context.Context) error {
	defer k.drop()
	err := k.finish(ctx, func() error {
		for range maxConflicts {
			d := k.doomed()
			if d.revision == 0 && d.stone.ID == "" {
				return nil
			}
			if err := k.claims.remove(ctx, k.place, d); !errors.Is(err, state.ErrConflict) {
				return err
			}
			if err := k.settle(ctx); err != nil {
				return err
			}
		}
		return state.ErrConflict
	})
	if err != nil {
		k.claims.doom(k.place, k.doomed())
	}
	return err
}

// doomed returns what is to become of the record of a push that is over. A process before that may still run the push must learn of the end.
// If the push ends only because nobody came back for it, there is nothing to learn: a process that is cut off may have its publisher.
func (k *claim) doomed() doomed {
	k.mu.Lock()
	defer k.mu.Unlock()
	d := doomed{id: k.record.ID, revision: k.revision, epoch: k.record.Epoch}
	if k.silent && k.record.Reason != transponder.ReasonExpired {
		d.stone = transponder.Record{Version: k.record.Version, ID: k.record.ID, Epoch: k.record.Epoch, Over: true}
	}
	return d
}

// finish does the last write of the claim. Another process's record stays as it is.
func (k *claim) finish(ctx context.Context, write func() error) error {
	ctx, cancel := context.WithTimeout(ctx, keeperTimeout)
	defer cancel()
	if err := k.begin(ctx); err != nil {
		return err
	}
	defer k.end()
	k.mu.Lock()
	over := k.over || k.lost
	k.over, k.dirty = true, false
	k.mu.Unlock()
	if over {
		return nil
	}
	if err := write(); !errors.Is(err, transponder.ErrMoved) {
		return err
	}
	return nil
}

// drop notes that this process has the push no more.
func (k *claim) drop() {
	k.claims.mu.Lock()
	defer k.claims.mu.Unlock()
	if k.claims.held[k.place] == k {
		delete(k.claims.held, k.place)
	}
}
