package sip

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"transponder/internal/media"
	"transponder/internal/sip/dialog"
	"transponder/internal/sip/sdp"
	"transponder/internal/stream"
)

const (
	// maxLines limits the lines that a page adds to our SDP.
	maxLines = 20
	// transferLimit is how long a transfer may make no progress.
	transferLimit = time.Minute
)

// Phone is the account of one page: it calls, is called, and is registered if the account wants that. Any goroutine may call the methods.
type Phone struct {
	calls        *Calls
	account      Account
	page         Page
	events       PhoneEvents
	registration *registration // nil: the account is not registered
	closed       bool          // guarded by Calls.mu; the page has gone
}

// Open makes a phone of an account. ctx carries values only. It fails with ErrOff, *RequestError or ErrStopping.
func (c *Calls) Open(ctx context.Context, a Account, page Page, ev PhoneEvents) (*Phone, error) {
	if !c.cfg.Enabled {
		return nil, ErrOff
	}
	if a.Login == "" { // it would be the account of the server, and pages are open to everybody
		return nil, &RequestError{"sipLogin", "it is missing"}
	}
	a = c.cfg.complete(a)
	if _, err := routeOf(a); err != nil {
		return nil, err
	}
	p := &Phone{calls: c, account: a, page: page, events: ev}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopping {
		return nil, ErrStopping
	}
	c.phones[p] = struct{}{}
	if a.Register {
		p.registration = c.register(context.WithoutCancel(ctx), a, p)
	}
	return p, nil
}

// tell calls f with the events of the page, if there is a page.
func (p *Phone) tell(f func(PhoneEvents)) {
	if p != nil {
		f(p.events)
	}
}

// Close hangs up the calls of the page, and ends the registration. It does not wait for the peers. Events may still come.
func (p *Phone) Close() {
	p.calls.mu.Lock()
	p.closed = true
	delete(p.calls.phones, p)
	var calls []*call
	for _, k := range p.calls.live {
		if k.phone == p {
			calls = append(calls, k)
		}
	}
	p.calls.mu.Unlock()
	for _, k := range calls {
		k.leave("the page has gone")
	}
	if p.registration != nil {
		p.registration.remove()
	}
}

// find returns a call of the page, or ErrNoCall.
func (p *Phone) find(id string) (*call, error) {
	k, err := p.calls.find(id)
	if err == nil && k.phone != p {
		return nil, ErrNoCall
	}
	return k, err
}

// Call calls somebody. It does not wait: events tell how the call goes. The errors are those of Calls.Start.
func (p *Phone) Call(ctx context.Context, r PageCall) error {
	err := p.call(ctx, r)
	if err != nil {
		p.calls.turnedAway(err)
	}
	return err
}

func (p *Phone) call(ctx context.Context, r PageCall) error {
	c := p.calls
	lines, err := moreLines(r.SDPLines)
	switch {
	case err != nil:
		return err
	case unusableID(r.CallID) != "":
		return &RequestError{"callId", unusableID(r.CallID)}
	case !r.Audio && !(r.Video && c.cfg.Video):
		return &RequestError{"hasAudio, hasVideo", "a call needs sound or pictures"}
	}
	way, err := c.plannedRoute(p.account, r.Callee, r.VisibleName)
	if err != nil {
		return err
	}
	k := c.newCall(r.CallID)
	k.route, k.account, k.phone, k.registration = way, p.account, p, p.registration
	k.wants = wants{audio: r.Audio, video: r.Video && c.cfg.Video, sendVideo: true}
	k.session.lines = lines
	k.record.info = Info{
		CallID: r.CallID, Status: dialog.Pending, Caller: p.account.Login, Callee: r.Callee, Visible: r.VisibleName, Custom: r.Custom,
		Audio: k.wants.audio, Video: k.wants.video, Started: time.Now(),
	}
	return c.startAtPage(ctx, k, Page{cmp.Or(r.SessionID, p.page.SessionID), cmp.Or(r.AppKey, p.page.AppKey)})
}

// startAtPage starts a call of a page. What the phone sends is for the page alone.
func (c *Calls) startAtPage(ctx context.Context, k *call, page Page) (err error) {
	k.record.info.Browser, k.record.info.SessionID, k.record.info.AppKey = true, page.SessionID, page.AppKey
	if err := c.reserve(k); err != nil {
		return err
	}
	k.source, err = c.parts.Hub.Private(stream.Info{
		Name: "call " + k.id, ID: k.id, SessionID: page.SessionID, AppKey: page.AppKey, Provider: "SIP", Transport: "UDP",
		HasVideo: k.wants.video, HasAudio: k.wants.audio, AskKeyFrame: k.record.askKeyFrame,
	})
	if err == nil {
		err = c.enter(ctx, k)
	}
	if err != nil {
		if k.source != nil {
			k.source.Close(err)
		}
		c.unreserve(k)
	}
	return err
}

// moreLines checks the lines that a page adds to our SDP: they may say more about the media, and nothing else.
func moreLines(lines []string) (string, error) {
	if len(lines) > maxLines {
		return "", &RequestError{"sipSDP", fmt.Sprintf("it has more than %d lines", maxLines)}
	}
	var b strings.Builder
	for _, line := range lines {
		prefix := strings.HasPrefix(line, "a=") || strings.HasPrefix(line, "b=")
		control := strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f })
		if !prefix || control || len(line) > maxText {
			return "", &RequestError{"sipSDP", "each line must begin with a= or b=, and be one short line"}
		}
		b.WriteString(line + "\r\n")
	}
	return b.String(), nil
}

