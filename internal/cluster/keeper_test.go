package cluster

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"transponder/internal/state"
	"transponder/internal/testkit"
	"transponder/internal/testkit/natskit"
	"transponder/internal/transponder"
)

// quiet is a logger whose lines nobody reads.
func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// plain is a state.Sealer with a key that hides nothing, but opens only what was sealed with the same key for the same place.
type plain string

func (p plain) Seal(place string, secret []byte) (string, error) {
	return fmt.Sprintf("%s|%s|%x", p, place, secret), nil
}

func (p plain) Open(place, sealed string) (secret []byte, err error) {
	text, ok := strings.CutPrefix(sealed, fmt.Sprintf("%s|%s|", p, place))
	if !ok {
		return nil, state.ErrSealed
	}
	return hex.DecodeString(text)
}

// newNode makes a node that does not run yet.
func newNode(t testing.TB, url, id string, change ...func(*Config, *Parts)) *Cluster {
	t.Helper()
	cfg := DefaultConfig()
	cfg.NATS, cfg.Node = url, id
	parts := Parts{Identity: Identity{Owner: Owner{id, newIncarnation()}}}
	for _, f := range change {
		f(&cfg, &parts)
	}
	if parts.Sealer == nil {
		parts.Sealer = plain("common")
	}
	c, err := New(cfg, parts, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// run runs a node until the test ends, or until stop is called.
func (c *Cluster) start(t testing.TB) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() { defer close(done); _ = c.Run(ctx) }()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return stop
}

// isHeld is empty once a node has its lease and sees n processes.
func (c *Cluster) sees(n int) func() string {
	return func() string {
		if err := c.Ready(); err != nil {
			return c.Self().Node + ": " + err.Error()
		}
		if got := len(c.Nodes()); got != n || !c.Known() {
			return fmt.Sprintf("%s sees %d processes, want %d; known: %v", c.Self().Node, got, n, c.Known())
		}
		return ""
	}
}

// keepers are the stores that must behave alike. Each is empty.
func keepers(t *testing.T) map[string]func(t *testing.T) state.Keeper {
	return map[string]func(t *testing.T) state.Keeper{
		"SQLite": func(t *testing.T) state.Keeper {
			s, err := state.Open(t.Context(), state.Config{Dir: t.TempDir()}, quiet())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			return s
		},
		"NATS": func(t *testing.T) state.Keeper {
			c := newNode(t, natskit.Start(t).URL(), "a")
			makeBuckets(t, c)
			return c.Keeper()
		},
	}
}

// makeBuckets makes the buckets of a node that does not run.
func makeBuckets(t testing.TB, c *Cluster) {
	t.Helper()
	testkit.Eventually(t, time.Minute, func() string {
		if _, err := c.store.prepare(t.Context()); err != nil {
			return err.Error()
		}
		return ""
	})
}

func TestKeepers(t *testing.T) {
	t.Parallel()
	for name, open := range keepers(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k, ctx := open(t), t.Context()
			put := func(key, value string, expect uint64) uint64 {
				t.Helper()
				rev, err := k.Put(ctx, pushesBucket, key, []byte(value), expect)
				if err != nil {
					t.Fatalf("put %s with revision %d: %v", key, expect, err)
				}
				return rev
			}
			refused := func(what string, err, want error) {
				t.Helper()
				if !errors.Is(err, want) {
					t.Errorf("%s: %v, want %v", what, err, want)
				}
			}
			read := func(key string) string {
				t.Helper()
				r, err := k.Get(ctx, pushesBucket, key)
				if err != nil {
					return err.Error()
				}
				return string(r.Value)
			}

			_, err := k.Get(ctx, pushesBucket, "s1.t1")
			refused("get of nothing", err, state.ErrNotFound)
			first := put("s1.t1", `{"n":1}`, 0)
			_, err = k.Put(ctx, pushesBucket, "s1.t1", []byte(`{"n":2}`), 0)
			refused("second create", err, state.ErrConflict)
			second := put("s1.t1", `{"n":3}`, first)
			if second <= first {
				t.Errorf("revisions %d, then %d: they must grow", first, second)
			}
			_, err = k.Put(ctx, pushesBucket, "s1.t1", []byte(`{"n":4}`), first)
			refused("stale update", err, state.ErrConflict)
			if got := read("s1.t1"); got != `{"n":3}` {
				t.Errorf("after a stale update: %s", got)
			}
			r, err := k.Get(ctx, pushesBucket, "s1.t1")
			if err != nil || r.Revision != second || r.Key != "s1.t1" || time.Since(r.Changed).Abs() > time.Hour {
				t.Errorf("record = %+v, %v; want the revision %d", r, err, second)
			}

			put("s1.t2", `{}`, 0)
			put("s2.t1", `{}`, 0)
			put("s11.t1", `{}`, 0)
			for prefix, want := range map[string]string{"s1.": "s1.t1 s1.t2", "s1": "s1.t1 s1.t2 s11.t1", "": "s1.t1 s1.t2 s11.t1 s2.t1", "s3.": ""} {
				all, err := k.List(ctx, pushesBucket, prefix)
				var keys []string
				for _, r := range all {
					keys = append(keys, r.Key)
				}
				if got := strings.Join(keys, " "); err != nil || got != want {
					t.Errorf("list of %q = %q, %v; want %q", prefix, got, err, want)
				}
			}

			refused("delete with a stale revision", k.Delete(ctx, pushesBucket, "s1.t1", first), state.ErrConflict)
			if err := k.Delete(ctx, pushesBucket, "s1.t1", second); err != nil {
				t.Fatal(err)
			}
			_, err = k.Get(ctx, pushesBucket, "s1.t1")
			refused("get of what was deleted", err, state.ErrNotFound)
			_, err = k.Put(ctx, pushesBucket, "s1.t1", []byte(`{}`), second)
			refused("update of what was deleted", err, state.ErrConflict)
			third := put("s1.t1", `{"n":5}`, 0)
			if third <= second {
				t.Errorf("revision %d after a deletion of %d: a stale writer could win", third, second)
			}
			if got := put("s1.t1", `{"n":6}`, state.Any); got <= third || read("s1.t1") != `{"n":6}` {
				t.Errorf("put of any revision: %d, %s", got, read("s1.t1"))
			}
			if err := k.Delete(ctx, pushesBucket, "s1.t1", state.Any); err != nil {
				t.Error(err)
			}
			if err := k.Delete(ctx, pushesBucket, "never", state.Any); err != nil {
				t.Errorf("delete of nothing, of any revision: %v", err)
			}

			// Of many who create one key, one wins.
			for i := range 20 {
				var won atomic.Int32
				var wg sync.WaitGroup
				for j := range 8 {
					wg.Go(func() {
						_, err := k.Put(ctx, pushesBucket, fmt.Sprint("race.", i), fmt.Appendf(nil, `{"by":%d}`, j), 0)
						if err == nil {
							won.Add(1)
						} else if !errors.Is(err, state.ErrConflict) {
							t.Errorf("race: %v", err)
						}
					})
				}
				wg.Wait()
				if won.Load() != 1 {
					t.Errorf("race %d: %d winners, want 1", i, won.Load())
				}
			}
		})
	}
}

