package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"transponder/internal/state"
	"transponder/internal/testkit"
	"transponder/internal/testkit/natskit"
)

// sharer is a node whose shared records a test looks at.
type sharer struct {
	*Shared
	t     *testing.T
	node  *Cluster
	local state.Keeper

	mu   sync.Mutex
	told []string // guarded by mu; bucket/key of what others have changed
}

// newLocal makes the state of one server.
func newLocal(t *testing.T) state.Keeper {
	t.Helper()
	s, err := state.Memory(t.Context(), quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// newSharer makes a node that has started and does not run yet.
func newSharer(t *testing.T, url, id string, local state.Keeper, change ...func(*Config, *Parts)) *sharer {
	t.Helper()
	s := &sharer{t: t, node: newNode(t, url, id, change...), local: local}
	s.Shared = NewShared(t.Context(), SharedParts{Cluster: s.node, Local: local, Log: quiet()})
	s.Start(t.Context())
	for _, bucket := range sharedBuckets {
		s.Follow(bucket, func(_ context.Context, keys []string) {
			s.mu.Lock()
			defer s.mu.Unlock()
			for _, key := range keys {
				s.told = append(s.told, bucket+"/"+key)
			}
		})
	}
	return s
}

// start runs the node until the test ends, or until stop is called.
func (s *sharer) start() (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Run(ctx) }()
	stopNode := s.node.start(s.t)
	stop = sync.OnceFunc(func() { cancel(); <-done; stopNode() })
	s.t.Cleanup(stop)
	return stop
}

func (s *sharer) put(bucket, key, value string) uint64 {
	s.t.Helper()
	revision, err := s.Put(s.t.Context(), bucket, key, []byte(value), state.Any)
	if err != nil {
		s.t.Fatalf("put %s/%s: %v", bucket, key, err)
	}
	return revision
}

// has is empty if a record has a value; "": there is none.
func (s *sharer) has(bucket, key, value string) func() string {
	return func() string {
		r, err := s.Get(s.t.Context(), bucket, key)
		if err != nil && !errors.Is(err, state.ErrNotFound) {
			return err.Error()
		}
		if string(r.Value) != value {
			return fmt.Sprintf("%s has %q in %s/%s, want %q", s.node.Self().Node, r.Value, bucket, key, value)
		}
		return ""
	}
}

// hears is empty once the followers were told of a record.
func (s *sharer) hears(what string) func() string {
	return func() string {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !slices.Contains(s.told, what) {
			return fmt.Sprintf("%s was told of %q, want %s", s.node.Self().Node, s.told, what)
		}
		return ""
	}
}

func (s *sharer) isCurrent() string {
	if err := s.Writable(); err != nil || s.Stats().Stale {
		return fmt.Sprintf("%s does not read the records: %v", s.node.Self().Node, err)
	}
	return ""
}

func TestSharedKeys(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"alice", "Zoë B.", "a.b", "a*b>c d", "=20", "", strings.Repeat("x", 64), "\u00ff\ufeff"} {
		key := sharedKey("users", name)
		if strings.ContainsAny(strings.TrimPrefix(key, "users."), ".*> ") {
			t.Errorf("key of %q is %q, which NATS does not take", name, key)
		}
		if bucket, got, ok := parseShared(key); !ok || bucket != "users" || got != name {
			t.Errorf("%q becomes %q, and that %q", name, key, got)
		}
	}
	for _, key := range []string{foundedKey, "users.=2", "users.=ZZ", "pushes.a", ""} {
		if _, _, ok := parseShared(key); ok {
			t.Errorf("%q is no key of a shared record, and was taken for one", key)
		}
	}
}

