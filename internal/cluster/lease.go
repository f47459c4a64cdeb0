package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"transponder/internal/state"
	"transponder/internal/transponder"
)

var (
	// ErrJoining means that this server has just started and has not reached the others yet.
	ErrJoining = errors.New("the server has not joined its cluster yet")
	// ErrDuplicateNode means that another server has the same node id. This one does not join.
	ErrDuplicateNode = errors.New("another server of the cluster has the same node id: set cluster_node_id")
)

const (
	// renewals is how often a lease is renewed while it stands.
	renewals = 3
	// patience is how long one renewal may take.
	patience = time.Second
	// misses is how many renewals in a row must find nobody until the process counts as isolated. The lease stands for longer. A process that is in doubt
	// counts as isolated after one: its gate is not kept open meanwhile.
	misses = 2
	// againAfter is the pause before a renewal that found nobody is tried again, at least.
	againAfter = 200 * time.Millisecond
	// leaveTimeout is how long a process that ends tries to say so.
	leaveTimeout = 2 * time.Second
)

// phase is where a process stands in its cluster.
type phase int32

const (
	joining  phase = iota // it has had no lease yet
	refused               // another process has its node id, or its key or version is another
	held                  // the lease stands
	doubtful              // a renewal was refused: it has a new lease, and finds out what is still its own
	isolated              // nobody answers
	left                  // it has said that it goes
)

// phases are the moves.
var phases = map[phase][]phase{
	joining:  {refused, held, left},
	refused:  {held, left},
	held:     {doubtful, isolated, left},
	doubtful: {held, isolated, left},
	isolated: {doubtful, left},
}

func (p phase) String() string {
	return [...]string{"joining", "refused", "held", "doubtful", "isolated", "left"}[p]
}

// leaseStore is what a lease needs of the store. *natsStore is one.
type leaseStore interface {
	Get(ctx context.Context, bucket, key string) (state.Record, error)
	listNow(ctx context.Context, bucket, prefix string) ([]state.Record, error)
	Put(ctx context.Context, bucket, key string, value []byte, expect uint64) (uint64, error)
	Delete(ctx context.Context, bucket, key string, expect uint64) error
	put(ctx context.Context, bucket, key string, value []byte, expect uint64, ttl time.Duration) (uint64, error)
}

// lease keeps the key of this process alive, and opens and shuts the gate.
type lease struct {
	store    leaseStore
	me       Identity
	duration time.Duration
	gate     *gate
	clock    clock
	node     func() Node                        // what to tell the others
	admit    func(context.Context) error        // fails if this process must not join
	verify   func(context.Context) error        // finds out what is still this process's own
	renewal  func(err error, failing time.Time) // is called after each renewal; failing: when the first of those before it failed; zero: they did not
	log      *slog.Logger

	poke chan struct{} // 1; renew now

	phase    phase     // owned by run
	revision uint64    // owned by run; of our key, 0: there is none
	missed   int       // owned by run; renewals in a row that found nobody
	failing  time.Time // owned by run; when the first of these failed
	joined   bool      // owned by run; there was a lease
	losses   int       // owned by run; leases that were lost

	now         atomic.Int32          // phase, for others
	refusal     atomic.Pointer[error] // why this process does not join
	renewTime   atomic.Int64          // ns; of the last renewal
	renewed     atomic.Int64
	renewFailed atomic.Int64
	isolations  atomic.Int64
}

// to changes the phase.
func (l *lease) to(p phase) {
	if p == l.phase {
		return
	}
	if !slices.Contains(phases[l.phase], p) {
		panic(fmt.Sprintf("lease: %v to %v", l.phase, p)) // a bug of this file
	}
	l.phase = p
	l.now.Store(int32(p))
}

// key is that of a process in the bucket of the nodes. Two processes of one node have two keys, so that none takes the key of the other.
func (o Owner) key() string { return o.Node + "." + o.Incarnation }

// run keeps the lease until ctx ends, and then gives it up.
func (l *lease) run(ctx context.Context) {
	var verifying sync.WaitGroup
	defer verifying.Wait()
	verifyCtx, stopVerifying := context.WithCancel(ctx)
	defer stopVerifying()
	verified := make(chan bool, 1)
	checking, checked := false, 0 // checked: which loss is looked into
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			l.leave(ctx)
			return
		case <-l.poke:
		case <-next.C:
		case ok := <-verified:
			checking = false
			if ok && l.phase == doubtful && checked == l.losses {
				l.to(held)
			}
		}
		wait := l.step(ctx)
		if l.phase == doubtful && !checking { // a renewal was just answered
			checking, checked = true, l.losses
			verifying.Go(func() { verified <- l.check(verifyCtx) })
		}
		next.Reset(wait)
	}
}

// check runs verify. If that fails it takes againAfter, so that run may call check again at once.
func (l *lease) check(ctx context.Context) bool {
	err := l.verify(ctx)
	if err == nil || ctx.Err() != nil {
		return err == nil
	}
	l.log.Warn("node cannot read its own records", "err", err)
	wait(ctx, againAfter)
	return false
}

