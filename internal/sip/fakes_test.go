package sip

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"transponder/internal/sip/dialog"
	"transponder/internal/sip/leg"
	"transponder/internal/sip/line"
	"transponder/internal/sip/sdp"
	"transponder/internal/stream"
)

// lab is a Calls without sockets, for tests of time in a bubble.
type lab struct {
	*Calls
	t    *testing.T
	line *fakeLine
	legs *fakeLegs
	hub  *stream.Hub
	log  *lines
	end  func()
}

// inLab runs f in a bubble with a Calls that runs.
func inLab(t *testing.T, change func(*Config), f func(lab)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cfg := DefaultConfig()
		if change != nil {
			change(&cfg)
		}
		l := lab{t: t, hub: stream.NewHub(stream.DefaultConfig(), nil), log: &lines{}, line: &fakeLine{}, legs: &fakeLegs{}}
		c, err := New(cfg, Parts{Hub: l.hub, Pushes: &fakePushes{}, Sounds: fakeSounds{}}, slog.New(slog.NewTextHandler(l.log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		c.line, c.legs = l.line, l.legs
		l.Calls = c
		ctx, cancel := context.WithCancelCause(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); _ = c.Run(ctx) }()
		l.end = sync.OnceFunc(func() { cancel(errTestOver); <-ended })
		defer l.end()
		f(l)
	})
}

// call starts a call of 192.0.2.1, and returns the INVITE.
func (l lab) call(id string) *dialog.Request {
	l.t.Helper()
	if err := l.Start(l.t.Context(), Request{CallID: id, Callee: "sip:bob@192.0.2.1", Audio: true}); err != nil {
		l.t.Fatal(err)
	}
	synctest.Wait()
	return l.line.last("INVITE")
}

// answered starts a call that is answered.
func (l lab) answered(id string) {
	l.t.Helper()
	invite := l.call(id)
	l.line.respond(invite, 200, "v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 0\r\n")
	synctest.Wait()
	if i := l.info(id); i.Status != dialog.Established {
		l.t.Fatalf("the call is %+v", i)
	}
}

// info returns a call.
func (l lab) info(id string) Info {
	l.t.Helper()
	found := l.Find(Filter{CallID: id})
	if len(found) != 1 {
		l.t.Fatalf("%d calls have the id %s", len(found), id)
	}
	return found[0]
}

// fakeLine keeps what is sent.
type fakeLine struct {
	mu      sync.Mutex
	sent    []sent             // guarded by mu
	replies []*dialog.Response // guarded by mu
	lost    bool               // guarded by mu; servers are not found
	answers bool               // guarded by mu; each INVITE is answered at once
	way     line.Path          // where servers are found. Zero: peer

	kept map[netip.AddrPort]func(error) // guarded by mu; what Keep was told to call
}

type sent struct {
	request *dialog.Request
	owner   line.Owner
}

func (f *fakeLine) Run(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }

var peer = netip.MustParseAddrPort("192.0.2.1:5060")

func (f *fakeLine) Resolve(context.Context, string, string) (line.Path, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lost {
		return line.Path{}, errors.New("no such host")
	}
	if f.way.Remote.IsValid() {
		return f.way, nil
	}
	return line.Path{Transport: "udp", Remote: peer, Local: netip.MustParseAddr("192.0.2.9")}, nil
}

func (f *fakeLine) Back(o line.Origin) line.Path {
	return line.Path{Transport: o.Transport, Remote: o.Source, Local: netip.MustParseAddr("192.0.2.9")}
}
func (f *fakeLine) Contact(user string, _ line.Path) string { return "sip:" + user + "@192.0.2.9" }
func (f *fakeLine) Keep(p line.Path, broken func(error)) func() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.kept == nil {
		f.kept = map[netip.AddrPort]func(error){}
	}
	f.kept[p.Remote] = broken
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.kept, p.Remote)
	}
}
func (f *fakeLine) Send(r *dialog.Request, _ line.Path, o line.Owner) {
	f.mu.Lock()
	f.sent = append(f.sent, sent{r, o})
	answer := f.answers && r.Method == "INVITE"
	f.mu.Unlock()
	if answer {
		f.respond(r, 200, "v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 0\r\n")
	}
}
func (f *fakeLine) Reply(_ *dialog.Request, p *dialog.Response) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.replies = append(f.replies, p)
}
func (f *fakeLine) Ignore(*dialog.Request)                    {}
func (f *fakeLine) Cancelled(*dialog.Request) *dialog.Request { return nil }
func (f *fakeLine) Stats() line.Stats                         { return line.Stats{} }

