package sip

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"transponder/internal/sip/dialog"
	"transponder/internal/sip/leg"
	"transponder/internal/sip/line"
)

// prepared is what a call needs before the first message.
type prepared struct {
	path line.Path
	err  error // an ending with the reason, if the call cannot be made
	code int   // the response that refused the registration; 0: none
}

// begin starts what precedes the first message of an outgoing call, or takes the first message of an incoming one.
func (k *call) begin(children context.Context, now time.Time) {
	if k.invite != nil {
		k.receive(children, now)
		return
	}
	k.children.Go(func() {
		var p prepared
		if err := k.calls.panics.Run(k.log, "call panicked", func() error { p = k.prepare(children); return nil }); err != nil {
			p.err = ending{dialog.ReasonTransport, "an internal error"}
		}
		k.prepared <- p
	})
}

// prepare waits for the registration, and looks the first server up.
func (k *call) prepare(ctx context.Context) prepared {
	if k.registration != nil {
		var failed registerError
		switch err := k.registration.ready(ctx); {
		case errors.As(err, &failed):
			return prepared{err: ending{failed.reason(), "not registered: " + failed.Error()}, code: failed.code}
		case err != nil:
			return prepared{err: err}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, resolveLimit)
	defer cancel()
	path, err := k.calls.line.Resolve(ctx, k.route.hop, k.route.transport)
	if err == nil {
		err = k.calls.inside(k.route, path.Remote.Addr())
	}
	switch {
	case errors.Is(err, ErrPolicy):
		return prepared{err: ending{dialog.ReasonPolicy, "the settings do not allow the address of this callee"}}
	case err != nil:
		return prepared{err: ending{dialog.ReasonTransport, err.Error()}}
	}
	return prepared{path: path}
}

// dial sends the INVITE.
func (k *call) dial(children context.Context, now time.Time, p prepared) {
	if k.final {
		return
	}
	var e ending
	if errors.As(p.err, &e) {
		k.record.change(func(i *Info) { i.Code = p.code })
		k.end(now, e)
		return
	} else if p.err != nil {
		k.end(now, ending{dialog.ReasonTransport, p.err.Error()})
		return
	}
	k.ways.first = p.path
	if err := k.open(children, p.path); err != nil {
		reason := dialog.ReasonTransport
		if errors.Is(err, ErrPolicy) {
			reason = dialog.ReasonPolicy
		}
		k.end(now, ending{reason, err.Error()})
		return
	}
	k.ways.release = k.calls.line.Keep(p.path, nil)
	from := k.route.from
	if from.host == "" { // an account without a domain: a call from machine to machine
		from.host = k.session.local.Address
	}
	from.user = cmp.Or(from.user, "anonymous")
	k.dialog = dialog.Dial(now, k.dialogConfig(p.path), dialog.Target{
		CallID: k.wireID,
		URI:    k.route.callee.uri(),
		From:   k.route.display + "<" + from.identity() + ">",
		To:     "<" + k.route.callee.identity() + ">",
		Routes: k.route.routes(),
		Offer:  k.session.offer(),
	})
}

func (k *call) dialogConfig(p line.Path) dialog.Config {
	cfg := k.calls.cfg
	c := dialog.Config{
		LocalTag: k.tag, UserAgent: cfg.UserAgent, AnswerTimeout: cfg.AnswerTimeout, SessionExpires: cfg.SessionExpires,
		Credentials: k.credentials,
	}
	if k.registration != nil {
		c.Contact = k.registration.contact()
	} else {
		c.Contact = k.calls.line.Contact("c"+random(), p)
	}
	return c
}

// open opens the media of the call, and says in the session where it is.
func (k *call) open(children context.Context, p line.Path) error {
	address := k.calls.mediaAddress(p)
	bind := netip.IPv4Unspecified()
	if address.Is6() {
		bind = netip.IPv6Unspecified()
	}
	m, err := k.calls.legs.Open(leg.Options{Name: k.id, Bind: bind, Audio: k.wants.audio, Video: k.wants.video, Events: k})
	if err != nil {
		return err
	}
	k.session.local, err = k.calls.cfg.newLocal(k.wants, address, m.AudioPort(), m.VideoPort(), p.Transport == "tls")
	if err != nil {
		m.Close()
		return err
	}
	k.media = m
	k.record.open(m)
	k.children.Go(func() {
		if err := m.Run(children); children.Err() == nil {
			k.hangUp(dialog.ReasonTransport, fmt.Sprintf("the media has ended: %v", err))
		}
	})
	return nil
}

// mediaAddress returns the address that stands in our SDP.
func (c *Calls) mediaAddress(p line.Path) netip.Addr {
	local := p.Local.Unmap().WithZone("")
	if p.Remote.Addr().IsLoopback() {
		return local
	}
	for _, a := range c.cfg.Line.External {
		if a.Is4() == local.Is4() {
			return a
		}
	}
	return local
}
