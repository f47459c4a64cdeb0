package hook

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"transponder/internal/state"
	"transponder/internal/testkit"
)

// cloud has what the servers of a cluster have left.
type cloud struct {
	keeper
	away bool // guarded by keeper.mu
}

func newCloud() *cloud { return &cloud{keeper: keeper{records: map[string]state.Record{}}} }

func (c *cloud) Of(_ context.Context, node, bucket string) ([]state.Record, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.away {
		return nil, state.ErrAway
	}
	var found []state.Record
	for key, r := range c.records {
		if name, ok := strings.CutPrefix(key, node+"/"+bucket+"/"); ok {
			r.Key = name
			found = append(found, r)
		}
	}
	return found, nil
}

func (c *cloud) Replace(ctx context.Context, node, bucket, key string, value []byte) error {
	_, err := c.Put(ctx, "", node+"/"+bucket+"/"+key, value, state.Any)
	return err
}

func (c *cloud) Drop(ctx context.Context, node, bucket, key string) error {
	return c.Delete(ctx, "", node+"/"+bucket+"/"+key, state.Any)
}

func (c *cloud) cut(away bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.away = away
}

// mirrored is the state of a server whose records the others see.
type mirrored struct {
	*keeper
	node  string
	cloud *cloud
}

func (m mirrored) Put(ctx context.Context, bucket, key string, value []byte, expect uint64) (uint64, error) {
	_ = m.cloud.Replace(ctx, m.node, bucket, key, value)
	return m.keeper.Put(ctx, bucket, key, value, expect)
}

func (m mirrored) Delete(ctx context.Context, bucket, key string, expect uint64) error {
	_ = m.cloud.Drop(ctx, m.node, bucket, key)
	return m.keeper.Delete(ctx, bucket, key, expect)
}

// member is the Hooks of a server of a cluster.
func member(t *testing.T, b *server, node string, own *keeper, c *cloud) (h *Hooks, stop func()) {
	t.Helper()
	return processOf(t, b, own, func(cfg *Config, p *Parts) {
		cfg.NodeID = node
		p.Keeper, p.Estates = mirrored{own, node, c}, c
	})
}

// tellAll tells the ends of a node until nothing is left.
func tellAll(t *testing.T, h *Hooks, node string) {
	t.Helper()
	testkit.Eventually(t, 30*time.Second, func() string {
		if done, err := h.TellEnds(t.Context(), node); err != nil || !done {
			return fmt.Sprintf("not all ends are told: %v", err)
		}
		return ""
	})
}

// last returns what the backend was told after the first n events, without the sessions of others.
func (b *server) since(n int, session string) []string {
	return slices.DeleteFunc(b.told()[n:], func(s string) bool { return !strings.HasPrefix(s, session+" ") })
}

// The ends of a server that has died are told by another server, each once, the streams before their session. The server that comes back does not tell them
// again.
func TestEndsOfAnother(t *testing.T) {
	b := newServer(t)
	c, own := newCloud(), newKeeper()
	h, stop := member(t, b, "a", own, c)
	s := begin(t, h, "s1")
	s.Tell(StreamStatusEvent, Stream{MediaSessionID: "m1", Name: "cam", Published: true, Status: StatusPublishing}, nil)
	s.Tell(StreamStatusEvent, Stream{MediaSessionID: "m2", Name: "cam", Status: StatusPlaying}, nil)
	s.Tell(StreamStatusEvent, Stream{MediaSessionID: "m2", Name: "cam", Status: StatusStopped}, nil)
	b.wait(t, 2+3)
	testkit.Eventually(t, 30*time.Second, func() string {
		if n := len(own.killed().records); n != 2 {
			return fmt.Sprintf("%d ends are kept, want 2", n)
		}
		return ""
	})
	found := own.killed()
	dead := c.killed()
	stop()
	c.records = dead.records // what a stop has changed, a kill has not
	before := len(b.told())

	other, _ := member(t, b, "b", newKeeper(), c)
	c.cut(true)
	if done, err := other.TellEnds(t.Context(), "a"); err == nil || done {
		t.Errorf("without NATS: done %v, err %v", done, err)
	}
	c.cut(false)
	tellAll(t, other, "a")
	want := []string{"s1 m1 FAILED", "s1  DISCONNECTED"}
	if got := b.since(before, "s1"); !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
	for _, r := range b.received() {
		if r.body.text("info") == goneInfo && r.body.text("nodeId") != "a" {
			t.Errorf("told %s, want the node that had the session", r.text)
		}
	}
	for _, r := range c.killed().records {
		var o owed
		if err := json.Unmarshal(r.Value, &o); err != nil || !o.Told || o.Body != "" {
			t.Errorf("kept: %s, %v", r.Value, err)
		}
	}
	before = len(b.told())
	h, _ = member(t, b, "a", found, c)
	begin(t, h, "s9")
	testkit.Eventually(t, 30*time.Second, func() string {
		if len(b.since(before, "s9")) == 0 || len(found.killed().records) != 1 {
			return "the server that is back does not work"
		}
		return ""
	})
	if got := b.since(before, "s1"); len(got) != 0 {
		t.Errorf("told again: %q", got)
	}
	for key := range c.killed().records {
		if _, ok := found.killed().records[strings.TrimPrefix(key, "a/"+owedBucket+"/")]; !ok {
			t.Errorf("the cluster still has %s", key)
		}
	}
}

// An end that a backend does not take is told by the next of the servers. A server that has lost its state finds its ends in the cluster.
func TestEndsOfAnotherLater(t *testing.T) {
	for _, tt := range []struct {
		name, node string // who tells them in the end
	}{{"another server", "c"}, {"the server itself, with an empty state", "a"}} {
		t.Run(tt.name, func(t *testing.T) {
			b := newServer(t)
			var mu sync.Mutex
			down := false
			b.answer = func(w http.ResponseWriter, _ received) bool {
				mu.Lock()
				defer mu.Unlock()
				if down {
					w.WriteHeader(http.StatusServiceUnavailable)
				}
				return down
			}
			setDown := func(is bool) {
				mu.Lock()
				defer mu.Unlock()
				down = is
			}
			c, own := newCloud(), newKeeper()
			h, stop := member(t, b, "a", own, c)
			begin(t, h, "s1")
			b.wait(t, 2)
			dead := c.killed()
			stop()
			c.records = dead.records
			setDown(true)
			told := len(b.received())
			other, stop := member(t, b, "b", newKeeper(), c)
			for range 3 { // it does not begin anew with each
				if done, err := other.TellEnds(t.Context(), "a"); done || err != nil {
					t.Fatalf("done %v, err %v", done, err)
				}
			}
			b.wait(t, told+1)
			stop()
			if n := len(b.received()); n > told+2 {
				t.Errorf("the backend was asked %d times", n-told)
			}
			setDown(false)
			before := len(b.told())
			again, _ := member(t, b, tt.node, newKeeper(), c)
			if tt.node != "a" {
				tellAll(t, again, "a")
			}
			testkit.Eventually(t, 30*time.Second, func() string {
				if got := b.since(before, "s1"); !slices.Equal(got, []string{"s1  DISCONNECTED"}) {
					return fmt.Sprintf("told %q", got)
				}
				return ""
			})
		})
	}
}
