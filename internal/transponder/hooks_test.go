package transponder

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// hookReceiver is the other side of hooks, without a network. It keeps what it is sent.
type hookReceiver struct {
	answer func(ctx context.Context, e hookEvent, try int) (status int, err error)

	mu    sync.Mutex
	begun time.Time
	tries map[uint64]int // guarded by mu; by the event's number
	got   []hookEvent    // guarded by mu; every try
}

// hookEvent is a try as it came.
type hookEvent struct {
	Number   uint64
	Sequence uint64
	ID       string
	after    time.Duration
}

func (r *hookReceiver) RoundTrip(req *http.Request) (*http.Response, error) {
	var e hookEvent
	if err := json.NewDecoder(req.Body).Decode(&e); err != nil {
		return nil, err
	}
	r.mu.Lock()
	e.after = time.Since(r.begun)
	r.tries[e.Number]++
	try := r.tries[e.Number]
	r.got = append(r.got, e)
	r.mu.Unlock()
	status, err := r.answer(req.Context(), e, try)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("thanks"))}, nil
}

func (r *hookReceiver) all() []hookEvent {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

const hookURL = "https://user:hunter2@hook.example/path?token=hunter2"

// runHooks runs hooks in the test's bubble until stop is called, which waits for their end.
func runHooks(t *testing.T, journal *Journal, r *hookReceiver, log io.Writer, marks ...HookMarks) (h *Hooks, stop func()) {
	t.Helper()
	r.begun, r.tries = time.Now(), map[uint64]int{}
	cfg := DefaultHookConfig()
	cfg.URL, cfg.Secret = hookURL, "hunter2"
	h = NewHooks(cfg, journal, slices.Concat(marks, []HookMarks{nil})[0], slog.New(slog.NewTextHandler(log, nil)))
	h.client.Transport = r
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error)
	go func() { done <- h.Run(ctx) }()
	return h, func() {
		cancel(ErrStopping)
		if err := <-done; !errors.Is(err, ErrStopping) {
			t.Errorf("hooks ended with %v, want %v", err, ErrStopping)
		}
	}
}

// TestHookTries holds when an event is posted again, and when it is given up.
func TestHookTries(t *testing.T) {
	errDown := errors.New("connection refused")
	always := func(status int, err error) func(context.Context, hookEvent, int) (int, error) {
		return func(context.Context, hookEvent, int) (int, error) { return status, err }
	}
	s := time.Second
	tests := []struct {
		name   string
		answer func(context.Context, hookEvent, int) (int, error)
		want   []time.Duration
		stats  HookStats
	}{
		{"taken", always(204, nil), []time.Duration{0}, HookStats{Delivered: 1}},
		{"down", always(0, errDown), []time.Duration{0, 1 * s, 5 * s, 21 * s}, HookStats{Retried: 3, Dead: 1}},
		{"broken", always(500, nil), []time.Duration{0, 1 * s, 5 * s, 21 * s}, HookStats{Retried: 3, Dead: 1}},
		{"busy", always(429, nil), []time.Duration{0, 1 * s, 5 * s, 21 * s}, HookStats{Retried: 3, Dead: 1}},
		{"too slow, it says", always(408, nil), []time.Duration{0, 1 * s, 5 * s, 21 * s}, HookStats{Retried: 3, Dead: 1}},
		{"refused", always(403, nil), []time.Duration{0}, HookStats{Dead: 1}},
		{"elsewhere", always(302, nil), []time.Duration{0}, HookStats{Dead: 1}},
		{
			"back again", func(_ context.Context, _ hookEvent, try int) (int, error) {
				if try < 3 {
					return 0, errDown
				}
				return 200, nil
			},
			[]time.Duration{0, 1 * s, 5 * s}, HookStats{Delivered: 1, Retried: 2},
		},
		{
			"silent", func(ctx context.Context, _ hookEvent, _ int) (int, error) {
				<-ctx.Done()
				return 0, ctx.Err()
			},
			[]time.Duration{0, 6 * s, 15 * s, 36 * s}, HookStats{Retried: 3, Dead: 1},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				journal := newJournal(16)
				r := &hookReceiver{answer: tt.answer}
				h, stop := runHooks(t, journal, r, &log)
				journal.add(Event{ID: "a", To: Live, SourceName: "cam"})
				time.Sleep(time.Minute) // of the bubble's time
				stop()
				var got []time.Duration
				for _, e := range r.all() {
					got = append(got, e.after)
				}
				if !slices.Equal(got, tt.want) {
					t.Errorf("tries after %v, want %v", got, tt.want)
				}
				if st := h.Stats(); st != tt.stats {
					t.Errorf("stats = %+v, want %+v", st, tt.stats)
				}
				if logged := strings.Contains(log.String(), "not delivered"); logged != (tt.stats.Dead > 0) {
					t.Errorf("log = %q", &log)
				}
				if strings.Contains(log.String(), "hunter2") {
					t.Errorf("the log holds a secret: %s", &log)
				}
			})
		})
	}
}

