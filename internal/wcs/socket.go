package wcs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"

	"transponder/internal/panics"
)

// Why this side closes a socket, and with it, most times, the session.
var (
	errShutdown   = errors.New("the server is stopping")
	errFlood      = errors.New("too many messages")
	errSlow       = errors.New("the browser does not take its messages")
	errSilent     = errors.New("no answer to pings")
	errNobody     = errors.New("no connection message in time")
	errAuthToken  = errors.New("unknown authToken")
	errMoved      = errors.New("the session went on over another socket")
	errTerminated = errors.New("terminated by request")
	errGone       = errors.New("the socket was closed")
	errLeft       = errors.New("the browser did not return")
)

// socket is one WebSocket. run owns its life; messages are handled one after another by the reading goroutine.
type socket struct {
	srv     *Server
	conn    *websocket.Conn
	under   net.Conn // below conn; only ever closed
	peer    string
	origin  string
	created time.Time
	log     *slog.Logger

	leave   func() // gives its place back
	local   bool   // the page is on this machine
	client  netip.Addr
	limit   *rate.Limiter
	missed  atomic.Int32            // pings sent since the last message came
	session atomic.Pointer[session] // nil until the browser said who it is
	out     *outbox

	cancel context.CancelCauseFunc // ends the socket; set by serve
}

func newSocket(srv *Server, conn *websocket.Conn, under net.Conn, peer, origin string) *socket {
	return &socket{
		srv:     srv,
		conn:    conn,
		under:   under,
		peer:    peer,
		origin:  origin,
		created: time.Now(),
		log:     srv.log.With("peer", peer),
		limit:   rate.NewLimiter(rate.Limit(srv.cfg.Rate), srv.cfg.Burst),
		out:     newOutbox(srv.cfg.MaxQueue, srv.cfg.MaxQueueBytes),
	}
}

// run lives until the socket is gone, and then as long as the session for which this was the last socket.
func (k *socket) run(ctx context.Context) {
	cause := k.serve(ctx)
	k.lose(cause) // the session may have been made by the last message that was read
	if s := k.session.Load(); s != nil {
		s.awaitEnd(ctx, k)
		return
	}
	level := slog.LevelDebug // a port scan, a page that was left at once
	if errors.Is(cause, panics.Err) {
		level = slog.LevelInfo
	}
	k.log.Log(ctx, level, "socket closed", "err", cause, "lasted", time.Since(k.created).Round(time.Millisecond))
}

// serve reads and writes until the socket is gone, and returns why it is.
func (k *socket) serve(ctx context.Context) error {
	life, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	k.cancel = cancel
	k.srv.add(k)
	defer k.srv.remove(k)

	// Ending a read tears the socket down. So reading goes on after the socket's end, to see the answer to our close frame.
	socket := context.WithoutCancel(ctx)

	k.conn.SetReadLimit(int64(k.srv.cfg.MaxMessage))
	var wg sync.WaitGroup
	wg.Go(func() { k.end(k.read(life, socket)) })
	wg.Go(func() { k.end(k.write(life, socket)) })
	wg.Go(func() { k.end(k.keepAlive(life)) })
	<-life.Done()
	cause := context.Cause(life)
	k.srv.noteEnd(cause)

	k.lose(cause) // names are free before the socket is closed from this side
	k.close(cause)
	wg.Wait()
	return cause
}

// lose tells the session that this socket is over.
func (k *socket) lose(cause error) {
	if s := k.session.Load(); s != nil {
		s.lose(k, cause)
	}
}

// close tells the browser why, and gives it a while to answer. Errors mean that the socket is gone, which is as well.
func (k *socket) close(cause error) {
	if errors.Is(cause, errGone) {
		_ = k.conn.CloseNow()
		return
	}
	late := time.AfterFunc(k.srv.cfg.CloseTimeout, func() { k.under.Close() })
	defer late.Stop()
	_ = k.conn.Close(closeStatus(cause))
}

// end asks the socket to end. The first cause counts.
func (k *socket) end(cause error) { k.cancel(cause) }

// closeStatus is what the other side is told.
func closeStatus(cause error) (websocket.StatusCode, string) {
	switch {
	case errors.Is(cause, errShutdown), errors.Is(cause, context.Canceled):
		return websocket.StatusGoingAway, errShutdown.Error()
	case errors.Is(cause, panics.Err):
		return websocket.StatusInternalError, "internal error"
	}
	for _, reason := range []error{errFlood, errSlow, errSilent, errNobody, errAuthToken, errMoved, errTerminated} {
		if errors.Is(cause, reason) {
			return websocket.StatusPolicyViolation, reason.Error()
		}
	}
	return websocket.StatusInternalError, ""
}

