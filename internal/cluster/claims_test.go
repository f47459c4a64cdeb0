package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/state"
	"transponder/internal/transponder"
)

// fakeMembers are Members and Gate as a test wants them.
type fakeMembers struct {
	Solo

	mu       sync.Mutex
	living   map[Owner]bool
	patience time.Duration
}

func (m *fakeMembers) Lives(o Owner) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.living[o]
}

func (m *fakeMembers) Patience(Owner) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.patience
}

func (m *fakeMembers) set(o Owner, lives bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.living == nil {
		m.living = map[Owner]bool{}
	}
	m.living[o] = lives
}

// keeperMaker opens the keeper under test, again and again over the same records.
type keeperMaker func(t *testing.T) (state.Keeper, state.Sealer)

func storeMaker(dir string) keeperMaker {
	return func(t *testing.T) (state.Keeper, state.Sealer) {
		t.Helper()
		s, err := state.Open(t.Context(), state.Config{Dir: dir}, quiet())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s, s.Sealer()
	}
}

var (
	ownerA = Owner{"a", "0000000000001"}
	ownerB = Owner{"b", "0000000000002"}
)

var salt = []byte("0123456789abcdef0123456789abcdef")

// newClaims makes claims of one process, which lives until the test ends.
func newClaims(t *testing.T, keeper state.Keeper, sealer state.Sealer, members *fakeMembers, self Owner) *Claims {
	t.Helper()
	members.set(self, true)
	c := NewClaims(keeper, sealer, ClaimsParts{Self: self, Members: members, Gate: members, Salt: salt, Log: quiet()})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	wg.Go(func() { c.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return c
}

func newPush(stream, key string) transponder.Record {
	return transponder.Record{
		Stream: stream, Key: key, Target: "rtmp://host/app/***", Secret: []byte(`{"address":"CANARY"}`), Req: json.RawMessage(`{}`), By: "rest", State: "STARTING",
	}
}

func claimed(t *testing.T, c *Claims, r transponder.Record) transponder.Claim {
	t.Helper()
	claim, err := c.Claim(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return claim
}

// until waits until a condition holds.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	limit := time.After(20 * time.Second)
	for tick := time.Tick(5 * time.Millisecond); !condition(); {
		select {
		case <-tick:
		case <-limit:
			t.Fatalf("no %s", what)
		}
	}
}

// TestClaims is the contract of Claims over a keeper.
func TestClaims(t *testing.T) {
	testClaims(t, storeMaker(t.TempDir()))
}

// testClaims is for each state.Keeper that claims lie on.
func testClaims(t *testing.T, open keeperMaker) {
	keeper, sealer := open(t)
	members := &fakeMembers{}
	a, b := newClaims(t, keeper, sealer, members, ownerA), newClaims(t, keeper, sealer, members, ownerB)
	stored := func(id string) transponder.Record {
		t.Helper()
		place, err := placeOf(id)
		if err != nil {
			t.Fatal(err)
		}
		r, _, err := a.read(t.Context(), place)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}

	t.Run("one of many gets a push", func(t *testing.T) {
		var won, lost int
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				claim, err := []*Claims{a, b}[i%2].Claim(t.Context(), newPush("race", "x"))
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil && claim.Record().Epoch == 1 && claim.Kept():
					won++
				case errors.Is(err, transponder.ErrDuplicate):
					lost++
				default:
					t.Errorf("claim: %v", err)
				}
			})
		}
		wg.Wait()
		if won != 1 || lost != 19 {
			t.Errorf("%d won and %d lost", won, lost)
		}
	})

	t.Run("saves are written in the end", func(t *testing.T) {
		claim := claimed(t, a, newPush("save", "x"))
		r := claim.Record()
		for i := range 100 {
			r.Tries = i + 1
			r.Node, r.Epoch = "nonsense", 77 // which is the keeper's
			claim.Save(r)
		}
		until(t, "save", func() bool { return stored(r.ID).Tries == 100 })
		if got := stored(r.ID); got.Node != ownerA.Node || got.Epoch != 1 || string(got.Secret) != `{"address":"CANARY"}` {
			t.Errorf("stored %+v", got)
		}
	})

	t.Run("who lives keeps it, who died loses it", func(t *testing.T) {
		claim := claimed(t, a, newPush("take", "x"))
		r := claim.Record()
		r.Muted = true
		claim.Save(r)
		if _, err := b.Claim(t.Context(), r); !errors.Is(err, transponder.ErrDuplicate) {
			t.Fatalf("a push of somebody who lives: %v", err)
		}
		until(t, "save", func() bool { return stored(r.ID).Muted })
		if w, err := b.Waiting(t.Context(), "take"); err != nil || len(w) != 0 {
			t.Fatalf("waiting: %v, %v", w, err)
		}
		members.set(ownerA, false)
		defer members.set(ownerA, true)
		w, err := b.Waiting(t.Context(), "take")
		if err != nil || len(w) != 1 || w[0].ID != r.ID {
			t.Fatalf("waiting: %v, %v", w, err)
		}
		taken := claimed(t, b, w[0])
		if got := taken.Record(); got.Epoch != 2 || got.Node != ownerB.Node || !got.Muted || got.ID != r.ID {
			t.Errorf("taken over as %+v", got)
		}
		r.Tries = 9
		claim.Save(r) // as a process would that was paused
		select {
		case <-claim.Lost():
		case <-time.After(20 * time.Second):
			t.Fatal("the old owner does not notice")
		}
		if got := stored(r.ID); got.Epoch != 2 || got.Tries == 9 {
			t.Errorf("the old owner has written %+v", got)
		}
		if err := claim.Forget(t.Context()); err != nil {
			t.Error(err)
		}
		if got := stored(r.ID); got.Epoch != 2 {
			t.Error("the old owner has removed the record")
		}
	})

	t.Run("released is free", func(t *testing.T) {
		claim := claimed(t, a, newPush("release", "x"))
		r := claim.Record()
		r.Far = 1234
		if err := claim.Release(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		r.Tries = 9
		claim.Save(r)
		taken := claimed(t, b, r)
		if got := taken.Record(); got.Epoch != 2 || got.Far != 1234 || got.Tries == 9 {
			t.Errorf("taken over as %+v", got)
		}
	})

	t.Run("forgotten is gone", func(t *testing.T) {
		claim := claimed(t, a, newPush("forget", "x"))
		r := claim.Record()
		claim.Save(r)
		if err := claim.Forget(t.Context()); err != nil {
			t.Fatal(err)
		}
		if all, err := a.List(t.Context(), "forget"); err != nil || len(all) != 0 {
			t.Fatalf("left: %v, %v", all, err)
		}
		if _, err := b.Claim(t.Context(), r); !errors.Is(err, transponder.ErrNotFound) {
			t.Errorf("claim of what is gone: %v", err)
		}
		if again := claimed(t, b, newPush("forget", "x")).Record(); again.ID == r.ID || again.ID[:16] != r.ID[:16] {
			t.Errorf("a new push has the id %s after %s", again.ID, r.ID)
		}
	})

	t.Run("a keeper that has forgotten is told again", func(t *testing.T) {
		claim := claimed(t, a, newPush("amnesia", "x"))
		r := claim.Record()
		place, _ := placeOf(r.ID)
		if err := keeper.Delete(t.Context(), pushesBucket, place, state.Any); err != nil {
			t.Fatal(err)
		}
		if err := a.Verify(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := stored(r.ID); got.ID != r.ID || got.Epoch != 1 {
			t.Errorf("stored %+v", got)
		}
		if err := keeper.Delete(t.Context(), pushesBucket, place, state.Any); err != nil {
			t.Fatal(err)
		}
		r.Tries = 3
		claim.Save(r)
		until(t, "save", func() bool {
			_, err := keeper.Get(t.Context(), pushesBucket, place)
			return err == nil
		})
	})

	t.Run("of two records the higher epoch is true", func(t *testing.T) {
		claim := claimed(t, a, newPush("split", "x"))
		r := claim.Record()
		place, _ := placeOf(r.ID)
		other := r
		other.Node, other.Incarnation, other.Epoch = ownerB.Node, ownerB.Incarnation, 5
		value, err := b.encode(other)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := keeper.Put(t.Context(), pushesBucket, place, value, state.Any); err != nil {
			t.Fatal(err)
		}
		if err := a.Verify(t.Context()); err != nil {
			t.Fatal(err)
		}
		select {
		case <-claim.Lost():
		default:
			t.Error("the lower epoch goes on")
		}
	})

	t.Run("dropped without a claim", func(t *testing.T) {
		claim := claimed(t, a, newPush("drop", "x"))
		r := claim.Record()
		if err := b.Drop(t.Context(), r); !errors.Is(err, transponder.ErrDuplicate) {
			t.Errorf("drop of a push that somebody has: %v", err)
		}
		if err := claim.Release(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if err := b.Drop(t.Context(), r); err != nil {
			t.Error(err)
		}
		if err := b.Drop(t.Context(), r); !errors.Is(err, transponder.ErrNotFound) {
			t.Errorf("a second drop: %v", err)
		}
	})

	t.Run("what is not known is kept", func(t *testing.T) {
		claim := claimed(t, a, newPush("future", "x"))
		r := claim.Record()
		if err := claim.Release(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		place, _ := placeOf(r.ID)
		edit(t, keeper, place, func(members map[string]any) { members["v"], members["flux"] = 3, map[string]any{"a": 1.0} })
		taken := claimed(t, b, r)
		taken.Save(taken.Record())
		until(t, "save", func() bool {
			members := raw(t, keeper, place)
			flux, _ := members["flux"].(map[string]any)
			return members["node"] == ownerB.Node && members["v"] == 3.0 && flux["a"] == 1.0
		})
		if err := taken.Release(t.Context(), taken.Record()); err != nil {
			t.Fatal(err)
		}
		edit(t, keeper, place, func(members map[string]any) { members["min"] = 2 })
		before := raw(t, keeper, place)
		if _, err := b.Claim(t.Context(), r); err == nil {
			t.Error("a record of a newer version is claimed")
		}
		if w, err := b.Waiting(t.Context(), "future"); err != nil || len(w) != 1 || w[0].Usable() {
			t.Errorf("waiting: %+v, %v", w, err)
		}
		if after := raw(t, keeper, place); after["epoch"] != before["epoch"] {
			t.Error("a record of a newer version is changed")
		}
	})

	t.Run("secrets are sealed", func(t *testing.T) {
		all, err := keeper.List(t.Context(), pushesBucket, "")
		if err != nil || len(all) == 0 {
			t.Fatal(err)
		}
		for _, r := range all {
			if strings.Contains(string(r.Value), "CANARY") {
				t.Errorf("in clear: %s", r.Value)
			}
		}
	})
}

func raw(t *testing.T, keeper state.Keeper, place string) map[string]any {
	t.Helper()
	r, err := keeper.Get(t.Context(), pushesBucket, place)
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]any
	if err := json.Unmarshal(r.Value, &members); err != nil {
		t.Fatal(err)
	}
	return members
}

func edit(t *testing.T, keeper state.Keeper, place string, change func(map[string]any)) {
	t.Helper()
	members := raw(t, keeper, place)
	change(members)
	value, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keeper.Put(t.Context(), pushesBucket, place, value, state.Any); err != nil {
		t.Fatal(err)
	}
}

// A push of a process that went silently is free only after some time; one that answers gives it up at once.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keeper, sealer := newMemory(), noSeal{}
		members := &fakeMembers{}
		members.set(ownerB, true)
		var asked []Owner
		b := NewClaims(keeper, sealer, ClaimsParts{
			Self: ownerB, Members: members, Gate: members, Salt: salt, Log: quiet(),
			Ask: func(_ context.Context, o Owner, _ string) error {
				asked = append(asked, o)
				return errors.New("nobody answers")
			},
		})
		a := NewClaims(keeper, sealer, ClaimsParts{Self: ownerA, Members: members, Gate: members, Salt: salt, Log: quiet()})
		r := claimed(t, a, newPush("s", "x")).Record()
		members.patience = 2300 * time.Millisecond
		begun := time.Now()
		if got := claimed(t, b, r).Record(); got.Epoch != 2 || time.Since(begun) != members.patience || !slices.Equal(asked, []Owner{ownerA}) {
			t.Errorf("taken as epoch %d after %v, asked %v", got.Epoch, time.Since(begun), asked)
		}
		// A process without a link to NATS cannot be asked. Then the time that the publisher has been here counts.
		for here, wait := range map[time.Duration]time.Duration{0: members.patience, time.Second: members.patience - time.Second, time.Minute: 0} {
			for answer, want := range map[error]time.Duration{ErrGone: wait, transponder.ErrIsolated: members.patience} {
				b.parts.Here = func(stream string) time.Duration {
					if stream != "s" {
						t.Errorf("asked for the publisher of %q", stream)
					}
					return here
				}
				b.parts.Ask = func(context.Context, Owner, string) error { return fmt.Errorf("ask: %w", answer) }
				r := claimed(t, a, newPush("s", fmt.Sprint(here, answer))).Record()
				begun := time.Now()
				if claimed(t, b, r); time.Since(begun) != want {
					t.Errorf("with the publisher here for %v and %v, taken after %v, want %v", here, answer, time.Since(begun), want)
				}
			}
		}
		other := claimed(t, a, newPush("s", "y"))
		b.parts.Ask = func(ctx context.Context, _ Owner, _ string) error { return other.Release(ctx, other.Record()) }
		begun = time.Now()
		if got := claimed(t, b, other.Record()).Record(); got.Epoch != 2 || time.Since(begun) != 0 {
			t.Errorf("taken as epoch %d after %v", got.Epoch, time.Since(begun))
		}
	})
}