// wantKept checks that the way to one server is kept, and returns what is to be called when it breaks.
func (f *fakeLine) wantKept(t *testing.T, server netip.AddrPort) func(error) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	broken := f.kept[server]
	if len(f.kept) != 1 || broken == nil {
		t.Fatalf("the ways to %d servers are kept, want that to %v", len(f.kept), server)
	}
	return broken
}

// find returns the last request of a method, and how many there were.
func (f *fakeLine) find(method string) (last sent, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.sent {
		if s.request.Method == method {
			last = s
			n++
		}
	}
	return last, n
}

func (f *fakeLine) last(method string) *dialog.Request { s, _ := f.find(method); return s.request }
func (f *fakeLine) count(method string) int            { _, n := f.find(method); return n }

// respond answers a request that was sent.
func (f *fakeLine) respond(r *dialog.Request, code int, sdp string, fields ...dialog.Field) {
	f.mu.Lock()
	var owner line.Owner
	for _, s := range f.sent {
		if s.request == r {
			owner = s.owner
		}
	}
	f.mu.Unlock()
	response := dialog.Respond(r, code, "phone")
	response.Header = append(response.Header, dialog.Field{Name: "Contact", Value: "<sip:bob@192.0.2.1>"})
	response.Header = append(response.Header, fields...)
	response.Body = []byte(strings.ReplaceAll(sdp, "\n\n", "\n"))
	owner.Response(response, line.Origin{Transport: "udp", Source: peer})
}

// fakeLegs makes media that only notes what it is told.
type fakeLegs struct {
	mu   sync.Mutex
	legs []*fakeLeg // guarded by mu
	full bool       // guarded by mu
}

func (f *fakeLegs) Run(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }
func (f *fakeLegs) Panics() int64                 { return 0 }
func (f *fakeLegs) Open(o leg.Options) (phoneMedia, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.full {
		return nil, leg.ErrNoPorts
	}
	l := &fakeLeg{events: o.Events, ended: make(chan struct{})}
	f.legs = append(f.legs, l)
	return l, nil
}

// last returns the media of the last call.
func (f *fakeLegs) last() *fakeLeg {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.legs[len(f.legs)-1]
}

type fakeLeg struct {
	events leg.Events
	ended  chan struct{}

	mu     sync.Mutex
	agreed func() // guarded by mu; called by Agree
	player leg.SoundPlayer
	played *stream.Source
}

func (f *fakeLeg) Run(ctx context.Context) error {
	<-ctx.Done()
	close(f.ended)
	return context.Cause(ctx)
}
func (f *fakeLeg) Close()         { close(f.ended) }
func (f *fakeLeg) AudioPort() int { return 30000 }
func (f *fakeLeg) VideoPort() int { return 30002 }
func (f *fakeLeg) Agree(sdp.Agreement, netip.Addr) {
	f.mu.Lock()
	agreed := f.agreed
	f.mu.Unlock()
	if agreed != nil {
		agreed()
	}
}
func (f *fakeLeg) Start()                 {}
func (f *fakeLeg) Publish(*stream.Source) {}
func (f *fakeLeg) Play(src *stream.Source) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.played = src
	return nil
}
func (f *fakeLeg) PlaySound(p leg.SoundPlayer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.player = p
}
func (f *fakeLeg) SendDigits(string) error { return leg.ErrNoEvents }
func (f *fakeLeg) AskKeyFrame()            {}
func (f *fakeLeg) Stats() leg.Stats        { return leg.Stats{} }
