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
	push   *push
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
	replaced bool        // owned by send; another link was asked for
	alone    atomic.Bool // no other link can be made
	lateAt   time.Time   // owned by send; when that kind was sent all the same, zero before

	wg  sync.WaitGroup          // of what run starts
	end context.CancelCauseFunc // set by run; ends the sending

	asked atomic.Pointer[Target] // where the peer wants us to connect instead
	next  chan *link             // that connection once it is made, while this one still stands; holds one
}

// newLink makes a link of a connection on which the server has begun to take the stream.
func newLink(p *push, target Target, g greeting) *link {
	l := &link{push: p, target: target, conn: g.conn, client: g.client, out: g.out, next: make(chan *link, 1)}
	l.mux = l.muxer()
	return l
}

// muxer makes what lays the source's frames onto a new connection.
func (l *link) muxer() *flv.Muxer {
	m := &flv.Muxer{
		FrameRate: l.frameRate,
		Allowed:   l.passes,
		Sound:     l.push.audio.Expect(l.push.source(), l.push.req.Options.Audio),
	}
	if l.push.cfg.SendMetadata {
		m.Metadata = flv.MetadataTag
	}
	m.Announced = func() *media.Track { return l.push.in.feed().Announced() }
	if l.push.src.Info().HasVideo {
		m.WaitVideoMS = videoWait.Milliseconds()
	}
	return m
}

// frameRate is that of what is sent now.
func (l *link) frameRate() float64 {
	if l.push.in.held {
		return float64(time.Second / bridgePause)
	}
	return l.push.in.FrameRate()
}

// passes says whether frames of a codec that plain RTMP does not have go through untouched: the request allows it and the
// server offers it.
func (l *link) passes(c media.Codec) bool {
	name := flv.FourCC(c)
	return slices.Contains(l.push.req.Options.fourCCs(), name) && l.client.Offers(name)
}

// redirect ends a link because the peer asked for another.
type redirect struct {
	target Target
	link   *link // made already; nil: still to be made, for the peer would not have two at once
}

func (r *redirect) Error() string { return "the server asked for another connection" }

// moveGap is the least time between two moves: two servers that send us to each other are not to keep us busy.
const moveGap = 5 * time.Second

// serve reads from the peer until it ends the stream. No deadline: a peer may lawfully stay silent for hours. One that is dead shows
// when writing, and the connection is closed when the sending ends.
func (l *link) serve(ctx context.Context) error {
	for {
		err := l.client.Serve()
		var asked *rtmp.ReconnectError
		if !errors.As(err, &asked) {
			return liveError(err)
		}
		target, err := redirected(l.target, asked.TCURL)
		switch {
		case err != nil:
			l.push.log.Warn("peer asks for a reconnect that cannot be", "err", err)
		case time.Since(l.push.movedAt) < moveGap || l.asked.Load() != nil:
			l.push.log.Debug("peer asks for a reconnect again")
		default:
			l.push.log.Info("peer asks for a reconnect", "to", target)
			l.asked.Store(&target)
			l.do(ctx, func(ctx context.Context) error { return l.reconnect(ctx, target) })
		}
	}
}

// reconnect makes the link that the peer asked for while the present one stands, and leaves it in l.next. If the new
// server answers that it would not have it, the name being in use, say, the present link is ended for it.
func (l *link) reconnect(ctx context.Context, target Target) error {
	l.push.attempts.Add(1)
	made, err := l.push.connect(ctx, target, nil)
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
		l.push.log.Warn("no connection to where the peer wants it", "to", target, "err", printable(err))
		return nil
	}
}

// run sends frames and reads what the peer says, until one of the two ends, and then says goodbye. It closes the link.
// A *redirect says that, and how, the stream goes on elsewhere.
func (l *link) run(ctx context.Context) error {
	l.push.use(l)
	sending, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	l.end = cancel
	// A write that is blocked when the push is to end gets a little time to finish, and no more.
	stop := context.AfterFunc(sending, func() { l.conn.SetWriteDeadline(time.Now().Add(l.push.cfg.DrainTimeout)) })
	defer stop()

	l.do(sending, l.serve)
	l.do(sending, l.watch)
	err := l.push.safely(func() error { return l.send(sending) })
	cancel(err)
	if polite(err) {
		l.goodbye(sending, err)
	}
	l.conn.Close()
	l.wg.Wait()
	return l.after(ctx, err)
}

// do runs f in a goroutine that run joins. An error of f ends the sending.
func (l *link) do(ctx context.Context, f func(context.Context) error) {
	l.wg.Go(func() {
		if err := l.push.safely(func() error { return f(ctx) }); err != nil {
			l.end(err)
		}
	})
}

// after says how it goes on after a link: if its peer had asked for another, there, however the link ended.
func (l *link) after(ctx context.Context, err error) error {
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
	l.push.in.Restart()
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
func (l *link) goodbye(ctx context.Context, why error) {
	l.conn.SetWriteDeadline(time.Now().Add(l.push.cfg.DrainTimeout))
	var moved *redirect
	if !errors.As(why, &moved) {
		l.push.drain(why)
		if err := l.empty(ctx); err != nil {
			l.push.log.Debug("send what is queued", "err", printable(err))
			return
		}
	}
	if err := l.client.Unpublish(); err != nil {
		l.push.log.Debug("say goodbye", "err", err)
		return
	}
	if half, ok := l.conn.(interface{ CloseWrite() error }); ok {
		if err := half.CloseWrite(); err != nil {
			return
		}
	}
	l.conn.SetReadDeadline(time.Now().Add(goodbyeWait))
	l.wg.Wait()
}

// empty sends what is queued, within the deadline that is set.
func (l *link) empty(ctx context.Context) error {
	l.allowed = time.Now().Add(time.Hour)
	frames := make([]media.Frame, 64)
	for {
		n, err := l.push.in.ReadRest(ctx, frames)
		if n == 0 || err != nil {
			return nil
		}
		if n, err = l.sendable(frames[:n]); err != nil {
			return err
		}
		if err := l.write(ctx, frames[:l.push.voice.apply(frames[:n])]); err != nil {
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
