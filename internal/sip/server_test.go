package sip

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"transponder/internal/media"
	"transponder/internal/sip/leg"
	"transponder/internal/stream"
	"transponder/internal/testkit"
	"transponder/internal/testkit/phone"
	"transponder/internal/transponder"
)

// server is a Calls with a real hub, real sockets, and pushes that only are noted.
type server struct {
	*Calls
	t      *testing.T
	hub    *stream.Hub
	pushes *fakePushes
	log    *lines
	stop   func()
}

// newServer runs calls until the test ends, beside other tests. change may change the settings.
func newServer(t *testing.T, change func(*Config)) *server {
	t.Helper()
	t.Parallel()
	cfg := DefaultConfig()
	cfg.Line.Address, cfg.Line.Port, cfg.Line.Listen = "127.0.0.1", 0, true
	cfg.UserAgent = "Transponder/test"
	cfg.Leg.KeyFrameGap = 100 * time.Millisecond
	if change != nil {
		change(&cfg)
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, hub: stream.NewHub(stream.Config{KeyFrameGap: 100 * time.Millisecond, Takeover: stream.TakeoverNever}, nil), pushes: &fakePushes{}, log: &lines{}}
	c, err := New(cfg, Parts{Hub: s.hub, Pushes: s.pushes, Sounds: fakeSounds{}}, slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	s.Calls = c
	ctx, cancel := context.WithCancelCause(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	s.stop = sync.OnceFunc(func() {
		cancel(errTestOver)
		select {
		case err := <-ended:
			if !errors.Is(err, errTestOver) {
				t.Errorf("Run ended with %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("Run did not end")
		}
	})
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			t.Log(s.log.String())
		}
	})
	return s
}

var errTestOver = errors.New("the test is over")

// one returns the only call.
func (s *server) one() Info {
	s.t.Helper()
	found := s.Find(Filter{})
	if len(found) != 1 {
		s.t.Fatalf("%d calls are found, want 1", len(found))
	}
	return found[0]
}

// wait waits until the only call is as wanted.
func (s *server) wait(what string, is func(Info) bool) Info {
	s.t.Helper()
	var last Info
	testkit.Eventually(s.t, 5*time.Second, func() string {
		found := s.Find(Filter{})
		if len(found) != 1 {
			return fmt.Sprintf("%s: %d calls", what, len(found))
		}
		if last = found[0]; is(last) {
			return ""
		}
		return fmt.Sprintf("%s: %+v", what, last)
	})
	return last
}

// start starts a call, which must be accepted.
func (s *server) start(r Request) {
	s.t.Helper()
	if err := s.Start(s.t.Context(), r); err != nil {
		s.t.Fatal(err)
	}
}

// lines is a log in memory.
type lines struct {
	mu   sync.Mutex
	text strings.Builder // guarded by mu
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// phone starts a phone that confirms the ends of calls and registrations by itself. The server stops before the phone.
func (s *server) phone() *phone.Phone {
	var p *phone.Phone
	known := make(chan struct{}) // closed when p is set
	var invite *phone.Message
	p = phone.New(s.t, phone.Config{Handle: func(m *phone.Message) bool {
		<-known
		switch m.Method {
		case "INVITE":
			invite = m
		case "BYE", "CANCEL":
			_ = p.TryReply(m, phone.Reply{Code: 200}) // it fails if the test is over
			if m.Method == "CANCEL" {
				_ = p.TryReply(invite, phone.Reply{Code: 487})
			}
		case "REGISTER":
			if m.Header("Expires") == "0" {
				_ = p.TryReply(m, phone.Reply{Code: 200})
			}
		}
		return false
	}})
	close(known)
	s.t.Cleanup(s.stop)
	return p
}

// fakePushes notes pushes.
type fakePushes struct {
	mu      sync.Mutex
	started []transponder.Request // guarded by mu
	live    []transponder.Info    // guarded by mu
	refuse  error                 // guarded by mu
}

func (f *fakePushes) Start(_ context.Context, r transponder.Request) (transponder.Info, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse != nil {
		return transponder.Info{}, f.refuse
	}
	f.started = append(f.started, r)
	i := transponder.Info{ID: fmt.Sprint("push", len(f.started)), SourceName: r.StreamName, State: transponder.Connecting}
	f.live = append(f.live, i)
	return i, nil
}

func (f *fakePushes) Find(filter transponder.Filter) []transponder.Info {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(f.live), func(i transponder.Info) bool { return i.ID != filter.ID })
}

func (f *fakePushes) Terminate(_ context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.live = slices.DeleteFunc(f.live, func(i transponder.Info) bool { return i.ID == id })
	return nil
}

// fakeSounds has the file tone.wav, which plays one frame.
type fakeSounds struct{}

func (fakeSounds) Open(name string, _ bool) (leg.SoundPlayer, error) {
	if name != "tone.wav" {
		return nil, ErrNoFile
	}
	return &fakePlayer{}, nil
}

// fakePlayer plays one frame.
type fakePlayer struct{ played bool }

func (p *fakePlayer) Replace(f media.Frame) (media.Frame, error) {
	if p.played {
		return f, io.EOF
	}
	p.played = true
	return f, nil
}

func (p *fakePlayer) Close() {}
