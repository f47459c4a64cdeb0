package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/state"
	"transponder/internal/transponder"
)

// fakeCompany are the nodes that live.
type fakeCompany struct {
	self Owner

	mu      sync.Mutex
	nodes   []Node
	changed chan struct{}
}

func newFakeCompany(self Owner, nodes ...Owner) *fakeCompany {
	c := &fakeCompany{self: self, changed: make(chan struct{})}
	c.set(nodes...)
	return c
}

func (c *fakeCompany) set(nodes ...Owner) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes = nil
	for _, o := range nodes {
		c.nodes = append(c.nodes, Node{Owner: o})
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *fakeCompany) Self() Owner { return c.self }
func (c *fakeCompany) Known() bool { return true }

func (c *fakeCompany) Nodes() []Node {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.nodes)
}

func (c *fakeCompany) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

// fakeEnder ends pushes as a registry does: it claims and forgets them.
type fakeEnder struct {
	claims *Claims
	waits  time.Duration

	mu    sync.Mutex
	ended []string
}

func (*fakeEnder) Show(r transponder.Record, lives bool, f transponder.Filter) (transponder.Info, bool) {
	i := transponder.Info{ID: r.ID, Node: r.Node, Stale: r.Node != "", State: transponder.Awaiting}
	if lives {
		i.State = transponder.Live
	}
	return i, f.ID == "" || f.ID == r.ID
}

func (e *fakeEnder) EndWaiting(ctx context.Context, r transponder.Record, expired bool) error {
	claim, err := e.claims.Claim(ctx, r)
	if err != nil {
		return err
	}
	last := claim.Record()
	if expired {
		last.Reason = transponder.ReasonExpired
	}
	claim.Save(last)
	e.mu.Lock()
	e.ended = append(e.ended, r.ID)
	e.mu.Unlock()
	return claim.Forget(ctx)
}

func (e *fakeEnder) ResumesFor(r transponder.Record) (time.Duration, bool) {
	return e.waits, r.Usable()
}

func (e *fakeEnder) all() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.ended)
}

// orphanScene is two processes: a has pushes, b looks after orphans.
type orphanScene struct {
	keeper  *memory
	members *fakeMembers
	a, b    *Claims
	ender   *fakeEnder
	orphans *Orphans
	company *fakeCompany
}

func newOrphanScene() *orphanScene {
	s := &orphanScene{keeper: newMemory(), members: &fakeMembers{patience: 2300 * time.Millisecond}, company: newFakeCompany(ownerB, ownerA, ownerB)}
	s.members.set(ownerA, true)
	s.members.set(ownerB, true)
	s.a = NewClaims(s.keeper, noSeal{}, ClaimsParts{Self: ownerA, Members: s.members, Gate: s.members, Salt: salt, Log: quiet()})
	s.b = NewClaims(s.keeper, noSeal{}, ClaimsParts{Self: ownerB, Members: s.members, Gate: s.members, Salt: salt, Log: quiet()})
	s.ender = &fakeEnder{claims: s.b, waits: 5 * time.Minute}
	s.orphans = NewOrphans(OrphanParts{Cluster: s.company, Claims: s.b, Pushes: s.ender, Log: quiet()})
	return s
}

// die lets a's process be gone for the others.
func (s *orphanScene) die() {
	s.members.set(ownerA, false)
	s.company.set(ownerB)
}

