//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"transponder/internal/testkit"
	"transponder/internal/testkit/natskit"
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

func nothing() error { return nil }

// whole checks that no picture is missing at the far end.
func (f far) whole() {
	f.t.Helper()
	var last int64 = -1
	count := 0
	for _, tag := range f.Tags() {
		n, ok := testkit.FrameNumber(tag.Data)
		if !tag.Video || tag.Header || !ok {
			continue
		}
		if last >= 0 && n != last+1 {
			f.t.Errorf("after picture %d comes picture %d", last, n)
		}
		last = n
		count++
	}
	if count == 0 {
		f.t.Error("no pictures came")
	}
}

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
	kv, err := g.pushes()
	if err != nil {
		return nil
	}
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
func (g *group) pushes() (nats.KeyValue, error) {
	g.t.Helper()
	if g.js == nil {
		g.js = buckets(g.t, g.nats.URL())
	}
	return g.js.KeyValue("tp_pushes")
}

// TestClusterLongAway takes NATS away under many streams: for a minute, for ten minutes in full. No picture is lost, nothing connects anew, and each
// server does for its own streams what it can. Everything is right within 10 s of its return.
func TestClusterLongAway(t *testing.T) {
	t.Parallel()
	g := newGroup(t)
	a, b := g.join("a"), g.join("b")
	away, streams := size(time.Minute, 10*time.Minute), size(16, 50)
	cfg := testkit.DefaultPublisherConfig()
	cfg.FPS, cfg.Units = 10, testkit.SyntheticUnits(10, 200)
	sinks := make([]far, streams)
	at := func(i int) *member { return []*member{a, b}[i%2] }
	var wg sync.WaitGroup
	for i := range streams {
		sinks[i] = newFar(t)
		publish(t, at(i).server, fmt.Sprint("cam-", i), cfg)
		wg.Go(func() { sinks[i].push(at(i), fmt.Sprint("cam-", i)) })
	}
	extra := newFar(t)
	publish(t, a.server, "extra", cfg)
	doomed := extra.push(a, "extra")
	wg.Wait()
	if t.Failed() {
		return
	}
	gone := time.Now()
	g.nats.Kill(t)
	testkit.Eventually(t, time.Minute, func() string {
		return a.ready(http.StatusServiceUnavailable) + b.ready(http.StatusServiceUnavailable)
	})

	// What a server can do alone, it does.
	if p := a.waitPush("cam-0", "PUBLISHING"); p.Attempts != 1 {
		t.Errorf("a's own push: %+v", p)
	}
	request := map[string]any{"streamName": "cam-0", "rtmpUrl": extra.URL("other")}
	if code := a.post("/push/startup", request, nil); code != http.StatusServiceUnavailable {
		t.Errorf("a new push without NATS: %d, want 503", code)
	}
	if code := a.post("/push/find", map[string]string{"streamName": "cam-1"}, nil); code != http.StatusServiceUnavailable {
		t.Errorf("a push of the other server: %d, want 503", code)
	}
	if code := a.post("/push/terminate", map[string]string{"mediaSessionId": doomed}, nil); code != http.StatusOK {
		t.Errorf("the end of an own push: %d", code)
	}
	publish(t, a.server, "new", cfg)
	pass(t, away-time.Since(gone), nothing)
	for i, s := range sinks {
		if len(s.Connections()) != 1 {
			t.Errorf("stream %d: %d connections", i, len(s.Connections()))
		}
	}

	back := time.Now()
	g.nats.Start(t)
	right := func(s *server) string {
		var pushes []push
		var names []struct{ Name, NodeID string }
		s.post("/push/find_all", map[string]any{}, &pushes)
		s.post("/stream/find_all", map[string]any{}, &names)
		running := 0
		for _, p := range pushes {
			if p.Status == "PUBLISHING" {
				running++
			}
		}
		switch {
		case running != streams || len(pushes) != streams:
			return fmt.Sprintf("%d pushes, %d of them run; want %d", len(pushes), running, streams)
		case len(names) != streams+2:
			return fmt.Sprintf("%d streams, want %d", len(names), streams+2)
		case len(g.records()) != streams:
			return fmt.Sprintf("%d records, want %d", len(g.records()), streams)
		}
		return ""
	}
	for _, m := range []*member{a, b} {
		testkit.Eventually(t, time.Minute, func() string { return right(m.server) })
		testkit.Eventually(t, time.Minute, func() string { return m.ready(http.StatusOK) })
	}
	if took := time.Since(back); took > 10*time.Second {
		t.Errorf("all was right %v after the return of NATS, want 10 s", took)
	} else {
		t.Logf("%d streams for %v without NATS; all was right %v after its return", streams, away.Round(time.Second), took.Round(time.Millisecond))
	}
	for i, s := range sinks {
		s.judge(1)
		s.whole()
		if gap := s.gap(gone); gap > time.Second {
			t.Errorf("stream %d: no media for %v", i, gap)
		}
	}
}

