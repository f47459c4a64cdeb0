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
	"unicode/utf8"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"

	"transponder/internal/panics"
)

// The causes for which the server closes a socket, and in most cases the session with it.
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

// socket is one WebSocket. run runs it; the goroutine that reads handles the messages one after another.
type socket struct {
	srv     *Server
	conn    *websocket.Conn
	under   net.Conn // below conn; only used to close it
	peer    string
	origin  string
	host    string // that the browser has connected to
	created time.Time
	log     *slog.Logger

	visit   visit
	release func() // gives back the place of the socket
	welcome func() // is called when the page was let in
	client  netip.Addr
	limit   *rate.Limiter
	greeted atomic.Bool             // the first message of the page has come
	work    sync.WaitGroup          // what is asked for before the page is let in
	missed  atomic.Int32            // pings sent since the last message was received
	session atomic.Pointer[session] // nil until the browser has said who it is
	out     *outbox

	cancel context.CancelCauseFunc // ends the socket; set by serve
}

func newSocket(srv *Server, conn *websocket.Conn, under net.Conn, peer, origin string, v visit) *socket {
	return &socket{
		srv:     srv,
		conn:    conn,
		under:   under,
		peer:    peer,
		origin:  origin,
		visit:   v,
		created: time.Now(),
		log:     srv.log.With("peer", peer),
		limit:   rate.NewLimiter(rate.Limit(srv.cfg.Rate), srv.cfg.Burst),
		out:     newOutbox(srv.cfg.MaxQueue, srv.cfg.MaxQueueBytes),
	}
}

// run runs the socket until it is gone. If it was the last socket of a session, run then waits until the session has ended.
func (k *socket) run(ctx context.Context) {
	cause := k.serve(ctx)
	k.lose(cause) // the last message that was read may have made the session
	if s := k.session.Load(); s != nil {
		s.awaitEnd(ctx, k)
		return
	}
	level := slog.LevelDebug // such as a port scan, or a page that was left at once
	if errors.Is(cause, panics.Err) {
		level = slog.LevelInfo
	}
	k.log.Log(ctx, level, "socket closed", "err", cause, "lasted", time.Since(k.created).Round(time.Millisecond))
}

// serve reads and writes until the socket is gone, and returns the cause.
func (k *socket) serve(ctx context.Context) error {
	life, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	k.cancel = cancel
	k.srv.add(k)
	defer k.srv.remove(k)

	// The library closes the connection when the context of a read ends. Reading must go on after the end of life, until the
	// browser has answered our close frame. So reads and writes have a context that does not end.
	socket := context.WithoutCancel(ctx)

	k.conn.SetReadLimit(int64(min(k.srv.cfg.MaxMessage, maxGreeting)))
	var wg sync.WaitGroup
	wg.Go(func() { k.end(k.read(life, socket)) })
	written := make(chan struct{})
	wg.Go(func() { defer close(written); k.end(k.write(life, socket)) })
	wg.Go(func() { k.end(k.keepAlive(life)) })
	<-life.Done()
	cause := context.Cause(life)
	k.srv.noteEnd(cause)

	k.lose(cause) // frees the names before the socket is closed
	k.close(socket, cause, written)
	wg.Wait()
	k.work.Wait() // the reader, which begins it, has ended
	return cause
}

// lose tells the session that this socket is over.
func (k *socket) lose(cause error) {
	if s := k.session.Load(); s != nil {
		s.lose(k, cause)
	}
}

// maxGreeting is the longest message, in bytes, before the page is let in. The members of the SDK and a token take some kilobytes.
const maxGreeting = 64 << 10

// close sends a close frame with the cause, and waits a while for the answer. A page that is refused gets what is queued and the words before it:
// what it was told first, and what became of its streams. An error means that the socket is gone already. written is closed when the writer has ended.
func (k *socket) close(ctx context.Context, cause error, written <-chan struct{}) {
	if errors.Is(cause, errGone) {
		_ = k.conn.CloseNow()
		return
	}
	late := time.AfterFunc(k.srv.cfg.CloseTimeout, func() { k.under.Close() })
	defer late.Stop()
	if r, ok := errors.AsType[*refusal](cause); ok {
		<-written // late ends it, and the writes below
		for m, ok := k.out.next(); ok; m, ok = k.out.next() {
			if err := k.conn.Write(ctx, websocket.MessageText, m.frame); err != nil {
				return
			}
			k.out.written(m)
		}
		if frame, ok := k.srv.encode("fail", r.farewell()); ok {
			_ = k.conn.Write(ctx, websocket.MessageText, frame)
		}
	}
	_ = k.conn.Close(closeStatus(cause))
}

