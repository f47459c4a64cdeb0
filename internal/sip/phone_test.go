package sip

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"transponder/internal/media"
	"transponder/internal/sip/dialog"
	"transponder/internal/stream"
	"transponder/internal/testkit"
	"transponder/internal/testkit/phone"
)

// page is a page with a phone of its own. It notes what it is told.
type page struct {
	*Phone
	contact string // that is registered

	mu    sync.Mutex
	told  []string       // guarded by mu
	calls []IncomingCall // guarded by mu
}

func (p *page) note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told = append(p.told, fmt.Sprintf(format, args...))
}

func (p *page) Registered()                { p.note("registered") }
func (p *page) RegisterFailed(info string) { p.note("register failed: %s", info) }
func (p *page) Incoming(c IncomingCall) {
	p.note("incoming %s", c.CallID)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = append(p.calls, c)
}
func (p *page) MediaReady(id string, codecs []media.Codec, video bool) {
	p.note("media %s %v %v", id, codecs, video)
}
func (p *page) Status(id string, s dialog.Status, info string) { p.note("%s %s", id, s) }
func (p *page) HoldFailed(id, info string)                     { p.note("%s hold failed: %s", id, info) }
func (p *page) Digits(id, keys string)                         { p.note("%s digits %s", id, keys) }
func (p *page) Transferring(id string, code int)               { p.note("%s transfer %d", id, code) }

// wait waits until the page was told something.
func (p *page) wait(t *testing.T, what string) {
	t.Helper()
	testkit.Eventually(t, 5*time.Second, func() string {
		p.mu.Lock()
		defer p.mu.Unlock()
		if !slices.Contains(p.told, what) {
			return fmt.Sprintf("not told %q, but %q", what, p.told)
		}
		return ""
	})
}

// final waits until the page was told of the end of a call, and checks that this was told last and once.
func (p *page) final(t *testing.T, id string, s dialog.Status) {
	t.Helper()
	p.wait(t, fmt.Sprintf("%s %s", id, s))
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, what := range p.told {
		if _, status, _ := strings.Cut(what, id+" "); dialog.Status(status).Final() {
			n++
		}
	}
	if n != 1 {
		t.Errorf("the end was told %d times: %q", n, p.told)
	}
}

// incoming waits for a call to the page.
func (p *page) incoming(t *testing.T) (c IncomingCall) {
	t.Helper()
	testkit.Eventually(t, 5*time.Second, func() string {
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.calls) == 0 {
			return "nobody calls"
		}
		c = p.calls[len(p.calls)-1]
		return ""
	})
	return c
}

// invite calls the page through the registrar.
func (p *page) invite(registrar *phone.Phone, sdp string, headers ...string) (d *phone.Dialog, branch string) {
	d = registrar.Calling("sip:ann@example.com", registrar.PeerOf(p.contact))
	d.Target = p.contact
	return d, d.Send("INVITE", "", sdp, headers...)
}

// openPhone makes a server with a page whose account is registered.
func openPhone(t *testing.T) (*server, *page, *phone.Phone) {
	t.Helper()
	s := newServer(t, nil)
	registrar := s.phone()
	p := &page{}
	var err error
	if p.Phone, err = s.Open(t.Context(), s.account(registrar), Page{SessionID: "session", AppKey: "app"}, p); err != nil {
		t.Fatal(err)
	}
	r := register(t, registrar)
	p.contact = strings.Trim(strings.Split(r.Header("Contact"), ";")[0], "<>")
	p.wait(t, "registered")
	return s, p, registrar
}

// duplex is the media of a page.
type duplex struct {
	src   *stream.Source
	asked chan struct{} // gets a value when the page is asked for a key frame

	mu     sync.Mutex
	played []*stream.Source // guarded by mu
}

func (s *server) duplex() *duplex {
	s.t.Helper()
	d := &duplex{asked: make(chan struct{}, 1)}
	var err error
	if d.src, err = s.hub.Private(stream.Info{Name: "page", HasAudio: true, AskKeyFrame: d.ask}); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { d.src.Close(nil) })
	return d
}

// ask notes that the page is asked for a key frame.
func (d *duplex) ask() {
	select {
	case d.asked <- struct{}{}:
	default:
	}
}

func (d *duplex) Source() *stream.Source { return d.src }
func (d *duplex) Play(src *stream.Source) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.played = append(d.played, src)
	return nil
}
func (d *duplex) Codec(media.Kind) media.Codec { return media.PCMU }

// plays returns what the page hears now.
func (d *duplex) plays() *stream.Source {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.played) == 0 {
		return nil
	}
	return d.played[len(d.played)-1]
}

