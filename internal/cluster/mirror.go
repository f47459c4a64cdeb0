package cluster

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"time"

	"transponder/internal/state"
)

const (
	// debtorPrefix is that of the keys in metaBucket of the servers that may have records in a mirror.
	debtorPrefix = "debtors."
	debtor       = `{"v":1}`
	// mirrorWrite is how long a writer waits for NATS. After that the record is written to NATS in the background.
	mirrorWrite = time.Second
	// mirrorPause is the time between two tries to write what NATS has not taken.
	mirrorPause = 2 * time.Second
)

// Mirror is a state.Keeper of this server. What is written to it is also written to NATS, where the other servers find it after the death of this one. Reads
// are answered by the state of this server, and a write fails only if that state does not take it: while NATS is away, the writes for it wait.
type Mirror struct {
	local  state.Keeper
	shared state.Keeper
	node   string
	log    *slog.Logger

	mu     sync.Mutex
	marked bool                 // guarded by mu; NATS knows that this server has records there
	ours   map[mirrorKey]bool   // guarded by mu; records that this process has written; true: NATS may have them
	behind map[mirrorKey]uint64 // guarded by mu; what NATS has may be wrong. The value is that of notes when it was noted last
	notes  uint64               // guarded by mu; counts what was noted in behind

	wake chan struct{} // 1
}

type mirrorKey struct{ bucket, key string }

// NewMirror makes the mirror of a server. The caller calls Run once.
func NewMirror(c *Cluster, local state.Keeper, log *slog.Logger) *Mirror {
	m := newMirror(local, c.Keeper(), c.Self().Node, log)
	c.OnVerify(func(context.Context) error { m.doubt(); return nil })
	return m
}

func newMirror(local, shared state.Keeper, node string, log *slog.Logger) *Mirror {
	return &Mirror{
		local: local, shared: shared, node: node, log: log, ours: map[mirrorKey]bool{}, behind: map[mirrorKey]uint64{}, wake: make(chan struct{}, 1),
	}
}

// Get reads a record of this server.
func (m *Mirror) Get(ctx context.Context, bucket, key string) (state.Record, error) {
	return m.local.Get(ctx, bucket, key)
}

// List reads records of this server.
func (m *Mirror) List(ctx context.Context, bucket, prefix string) ([]state.Record, error) {
	return m.local.List(ctx, bucket, prefix)
}

// Put writes a record of this server.
func (m *Mirror) Put(ctx context.Context, bucket, key string, value []byte, expect uint64) (uint64, error) {
	revision, err := m.local.Put(ctx, bucket, key, value, expect)
	if err == nil {
		m.changed(ctx, mirrorKey{bucket, key}, true)
	}
	return revision, err
}

// Delete removes a record of this server.
func (m *Mirror) Delete(ctx context.Context, bucket, key string, expect uint64) error {
	err := m.local.Delete(ctx, bucket, key, expect)
	if err == nil {
		m.changed(ctx, mirrorKey{bucket, key}, false)
	}
	return err
}

// changed brings a change to NATS. If NATS has just failed, it does not wait for NATS again.
func (m *Mirror) changed(ctx context.Context, k mirrorKey, exists bool) {
	m.mu.Lock()
	known, ours := m.ours[k]
	if exists {
		m.ours[k] = known
	} else {
		delete(m.ours, k)
	}
	if !exists && ours && !known { // NATS has never had it
		delete(m.behind, k)
		m.mu.Unlock()
		return
	}
	away := len(m.behind) > 0
	m.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), mirrorWrite)
	defer cancel()
	if away || m.sync(ctx, k) != nil {
		m.mu.Lock()
		m.note(k)
		m.mu.Unlock()
		signal(m.wake)
	}
}

// note notes that what NATS has of k may be wrong. The caller holds mu.
func (m *Mirror) note(k mirrorKey) {
	m.notes++
	m.behind[k] = m.notes
}

// sync makes the record in NATS that of this server, whoever else changes it meanwhile.
func (m *Mirror) sync(ctx context.Context, k mirrorKey) error {
	if err := m.mark(ctx); err != nil {
		return err
	}
	for {
		before, gone, err := m.own(ctx, k)
		if err != nil {
			return err
		}
		if gone {
			err = m.shared.Delete(ctx, metaBucket, m.place(m.node, k), state.Any)
		} else {
			m.mu.Lock()
			if _, ours := m.ours[k]; ours {
				m.ours[k] = true // even if the answer is lost
			}
			m.mu.Unlock()
			_, err = m.shared.Put(ctx, metaBucket, m.place(m.node, k), before.Value, state.Any)
		}
		if err != nil {
			return err
		}
		after, still, err := m.own(ctx, k)
		if err != nil || still == gone && after.Revision == before.Revision {
			return err
		}
	}
}

func (m *Mirror) own(ctx context.Context, k mirrorKey) (r state.Record, gone bool, err error) {
	r, err = m.local.Get(ctx, k.bucket, k.key)
	if errors.Is(err, state.ErrNotFound) {
		return state.Record{}, true, nil
	}
	return r, false, err
}