// TestStoreWithoutNATS asks for records while NATS is away: nobody may take that for an answer.
func TestStoreWithoutNATS(t *testing.T) {
	t.Parallel()
	server := natskit.Start(t)
	c := newNode(t, server.URL(), "a")
	makeBuckets(t, c)
	k, ctx := c.Keeper(), t.Context()
	if _, err := k.Put(ctx, pushesBucket, "s.t", []byte(`{}`), 0); err != nil {
		t.Fatal(err)
	}
	server.Kill(t)
	_, err := k.Get(ctx, pushesBucket, "s.t")
	_, putErr := k.Put(ctx, pushesBucket, "s.u", []byte(`{}`), 0)
	_, listErr := k.List(ctx, pushesBucket, "")
	for what, err := range map[string]error{"get": err, "put": putErr, "list": listErr, "delete": k.Delete(ctx, pushesBucket, "s.t", state.Any)} {
		if !errors.Is(err, transponder.ErrIsolated) {
			t.Errorf("%s without NATS: %v, want %v", what, err, transponder.ErrIsolated)
		}
	}
	server.Start(t)
	testkit.Eventually(t, time.Minute, func() string {
		r, err := k.Get(ctx, pushesBucket, "s.t")
		if err != nil || string(r.Value) != `{}` {
			return fmt.Sprintf("record after the restart: %s, %v", r.Value, err)
		}
		return ""
	})
}

// TestStoreLists reads lists in each of the ways that the store has: they must be the same.
func TestStoreLists(t *testing.T) {
	t.Parallel()
	c := newNode(t, natskit.Start(t).URL(), "a")
	makeBuckets(t, c)
	s, ctx := c.store, t.Context()
	const many = 1030 // more than NATS reads with one request
	var wg sync.WaitGroup
	for i := range many {
		wg.Go(func() {
			if _, err := s.Put(ctx, pushesBucket, fmt.Sprintf("big.%04d", i), fmt.Appendf(nil, `{"n":%d}`, i), 0); err != nil {
				t.Error(err)
			}
		})
		if i%64 == 0 {
			wg.Wait()
		}
	}
	wg.Wait()
	for _, key := range []string{"small.a", "small.b", "small.gone"} {
		if _, err := s.Put(ctx, pushesBucket, key, []byte(key), 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Delete(ctx, pushesBucket, "small.gone", state.Any); err != nil {
		t.Fatal(err)
	}
	describe := func(all []state.Record, err error) string {
		var text strings.Builder
		for _, r := range all {
			fmt.Fprintf(&text, "%s=%s@%d,%v ", r.Key, r.Value, r.Revision, r.Changed.UTC())
		}
		return fmt.Sprintf("%d: %s%v", len(all), text.String(), err)
	}
	if _, err := s.few(ctx, pushesBucket, "big."); !errors.Is(err, errMany) {
		t.Errorf("one request for %d records: %v", many, err)
	}
	for prefix, n := range map[string]int{"big.": many, "big.00": 100, "small.": 2, "small.b": 1, "none.": 0} {
		direct, err := s.List(ctx, pushesBucket, prefix)
		if len(direct) != n || err != nil {
			t.Errorf("list of %q: %d records, %v; want %d", prefix, len(direct), err, n)
		}
		if n == many {
			continue
		}
		if now, want := describe(s.listNow(ctx, pushesBucket, prefix)), describe(direct, err); now != want {
			t.Errorf("list of %q by the leader: %s\nwant %s", prefix, now, want)
		}
	}
	all, err := s.List(ctx, pushesBucket, "")
	if len(all) != many+2 || err != nil {
		t.Errorf("list of all: %d records, %v", len(all), err)
	}
	few, err := s.few(ctx, pushesBucket, "small.")
	if want := describe(slices.DeleteFunc(all, func(r state.Record) bool { return !strings.HasPrefix(r.Key, "small.") }), nil); describe(few, err) != want {
		t.Errorf("one request: %s\nwant %s", describe(few, err), want)
	}
	if _, err := s.few(ctx, "nothing", "small."); !errors.Is(err, transponder.ErrIsolated) {
		t.Errorf("list of a bucket that is not there: %v", err)
	}
}
