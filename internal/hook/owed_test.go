package hook

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"transponder/internal/access"
	"transponder/internal/guard"
	"transponder/internal/testkit"
)

// process is a Hooks with a state, which the next process finds when this one was killed.
func process(t *testing.T, b *server, state *keeper) (h *Hooks, stop func()) {
	t.Helper()
	return processOf(t, b, state, func(*Config, *Parts) {})
}

func processOf(t *testing.T, b *server, state *keeper, change func(*Config, *Parts)) (h *Hooks, stop func()) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	k := newKeeper() // of the apps, which only the state of a whole server keeps apart
	apps, err := NewApps(t.Context(), "", k, k, log)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := apps.Create(t.Context(), App{Name: DefaultApp, Key: DefaultApp, URL: b.URL}); err != nil {
		t.Fatal(err)
	}
	cfg, parts := DefaultConfig(), Parts{Apps: apps, Refusals: guard.NewRefusals(log), Shares: guard.DefaultSharesConfig(), Keeper: state, Sealer: state}
	change(&cfg, &parts)
	h, err = New(cfg, parts, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = h.Run(ctx) }()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return h, stop
}

// killed returns a copy of the state as it is now: what the next process finds after a kill.
func (k *keeper) killed() *keeper {
	k.mu.Lock()
	defer k.mu.Unlock()
	return &keeper{records: maps.Clone(k.records)}
}

// told returns the events that a backend got, in words.
func (b *server) told() []string {
	var all []string
	for _, r := range b.received() {
		if r.method != Connect {
			all = append(all, r.body.text("sessionId")+" "+r.body.text("mediaSessionId")+" "+r.body.text("status"))
		}
	}
	return all
}

func begin(t *testing.T, h *Hooks, session string) *Session {
	t.Helper()
	s, err := h.Open(Client{SessionID: session})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Connect(t.Context(), access.Nobody(), Connection{}); err != nil {
		t.Fatal(err)
	}
	s.Established(nil)
	return s
}

// After a kill the backend is told the ends of the sessions and streams of which it knows the beginning, and of no others, once. The process that tells
// them forgets them.
func TestOwedAfterAKill(t *testing.T) {
	b := newServer(t)
	state := newKeeper()
	h, stop := process(t, b, state)
	s := begin(t, h, "s1")
	s.Tell(StreamStatusEvent, Stream{MediaSessionID: "m1", Name: "cam", Published: true, Status: StatusPublishing, SDP: "v=0", Custom: json.RawMessage(`"CANARY"`)}, nil)
	s.Tell(StreamStatusEvent, Stream{MediaSessionID: "m2", Name: "cam", Status: StatusPlaying}, nil)
	s.Tell(StreamStatusEvent, Stream{MediaSessionID: "m3", Name: "cam", Status: StatusPlaying}, nil)
	s.Tell(StreamStatusEvent, Stream{MediaSessionID: "m3", Name: "cam", Status: StatusStopped}, nil) // is over
	s.Tell(StreamStatusEvent, Stream{MediaSessionID: "m4", Name: "cam", Status: StatusFailed}, nil)  // never began
	begin(t, h, "s2").Close("")
	b.wait(t, 2+5+3)
	testkit.Eventually(t, 30*time.Second, func() string {
		if n := len(state.killed().records); n != 3 {
			return "not three ends are kept"
		}
		return ""
	})
	found := state.killed()
	for _, r := range found.records {
		var o owed
		if err := json.Unmarshal(r.Value, &o); err != nil || o.Session != "s1" {
			t.Errorf("kept: %s, %v", r.Value, err)
		}
	}
	stop()
	before := len(b.told())

	h, stop = process(t, b, found)
	again := begin(t, h, "s9") // a session of this process is none of those
	testkit.Eventually(t, 30*time.Second, func() string {
		if len(b.told()) < before+4 {
			return "not all ends are told"
		}
		return ""
	})
	told := b.told()[before:]
	told = slices.DeleteFunc(told, func(s string) bool { return s == "s9  ESTABLISHED" })
	if last := told[len(told)-1]; last != "s1  DISCONNECTED" {
		t.Errorf("the last one told is %q, want the end of the session", last)
	}
	slices.Sort(told)
	if want := []string{"s1  DISCONNECTED", "s1 m1 FAILED", "s1 m2 FAILED"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
	for _, r := range b.received() {
		if r.body.text("info") == crashInfo && (r.body.text("sdp") != "" || r.body.text("mediaSessionId") == "m1" && r.body.text("custom") != "CANARY") {
			t.Errorf("told %s", r.text)
		}
	}
	again.Close("")
	testkit.Eventually(t, 30*time.Second, func() string {
		if n := len(found.killed().records); n != 0 {
			return "ends are still kept"
		}
		return ""
	})
	stop()
}

// An end that a backend did not take before the server stopped is told by the next process.
func TestOwedAfterAStop(t *testing.T) {
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
	state := newKeeper()
	h, stop := process(t, b, state)
	s := begin(t, h, "s1")
	b.wait(t, 2)
	mu.Lock()
	down = true
	mu.Unlock()
	s.Close("")
	b.wait(t, 3)
	stop()
	mu.Lock()
	down = false
	mu.Unlock()
	_, stop = process(t, b, state)
	testkit.Eventually(t, 30*time.Second, func() string {
		if told := b.told(); told[len(told)-1] != "s1  DISCONNECTED" || len(state.killed().records) > 0 {
			return "the end is not told"
		}
		return ""
	})
	stop()
}

// Who reports an event is told when the backend has heard it or never will, and not when the next process may tell it.
func TestReportDone(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		stop   bool // while the event waits for an answer
		want   bool
	}{
		{"told", 200, false, true},
		{"refused", 403, false, true},
		{"lost", 503, false, true},
		{"the server stops", 503, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newServer(t)
			asked, answer := make(chan struct{}, 1), make(chan struct{})
			b.answer = func(w http.ResponseWriter, r received) bool {
				if r.method != PushStatusEvent {
					return false
				}
				asked <- struct{}{}
				<-answer
				w.WriteHeader(tt.status)
				return true
			}
			h, stop := process(t, b, newKeeper())
			done := make(chan struct{}, 1)
			begin(t, h, "s1").Report(PushStatusEvent, Object{}, func(context.Context) { done <- struct{}{} })
			<-asked
			stopped := make(chan struct{})
			if tt.stop {
				go func() { defer close(stopped); stop() }()
				testkit.Eventually(t, 30*time.Second, func() string {
					h.mu.Lock()
					defer h.mu.Unlock()
					if !h.over {
						return "Run does not stop"
					}
					return ""
				})
			}
			close(answer)
			if !tt.want {
				<-stopped
				if len(done) > 0 {
					t.Error("done was called")
				}
				return
			}
			select {
			case <-done:
			case <-time.After(30 * time.Second):
				t.Error("done was not called")
			}
		})
	}
}
