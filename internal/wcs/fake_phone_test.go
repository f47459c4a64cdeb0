package wcs

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"transponder/internal/media"
	"transponder/internal/rtc"
	"transponder/internal/sip"
	"transponder/internal/sip/dialog"
	"transponder/internal/stream"
)

// withSIP gives the world a SIP server and media for calls.
func (w *world) withSIP(tb testing.TB) *fakeLine {
	tb.Helper()
	line := &fakeLine{opened: make(chan *fakePhone, 1000)}
	w.srv.parts.Phone = line.open
	w.withMedia()
	return line
}

// withMedia lets calls have media.
func (w *world) withMedia() *fakeDuplexes {
	d := &fakeDuplexes{hub: w.hub, made: make(chan *fakeDuplex, 10_000)}
	w.srv.parts.Duplexes = d
	return d
}

// fakeLine opens phones that note what they are asked for.
type fakeLine struct {
	refuse error
	opened chan *fakePhone
}

func (l *fakeLine) open(_ context.Context, acc sip.Account, who Caller, events sip.PhoneEvents) (Phone, error) {
	if l.refuse != nil {
		return nil, l.refuse
	}
	p := &fakePhone{account: acc, who: who, events: events, asked: make(chan string, 10_000)}
	l.opened <- p
	return p, nil
}

type fakePhone struct {
	account sip.Account
	who     Caller
	events  sip.PhoneEvents
	asked   chan string

	mu     sync.Mutex
	refuse error        // guarded by mu; of all methods but Hangup
	last   sip.PageCall // guarded by mu
	media  sip.Media    // guarded by mu; of the last Connect or Answer
}

// note tells the test what the phone was asked for. The answer is fixed before: a test that hears of a request may already set the answer to
// the next one.
func (p *fakePhone) note(format string, args ...any) error {
	p.mu.Lock()
	refuse := p.refuse
	p.mu.Unlock()
	p.asked <- fmt.Sprintf(format, args...)
	return refuse
}

func (p *fakePhone) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = err
}

func (p *fakePhone) Call(_ context.Context, c sip.PageCall) error {
	p.mu.Lock()
	p.last = c
	p.mu.Unlock()
	return p.note("call %s %s", c.CallID, c.Callee)
}

