package wcs

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"transponder/internal/guard"
	"transponder/internal/panics"
	"transponder/internal/rtc"
	"transponder/internal/stream"
	"transponder/internal/trace"
	"transponder/internal/transponder"
	"transponder/internal/wcs/exchange"
)

// PublishFunc makes a stream from an offer. rtc.Ingest.Publish is one.
type PublishFunc func(ctx context.Context, offer rtc.Offer, info stream.Info) (Publication, error)

// Publication is the media of a publisher, such as rtc.Publication. Its source is closed when Run returns.
type Publication interface {
	restartable
	Answer() string
	Source() *stream.Source
	Run(ctx context.Context) error
}

// PlayFunc answers an offer to play a stream. rtc.Egress.Play is one.
type PlayFunc func(ctx context.Context, offer rtc.Offer, src *stream.Source) (Playback, error)

// Playback is the media of a player, such as rtc.Playback. Connected is closed before the first picture is sent. Run is always called
// once, and also ends when the stream ends.
type Playback interface {
	restartable
	Answer() string
	Connected() <-chan struct{}
	// Follow is called before Run. When the stream ends and its spare gets the name, the playback goes on with the spare, and calls changed.
	Follow(streams rtc.Sources, changed func(*stream.Source))
	Run(ctx context.Context) error
	Stats() rtc.PlayStats
}

// SnapshotFunc makes a PNG of the present picture of a stream.
type SnapshotFunc func(ctx context.Context, src *stream.Source) (png []byte, err error)

// Streams finds streams, as stream.Hub does.
type Streams interface {
	rtc.Sources
	SourceByID(id string) (*stream.Source, bool)
}

// Pusher starts pushes, as transponder.Registry does.
type Pusher interface {
	Start(ctx context.Context, req transponder.Request) (transponder.Info, error)
}

// Parts are the parts of the server that do the work for this door.
type Parts struct {
	Publish  PublishFunc
	Play     PlayFunc     // nil: nothing can be played
	Snapshot SnapshotFunc // nil: there are no snapshots
	Streams  Streams
	Asked    *stream.Asked // the names about which backends are asked, shared by all doors; nil: this door has its own
	Pusher   Pusher
	Phone    PhoneFunc              // nil: there is no SIP
	Duplexes Duplexes               // makes the media of calls
	IsHere   func(host string) bool // says whether a host is this server; nil: only the host that the browser has connected to is
	Guard    *guard.Guard           // judges which pages may open sockets; nil: a guard that knows no names of this server
	Hooks    Hooks                  // of the backends of customers; nil: there are none
	Access   Access                 // says who a page is and what it may do; must not be nil

	// Elsewhere returns the address for sockets of a server that has room for a publisher, "" if there is none; nil: this server is alone.
	Elsewhere func() string

	Tracer *trace.Tracer // makes the traces of publishers; nil: there are none

	Shares   guard.SharesConfig // how much of all sockets one address may have; the zero value sets no limit
	Refusals *guard.Refusals    // counts the sockets that are refused; nil: they are not counted
}

// Server is the door for the Web SDK. All its methods may be called from any goroutine.
type Server struct {
	cfg     Config
	parts   Parts
	log     *slog.Logger
	origins atomic.Pointer[[]string] // Config.Origins, or what SetOrigins has set

	access   Access
	exchange *exchange.Exchange // nil: pages call each other over SIP only

	places  *guard.Places // of sockets
	keeping *guard.Places // of sessions that wait for their browser
	lobby   lobby

	count        counters
	panics       panics.Counter
	restarts     rtc.RestartCounter
	participants participants
	wg           sync.WaitGroup // handlers

	mu       sync.Mutex
	closing  bool                 // guarded by mu
	slots    int                  // guarded by mu; sockets, including those that are being upgraded
	sockets  map[*socket]struct{} // guarded by mu
	sessions map[string]*session  // guarded by mu; by token
}

type counters struct {
	accepted                             atomic.Int64
	received, sent, ignored              atomic.Int64
	floods, slow, silent                 atomic.Int64
	publishers, published, publishFailed atomic.Int64
	players, played, playFailed          atomic.Int64
	calls, callsMade, callsTaken         atomic.Int64
	talked, callsFailed                  atomic.Int64
	kept                                 atomic.Int64
}