func TestOrphansAreFound(t *testing.T) {
	s := newOrphanScene()
	ctx := t.Context()
	lost, left := claimed(t, s.a, newPush("show", "x")), claimed(t, s.a, newPush("show", "y"))
	claimed(t, s.b, newPush("show", "z"))
	if err := left.Release(ctx, left.Record()); err != nil {
		t.Fatal(err)
	}
	type seen struct {
		id    string
		stale bool
		state transponder.State
	}
	find := func(f transponder.Filter, missing ...string) (all []seen) {
		t.Helper()
		found, err := s.orphans.Find(ctx, f, missing)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range found {
			all = append(all, seen{i.ID, i.Stale, i.State})
		}
		return all
	}
	free := seen{left.Record().ID, false, transponder.Awaiting}
	gone := seen{lost.Record().ID, true, transponder.Awaiting}
	silent := seen{lost.Record().ID, true, transponder.Live}
	check := func(what string, got []seen, want ...seen) {
		t.Helper()
		slices.SortFunc(want, func(x, y seen) int { return compare(x.id, y.id) })
		slices.SortFunc(got, func(x, y seen) int { return compare(x.id, y.id) })
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	check("while a lives", find(transponder.Filter{}), free)
	check("while a lives but does not answer", find(transponder.Filter{}, "a"), free, silent)
	if err := s.orphans.Terminate(ctx, lost.Record().ID); !errors.Is(err, transponder.ErrDuplicate) {
		t.Errorf("to end a push that a living process has: %v", err)
	}
	s.die()
	check("when a is gone", find(transponder.Filter{}), free, gone)
	check("of the stream", find(transponder.Filter{StreamName: "show"}), free, gone)
	check("of another stream", find(transponder.Filter{StreamName: "other"}))
	check("by id", find(transponder.Filter{ID: gone.id}), gone)
	check("by an id that is none", find(transponder.Filter{ID: "x"}))
}

func compare(a, b string) int {
	if a < b {
		return -1
	}
	return 1
}

// A push that was ended while its process was cut off is over for that process, too. It can be started anew. See also the case of a push that
// only expired, which the process may have been feeding all the time.
func TestOrphanEnds(t *testing.T) {
	for title, expired := range map[string]bool{"by request": false, "by time": true} {
		t.Run(title, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newOrphanScene()
				ctx := t.Context()
				mine := claimed(t, s.a, newPush("show", "x"))
				id := mine.Record().ID
				s.die()
				begun := time.Now()
				if expired {
					s.orphans.expire(ctx, id, sighting{owner: ownerA, epoch: 1})
				} else if err := s.orphans.Terminate(ctx, id); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(begun); took != s.members.patience || len(s.ender.all()) != 1 {
					t.Errorf("ended %v after %v, want 1 after %v", s.ender.all(), took, s.members.patience)
				}
				if found, err := s.orphans.Find(ctx, transponder.Filter{}, nil); len(found) != 0 || err != nil {
					t.Errorf("afterwards there is %v, %v", found, err)
				}
				if err := s.orphans.Terminate(ctx, id); !errors.Is(err, transponder.ErrNotFound) {
					t.Errorf("a second end: %v", err)
				}
				s.members.set(ownerA, true) // it was cut off only
				if err := s.a.Verify(ctx); err != nil {
					t.Fatal(err)
				}
				lost := false
				select {
				case <-mine.Lost():
					lost = true
				default:
				}
				if lost == expired {
					t.Errorf("the process that was cut off has lost the push: %v, want %v", lost, !expired)
				}
				if _, err := s.b.Claim(ctx, newPush("show", "x")); expired != errors.Is(err, transponder.ErrDuplicate) || !expired && err != nil {
					t.Errorf("the same push anew: %v", err)
				}
				r, err := s.keeper.Get(ctx, pushesBucket, id[:8]+"."+id[8:16])
				if err != nil {
					t.Fatal(err)
				}
				if got, err := s.b.decode(r); err != nil || got.Over || !expired && got.Epoch != 3 {
					t.Errorf("record %+v, %v", got, err)
				}
			})
		})
	}
}

// The first of the living processes ends what nobody came back for, once its time is over, and nothing else.
func TestOrphansExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newOrphanScene()
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { s.orphans.Run(ctx) })
		defer wg.Wait()
		defer cancel()
		lost, taken := claimed(t, s.a, newPush("show", "x")), claimed(t, s.a, newPush("show", "y"))
		stuck := newPush("show", "z")
		stuck.Least = 99
		claimed(t, s.a, stuck)
		time.Sleep(10 * time.Minute)
		if got := s.ender.all(); len(got) != 0 {
			t.Errorf("ended while their process lives: %v", got)
		}
		s.members.set(ownerA, false)
		s.company.set(Owner{"0", "another"}, ownerB)
		time.Sleep(10 * time.Minute)
		if got := s.ender.all(); len(got) != 0 {
			t.Errorf("ended by a process that is not the first: %v", got)
		}
		s.company.set(ownerB)
		died := time.Now()
		time.Sleep(4 * time.Minute)
		claimed(t, s.b, taken.Record()) // its publisher has come
		for len(s.ender.all()) == 0 && time.Since(died) < 20*time.Minute {
			time.Sleep(time.Second)
		}
		if took := time.Since(died); took < 5*time.Minute || took > 5*time.Minute+2*orphanTick {
			t.Errorf("ended after %v, want 5 minutes", took)
		}
		time.Sleep(20 * time.Minute)
		if got := s.ender.all(); !slices.Equal(got, []string{lost.Record().ID}) {
			t.Errorf("ended %v, want only %s", got, lost.Record().ID)
		}
		if records, err := s.keeper.List(ctx, pushesBucket, ""); len(records) != 2 || err != nil {
			t.Errorf("%d records are left, %v", len(records), err)
		}
	})
}