// TestClusterLongRestarts restarts NATS again and again, with what it kept in memory lost each time. Nothing connects anew; the servers make no
// more than the consumers that they need; and the last of the restarts leaves a cluster that works.
func TestClusterLongRestarts(t *testing.T) {
	t.Parallel()
	const restarts = 30
	g := newGroup(t)
	a, b := g.join("a"), g.join("b")
	sink := newFar(t)
	p, leave := publish(t, a.server, "cam", testkit.DefaultPublisherConfig())
	id := sink.push(a, "cam")
	js := buckets(t, g.nats.URL())
	consumers := func(stream string) int {
		info, err := js.StreamInfo(stream)
		if err != nil {
			return -1
		}
		return info.State.Consumers
	}
	before := map[string]int{}
	for _, s := range []string{"KV_tp_nodes", "KV_tp_streams", "KV_tp_pushes", "KV_tp_meta", "tp_EVENTS"} {
		before[s] = consumers(s)
	}
	if before["KV_tp_nodes"] != 2 {
		t.Fatalf("%d consumers of the leases for 2 servers", before["KV_tp_nodes"])
	}
	began := time.Now()
	for i := range restarts {
		g.nats.Kill(t)
		if i%3 == 1 { // sometimes it is away for longer than a lease
			pass(t, 2*time.Second, nothing)
		}
		renewals := sample(b.metrics(), `transponder_cluster_renewals_total{result="held"}`)
		g.nats.Start(t)
		testkit.Eventually(t, time.Minute, func() string {
			if sample(b.metrics(), `transponder_cluster_renewals_total{result="held"}`) <= renewals {
				return "b has not renewed its lease"
			}
			var list []struct{ NodeID string }
			if b.post("/node/find_all", map[string]any{}, &list); len(list) != 2 {
				return fmt.Sprintf("b sees %d servers", len(list))
			}
			return ""
		})
	}
	testkit.Eventually(t, 10*time.Second, func() string {
		var list []struct{ Name, NodeID string }
		if b.post("/stream/find_all", map[string]any{}, &list); len(list) != 1 || list[0].NodeID != "a" {
			return fmt.Sprintf("b lists the streams %v", list)
		}
		return a.ready(http.StatusOK) + b.ready(http.StatusOK)
	})
	testkit.Eventually(t, 30*time.Second, func() string {
		for s, n := range before {
			if now := consumers(s); now != n {
				return fmt.Sprintf("%s has %d consumers, before %d", s, now, n)
			}
		}
		return ""
	})
	sink.judge(1)
	sink.whole()
	if gap := sink.gap(began, p); gap > time.Second {
		t.Errorf("no media for %v; the gate was shut for %v s in all", gap, sample(a.metrics(), "transponder_cluster_gate_closed_seconds_total"))
	}
	a.kill()
	leave()
	publish(t, b.server, "cam", testkit.DefaultPublisherConfig())
	sink.flows(2)
	sink.judge(2)
	if p := b.waitPush("cam", "PUBLISHING"); p.MediaSessionID != id {
		t.Errorf("the push at the other server: %+v, want the id %s", p, id)
	}
}

// sample returns the value of a metric with its labels as they are written, -1 if there is none.
func sample(text, name string) float64 {
	for line := range strings.Lines(text) {
		var v float64
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			if _, err := fmt.Sscan(rest, &v); err == nil {
				return v
			}
		}
	}
	return -1
}