// Stats are the figures of a server at one moment.
type Stats struct {
	Sessions   int   // sockets that are open now
	Kept       int64 // sessions that wait for their browser to return
	Publishers int64 // that publish now
	Players    int64 // that play now
	Accepted   int64 // sockets that were accepted since the start
	Received   int64 // messages from browsers
	Sent       int64 // messages to browsers
	Ignored    int64 // received messages that are not part of the protocol
	Floods     int64 // sockets closed because the browser sent too much
	Slow       int64 // sockets closed because the browser did not take its messages
	Silent     int64 // sockets closed because the browser answered no pings
	Panics     int64 // sockets and sessions ended because of a bug here
	Published  int64 // streams that reached PUBLISHING
	Failed     int64 // publishers that ended in FAILED, except those of lost sessions
	Played     int64 // players that reached PLAYING
	PlayFailed int64 // players that ended in FAILED, except those of lost sessions and of publishers that left

	Calls       int64 // of pages, now
	CallsMade   int64 // calls that pages have made
	CallsTaken  int64 // calls to pages that rang
	Talked      int64 // calls that were established
	CallsFailed int64 // calls that ended in FAILED, or were refused
}

// Connection describes one session. Its fields are those of rest.Connection.
type Connection struct {
	SessionID            string
	AppKey               string
	ClientVersion        string
	ClientOSVersion      string
	ClientBrowserVersion string
	MediaProviders       []string
	Custom               json.RawMessage // as the page gave it; nil: nothing
	KeepAlive            bool            // the session survives the loss of its socket for a while
	Connected            bool            // the session has a socket now
	Address              string          // of the browser
	Origin               string          // of the page
	Created              time.Time
	Publishers, Players  int
	Calls                int
	SIPLogin             string // of the page's account; "": it has none
}

// New makes a server for a valid configuration.
func New(cfg Config, parts Parts, log *slog.Logger) *Server {
	if parts.Asked == nil {
		parts.Asked = &stream.Asked{}
	}
	s := &Server{
		cfg:          cfg,
		parts:        parts,
		log:          log,
		participants: newParticipants(),
		sockets:      map[*socket]struct{}{},
		sessions:     map[string]*session{},
		places:       parts.Shares.Places(cfg.MaxSessions),
		keeping:      parts.Shares.Places(cfg.MaxKept),
		lobby:        lobby{shares: parts.Shares, by: map[netip.Prefix]int{}},
		access:       parts.Access,
	}
	s.SetOrigins(cfg.Origins)
	if cfg.LocalCalls {
		s.exchange = exchange.New(cfg.RingTime, log)
	}
	return s
}

// SetOrigins changes Config.Origins, for pages that connect from now on.
func (s *Server) SetOrigins(origins []string) { s.origins.Store(&origins) }

// ServeHTTP upgrades the request and runs the socket. It returns when the socket is gone; if this was the last socket of a session
// that is kept, it returns when the session has ended.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v := s.newVisit(r)
	if len(*s.origins.Load()) > 0 { // else the page may have a token, which comes with its first message
		if err := v.judge(); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
	}
	leave := s.lobby.enter(v.shown.Peer, s.cfg.MaxUnadmitted)
	if leave == nil {
		s.noRoom(w, r, guard.WhyShare)
		return
	}
	defer leave()
	release, why := s.places.Take(s.parts.Shares.Client(r))
	if release == nil {
		s.noRoom(w, r, why)
		return
	}
	release = sync.OnceFunc(release) // called when the socket ends; the session may live longer
	defer release()
	if !s.enter() {
		s.noRoom(w, r, guard.WhyFull)
		return
	}
	defer s.wg.Done()
	under := &hijacker{ResponseWriter: w}
	conn, err := websocket.Accept(under, r, &websocket.AcceptOptions{
		InsecureSkipVerify: true, // the guard has judged the origin; the library would accept every page whose origin equals the Host header
	})
	if err != nil {
		s.leave()
		s.log.Debug("upgrade refused", "peer", r.RemoteAddr, "err", err)
		return
	}
	s.count.accepted.Add(1)
	k := newSocket(s, conn, under.conn, r.RemoteAddr, r.Header.Get("Origin"), v)
	k.host = r.Host
	k.welcome = func() {
		conn.SetReadLimit(int64(s.cfg.MaxMessage))
		leave()
	}
	k.release, k.client = release, s.parts.Shares.Client(r)
	k.run(r.Context())
}

// noRoom refuses a request because there are too many sockets.
func (s *Server) noRoom(w http.ResponseWriter, r *http.Request, why string) {
	s.parts.Refusals.Note("websocket", why, "peer", r.RemoteAddr)
	w.Header().Set("Retry-After", "5")
	words := "no room for another session"
	if why == guard.WhyShare {
		words = "no room for another session of your address"
	}
	http.Error(w, words, http.StatusServiceUnavailable)
}

// hijacker keeps the connection below a WebSocket. After a close frame the library waits for the answer, with a timeout of its own,
// and reads all that the browser still sends. Closing the connection ends that earlier.
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

