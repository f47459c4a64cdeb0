package wcs

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"
	"golang.org/x/time/rate"
)

// Why this side ends a session.
var (
	errShutdown  = errors.New("the server is stopping")
	errFlood     = errors.New("too many messages")
	errSlow      = errors.New("the browser does not take its messages")
	errSilent    = errors.New("no answer to pings")
	errNobody    = errors.New("no connection message in time")
	errAuthToken = errors.New("unknown authToken")
	errPanic     = errors.New("internal error")
	errGone      = errors.New("the socket was closed")
)

// session is one socket. run owns its life; messages are handled one after another by the reading goroutine.
type session struct {
	srv     *Server
	conn    *websocket.Conn
	id      string
	under   net.Conn // below conn; only ever closed
	token   string
	peer    string
	origin  string
	created time.Time
	log     *slog.Logger

	limit  *rate.Limiter
	missed atomic.Int32 // pings sent since the last message came

	cancel context.CancelCauseFunc // ends the session; set by run
	out    chan []byte
	wg     sync.WaitGroup // publishers

	mu         sync.Mutex
	client     *connection           // guarded by mu; nil until it said who it is
	publishers map[string]*publisher // guarded by mu; by media session id
}

func newSession(srv *Server, conn *websocket.Conn, under net.Conn, peer, origin string) *session {
	id := uuid.NewString()
	return &session{
		srv:        srv,
		conn:       conn,
		under:      under,
		id:         id,
		token:      rand.Text(),
		peer:       peer,
		origin:     origin,
		created:    time.Now(),
		log:        srv.log.With("session", id, "peer", peer),
		limit:      rate.NewLimiter(rate.Limit(srv.cfg.Rate), srv.cfg.Burst),
		out:        make(chan []byte, srv.cfg.MaxQueue),
		publishers: map[string]*publisher{},
	}
}

// run lives until the socket is gone; everything that the session made is gone then, too.
func (s *session) run(ctx context.Context) {
	life, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.cancel = cancel
	s.srv.add(s)
	defer s.srv.remove(s)

	// Ending a read tears the socket down. So reading goes on after the session's end, to see the answer to our close frame.
	socket := context.WithoutCancel(ctx)

	s.conn.SetReadLimit(int64(s.srv.cfg.MaxMessage))
	var wg sync.WaitGroup
	wg.Go(func() { s.end(s.read(life, socket)) })
	wg.Go(func() { s.end(s.write(life, socket)) })
	wg.Go(func() { s.end(s.keepAlive(life)) })
	<-life.Done()
	cause := context.Cause(life)
	s.srv.noteEnd(cause)

	s.endPublishers() // the names are free before the socket is closed from this side
	s.close(cause)
	wg.Wait()
	s.wg.Wait()
	s.logEnd(ctx, cause)
}

// close tells the browser why, and gives it a while to answer. Errors mean that the socket is gone, which is as well.
func (s *session) close(cause error) {
	if errors.Is(cause, errGone) {
		_ = s.conn.CloseNow()
		return
	}
	late := time.AfterFunc(s.srv.cfg.CloseTimeout, func() { s.under.Close() })
	defer late.Stop()
	_ = s.conn.Close(closeStatus(cause))
}

// end asks the session to end. The first cause counts.
func (s *session) end(cause error) { s.cancel(cause) }

// closeStatus is what the other side is told.
func closeStatus(cause error) (websocket.StatusCode, string) {
	switch {
	case errors.Is(cause, errShutdown), errors.Is(cause, context.Canceled):
		return websocket.StatusGoingAway, errShutdown.Error()
	case errors.Is(cause, errPanic):
		return websocket.StatusInternalError, errPanic.Error()
	}
	for _, reason := range []error{errFlood, errSlow, errSilent, errNobody, errAuthToken} {
		if errors.Is(cause, reason) {
			return websocket.StatusPolicyViolation, reason.Error()
		}
	}
	return websocket.StatusInternalError, ""
}