// A page calls: it learns the codecs of the phone before its own offer is answered, then both sides hear each other.
func TestPageCalls(t *testing.T) {
	s, page, registrar := openPhone(t)
	call := PageCall{CallID: "p1", Callee: "bob", VisibleName: "Ann", Audio: true, Video: true, SDPLines: []string{"a=X-mark:1"}}
	if err := page.Call(t.Context(), call); err != nil {
		t.Fatal(err)
	}
	if err := page.Call(t.Context(), call); err != ErrCallID {
		t.Errorf("the id is taken twice: %v", err)
	}
	invite := registrar.Await("INVITE")
	offered := phone.ReadSDP(invite.Body)
	if video, _ := phone.Of(offered, "video"); video.Direction() != "sendrecv" || !strings.HasSuffix(string(invite.Body), "a=X-mark:1\r\n") {
		t.Errorf("the offer is\n%s", invite.Body)
	}
	if !strings.HasPrefix(invite.Header("Contact"), "<"+page.contact) {
		t.Errorf("the contact is %s, want %s", invite.Header("Contact"), page.contact)
	}
	c := registrar.Accept(invite, phone.Plan{Audio: phone.NewStream(t), Video: phone.NewStream(t)})
	c.Await("ACK")
	page.wait(t, "media p1 [PCMU H264] true")
	page.wait(t, "p1 ESTABLISHED")
	d := s.duplex()
	if err := page.Connect("p1", d); err != nil {
		t.Fatal(err)
	}
	if err := page.Connect("p1", d); err == nil {
		t.Error("the media is connected twice")
	}
	i := s.one()
	if d.plays() == nil || len(s.hub.Sources()) != 0 || !i.Browser || i.SessionID != "session" || i.AppKey != "app" || i.StreamName != "" {
		t.Errorf("the call is %+v; the page hears %v", i, d.plays())
	}

	hold := func(on bool, code int, direction string) {
		t.Helper()
		if err := page.Hold("p1", on, on); err != nil {
			t.Fatal(err)
		}
		r := c.Await("INVITE")
		if code == 407 { // the proxy asks within the call, too
			login := phone.Login{Realm: "again", Nonce: "within", User: ann.User, Password: ann.Password, QOP: true}
			registrar.Reply(r, phone.Reply{Code: code, Headers: []string{"Proxy-Authenticate: " + login.Challenge()}})
			r, code = c.Await("INVITE"), 200
			if err := login.Check(r); err != nil {
				t.Error(err)
			}
		}
		sections := phone.ReadSDP(r.Body)
		if audio, _ := phone.Of(sections, "audio"); audio.Direction() != direction {
			t.Errorf("the offer is\n%s", r.Body)
		}
		if code != 200 {
			registrar.Reply(r, phone.Reply{Code: code})
			return
		}
		sdp := strings.ReplaceAll(offer(c, 2, "sendrecv", c.Audio, c.Video), "a=sendrecv", "a="+map[string]string{"sendonly": "recvonly", "sendrecv": "sendrecv"}[direction])
		registrar.Reply(r, phone.Reply{Code: 200, SDP: sdp})
		c.Await("ACK")
	}
	hold(true, 407, "sendonly")
	page.wait(t, "p1 HOLD")
	if i := s.one(); !i.HoldForTransfer || !i.Audio || !i.Video {
		t.Errorf("the call is %+v", i)
	}
	hold(false, 488, "sendrecv")
	page.wait(t, "p1 hold failed: the phone refused: 488")
	again := c.Request("INVITE", "", offer(c, 3, "sendrecv", c.Audio, c.Video))
	if audio, _ := phone.Of(phone.ReadSDP(again.Body), "audio"); audio.Direction() != "sendonly" {
		t.Errorf("after a refusal the phone is not on hold any more:\n%s", again.Body)
	}
	c.Confirm(again, "")
	hold(false, 200, "sendrecv")
	testkit.Eventually(t, 5*time.Second, func() string {
		if i := s.one(); i.Status != dialog.Established || i.HoldForTransfer {
			return string(i.Status)
		}
		return ""
	})

	if r := c.Request("INFO", "application/dtmf", "9"); r.Code != 200 {
		t.Errorf("INFO is answered by %d", r.Code)
	}
	page.wait(t, "p1 digits 9")
	const wish = `<media_control><vc_primitive><to_encoder><picture_fast_update/></to_encoder></vc_primitive></media_control>`
	select {
	case <-d.asked: // when the phone began to see the page
	default:
	}
	testkit.Eventually(t, 5*time.Second, func() string { // a page is not asked again at once
		r := c.Request("INFO", "application/media_control+xml", wish)
		select {
		case <-d.asked:
			return ""
		default:
			return fmt.Sprintf("the page is not asked for a key frame; INFO is answered by %d", r.Code)
		}
	})
	if err := page.Transfer("p1", "eve"); err != nil {
		t.Fatal(err)
	}
	refer := c.Await("REFER")
	if refer.Header("Refer-To") != "<sip:eve@example.com>" {
		t.Errorf("the REFER is\n%s", refer.Raw)
	}
	registrar.Reply(refer, phone.Reply{Code: 202})
	for _, line := range []string{"SIP/2.0 100 Trying", "SIP/2.0 200 OK"} {
		if r := c.Request("NOTIFY", "message/sipfrag", line+"\r\n", "Event: refer"); r.Code != 200 {
			t.Errorf("NOTIFY is answered by %d", r.Code)
		}
	}
	page.wait(t, "p1 transfer 100")
	page.wait(t, "p1 transfer 200")
	c.Await("BYE") // the phone talks to eve
	if i := s.one(); i.Target != "eve" {
		t.Errorf("the call is %+v", i)
	}
	page.final(t, "p1", dialog.Finish)
	if d.plays() != nil {
		t.Error("the page still hears the phone")
	}
}

