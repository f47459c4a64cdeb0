package cluster

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"transponder/internal/state"
	"transponder/internal/testkit/natskit"
	"transponder/internal/transponder"
)

// BenchmarkFindAll lists the pushes without a living process beside a thousand records, as each /push/find_all does.
func BenchmarkFindAll(b *testing.B) {
	const records = 1000
	node := newNode(b, natskit.Start(b).URL(), "b")
	makeBuckets(b, node)
	keys, err := state.Open(b.Context(), state.Config{Dir: b.TempDir()}, quiet())
	if err != nil {
		b.Fatal(err)
	}
	defer keys.Close()
	members := &fakeMembers{}
	members.set(ownerA, true)
	parts := ClaimsParts{Self: ownerA, Members: members, Gate: members, Salt: salt, Log: quiet()}
	a := NewClaims(node.Keeper(), keys.Sealer(), parts)
	parts.Self = ownerB
	own := NewClaims(node.Keeper(), keys.Sealer(), parts)
	for i := range records {
		r := newPush(fmt.Sprintf("show-%d", i), "x")
		r.Req = json.RawMessage(`{"options":"` + strings.Repeat("x", 400) + `"}`)
		if _, err := a.Claim(b.Context(), r); err != nil {
			b.Fatal(err)
		}
	}
	orphans := NewOrphans(OrphanParts{Cluster: newFakeCompany(ownerB, ownerA, ownerB), Claims: own, Pushes: &fakeEnder{claims: own}, Log: quiet()})
	list := func(b *testing.B, want int, before func()) {
		b.ReportAllocs()
		began := used(b)
		for b.Loop() {
			before()
			if found, err := orphans.Find(b.Context(), transponder.Filter{}, nil); err != nil || len(found) != want {
				b.Fatalf("%d pushes, %v, want %d", len(found), err, want)
			}
		}
		b.ReportMetric(float64((used(b)-began).Microseconds())/float64(b.N), "cpu-µs/op") // other work on the machine does not change that much
	}
	b.Run("living", func(b *testing.B) { list(b, 0, func() {}) })
	members.set(ownerA, false)
	b.Run("gone", func(b *testing.B) { list(b, records, func() {}) })
	busy, err := a.Claim(b.Context(), newPush("busy", "x"))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("changing", func(b *testing.B) { // one record is written before each list
		list(b, records+1, func() {
			if err := busy.(*claim).write(b.Context(), busy.Record()); err != nil {
				b.Fatal(err)
			}
		})
	})
}

// used is the processor time of this process.
func used(t testing.TB) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestListing lists records that change between two lists.
func TestListing(t *testing.T) {
	t.Parallel()
	server := natskit.Start(t)
	c := newNode(t, server.URL(), "a")
	makeBuckets(t, c)
	l := &c.store.listing
	revisions := map[string]uint64{}
	put := func(key string) {
		t.Helper()
		revision, err := c.store.Put(t.Context(), pushesBucket, key, []byte(key), state.Any)
		if err != nil {
			t.Fatal(err)
		}
		revisions[key] = revision
	}
	lists := func(what string, wholly bool) {
		t.Helper()
		before := l.read
		all, err := c.store.List(t.Context(), pushesBucket, "")
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if len(all) != len(revisions) {
			t.Errorf("%s: %d records, want %d", what, len(all), len(revisions))
		}
		for i, r := range all {
			if revisions[r.Key] != r.Revision || string(r.Value) != r.Key || i > 0 && all[i-1].Key >= r.Key {
				t.Errorf("%s: record %q with revision %d, want %d", what, r.Key, r.Revision, revisions[r.Key])
			}
		}
		if l.read.After(before) != wholly {
			t.Errorf("%s: all records were read: %v, want %v", what, !wholly, wholly)
		}
	}
	put("a.1")
	put("b.1")
	lists("the first list", true)
	lists("nothing has changed", false)
	put("a.1")
	put("c.1")
	lists("changed", false)
	if err := c.store.Delete(t.Context(), pushesBucket, "b.1", revisions["b.1"]); err != nil {
		t.Fatal(err)
	}
	delete(revisions, "b.1")
	lists("removed", false)
	for i := range 2*changesAtOnce + 1 {
		put(fmt.Sprintf("d.%d", i))
	}
	lists("many have changed", false)
	l.known = l.known.Add(-listedFor)
	put("b.1")
	lists("the last list is old", true)
	l.read = l.read.Add(-readAgain)
	lists("listed again and again", true)
	l.forget(time.Now())
	if l.records == nil {
		t.Error("what was just listed is forgotten")
	}
	l.forget(time.Now().Add(listedFor + time.Second))
	if l.records != nil {
		t.Error("an old list is remembered")
	}
	lists("forgotten", true)

	server.Wipe(t)
	makeBuckets(t, c)
	clear(revisions)
	put("e.1")
	lists("NATS has lost everything", true)
}