// end ends the socket. The first cause counts.
func (k *socket) end(cause error) { k.cancel(cause) }

// closeStatus returns the close code and the text for the browser.
func closeStatus(cause error) (websocket.StatusCode, string) {
	switch {
	case errors.Is(cause, errShutdown), errors.Is(cause, context.Canceled):
		return websocket.StatusGoingAway, errShutdown.Error()
	case errors.Is(cause, panics.Err):
		return websocket.StatusInternalError, "internal error"
	}
	if r, ok := errors.AsType[*refusal](cause); ok {
		return websocket.StatusPolicyViolation, closeReason(r.words)
	}
	for _, reason := range []error{errFlood, errSlow, errSilent, errNobody, errAuthToken, errMoved, errTerminated} {
		if errors.Is(cause, reason) {
			return websocket.StatusPolicyViolation, reason.Error()
		}
	}
	return websocket.StatusInternalError, ""
}

// closeReason cuts a text to what a close frame can hold (RFC 6455, 5.5).
func closeReason(words string) string {
	const most = 123
	if len(words) <= most {
		return words
	}
	end := most - len("…")
	for !utf8.RuneStart(words[end]) {
		end--
	}
	return words[:end] + "…"
}

// read reads messages until the socket is gone. It handles them until life ends, and discards them after that.
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

// write sends the queued messages until life ends.
func (k *socket) write(life, socket context.Context) error {
	for life.Err() == nil {
		m, ok := k.out.next()
		if !ok {
			select {
			case <-life.Done():
			case <-k.out.arrived:
			}
			continue
		}
		// A deadline of the context would close the connection before anybody could know why.
		late := time.AfterFunc(k.srv.cfg.WriteTimeout+transfer(len(m.frame)), func() { k.end(errSlow) })
		err := k.conn.Write(socket, websocket.MessageText, m.frame)
		late.Stop()
		k.out.written(m)
		if err != nil {
			k.awaitReader(life)
			return fmt.Errorf("%w: %w", errGone, err)
		}
		k.srv.count.sent.Add(1)
	}
	return nil
}

// awaitReader waits until the reader ends the socket. When the browser has sent a close frame, a write fails a moment before the
// reader reports the close frame, and the reader knows the better cause.
func (k *socket) awaitReader(life context.Context) {
	late := time.NewTimer(k.srv.cfg.CloseTimeout)
	defer late.Stop()
	select {
	case <-life.Done():
	case <-late.C:
	}
}

// minThroughput is how many bytes a second a browser must take. A snapshot has megabytes: on a connection that has little room beside
// the stream, it must not end the session.
const minThroughput = 128 << 10

// transfer returns how much longer than WriteTimeout the writing of a message may take.
func transfer(size int) time.Duration { return time.Duration(size/minThroughput) * time.Second }

// keepAlive pings a browser that has said who it is. It returns an error when a browser does not say who it is in time, or answers
// no pings.
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
			if !k.greeted.Load() {
				return errNobody
			}
		case <-ping.C:
			if !k.greeted.Load() {
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

// queue hands a message to the writer, without blocking. A browser that is too slow is disconnected: a missing message would leave
// its page in a wrong state.
func (k *socket) queue(frame []byte) {
	if !k.out.put(frame) {
		k.end(errSlow)
	}
}

// ignore counts and logs a message that is not part of the protocol, or makes no sense now.
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

// ignore counts and logs a message that nothing is done about.
func (s *Server) ignore(log *slog.Logger, why string, args ...any) {
	s.count.ignored.Add(1)
	log.Debug("message ignored", append([]any{"why", why}, args...)...)
}

// encode makes a frame. It can only fail because of a bug.
func (s *Server) encode(name string, data ...any) (frame []byte, ok bool) {
	frame, err := encode(name, data...)
	if err != nil {
		s.log.Error("message not encoded", "message", name, "err", err)
		return nil, false
	}
	return frame, true
}