func TestSharedByAll(t *testing.T) {
	t.Parallel()
	url := natskit.Start(t).URL()
	a, b := newSharer(t, url, "a", newLocal(t)), newSharer(t, url, "b", newLocal(t))
	a.start()
	b.start()
	testkit.Eventually(t, time.Minute, a.isCurrent)
	testkit.Eventually(t, time.Minute, b.isCurrent)

	revision := a.put("users", "Zoë B.", `{"v":1}`)
	if why := a.has("users", "Zoë B.", `{"v":1}`)(); why != "" {
		t.Error(why) // whoever has written knows it at once
	}
	testkit.Eventually(t, time.Second, b.has("users", "Zoë B.", `{"v":1}`))
	testkit.Eventually(t, time.Second, b.hears("users/Zoë B."))

	// Both change the same revision: one is refused, and knows then what the other has written.
	if _, err := b.Put(t.Context(), "users", "Zoë B.", []byte(`{"v":2}`), revision); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Put(t.Context(), "users", "Zoë B.", []byte(`{"v":3}`), revision); !errors.Is(err, state.ErrConflict) {
		t.Errorf("a second change of one revision: %v, want a conflict", err)
	}
	if why := a.has("users", "Zoë B.", `{"v":2}`)(); why != "" {
		t.Errorf("after the conflict: %s", why)
	}
	// Both make the same record.
	_, errA := a.Put(t.Context(), "keys", "k", []byte(`{"from":"a"}`), 0)
	_, errB := b.Put(t.Context(), "keys", "k", []byte(`{"from":"b"}`), 0)
	if errA != nil || !errors.Is(errB, state.ErrConflict) {
		t.Errorf("two servers make one record: %v and %v", errA, errB)
	}

	if err := b.Delete(t.Context(), "users", "Zoë B.", state.Any); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, time.Second, a.has("users", "Zoë B.", ""))
	testkit.Eventually(t, time.Second, a.hears("users/Zoë B."))
	for _, s := range []*sharer{a, b} {
		list, err := s.List(t.Context(), "keys", "")
		if users, _ := s.List(t.Context(), "users", ""); err != nil || len(list) != 1 || list[0].Key != "k" || len(users) != 0 {
			t.Errorf("%s lists the keys %v and the users %v, error %v", s.node.Self().Node, list, users, err)
		}
	}
	// What is not shared stays where it was written.
	a.put("fetched", "current", `{}`)
	if why := b.has("fetched", "current", "")(); why != "" {
		t.Error(why)
	}
}

