package exchange

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"transponder/internal/media"
	"transponder/internal/sip"
	"transponder/internal/sip/dialog"
	"transponder/internal/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ringTime = 40 * time.Second

// page takes the events of one phone, and answers what a page would.
type page struct {
	t     *testing.T
	phone *Phone
	fault atomic.Bool // a status panics

	mu     sync.Mutex
	events []string // guarded by mu
	called string   // guarded by mu; the id of the last incoming call
}

func (p *page) note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.events = append(p.events, fmt.Sprintf(format, args...))
}

func (p *page) Registered()                     { p.note("registered") }
func (p *page) RegisterFailed(string)           { p.note("register failed") }
func (p *page) HoldFailed(id, _ string)         { p.note("hold failed") }
func (p *page) Digits(id, keys string)          { p.note("digits %s", keys) }
func (p *page) Transferring(_ string, code int) { p.note("transferring %d", code) }

func (p *page) Incoming(c sip.IncomingCall) {
	p.note("incoming from %s", c.Caller)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.called = c.CallID
}

func (p *page) MediaReady(_ string, codecs []media.Codec, video bool) {
	p.note("media ready %v %v", codecs, video)
}

func (p *page) Status(_ string, status dialog.Status, _ string) {
	if p.fault.Load() {
		panic("a fault")
	}
	p.note("%s", status)
}

// want checks what has happened since the last want.
func (p *page) want(want ...string) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Equal(p.events, want) {
		p.t.Errorf("events = %q, want %q", p.events, want)
	}
	p.events = nil
}

func (p *page) incoming() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.called
}

// fakeMedia notes what it plays.
type fakeMedia struct {
	src *stream.Source

	mu    sync.Mutex
	plays *stream.Source // guarded by mu
}

func newMedia(t *testing.T, name string) *fakeMedia {
	t.Helper()
	src, err := stream.NewHub(stream.DefaultConfig(), nil).Publish(stream.Info{Name: name, ID: name})
	if err != nil {
		t.Fatal(err)
	}
	return &fakeMedia{src: src}
}

func (m *fakeMedia) Source() *stream.Source { return m.src }

func (m *fakeMedia) Play(src *stream.Source) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.plays = src
	return nil
}

func (m *fakeMedia) Codec(kind media.Kind) media.Codec {
	if kind == media.Audio {
		return media.Opus
	}
	return media.CodecNone
}

func (m *fakeMedia) wantPlays(t *testing.T, other *fakeMedia) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	var want *stream.Source
	if other != nil {
		want = other.src
	}
	if m.plays != want {
		t.Errorf("%s plays %v, want %v", m.src.Info().Name, m.plays, want)
	}
}

func newExchange() *Exchange { return New(ringTime, slog.New(slog.DiscardHandler)) }

func open(t *testing.T, x *Exchange, login string) *page {
	t.Helper()
	p := &page{t: t}
	phone, err := x.Open(sip.Account{Login: login}, p)
	if err != nil {
		t.Fatal(err)
	}
	p.phone = phone
	return p
}

// dial makes a call that rings at the other page.
func (p *page) dial(id, callee string, at *page) {
	p.t.Helper()
	if err := p.phone.Call(p.t.Context(), sip.PageCall{CallID: id, Callee: callee, Audio: true}); err != nil {
		p.t.Fatal(err)
	}
	p.want("RING")
	at.want("incoming from " + p.phone.login)
}

// answer answers the incoming call.
func (p *page) answer(m *fakeMedia) {
	p.t.Helper()
	if err := p.phone.Answer(p.incoming(), m, nil); err != nil {
		p.t.Fatal(err)
	}
}

// talk makes a call, with media that each page hears of the other one.
func talk(t *testing.T, a, b *page, id string) (ma, mb *fakeMedia) {
	t.Helper()
	ma, mb = newMedia(t, a.phone.login), newMedia(t, b.phone.login)
	a.dial(id, b.phone.login, b)
	b.answer(mb)
	a.want("media ready [opus] false")
	if err := a.phone.Connect(id, ma); err != nil {
		t.Fatal(err)
	}
	a.want("ESTABLISHED")
	b.want("ESTABLISHED")
	ma.wantPlays(t, mb)
	mb.wantPlays(t, ma)
	return ma, mb
}

