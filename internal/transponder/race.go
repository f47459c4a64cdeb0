package transponder

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"transponder/internal/rtmp"
	"transponder/internal/trace"
)

const (
	// dialDelay is how long an address may take to accept a TCP connection before the next one is tried beside it (RFC 8305, 5).
	dialDelay = 250 * time.Millisecond
	// greetDelay is how long TLS and the RTMP handshake may take, once the TCP connection is there, before the next address is tried beside
	// it: eight round trips around the world.
	greetDelay = 2 * time.Second
	// maxAddresses bounds the addresses of one attempt. Addresses that failed come last in the next attempt.
	maxAddresses = 16
	// maxRemembered bounds the addresses whose failure is remembered.
	maxRemembered = 64
)

// stage is how far a connection got.
type stage int

const (
	atTCP stage = iota
	atTLS
	atHandshake
	atConnect
	atPublish
)

// connection is the result of trying an address: a connection past the RTMP handshake, or the error and how far it got.
type connection struct {
	target pushTarget
	addr   netip.AddrPort
	conn   net.Conn
	client *rtmp.Client
	out    *outflow
	stage  stage
	err    error
}

// approach dials an address and goes as far as the RTMP handshake. connected is called when the TCP connection is there.
func (d *dialer) approach(ctx context.Context, target pushTarget, addr netip.AddrPort, login string, connected func()) (c connection) {
	c.target, c.addr = target, addr
	c.err = d.panics.Run(d.log, "push panicked", func() error {
		conn, err := d.dialTCP(ctx, addr)
		if err != nil {
			return err
		}
		connected()
		c.stage = atTLS
		if conn, err = d.secure(ctx, target, conn); err != nil {
			return err
		}
		c.stage = atHandshake
		c.conn = conn
		c.client, c.out = d.client(target, conn, login)
		return step(ctx, "RTMP handshake", conn, c.client.Handshake)
	})
	if c.err != nil && c.conn != nil {
		c.conn.Close()
	}
	return c
}

// client makes the client of a connection on which nothing was sent.
func (d *dialer) client(target pushTarget, conn net.Conn, login string) (client *rtmp.Client, out *outflow) {
	out = newOutflow()
	client = rtmp.NewClient(conn, rtmp.ClientConfig{
		App: target.App, TCURL: target.TCURL, FlashVersion: cmp.Or(d.req.FlashVersion, d.cfg.FlashVersion), StreamName: target.Name, Login: login,
		FourCC: d.req.Options.fourCCs(), Reconnect: true, Came: d.source().Info().Trail,
		Acked:    func(bytes int64) { out.ack(time.Now(), bytes, client.BytesSent()) },
		Answered: func(value uint32) { out.answer(time.Now(), value) },
	})
	return client, out
}

// step is interruptible with a span.
func step(ctx context.Context, name string, conn net.Conn, io func() error) error {
	ctx, span := trace.Start(ctx, name)
	err := interruptible(ctx, conn, io)
	endSpan(span, err)
	return err
}

// interruptible runs I/O on conn and interrupts it when ctx ends.
func interruptible(ctx context.Context, conn net.Conn, io func() error) error {
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Now()) })
	err := io()
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	return err
}

// race finds the addresses of a host that answer the RTMP handshake, one after another. While an address is slow, the next one is tried
// beside it (RFC 8305, "Happy Eyeballs"). A race belongs to one goroutine, which ends it with stop.
type race struct {
	d      *dialer
	target pushTarget

	waiting []netip.AddrPort // not tried yet
	running []*runner        // being tried
	timer   *time.Timer      // when to try the next address beside them
	events  chan event
	wg      sync.WaitGroup
}

// runner tries one address.
type runner struct {
	addr       netip.AddrPort
	begun      time.Time
	connected  atomic.Bool
	connection connection // once it is over
}

// event reports that a runner has a TCP connection, or is over.
type event struct {
	*runner
	over bool
}

func newRace(d *dialer, target pushTarget, addrs []netip.AddrPort) *race {
	return &race{
		d: d, target: target, waiting: addrs, timer: time.NewTimer(0), events: make(chan event, 2*len(addrs)), // room for all, so that no runner blocks
	}
}

// left returns how many addresses are being tried, or will be.
func (r *race) left() int { return len(r.waiting) + len(r.running) }

