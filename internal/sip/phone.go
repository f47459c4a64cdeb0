package sip

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"transponder/internal/sip/dialog"
	"transponder/internal/stream"
)

const (
	// maxLines limits the lines that a page adds to our SDP.
	maxLines = 20
	// transferLimit is how long a transfer may make no progress.
	transferLimit = time.Minute
)

// Phone makes and takes calls for one page, with one account. It registers the account if the account wants that. The methods may be used from
// any goroutine. A method that names a call fails with ErrNoCall for calls of others.
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
	a.public = !mayReachInside(page.By)
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

// Call calls somebody. It does not wait: events tell how the call goes. It fails as Calls.Start does.
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
	return c.startAtPage(ctx, k, Page{cmp.Or(r.SessionID, p.page.SessionID), cmp.Or(r.AppKey, p.page.AppKey), p.page.By})
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
