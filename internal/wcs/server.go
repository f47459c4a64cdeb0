package wcs

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"transponder/internal/rtc"
	"transponder/internal/stream"
	"transponder/internal/transponder"
)

// PublishFunc makes a stream from an offer, as rtc.Ingest.Publish does.
type PublishFunc func(ctx context.Context, offer rtc.Offer, info stream.Info) (Publication, error)

// Publication is a publisher's media, as rtc.Publication is. Its source is closed when Run returns.
type Publication interface {
	Answer() string
	Source() *stream.Source
	Run(ctx context.Context) error
}

// Streams finds live streams, as stream.Hub does.
type Streams interface {
	Source(name string) (*stream.Source, bool)
}

// Pusher starts pushes, as transponder.Registry does.
type Pusher interface {
	Start(ctx context.Context, req transponder.Request) (transponder.Info, error)
}

// Server is the door for the Web SDK. All its methods may be called from any goroutine.
type Server struct {
	cfg     Config
	publish PublishFunc
	streams Streams
	pusher  Pusher
	log     *slog.Logger

	count counters
	wg    sync.WaitGroup // handlers that hold a slot

	mu       sync.Mutex
	closing  bool                  // guarded by mu
	slots    int                   // guarded by mu; sockets, those being upgraded included
	sessions map[*session]struct{} // guarded by mu
}

type counters struct {
	accepted, refused                    atomic.Int64
	received, sent, ignored              atomic.Int64
	floods, slow, silent, panics         atomic.Int64
	publishers, published, publishFailed atomic.Int64
}

// Stats are a server's figures at one moment.
type Stats struct {
	Sessions   int   // open now
	Publishers int64 // streams of these sessions
	Accepted   int64 // sockets, ever
	Refused    int64 // upgrades refused: bad requests, foreign origins, too many sockets
	Received   int64 // messages from browsers
	Sent       int64 // messages to browsers
	Ignored    int64 // messages received that are no part of the protocol
	Floods     int64 // sessions closed because they sent too much,
	Slow       int64 // because they did not take what was sent,
	Silent     int64 // because they answered no pings
	Panics     int64 // because of a bug here
	Published  int64 // streams that got as far as PUBLISHING
	Failed     int64 // publishes that ended in FAILED, but for lost sessions
}

// Connection is what can be said of one session.
type Connection struct {
	SessionID            string
	AppKey               string
	ClientVersion        string
	ClientOSVersion      string
	ClientBrowserVersion string
	MediaProviders       []string
	Custom               json.RawMessage // as the page gave it; nil: nothing
	Peer                 string          // the browser's address
	Origin               string          // the page's
	Created              time.Time
	Publishers           int
}

// New makes a server for a valid configuration.
func New(cfg Config, publish PublishFunc, streams Streams, pusher Pusher, log *slog.Logger) *Server {
	return &Server{
		cfg:      cfg,
		publish:  publish,
		streams:  streams,
		pusher:   pusher,
		log:      log,
		sessions: map[*session]struct{}{},
	}
}

// ServeHTTP upgrades the request and runs the session until the socket is gone.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.enter() {
		s.count.refused.Add(1)
		w.Header().Set("Retry-After", "5")
		http.Error(w, "no room for another session", http.StatusServiceUnavailable)
		return
	}
	defer s.leave()
	under := &hijacker{ResponseWriter: w}
	conn, err := websocket.Accept(under, r, &websocket.AcceptOptions{
		InsecureSkipVerify: len(s.cfg.Origins) == 0, // pages come from other ports and hosts than the socket
		OriginPatterns:     s.cfg.Origins,
	})
	if err != nil {
		s.count.refused.Add(1)
		s.log.Debug("upgrade refused", "peer", r.RemoteAddr, "err", err)
		return
	}
	s.count.accepted.Add(1)
	newSession(s, conn, under.conn, r.RemoteAddr, r.Header.Get("Origin")).run(r.Context())
}

// hijacker keeps the connection below a WebSocket. The library waits for its own time for the answer to a close frame, and
// reads whatever a flood still holds meanwhile; closing the connection is the way to end that.
type hijacker struct {
	http.ResponseWriter
	conn net.Conn
}

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	h.conn = conn
	return conn, rw, err
}

// Shutdown ends all sessions, takes no new ones and waits until the last is gone or ctx ends.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closing = true
	for ss := range s.sessions {
		ss.end(errShutdown)
	}
	s.mu.Unlock()

	gone := make(chan struct{})
	go func() { // ends when the last session does, which each does within its time-outs
		s.wg.Wait()
		close(gone)
	}()
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// PushFailed is to be told of every push that failed after it was started: the page that asked for it by rtmpUrl gets an
// event, or its stream ends, as the settings say. Other pushes are not this door's matter.
func (s *Server) PushFailed(info transponder.Info) {
	for _, ss := range s.all() {
		if p := ss.pushing(info.SourceName, info.URL); p != nil {
			words := string(info.Reason)
			if info.Detail != "" {
				words += ": " + info.Detail
			}
			p.pushFailed(words)
			return
		}
	}
}

// Stats returns the server's figures.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	sessions := len(s.sessions)
	s.mu.Unlock()
	c := &s.count
	return Stats{
		Sessions:   sessions,
		Publishers: c.publishers.Load(),
		Accepted:   c.accepted.Load(),
		Refused:    c.refused.Load(),
		Received:   c.received.Load(),
		Sent:       c.sent.Load(),
		Ignored:    c.ignored.Load(),
		Floods:     c.floods.Load(),
		Slow:       c.slow.Load(),
		Silent:     c.silent.Load(),
		Panics:     c.panics.Load(),
		Published:  c.published.Load(),
		Failed:     c.publishFailed.Load(),
	}
}

// Connections returns the sessions that have said who they are, oldest first.
func (s *Server) Connections() []Connection {
	var all []Connection
	for _, ss := range s.all() {
		if c, ok := ss.connection(); ok {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b Connection) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.SessionID, b.SessionID))
	})
	return all
}

func (s *Server) all() []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*session, 0, len(s.sessions))
	for ss := range s.sessions {
		all = append(all, ss)
	}
	return all
}

// enter takes a slot, if one is free.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || s.slots >= s.cfg.MaxSessions {
		return false
	}
	s.slots++
	s.wg.Add(1)
	return true
}

func (s *Server) leave() {
	s.mu.Lock()
	s.slots--
	s.mu.Unlock()
	s.wg.Done()
}

// add lists the session; one that was upgraded while the server began to close is ended.
func (s *Server) add(ss *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions[ss] = struct{}{}
	if s.closing {
		ss.end(errShutdown)
	}
}

func (s *Server) remove(ss *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, ss)
}

// noteEnd counts why a session ended.
func (s *Server) noteEnd(cause error) {
	switch {
	case errors.Is(cause, errFlood):
		s.count.floods.Add(1)
	case errors.Is(cause, errSlow):
		s.count.slow.Add(1)
	case errors.Is(cause, errSilent):
		s.count.silent.Add(1)
	}
}
