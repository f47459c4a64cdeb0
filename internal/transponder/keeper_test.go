package transponder

import (
	"context"
	"sync"
	"testing"

	"transponder/internal/stream"
)

// fakeKeeper keeps records in memory, for one registry after another.
type fakeKeeper struct {
	mu      sync.Mutex
	records map[string]Record     // guarded by mu; by id
	held    map[string]*fakeClaim // guarded by mu; by id
	full    bool                  // guarded by mu; nothing is written
	saved   int                   // guarded by mu; saves
}

func newFakeKeeper() *fakeKeeper {
	return &fakeKeeper{records: map[string]Record{}, held: map[string]*fakeClaim{}}
}

func (k *fakeKeeper) Claim(_ context.Context, r Record) (Claim, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if r.ID == "" {
		r.ID = stream.NewID()
	} else if now, ok := k.records[r.ID]; !ok {
		return nil, ErrNotFound
	} else {
		r = now
	}
	if k.held[r.ID] != nil {
		return nil, ErrDuplicate
	}
	r.Node, r.Incarnation, r.Epoch = "node", "inc", r.Epoch+1
	c := &fakeClaim{k: k, r: r, lost: make(chan struct{}), kept: !k.full}
	k.held[r.ID] = c
	if !k.full {
		k.records[r.ID] = r
	}
	return c, nil
}

func (k *fakeKeeper) Waiting(_ context.Context, stream string) ([]Record, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var waiting []Record
	for id, r := range k.records {
		if k.held[id] == nil && (stream == "" || r.Stream == stream) {
			waiting = append(waiting, r)
		}
	}
	return waiting, nil
}

func (k *fakeKeeper) Drop(_ context.Context, r Record) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.records, r.ID)
	return nil
}

// crash makes all claims void, as if the process was killed.
func (k *fakeKeeper) crash() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.held = map[string]*fakeClaim{}
}

// edit changes all records.
func (k *fakeKeeper) edit(change func(*Record)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id, r := range k.records {
		change(&r)
		k.records[id] = r
	}
}

// record returns the only record.
func (k *fakeKeeper) record(t *testing.T) Record {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.records) != 1 {
		t.Fatalf("%d records, want 1", len(k.records))
	}
	for _, r := range k.records {
		return r
	}
	return Record{}
}

func (k *fakeKeeper) len() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.records)
}

// fakeClaim writes at once.
type fakeClaim struct {
	looseClaim
	k    *fakeKeeper
	r    Record // guarded by k.mu
	lost chan struct{}
	kept bool
}

func (c *fakeClaim) Record() Record {
	c.k.mu.Lock()
	defer c.k.mu.Unlock()
	return c.r
}

func (c *fakeClaim) Kept() bool { return c.kept }

func (c *fakeClaim) Lost() <-chan struct{} { return c.lost }

// write writes unless the claim is void.
func (c *fakeClaim) write(r Record) {
	if c.k.held[c.r.ID] != c {
		return
	}
	r.ID, r.Node, r.Incarnation, r.Epoch = c.r.ID, c.r.Node, c.r.Incarnation, c.r.Epoch
	c.r = r
	if c.kept {
		c.k.records[r.ID] = r
	}
	c.k.saved++
}

func (c *fakeClaim) Save(r Record) {
	c.k.mu.Lock()
	defer c.k.mu.Unlock()
	c.write(r)
}

func (c *fakeClaim) Release(_ context.Context, r Record) error {
	c.k.mu.Lock()
	defer c.k.mu.Unlock()
	c.write(r)
	if c.k.held[c.r.ID] == c {
		r = c.k.records[c.r.ID]
		r.Node, r.Incarnation = "", ""
		c.k.records[c.r.ID] = r
		delete(c.k.held, c.r.ID)
	}
	return nil
}

func (c *fakeClaim) Forget(context.Context) error {
	c.k.mu.Lock()
	defer c.k.mu.Unlock()
	if c.k.held[c.r.ID] == c {
		delete(c.k.records, c.r.ID)
		delete(c.k.held, c.r.ID)
	}
	return nil
}

// newKeptBench is newBench with a keeper. Nothing else of an earlier bench is left: it is the next process.
func newKeptBench(t *testing.T, k *fakeKeeper, change func(*Config)) *bench {
	t.Helper()
	return newBenchWith(t, change, func(p *Parts) { p.Keeper = k })
}

// restart ends a bench as a kill would, and returns the next process.
func (b *bench) restart(k *fakeKeeper, change func(*Config)) *bench {
	b.t.Helper()
	k.crash()
	b.stop()
	next := newKeptBench(b.t, k, change)
	if err := next.Restore(b.t.Context(), 0); err != nil {
		b.t.Fatal(err)
	}
	return next
}
