package sip

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"transponder/internal/sip/dialog"
	"transponder/internal/sip/line"
)

// run keeps the registration until it is removed or refused.
func (g *registration) run(ctx context.Context) {
	defer close(g.gone)
	defer g.kill(nil)
	defer g.forget()
	err := g.calls.panics.Run(g.log, "registration panicked", func() error { return g.live(ctx) })
	if err != nil {
		g.fail(registerError{info: "an internal error", final: true})
	}
}

// forget makes the contact unknown to calls from outside. Calls that use the registration still learn why it has failed.
func (g *registration) forget() {
	g.ways.close()
	g.ways.leave()
	c := g.calls
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.contacts, g.user)
}

// live is the loop of run.
func (g *registration) live(ctx context.Context) error {
	if !g.find(ctx) {
		return nil
	}
	registrar := g.ways.first.Remote.Addr()
	defer func() { g.calls.registrars.leave(registrar, g.answered) }()
	g.keep()
	g.meet(g.ways.first.Remote.Addr())
	cfg := g.calls.cfg
	contact := g.calls.line.Contact(g.user, g.ways.first)
	g.set(contact, false, nil) // a call may come before we read that the registrar has agreed
	g.machine = dialog.Register(time.Now(), dialog.RegistrationConfig{
		Registrar: g.route.callee.uri(), Address: "<" + g.route.from.identity() + ">", Contact: contact,
		Routes: g.route.routes(), CallID: random() + random(), LocalTag: random(), UserAgent: cfg.UserAgent,
		Expires: cfg.RegisterExpires, RewriteContact: cfg.RewriteContact, Credentials: g.credentials,
	})
	timer := time.NewTimer(0)
	defer timer.Stop()
	removal := g.removal
	for {
		g.carryOut()
		if g.machine.Over() {
			return nil
		}
		timer.Stop()
		if at := g.machine.Deadline(); !at.IsZero() {
			timer.Reset(time.Until(at))
		}
		select {
		case f := <-g.inbox:
			f(time.Now())
		case <-timer.C:
			g.machine.Tick(time.Now())
		case <-removal:
			removal = nil
			g.machine.Unregister(time.Now())
		case <-ctx.Done():
			return nil
		}
	}
}

// find looks the registrar up until it is found. It reports false if the registration ends before.
func (g *registration) find(ctx context.Context) bool {
	for pause := lookUpFirst; ; pause = min(2*pause, lookUpMost) {
		err := g.resolve(ctx)
		switch {
		case err == nil:
			return true
		case errors.Is(err, ErrPolicy):
			g.fail(registerError{code: 403, info: "the settings do not allow the address of the registrar", final: true})
			return false
		}
		g.fail(registerError{info: err.Error()})
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-g.removal:
			timer.Stop()
			return false
		case <-ctx.Done():
			timer.Stop()
			return false
		}
	}
}

func (g *registration) resolve(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, resolveLimit)
	defer cancel()
	g.ways.first, err = g.calls.line.Resolve(ctx, g.route.hop, g.route.transport)
	if err == nil {
		err = g.calls.inside(g.route, g.ways.first.Remote.Addr())
	}
	if err == nil && !g.calls.registrars.enter(g.ways.first.Remote.Addr()) {
		return errSilent
	}
	return err
}

// meet notes an address of the registrar: calls to the registration may come from there.
func (g *registration) meet(a netip.Addr) {
	a = a.Unmap()
	g.mu.Lock()
	known := slices.Contains(g.from, a) || len(g.from) >= maxPeers
	if !known {
		g.from = append(g.from, a)
	}
	g.mu.Unlock()
	if !known {
		g.ways.peers.add(a)
		g.ways.joined = append(g.ways.joined, a)
	}
}

// serves reports whether calls to the registration may come from an address.
func (g *registration) serves(a netip.Addr) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Contains(g.from, a.Unmap())
}

// way returns the path of the next request: to the server that answered last, or to the first address after a failure.
func (g *registration) way() line.Path {
	if g.ways.heard.Source.IsValid() {
		return g.ways.first.At(g.ways.heard)
	}
	return g.ways.first
}

// keep keeps the way to the registrar open, and that one only. If its connection breaks, calls cannot reach us until we register over
// another connection.
func (g *registration) keep() {
	p := g.way()
	if g.ways.release != nil && g.kept == p.Remote {
		return
	}
	g.ways.close()
	g.kept = p.Remote
	g.ways.release = g.calls.line.Keep(p, g.broken)
}

// carryOut does what the state machine wants done.
func (g *registration) carryOut() {
	for _, o := range g.machine.Take() {
		switch o := o.(type) {
		case dialog.Send:
			g.calls.line.Send(o.Request, g.way(), g)
		case dialog.Registered:
			g.calls.totals.registered.Add(1)
			g.log.Info("registered", "expires", o.Expires)
			g.log.Debug("registered", "account", g.account)
			g.set(g.machine.Contact(), true, nil)
			if !g.told {
				g.told = true
				g.phone.tell(func(ev PhoneEvents) { ev.Registered() })
			}
		case dialog.RegistrationFailed:
			g.calls.totals.registerFailed.Add(1)
			g.ways.heard = line.Origin{} // another server of the registrar may do better
			g.fail(registerError{o.Code, o.Info, o.Retry == 0})
		}
	}
	g.move(g.machine.Contact())
}

// fail notes that there is no registration.
func (g *registration) fail(e registerError) {
	g.log.Warn("registration failed", "code", e.code, "err", e.info, "final", e.final)
	g.set(g.contact(), false, e)
	if e.final {
		g.phone.tell(func(ev PhoneEvents) { ev.RegisterFailed(fmt.Sprintf("not registered: %s", e.info)) })
	}
}
