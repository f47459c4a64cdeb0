package cluster

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/state"
	"transponder/internal/transponder"
)

// link is a keeper that can be away, and that can be looked at.
type link struct {
	*memory
	mu     sync.Mutex
	away   bool
	writes int
	before func() // is called before each write; nil: nothing is
}

func (l *link) cut(away bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.away = away
}

func (l *link) write() error {
	l.mu.Lock()
	before := l.before
	l.before = nil
	l.writes++
	away := l.away
	l.mu.Unlock()
	if before != nil {
		before()
	}
	if away {
		return transponder.ErrIsolated
	}
	return nil
}

func (l *link) Put(ctx context.Context, bucket, key string, value []byte, expect uint64) (uint64, error) {
	if err := l.write(); err != nil {
		return 0, err
	}
	return l.memory.Put(ctx, bucket, key, value, expect)
}

func (l *link) Delete(ctx context.Context, bucket, key string, expect uint64) error {
	if err := l.write(); err != nil {
		return err
	}
	return l.memory.Delete(ctx, bucket, key, expect)
}

// seen returns what a mirror shows of node a, as key=value.
func seen(t *testing.T, m *Mirror) []string {
	t.Helper()
	records, err := m.Of(t.Context(), "a", "owed")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, r := range records {
		all = append(all, r.Key+"="+string(r.Value))
	}
	return all
}

// What a server writes is in NATS when the write returns; what NATS does not take is there when NATS is back, and nothing that was removed meanwhile.
func TestMirror(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		local, nats := newMemory(), &link{memory: newMemory()}
		m := newMirror(local, nats, "a", quiet())
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = m.Run(ctx) }()
		defer func() { cancel(); <-done }()
		put := func(key, value string) {
			t.Helper()
			if _, err := m.Put(ctx, "owed", key, []byte(value), state.Any); err != nil {
				t.Fatal(err)
			}
		}
		remove := func(key string) {
			t.Helper()
			if err := m.Delete(ctx, "owed", key, state.Any); err != nil {
				t.Fatal(err)
			}
		}
		want := func(when string, behind int, want ...string) {
			t.Helper()
			if got := seen(t, m); !slices.Equal(got, want) || m.Behind() != behind {
				t.Errorf("%s: NATS has %q, %d behind; want %q, %d", when, got, m.Behind(), want, behind)
			}
		}
		put("x", "1")
		put("y", "1")
		want("written", 0, "x=1", "y=1")
		remove("y")
		want("removed", 0, "x=1")
		if nats.writes != 4 { // the mark of the server, and one for each change
			t.Errorf("%d writes to NATS, want 4", nats.writes)
		}
		put("y", "1")
		nats.cut(true)
		put("z", "1")
		put("short", "1")
		remove("short")
		remove("x")
		put("y", "2")
		want("NATS is away", 3, "x=1", "y=1")
		nats.cut(false)
		time.Sleep(2 * mirrorPause)
		want("NATS is back", 0, "y=2", "z=1")
		if nodes, err := m.debtors(ctx); err != nil || len(nodes) != 1 || nodes[0].Key != "a" {
			t.Errorf("servers that have something: %v, %v", nodes, err)
		}
		nats.memory.mu.Lock()
		clear(nats.memory.records)
		nats.memory.mu.Unlock()
		m.doubt()
		time.Sleep(2 * mirrorPause)
		want("NATS has lost everything", 0, "y=2", "z=1")
		if nodes, err := m.debtors(ctx); err != nil || len(nodes) != 1 {
			t.Errorf("servers that have something: %v, %v", nodes, err)
		}
		local.fill(true)
		if _, err := m.Put(ctx, "owed", "full", []byte("1"), state.Any); err == nil {
			t.Error("a write that the state does not take has no error")
		}
		want("the disk is full", 0, "y=2", "z=1")
	})
}

