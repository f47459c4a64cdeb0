//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"transponder/internal/testkit"
)

// hookCounter is a backend that counts the events that it has taken, by push and sequence.
type hookCounter struct {
	*httptest.Server

	mu    sync.Mutex
	deaf  bool           // guarded by mu; it answers 503
	taken map[string]int // guarded by mu
}

func newHookCounter(t *testing.T) *hookCounter {
	h := &hookCounter{taken: map[string]int{}}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var e struct {
			ID       string
			Sequence int
		}
		err := json.NewDecoder(r.Body).Decode(&e)
		h.mu.Lock()
		defer h.mu.Unlock()
		if err != nil || h.deaf {
			http.Error(w, "not now", http.StatusServiceUnavailable)
			return
		}
		h.taken[fmt.Sprintf("%s %d", e.ID, e.Sequence)]++
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hookCounter) setDeaf(deaf bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.deaf = deaf
}

// has is empty once the events of a push up to a sequence were taken, each at most so many times.
func (h *hookCounter) has(id string, upTo, most int) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	for n := 1; n <= upTo; n++ {
		if got := h.taken[fmt.Sprintf("%s %d", id, n)]; got < 1 || got > most {
			return fmt.Sprintf("event %d of %d was taken %d times, want 1 to %d", n, upTo, got, most)
		}
	}
	return ""
}

// marked waits until a node has written how far it has posted its events: a server that dies before leaves nothing to go on from.
func (n *nodes) marked(t *testing.T, node string) {
	t.Helper()
	conn, err := nats.Connect(n.nats.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, 30*time.Second, func() string {
		marks, err := js.KeyValue(t.Context(), "tp_meta")
		if err == nil {
			_, err = marks.Get(t.Context(), "hooks."+node)
		}
		if err != nil {
			return err.Error()
		}
		return ""
	})
}

// Each event is posted once by the server that runs the push. What that server has written and not posted when it dies, another one posts.
// The history has its pushes that were over.
func TestClusterHooks(t *testing.T) {
	backend := newHookCounter(t)
	n := startNodes(t)
	setting := "push_hook_url=" + backend.URL
	a, b := n.start(t, "a", setting), n.start(t, "b", setting)
	n.wait(t, "a", "b")
	n.marked(t, "a")
	receiver := testkit.NewRTMPServer(t, testkit.Script{})
	told := events(t, b, "")
	leave := publishUntil(t, a, "show", 320, 180)
	var started push
	testkit.Eventually(t, 20*time.Second, func() string {
		if code := b.post("/push/startup", map[string]any{"streamName": "show", "rtmpUrl": receiver.URL("live")}, &started); code != http.StatusOK {
			return fmt.Sprintf("startup on b answers %d", code)
		}
		return ""
	})
	id := started.MediaSessionID
	live := next(t, told, id, "PUBLISHING")
	last := int(live["sequence"].(float64))
	testkit.Eventually(t, 10*time.Second, func() string { return backend.has(id, last, 1) })

	// A push that is over: its server dies later.
	var over push
	second := testkit.NewRTMPServer(t, testkit.Script{})
	if code := b.post("/push/startup", map[string]any{"streamName": "show", "rtmpUrl": second.URL("live")}, &over); code != http.StatusOK {
		t.Fatalf("a second startup answers %d", code)
	}
	if code := b.post("/push/terminate", map[string]any{"mediaSessionId": over.MediaSessionID}, nil); code != http.StatusOK {
		t.Fatalf("terminate answers %d", code)
	}
	next(t, told, over.MediaSessionID, "ENDED")

	backend.setDeaf(true)
	leave()
	for after := last; last == after; {
		select {
		case e := <-told: // b knows it, so NATS has it
			if e["id"] == id {
				last = int(e["sequence"].(float64))
			}
		case <-time.After(30 * time.Second):
			t.Fatal("the push does not notice that its publisher has gone")
		}
	}
	a.kill()
	n.wait(t, "b")
	resp, err := http.Get(b.rest + "/push/history")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var history []struct{ MediaSessionID, NodeID string }
	err = json.NewDecoder(resp.Body).Decode(&history)
	found := false
	for _, h := range history { // the first push may be over, too
		found = found || h.MediaSessionID == over.MediaSessionID && h.NodeID == "a"
	}
	if err != nil || !found {
		t.Errorf("the history on b is %v (%v), want the push %s of a in it", history, err, over.MediaSessionID)
	}
	backend.setDeaf(false)
	if backend.has(id, last, 1) == "" {
		t.Fatal("the backend has taken the last event from a, so the test shows nothing")
	}
	// What a has posted in the second before it died may come once more.
	testkit.Eventually(t, 40*time.Second, func() string { return backend.has(id, last, 2) })
}

