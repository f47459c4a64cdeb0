//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"transponder/internal/testkit"
)

// size chooses between the size of a proof for every day and its full size, which TRANSPONDER_SOAK=1 asks for.
func size[T any](short, full T) T {
	if soak() {
		return full
	}
	return short
}

// buckets opens the records of the cluster.
func buckets(t *testing.T, url string) nats.JetStreamContext {
	t.Helper()
	conn, err := nats.Connect(url, nats.Timeout(5*time.Second), nats.MaxReconnects(-1), nats.ReconnectWait(200*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := conn.JetStream(nats.MaxWait(5 * time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// pass lets a time pass in which something must not happen, and looks at it all the time.
func pass(t *testing.T, d time.Duration, look func() error) {
	t.Helper()
	end := time.After(d)
	for tick := time.Tick(50 * time.Millisecond); ; {
		select {
		case <-end:
			return
		case <-tick:
			if err := look(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// whole checks that no picture is missing at the far end.
// TestClusterLongKills kills the server of a push with SIGKILL, again and again: fifty times in full. The far end never sees two connections
// that write, its time only grows, and the push stays what it was.
func TestClusterLongKills(t *testing.T) {
	t.Parallel()
	const pushes = 5
	kills := size(3, 10)
	for i := range pushes {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			g := newGroup(t)
			sink := newFar(t)
			here, there := g.join("a"), g.join("b")
			_, leave := publish(t, here.server, "cam", testkit.DefaultPublisherConfig())
			id := sink.push(here, "cam")
			if code := here.post("/push/mute", map[string]any{"mediaSessionId": id}, nil); code != http.StatusOK {
				t.Fatalf("mute answers %d", code)
			}
			testkit.Eventually(t, 10*time.Second, func() string { // it is in the record, which is written once a second
				if r := g.record(); r["muted"] != true {
					return fmt.Sprintf("the record says %v", r["muted"])
				}
				return ""
			})
			var took []time.Duration
			for n := 2; n < 2+kills; n++ {
				sink.flows(n - 1)
				killed := time.Now()
				here.kill()
				leave()
				_, leave = publish(t, there.server, "cam", testkit.DefaultPublisherConfig())
				sink.flows(n)
				took = append(took, time.Since(killed).Round(10*time.Millisecond))
				if p := there.waitPush("cam", "PUBLISHING"); p.MediaSessionID != id || p.Attempts != n || !p.Muted {
					t.Errorf("after kill %d: %+v, want the id %s, %d attempts, muted", n-1, p, id, n)
				}
				here, there = there, g.join(fmt.Sprintf("%c", 'a'+n%2))
			}
			sink.judge(1 + kills)
			sink.apart()
			for n, d := range took {
				if d > failoverLimit {
					t.Errorf("after kill %d the push was live again after %v, want %v", n+1, d, failoverLimit)
				}
			}
			t.Logf("live again after %v", took)
		})
	}
}

// record returns the only record of a push.
func (g *group) record() map[string]any {
	g.t.Helper()
	all := g.records()
	if len(all) != 1 {
		return nil
	}
	for _, r := range all {
		return r
	}
	return nil
}

// records returns the records of pushes by their keys.
func (g *group) records() map[string]map[string]any {
	g.t.Helper()
	kv := g.pushes()
	keys, err := kv.Keys()
	if err != nil {
		return nil
	}
	all := map[string]map[string]any{}
	for _, key := range keys {
		e, err := kv.Get(key)
		if err != nil {
			continue
		}
		var members map[string]any
		if err := json.Unmarshal(e.Value(), &members); err != nil {
			g.t.Fatal(err)
		}
		all[key] = members
	}
	return all
}

// pushes opens the bucket of records of pushes.
func (g *group) pushes() nats.KeyValue {
	g.t.Helper()
	if g.js == nil {
		g.js = buckets(g.t, g.nats.URL())
	}
	kv, err := g.js.KeyValue("tp_pushes")
	if err != nil {
		g.t.Fatal(err)
	}
	return kv
}

// TestClusterLongAway takes NATS away under many streams: for a minute, for ten minutes in full. No picture is lost, nothing connects anew, and each
// server does for its own streams what it can. Everything is right within 10 s of its return.
// TestClusterLongRestarts restarts NATS again and again, with what it kept in memory lost each time. Nothing connects anew; the servers make no
// more than the consumers that they need; and the last of the restarts leaves a cluster that works.
// sample returns the value of a metric with its labels as they are written, -1 if there is none.
// TestClusterLongLeader kills the leader of the records in a NATS of three servers, again and again. Pushes do not notice. A push of a server that
// dies goes on at the other one, also while NATS has only two servers.
// TestClusterDuplicate starts a second server with the node id of the first: it does not join, says why, and harms nothing. When the first is
// gone, it joins.
func TestClusterDuplicate(t *testing.T) {
	t.Parallel()
	g := newGroup(t)
	first, other := g.join("a"), g.join("b")
	sink := newFar(t)
	publish(t, first.server, "cam", testkit.DefaultPublisherConfig())
	id := sink.push(first, "cam")
	second := g.begin("a")
	testkit.Eventually(t, time.Minute, func() string {
		if code, text := second.health(); code != http.StatusServiceUnavailable || !strings.Contains(text, "cluster_node_id") {
			return fmt.Sprintf("the second server of one id: %d, %s", code, text)
		}
		return ""
	})
	request := map[string]any{"streamName": "cam", "rtmpUrl": sink.URL("live")}
	if code := second.post("/push/startup", request, nil); code == http.StatusOK {
		t.Error("a server that has not joined starts a push of a stream that another one has")
	}
	pass(t, 8*time.Second, func() error { // longer than a lease
		if text := second.ready(http.StatusServiceUnavailable); text != "" {
			return fmt.Errorf("the second server of one id: %s", text)
		}
		return nil
	})
	sink.judge(1)
	if gap := sink.gap(time.Now().Add(-8 * time.Second)); gap > time.Second {
		t.Errorf("no media for %v", gap)
	}
	if p := other.waitPush("cam", "PUBLISHING"); p.MediaSessionID != id || p.Attempts != 1 {
		t.Errorf("the push as another server tells: %+v", p)
	}
	first.kill()
	testkit.Eventually(t, time.Minute, func() string { return second.ready(http.StatusOK) })
}

// TestClusterSlow lets NATS answer 2 s late. The server counts as cut off, and nothing that is fed stops.
// TestClusterWipe empties NATS under a push. The servers write their records again, so that the push still goes on elsewhere when its server dies.
// TestClusterVersions lets servers of two versions be one cluster. A record that a newer version has written goes on, with what only that version
// knows; one that it forbids to older ones is shown and can be ended.
func TestClusterVersions(t *testing.T) {
	t.Parallel()
	newer := otherVersion(t)
	for _, tt := range []struct {
		name  string
		least float64
		moves bool
	}{{"for all", 0, true}, {"for newer servers only", 99, false}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := newGroup(t)
			b := g.join("b")
			a := g.joinAs(newer, "a")
			var list []struct{ NodeID, Version string }
			b.post("/node/find_all", map[string]any{}, &list)
			if len(list) != 2 || list[0].Version != "99.0.0" || list[1].Version == "99.0.0" {
				t.Fatalf("the servers are %v", list)
			}
			sink := newFar(t)
			_, leave := publish(t, a.server, "cam", testkit.DefaultPublisherConfig())
			id := sink.push(a, "cam")
			a.kill()
			leave()
			kv := g.pushes()
			for key, r := range g.records() {
				r["v"], r["future"] = 2, map[string]any{"x": 1}
				if tt.least > 0 {
					r["min"] = tt.least
				}
				text, err := json.Marshal(r)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := kv.Put(key, text); err != nil {
					t.Fatal(err)
				}
			}
			publish(t, b.server, "cam", testkit.DefaultPublisherConfig())
			if tt.moves {
				sink.flows(2)
				sink.judge(2)
				testkit.Eventually(t, 10*time.Second, func() string {
					r := g.record()
					if r["id"] != id || r["node"] != "b" || r["v"] != float64(2) || fmt.Sprint(r["future"]) != "map[x:1]" {
						return fmt.Sprintf("record %v", r)
					}
					return ""
				})
				return
			}
			p := b.waitPush("cam", "AWAITING")
			if p.MediaSessionID != id || !strings.Contains(p.Info, "newer version") {
				t.Errorf("the push is %+v", p)
			}
			sink.judge(1)
			if code := b.post("/push/terminate", map[string]string{"mediaSessionId": id}, nil); code != http.StatusOK {
				t.Errorf("terminate answers %d", code)
			}
			if all := g.records(); len(all) != 0 {
				t.Errorf("records are left: %v", all)
			}
			if code := b.post("/push/find_all", map[string]string{}, nil); code != http.StatusNotFound {
				t.Errorf("find after the end answers %d", code)
			}
		})
	}
}

// TestClusterOrphan kills the server of a push, and nobody comes back for the push. All other servers show it, and can end it.
func TestClusterOrphan(t *testing.T) {
	t.Parallel()
	g := newGroup(t)
	a, b, c := g.join("a"), g.join("b"), g.join("c")
	sink := newFar(t)
	_, leave := publish(t, a.server, "cam", testkit.DefaultPublisherConfig())
	id := sink.push(a, "cam")
	a.kill()
	leave()
	type shown struct {
		push
		NodeID string `json:"nodeId"`
		Stale  bool   `json:"stale"`
	}
	for _, m := range []*member{b, c} {
		for method, request := range map[string]map[string]string{
			"/push/find_all": {}, "/push/find": {"mediaSessionId": id},
		} {
			testkit.Eventually(t, 20*time.Second, func() string {
				var all []shown
				code := m.post(method, request, &all)
				if code != http.StatusOK || len(all) != 1 || all[0].Status != "AWAITING" {
					return fmt.Sprintf("%s answers %d, %+v", method, code, all)
				}
				if p := all[0]; p.MediaSessionID != id || p.NodeID != "a" || !p.Stale || p.Reason != "node_lost" || p.Attempts != 1 {
					t.Errorf("%s shows %+v", method, p)
				}
				return ""
			})
		}
	}
	told := events(t, b.server, "")
	request := map[string]string{"mediaSessionId": id}
	if code := c.post("/push/terminate", request, nil); code != http.StatusOK {
		t.Errorf("terminate answers %d", code)
	}
	if e := next(t, told, id, "ENDED"); e["reason"] != "terminated" {
		t.Errorf("the other server tells %v", e)
	}
	for _, m := range []*member{b, c} {
		if code := m.post("/push/find", request, nil); code != http.StatusNotFound {
			t.Errorf("find after the end answers %d", code)
		}
		if code := m.post("/push/terminate", request, nil); code != http.StatusNotFound {
			t.Errorf("a second end answers %d", code)
		}
	}
	publish(t, b.server, "cam", testkit.DefaultPublisherConfig())
	pass(t, 3*time.Second, func() error { // the first looks of the server for what waits
		if n := len(sink.Connections()); n != 1 {
			return fmt.Errorf("a push that was ended has connected: %d connections", n)
		}
		return nil
	})
	sink.push(b, "cam") // and can be started anew
}

// TestClusterCutSecond cuts the server of a push from NATS. Its publisher stays, and another one publishes the same stream at another server. With keep
// both push until the cut is over, then the first one stops; with stop there is never more than one.
// newest returns when the newest media came over a connection.
// TestClusterHalfCut loses what goes between a server and NATS in one direction only: the server is heard and hears nothing, or the other way round.
// The push of a publisher that stays goes on; that of a publisher that moves follows it, and there are never two.
// TestClusterStartups starts one push a hundred times at once, on two servers with a NATS of three: one start succeeds.