// A record that changes while it is on its way to NATS is there as it is at the end.
func TestMirrorRace(t *testing.T) {
	nats := &link{memory: newMemory()}
	m := newMirror(newMemory(), nats, "a", quiet())
	if _, err := m.Put(t.Context(), "owed", "x", []byte("1"), state.Any); err != nil {
		t.Fatal(err)
	}
	nats.before = func() { // between the read of the record and the write to NATS
		if err := m.Delete(t.Context(), "owed", "x", state.Any); err != nil {
			t.Error(err)
		}
	}
	if _, err := m.Put(t.Context(), "owed", "x", []byte("2"), state.Any); err != nil {
		t.Fatal(err)
	}
	if got := seen(t, m); len(got) != 0 {
		t.Errorf("NATS has %q, which was removed", got)
	}
}

// heirs is an Ends that notes what it is asked.
type heirs struct {
	asked []string
	left  int // how often something is left
	err   error
}

func (e *heirs) Buckets() []string { return []string{"owed"} }

func (e *heirs) Tell(_ context.Context, node string) (bool, error) {
	e.asked = append(e.asked, node)
	e.left--
	return e.left < 0 && e.err == nil, e.err
}

func TestHeirOfEnds(t *testing.T) {
	a, b := Owner{"a", "1"}, Owner{"b", "1"}
	nats := newMemory()
	m := newMirror(newMemory(), nats, "a", quiet())
	if _, err := m.Put(t.Context(), "owed", "x", []byte("1"), state.Any); err != nil {
		t.Fatal(err)
	}
	c := &company{me: b, nodes: []Node{{Owner: a}, {Owner: b}}, known: true}
	told := &heirs{}
	h := NewHeir(HeirParts{Cluster: c, Keeper: nats, Mirror: newMirror(newMemory(), nats, "b", quiet()), Ends: told, EndsAfter: time.Minute, Log: quiet()})
	now := time.Now()
	look := func(when string, after time.Duration, want int) {
		t.Helper()
		now = now.Add(after)
		_ = h.look(t.Context(), now)
		if len(told.asked) != want {
			t.Errorf("%s: asked to tell %v, want %d times", when, told.asked, want)
		}
	}
	look("a lives", 0, 0)
	look("a lives", time.Hour, 0)
	c.nodes = []Node{{Owner: b}}
	look("a has just gone", time.Second, 0)
	look("a may come back", 59*time.Second, 0)
	c.known = false
	look("b is cut off itself", time.Hour, 0)
	c.known = true
	look("b is back", time.Second, 0)
	told.err = errors.New("NATS is away")
	look("a does not come back", time.Minute, 1)
	told.err, told.left = nil, 2
	look("tried again", heirTick, 2)
	look("something is left", heirTick, 3)
	look("nothing is left", heirTick, 4)
	look("it is done", heirTick, 4)
	if nodes, err := m.debtors(t.Context()); err != nil || len(nodes) != 1 {
		t.Errorf("what a has left is not kept for a: %v, %v", nodes, err)
	}
	look("a never comes back", heirForgets+time.Hour, 4)
	if nats.len() != 0 {
		t.Errorf("%d records of a are kept for ever", nats.len())
	}
	c.nodes = []Node{{Owner: a}, {Owner: b}}
	if _, err := m.Put(t.Context(), "owed", "y", []byte("1"), state.Any); err != nil {
		t.Fatal(err)
	}
	m.doubt()
	if !m.catchUp(t.Context()) {
		t.Fatal("the mirror is behind")
	}
	look("a is there again", time.Second, 4)
	c.nodes = []Node{{Owner: b}}
	look("a has gone again", time.Second, 4)
	look("a does not come back", time.Minute, 5)
}

// The end of a push is found among the events of its server, as that server has numbered it.
func TestEndsOf(t *testing.T) {
	e := &Events{added: make(chan struct{})}
	for i, o := range []struct {
		push string
		to   transponder.State
		from Origin
	}{
		{"p", transponder.Live, Origin{"a", "run-a", 4}}, {"p", transponder.Ended, Origin{"a", "run-a", 5}},
		{"q", transponder.Live, Origin{"a", "run-a", 6}}, {"q", transponder.Failed, Origin{"b", "run-b", 1}},
	} {
		e.take(transponder.Event{ID: o.push, To: o.to}, o.from, uint64(i+1))
	}
	ends := e.EndsOf("a")
	if len(ends) != 1 || ends["p"].Number != 5 || ends["p"].Run != "run-a" {
		t.Errorf("ends of a: %+v; want that of p, number 5 of run-a", ends)
	}
}