// A full disk stops no push: it runs, is not kept, and is kept once there is room.
func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keeper := newMemory()
		members := &fakeMembers{}
		c := newClaims(t, keeper, noSeal{}, members, ownerA)
		old := claimed(t, c, newPush("s", "old"))
		keeper.fill(true)
		claim := claimed(t, c, newPush("s", "x"))
		if claim.Kept() {
			t.Error("what is not written is called kept")
		}
		if _, err := c.Claim(t.Context(), newPush("s", "x")); !errors.Is(err, transponder.ErrDuplicate) {
			t.Errorf("a second claim: %v", err)
		}
		if err := old.Forget(t.Context()); err == nil {
			t.Error("forgotten, though nothing can be written")
		}
		again, err := c.Claim(t.Context(), newPush("s", "old"))
		if err != nil {
			t.Fatalf("the address is not free: %v", err)
		}
		if before, now := old.Record().Epoch, again.Record().Epoch; now <= before {
			t.Errorf("epoch %d after %d: a process that knows the push before believes that this one is older", now, before)
		}
		if err := again.Forget(t.Context()); err == nil {
			t.Error("forgotten, though nothing can be written")
		}
		keeper.fill(false)
		time.Sleep(2 * saveAgain)
		synctest.Wait()
		if !claim.Kept() || keeper.len() != 1 {
			t.Errorf("kept %v, %d records", claim.Kept(), keeper.len())
		}
	})
}