// step renews the lease once. It returns how long to wait before the next time.
func (l *lease) step(ctx context.Context) time.Duration {
	began := l.clock()
	err := l.renew(ctx)
	took := l.clock() - began
	l.renewTime.Store(int64(took))
	switch {
	case err == nil:
		l.renewed.Add(1)
		l.missed = 0
		switch l.phase {
		case joining, refused:
			l.log.Info("node joined", "node", l.me.Node, "lease", l.duration)
			l.to(held)
		case isolated:
			l.log.Info("node rejoined", "node", l.me.Node)
			l.losses++
			l.to(doubtful)
		}
		l.joined = true
		if l.phase == held { // in doubt the gate stays as it was
			l.gate.held(began + l.duration - margin(l.duration))
		}
		l.renewal(nil, l.failing)
		l.failing = time.Time{}
		return l.duration/renewals - took
	case ctx.Err() != nil:
		return 0
	case errors.Is(err, ErrDuplicateNode), errors.Is(err, ErrKey), errors.Is(err, ErrSchema):
		if l.phase == joining {
			l.log.Error("node does not join", "node", l.me.Node, "err", err)
		}
		l.to(refused)
		l.refusal.Store(&err)
		return l.duration / renewals
	}
	l.renewFailed.Add(1)
	if l.missed++; l.missed == 1 {
		l.failing = time.Now()
	}
	l.renewal(err, l.failing)
	if l.phase == held && l.missed >= misses || l.phase == doubtful {
		l.log.Warn("node isolated", "node", l.me.Node, "err", err)
		l.isolations.Add(1)
		l.to(isolated)
		l.gate.lost()
	}
	return max(againAfter, patience-took)
}

// margin is how much earlier than NATS this process lets its lease end: clocks may differ in their rates.
func margin(lease time.Duration) time.Duration { return max(300*time.Millisecond, lease/20) }

// renew writes the key, or makes it. Each request has its own patience: one that is refused was answered.
func (l *lease) renew(ctx context.Context) error {
	value, err := json.Marshal(l.value())
	if err != nil {
		return err
	}
	if l.revision != 0 {
		err := l.write(ctx, value, l.revision)
		if err == nil || !errors.Is(err, state.ErrConflict) {
			return err
		}
		// Either a renewal arrived though we were not told, or the lease has ended.
		mine, err := l.read(ctx)
		if err == nil {
			err = l.write(ctx, value, mine.Revision)
		}
		if err == nil || !errors.Is(err, state.ErrNotFound) && !errors.Is(err, state.ErrConflict) {
			return err
		}
		l.revision = 0
		l.losses++
		if l.phase == held {
			l.log.Warn("node has lost its lease", "node", l.me.Node)
			l.to(doubtful)
		}
	}
	return l.join(ctx, value)
}

// write writes the key of this process.
func (l *lease) write(ctx context.Context, value []byte, expect uint64) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	revision, err := l.store.put(ctx, nodesBucket, l.me.key(), value, expect, l.duration)
	if err == nil {
		l.revision = revision
	}
	return err
}

// read reads the key of this process.
func (l *lease) read(ctx context.Context) (state.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return l.store.Get(ctx, nodesBucket, l.me.key())
}

// join makes the key of this process.
func (l *lease) join(ctx context.Context, value []byte) error {
	if !l.joined {
		if err := l.admit(ctx); err != nil {
			return err
		}
	}
	if err := l.others(ctx, 0); err != nil {
		return err
	}
	err := l.write(ctx, value, 0)
	if errors.Is(err, state.ErrConflict) { // made by an earlier try whose answer was lost
		var mine state.Record
		if mine, err = l.read(ctx); err == nil {
			err = l.write(ctx, value, mine.Revision)
		}
	}
	if err != nil {
		return fmt.Errorf("%w: %w", transponder.ErrIsolated, err)
	}
	if err := l.others(ctx, l.revision); err != nil { // two that start at once: the later one goes
		if errors.Is(err, ErrDuplicateNode) {
			_ = l.store.Delete(ctx, nodesBucket, l.me.key(), l.revision) // or it ends by itself
			l.revision = 0
		}
		return err
	}
	return nil
}

// others looks for living processes of the same node: all of them, or those with a lower revision than ours. The process that had our folder
// before us is dead, because we have the lock of the folder.
func (l *lease) others(ctx context.Context, ours uint64) error {
	if l.joined {
		return nil // who was first stays
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	all, err := l.store.listNow(ctx, nodesBucket, l.me.Node+".")
	if err != nil {
		return err
	}
	for _, r := range all {
		switch inc := strings.TrimPrefix(r.Key, l.me.Node+"."); {
		case inc == l.me.Incarnation:
		case inc == l.me.Before:
			if err := l.store.Delete(ctx, nodesBucket, r.Key, r.Revision); err != nil && !errors.Is(err, state.ErrConflict) {
				return err
			}
		case ours == 0 || r.Revision < ours:
			return ErrDuplicateNode
		}
	}
	return nil
}

// value is what the others read of this process.
func (l *lease) value() Node {
	n := l.node()
	n.Version, n.Owner = 1, l.me.Owner
	return n
}

// leave removes the key, so that nobody needs to wait for the end of the lease.
func (l *lease) leave(ctx context.Context) {
	if l.revision != 0 {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
		defer cancel()
		if err := l.store.Delete(ctx, nodesBucket, l.me.key(), l.revision); err != nil {
			l.log.Warn("node leaves without telling the others", "node", l.me.Node, "err", err)
		}
	}
	l.to(left)
}

// renewNow lets the lease be renewed at once: the link to NATS is back, or what the node tells has changed.
func (l *lease) renewNow() {
	select {
	case l.poke <- struct{}{}:
	default:
	}
}
