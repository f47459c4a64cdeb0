package transponder

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
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

// publish sends frames and reads what the peer says, until one of the two ends, and then says goodbye. It closes the link.
// A *redirect says that, and how, the stream goes on elsewhere.
func (p *push) publish(ctx context.Context, l *link) error {
	p.use(l.client, l.out)
	sending, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// A write that is blocked when the push is to end gets a little time to finish, and no more.
	stop := context.AfterFunc(sending, func() { l.conn.SetWriteDeadline(time.Now().Add(p.cfg.DrainTimeout)) })
	defer stop()

	var wg sync.WaitGroup
	wg.Go(func() {
		// No deadline: a peer may lawfully stay silent for hours. One that is dead shows when writing, and the connection is
		// closed when the sending ends.
		cancel(p.safely(func() error {
			return p.serve(l, func(target Target) {
				wg.Go(func() {
					if err := p.safely(func() error { return p.reconnect(sending, l, target) }); err != nil {
						cancel(err)
					}
				})
			})
		}))
	})
	wg.Go(func() { cancel(p.safely(func() error { return p.watch(sending, l) })) })
	l.replace = func() {
		wg.Go(func() {
			if err := p.safely(func() error { p.replace(sending, l); return nil }); err != nil {
				cancel(err)
			}
		})
	}
	err := p.safely(func() error { return p.send(sending, l) })
	cancel(err)
	if polite(err) {
		p.goodbye(sending, err, l, &wg)
	}
	l.conn.Close()
	wg.Wait()
	return p.after(ctx, l, err)
}

// after says how it goes on after a link: if its peer had asked for another, there, however the link ended.
func (p *push) after(ctx context.Context, l *link, err error) error {
	made := l.made
	if made == nil {
		select {
		case made = <-l.next:
		default:
		}
	}
	var moved *redirect
	var gone *sourceError
	asked := l.asked.Load()
	if asked == nil && l.objects() {
		asked = &l.target
	}
	if errors.As(err, &gone) || errors.As(err, &moved) || ctx.Err() != nil || asked == nil {
		if made != nil && (moved == nil || moved.link != made) {
			made.conn.Close()
		}
		return err
	}
	p.in.Restart()
	return &redirect{target: *asked, link: made}
}

// polite says whether the peer is still there to be told that the stream ends.
func polite(err error) bool {
	var source *sourceError
	var moved *redirect
	return errors.As(err, &source) || errors.As(err, &moved) || errors.Is(err, errTerminated) || errors.Is(err, ErrStopping)
}

// goodbyeWait is how long a peer gets to close its side after deleteStream, before we close ours. Closing at once would
// throw away what it has not read yet.
const goodbyeWait = 300 * time.Millisecond

// goodbye sends what is queued, if there is to be no more, tells the peer that the stream ends and lets it close first. ctx has
// ended.
func (p *push) goodbye(ctx context.Context, why error, l *link, reading *sync.WaitGroup) {
	l.conn.SetWriteDeadline(time.Now().Add(p.cfg.DrainTimeout))
	var moved *redirect
	if !errors.As(why, &moved) {
		p.drain(why)
		if err := p.empty(ctx, l); err != nil {
			p.log.Debug("send what is queued", "err", printable(err))
			return
		}
	}
	if err := l.client.Unpublish(); err != nil {
		p.log.Debug("say goodbye", "err", err)
		return
	}
	if half, ok := l.conn.(interface{ CloseWrite() error }); ok {
		if err := half.CloseWrite(); err != nil {
			return
		}
	}
	l.conn.SetReadDeadline(time.Now().Add(goodbyeWait))
	reading.Wait()
}

// empty sends what is queued, within the deadline that is set.
func (p *push) empty(ctx context.Context, l *link) error {
	l.allowed = time.Now().Add(time.Hour)
	frames := make([]media.Frame, 64)
	for {
		n, err := p.in.ReadRest(ctx, frames)
		if n == 0 || err != nil {
			return nil
		}
		if n, err = p.sendable(l, frames[:n]); err != nil {
			return err
		}
		if err := p.write(ctx, l, frames[:p.voice.apply(frames[:n])]); err != nil {
			return err
		}
	}
}

// writeError names a stalled peer. An error that the reading side has explained better is its.
func writeError(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errStalled
	default:
		return liveError(err)
	}
}

// liveError names a peer that has not acknowledged anything for so long that the kernel gave it up, on whichever side that
// shows first.
func liveError(err error) error {
	if errors.Is(err, syscall.ETIMEDOUT) {
		return errStalled
	}
	return err
}