func TestTalk(t *testing.T) {
	for _, callee := range []string{"bob", "bob@192.0.2.1", "sip:bob@example.com"} {
		t.Run(callee, func(t *testing.T) {
			x := newExchange()
			a, b := open(t, x, "ann"), open(t, x, "bob")
			a.dial("c", callee, b)
			b.answer(newMedia(t, "bob"))
			a.want("media ready [opus] false")
			if err := a.phone.Connect("c", newMedia(t, "ann")); err != nil {
				t.Fatal(err)
			}
			b.want("ESTABLISHED")
			if err := a.phone.SendDigits("c", "12#", ""); err != nil {
				t.Fatal(err)
			}
			b.want("digits 12#")
			if err := b.phone.Hangup(b.incoming(), dialog.ReasonHungUp, ""); err != nil {
				t.Fatal(err)
			}
			a.want("ESTABLISHED", "FINISH")
			b.want() // its page knows
			if err := a.phone.Hangup("c", dialog.ReasonHungUp, ""); !errors.Is(err, sip.ErrNoCall) {
				t.Errorf("hangup of a call that is over = %v", err)
			}
		})
	}
}

func TestRegistered(t *testing.T) {
	x := newExchange()
	p := &page{t: t}
	if _, err := x.Open(sip.Account{Login: "ann", Register: true}, p); err != nil {
		t.Fatal(err)
	}
	p.want("registered")
	open(t, x, "bob").want()
	if _, err := x.Open(sip.Account{}, p); err == nil {
		t.Error("an account without a login was opened")
	}
}

// Calls that nobody takes, each with the one status that its caller gets.
func TestNotAnswered(t *testing.T) {
	tests := []struct {
		name   string
		end    func(a, b *page) error
		ann    string
		bob    []string
		callee string
	}{
		{name: "declined", ann: "BUSY", end: func(_, b *page) error { return b.phone.Hangup(b.incoming(), dialog.ReasonRejected, "") }},
		{name: "no media", ann: "FAILED", end: func(_, b *page) error { return b.phone.Hangup(b.incoming(), dialog.ReasonTransport, "") }},
		{name: "the page goes", ann: "FINISH", end: func(_, b *page) error { b.phone.Close(); return nil }},
		{name: "given up", bob: []string{"FINISH"}, end: func(a, _ *page) error { return a.phone.Hangup("c", dialog.ReasonCancelled, "") }},
		{name: "the caller goes", bob: []string{"FINISH"}, end: func(a, _ *page) error { a.phone.Close(); return nil }},
		{name: "nobody answers", ann: "FINISH", bob: []string{"FINISH"}, end: func(a, b *page) error {
			time.Sleep(ringTime - time.Second)
			a.want()
			time.Sleep(2 * time.Second)
			return nil
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newExchange()
				a, b := open(t, x, "ann"), open(t, x, "bob")
				a.dial("c", "bob", b)
				if err := tt.end(a, b); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if tt.ann != "" {
					a.want(tt.ann)
				} else {
					a.want()
				}
				b.want(tt.bob...)
				time.Sleep(time.Hour) // no timer is left that tells more
				a.want()
				b.want()
				if len(a.phone.sides)+len(b.phone.sides) != 0 {
					t.Error("something is left of the call")
				}
			})
		})
	}
}

// A page that panics at an event, here at the end of the time to ring, keeps no event from the other page.
func TestPagePanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newExchange()
		a, b := open(t, x, "ann"), open(t, x, "bob")
		a.dial("c", "bob", b)
		b.fault.Store(true)
		time.Sleep(ringTime + time.Second)
		a.want("FINISH")
		if n := x.Panics(); n != 1 {
			t.Errorf("%d panics are counted, want 1", n)
		}
	})
}

func TestNotReached(t *testing.T) {
	x := newExchange()
	a, b, c := open(t, x, "ann"), open(t, x, "bob"), open(t, x, "cid")
	call := func(p *page, callee string) {
		t.Helper()
		if err := p.phone.Call(t.Context(), sip.PageCall{CallID: "to " + callee, Callee: callee}); err != nil {
			t.Fatal(err)
		}
	}
	call(a, "nobody")
	a.want("FAILED")
	call(a, "ann") // itself
	a.want("BUSY")
	a.dial("c", "bob", b)
	call(c, "bob")
	c.want("BUSY")
	call(c, "ann")
	c.want("BUSY")
	if err := a.phone.Call(t.Context(), sip.PageCall{CallID: "c", Callee: "cid"}); !errors.Is(err, sip.ErrCallID) {
		t.Errorf("second call with the id = %v", err)
	}
	b.phone.Close()
	a.want("FINISH")
	call(a, "bob")
	a.want("FAILED")
	if err := b.phone.Call(t.Context(), sip.PageCall{CallID: "x", Callee: "ann"}); err == nil {
		t.Error("a closed phone calls")
	}
}