// TestHookOrder fails some tries and holds that the events of each push still come in order, and that one push's trouble does not
// keep up all others.
func TestHookOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		journal := newJournal(64)
		r := &hookReceiver{answer: func(_ context.Context, e hookEvent, try int) (int, error) {
			if e.ID == "push 0" && try == 1 {
				return 503, nil
			}
			return 200, nil
		}}
		h, stop := runHooks(t, journal, r, io.Discard)
		for range 5 {
			for push := range 8 {
				journal.add(Event{ID: fmt.Sprint("push ", push), To: Live})
			}
		}
		synctest.Wait()
		if early := len(r.all()); early < 10 {
			t.Errorf("%d tries at once, want those of the other pushes", early)
		}
		time.Sleep(time.Minute)
		stop()
		last := map[string]uint64{}
		for _, e := range r.all() {
			if e.Sequence != last[e.ID] && e.Sequence != last[e.ID]+1 {
				t.Errorf("%s: %d comes after %d", e.ID, e.Sequence, last[e.ID])
			}
			last[e.ID] = e.Sequence
		}
		if st, want := h.Stats(), (HookStats{Delivered: 40, Retried: 5}); st != want {
			t.Errorf("stats = %+v, want %+v", st, want)
		}
	})
}

// TestHookQueue has a receiver that hangs while more comes than may wait: the oldest are given up, and the pushes do not notice.
func TestHookQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		journal := newJournal(1024)
		free := make(chan struct{})
		r := &hookReceiver{answer: func(ctx context.Context, _ hookEvent, _ int) (int, error) {
			select {
			case <-free:
				return 200, nil
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}}
		h, stop := runHooks(t, journal, r, io.Discard)
		journal.add(Event{ID: "a", To: Live})
		synctest.Wait() // the first is under way
		for range hookQueue + 10 {
			journal.add(Event{ID: "a", To: Live})
		}
		synctest.Wait()
		if st, want := h.Stats(), (HookStats{Dead: 10}); st != want {
			t.Errorf("stats = %+v, want %+v", st, want)
		}
		close(free)
		synctest.Wait()
		stop()
		got := r.all()
		if len(got) != hookQueue+1 || got[1].Number != 12 || got[len(got)-1].Number != hookQueue+11 {
			t.Errorf("%d came, want %d: the first, then from 12 on", len(got), hookQueue+1)
		}
	})
}

// TestHooksAtTheEnd holds that what happened last is still told, and that a dead receiver does not hold up the server's end.
func TestHooksAtTheEnd(t *testing.T) {
	t.Run("told", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			journal := newJournal(16)
			r := &hookReceiver{answer: func(context.Context, hookEvent, int) (int, error) { return 200, nil }}
			h, stop := runHooks(t, journal, r, io.Discard)
			synctest.Wait()
			journal.add(Event{ID: "a", To: Ended})
			stop()
			if st, want := h.Stats(), (HookStats{Delivered: 1}); st != want {
				t.Errorf("stats = %+v, want %+v", st, want)
			}
		})
	})
	t.Run("dead", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			journal := newJournal(64)
			r := &hookReceiver{answer: func(ctx context.Context, _ hookEvent, _ int) (int, error) {
				<-ctx.Done()
				return 0, ctx.Err()
			}}
			h, stop := runHooks(t, journal, r, &log)
			for range 50 {
				journal.add(Event{ID: "a", To: Live})
			}
			synctest.Wait()
			begun := time.Now()
			stop()
			if took := time.Since(begun); took != hookGoodbye {
				t.Errorf("the end took %v, want %v", took, hookGoodbye)
			}
			if st, want := h.Stats(), (HookStats{Dead: 50}); st != want {
				t.Errorf("stats = %+v, want %+v", st, want)
			}
			if lines := strings.Count(log.String(), "\n"); lines != 2 {
				t.Errorf("log = %s, want one line for the try and one for the rest", &log)
			}
		})
	})
}