// TestClusterLongLeader kills the leader of the records in a NATS of three servers, again and again. Pushes do not notice. A push of a server that
// dies goes on at the other one, also while NATS has only two servers.
func TestClusterLongLeader(t *testing.T) {
	t.Parallel()
	kills := size(5, 20)
	three := natskit.Three(t)
	g := newGroupAt(t, three.URL())
	a, b := g.join("a"), g.join("b")
	sink := newFar(t)
	_, leave := publish(t, a.server, "cam", testkit.DefaultPublisherConfig())
	id := sink.push(a, "cam")
	js := buckets(t, three.URL())
	leader := func() string {
		info, err := js.StreamInfo("KV_tp_pushes", nats.MaxWait(500*time.Millisecond))
		if err != nil || info.Cluster == nil {
			return ""
		}
		if len(info.Cluster.Replicas) != 2 {
			t.Fatalf("the records are kept %d times, want 3", 1+len(info.Cluster.Replicas))
		}
		return info.Cluster.Leader
	}
	began := time.Now()
	var down *natskit.Server
	var took []time.Duration
	for range kills {
		testkit.Eventually(t, time.Minute, func() string {
			if leader() == "" {
				return "the records have no leader"
			}
			return ""
		})
		name := leader()
		for _, s := range three {
			if s.Name == name {
				down = s
			}
		}
		killed := time.Now()
		down.Kill(t)
		testkit.Eventually(t, time.Minute, func() string {
			if now := leader(); now == "" || now == name {
				return "no new leader: " + now
			}
			// What nobody has done before: to write a record.
			if code := b.post("/push/startup", map[string]any{"streamName": "cam", "rtmpUrl": sink.URL("live")}, nil); code != http.StatusConflict {
				return fmt.Sprintf("a second startup answers %d", code)
			}
			return ""
		})
		took = append(took, time.Since(killed).Round(10*time.Millisecond))
		down.Start(t)
		three.Wait(t)
	}
	t.Logf("startup was answered %v after the kills", took)
	testkit.Eventually(t, time.Minute, func() string { return a.ready(http.StatusOK) + b.ready(http.StatusOK) })
	sink.judge(1)
	sink.whole()
	if gap := sink.gap(began); gap > time.Second {
		t.Errorf("no media for %v", gap)
	}

	name := leader()
	for _, s := range three {
		if s.Name == name {
			s.Kill(t)
		}
	}
	a.kill()
	leave()
	killed := time.Now()
	publish(t, b.server, "cam", testkit.DefaultPublisherConfig())
	sink.flows(2)
	t.Logf("with the leader dead, too, the push was live again after %v", time.Since(killed).Round(time.Millisecond))
	sink.judge(2)
	if p := b.waitPush("cam", "PUBLISHING"); p.MediaSessionID != id || p.Attempts != 2 {
		t.Errorf("the push at the other server: %+v, want the id %s and 2 attempts", p, id)
	}
}

