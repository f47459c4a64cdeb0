package transponder

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"transponder/internal/flv"
	"transponder/internal/media"
	"transponder/internal/rtmp"
)

// link is one connection on which the server has answered NetStream.Publish.Start. run does the work, in the goroutine of the
// push.
type link struct {
	push    *push
	address int // of the push, index
	target  pushTarget
	peer    netip.AddrPort // where target has led
	conn    net.Conn
	client  *rtmp.Client
	mux     *flv.Muxer
	out     *outflow

	carried    []media.Frame            // frames that the link before has read and left to this one, from a key frame on; written before run, then owned by send
	tags       []flv.Tag                // owned by send; scratch
	deadlineAt time.Time                // owned by send; when to move the write deadline again
	begunAt    time.Time                // owned by send; when the first frames went out, zero before
	busy       atomic.Bool              // send is writing
	kernel     atomic.Pointer[tcpState] // the latest figures of the connection; any goroutine may read them

	// A kind of media that comes after the link began without it.
	replaced bool        // owned by send; a second link was asked for
	alone    atomic.Bool // a second link cannot be made
	lateAt   time.Time   // owned by send; when the kind was sent on this link all the same, zero before

	returning atomic.Bool // the connection that is made without a request of the server goes to the first address of the push

	// The next link.
	next      succession           // where the stream is to go on
	made      atomic.Pointer[link] // the connection to there; nil: not made, or not yet
	inherited *pushTarget          // what the server of the link before asked for last, nil if this link is that; written before run

	wg  sync.WaitGroup          // of the goroutines that do started
	end context.CancelCauseFunc // ends the sending; set by run before it starts goroutines
}

// newLink makes a link of a connection on which the server has answered NetStream.Publish.Start.
func newLink(p *push, c connection, address int) *link {
	l := &link{push: p, address: address, target: c.target, peer: c.addr, conn: c.conn, client: c.client, out: c.out}
	l.kernel.Store(&tcpState{queued: -1})
	l.mux = l.muxer()
	return l
}

// muxer makes what turns the source's frames into FLV tags for a new connection.
func (l *link) muxer() *flv.Muxer {
	m := &flv.Muxer{
		FrameRate: l.frameRate,
		Allowed:   l.passes,
		Sound:     l.push.parts.Audio.Expect(l.push.source(), l.push.req.Options.Audio),
		Announced: func() *media.Track { return l.push.in.feed().Announced() },
	}
	if l.push.cfg.SendMetadata {
		m.Metadata = flv.MetadataTag
	}
	if l.push.source().HasVideo() || l.push.req.Options.Picture != "" {
		m.WaitVideoMS = videoWait.Milliseconds()
	}
	return m
}

// frameRate returns the frame rate of the pictures that are sent now. send calls it, through the muxer.
func (l *link) frameRate() float64 {
	if l.push.in.bridge.pictures {
		return float64(time.Second / bridgePause)
	}
	return l.push.in.FrameRate()
}

// passes reports whether frames of a codec that plain RTMP does not have are sent as they are: the request allows it and the server
// offers it.
func (l *link) passes(c media.Codec) bool {
	name := flv.FourCC(c)
	return slices.Contains(l.push.req.Options.fourCCs(), name) && l.client.Offers(name)
}

// run sends frames and reads what the server says, until one of the two ends. Then it says goodbye and closes the connection. It
// returns where the stream goes on, or, if it does not go on, why the link ended.
func (l *link) run(ctx context.Context) (successor, error) {
	l.push.use(l)
	sending, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	l.end = cancel
	// A write that is blocked when the push is to end gets a little time to finish, and no more.
	stop := context.AfterFunc(sending, func() { l.conn.SetWriteDeadline(time.Now().Add(l.push.cfg.DrainTimeout)) })
	defer stop()

	l.do(sending, l.serve)
	l.do(sending, l.watch)
	if l.inherited != nil {
		l.follow(sending, l.inherited)
	}
	if l.address > 0 && l.push.req.Options.failsBack() {
		l.do(sending, l.failBack)
	}
	err := l.push.safely(func() error { return l.send(sending) })
	cancel(err)
	gentle := polite(err)
	if gentle {
		l.goodbye(sending, err)
	}
	l.note(tcpInfo(l.conn)) // of what was sent since the last look
	if !gentle && errors.Is(err, ErrMoved) {
		reset(l.conn)
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

// serve reads from the server until the server ends the stream. Reading has no deadline, because a server may be silent for hours. A
// dead server is noticed when writing, and the connection is closed when the sending ends.
func (l *link) serve(ctx context.Context) error {
	for {
		err := l.client.Serve()
		var asked *rtmp.ReconnectError
		if !errors.As(err, &asked) {
			return liveError(err)
		}
		target, err := redirected(l.target, l.peer, asked.TCURL)
		switch {
		case err != nil:
			l.push.log.Warn("peer asks for a reconnect that cannot be", "err", err)
		case time.Since(l.push.followedAt) < moveGap:
			l.push.log.Debug("peer asks for a reconnect too soon")
		default:
			l.follow(ctx, &target)
		}
	}
}

// follow makes the connection that the server asks for, unless it asks again. If there is another connection, the request is kept.
func (l *link) follow(ctx context.Context, to *pushTarget) {
	start, news := l.next.ask(to)
	if !news {
		l.push.log.Debug("peer asks for a reconnect again")
		return
	}
	l.push.log.Info("peer asks for a reconnect", "to", *to)
	if start {
		l.do(ctx, l.connectNext)
	}
}

// polite reports whether the server is still there to be told that the stream ends.
func polite(err error) bool {
	var source *sourceError
	var rights *rightsError
	return errors.As(err, &source) || errors.As(err, &rights) || errors.Is(err, errMoved) || errors.Is(err, errTerminated) || errors.Is(err, ErrStopping) || errors.Is(err, errReleased)
}

// goodbyeWait is how long the server gets to close its side after deleteStream, before we close ours. Closing at once would throw
// away what the server has not read yet.
const goodbyeWait = 300 * time.Millisecond

// goodbye tells the server that the stream ends and lets it close first. Unless the stream goes on over another link, the queued
// frames are sent before. ctx has ended.
func (l *link) goodbye(ctx context.Context, why error) {
	l.conn.SetWriteDeadline(time.Now().Add(l.push.cfg.DrainTimeout))
	if !errors.Is(why, errMoved) {
		l.push.drain(why)
		if err := l.sendRest(ctx); err != nil {
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

// sendRest sends the queued frames, within the deadline that is set.
func (l *link) sendRest(ctx context.Context) error {
	l.deadlineAt = time.Now().Add(time.Hour)
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

// liveError returns errStalled if the kernel gave up the connection because the server acknowledged nothing for too long. Reading or
// writing may notice that first.
func liveError(err error) error {
	if errors.Is(err, syscall.ETIMEDOUT) {
		return errStalled
	}
	return err
}