func (p *fakePhone) called() sip.PageCall {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

func (p *fakePhone) Connect(id string, m sip.Media) error {
	p.mu.Lock()
	p.media = m
	p.mu.Unlock()
	return p.note("connect %s", id)
}

func (p *fakePhone) Answer(id string, m sip.Media, lines []string) error {
	p.mu.Lock()
	p.media = m
	p.mu.Unlock()
	return p.note("answer %s %q", id, lines)
}

func (p *fakePhone) Hangup(id string, why dialog.Reason, _ string) error {
	p.asked <- fmt.Sprintf("hangup %s %s", id, why)
	return nil
}

func (p *fakePhone) Hold(id string, on, forTransfer bool) error {
	return p.note("hold %s %v %v", id, on, forTransfer)
}

func (p *fakePhone) Transfer(id, target string) error { return p.note("transfer %s %s", id, target) }

func (p *fakePhone) SendDigits(id, keys string, how sip.Digits) error {
	return p.note("digits %s %s %s", id, keys, how)
}

func (p *fakePhone) Close() { p.asked <- "close" }

// want waits for the next thing that the phone is asked for.
func (p *fakePhone) want(t *testing.T, want string) {
	t.Helper()
	select {
	case got := <-p.asked:
		if got != want {
			t.Fatalf("the phone was asked for %q, want %q", got, want)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("the phone was not asked for %q", want)
	}
}

// fakeDuplexes makes media that connects to nobody.
type fakeDuplexes struct {
	hub  *stream.Hub
	made chan *fakeDuplex

	mu     sync.Mutex
	refuse error         // guarded by mu
	hold   chan struct{} // guarded by mu; not nil: the media is made when it is closed
	terms  rtc.Terms     // guarded by mu; the last ones
	count  int           // guarded by mu
}

func (f *fakeDuplexes) Answer(ctx context.Context, offer rtc.Offer, terms rtc.Terms, info stream.Info) (Duplex, error) {
	return f.make(ctx, "v=0\r\nanswer to "+offer.SDP, terms, info)
}

func (f *fakeDuplexes) Offer(ctx context.Context, terms rtc.Terms, info stream.Info) (Duplex, error) {
	return f.make(ctx, "v=0\r\nour offer", terms, info)
}

func (f *fakeDuplexes) make(ctx context.Context, sdp string, terms rtc.Terms, info stream.Info) (Duplex, error) {
	f.mu.Lock()
	f.terms = terms
	f.count++
	info.Name = fmt.Sprintf("private-%d", f.count)
	info.ID = info.Name
	refuse, hold := f.refuse, f.hold
	f.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	if refuse != nil {
		return nil, refuse
	}
	src, err := f.hub.Publish(info)
	if err != nil {
		return nil, err
	}
	d := &fakeDuplex{sdp: sdp, src: src, die: make(chan error, 1), video: len(terms.Kinds) > 1}
	f.made <- d
	return d, nil
}

func (f *fakeDuplexes) set(refuse error, hold chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refuse, f.hold = refuse, hold
}

func (f *fakeDuplexes) lastTerms() rtc.Terms {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.terms
}

// fakeDuplex runs until it is told to end, or its context ends.
type fakeDuplex struct {
	sdp   string
	src   *stream.Source
	die   chan error
	video bool

	mu      sync.Mutex
	plays   *stream.Source // guarded by mu
	answer  string         // guarded by mu
	stopped bool           // guarded by mu
}

func (d *fakeDuplex) RestartICE(ctx context.Context, offer string) (string, error) {
	return restartFake(ctx, offer)
}

func (d *fakeDuplex) SDP() string            { return d.sdp }
func (d *fakeDuplex) Source() *stream.Source { return d.src }

func (d *fakeDuplex) Codec(kind media.Kind) media.Codec {
	switch {
	case kind == media.Audio:
		return media.Opus
	case d.video:
		return media.H264
	}
	return media.CodecNone
}

func (d *fakeDuplex) Play(src *stream.Source) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.plays = src
	return nil
}

func (d *fakeDuplex) Accept(answer string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answer = answer
	if strings.Contains(answer, "bad") {
		return rtc.ErrBadOffer
	}
	return nil
}

func (d *fakeDuplex) playing() *stream.Source {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.plays
}

func (d *fakeDuplex) isOver() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stopped
}

