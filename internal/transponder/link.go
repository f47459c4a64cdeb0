package transponder

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"transponder/internal/flv"
	"transponder/internal/media"
	"transponder/internal/rtmp"
)

// link is one connection to the far end, past NetStream.Publish.Start.
type link struct {
	target Target
	conn   net.Conn
	client *rtmp.Client
	mux    *flv.Muxer
	out    *outflow

	backlog []media.Frame // owned by send; what it begins with, from a key frame on
	tags    []flv.Tag     // owned by send; scratch
	allowed time.Time     // owned by send; when the write deadline is to be moved again
	made    *link         // owned by send; taken from next

	busy atomic.Bool // send is writing

	begunAt time.Time // owned by send; when the first frames went out, zero before

	// Of a kind of media that comes when the link has begun without.
	replace  func()      // makes another link; set by publish
	replaced bool        // owned by send; replace was called
	alone    atomic.Bool // no other link can be made
	lateAt   time.Time   // owned by send; when that kind was sent all the same, zero before

	asked atomic.Pointer[Target] // where the peer wants us to connect instead
	next  chan *link             // that connection once it is made, while this one still stands; holds one
}

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
			return &link{target: target, conn: g.conn, client: g.client, mux: p.muxer(g.client), out: g.out, next: make(chan *link, 1)}, g
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

// muxer makes what lays the source's frames onto a new connection.
func (p *push) muxer(client *rtmp.Client) *flv.Muxer {
	m := &flv.Muxer{
		FrameRate: p.frameRate,
		Allowed:   func(c media.Codec) bool { return p.passes(client, c) },
		Sound:     p.audio.Expect(p.source(), p.req.Options.Audio),
	}
	if p.cfg.SendMetadata {
		m.Metadata = flv.MetadataTag
	}
	m.Announced = func() *media.Track { return p.in.feed().Announced() }
	if p.src.Info().HasVideo {
		m.WaitVideoMS = videoWait.Milliseconds()
	}
	return m
}

// frameRate is that of what is sent now.
func (p *push) frameRate() float64 {
	if p.in.held {
		return float64(time.Second / bridgePause)
	}
	return p.in.FrameRate()
}

// passes says whether frames of a codec that plain RTMP does not have go through untouched: the request allows it and the
// server offers it.
func (p *push) passes(client *rtmp.Client, c media.Codec) bool {
	name := flv.FourCC(c)
	return slices.Contains(p.req.Options.fourCCs(), name) && client.Offers(name)
}

// timeline is the clock of the far end: zero with the push's first frame, and going on over all its connections, so that who
// appends them to one recording never sees time go back. (nginx-rtmp's relays begin connections at any time, so receivers
// are used to one that is not zero.) The time between two connections is in it.
type timeline struct {
	begun  bool
	zero   media.Timestamp // of the stream's clock
	last   int64           // milliseconds; of the latest frame
	offset int64           // milliseconds; of the present connection's zero
	placed *flv.Muxer      // the offset is this one's
}

// place moves the tags that m made of f.
func (c *timeline) place(m *flv.Muxer, f media.Frame, tags []flv.Tag) {
	if len(tags) == 0 {
		return
	}
	if !c.begun {
		c.begun, c.zero, c.last = true, f.Time, -1
	}
	at := f.Time.Sub(c.zero).Milliseconds()
	if c.placed != m { // f is its first, whose tags are at zero
		c.placed, c.offset = m, max(at, c.last+1)
	}
	c.last = max(c.last, at, c.offset)
	for i := range tags {
		tags[i].Time += uint32(c.offset)
	}
}

// redirect ends a link because the peer asked for another.
type redirect struct {
	target Target
	link   *link // made already; nil: still to be made, for the peer would not have two at once
}

func (r *redirect) Error() string { return "the server asked for another connection" }

// moveGap is the least time between two moves: two servers that send us to each other are not to keep us busy.
const moveGap = 5 * time.Second

// serve reads from the peer until it ends the stream. move is called, and must not block, when the peer asks for another
// connection.
func (p *push) serve(l *link, move func(Target)) error {
	for {
		err := l.client.Serve()
		var asked *rtmp.ReconnectError
		if !errors.As(err, &asked) {
			return liveError(err)
		}
		target, err := redirected(l.target, asked.TCURL)
		switch {
		case err != nil:
			p.log.Warn("peer asks for a reconnect that cannot be", "err", err)
		case time.Since(p.movedAt) < moveGap || l.asked.Load() != nil:
			p.log.Debug("peer asks for a reconnect again")
		default:
			p.log.Info("peer asks for a reconnect", "to", target)
			l.asked.Store(&target)
			move(target)
		}
	}
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

const (
	// lateAfter is how long a link must have begun before a kind of media counts as late: what is made of a source's sound takes a
	// moment to come.
	lateAfter = time.Second
	// lateFor is after how long without an objection a server has accepted a kind of media that came late.
	lateFor = 10 * time.Second
	// lateGap is the least time between two connections made for such a kind: one that comes and goes is not to keep us busy.
	lateGap = 30 * time.Second
)

// complete returns how many of the frames go to the link. A kind of media that the link has begun without is lost on servers that
// look for headers at the beginning only, and some end the connection for it. So a link is made that has both kinds from its first
// frame on; until then the present one goes on without. A server that would not have two links at once gets the kind late.
func (p *push) complete(l *link, frames []media.Frame) int {
	kept := 0
	for _, f := range frames {
		if l.lateAt.IsZero() && l.mux.Late(f) && time.Since(l.begunAt) > lateAfter {
			switch {
			case l.alone.Load(), !l.replaced && time.Since(p.movedAt) < lateGap:
				l.lateAt = time.Now()
			case !l.replaced:
				l.replaced = true
				if l.asked.CompareAndSwap(nil, &l.target) { // else there will be another link anyway
					p.log.Info("the stream has more than the connection began with, reconnecting", "kind", f.Kind())
					l.replace()
				}
			}
			if l.lateAt.IsZero() {
				continue
			}
		}
		frames[kept] = f
		kept++
	}
	clear(frames[kept:])
	return kept
}

// replace makes the link that complete wants, and leaves it in l.next.
func (p *push) replace(ctx context.Context, l *link) {
	p.attempts.Add(1)
	made, err := p.connect(ctx, l.target, nil)
	switch {
	case err == nil:
		l.next <- made
	case ctx.Err() == nil:
		p.log.Warn("no second connection, so the first gets what it began without", "err", printable(err))
		l.asked.Store(nil)
		l.alone.Store(true)
	}
}

// objects says whether the link may have been ended for a kind of media that came late: another link would begin with it.
func (l *link) objects() bool { return !l.lateAt.IsZero() && time.Since(l.lateAt) < lateFor }

// reconnect makes the link that the peer asked for while the present one stands, and leaves it in l.next. If the new
// server answers that it would not have it, the name being in use, say, the present link is ended for it.
func (p *push) reconnect(ctx context.Context, l *link, target Target) error {
	p.attempts.Add(1)
	made, err := p.connect(ctx, target, nil)
	var refused *rtmp.StatusError
	switch {
	case err == nil:
		l.next <- made
		return nil
	case ctx.Err() != nil:
		return nil
	case errors.As(err, &refused):
		return &redirect{target: target}
	default: // it may still work once the peer closes
		p.log.Warn("no connection to where the peer wants it", "to", target, "err", printable(err))
		return nil
	}
}