// A page is called: it answers with its media, and the phone gets 200 only then.
func TestPageIsCalled(t *testing.T) {
	s, page, registrar := openPhone(t)
	audio := phone.NewStream(t)
	d, _ := page.invite(registrar, phone.Offer(audio, nil), `From-Name: x`)
	d.Await("180 INVITE")
	in := page.incoming(t)
	if in.Caller != "phone@127.0.0.1" || in.Callee != "ann" || !in.Audio || in.Video || !slices.Equal(in.Codecs, []media.Codec{media.PCMU}) {
		t.Errorf("the call is %+v", in)
	}
	page.wait(t, in.CallID+" RING")
	if registrar.Count("200 INVITE") != 0 {
		t.Error("the phone got 200 while the page rings")
	}
	m := s.duplex()
	if err := page.Answer(in.CallID, m, []string{"a=X-mark:2"}); err != nil {
		t.Fatal(err)
	}
	answer := d.Await("200 INVITE")
	if !strings.HasSuffix(string(answer.Body), "a=X-mark:2\r\n") {
		t.Errorf("the answer is\n%s", answer.Body)
	}
	d.Confirm(answer, "")
	page.wait(t, in.CallID+" ESTABLISHED")
	if m.plays() == nil || len(s.hub.Sources()) != 0 {
		t.Errorf("the page hears %v", m.plays())
	}
	if err := page.Answer(in.CallID, m, nil); err == nil {
		t.Error("the call is answered twice")
	}
	d.HangUp()
	page.final(t, in.CallID, dialog.Finish)
}

// A page that declines, and one that goes, end their calls.
func TestPageLeaves(t *testing.T) {
	s, page, registrar := openPhone(t)
	d, _ := page.invite(registrar, phone.Offer(phone.NewStream(t), nil))
	d.Await("180 INVITE")
	in := page.incoming(t)
	if err := page.Hangup(in.CallID, dialog.ReasonRejected, "declined"); err != nil {
		t.Fatal(err)
	}
	d.Await("603 INVITE")
	page.final(t, in.CallID, dialog.Busy)

	if err := page.Call(t.Context(), PageCall{CallID: "p1", Callee: "bob", Audio: true}); err != nil {
		t.Fatal(err)
	}
	c := registrar.Answer(phone.Plan{Audio: phone.NewStream(t)})
	page.wait(t, "p1 ESTABLISHED")
	page.Close()
	c.Await("BYE")
	page.final(t, "p1", dialog.Finish)
	if r := registrar.Await("REGISTER"); r.Header("Expires") != "0" {
		t.Errorf("after the end came\n%s", r.Raw)
	}
	if n := s.Stats().Registrations.Wanted; n != 0 {
		t.Errorf("%d registrations are wanted", n)
	}
}

// A page whose password is wrong learns so, once, and its calls fail.
func TestPageIsRefused(t *testing.T) {
	s := newServer(t, nil)
	registrar := s.phone()
	p := &page{}
	var err error
	if p.Phone, err = s.Open(t.Context(), s.account(registrar), Page{}, p); err != nil {
		t.Fatal(err)
	}
	registrar.Reply(registrar.Await("REGISTER"), phone.Reply{Code: 403})
	p.wait(t, "register failed: not registered: 403 Scripted")
	if err := p.Call(t.Context(), PageCall{CallID: "p1", Callee: "bob", Audio: true}); err != nil {
		t.Fatal(err)
	}
	p.final(t, "p1", dialog.Failed)
	if registrar.Count("INVITE") != 0 {
		t.Error("an INVITE came")
	}
	if _, err := s.Open(t.Context(), Account{}, Page{}, p); err == nil {
		t.Error("a page has got the account of the server")
	}
}

func TestMoreLines(t *testing.T) {
	for _, line := range []string{"m=audio 1 RTP/AVP 0", "a=x\r\nm=y", "c=IN IP4 192.0.2.1", "", "a=" + strings.Repeat("x", 300)} {
		if _, err := moreLines([]string{line}); err == nil {
			t.Errorf("%q is taken", line)
		}
	}
	if _, err := moreLines(make([]string, 21)); err == nil {
		t.Error("21 lines are taken")
	}
	if got, err := moreLines([]string{"a=x", "b=AS:1"}); got != "a=x\r\nb=AS:1\r\n" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}