func (d *fakeDuplex) Run(ctx context.Context) error {
	var err error
	select {
	case err = <-d.die:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	d.src.Close(err)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopped = true
	return err
}

// eagerPhone answers every call at once, and calls the page whenever the page calls.
type eagerPhone struct{ events sip.PhoneEvents }

func openEager(_ context.Context, _ sip.Account, _ Caller, events sip.PhoneEvents) (Phone, error) {
	events.Registered()
	events.Incoming(sip.IncomingCall{CallID: "in", Caller: "bob", Audio: true}) // before open returns
	return eagerPhone{events}, nil
}

func (p eagerPhone) Call(_ context.Context, c sip.PageCall) error {
	p.events.Incoming(sip.IncomingCall{CallID: "in", Caller: c.Callee, VisibleName: c.VisibleName, Audio: true, Video: true})
	p.events.Status(c.CallID, dialog.Ring, "")
	p.events.MediaReady(c.CallID, nil, true)
	return nil
}

func (p eagerPhone) Connect(id string, _ sip.Media) error {
	p.events.Status(id, dialog.Established, "")
	return nil
}

func (p eagerPhone) Answer(id string, _ sip.Media, _ []string) error {
	p.events.Status(id, dialog.Established, "")
	return nil
}

func (p eagerPhone) Hold(id string, on, _ bool) error {
	if !on {
		return sip.ErrState
	}
	p.events.Status(id, dialog.Hold, "")
	return nil
}

func (p eagerPhone) Transfer(id, _ string) error {
	p.events.Transferring(id, 200)
	p.events.Status(id, dialog.Finish, "")
	return nil
}

func (p eagerPhone) SendDigits(id, keys string, _ sip.Digits) error {
	p.events.Digits(id, keys)
	return nil
}

func (p eagerPhone) Hangup(string, dialog.Reason, string) error { return sip.ErrNoCall }
func (p eagerPhone) Close()                                     {}

const sipAccount = `,"sipLogin":"3000","sipPassword":"s3cret","sipDomain":"sip.example","sipPort":"5060"`

// phoneIn connects a browser with a SIP account, and returns its phone.
func phoneIn(t *testing.T, url string, line *fakeLine) (*browser, *fakePhone) {
	t.Helper()
	b := dial(t, url)
	b.hello(sipAccount)
	return b, <-line.opened
}

// callFrame is a call as the SDK sends it; more holds members that begin with a comma.
func callFrame(id, callee, more string) string {
	return `{"message":"call","data":[{"callId":"` + id + `","incoming":false,"hasVideo":true,"hasAudio":true,"status":"PENDING",` +
		`"mediaProvider":"WebRTC","sdp":"v=0\r\nm=audio 9 x\r\nm=video 9 x\r\n","caller":"3000","callee":"` + callee + `",` +
		`"visibleName":"Ann"` + more + `}]}`
}

func answerFrame(id, sdp, more string) string {
	return `{"message":"answer","data":[{"callId":"` + id + `","incoming":true,"hasVideo":true,"hasAudio":true,"status":"PENDING",` +
		`"mediaProvider":"WebRTC","sdp":"` + sdp + `"` + more + `}]}`
}

// about is a message about a call; more holds members that begin with a comma.
func about(message, id, more string) string {
	return `{"message":"` + message + `","data":[{"callId":"` + id + `"` + more + `}]}`
}

// wantCall reads the next message, which must be the one about the call with the status.
func (b *browser) wantCall(message, id, status string) map[string]any {
	b.t.Helper()
	d := b.want(message)
	if d["callId"] != id || d["status"] != status {
		b.t.Fatalf("%s = %v %v, want %s %s", message, d["callId"], d["status"], id, status)
	}
	return d
}

// wantSDP reads the next message, which must be the SDP of the call.
func (b *browser) wantSDP(id, sdp string) {
	b.t.Helper()
	name, data := b.next()
	if name != "setRemoteSDP" || !strings.HasPrefix(data, `["`+id+`","v=0\r\n`+sdp) {
		b.t.Fatalf("next message = %s %s, want the SDP %q for %s", name, data, sdp, id)
	}
}

// talk makes an outgoing call that is established.
func (b *browser) talk(p *fakePhone, id string) {
	b.t.Helper()
	b.raw(callFrame(id, "3001", ""))
	b.wantCall("notifyTryingResponse", id, "TRYING")
	p.want(b.t, "call "+id+" 3001")
	p.events.MediaReady(id, []media.Codec{media.PCMU}, true)
	b.wantSDP(id, "answer to")
	p.want(b.t, "connect "+id)
	p.events.Status(id, dialog.Established, "")
	b.wantCall("talk", id, "ESTABLISHED")
}

// ring makes an incoming call that rings.
func (b *browser) ring(p *fakePhone, id string) {
	b.t.Helper()
	p.events.Incoming(sip.IncomingCall{CallID: id, Caller: "bob", Callee: "3000", VisibleName: "Bob", Audio: true})
	b.wantSDP(id, "our offer")
	d := b.want("notifyIncomingCall")
	if d["callId"] != id || d["incoming"] != true || d["caller"] != "bob" || d["callee"] != "3000" || d["visibleName"] != "Bob" ||
		d["hasVideo"] != false || d["mediaProvider"] != "WebRTC" {
		b.t.Fatalf("notifyIncomingCall = %v", d)
	}
	b.wantCall("ring", id, "RING")
}