// read handles messages until the socket is gone, and throws them away once its life is over.
func (k *socket) read(life, socket context.Context) error {
	for {
		kind, frame, err := k.conn.Read(socket)
		if err != nil {
			return fmt.Errorf("%w: %w", errGone, err)
		}
		if life.Err() != nil {
			continue
		}
		k.missed.Store(0)
		k.srv.count.received.Add(1)
		switch {
		case !k.limit.AllowN(time.Now(), cost(len(frame))):
			k.end(errFlood)
		case kind != websocket.MessageText:
			k.ignore("binary frame")
		default:
			k.safely(func() { k.handle(life, frame) })
		}
	}
}

// write sends what is queued until the socket's life is over.
func (k *socket) write(life, socket context.Context) error {
	for {
		m, ok := k.out.next()
		if !ok {
			select {
			case <-life.Done():
				return nil
			case <-k.out.arrived:
				continue
			}
		}
		if life.Err() != nil {
			return nil
		}
		// Not a context's deadline: that would tear the socket down before anybody knew why.
		late := time.AfterFunc(k.srv.cfg.WriteTimeout+transfer(len(m.frame)), func() { k.end(errSlow) })
		err := k.conn.Write(socket, websocket.MessageText, m.frame)
		late.Stop()
		k.out.written(m)
		if err != nil {
			k.hearOut(life)
			return fmt.Errorf("%w: %w", errGone, err)
		}
		k.srv.count.sent.Add(1)
	}
}

// hearOut waits for the reader to end the socket: writing fails as soon as the browser's close frame has come, and a moment
// before the reader says that it has.
func (k *socket) hearOut(life context.Context) {
	late := time.NewTimer(k.srv.cfg.CloseTimeout)
	defer late.Stop()
	select {
	case <-life.Done():
	case <-late.C:
	}
}

// slowest is how many bytes a second a browser must take: a snapshot has megabytes, and a line that carries no more than its
// stream must not lose the session by it.
const slowest = 128 << 10

// transfer is how long a message may take beyond what any may.
func transfer(size int) time.Duration { return time.Duration(size/slowest) * time.Second }

// keepAlive pings a browser that has said who it is and ends a socket that does not say so, or that went silent.
func (k *socket) keepAlive(ctx context.Context) error {
	ping := time.NewTicker(k.srv.cfg.PingInterval)
	defer ping.Stop()
	nobody := time.NewTimer(k.srv.cfg.ConnectTimeout)
	defer nobody.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-nobody.C:
			if k.session.Load() == nil {
				return errNobody
			}
		case <-ping.C:
			if k.session.Load() == nil {
				continue
			}
			if int(k.missed.Load()) >= k.srv.cfg.MaxMissedPings {
				return errSilent
			}
			k.missed.Add(1)
			k.send("ping")
		}
	}
}

// send queues a message.
func (k *socket) send(name string, data ...any) {
	if frame, ok := k.srv.encode(name, data...); ok {
		k.queue(frame)
	}
}

// queue hands a message to the writer. It does not block: a browser that does not keep up is cut off, as to skip a message
// would leave it in a wrong state.
func (k *socket) queue(frame []byte) {
	if !k.out.put(frame) {
		k.end(errSlow)
	}
}

// ignore notes a message that is not part of the protocol, or makes no sense now.
func (k *socket) ignore(why string, args ...any) { k.srv.ignore(k.log, why, args...) }

// safely runs f. If f panics, the socket ends and no other.
func (k *socket) safely(f func()) {
	if err := k.srv.safely(k.log, f); err != nil {
		k.end(err)
	}
}

// safely runs f and returns its panic as an error.
func (s *Server) safely(log *slog.Logger, f func()) error {
	return s.panics.Run(log, "websocket panicked", func() error { f(); return nil })
}

// ignore counts a message of a browser that nothing is done about.
func (s *Server) ignore(log *slog.Logger, why string, args ...any) {
	s.count.ignored.Add(1)
	log.Debug("message ignored", append([]any{"why", why}, args...)...)
}

// encode makes a frame; what does not encode is a bug.
func (s *Server) encode(name string, data ...any) (frame []byte, ok bool) {
	frame, err := encode(name, data...)
	if err != nil {
		s.log.Error("message not encoded", "message", name, "err", err)
		return nil, false
	}
	return frame, true
}