// ring lets an incoming call ring at its page. A call that could not be answered is refused at once.
func (k *call) ring(now time.Time, offer []byte) {
	in := IncomingCall{CallID: k.id, Audio: k.wants.audio, Video: k.wants.video}
	if len(offer) > 0 {
		trial := k.session
		_, a, err := trial.answer(offer)
		if err != nil {
			k.dialog.End(now, dialog.ReasonNoCodec, err.Error())
			return
		}
		in.Audio, in.Video, in.Codecs = a.Audio != nil, a.Video != nil, browserCodecs(a)
		k.record.change(func(i *Info) { i.Audio, i.Video, i.SDP = in.Audio, in.Video, sdp.Redact(string(offer)) })
	}
	i := k.record.snapshot()
	in.Caller, in.Callee, in.VisibleName = i.Caller, i.Callee, i.Visible
	k.waiting, k.rings = offer, true
	k.phone.tell(func(ev PhoneEvents) { ev.Incoming(in) })
	k.dialog.Ring()
}

// Answer answers an incoming call with the media of the page.
func (p *Phone) Answer(id string, m Media, lines []string) error {
	more, err := moreLines(lines)
	if err != nil {
		return err
	}
	k, err := p.find(id)
	if err != nil {
		return err
	}
	return k.do(func(now time.Time) error {
		if !k.rings {
			return fmt.Errorf("%w: it does not ring", ErrState)
		}
		k.rings, k.page, k.session.lines = false, m, more
		k.accept(now, k.waiting)
		if k.dialog.Status().Final() {
			return nil // a Status says why
		}
		return k.connect()
	})
}

// Connect joins the media of the page to an outgoing call, after MediaReady.
func (p *Phone) Connect(id string, m Media) error {
	k, err := p.find(id)
	if err != nil {
		return err
	}
	return k.do(func(time.Time) error {
		if !k.told || k.page != nil {
			return fmt.Errorf("%w: its media is not ready, or is connected", ErrState)
		}
		k.page = m
		return k.connect()
	})
}

// connect makes both sides hear each other.
func (k *call) connect() error {
	if err := k.play(k.page.Source(), ""); err != nil {
		return err
	}
	return k.page.Play(k.source)
}

// tellCodecs asks for the media of the page, once the phone has said which codecs it takes.
func (k *call) tellCodecs(a sdp.Agreement) {
	if k.told || k.invite != nil {
		return
	}
	k.told = true
	k.phone.tell(func(ev PhoneEvents) { ev.MediaReady(k.id, browserCodecs(a), a.Video != nil) })
}

// browserCodecs returns the codecs that both the phone and every browser have (RFC 7874, RFC 7742), those that we send to the phone first.
func browserCodecs(a sdp.Agreement) []media.Codec {
	var codecs []media.Codec
	for _, flow := range []*sdp.Flow{a.Audio, a.Video} {
		if flow == nil {
			continue
		}
		numbers := slices.Sorted(maps.Keys(flow.Receive))
		agreed := []media.Codec{flow.Send.Codec.Media()}
		for _, n := range numbers {
			agreed = append(agreed, flow.Receive[n].Media())
		}
		for _, c := range agreed {
			if slices.Contains(inBrowsers, c) && !slices.Contains(codecs, c) {
				codecs = append(codecs, c)
			}
		}
	}
	return codecs
}

var inBrowsers = []media.Codec{media.PCMU, media.PCMA, media.Opus, media.H264, media.VP8}

// Hangup hangs up a call of the page, cancels it, or refuses it, and says why. It does not wait.
func (p *Phone) Hangup(id string, why dialog.Reason, info string) error {
	k, err := p.find(id)
	if err == nil {
		k.hangUp(why, info)
	}
	return err
}

// Hold puts the phone on hold, or takes it back. Status tells how that went. A hold for a transfer is remembered in Info.
func (p *Phone) Hold(id string, on, forTransfer bool) error {
	k, err := p.find(id)
	if err != nil {
		return err
	}
	return k.do(func(now time.Time) error {
		if err := k.talks(); err != nil {
			return err
		}
		k.record.change(func(i *Info) { i.HoldForTransfer = on && forTransfer })
		k.holds, k.changing = on, true
		k.session.hold(on, k.wants.sendVideo)
		k.dialog.Modify(now, k.session.again(), on)
		return nil
	})
}

// holdFailed tells the page that the phone refused to be put on hold, or to be taken back.
func (k *call) holdFailed(code int) {
	k.log.Info("the phone refused an offer", "code", code)
	k.holds = k.held
	k.session.hold(k.holds, k.wants.sendVideo)
	k.phone.tell(func(ev PhoneEvents) { ev.HoldFailed(k.id, fmt.Sprintf("the phone refused: %d", code)) })
}

// Transfer asks the phone to call somebody else. Transferring tells how that goes.
func (p *Phone) Transfer(id, target string) error {
	k, err := p.find(id)
	if err != nil {
		return err
	}
	to, problem := parseCallee(target, p.account.Domain)
	if problem != "" {
		return &RequestError{"target", problem}
	}
	if err := p.calls.policy.callee(to); err != nil {
		return err
	}
	return k.do(func(now time.Time) error {
		if err := k.talks(); err != nil {
			return err
		}
		k.record.change(func(i *Info) { i.Target = target })
		k.transfer = now.Add(transferLimit)
		k.dialog.Transfer(now, to.uri())
		return nil
	})
}

// transferring takes the progress of a transfer.
func (k *call) transferring(now time.Time, code int) {
	k.transfer = time.Time{}
	if code < 200 {
		k.transfer = now.Add(transferLimit)
	}
	k.phone.tell(func(ev PhoneEvents) { ev.Transferring(k.id, code) })
}

// SendDigits sends keys to the phone, as Calls.SendDigits does.
func (p *Phone) SendDigits(id, keys string, how Digits) error {
	k, err := p.find(id)
	if err != nil {
		return err
	}
	return k.sendDigits(keys, how)
}
