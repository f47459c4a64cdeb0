package hook

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"transponder/internal/access"
	"transponder/internal/guard"
	"transponder/internal/state"
	"transponder/internal/testkit"
)

// keeper is a state in memory.
type keeper struct {
	mu      sync.Mutex
	records map[string]state.Record
}

func newKeeper() *keeper { return &keeper{records: map[string]state.Record{}} }

func (k *keeper) Get(_ context.Context, _, key string) (state.Record, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	r, ok := k.records[key]
	if !ok {
		return r, state.ErrNotFound
	}
	return r, nil
}

func (k *keeper) List(context.Context, string, string) ([]state.Record, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []state.Record
	for _, r := range k.records {
		all = append(all, r)
	}
	return all, nil
}

func (k *keeper) Put(_ context.Context, _, key string, value []byte, _ uint64) (uint64, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.records[key] = state.Record{Key: key, Value: value, Revision: 1}
	return 1, nil
}

func (k *keeper) Delete(_ context.Context, _, key string, _ uint64) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.records, key)
	return nil
}

func (k *keeper) Seal(place string, secret []byte) (string, error) {
	return place + "|" + string(secret), nil
}

func (k *keeper) Open(place, sealed string) ([]byte, error) {
	return []byte(strings.TrimPrefix(sealed, place+"|")), nil
}

// received is a hook as a backend has got it.
type received struct {
	method Method
	header http.Header
	path   string
	text   []byte
	body   Object
}

// server is a backend that behaves as the vendor's samples do: it mirrors the body, and adds restClientConfig to the answer to connect.
type server struct {
	*httptest.Server
	config any // restClientConfig; nil: none
	// answer may answer instead; it returns false to leave the answer to the mirror.
	answer func(w http.ResponseWriter, r received) bool

	mu  sync.Mutex
	got []received
}

func newServer(t *testing.T) *server {
	b := &server{}
	b.Server = httptest.NewServer(http.HandlerFunc(b.serve))
	t.Cleanup(b.Close)
	return b
}

func (b *server) serve(w http.ResponseWriter, r *http.Request) {
	text, _ := io.ReadAll(r.Body)
	q := received{method: Method(path.Base(r.URL.Path)), header: r.Header, path: r.URL.Path, text: text}
	_ = json.Unmarshal(text, &q.body)
	b.mu.Lock()
	b.got = append(b.got, q)
	b.mu.Unlock()
	if b.answer != nil && b.answer(w, q) {
		return
	}
	if q.method == Connect && b.config != nil {
		q.body.set("restClientConfig", b.config)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(q.body)
}

func (b *server) received() []received {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.got)
}

func (b *server) methods() []Method {
	var methods []Method
	for _, r := range b.received() {
		methods = append(methods, r.method)
	}
	return methods
}

// wait waits until the backend has got n hooks.
func (b *server) wait(t *testing.T, n int) []received {
	t.Helper()
	testkit.Eventually(t, time.Minute, func() string {
		if got := len(b.received()); got < n {
			return fmt.Sprintf("the backend got %d hooks, want %d", got, n)
		}
		return ""
	})
	return b.received()
}

// running is a Hooks that runs.
type running struct {
	*Hooks
	stop func() // returns when Run has returned
}

// run starts a Hooks whose app defaultApp has the backend. change may change the configuration and the app.
func run(t *testing.T, b *server, change func(*Config, *App)) running {
	t.Helper()
	return runAt(t, b.URL, change)
}

func runAt(t *testing.T, address string, change func(*Config, *App)) running {
	t.Helper()
	cfg := DefaultConfig()
	cfg.NodeID = "node@192.0.2.10"
	app := App{Name: DefaultApp, Key: DefaultApp, URL: address + "/apps/EchoApp"}
	if change != nil {
		change(&cfg, &app)
	}
	log := slog.New(slog.DiscardHandler)
	k := newKeeper()
	apps, err := NewApps(t.Context(), "", k, k, log)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := apps.Create(t.Context(), app); err != nil {
		t.Fatal(err)
	}
	h, err := New(cfg, Parts{Apps: apps, Refusals: guard.NewRefusals(log), Shares: guard.DefaultSharesConfig()}, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = h.Run(ctx) }()
	stop := sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return running{h, stop}
}

var page = Client{SessionID: "5f0c", Door: "websocket", Peer: netip.MustParseAddr("192.0.2.7"), Address: "192.0.2.7:5000"}

func (r running) open(t *testing.T) *Session {
	t.Helper()
	s, err := r.Open(page)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// connected returns a session that has connected.
func (r running) connected(t *testing.T) *Session {
	t.Helper()
	s := r.open(t)
	if _, _, err := s.Connect(t.Context(), access.Nobody(), Connection{}); err != nil {
		t.Fatal(err)
	}
	return s
}

// text returns a member that is a string, "" for all others.
func (o Object) text(name string) string {
	var s string
	_ = json.Unmarshal(o[name], &s)
	return s
}
