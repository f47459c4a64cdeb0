package sip

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"transponder/internal/sip/dialog"
	"transponder/internal/sip/line"
)

const (
	// lookUpFirst and lookUpMost are the pauses between two attempts to find the registrar; each is twice the one before.
	lookUpFirst = 5 * time.Second
	lookUpMost  = time.Minute
)

// registration keeps an account registered. The goroutine of run owns the fields of the second group.
type registration struct {
	calls       *Calls
	account     Account
	route       route
	user        string // of the contact: random, so that only calls to this registration have it
	credentials dialog.Credentials
	phone       *Phone // the page that is called; nil: none
	log         *slog.Logger

	machine *dialog.Registration // nil before the registrar is found
	ways    ways
	kept    netip.AddrPort // the registrar's address that ways.release is for
	told    bool           // the page knows that it is registered

	answered bool // the registrar has said anything

	users int // guarded by Calls.mu; calls that use it, and one more if the server keeps it for incoming calls

	inbox   chan func(now time.Time)
	removal chan struct{} // closed by remove
	once    sync.Once     // of removal
	kill    context.CancelCauseFunc
	gone    chan struct{} // closed when run has returned

	mu      sync.Mutex
	at      string        // guarded by mu; our contact; "" before the registrar is found
	ok      bool          // guarded by mu; the registrar has it
	err     error         // guarded by mu; a registerError: why the registrar does not have it. nil before the first answer
	changed chan struct{} // guarded by mu; closed and replaced when ok or err change
	from    []netip.Addr  // guarded by mu; where calls to the registration come from
}

// registerError is the reason why there is no registration.
type registerError struct {
	code  int // 0: no answer
	info  string
	final bool // nothing is tried any more
}

func (e registerError) Error() string { return e.info }

// reason returns the reason of a call that needs the registration.
func (e registerError) reason() dialog.Reason {
	switch e.code {
	case 401, 403, 407:
		return dialog.ReasonAuthFailed
	case 404:
		return dialog.ReasonNotFound
	case 0, 408, 480, 500, 503, 504:
		return dialog.ReasonTransport
	}
	return dialog.ReasonRejected
}

// join returns the registration of an account, which is started if no other call uses it. The caller holds mu, and calls part later.
func (c *Calls) join(ctx context.Context, a Account) *registration {
	g := c.accounts[a]
	if g == nil || g.failed() {
		g = c.register(ctx, a, nil)
		c.accounts[a] = g
	}
	g.users++
	return g
}

// part ends the use of a registration by a call. The last user ends it. The caller holds mu.
func (c *Calls) part(g *registration) {
	if g.users--; g.users > 0 {
		return
	}
	if c.accounts[g.account] == g {
		delete(c.accounts, g.account)
	}
	g.remove()
}

// register starts a registration, which ends at once when ctx does. The caller holds mu, and has checked the account and that the server is not
// stopping.
func (c *Calls) register(ctx context.Context, a Account, p *Phone) *registration {
	g := &registration{
		calls: c, account: a, user: "t" + random(), credentials: credentialsOf(a), phone: p, log: c.log.With("registration", a.Domain),
		inbox: make(chan func(time.Time), inboxSize), removal: make(chan struct{}), gone: make(chan struct{}), changed: make(chan struct{}),
		ways: ways{peers: &c.peers},
	}
	g.route, _ = routeOf(a) // was checked
	g.route.public = a.public
	ctx, g.kill = context.WithCancelCause(ctx)
	c.contacts[g.user] = g
	c.wg.Go(func() { g.run(ctx) })
	return g
}

// registerServer registers the account of the server if calls to this account are taken. The registration lasts as long as the server.
func (c *Calls) registerServer(ctx context.Context) {
	a := c.cfg.complete(Account{})
	if !c.cfg.Enabled || !a.Register {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.join(ctx, a)
}

// remove ends the registration at the registrar. It does not wait.
func (g *registration) remove() { g.once.Do(func() { close(g.removal) }) }

// contact returns the URI at which the registrar knows us.
func (g *registration) contact() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.at
}

func (g *registration) up() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ok
}

// failed reports whether the registrar has refused for good.
func (g *registration) failed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	var e registerError
	return errors.As(g.err, &e) && e.final
}

// ready waits until the registrar has the contact. It fails with a registerError as soon as the registrar has refused, or is silent.
func (g *registration) ready(ctx context.Context) error {
	for {
		g.mu.Lock()
		ok, err, changed := g.ok, g.err, g.changed
		g.mu.Unlock()
		if ok || err != nil {
			return err
		}
		select {
		case <-changed:
		case <-g.gone:
			return registerError{info: "the registration has ended", final: true}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// set notes what others may know.
func (g *registration) set(contact string, ok bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.at, g.ok, g.err = contact, ok, err
	close(g.changed)
	g.changed = make(chan struct{})
}

// move notes that the contact has changed: a NAT, or another connection, has given us another port.
func (g *registration) move(contact string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.at = contact
}

// post gives f to the goroutine of the registration. It never blocks.
func (g *registration) post(f func(now time.Time)) {
	select {
	case g.inbox <- f:
	default:
		g.calls.totals.busy.Add(1)
	}
}

// Response takes a response from the line.
func (g *registration) Response(r *dialog.Response, o line.Origin) {
	g.post(func(now time.Time) {
		g.ways.heard = o
		g.meet(o.Source.Addr())
		g.keep()
		if !g.answered {
			g.answered = true
			g.calls.registrars.answered(g.ways.first.Remote.Addr())
		}
		g.machine.Response(now, r)
	})
}

// broken takes the end of the connection to the registrar.
func (g *registration) broken(err error) {
	g.post(func(now time.Time) {
		if g.machine.Registered() {
			g.log.Info("the connection to the registrar has ended", "err", err)
		}
		g.machine.Refresh(now)
	})
}

// Unsent takes a request that could not be sent.
func (g *registration) Unsent(r *dialog.Request, err error) {
	g.post(func(now time.Time) { g.machine.Unsent(now, r, err) })
}