// Records of every version of the server are read, and written back as they are.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/push-v*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("golden files: %v, %v", files, err)
	}
	c := codec{noSeal{}}
	for _, file := range files {
		value, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		r, err := c.decode(state.Record{Value: value})
		if err != nil || !r.Usable() || len(r.ID) != idDigits || r.Anchor == 0 {
			t.Fatalf("%s: %+v, %v", file, r, err)
		}
		written, err := c.encode(r)
		if err != nil {
			t.Fatal(err)
		}
		var want, got map[string]any
		if json.Unmarshal(value, &want) != nil || json.Unmarshal(written, &got) != nil {
			t.Fatalf("%s: not JSON", file)
		}
		for name := range want {
			a, _ := json.Marshal(want[name])
			b, _ := json.Marshal(got[name])
			if string(a) != string(b) {
				t.Errorf("%s: %s was %s and is %s", file, name, a, b)
			}
		}
	}
}

// The salt stays, and a lost key makes a new one only where that is asked for.
func TestSalt(t *testing.T) {
	keeper := newMemory()
	first, err := Salt(t.Context(), keeper, noSeal{}, false)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Salt(t.Context(), keeper, noSeal{}, false); err != nil || string(again) != string(first) {
		t.Errorf("the salt has changed: %v", err)
	}
	if _, err := Salt(t.Context(), keeper, otherKey{}, false); !errors.Is(err, state.ErrSealed) {
		t.Errorf("with another key: %v", err)
	}
	if again, err := Salt(t.Context(), keeper, otherKey{}, true); err != nil || string(again) == string(first) {
		t.Errorf("a new salt: %v", err)
	}
}

// A keeper that has forgotten the salt gets it back from any process that knows it, so that records are found where they were.
func TestSaltIsKept(t *testing.T) {
	keeper, members := newMemory(), &fakeMembers{}
	c := NewClaims(keeper, noSeal{}, ClaimsParts{
		Self: ownerA, Members: members, Gate: members, Log: quiet(),
		Late: func(ctx context.Context) ([]byte, error) { return Salt(ctx, keeper, noSeal{}, false) },
	})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { c.Run(ctx) })
	defer wg.Wait()
	defer cancel()
	until(t, "salt without a push", func() bool { return c.StreamHash("show") != "" })
	before := c.StreamHash("show")
	if err := keeper.Delete(ctx, metaBucket, saltKey, state.Any); err != nil {
		t.Fatal(err)
	}
	if err := c.Verify(ctx); err != nil {
		t.Fatal(err)
	}
	salt, err := Salt(ctx, keeper, noSeal{}, false)
	if err != nil || hash(salt, "stream", "show") != before {
		t.Errorf("another process would look at %s, want %s; %v", hash(salt, "stream", "show"), before, err)
	}
}