// Of several pages with one login, the newest one rings; when it has gone, the one before it.
func TestNewestRings(t *testing.T) {
	x := newExchange()
	a, old, young := open(t, x, "ann"), open(t, x, "bob"), open(t, x, "bob")
	a.dial("c1", "bob", young)
	young.phone.Close()
	a.want("FINISH")
	a.dial("c2", "bob", old)
	old.phone.Close()
	old.phone.Close()
	if len(x.phones) != 1 {
		t.Errorf("phones = %v, want ann's only", x.phones)
	}
}

// While either side holds, nobody hears anything.
func TestHold(t *testing.T) {
	x := newExchange()
	a, b := open(t, x, "ann"), open(t, x, "bob")
	ma, mb := talk(t, a, b, "c")
	hold := func(p *page, id string, on bool, want string) {
		t.Helper()
		if err := p.phone.Hold(id, on, false); err != nil {
			t.Fatal(err)
		}
		a.want(want)
		b.want(want)
		if want == "HOLD" {
			ma.wantPlays(t, nil)
			mb.wantPlays(t, nil)
		} else {
			ma.wantPlays(t, mb)
			mb.wantPlays(t, ma)
		}
	}
	hold(a, "c", true, "HOLD")
	hold(b, b.incoming(), true, "HOLD")
	hold(a, "c", false, "HOLD")
	hold(b, b.incoming(), false, "ESTABLISHED")
	hold(b, b.incoming(), false, "ESTABLISHED")
}

func TestTransfer(t *testing.T) {
	x := newExchange()
	a, b, c := open(t, x, "ann"), open(t, x, "bob"), open(t, x, "cid")
	_, mb := talk(t, a, b, "c")
	if err := a.phone.Hold("c", true, true); err != nil {
		t.Fatal(err)
	}
	a.want("HOLD")
	b.want("HOLD")
	transfer := func(target string) {
		t.Helper()
		if err := a.phone.Transfer("c", target); err != nil {
			t.Fatal(err)
		}
	}
	transfer("nobody")
	a.want("transferring 404")
	transfer("bob")
	a.want("transferring 486")
	transfer("cid")
	a.want("transferring 100")
	transfer("cid")
	a.want("transferring 491") // one at a time
	c.want("incoming from bob")
	if err := c.phone.Hangup(c.incoming(), dialog.ReasonRejected, ""); err != nil {
		t.Fatal(err)
	}
	a.want("transferring 603")
	transfer("cid")
	a.want("transferring 100")
	c.want("incoming from bob")
	mc := newMedia(t, "cid")
	c.answer(mc)
	a.want("transferring 200", "FINISH")
	b.want("ESTABLISHED")
	c.want("ESTABLISHED")
	mb.wantPlays(t, mc)
	mc.wantPlays(t, mb)
	if err := c.phone.Hangup(c.incoming(), dialog.ReasonHungUp, ""); err != nil {
		t.Fatal(err)
	}
	b.want("FINISH")
}

// A page may ask the target first: it calls the target, and then joins the two that it talks to.
func TestTransferToPartner(t *testing.T) {
	x := newExchange()
	a, b, c := open(t, x, "ann"), open(t, x, "bob"), open(t, x, "cid")
	_, mb := talk(t, a, b, "c1")
	_, mc := talk(t, a, c, "c2")
	if err := a.phone.Transfer("c1", "cid"); err != nil {
		t.Fatal(err)
	}
	a.want("FINISH", "transferring 200", "FINISH")
	b.want("ESTABLISHED")
	c.want("ESTABLISHED")
	mb.wantPlays(t, mc)
	mc.wantPlays(t, mb)
	b.phone.Close()
	c.want("FINISH")
	a.want()
}

// Whoever hangs up while the target of a transfer rings, nothing goes on ringing.
func TestTransferEnds(t *testing.T) {
	tests := []struct {
		name    string
		end     func(a, b *page) error
		a, b, c []string
	}{
		{"by the one who transfers", func(a, _ *page) error { return a.phone.Hangup("c", dialog.ReasonHungUp, "") }, nil, []string{"FINISH"}, []string{"FINISH"}},
		{"by the one who is transferred", func(_, b *page) error { return b.phone.Hangup(b.incoming(), dialog.ReasonHungUp, "") }, []string{"FINISH"}, nil, []string{"FINISH"}},
		{"by nobody", func(a, _ *page) error { time.Sleep(ringTime + time.Second); return nil }, []string{"transferring 480"}, nil, []string{"FINISH"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newExchange()
				a, b, c := open(t, x, "ann"), open(t, x, "bob"), open(t, x, "cid")
				talk(t, a, b, "c")
				if err := a.phone.Transfer("c", "cid"); err != nil {
					t.Fatal(err)
				}
				a.want("transferring 100")
				c.want("incoming from bob")
				if err := tt.end(a, b); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				a.want(tt.a...)
				b.want(tt.b...)
				c.want(tt.c...)
				if len(c.phone.sides) != 0 {
					t.Error("the target still rings")
				}
			})
		})
	}
}