// endsTold is the backend of an application, which notes the ends that it is told.
type endsTold struct {
	*httptest.Server

	mu   sync.Mutex
	told []string // guarded by mu
}

func newEndsTold(t *testing.T) *endsTold {
	e := &endsTold{}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Status, Info, NodeID string }
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Errorf("%s: %v", r.URL, err)
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		told := r.URL.Path[1:] + " " + body.Status
		if body.Info != "" && r.URL.Path != "/PushStatusEvent" {
			told += " of " + body.NodeID + ": " + body.Info
		}
		e.told = append(e.told, told)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("{}"))
	}))
	t.Cleanup(e.Close)
	return e
}

// count returns how often something was told.
func (e *endsTold) count(what string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for _, told := range e.told {
		if told == what {
			n++
		}
	}
	return n
}

// wait waits until something was told.
func (e *endsTold) wait(t *testing.T, limit time.Duration, what string) {
	t.Helper()
	testkit.Eventually(t, limit, func() string {
		if e.count(what) == 0 {
			e.mu.Lock()
			defer e.mu.Unlock()
			return fmt.Sprintf("the backend was told %q, want %q", e.told, what)
		}
		return ""
	})
}

// The backend of an application is told the ends of a server that dies and does not come back: of its session, its stream, and its push. The server that
// comes back after all does not tell them again.
func TestClusterEnds(t *testing.T) {
	backend := newEndsTold(t)
	n := startNodes(t)
	setting := "rtmp_push_resume_ms=1000" // others wait for a minute at least
	a, b := n.start(t, "a", setting), n.start(t, "b", setting)
	n.wait(t, "a", "b")
	if code := b.post("/app/update", map[string]any{"name": "defaultApp", "url": backend.URL}, nil); code != http.StatusOK {
		t.Fatalf("app/update answers %d", code)
	}
	receiver := testkit.NewRTMPServer(t, testkit.Script{})
	told := events(t, b, "")
	publishUntil(t, a, "show", 320, 180)
	var started push
	testkit.Eventually(t, 20*time.Second, func() string {
		if code := b.post("/push/startup", map[string]any{"streamName": "show", "rtmpUrl": receiver.URL("live")}, &started); code != http.StatusOK {
			return fmt.Sprintf("startup on b answers %d", code)
		}
		return ""
	})
	next(t, told, started.MediaSessionID, "PUBLISHING")
	backend.wait(t, 20*time.Second, "StreamStatusEvent PUBLISHING")
	backend.wait(t, 20*time.Second, "PushStatusEvent PUBLISHING")
	a.kill()
	died := time.Now()
	stream, session, push := "StreamStatusEvent FAILED of a: The server is gone", "ConnectionStatusEvent DISCONNECTED of a: The server is gone", "PushStatusEvent ENDED"
	backend.wait(t, 2*time.Minute, session)
	backend.wait(t, 2*time.Minute, push)
	if since := time.Since(died); since < time.Minute {
		t.Errorf("the ends were told %v after the death of the server, which might have come back", since)
	}
	again := n.startAt(t, a.dir, "a", setting)
	n.wait(t, "a", "b")
	publishUntil(t, again, "another", 320, 180) // what is told after that
	testkit.Eventually(t, 20*time.Second, func() string {
		if backend.count("StreamStatusEvent PUBLISHING") < 2 {
			return "the server that is back tells nothing"
		}
		return ""
	})
	for _, what := range []string{stream, session, push} {
		if got := backend.count(what); got != 1 {
			t.Errorf("%q was told %d times, want once", what, got)
		}
	}
	if got := backend.count("StreamStatusEvent FAILED of a: The server was restarted"); got != 0 {
		t.Errorf("the server that is back has told the end of its stream, too")
	}
}
