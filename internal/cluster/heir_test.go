package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"transponder/internal/state"
	"transponder/internal/transponder"
)

// company is a Company of nodes that a test sets.
type company struct {
	me    Owner
	nodes []Node
	known bool
}

func (c *company) Self() Owner              { return c.me }
func (c *company) Nodes() []Node            { return c.nodes }
func (c *company) Known() bool              { return c.known }
func (c *company) Changed() <-chan struct{} { return nil }

// letters are a Poster that keeps what it is given.
type letters struct {
	mu     sync.Mutex
	posted []string
	missed int64
	refuse bool
}

func (l *letters) Post(_ context.Context, e transponder.Event) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.refuse {
		l.posted = append(l.posted, fmt.Sprintf("%s-%d", e.Run, e.Number))
	}
	return !l.refuse
}

func (l *letters) Missed(n int64) { l.missed += n }

func TestHeir(t *testing.T) {
	a, b := Owner{"a", "1"}, Owner{"b", "1"}
	keeper, hooks, events := newMemory(), &letters{}, &Events{added: make(chan struct{})}
	for i, origin := range []Origin{{"a", "run-a", 4}, {"b", "run-b", 1}, {"a", "run-a", 5}, {"a", "run-a", 5}, {"a", "run-a", 7}, {"b", "run-b", 2}, {"a", "older", 9}} {
		events.take(transponder.Event{ID: "p", Sequence: uint64(i)}, origin, uint64(i+1))
	}
	for _, m := range []HookMarks{{Node: "a", Local: keeper}, {Node: "b", Local: keeper}} {
		if err := m.Save(t.Context(), "run-"+m.Node, 4); err != nil {
			t.Fatal(err)
		}
	}
	mark := func() uint64 {
		var m hookMark
		r, err := keeper.Get(t.Context(), metaBucket, "hooks.a")
		if err != nil || json.Unmarshal(r.Value, &m) != nil {
			t.Fatalf("the mark of a: %v", err)
		}
		return m.Number
	}
	c := &company{me: b, nodes: []Node{{Owner: a}, {Owner: b}}, known: true}
	h := NewHeir(HeirParts{Cluster: c, Keeper: keeper, Events: events, Hooks: hooks, Log: quiet()})
	now := time.Now()
	look := func(after time.Duration) {
		t.Helper()
		now = now.Add(after)
		_ = h.look(t.Context(), now)
	}
	look(0)
	look(time.Minute)
	c.nodes = []Node{{Owner: b}}
	look(time.Second)
	look(heirAfter - time.Second)
	if len(hooks.posted) != 0 {
		t.Fatalf("posted %v, want nothing while a lives, or may come back", hooks.posted)
	}
	c.known = false
	look(time.Minute)
	c.known = true
	look(time.Second)
	if len(hooks.posted) != 0 {
		t.Fatalf("posted %v, want nothing by a server that does not know who lives", hooks.posted)
	}
	hooks.refuse = true
	look(heirAfter)
	if mark() != 4 {
		t.Errorf("the mark of a is %d after a post that did not happen, want 4", mark())
	}
	hooks.refuse = false
	look(heirTick)
	if want := []string{"run-a-5", "run-a-7"}; !slices.Equal(hooks.posted, want) || hooks.missed != 1 || mark() != 7 {
		t.Errorf("posted %v, %d missed, mark %d; want %v, one missed, 7", hooks.posted, hooks.missed, mark(), want)
	}
	look(heirTick)
	if len(hooks.posted) != 2 {
		t.Errorf("posted %v: an event came twice", hooks.posted)
	}
}

// Of two servers that post for a third, one stops as soon as it sees the other.
func TestHeirsMeet(t *testing.T) {
	keeper, hooks, events := newMemory(), &letters{}, &Events{added: make(chan struct{})}
	events.take(transponder.Event{}, Origin{"a", "run", 1}, 1)
	events.take(transponder.Event{}, Origin{"a", "run", 2}, 2)
	m := HookMarks{Node: "a", Local: keeper, Shared: keeper, Log: quiet()}
	if err := m.Save(t.Context(), "run", 0); err != nil {
		t.Fatal(err)
	}
	old, err := keeper.Get(t.Context(), metaBucket, "hooks.a")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Save(t.Context(), "run", 2); err != nil {
		t.Fatal(err)
	}
	h := NewHeir(HeirParts{Keeper: keeper, Events: events, Hooks: hooks, Log: quiet()})
	if err := h.inherit(t.Context(), "a", old); err == nil || len(hooks.posted) != 1 {
		t.Errorf("posted %v, err %v; want one event, and a conflict", hooks.posted, err)
	}
	if number, ok := m.Load(t.Context(), "run"); number != 2 || !ok {
		t.Errorf("the mark is %d, known %v; want 2", number, ok)
	}
	if _, ok := m.Load(t.Context(), "another"); ok {
		t.Error("a mark of another run counts")
	}
	var none state.Keeper
	if n, ok := (HookMarks{Node: "b", Local: newMemory(), Shared: none, Log: quiet()}).Load(t.Context(), "run"); ok {
		t.Errorf("a mark that is not there is %d", n)
	}
}
