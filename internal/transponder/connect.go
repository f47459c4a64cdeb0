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

// maxHops is how many times servers may redirect a push before it is published.
const maxHops = 4

var (
	errRedirect  = errors.New("bad address") // the error has no address, which could contain a key
	errDowngrade = fmt.Errorf("%w: it gives up TLS", errRedirect)
	errHops      = errors.New("the servers redirect the push again and again")
)

// forwardedError is an error at a server to which another server had redirected the push.
type forwardedError struct {
	target pushTarget
	err    error
}

func (e *forwardedError) Error() string {
	return "redirected to " + e.target.String() + ": " + e.err.Error()
}

func (e *forwardedError) Unwrap() error { return e.err }

// connect publishes at a target before ctx ends. It follows redirects as far as the settings allow.
func (d *dialer) connect(ctx context.Context, target pushTarget, addrs []netip.Addr) (connection, error) {
	for hops := 0; ; hops++ {
		c, err := d.connectTo(ctx, target, addrs)
		if err != nil && hops > 0 {
			err = &forwardedError{target, err}
		}
		var asked *rtmp.ReconnectError
		if !errors.As(err, &asked) {
			return c, err
		}
		if hops == maxHops {
			return connection{}, errHops
		}
		if target, err = redirected(target, c.addr, asked.TCURL); err != nil {
			return connection{}, err
		}
		d.log.Info("server sends the push on", "to", target)
		addrs = nil
	}
}

// connectTo publishes at the first address of a target that takes the stream. If none does, it returns the error that tells most.
func (d *dialer) connectTo(ctx context.Context, target pushTarget, addrs []netip.Addr) (connection, error) {
	if addrs == nil {
		var err error
		if addrs, err = d.cfg.locate(ctx, target); err != nil {
			return connection{}, causeOr(ctx, err)
		}
	}
	if slices.ContainsFunc(addrs, isInside) {
		d.inside.Store(true)
	}
	port, err := target.port()
	if err != nil {
		return connection{}, err
	}
	racing, cancel := context.WithCancel(ctx)
	r := newRace(d, target, d.order(port, addrs))
	won := false
	defer func() { r.stop(cancel, won) }()
	failed := connection{stage: -1, err: errNoAddress}
	for {
		c, ok := r.next(racing)
		if !ok {
			return connection{}, failed.err
		}
		if c.err == nil {
			c = d.publishAt(ctx, c, r.left() > 0)
		}
		if c.err == nil || settles(c.err) {
			won = c.err == nil
			d.remember(c.addr, false)
			return c, c.err
		}
		if err := causeOr(ctx, nil); err != nil {
			return connection{}, err
		}
		d.remember(c.addr, true)
		if r.left() > 0 {
			d.log.Info("address passed over", "peer", c.addr, "err", printable(c.err))
		}
		if failed.stage < 0 || telling(c) > telling(failed) {
			failed = c
		}
	}
}

// publishAt goes on from the RTMP handshake to NetStream.Publish.Start. It closes the connection unless it gets there. If there are
// other addresses to try, it leaves half of the time to them.
func (d *dialer) publishAt(ctx context.Context, c connection, others bool) connection {
	if deadline, ok := ctx.Deadline(); ok && others {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/2)
		defer cancel()
	}
	if c = d.connectAt(ctx, c); c.err != nil {
		return c
	}
	c.stage = atPublish
	if c.err = step(ctx, "createStream", c.conn, c.client.CreateStream); c.err == nil {
		c.err = step(ctx, "publish", c.conn, c.client.Publish)
	}
	if c.err != nil {
		c.conn.Close()
	}
	return c
}

// connectAt goes on from the RTMP handshake to the answer to connect. It closes the connection unless the server grants connect. A server
// that wants a login refuses twice before it accepts, and each time the next try needs a connection of its own.
func (d *dialer) connectAt(ctx context.Context, c connection) connection {
	login := rtmp.Login{User: c.target.User, Password: c.target.Password, App: c.target.App}
	for {
		d.greet(c.client.Hello())
		c.stage = atConnect
		if c.err = step(ctx, "RTMP connect", c.conn, c.client.Connect); c.err == nil {
			return c
		}
		c.conn.Close()
		var refused *rtmp.StatusError
		if !errors.As(c.err, &refused) {
			return c
		}
		query, err := login.Next(refused)
		if err != nil {
			c.err = err
			return c
		}
		if c = d.approach(ctx, c.target, c.addr, query, func() {}); c.err != nil {
			return c
		}
	}
}

// causeOr returns why ctx was cancelled if somebody cancelled it. Otherwise it returns err, which says more than a deadline that has
// passed.
func causeOr(ctx context.Context, err error) error {
	if ctx.Err() != nil && !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return context.Cause(ctx)
	}
	return err
}

// redirected returns the target to which a server redirects us: the same stream name at another address. The address may be missing or
// relative (Enhanced RTMP v2, NetConnection.Connect.ReconnectRequest). An address without an application keeps the application of the old
// one. A redirect from TLS to a connection without TLS is an error. A server that is not in a private network itself does not send us into
// one.
func redirected(from pushTarget, peer netip.AddrPort, tcURL string) (pushTarget, error) {
	if tcURL == "" {
		return from, nil
	}
	to, err := (&rtmp.ReconnectError{TCURL: tcURL}).Resolve(from.TCURL)
	if err != nil {
		return pushTarget{}, errRedirect
	}
	target, err := parseTarget(to, from.Name, naming{})
	if err == nil && target.App == "" {
		target, err = parseTarget(strings.TrimSuffix(to, "/")+"/"+from.App, from.Name, naming{})
	}
	switch {
	case err != nil:
		return pushTarget{}, errRedirect
	case from.TLS && !target.TLS:
		return pushTarget{}, errDowngrade
	}
	if target.User == "" {
		target.User, target.Password = from.User, from.Password
	}
	target.Destination, target.Preset, target.SecretName, target.Policy, target.Forwarded = from.Destination, from.Preset, from.SecretName, from.Policy, true
	if !isInside(peer.Addr()) {
		target.Policy = target.Policy.public("a server outside sent the push there")
	}
	return target, nil
}
