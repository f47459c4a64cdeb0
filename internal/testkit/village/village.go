// Package village stands for what several servers have in common, without NATS, for tests of those who follow it. Only tests import this package.
package village

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"transponder/internal/state"
)

// Village is what several servers have in common, without NATS: a test says when they hear of each other, and when they cannot reach each other. Its
// methods may be called from any goroutine.
type Village struct {
	mu       sync.Mutex
	revision uint64                  // guarded by mu
	records  map[string]state.Record // guarded by mu; by bucket and key
	houses   []*House                // guarded by mu
	away     bool                    // guarded by mu
}

// House is a village as one server sees it. It is a state.Shared. What others write it sees when the test calls Hear.
type House struct {
	village *Village
	known   chan struct{}

	records map[string]state.Record                               // guarded by village.mu
	news    map[string]bool                                       // guarded by village.mu
	follow  map[string][]func(ctx context.Context, keys []string) // guarded by village.mu
	Before  func(bucket, key string)                              // called before each write, without a lock; nil: nothing is
}

// New makes a village without records.
func New() *Village { return &Village{records: map[string]state.Record{}} }

// House adds a server that has seen all.
func (v *Village) House() *House {
	h := v.Stranger()
	h.Arrive()
	return h
}

// Stranger adds a server that has seen nothing yet.
func (v *Village) Stranger() *House {
	v.mu.Lock()
	defer v.mu.Unlock()
	h := &House{
		village: v, known: make(chan struct{}), records: map[string]state.Record{}, news: map[string]bool{},
		follow: map[string][]func(context.Context, []string){},
	}
	v.houses = append(v.houses, h)
	return h
}

// Arrive lets a stranger see all.
func (h *House) Arrive() {
	h.village.mu.Lock()
	h.records = maps.Clone(h.village.records)
	for name := range h.records {
		h.news[name] = true
	}
	h.village.mu.Unlock()
	close(h.known)
}

// Part keeps the servers from reaching each other; Meet ends that.
func (v *Village) Part() { v.set(true) }

// Meet is the end of Part.
func (v *Village) Meet() { v.set(false) }

func (v *Village) set(away bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.away = away
}

// Hear tells the followers of a server what others have changed.
func (h *House) Hear(ctx context.Context) {
	h.village.mu.Lock()
	keys := map[string][]string{}
	for name := range h.news {
		bucket, key, _ := strings.Cut(name, "\x00")
		keys[bucket] = append(keys[bucket], key)
		if r, ok := h.village.records[name]; ok {
			h.records[name] = r
		} else {
			delete(h.records, name)
		}
	}
	clear(h.news)
	follow := maps.Clone(h.follow)
	h.village.mu.Unlock()
	for _, bucket := range slices.Sorted(maps.Keys(keys)) {
		for _, f := range follow[bucket] {
			f(ctx, keys[bucket])
		}
	}
}

// Follow registers a follower.
func (h *House) Follow(bucket string, f func(ctx context.Context, keys []string)) {
	h.village.mu.Lock()
	defer h.village.mu.Unlock()
	h.follow[bucket] = append(h.follow[bucket], f)
}

// Known is closed once the server has seen all.
func (h *House) Known() <-chan struct{} { return h.known }

// Writable returns state.ErrAway between Part and Meet, and before Arrive.
func (h *House) Writable() error {
	h.village.mu.Lock()
	defer h.village.mu.Unlock()
	return h.writable()
}

// writable is Writable for a caller that holds the lock.
func (h *House) writable() error {
	select {
	case <-h.known:
	default:
		return state.ErrAway
	}
	if h.village.away {
		return state.ErrAway
	}
	return nil
}

// Get returns a record as this server has seen it.
func (h *House) Get(_ context.Context, bucket, key string) (state.Record, error) {
	h.village.mu.Lock()
	defer h.village.mu.Unlock()
	r, ok := h.records[bucket+"\x00"+key]
	if !ok {
		return state.Record{}, state.ErrNotFound
	}
	return r, nil
}

// List returns the records of a bucket as this server has seen them.
func (h *House) List(_ context.Context, bucket, prefix string) ([]state.Record, error) {
	h.village.mu.Lock()
	defer h.village.mu.Unlock()
	var all []state.Record
	for _, name := range slices.Sorted(maps.Keys(h.records)) {
		if strings.HasPrefix(name, bucket+"\x00"+prefix) {
			all = append(all, h.records[name])
		}
	}
	return all, nil
}

// Put writes a record for all.
func (h *House) Put(_ context.Context, bucket, key string, value []byte, expect uint64) (uint64, error) {
	r := state.Record{Key: key, Value: value, Changed: time.Now()}
	return h.write(bucket, key, expect, func(name string, revision uint64) {
		r.Revision = revision
		h.village.records[name], h.records[name] = r, r
	})
}

// Delete removes a record for all.
func (h *House) Delete(_ context.Context, bucket, key string, expect uint64) error {
	_, err := h.write(bucket, key, expect, func(name string, _ uint64) {
		delete(h.village.records, name)
		delete(h.records, name)
	})
	return err
}

func (h *House) write(bucket, key string, expect uint64, do func(name string, revision uint64)) (uint64, error) {
	if h.Before != nil {
		h.Before(bucket, key)
	}
	v, name := h.village, bucket+"\x00"+key
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := h.writable(); err != nil {
		return 0, err
	}
	now, there := v.records[name]
	if expect != state.Any && now.Revision != expect {
		if there { // whoever is refused sees why
			h.records[name] = now
		} else {
			delete(h.records, name)
		}
		h.news[name] = true
		return 0, state.ErrConflict
	}
	v.revision++
	do(name, v.revision)
	for _, other := range v.houses {
		if other != h {
			other.news[name] = true
		}
	}
	return v.revision, nil
}

var _ state.Shared = (*House)(nil)