// TestClusterLongBothDie kills a server and the leader of the leases in a NATS of three servers at the same moment, again and again. The push goes on at
// the other server, the length of a lease and 2 s after NATS can write leases and records again.
func TestClusterLongBothDie(t *testing.T) {
	t.Parallel()
	const lease, rounds = 6 * time.Second, 2
	three := natskit.Three(t)
	g := newGroupAt(t, three.URL())
	here, there := g.join("a"), g.join("b")
	sink := newFar(t)
	_, leave := publish(t, here.server, "cam", testkit.DefaultPublisherConfig())
	id := sink.push(here, "cam")
	js := buckets(t, three.URL())
	leader := func(bucket string) string {
		info, err := js.StreamInfo(bucket, nats.MaxWait(500*time.Millisecond))
		if err != nil || info.Cluster == nil {
			return ""
		}
		return info.Cluster.Leader
	}
	for round := range rounds {
		var down *natskit.Server
		testkit.Eventually(t, time.Minute, func() string {
			name := leader("KV_tp_nodes")
			for _, s := range three {
				if s.Name == name {
					down = s
					return ""
				}
			}
			return "the leases have no leader"
		})
		down.Kill(t)
		here.kill()
		died := time.Now()
		leave()
		_, leave = publish(t, there.server, "cam", testkit.DefaultPublisherConfig())
		testkit.Eventually(t, time.Minute, func() string {
			for _, bucket := range []string{"KV_tp_nodes", "KV_tp_pushes"} {
				if now := leader(bucket); now == "" || now == down.Name {
					return bucket + " has no leader"
				}
			}
			return ""
		})
		elected := time.Now()
		sink.flows(round + 2)
		if took := time.Since(elected); took > lease+2*time.Second {
			t.Errorf("the push was live again %v after NATS had its leaders, want %v", took, lease+2*time.Second)
		}
		t.Logf("NATS had its leaders %v after the deaths, and the push was live again after %v",
			elected.Sub(died).Round(time.Millisecond), time.Since(died).Round(time.Millisecond))
		sink.judge(round + 2)
		if p := there.waitPush("cam", "PUBLISHING"); p.MediaSessionID != id || p.Attempts != round+2 {
			t.Errorf("the push at the other server: %+v, want the id %s and %d attempts", p, id, round+2)
		}
		if round+1 < rounds {
			down.Start(t)
			three.Wait(t)
			here, there = there, g.join([]string{"a", "b"}[round%2])
		}
	}
}

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
func TestClusterSlow(t *testing.T) {
	t.Parallel()
	g := newGroup(t)
	a, b := g.join("a"), g.join("b")
	sink := newFar(t)
	publish(t, a.server, "cam", testkit.DefaultPublisherConfig())
	id := sink.push(a, "cam")
	slow := time.Now()
	for _, stream := range []string{"upstream", "downstream"} {
		body := fmt.Sprintf(`{"name": %q, "type": "latency", "stream": %[1]q, "attributes": {"latency": 1000}}`, stream)
		if _, err := a.link.Toxics.AddToxicJson(strings.NewReader(body)); err != nil {
			t.Fatal(err)
		}
	}
	testkit.Eventually(t, time.Minute, func() string { // it has noticed
		if sample(a.metrics(), "transponder_cluster_isolated") != 1 {
			return "the server does not count as cut off"
		}
		return ""
	})
	pass(t, 15*time.Second, nothing)
	a.mend()
	testkit.Eventually(t, time.Minute, func() string {
		if sample(a.metrics(), "transponder_cluster_isolated") != 0 {
			return "the server counts as cut off"
		}
		return a.ready(http.StatusOK)
	})
	sink.flows(1)
	sink.judge(1)
	sink.whole()
	if gap := sink.gap(slow); gap > time.Second {
		t.Errorf("no media for %v", gap)
	}
	if p := b.waitPush("cam", "PUBLISHING"); p.MediaSessionID != id || p.Attempts != 1 {
		t.Errorf("the push as the other server tells: %+v", p)
	}
}

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
			kv, err := g.pushes()
			if err != nil {
				t.Fatal(err)
			}
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
func TestClusterCutSecond(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		settings []string
	}{{"keep", nil}, {"stop", []string{"cluster_isolated=stop", "cluster_lease_ms=16000"}}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := newGroup(t)
			a, b := g.join("a", tt.settings...), g.join("b", tt.settings...)
			sink := newFar(t)
			publish(t, a.server, "cam", testkit.DefaultPublisherConfig())
			id := sink.push(a, "cam")
			a.cut()
			testkit.Eventually(t, time.Minute, func() string {
				var list []struct{ NodeID string }
				if b.post("/node/find_all", map[string]any{}, &list); len(list) != 1 {
					return fmt.Sprintf("b sees %d servers", len(list))
				}
				return ""
			})
			publish(t, b.server, "cam", testkit.DefaultPublisherConfig())
			sink.flows(2)
			keeps := tt.settings == nil
			if since := time.Since(sink.newest(1)); since < time.Second != keeps {
				t.Errorf("the server that is cut off has sent the last %v ago", since)
			}
			a.mend()
			testkit.Eventually(t, time.Minute, func() string {
				if sample(a.metrics(), "transponder_cluster_isolated") != 0 {
					return "the server counts as cut off"
				}
				return ""
			})
			healed := time.Now()
			testkit.Eventually(t, time.Minute, func() string {
				if c := sink.Connections()[0]; c.Closed.IsZero() {
					return "the first connection is open"
				}
				return ""
			})
			first := sink.Connections()[0]
			if took := first.Closed.Sub(healed); took > 3*time.Second || !first.Reset {
				t.Errorf("the first connection was closed %v after the cut was over, by a reset: %v", took, first.Reset)
			}
			sink.flows(2)
			if !keeps {
				sink.judge(2)
			}
			testkit.Eventually(t, 20*time.Second, func() string {
				var list []struct{ Name, NodeID string }
				if a.post("/stream/find_all", map[string]any{}, &list); len(list) != 1 || list[0].NodeID != "b" {
					return fmt.Sprintf("a lists the streams %v, want that of b", list)
				}
				return ""
			})
			if p := a.waitPush("cam", "PUBLISHING"); p.MediaSessionID != id || p.Attempts != 2 {
				t.Errorf("the push is %+v, want the id %s and 2 attempts", p, id)
			}
			if n := len(sink.Connections()); n != 2 {
				t.Errorf("%d connections, want 2", n)
			}
		})
	}
}

// newest returns when the newest media came over a connection.
func (f far) newest(connection int) (at time.Time) {
	for _, tag := range f.Tags() {
		if tag.Connection == connection && !tag.Header {
			at = tag.At
		}
	}
	return at
}

