//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"transponder/internal/testkit"
	"transponder/internal/testkit/natskit"
)

// nodes are servers that share one NATS server.
type nodes struct {
	nats *natskit.Server
	key  string // file
	all  map[string]*server
}

// startNodes starts servers of one cluster, and returns when each knows all.
func startNodes(t *testing.T, names ...string) *nodes {
	t.Helper()
	n := &nodes{nats: natskit.Start(t), key: filepath.Join(t.TempDir(), "key"), all: map[string]*server{}}
	var key [32]byte
	rand.Read(key[:])
	if err := os.WriteFile(n.key, []byte(base64.StdEncoding.EncodeToString(key[:])+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		n.start(t, name)
	}
	n.wait(t, names...)
	return n
}

func (n *nodes) start(t *testing.T, name string, settings ...string) *server {
	t.Helper()
	return n.startAt(t, t.TempDir(), name, settings...)
}

// startAt is start in a folder, which the node may have used before.
func (n *nodes) startAt(t *testing.T, dir, name string, settings ...string) *server {
	t.Helper()
	s := startServerAt(t, dir, nil, append([]string{"cluster_nats_url=" + n.nats.URL(), "cluster_node_id=" + name, "secrets_key_file=" + n.key, "ip=127.0.0.1"}, settings...)...)
	n.all[name] = s
	return s
}

// wait waits until each of the servers knows exactly those.
func (n *nodes) wait(t *testing.T, names ...string) {
	t.Helper()
	want := strings.Join(names, " ")
	for _, name := range names {
		testkit.Eventually(t, time.Minute, func() string {
			var list []struct{ NodeID string }
			n.all[name].post("/node/find_all", map[string]any{}, &list)
			var got []string
			for _, x := range list {
				got = append(got, x.NodeID)
			}
			if strings.Join(got, " ") != want {
				return fmt.Sprintf("%s knows the nodes %q, want %q", name, got, want)
			}
			return ""
		})
	}
}

// events returns the events of pushes that a server tells from now on, until the test ends.
func events(t *testing.T, s *server, after string) <-chan map[string]any {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.rest+"/push/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	if after != "" {
		req.Header.Set("Last-Event-ID", after)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	all, done := make(chan map[string]any, 256), make(chan struct{})
	go func() {
		defer close(done)
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				var e map[string]any
				if json.Unmarshal([]byte(data), &e) == nil {
					all <- e
				}
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		resp.Body.Close()
		<-done
	})
	return all
}

// next returns the next event of a push that leads to a state.
func next(t *testing.T, all <-chan map[string]any, id, state string) map[string]any {
	t.Helper()
	limit := time.After(30 * time.Second)
	for {
		select {
		case e := <-all:
			if e["id"] == id && e["to"] == state {
				return e
			}
		case <-limit:
			t.Fatalf("no event %s of the push %s", state, id)
		}
	}
}

// Every method works on every server: a push is started on one, for a stream of another, seen by events of a third, and ended there.
func TestClusterAnswersEverywhere(t *testing.T) {
	n := startNodes(t, "a", "b", "c")
	a, b, c := n.all["a"], n.all["b"], n.all["c"]
	receiver := testkit.NewRTMPServer(t, testkit.Script{})
	told := events(t, c, "")
	publishUntil(t, a, "show", 320, 180)

	var started struct {
		push
		NodeID string `json:"nodeId"`
	}
	request := map[string]any{"streamName": "show", "rtmpUrl": receiver.URL("live")}
	testkit.Eventually(t, 20*time.Second, func() string {
		if code := b.post("/push/startup", request, &started); code != http.StatusOK {
			return fmt.Sprintf("startup on b answers %d", code)
		}
		return ""
	})
	if started.NodeID != "a" {
		t.Errorf("the push runs on %q, want a", started.NodeID)
	}
	id := started.MediaSessionID
	for name, s := range n.all {
		if code := s.post("/push/startup", request, nil); code != http.StatusConflict {
			t.Errorf("a second startup on %s: %d, want 409", name, code)
		}
		s.waitPush("show", "PUBLISHING")
		var list []struct{ NodeID, Name string }
		if s.post("/stream/find_all", map[string]any{}, &list); len(list) != 1 || list[0].NodeID != "a" || list[0].Name != "show" {
			t.Errorf("%s lists the streams %v, want show on a", name, list)
		}
	}
	live := next(t, told, id, "PUBLISHING")
	if code := c.post("/push/mute", map[string]any{"mediaSessionId": id}, nil); code != http.StatusOK {
		t.Errorf("mute on c: %d", code)
	}
	var found []struct{ Muted bool }
	if b.post("/push/find", map[string]any{"mediaSessionId": id}, &found); len(found) != 1 || !found[0].Muted {
		t.Errorf("b finds %v, want a muted push", found)
	}

	// WHEP on b plays the stream of a.
	player := playWHEP(t, b, "show")
	player.Wait(t, "30 pictures on b", func() bool { return len(player.Frames("video")) >= 30 })
	for _, s := range n.all {
		var list []struct{ Name string }
		if s.post("/stream/find", map[string]any{"published": true}, &list); len(list) != 1 {
			t.Errorf("while b plays, the published streams are %v, want show alone", list)
		}
	}

	if code := c.post("/push/terminate", map[string]any{"mediaSessionId": id}, nil); code != http.StatusOK {
		t.Errorf("terminate on c: %d", code)
	}
	next(t, told, id, "ENDED")
	// An event's id is good on every server.
	again := next(t, events(t, b, fmt.Sprintf("%s-%.0f", live["run"], live["number"].(float64)-1)), id, "PUBLISHING")
	if again["number"] != live["number"] {
		t.Errorf("b tells event %v, want the event %v that c has told", again["number"], live["number"])
	}
	testkit.Eventually(t, 10*time.Second, func() string {
		resp, err := http.Get(b.rest + "/push/history")
		if err != nil {
			return err.Error()
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		if !strings.Contains(string(text), id) {
			return "the history on b does not have the push"
		}
		return ""
	})
	if code := c.post("/stream/terminate", map[string]any{"name": "show"}, nil); code != http.StatusOK {
		t.Errorf("ending the stream on c: %d", code)
	}
	testkit.Eventually(t, 10*time.Second, func() string {
		if code := b.post("/stream/find_all", map[string]any{}, nil); code != http.StatusNotFound {
			return "the stream goes on"
		}
		return ""
	})
	for name, s := range n.all {
		if strings.Contains(s.log.String(), "level=ERROR") {
			t.Errorf("%s has logged errors", name)
		}
	}
}