// Shutdown ends all sessions and refuses new ones. It returns when the last session has ended, or when ctx ends.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closing = true
	for k := range s.sockets {
		k.end(errShutdown)
	}
	s.mu.Unlock()
	for _, ss := range s.all() {
		ss.end(errShutdown)
	}

	gone := make(chan struct{})
	go func() { // ends with the last session; each session ends within its timeouts
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

// PushFailed is called for every push that fails after it was started. If a page asked for the push by rtmpUrl, the page gets an
// event, or its stream ends, as the settings say. Other pushes are ignored.
func (s *Server) PushFailed(info transponder.Info) {
	for _, ss := range s.all() {
		if p := ss.streams.pushing(info.SourceName, info.URL); p != nil {
			if !ss.principal.IsAdmin() {
				info = info.ForStrangers()
			}
			words := string(info.Reason)
			if info.Detail != "" {
				words += ": " + info.Detail
			}
			p.pushFailed(words)
			return
		}
	}
}

// Stats returns the figures of the server.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	sockets := len(s.sockets)
	s.mu.Unlock()
	c := &s.count
	return Stats{
		Sessions:   sockets,
		Kept:       c.kept.Load(),
		Publishers: c.publishers.Load(),
		Players:    c.players.Load(),
		Accepted:   c.accepted.Load(),
		Received:   c.received.Load(),
		Sent:       c.sent.Load(),
		Ignored:    c.ignored.Load(),
		Floods:     c.floods.Load(),
		Slow:       c.slow.Load(),
		Silent:     c.silent.Load(),
		Panics:     s.countPanics(),
		Published:  c.published.Load(),
		Failed:     c.publishFailed.Load(),
		Played:     c.played.Load(),
		PlayFailed: c.playFailed.Load(),

		Calls:       c.calls.Load(),
		CallsMade:   c.callsMade.Load(),
		CallsTaken:  c.callsTaken.Load(),
		Talked:      c.talked.Load(),
		CallsFailed: c.callsFailed.Load(),
	}
}

// Restarts returns the figures of the ICE restarts that pages have asked for.
func (s *Server) Restarts() rtc.RestartStats { return s.restarts.Stats() }

// Connections returns the sessions, oldest first.
func (s *Server) Connections() []Connection {
	var all []Connection
	for _, ss := range s.all() {
		all = append(all, ss.connection())
	}
	slices.SortFunc(all, func(a, b Connection) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.SessionID, b.SessionID))
	})
	return all
}

// Terminate ends the session with the id and all its streams, and says whether there was one.
func (s *Server) Terminate(sessionID string) bool {
	ss := s.session(sessionID)
	if ss != nil {
		ss.end(errTerminated)
	}
	return ss != nil
}

// SetLogLevel sets the log level of the session with the id, in place of the server's level. It says whether there is such a session.
func (s *Server) SetLogLevel(sessionID string, level slog.Level) bool {
	ss := s.session(sessionID)
	if ss != nil {
		ss.level.set.Store(&level)
	}
	return ss != nil
}

// session returns the session with the id, nil if there is none.
func (s *Server) session(id string) *session {
	for _, ss := range s.all() {
		if ss.id == id {
			return ss
		}
	}
	return nil
}

// all returns the sessions that have not ended.
func (s *Server) all() []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.sessions))
}

// enter takes a slot for a socket, if one is free.
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

// leave gives back a slot.
func (s *Server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slots--
}

// add adds a socket. If Shutdown was called while the socket was being upgraded, add ends the socket.
func (s *Server) add(k *socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sockets[k] = struct{}{}
	if s.closing {
		k.end(errShutdown)
	}
}

// remove removes a socket and gives back its slot.
func (s *Server) remove(k *socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sockets, k)
	s.slots--
	k.release()
}

// remember makes the session known by its token.
func (s *Server) remember(ss *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions[ss.token] = ss
}

func (s *Server) forget(ss *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, ss.token)
}

// toReturnTo returns the session with the token, if its browser may return to it.
func (s *Server) toReturnTo(token string) (*session, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ss := s.sessions[token]
	return ss, ss != nil && ss.echo != nil
}

// keepOne takes a place for a session that waits for its browser. release gives the place back; it is nil if there is no place. Then why is
// the reason, "" if the server is shutting down.
func (s *Server) keepOne(client netip.Addr) (release func(), why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return nil, ""
	}
	if release, why = s.keeping.Take(client); release != nil {
		s.count.kept.Add(1)
	}
	return release, why
}

// noteEnd counts why a socket ended.
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

// countPanics returns how many sockets and events of calls have panicked.
func (s *Server) countPanics() int64 {
	if s.exchange == nil {
		return s.panics.Load()
	}
	return s.panics.Load() + s.exchange.Panics()
}