// What NATS removes of a key is gone here, too: the memory does not grow with what was removed.
func TestSharedForgetsRemoved(t *testing.T) {
	t.Parallel()
	url := natskit.Start(t).URL()
	a, b := newSharer(t, url, "a", newLocal(t)), newSharer(t, url, "b", newLocal(t))
	a.start()
	b.start()
	testkit.Eventually(t, time.Minute, a.isCurrent)
	testkit.Eventually(t, time.Minute, b.isCurrent)
	for i := range 20 {
		key := fmt.Sprint(i)
		a.put("sessions", key, `{}`)
		testkit.Eventually(t, time.Minute, b.has("sessions", key, `{}`))
		if err := b.Delete(t.Context(), "sessions", key, state.Any); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range []*sharer{a, b} {
		testkit.Eventually(t, time.Minute, func() string {
			s.Shared.mu.Lock()
			defer s.Shared.mu.Unlock()
			if n := len(s.records); n != 1 { // that of the founder
				return fmt.Sprintf("%s has %d records in memory, want 1", s.node.Self().Node, n)
			}
			return ""
		})
	}
}

// The first server brings what it had, whatever others have; those keep theirs aside.
func TestSharedFounder(t *testing.T) {
	t.Parallel()
	url := natskit.Start(t).URL()
	locals := map[string]state.Keeper{}
	for _, id := range []string{"a", "b"} {
		locals[id] = newLocal(t)
		for _, record := range [][2]string{{"users", "of-" + id}, {"keys", "key-" + id}, {"pushes", "push-" + id}} {
			if _, err := locals[id].Put(t.Context(), record[0], record[1], []byte(`{"v":1}`), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	a, b := newSharer(t, url, "a", locals["a"]), newSharer(t, url, "b", locals["b"])
	for _, s := range []*sharer{a, b} {
		users, _ := s.List(t.Context(), "users", "")
		keys, _ := s.List(t.Context(), "keys", "")
		if len(users) != 1 || users[0].Key != "of-a" || len(keys) != 1 || keys[0].Key != "key-a" {
			t.Errorf("%s has the users %v and the keys %v, want those of a", s.node.Self().Node, users, keys)
		}
	}
	if _, err := locals["b"].Get(t.Context(), "users", "of-b"); err != nil {
		t.Errorf("the user that b had before: %v", err)
	}
	if pushes, _ := b.List(t.Context(), "pushes", ""); len(pushes) != 1 || pushes[0].Key != "push-b" {
		t.Errorf("what is not shared, of b: %v", pushes)
	}
}

// Many servers start at the same time in an empty cluster: the records of one of them count.
func TestSharedFounders(t *testing.T) {
	t.Parallel()
	url := natskit.Start(t).URL()
	sharers := make([]*sharer, 4)
	var wg sync.WaitGroup
	for i := range sharers {
		local := newLocal(t)
		if _, err := local.Put(t.Context(), "users", fmt.Sprint("u", i), []byte(`{"v":1}`), 0); err != nil {
			t.Fatal(err)
		}
		s := &sharer{t: t, node: newNode(t, url, fmt.Sprint("n", i)), local: local}
		s.Shared = NewShared(t.Context(), SharedParts{Cluster: s.node, Local: local, Log: quiet()})
		sharers[i] = s
	}
	for _, s := range sharers {
		wg.Go(func() { s.Start(t.Context()) })
	}
	wg.Wait()
	for _, s := range sharers {
		s.start()
	}
	var first string
	for _, s := range sharers {
		testkit.Eventually(t, time.Minute, s.isCurrent)
		users, err := s.List(t.Context(), "users", "")
		if err != nil || len(users) != 1 {
			t.Fatalf("%s has the users %v, error %v; want one", s.node.Self().Node, users, err)
		}
		if first == "" {
			first = users[0].Key
		}
		if users[0].Key != first {
			t.Errorf("%s has the user %s, the first server has %s", s.node.Self().Node, users[0].Key, first)
		}
	}
}

// A founder that dies in the middle: the same node goes on at once, another one after a while.
func TestSharedFounderDies(t *testing.T) {
	t.Parallel()
	a := newSharer(t, natskit.Start(t).URL(), "a", newLocal(t))
	s := a.Shared
	begun := foundedRecord{Node: "b", Process: "x"}
	if s.mayFound(begun, 7) {
		t.Error("another founder that has just begun was passed over")
	}
	s.founding.since = time.Now().Add(-founderGone - time.Second)
	if !s.mayFound(begun, 7) {
		t.Error("a founder of which nothing was heard for long was waited for")
	}
	if s.mayFound(begun, 8) {
		t.Error("a founder that goes on was passed over")
	}
	begun.Node = "a"
	if !s.mayFound(begun, 9) {
		t.Error("a server waits for its own process before")
	}
}

// While NATS is away all is known, and nothing can be changed. A server that starts then knows what it knew last.
func TestSharedWithoutNATS(t *testing.T) {
	t.Parallel()
	server := natskit.Start(t)
	url := server.URL()
	local := newLocal(t)
	a, b := newSharer(t, url, "a", local), newSharer(t, url, "b", newLocal(t))
	stop := a.start()
	b.start()
	testkit.Eventually(t, time.Minute, a.isCurrent)
	testkit.Eventually(t, time.Minute, b.isCurrent)
	b.put("users", "kept", `{"v":1}`)
	b.put("users", "removed", `{"v":1}`)
	testkit.Eventually(t, time.Second, a.has("users", "removed", `{"v":1}`))

	server.Kill(t)
	testkit.Eventually(t, time.Minute, func() string {
		if a.Writable() == nil {
			return "a does not know that NATS is away"
		}
		return ""
	})
	if _, err := a.Put(t.Context(), "users", "new", []byte(`{}`), 0); !errors.Is(err, state.ErrAway) {
		t.Errorf("a change without NATS: %v", err)
	}
	if err := a.Delete(t.Context(), "users", "kept", state.Any); !errors.Is(err, state.ErrAway) {
		t.Errorf("a removal without NATS: %v", err)
	}
	if why := a.has("users", "kept", `{"v":1}`)(); why != "" {
		t.Error(why)
	}
	stop()
	a.node.Close()

	server.Start(t)
	testkit.Eventually(t, time.Minute, b.isCurrent)
	if err := b.Delete(t.Context(), "users", "removed", state.Any); err != nil {
		t.Fatal(err)
	}
	server.Kill(t)

	again := newSharer(t, url, "a", local) // it has not heard of the removal
	again.start()
	for _, key := range []string{"kept", "removed"} {
		if why := again.has("users", key, `{"v":1}`)(); why != "" {
			t.Errorf("after a start without NATS: %s", why)
		}
	}
	if again.isKnown() || !errors.Is(again.Writable(), state.ErrAway) {
		t.Errorf("a server that has not seen the cluster: known %v, writable %v", again.isKnown(), again.Writable())
	}
	server.Start(t)
	testkit.Eventually(t, time.Minute, again.isCurrent)
	testkit.Eventually(t, time.Second, again.has("users", "removed", ""))
	testkit.Eventually(t, time.Second, again.hears("users/removed"))
	if why := again.has("users", "kept", `{"v":1}`)(); why != "" {
		t.Error(why)
	}
}

// fullKeeper is a state that takes nothing while its disk is full.
type fullKeeper struct {
	state.Keeper
	full    atomic.Bool
	refused atomic.Int32
}

func (f *fullKeeper) Put(ctx context.Context, bucket, key string, value []byte, expect uint64) (uint64, error) {
	if f.full.Load() {
		f.refused.Add(1)
		return 0, errors.New("no space left on device")
	}
	return f.Keeper.Put(ctx, bucket, key, value, expect)
}

// What the state did not take is copied once it does: a server that starts without NATS would take a revoked token otherwise.
func TestSharedFullDisk(t *testing.T) {
	t.Parallel()
	local := &fullKeeper{Keeper: newLocal(t)}
	a := newSharer(t, natskit.Start(t).URL(), "a", local)
	a.copyAgain = 20 * time.Millisecond
	a.start()
	testkit.Eventually(t, time.Minute, func() string { return a.isCurrent() })
	local.full.Store(true)
	a.put("revocations", "stolen", `"for ever"`)
	a.put("users", "gone", `"x"`)
	if err := a.Delete(t.Context(), "users", "gone", state.Any); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, 20*time.Second, func() string {
		if local.refused.Load() < 30 { // more than what comes from NATS can cause
			return "the state was not asked again"
		}
		return ""
	})
	local.full.Store(false)
	testkit.Eventually(t, 20*time.Second, func() string {
		r, err := local.Get(t.Context(), copyBucket, sharedKey("revocations", "stolen"))
		if err != nil || string(r.Value) != `"for ever"` {
			return fmt.Sprintf("the copy has %q, %v", r.Value, err)
		}
		a.Shared.mu.Lock()
		defer a.Shared.mu.Unlock()
		if len(a.unsaved) > 0 {
			return fmt.Sprintf("%d records are not in the copy", len(a.unsaved))
		}
		return ""
	})
}

// NATS has lost everything: one of the servers writes what all knew.
func TestSharedWipe(t *testing.T) {
	t.Parallel()
	server := natskit.Start(t)
	a, b := newSharer(t, server.URL(), "a", newLocal(t)), newSharer(t, server.URL(), "b", newLocal(t))
	a.start()
	b.start()
	testkit.Eventually(t, time.Minute, a.isCurrent)
	testkit.Eventually(t, time.Minute, b.isCurrent)
	a.put("users", "alice", `{"v":1}`)
	testkit.Eventually(t, time.Second, b.has("users", "alice", `{"v":1}`))
	before := []int64{a.Stats().Rereads, b.Stats().Rereads}
	server.Wipe(t)
	for i, s := range []*sharer{a, b} {
		testkit.Eventually(t, time.Minute, func() string {
			if s.Stats().Rereads == before[i] {
				return "the records were not read again"
			}
			return s.isCurrent()
		})
		if why := s.has("users", "alice", `{"v":1}`)(); why != "" {
			t.Error(why)
		}
	}
	testkit.Eventually(t, time.Minute, func() string {
		if _, err := a.Put(t.Context(), "users", "bob", []byte(`{"v":1}`), state.Any); err != nil {
			return err.Error()
		}
		return ""
	})
	testkit.Eventually(t, time.Minute, b.has("users", "bob", `{"v":1}`))
	testkit.Eventually(t, time.Minute, a.has("users", "alice", `{"v":1}`))
}

// A server with another key gets nothing and brings nothing.
func TestSharedOtherKey(t *testing.T) {
	t.Parallel()
	url := natskit.Start(t).URL()
	a := newSharer(t, url, "a", newLocal(t))
	a.put("users", "alice", `{"v":1}`)
	local := newLocal(t)
	if _, err := local.Put(t.Context(), "users", "bob", []byte(`{"v":1}`), 0); err != nil {
		t.Fatal(err)
	}
	b := newSharer(t, url, "b", local, func(_ *Config, p *Parts) { p.Sealer = plain("another") })
	b.start()
	if b.isKnown() || b.Writable() == nil {
		t.Error("a server with another key reads what the others share")
	}
	if why := b.has("users", "alice", "")(); why != "" {
		t.Error(why)
	}
	if why := b.has("users", "bob", `{"v":1}`)(); why != "" {
		t.Error(why)
	}
}