// mark tells the others that this server has records, once.
func (m *Mirror) mark(ctx context.Context) error {
	m.mu.Lock()
	marked := m.marked
	m.mu.Unlock()
	if marked {
		return nil
	}
	if _, err := m.shared.Put(ctx, metaBucket, debtorPrefix+m.node, []byte(debtor), state.Any); err != nil {
		return err
	}
	m.mu.Lock()
	m.marked = true
	m.mu.Unlock()
	return nil
}

// doubt lets everything be written again: others may have taken this server for dead, or NATS has lost what it had.
func (m *Mirror) doubt() {
	m.mu.Lock()
	m.marked = false
	for k := range m.ours {
		m.note(k)
	}
	m.mu.Unlock()
	signal(m.wake)
}

// Run writes to NATS what could not be written at once, until ctx ends.
func (m *Mirror) Run(ctx context.Context) error {
	for {
		select {
		case <-m.wake:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		for !m.catchUp(ctx) {
			wait(ctx, mirrorPause)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
		}
	}
}

// catchUp writes what is behind. It returns false if something is left.
func (m *Mirror) catchUp(ctx context.Context) bool {
	m.mu.Lock()
	behind := maps.Clone(m.behind)
	m.mu.Unlock()
	for k, noted := range behind {
		limited, cancel := context.WithTimeout(ctx, mirrorWrite)
		err := m.sync(limited, k)
		cancel()
		if err != nil {
			return false
		}
		m.mu.Lock()
		if m.behind[k] == noted { // otherwise somebody has changed it meanwhile
			delete(m.behind, k)
		}
		m.mu.Unlock()
	}
	return true
}

// Behind returns how many records NATS has not taken yet.
func (m *Mirror) Behind() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.behind)
}

// place is the key in NATS of a record of a server.
func (m *Mirror) place(node string, k mirrorKey) string { return k.bucket + "." + node + "." + k.key }

// Of returns the records of a bucket that a server has left, as NATS has them.
func (m *Mirror) Of(ctx context.Context, node, bucket string) ([]state.Record, error) {
	prefix := m.place(node, mirrorKey{bucket, ""})
	records, err := m.shared.List(ctx, metaBucket, prefix)
	for i := range records {
		records[i].Key = strings.TrimPrefix(records[i].Key, prefix)
	}
	return records, err
}

// Replace changes a record of any server in NATS. That server finds it there when it comes back.
func (m *Mirror) Replace(ctx context.Context, node, bucket, key string, value []byte) error {
	_, err := m.shared.Put(ctx, metaBucket, m.place(node, mirrorKey{bucket, key}), value, state.Any)
	return err
}

// Drop removes a record of any server from NATS.
func (m *Mirror) Drop(ctx context.Context, node, bucket, key string) error {
	return m.shared.Delete(ctx, metaBucket, m.place(node, mirrorKey{bucket, key}), state.Any)
}

// Anywhere returns the newest record of any server under a key, and whose it is. It fails with state.ErrNotFound.
func (m *Mirror) Anywhere(ctx context.Context, bucket, key string) (node string, found state.Record, err error) {
	nodes, err := m.debtors(ctx)
	if err != nil {
		return "", found, err
	}
	for _, n := range nodes {
		r, err := m.shared.Get(ctx, metaBucket, m.place(n.Key, mirrorKey{bucket, key}))
		switch {
		case err == nil && r.Revision > found.Revision:
			node, found = n.Key, r
		case err != nil && !errors.Is(err, state.ErrNotFound):
			return "", found, err
		}
	}
	if node == "" {
		return "", found, state.ErrNotFound
	}
	return node, found, nil
}

// debtors returns the servers that may have records in NATS, as the keys of records.
func (m *Mirror) debtors(ctx context.Context) ([]state.Record, error) {
	marks, err := m.shared.List(ctx, metaBucket, debtorPrefix)
	for i := range marks {
		marks[i].Key = strings.TrimPrefix(marks[i].Key, debtorPrefix)
	}
	return marks, err
}

// touch writes a mark again, so that it is new.
func (m *Mirror) touch(ctx context.Context, mark state.Record) error {
	_, err := m.shared.Put(ctx, metaBucket, debtorPrefix+mark.Key, []byte(debtor), mark.Revision)
	if errors.Is(err, state.ErrConflict) { // the node is there again
		return nil
	}
	return err
}

// forget removes all that a server has left in the buckets.
func (m *Mirror) forget(ctx context.Context, mark state.Record, buckets []string) error {
	for _, bucket := range buckets {
		records, err := m.Of(ctx, mark.Key, bucket)
		if err != nil {
			return err
		}
		for _, r := range records {
			if err := m.Drop(ctx, mark.Key, bucket, r.Key); err != nil {
				return err
			}
		}
	}
	return m.shared.Delete(ctx, metaBucket, debtorPrefix+mark.Key, mark.Revision)
}

var _ state.Keeper = (*Mirror)(nil)