// What does not fit the state of a call is refused.
func TestStates(t *testing.T) {
	x := newExchange()
	a, b := open(t, x, "ann"), open(t, x, "bob")
	a.dial("c", "bob", b)
	in := b.incoming()
	m := newMedia(t, "m")
	for name, err := range map[string]error{
		"hold while it rings":       a.phone.Hold("c", true, false),
		"digits while it rings":     b.phone.SendDigits(in, "1", ""),
		"transfer while it rings":   a.phone.Transfer("c", "bob"),
		"connect before the answer": a.phone.Connect("c", m),
		"answer by the caller":      a.phone.Answer("c", m, nil),
	} {
		if !errors.Is(err, sip.ErrState) {
			t.Errorf("%s: %v, want ErrState", name, err)
		}
	}
	b.answer(m)
	if err := b.phone.Answer(in, m, nil); !errors.Is(err, sip.ErrState) {
		t.Errorf("second answer: %v, want ErrState", err)
	}
	if err := b.phone.Hold(in, true, false); !errors.Is(err, sip.ErrState) {
		t.Errorf("hold before the caller has media: %v, want ErrState", err)
	}
}

// Many pages that call, answer and hang up at once. Nothing is left, and each call has one final status at most.
func TestMany(t *testing.T) {
	x := newExchange()
	var wg sync.WaitGroup
	var all []*busyPage
	for i := range 8 {
		p := &busyPage{seen: map[string]string{}, work: make(chan func(), 10_000)}
		phone, err := x.Open(sip.Account{Login: fmt.Sprint(i)}, p)
		if err != nil {
			t.Fatal(err)
		}
		p.phone, p.media = phone, newMedia(t, fmt.Sprint(i))
		all = append(all, p)
	}
	for i, p := range all {
		wg.Go(func() {
			for n := range 200 {
				id := fmt.Sprintf("%d-%d", i, n)
				_ = p.phone.Call(t.Context(), sip.PageCall{CallID: id, Callee: fmt.Sprint((i + n) % 8)})
				p.drain()
				switch n % 4 {
				case 0:
					_ = p.phone.Hangup(id, dialog.ReasonCancelled, "")
				case 1:
					_ = p.phone.Hold(id, true, false)
					_ = p.phone.Transfer(id, fmt.Sprint(n%8))
				case 2:
					_ = p.phone.SendDigits(id, "1", "")
				}
				p.drain()
				_ = p.phone.Hangup(id, dialog.ReasonHungUp, "")
			}
		})
	}
	wg.Wait()
	for _, p := range all {
		p.phone.Close()
	}
	for _, p := range all {
		if len(p.phone.sides) != 0 {
			t.Errorf("%d calls are left", len(p.phone.sides))
		}
		for id, twice := range p.seen {
			if strings.Contains(twice, ",") {
				t.Errorf("call %s ended as %s", id, twice)
			}
		}
	}
	if len(x.phones)+len(x.pending) != 0 {
		t.Errorf("%d logins and %d events are left", len(x.phones), len(x.pending))
	}
}

// busyPage answers every call, later, as a page would.
type busyPage struct {
	page
	media *fakeMedia
	work  chan func()
	seen  map[string]string // guarded by mu; final statuses by call id
}

func (p *busyPage) drain() {
	for {
		select {
		case f := <-p.work:
			f()
		default:
			return
		}
	}
}

func (p *busyPage) Incoming(c sip.IncomingCall) {
	p.work <- func() { _ = p.phone.Answer(c.CallID, p.media, nil) }
}

func (p *busyPage) MediaReady(id string, _ []media.Codec, _ bool) {
	p.work <- func() { _ = p.phone.Connect(id, p.media) }
}

func (p *busyPage) Status(id string, status dialog.Status, _ string) {
	if !status.Final() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seen[id] != "" {
		p.seen[id] += ","
	}
	p.seen[id] += string(status)
}