// next returns the next address that answered the handshake or failed. It returns false when no address or no time is left. ctx is the
// context of the whole race.
func (r *race) next(ctx context.Context) (connection, bool) {
	for {
		if len(r.running) == 0 && !r.begin(ctx) {
			return connection{}, false
		}
		select {
		case one := <-r.events:
			if !one.over {
				if one.runner == r.running[len(r.running)-1] {
					r.timer.Reset(greetDelay)
				}
				continue
			}
			r.running = slices.DeleteFunc(r.running, func(x *runner) bool { return x == one.runner })
			if one.connection.err != nil {
				r.begin(ctx)
			}
			return one.connection, true
		case <-r.timer.C:
			r.begin(ctx)
		}
	}
}

// begin tries another address, if there is one.
func (r *race) begin(ctx context.Context) bool {
	if len(r.waiting) == 0 || ctx.Err() != nil {
		return false
	}
	one := &runner{addr: r.waiting[0], begun: time.Now()}
	r.waiting = r.waiting[1:]
	r.running = append(r.running, one)
	r.timer.Reset(dialDelay)
	r.wg.Go(func() {
		one.connection = r.d.approach(ctx, r.target, one.addr, "", func() {
			one.connected.Store(true)
			r.events <- event{one, false}
		})
		r.events <- event{one, true}
	})
	return true
}

// stop cancels the race and waits for the addresses that are being tried. If one address has won, the others that had enough time are
// remembered as failed.
func (r *race) stop(cancel context.CancelFunc, won bool) {
	r.timer.Stop()
	for _, one := range r.running {
		enough := dialDelay
		if one.connected.Load() {
			enough = greetDelay
		}
		if won && time.Since(one.begun) >= enough {
			r.d.remember(one.addr, true)
		}
	}
	cancel()
	r.wg.Wait()
	for _, one := range r.running {
		if c := one.connection; c.err == nil {
			c.conn.Close()
		}
	}
}

// remember records whether an address failed, for the next attempt.
func (d *dialer) remember(a netip.AddrPort, failed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.failed, a)
	if !failed {
		return
	}
	if d.failed == nil || len(d.failed) >= maxRemembered {
		d.failed = map[netip.AddrPort]time.Time{}
	}
	d.failed[a] = time.Now()
}

// order returns the addresses in the order in which to try them. Addresses that have not failed come first, and IPv4 and IPv6 alternate
// among them (RFC 8305, 4), so that a family without a route does not hold up the other. Addresses that have failed follow, beginning with
// the oldest failure.
func (d *dialer) order(port uint16, addrs []netip.Addr) []netip.AddrPort {
	var fresh, failed []netip.AddrPort
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range addrs {
		a := netip.AddrPortFrom(a, port)
		switch _, bad := d.failed[a]; {
		case d.cfg.LocalAddr.IsValid() && d.cfg.LocalAddr.Is4() != a.Addr().Is4():
		case bad:
			failed = append(failed, a)
		default:
			fresh = append(fresh, a)
		}
	}
	slices.SortStableFunc(failed, func(a, b netip.AddrPort) int { return d.failed[a].Compare(d.failed[b]) })
	all := append(alternate(fresh), failed...)
	return all[:min(len(all), maxAddresses)]
}

// alternate puts IPv4 and IPv6 addresses alternately, beginning with the family of the first address.
func alternate(addrs []netip.AddrPort) []netip.AddrPort {
	var families [2][]netip.AddrPort
	for _, a := range addrs {
		other := 0
		if a.Addr().Is4() != addrs[0].Addr().Is4() {
			other = 1
		}
		families[other] = append(families[other], a)
	}
	mixed := make([]netip.AddrPort, 0, len(addrs))
	for i := range max(len(families[0]), len(families[1])) {
		for _, family := range families {
			if i < len(family) {
				mixed = append(mixed, family[i])
			}
		}
	}
	return mixed
}

// settles reports whether the answer of one address holds for the whole host: a redirect, or a refusal of the application, the name, the
// key or the login. After any other error, the next address of the host may work.
func settles(err error) bool {
	var asked *rtmp.ReconnectError
	reason, _ := explain(err)
	return errors.As(err, &asked) || slices.Contains(refusals, reason)
}

// telling rates how much an error says about a host. The further a connection got, the more it says. Among addresses that were not reached,
// a refused connection says most.
func telling(c connection) int {
	var refused *rtmp.StatusError
	var timeout net.Error
	score := 10 * int(c.stage)
	switch reason, _ := explain(c.err); {
	case errors.As(c.err, &refused), reason == ReasonTLSVerify, errors.Is(c.err, syscall.ECONNREFUSED):
		return score + 3
	case errors.Is(c.err, context.DeadlineExceeded), errors.Is(c.err, os.ErrDeadlineExceeded),
		errors.As(c.err, &timeout) && timeout.Timeout():
		return score + 1
	case c.stage == atTCP:
		return score
	default:
		return score + 2
	}
}
