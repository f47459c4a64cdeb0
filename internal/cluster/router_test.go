package cluster

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/state"
)

// wire joins processes of a test in memory, as NATS does.
type wire struct {
	mu    sync.Mutex
	peers map[Owner]*wirePeer // guarded by mu
	lose  int                 // guarded by mu; so many answers get lost
}

type wirePeer struct {
	wire  *wire
	me    Owner
	rtmp  string
	verbs map[string]func(context.Context, []byte) ([]byte, error)
}

// join adds a process.
func (w *wire) join(node string) *wirePeer {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.peers == nil {
		w.peers = map[Owner]*wirePeer{}
	}
	p := &wirePeer{wire: w, me: Owner{node, "inc-" + node}, verbs: map[string]func(context.Context, []byte) ([]byte, error){}}
	w.peers[p.me] = p
	return p
}

// leave takes a process from the wire: others still think that it lives.
func (w *wire) leave(o Owner) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.peers[o] = nil
}

func (p *wirePeer) Me() Owner       { return p.me }
func (p *wirePeer) Informed() error { return nil }

func (p *wirePeer) Nodes() []Node {
	p.wire.mu.Lock()
	defer p.wire.mu.Unlock()
	var all []Node
	for o, other := range p.wire.peers {
		n := Node{Owner: o}
		if other != nil {
			n.RTMP = other.rtmp
		}
		all = append(all, n)
	}
	return all
}

func (p *wirePeer) Handle(verb string, f func(context.Context, []byte) ([]byte, error)) {
	p.verbs[verb] = f
}

func (p *wirePeer) Request(ctx context.Context, to Owner, verb string, body []byte) ([]byte, error) {
	p.wire.mu.Lock()
	other := p.wire.peers[to]
	lost := p.wire.lose > 0
	if lost {
		p.wire.lose--
	}
	p.wire.mu.Unlock()
	if other == nil {
		return nil, ErrGone
	}
	answer, err := other.verbs[verb](ctx, body)
	if lost {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	return answer, err
}

func newSealer(t *testing.T) state.Sealer {
	t.Helper()
	store, err := state.Memory(t.Context(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store.Sealer()
}

// newRouters makes the routers of nodes a and b. b's handler counts the calls, and answers what was sent to it.
func newRouters(t *testing.T, sealer state.Sealer) (a *Router, w *wire, b Owner, calls *atomic.Int64) {
	t.Helper()
	w = &wire{}
	log := slog.New(slog.DiscardHandler)
	a = NewRouter(w.join("a"), sealer, log)
	other := NewRouter(w.join("b"), sealer, log)
	calls = &atomic.Int64{}
	other.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		switch {
		case r.URL.Path == "/panic":
			panic("on purpose")
		case Forwarded(r.Context()) == nil:
			t.Error("the request does not know that it was handed over")
		}
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusConflict)
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write([]byte(r.Method + " " + r.URL.RequestURI() + " " + r.Header.Get("User-Agent") + " "))
		_, _ = w.Write(body)
	}))
	return a, w, Owner{"b", "inc-b"}, calls
}

func newCall(t *testing.T, method, path string, body []byte) Call {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://host"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("User-Agent", "test")
	return NewCall(req, body, "User-Agent")
}

func TestRouterAsks(t *testing.T) {
	a, w, b, _ := newRouters(t, newSealer(t))
	long := make([]byte, 700<<10) // three parts, and it cannot be compressed
	for i := range long {
		long[i] = byte(rand.Uint32())
	}
	for _, body := range [][]byte{nil, []byte("{}"), bytes.Repeat([]byte("abc"), 5000), long} {
		reply, err := a.Ask(t.Context(), b, newCall(t, "POST", "/x?y=1", body))
		if err != nil {
			t.Fatalf("with %d bytes: %v", len(body), err)
		}
		if want := "POST /x?y=1 test " + string(body); reply.Status != 409 || reply.Header.Get("Retry-After") != "7" || string(reply.Body) != want || reply.Node != "b" {
			t.Errorf("with %d bytes: status %d, node %q, Retry-After %q, %d bytes, want the echo of %d", len(body), reply.Status, reply.Node,
				reply.Header.Get("Retry-After"), len(reply.Body), len(want))
		}
	}
	tooLong := append(append([]byte{}, long...), long...)
	if _, err := a.Ask(t.Context(), b, newCall(t, "POST", "/x", tooLong)); !errors.Is(err, errTooLarge) {
		t.Errorf("a call of %d bytes: %v, want %v", len(tooLong), err, errTooLarge)
	}
	if reply, err := a.Ask(t.Context(), b, newCall(t, "GET", "/panic", nil)); err != nil || reply.Status != 500 {
		t.Errorf("a call that panics: %d, %v; want 500", reply.Status, err)
	}
	w.leave(b)
	if _, err := a.Ask(t.Context(), b, newCall(t, "GET", "/x", nil)); !errors.Is(err, ErrGone) {
		t.Errorf("a call to a process that is gone: %v, want %v", err, ErrGone)
	}
	if s := a.Stats(); s.Asked != 7 || s.Unheard != 2 {
		t.Errorf("stats = %+v, want 7 asked and 2 unheard", s)
	}
}