func (s *session) logEnd(ctx context.Context, cause error) {
	s.mu.Lock()
	known := s.client != nil
	s.mu.Unlock()
	level := slog.LevelInfo
	switch {
	case !known && !errors.Is(cause, errPanic):
		level = slog.LevelDebug // a port scan, a page that was left at once
	case errors.Is(cause, errFlood), errors.Is(cause, errSlow), errors.Is(cause, errSilent):
		level = slog.LevelWarn
	}
	s.log.Log(ctx, level, "session closed", "err", cause, "lasted", time.Since(s.created).Round(time.Millisecond))
}

// read handles messages until the socket is gone, and throws them away once the session's life is over.
func (s *session) read(life, socket context.Context) error {
	for {
		kind, frame, err := s.conn.Read(socket)
		if err != nil {
			return fmt.Errorf("%w: %w", errGone, err)
		}
		if life.Err() != nil {
			continue
		}
		s.missed.Store(0)
		s.srv.count.received.Add(1)
		switch {
		case !s.limit.AllowN(time.Now(), cost(len(frame))):
			s.end(errFlood)
		case kind != websocket.MessageText:
			s.ignore("binary frame")
		default:
			s.guard(func() { s.handle(life, frame) })
		}
	}
}

// write sends what is queued until the session's life is over.
func (s *session) write(life, socket context.Context) error {
	for {
		select {
		case <-life.Done():
			return nil
		case frame := <-s.out:
			// Not a context's deadline: that would tear the socket down before anybody knew why.
			late := time.AfterFunc(s.srv.cfg.WriteTimeout, func() { s.end(errSlow) })
			err := s.conn.Write(socket, websocket.MessageText, frame)
			late.Stop()
			if err != nil {
				return fmt.Errorf("%w: %w", errGone, err)
			}
			s.srv.count.sent.Add(1)
		}
	}
}

// keepAlive pings a browser that has said who it is and ends a session that does not say so, or that went silent.
func (s *session) keepAlive(ctx context.Context) error {
	ping := time.NewTicker(s.srv.cfg.PingInterval)
	defer ping.Stop()
	nobody := time.NewTimer(s.srv.cfg.ConnectTimeout)
	defer nobody.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-nobody.C:
			if !s.established() {
				return errNobody
			}
		case <-ping.C:
			if !s.established() {
				continue
			}
			if int(s.missed.Load()) >= s.srv.cfg.MaxMissedPings {
				return errSilent
			}
			s.missed.Add(1)
			s.send("ping")
		}
	}
}

// send queues a message. A browser that does not keep up is cut off: to skip a message would leave it in a wrong state.
func (s *session) send(name string, data ...any) {
	frame, err := encode(name, data...)
	if err != nil {
		s.log.Error("message not encoded", "message", name, "err", err)
		return
	}
	select {
	case s.out <- frame:
	default:
		s.end(errSlow)
	}
}

// ignore notes a message that is not part of the protocol, or makes no sense now.
func (s *session) ignore(why string, args ...any) {
	s.srv.count.ignored.Add(1)
	s.log.Debug("message ignored", append([]any{"why", why}, args...)...)
}

// guard runs f, and ends the session if f panics: a bug that one browser found must not cost the others.
func (s *session) guard(f func()) {
	defer func() {
		if v := recover(); v != nil {
			s.srv.count.panics.Add(1)
			s.log.Error("panic", "err", v, "stack", string(debug.Stack()))
			s.end(fmt.Errorf("%w: %v", errPanic, v))
		}
	}()
	f()
}

func (s *session) established() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.client != nil
}

// connection returns what the session said of itself, if it did.
func (s *session) connection() (Connection, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.client
	if c == nil {
		return Connection{}, false
	}
	return Connection{
		SessionID:            s.id,
		AppKey:               string(c.AppKey),
		ClientVersion:        string(c.ClientVersion),
		ClientOSVersion:      string(c.ClientOSVersion),
		ClientBrowserVersion: string(c.ClientBrowserVersion),
		MediaProviders:       c.MediaProviders,
		Custom:               c.Custom,
		Peer:                 s.peer,
		Origin:               s.origin,
		Created:              s.created,
		Publishers:           len(s.publishers),
	}, true
}