// TestClusterHalfCut loses what goes between a server and NATS in one direction only: the server is heard and hears nothing, or the other way round.
// The push of a publisher that stays goes on; that of a publisher that moves follows it, and there are never two.
func TestClusterHalfCut(t *testing.T) {
	t.Parallel()
	for _, direction := range []string{"upstream", "downstream"} {
		for _, moves := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/moves=%v", direction, moves), func(t *testing.T) {
				t.Parallel()
				g := newGroup(t)
				a, b := g.join("a"), g.join("b")
				sink := newFar(t)
				vanish := publishBehind(t, a.server, "cam")
				id := sink.push(a, "cam")
				a.cutOff(direction)
				cut := time.Now()
				testkit.Eventually(t, time.Minute, func() string {
					if sample(a.metrics(), "transponder_cluster_isolated") != 1 {
						return "the server does not count as cut off"
					}
					return ""
				})
				testkit.Eventually(t, time.Minute, func() string { // its renewals are not taken, even if they arrive
					var list []struct{ NodeID string }
					if b.post("/node/find_all", map[string]any{}, &list); len(list) != 1 {
						return fmt.Sprintf("b sees %d servers", len(list))
					}
					return ""
				})
				sink.flows(1)
				if gap := sink.gap(cut); gap > time.Second {
					t.Errorf("no media for %v", gap)
				}
				connections := 1
				if moves {
					vanish()
					publish(t, b.server, "cam", testkit.DefaultPublisherConfig())
					sink.flows(2)
					connections = 2
				} else {
					pass(t, 5*time.Second, nothing)
				}
				a.mend()
				testkit.Eventually(t, time.Minute, func() string {
					if sample(a.metrics(), "transponder_cluster_isolated") != 0 {
						return "the server counts as cut off"
					}
					return a.ready(http.StatusOK)
				})
				sink.flows(connections)
				sink.judge(connections)
				sink.apart()
				if p := b.waitPush("cam", "PUBLISHING"); p.MediaSessionID != id || p.Attempts != connections {
					t.Errorf("the push as b tells: %+v, want the id %s and %d attempts", p, id, connections)
				}
			})
		}
	}
}

// TestClusterStartups starts one push a hundred times at once, on two servers with a NATS of three: one start succeeds.
func TestClusterStartups(t *testing.T) {
	t.Parallel()
	g := newGroupAt(t, natskit.Three(t).URL())
	all := []*member{g.join("a"), g.join("b")}
	sink := newFar(t)
	publish(t, all[0].server, "cam", testkit.DefaultPublisherConfig())
	body := fmt.Sprintf(`{"streamName": "cam", "rtmpUrl": %q}`, sink.URL("live"))
	var mu sync.Mutex
	codes := map[int]int{}
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			client := http.Client{Timeout: 20 * time.Second}
			resp, err := client.Post(all[i%2].rest+"/push/startup", "application/json", strings.NewReader(body))
			if err != nil {
				t.Error(err)
				return
			}
			resp.Body.Close()
			mu.Lock()
			codes[resp.StatusCode]++
			mu.Unlock()
		})
	}
	wg.Wait()
	if codes[http.StatusOK] != 1 || codes[http.StatusConflict] != 99 {
		t.Errorf("the answers are %v, want one 200 and 99 times 409", codes)
	}
	sink.flows(1)
	sink.judge(1)
}

// TestClusterWipe empties NATS under a push. The servers write their records again, so that the push still goes on elsewhere when its server dies.
func TestClusterWipe(t *testing.T) {
	t.Parallel()
	g := newGroup(t)
	a, b := g.join("a"), g.join("b")
	sink := newFar(t)
	_, leave := publish(t, a.server, "cam", testkit.DefaultPublisherConfig())
	id := sink.push(a, "cam")
	wiped := time.Now()
	g.nats.Wipe(t)
	testkit.Eventually(t, time.Minute, func() string {
		if r := g.record(); r["id"] != id || r["epoch"] != float64(1) {
			return fmt.Sprintf("the record is %v", r)
		}
		return ""
	})
	if took := time.Since(wiped); took > 10*time.Second {
		t.Errorf("the record was there again after %v, want 10 s", took)
	}
	testkit.Eventually(t, time.Minute, func() string { return a.ready(http.StatusOK) + b.ready(http.StatusOK) })
	sink.judge(1)
	if gap := sink.gap(wiped); gap > time.Second {
		t.Errorf("no media for %v", gap)
	}
	a.kill()
	leave()
	publish(t, b.server, "cam", testkit.DefaultPublisherConfig())
	sink.flows(2)
	sink.judge(2)
	if p := b.waitPush("cam", "PUBLISHING"); p.MediaSessionID != id || p.Attempts != 2 {
		t.Errorf("the push at the other server: %+v, want the id %s and 2 attempts", p, id)
	}
}
