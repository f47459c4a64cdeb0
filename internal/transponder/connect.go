package transponder

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"transponder/internal/rtmp"
)

// maxHops is how many times servers may send a push on before it is published.
const maxHops = 4

var (
	errRedirect  = errors.New("bad address") // an address in the error could hold a key
	errDowngrade = fmt.Errorf("%w: it gives up TLS", errRedirect)
	errHops      = errors.New("the servers send the push on without end")
)

// forwardedError is what went wrong at a server to which another one had sent the push.
type forwardedError struct {
	target Target
	err    error
}

func (e *forwardedError) Error() string {
	return "sent on to " + e.target.String() + ": " + e.err.Error()
}

func (e *forwardedError) Unwrap() error { return e.err }

// connect makes a link, all within one deadline. It goes where a server sends it instead, as far as the settings allow.
func (p *push) connect(ctx context.Context, target Target, addrs []netip.Addr) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.ConnectTimeout)
	defer cancel()
	for hops := 0; ; hops++ {
		l, err := p.connectTo(ctx, target, addrs)
		if err != nil && hops > 0 {
			err = &forwardedError{target, err}
		}
		var asked *rtmp.ReconnectError
		if !errors.As(err, &asked) {
			return l, err
		}
		if hops == maxHops {
			return nil, errHops
		}
		if target, err = redirected(target, asked.TCURL); err != nil {
			return nil, err
		}
		p.log.Info("server sends the push on", "to", target)
		addrs = nil
	}
}

// connectTo makes a link to a target, at the first of its addresses that takes the stream. If none does, the error that tells
// most is returned.
func (p *push) connectTo(ctx context.Context, target Target, addrs []netip.Addr) (*link, error) {
	if addrs == nil {
		var err error
		if addrs, err = p.cfg.locate(ctx, target); err != nil {
			return nil, causeOr(ctx, err)
		}
	}
	if slices.ContainsFunc(addrs, isInside) {
		p.inside.Store(true)
	}
	port, err := target.port()
	if err != nil {
		return nil, err
	}
	racing, cancel := context.WithCancel(ctx)
	r := newRace(p, target, p.order(port, addrs))
	var l *link
	defer func() { r.stop(cancel, l != nil) }()
	failed := greeting{stage: -1, err: errNoAddress}
	for {
		g, ok := r.next(racing)
		if !ok {
			return nil, failed.err
		}
		if g.err == nil {
			l, g = p.publishAt(ctx, target, g, r.left() > 0)
		}
		if g.err == nil || settles(g.err) {
			p.remember(g.addr, false)
			return l, g.err
		}
		if err := causeOr(ctx, nil); err != nil {
			return nil, err
		}
		p.remember(g.addr, true)
		if r.left() > 0 {
			p.log.Info("address passed over", "peer", g.addr, "err", printable(g.err))
		}
		if failed.stage < 0 || telling(g) > telling(failed) {
			failed = g
		}
	}
}

// publishAt goes on from a handshake to NetStream.Publish.Start, and closes the connection unless it gets there. If there are
// others to try, half of the time that is left is theirs. A server that wants a login refuses twice before it takes it, each time
// with a connection of its own.
func (p *push) publishAt(ctx context.Context, target Target, g greeting, others bool) (*link, greeting) {
	if deadline, ok := ctx.Deadline(); ok && others {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/2)
		defer cancel()
	}
	login := rtmp.Login{User: target.User, Password: target.Password, App: target.App}
	for {
		g.err = interruptible(ctx, g.conn, func() error {
			p.greet(g.client.Hello())
			g.stage = atConnect
			if err := g.client.Connect(); err != nil {
				return err
			}
			g.stage = atPublish
			return g.client.Publish()
		})
		if g.err == nil {
			return newLink(p, target, g), g
		}
		g.conn.Close()
		var refused *rtmp.StatusError
		if !errors.As(g.err, &refused) {
			return nil, g
		}
		query, err := login.Next(refused)
		if err != nil {
			g.err = err
			return nil, g
		}
		if g = p.approach(ctx, target, g.addr, query, func() {}); g.err != nil {
			return nil, g
		}
	}
}

// causeOr returns why ctx ended where that is somebody's wish, else err. A deadline is no wish: err then says more.
func causeOr(ctx context.Context, err error) error {
	if ctx.Err() != nil && !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return context.Cause(ctx)
	}
	return err
}

func (p *push) flashVersion() string {
	if p.req.FlashVersion != "" {
		return p.req.FlashVersion
	}
	return p.cfg.FlashVersion
}

// redirected is where a server sends us instead: to the same name at an address that may be left out or relative (Enhanced RTMP
// v2, NetConnection.Connect.ReconnectRequest). An address without an application keeps the one that was asked for. The way
// there is never less secure than the one that was asked for.
func redirected(from Target, tcURL string) (Target, error) {
	if tcURL == "" {
		return from, nil
	}
	to, err := (&rtmp.ReconnectError{TCURL: tcURL}).Resolve(from.TCURL)
	if err != nil {
		return Target{}, errRedirect
	}
	target, err := ParseTarget(to, from.Name, Naming{})
	if err == nil && target.App == "" {
		target, err = ParseTarget(strings.TrimSuffix(to, "/")+"/"+from.App, from.Name, Naming{})
	}
	switch {
	case err != nil:
		return Target{}, errRedirect
	case from.TLS && !target.TLS:
		return Target{}, errDowngrade
	}
	if target.User == "" {
		target.User, target.Password = from.User, from.Password
	}
	return target, nil
}