// TestHookRequest holds what goes over the wire.
func TestHookRequest(t *testing.T) {
	type request struct {
		*http.Request
		body []byte
	}
	requests := make(chan request, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		requests <- request{r, body}
	}))
	defer srv.Close()
	journal := newJournal(4)
	cfg := DefaultHookConfig()
	cfg.URL, cfg.Secret = srv.URL+"/hook?x=1", "s3cret"
	h := NewHooks(cfg, journal, nil, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- h.Run(ctx) }()
	journal.add(Event{ID: "a", From: Connecting, To: Live, At: time.Now()})
	r := <-requests
	cancel()
	<-done

	events := make([]Event, 1)
	if _, _, err := journal.Since(t.Context(), 0, events); err != nil {
		t.Fatal(err)
	}
	if want, _ := json.Marshal(events[0]); !bytes.Equal(r.body, want) {
		t.Errorf("body = %s, want %s", r.body, want)
	}
	timestamp := r.Header.Get("X-Transponder-Timestamp")
	if got, want := r.Header.Get("X-Transponder-Signature"), "sha256="+signature("s3cret", timestamp, r.body); got != want {
		t.Errorf("signature = %q, want %q", got, want)
	}
	if r.Method != http.MethodPost || r.URL.String() != "/hook?x=1" ||
		r.Header.Get("Content-Type") != "application/json;charset=UTF-8" {
		t.Errorf("request = %s %s %s", r.Method, r.URL, r.Header.Get("Content-Type"))
	}
	if st, want := h.Stats(), (HookStats{Delivered: 1}); st != want {
		t.Errorf("stats = %+v, want %+v", st, want)
	}
}

// TestHookSignature compares with what openssl says:
// printf '1700000000.{"number":1}' | openssl dgst -sha256 -hmac s3cret
func TestHookSignature(t *testing.T) {
	const want = "1e0259234a8b1fe049408043bb1df91ae6cd1657e50630bb0edc466c511ef489"
	if got := signature("s3cret", "1700000000", []byte(`{"number":1}`)); got != want {
		t.Errorf("signature = %s, want %s", got, want)
	}
}

func TestHookConfig(t *testing.T) {
	tests := []struct {
		cfg  HookConfig
		want string // "" for valid
	}{
		{DefaultHookConfig(), ""},
		{HookConfig{URL: "http://h", Timeout: time.Second}, ""},
		{HookConfig{URL: hookURL, Secret: "x", Timeout: time.Second}, ""},
		{HookConfig{URL: "ftp://hunter2@h", Timeout: time.Second}, "push_hook_url"},
		{HookConfig{URL: "hunter2", Timeout: time.Second}, "push_hook_url"},
		{HookConfig{URL: "http://hunter2:x/%zz", Timeout: time.Second}, "push_hook_url"},
		{HookConfig{Secret: "hunter2", Timeout: time.Second}, "push_hook_secret"},
		{HookConfig{}, "timeout"},
	}
	for _, tt := range tests {
		err := tt.cfg.Validate()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("faults of %+v = %v, want %q", tt.cfg, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the fault holds a secret: %v", err)
		}
	}
}

// The code for receivers in the documentation accepts our requests and refuses others.
func TestDocumentedVerification(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3")
	}
	page, err := os.ReadFile("../../docs/rest.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(page), "```python\n")
	example, _, ok := strings.Cut(example, "```")
	if !ok || !strings.Contains(example, "def genuine(") {
		t.Fatal("the documentation has no example")
	}
	const secret, body = "a long random text", `{"number":3}`
	now := strconv.FormatInt(time.Now().Unix(), 10)
	long := strconv.FormatInt(time.Now().Add(-time.Hour).Unix(), 10)
	for _, tt := range []struct {
		name, timestamp, body, secret string
		want                          string
	}{
		{"ours", now, body, secret, "True"},
		{"changed", now, body + " ", secret, "False"},
		{"with another secret", now, body, "guessed", "False"},
		{"sent again later", long, body, secret, "False"},
	} {
		header := "sha256=" + signature(tt.secret, tt.timestamp, []byte(body))
		script := "import hmac, sys, time\n" + example +
			`print(genuine({"X-Transponder-Timestamp": sys.argv[1], "X-Transponder-Signature": sys.argv[2]}, sys.argv[3].encode(), sys.argv[4]))`
		out, err := exec.Command(python, "-c", script, tt.timestamp, header, tt.body, secret).CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != tt.want {
			t.Errorf("%s: %s (%v), want %s", tt.name, got, err, tt.want)
		}
	}
}
