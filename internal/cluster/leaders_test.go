//go:build e2e

package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"transponder/internal/state"
	"transponder/internal/stream"
	"transponder/internal/testkit"
	"transponder/internal/testkit/natskit"
	"transponder/internal/transponder"
)

// TestLongLeaders writes records while the leader of their bucket is killed again and again, in a NATS of three servers. The fence stands on this: a
// write that was acknowledged is not lost, of two writes over one revision one wins, and a read by the leader knows of all writes before it.
func TestLongLeaders(t *testing.T) {
	kills := 4
	if os.Getenv("TRANSPONDER_SOAK") != "" {
		kills = 20
	}
	const alone, together = 4, 4 // workers with a key of their own, and on one key
	servers := natskit.Three(t)
	nodes := []*Cluster{newNode(t, servers.URL(), "a"), newNode(t, servers.URL(), "b")}
	for _, n := range nodes {
		makeBuckets(t, n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var writes, reads, unknown atomic.Int64
	var wg sync.WaitGroup
	type value struct{ By, N int }
	text := func(by, n int) []byte {
		b, err := json.Marshal(value{by, n})
		if err != nil {
			t.Error(err)
		}
		return b
	}
	read := func(s *natsStore, key string) (v value, revision uint64, ok bool) {
		r, err := s.Get(ctx, pushesBucket, key)
		if err == nil {
			err = json.Unmarshal(r.Value, &v)
		}
		if err != nil && !errors.Is(err, transponder.ErrIsolated) && !errors.Is(err, state.ErrNotFound) && ctx.Err() == nil {
			t.Errorf("read %s: %v", key, err)
		}
		return v, r.Revision, err == nil
	}
	for w := range alone {
		wg.Go(func() {
			s, key := nodes[w%2].store, fmt.Sprintf("alone.%d", w)
			n, revision := 0, uint64(0)
			for ctx.Err() == nil {
				next, err := s.Put(ctx, pushesBucket, key, text(w, n+1), revision)
				switch {
				case err == nil:
					n, revision = n+1, next
					writes.Add(1)
				case errors.Is(err, state.ErrConflict), errors.Is(err, transponder.ErrIsolated):
					if ctx.Err() != nil {
						return
					}
					v, found, ok := read(s, key)
					if !ok {
						pause(t, 20*time.Millisecond)
						continue
					}
					if v.N != n && v.N != n+1 {
						t.Errorf("%s: after %d was acknowledged there is %d", key, n, v.N)
					}
					if v.N == n+1 {
						unknown.Add(1)
					}
					n, revision = v.N, found
				default:
					t.Errorf("write %s: %v", key, err)
				}
				if v, _, ok := read(nodes[(w+1)%2].store, key); ok {
					reads.Add(1)
					if v.N < n || v.N > n+1 {
						t.Errorf("%s: after %d was acknowledged another node reads %d", key, n, v.N)
					}
				}
			}
		})
	}
	var mu sync.Mutex
	won := map[uint64]int{} // by the revision that was replaced
	for w := range together {
		wg.Go(func() {
			s, key := nodes[w%2].store, "together.0"
			for n := 0; ctx.Err() == nil; n++ {
				_, revision, ok := read(s, key)
				if !ok && revision != 0 {
					continue
				}
				_, err := s.Put(ctx, pushesBucket, key, text(w, n), revision)
				if err == nil && revision != 0 {
					mu.Lock()
					won[revision]++
					mu.Unlock()
				}
				if err != nil {
					pause(t, 5*time.Millisecond)
				}
			}
		})
	}
	leader := func() (name string) {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		for _, n := range nodes {
			stream, err := n.JetStream().Stream(ctx, n.store.stream(pushesBucket))
			if err == nil && stream.CachedInfo().Cluster != nil {
				return stream.CachedInfo().Cluster.Leader
			}
		}
		return ""
	}
	for range kills {
		testkit.Eventually(t, time.Minute, func() string {
			if leader() == "" {
				return "the bucket has no leader"
			}
			return ""
		})
		name := leader()
		for _, s := range servers {
			if s.Name != name {
				continue
			}
			s.Kill(t)
			before := writes.Load()
			testkit.Eventually(t, time.Minute, func() string {
				if now := leader(); now == "" || now == name {
					return "no new leader"
				}
				if writes.Load() < before+100 {
					return "nobody can write"
				}
				return ""
			})
			s.Start(t)
			servers.Wait(t)
		}
	}
	cancel()
	wg.Wait()
	twice := 0
	for _, n := range won {
		if n > 1 {
			twice++
		}
	}
	if twice > 0 {
		t.Errorf("%d revisions were replaced by two writers", twice)
	}
	if reads.Load() < 1000 || len(won) < 100 {
		t.Errorf("only %d reads and %d contested writes", reads.Load(), len(won))
	}
	t.Logf("%d leaders killed: %d writes, %d of which were taken though nobody said so, %d reads at once by another node, %d contested revisions",
		kills, writes.Load(), unknown.Load(), reads.Load(), len(won))
}

// TestLongRolling restarts the leader of the leases in a NATS of three servers again and again. The next one is killed as soon as the one before takes
// clients, before it has caught up. Two of three servers are there all the time, so each node must renew its lease and write its names.
func TestLongRolling(t *testing.T) {
	kills := 5
	if os.Getenv("TRANSPONDER_SOAK") != "" {
		kills = 20
	}
	servers := natskit.Three(t)
	a, b := newNode(t, servers.URL(), "a"), newNode(t, servers.URL(), "b")
	a.start(t)
	b.start(t)
	testkit.Eventually(t, time.Minute, a.sees(2))
	testkit.Eventually(t, time.Minute, b.sees(2))
	writes := func(renewed map[*Cluster]int64) string {
		for n, before := range renewed {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			_, err := n.names.put(ctx, stream.Info{Name: n.Self().Node, ID: "1"}, 1, state.Any)
			cancel()
			if err != nil {
				return fmt.Sprintf("node %s writes no name: %v; %s", n.Self().Node, err, a.replicas(t))
			}
			if n.lease.renewed.Load() == before {
				return fmt.Sprintf("node %s does not renew its lease; %s", n.Self().Node, a.replicas(t))
			}
		}
		return ""
	}
	var took []time.Duration
	for range kills {
		var down *natskit.Server
		testkit.Eventually(t, time.Minute, func() string {
			ctx, cancel := context.WithTimeout(t.Context(), askTimeout)
			defer cancel()
			bucket, err := a.JetStream().Stream(ctx, a.store.stream(nodesBucket))
			if err != nil {
				return err.Error()
			}
			i := slices.IndexFunc(servers, func(s *natskit.Server) bool { return s.Name == bucket.CachedInfo().Cluster.Leader })
			if i < 0 {
				return "the leases have no leader"
			}
			down = servers[i]
			return ""
		})
		killed := time.Now()
		down.Kill(t)
		renewed := map[*Cluster]int64{a: a.lease.renewed.Load(), b: b.lease.renewed.Load()}
		testkit.Eventually(t, 30*time.Second, func() string { return writes(renewed) })
		took = append(took, time.Since(killed).Round(10*time.Millisecond))
		down.Start(t)
	}
	t.Logf("everything could be written again %v after the kills", took)
}

// TestLongBothDie lets a node and the leader of the leases die at the same time. Once NATS has let the lease of the node end, the other node knows soon.
func TestLongBothDie(t *testing.T) {
	const soon = 2500 * time.Millisecond // a renewal
	servers := natskit.Three(t)
	a, b := newNode(t, servers.URL(), "a"), newNode(t, servers.URL(), "b")
	a.start(t)
	b.start(t)
	testkit.Eventually(t, time.Minute, a.sees(2))
	testkit.Eventually(t, time.Minute, b.sees(2))
	bucket, err := b.JetStream().Stream(t.Context(), b.store.stream(nodesBucket))
	if err != nil {
		t.Fatal(err)
	}
	died := time.Now()
	a.Close()
	for _, s := range servers {
		if s.Name == bucket.CachedInfo().Cluster.Leader {
			s.Kill(t)
		}
	}
	var ended time.Time
	testkit.Eventually(t, time.Minute, func() string {
		if _, err := b.store.Get(t.Context(), nodesBucket, a.Self().key()); !errors.Is(err, state.ErrNotFound) {
			return fmt.Sprintf("the lease of a: %v", err)
		}
		ended = time.Now()
		return ""
	})
	testkit.Eventually(t, time.Minute, func() string {
		if b.Lives(a.Self()) {
			return "b believes that a lives"
		}
		return ""
	})
	took := time.Since(ended)
	if took > soon {
		t.Errorf("b knows %v after the end of the lease, want %v", took, soon)
	}
	t.Logf("the lease ended %v after a and the leader died, and b knew %v later", ended.Sub(died), took)
	testkit.Eventually(t, time.Minute, func() string {
		if !b.Known() || !b.members.watching() {
			return "b does not watch the leases"
		}
		return ""
	})
}

// replicas tells where the buckets stand.
func (c *Cluster) replicas(t *testing.T) string {
	var text []string
	for _, bucket := range buckets {
		ctx, cancel := context.WithTimeout(t.Context(), askTimeout)
		s, err := c.JetStream().Stream(ctx, c.store.stream(bucket))
		cancel()
		if err != nil {
			text = append(text, fmt.Sprintf("%s: %v", bucket, err))
			continue
		}
		info := s.CachedInfo()
		line := fmt.Sprintf("%s: %d records, leader %q", bucket, info.State.Msgs, info.Cluster.Leader)
		for _, r := range info.Cluster.Replicas {
			line += fmt.Sprintf(", %s current=%v offline=%v lag=%d", r.Name, r.Current, r.Offline, r.Lag)
		}
		text = append(text, line)
	}
	return strings.Join(text, "; ")
}