// The names of a process that is gone are forgotten, those of the living are not.
func TestNamesAreForgotten(t *testing.T) {
	s := newOrphanScene()
	ctx := t.Context()
	for name, owner := range map[string]Owner{"of a": ownerA, "of b": ownerB} {
		value, err := json.Marshal(nameRecord{Version: 1, Name: name, Owner: owner, Epoch: 1})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.keeper.Put(ctx, namesBucket, nameKey(name), value, 0); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	look := func(what string, after time.Duration, want int) {
		t.Helper()
		if err := s.orphans.forgetNames(ctx, now.Add(after)); err != nil {
			t.Fatal(err)
		}
		if got, err := s.keeper.List(ctx, namesBucket, ""); len(got) != want || err != nil {
			t.Errorf("%s: %d names, %v; want %d", what, len(got), err, want)
		}
	}
	look("both live", 0, 2)
	s.die()
	look("a has just died", time.Hour, 2)
	s.members.set(ownerA, true)
	look("it was cut off", 2*time.Hour, 2)
	s.members.set(ownerA, false)
	look("it dies again", 3*time.Hour, 2)
	look("a moment later", 3*time.Hour+orphanLeast/2, 2)
	look("a minute later", 3*time.Hour+orphanLeast, 1)
	if r, err := s.keeper.Get(ctx, namesBucket, nameKey("of b")); err != nil {
		t.Errorf("the name of the living process: %+v, %v", r, err)
	}
}

// What could not be written when a push ended is written later: that the push is over.
func TestOrphanEndsLater(t *testing.T) {
	s := newOrphanScene()
	s.members.patience = time.Millisecond
	ctx := t.Context()
	mine := claimed(t, s.a, newPush("show", "x"))
	s.die()
	theirs := claimed(t, s.b, mine.Record())
	s.keeper.fill(true)
	if err := theirs.Forget(ctx); err == nil {
		t.Fatal("nothing could be written, but Forget succeeds")
	}
	s.keeper.fill(false)
	s.b.bury(ctx, time.Now())
	if err := s.a.Verify(ctx); err != nil {
		t.Fatal(err)
	}
	select {
	case <-mine.Lost():
	default:
		t.Error("the process that was cut off believes that it has the push")
	}
	var r state.Record
	r, err := s.keeper.Get(ctx, pushesBucket, mine.Record().ID[:8]+"."+mine.Record().ID[8:16])
	if got, decodeErr := s.b.decode(r); err != nil || decodeErr != nil || !got.Over || got.Secret != nil || got.Req != nil && string(got.Req) != "null" {
		t.Errorf("record %s, %v", r.Value, err)
	}
}

// A push that was ended while its record could not be removed does not come back, though the record says that it waits.
func TestEndWithoutKeeperLasts(t *testing.T) {
	s := newOrphanScene()
	ctx := t.Context()
	mine := claimed(t, s.a, newPush("show", "x"))
	s.keeper.fill(true)
	if err := mine.Forget(ctx); err == nil {
		t.Fatal("nothing could be written, but Forget succeeds")
	}
	s.keeper.fill(false)
	if waiting, err := s.a.Waiting(ctx, "show"); len(waiting) != 0 || err != nil {
		t.Errorf("waiting: %v, %v", waiting, err)
	}
	if _, err := s.a.Claim(ctx, mine.Record()); !errors.Is(err, transponder.ErrNotFound) {
		t.Errorf("to take the push that is over: %v", err)
	}
	if _, err := s.a.Find(ctx, mine.Record().ID); !errors.Is(err, transponder.ErrNotFound) {
		t.Errorf("to find the push that is over: %v", err)
	}
	s.a.bury(ctx, time.Now())
	if n := s.keeper.len(); n != 0 {
		t.Errorf("%d records are left", n)
	}
}