// A call whose answer is lost is repeated, and done once.
func TestRouterRepeats(t *testing.T) {
	sealer := newSealer(t)
	synctest.Test(t, func(t *testing.T) {
		for _, tt := range []struct {
			name        string
			method      string
			lose        int
			calls       int64
			err         error
			after, most time.Duration
		}{
			{"change, all well", "POST", 0, 1, nil, 0, 0},
			{"change, one lost", "POST", 1, 1, nil, repeatAfter, repeatAfter},
			{"question, one lost", "GET", 1, 2, nil, repeatAfter, repeatAfter},
			{"change, both lost", "POST", 2, 1, ErrNoAnswer, answerWithin, answerWithin},
		} {
			a, w, b, calls := newRouters(t, sealer)
			w.lose = tt.lose
			began := time.Now()
			_, err := a.Ask(t.Context(), b, newCall(t, tt.method, "/x", nil))
			if took := time.Since(began); !errors.Is(err, tt.err) || calls.Load() != tt.calls || took < tt.after || took > tt.most {
				t.Errorf("%s: %v, done %d times after %v; want %v, %d times, %v", tt.name, err, calls.Load(), took, tt.err, tt.calls, tt.after)
			}
		}
	})
}

// Answers are kept for a minute, and no longer.
func TestRouterForgetsAnswers(t *testing.T) {
	sealer := newSealer(t)
	synctest.Test(t, func(t *testing.T) {
		a, _, b, calls := newRouters(t, sealer)
		c := newCall(t, "POST", "/x", nil)
		for _, tt := range []struct {
			wait time.Duration
			want int64
		}{{0, 1}, {answersFor - time.Second, 1}, {2 * time.Second, 1}} {
			time.Sleep(tt.wait)
			if _, err := a.Ask(t.Context(), b, c); err != nil || calls.Load() != tt.want {
				t.Fatalf("after %v: done %d times, %v; want %d", tt.wait, calls.Load(), err, tt.want)
			}
		}
		if _, err := a.Ask(t.Context(), b, newCall(t, "POST", "/y", nil)); err != nil { // what is old goes when something new comes
			t.Fatal(err)
		}
		if _, err := a.Ask(t.Context(), b, c); err != nil || calls.Load() != 3 {
			t.Errorf("after a minute: done %d times, %v; want 3", calls.Load(), err)
		}
	})
}

func TestRouterLocates(t *testing.T) {
	sealer, log := newSealer(t), slog.New(slog.DiscardHandler)
	w := &wire{}
	a := NewRouter(w.join("a"), sealer, log)
	for _, node := range []string{"b", "c", "d"} {
		NewRouter(w.join(node), sealer, log).Has(KindStream, func(id string) bool { return id == "cam-"+node })
	}
	at, found, missing := a.Locate(t.Context(), KindStream, "cam-c")
	if !found || at.Node != "c" || missing != nil {
		t.Errorf("cam-c is at %v, %v, missing %v; want c", at, found, missing)
	}
	if _, found, missing := a.Locate(t.Context(), KindPush, "cam-c"); found || len(missing) != 0 {
		t.Errorf("a push cam-c: %v, missing %v; want neither", found, missing)
	}
	w.leave(Owner{"d", "inc-d"})
	if _, found, missing := a.Locate(t.Context(), KindStream, "cam-d"); found || strings.Join(missing, ",") != "d" {
		t.Errorf("cam-d of a process that is gone: %v, missing %v; want d to be missing", found, missing)
	}
	replies, missing := a.AskAll(t.Context(), newCall(t, "GET", "/x", nil))
	if len(replies) != 2 || strings.Join(missing, ",") != "d" {
		t.Errorf("%d replies, missing %v; want 2, and d missing", len(replies), missing)
	}
}

// What was sealed with another key, or for another place, is not read.
func TestRouterSeals(t *testing.T) {
	a, w, b, calls := newRouters(t, newSealer(t))
	stranger := NewRouter(w.join("stranger"), newSealer(t), slog.New(slog.DiscardHandler))
	if _, err := stranger.Ask(t.Context(), b, newCall(t, "POST", "/x", nil)); err == nil || calls.Load() != 0 {
		t.Errorf("a stranger's call: %v, done %d times; want an error", err, calls.Load())
	}
	body, err := pack(a.sealer, "call", newCall(t, "POST", "/rest-api/push/startup", nil), []byte("rtmp://host/app/canary"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(body, []byte("canary")) || bytes.Contains(body, []byte("startup")) {
		t.Error("a message shows what it says")
	}
	if _, err := unpack(a.sealer, "question", body, &Call{}); !errors.Is(err, errMessage) {
		t.Errorf("a call read as a question: %v, want %v", err, errMessage)
	}
}
