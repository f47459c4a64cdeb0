package wcs

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"

	"transponder/internal/stream"
)

// session is a browser that said who it is, and what it made here. It lives as long as its socket; one that asked to be kept
// survives the loss of it for a while, and goes on over the next socket that has its token. The handler of its last socket owns it.
type session struct {
	srv     *Server
	id      string
	token   string
	created time.Time
	level   logLevel
	log     *slog.Logger
	client  connection
	echo    map[string]json.RawMessage // what the browser said of itself, with the token; nil unless the session may be kept

	wg sync.WaitGroup // streams and snapshots

	mu         sync.Mutex
	sock       *socket               // guarded by mu; nil while there is none
	owner      *socket               // guarded by mu; the last one that there was
	peer       string                // guarded by mu; of the owner
	origin     string                // guarded by mu; likewise
	place      func()                // guarded by mu; gives up its place while it waits for its browser; nil: it does not
	last       [][]byte              // guarded by mu; terminal statuses that came about meanwhile
	over       error                 // guarded by mu; set when done is closed
	publishers map[string]*publisher // guarded by mu; by media session id; nil while the offer is being answered
	players    map[string]*player    // guarded by mu; likewise, never nil
	snapshots  int                   // guarded by mu; being made
	moved      chan struct{}         // guarded by mu; closed and replaced when there is a new owner

	done chan struct{}
}

// newSession makes the session of a socket. echo is taken over.
func newSession(k *socket, c connection, echo map[string]json.RawMessage) *session {
	id := uuid.NewString()
	s := &session{
		srv:        k.srv,
		id:         id,
		token:      rand.Text(),
		created:    time.Now(),
		client:     c,
		sock:       k,
		owner:      k,
		peer:       k.peer,
		origin:     k.origin,
		publishers: map[string]*publisher{},
		players:    map[string]*player{},
		moved:      make(chan struct{}),
		done:       make(chan struct{}),
	}
	s.log = s.level.logger(k.srv.log).With("session", id)
	echo["authToken"], _ = json.Marshal(s.token) // a string always encodes
	if bool(c.KeepAlive) && k.srv.cfg.KeepAliveGrace > 0 {
		s.echo = echo
	}
	return s
}

// address returns where the session's browser is.
func (s *session) address() netip.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return stream.AddressOf(s.peer)
}

// keeps says whether the session survives the end of a socket for that cause. What this side has against a browser does
// not get better by another socket, and a page that closed its socket has left.
func (s *session) keeps(cause error) bool {
	return s.echo != nil && !said(cause) && (errors.Is(cause, errGone) || errors.Is(cause, errSilent))
}

// said reports whether the browser sent a close frame: the SDK's session.disconnect() sends one without a code, and a page that
// is left sends 1001. A line that breaks, a browser that is killed and a phone that sleeps send none.
func said(cause error) bool {
	switch websocket.CloseStatus(cause) {
	case websocket.StatusNormalClosure, websocket.StatusGoingAway, websocket.StatusNoStatusRcvd:
		return true
	}
	return false
}

// lose notes that a socket is over: the session ends, unless it is to be kept.
func (s *session) lose(k *socket, cause error) {
	s.mu.Lock()
	if s.sock != k {
		s.mu.Unlock() // it was noted before, or the session has another
		return
	}
	s.sock = nil
	if s.over == nil && s.keeps(cause) {
		s.place = s.srv.keepOne(k.client)
	}
	kept := s.place != nil
	s.mu.Unlock()
	if !kept {
		s.end(cause)
		return
	}
	s.log.Info("session lost its socket", "err", cause)
}

// isLocal says whether the page is on this machine.
func (s *session) isLocal() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.owner.local
}

// attach lets the session go on over a socket: its browser gets back what it said of itself, the terminal statuses that it
// missed and those of the streams that live. It reports false if the session is over.
func (s *session) attach(k *socket) bool {
	s.mu.Lock()
	if s.over != nil {
		s.mu.Unlock()
		return false
	}
	before := s.sock
	s.sock, s.owner, s.peer, s.origin = k, k, k.peer, k.origin
	s.unkeep()
	close(s.moved)
	s.moved = make(chan struct{})
	k.session.Store(s)
	k.send("getUserData", s.echo)
	for _, frame := range s.last {
		k.queue(frame)
	}
	s.last = nil
	publishers, players := s.streams()
	s.mu.Unlock()

	s.log.Info("session restored", "peer", k.peer)
	if before != nil {
		before.end(errMoved)
	}
	for _, p := range publishers {
		p.retell()
	}
	for _, p := range players {
		p.retell()
	}
	return true
}

// outlive is the handler's part after its socket is gone: it waits for the session's end, or until another socket owns it.
func (s *session) outlive(ctx context.Context, k *socket) {
	grace := time.NewTimer(s.srv.cfg.KeepAliveGrace)
	defer grace.Stop()
	s.mu.Lock()
	owned, moved := s.owner == k, s.moved
	s.mu.Unlock()
	if !owned {
		return
	}
	select {
	case <-s.done:
	case <-moved:
	case <-grace.C:
	}
	if !s.expire(k) {
		return
	}
	s.wg.Wait()
	s.logEnd(ctx)
}

// expire ends the session if k is still its last socket, and says whether it is.
func (s *session) expire(k *socket) bool {
	s.mu.Lock()
	owned := s.owner == k
	if owned {
		s.finish(errLeft)
	}
	s.mu.Unlock()
	if owned {
		s.endStreams()
	}
	return owned
}

// end ends the session, whatever state it is in. The names of its streams are free when it returns.
func (s *session) end(cause error) {
	s.mu.Lock()
	s.finish(cause)
	k := s.sock
	s.mu.Unlock()
	s.endStreams()
	if k != nil {
		k.end(cause)
	}
}

// finish says that nothing new begins in the session. The caller holds mu, and ends the streams.
func (s *session) finish(cause error) {
	if s.over != nil {
		return
	}
	s.over = cause
	s.unkeep()
	close(s.done)
	s.srv.forget(s)
}

// unkeep ends the waiting for the browser. The caller holds mu.
func (s *session) unkeep() {
	if s.place != nil {
		s.place()
		s.place = nil
		s.srv.count.kept.Add(-1)
	}
}

// endStreams ends what the session made. The goroutines end by themselves.
func (s *session) endStreams() {
	s.mu.Lock()
	publishers, players := s.streams()
	s.mu.Unlock()
	for _, p := range publishers {
		p.end(errDisconnected)
	}
	for _, p := range players {
		p.stop(errDisconnected)
	}
}

// streams returns what the session publishes and plays. The caller holds mu.
func (s *session) streams() (publishers []*publisher, players []*player) {
	for _, p := range s.publishers {
		if p != nil {
			publishers = append(publishers, p)
		}
	}
	for _, p := range s.players {
		players = append(players, p)
	}
	return publishers, players
}

// start runs f in a goroutine of the session, unless the session is over.
func (s *session) start(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over != nil {
		return false
	}
	s.wg.Go(f)
	return true
}

// send queues a message. While there is no socket it is lost: the browser hears of what matters when it returns.
func (s *session) send(name string, data ...any) {
	s.mu.Lock()
	k := s.sock
	s.mu.Unlock()
	if k != nil {
		k.send(name, data...)
	}
}

// sendLast queues the terminal status of a stream, or keeps it until the browser returns.
func (s *session) sendLast(info streamInfo) {
	frame, ok := s.srv.encode("notifyStreamStatusEvent", info)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.sock != nil:
		s.sock.queue(frame)
	case s.place != nil: // bounded by the number of streams: none begins without a socket
		s.last = append(s.last, frame)
	}
}

// sendRate sends a figure of the moment, unless the browser does not keep up: it must not be cut off for that.
func (s *session) sendRate(name string, rate videoRate) {
	s.mu.Lock()
	k := s.sock
	s.mu.Unlock()
	if k != nil && !k.out.busy() {
		k.send(name, rate)
	}
}

func (s *session) ignore(why string, args ...any) { s.srv.ignore(s.log, why, args...) }

// safely runs f, and ends the session if f panics.
func (s *session) safely(f func()) {
	if err := s.srv.safely(s.log, f); err != nil {
		s.end(err)
	}
}

func (s *session) logEnd(ctx context.Context) {
	s.mu.Lock()
	cause := s.over
	s.mu.Unlock()
	level := slog.LevelInfo
	if errors.Is(cause, errFlood) || errors.Is(cause, errSlow) || errors.Is(cause, errSilent) {
		level = slog.LevelWarn
	}
	s.log.Log(ctx, level, "session closed", "err", cause, "lasted", time.Since(s.created).Round(time.Millisecond))
}

// reserve takes a media session id for a publisher whose offer is not answered yet.
func (s *session) reserve(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.over != nil:
		return errDisconnected
	case s.inUse(id): // also while its stream ends, until the status has been sent
		return stream.ErrIDInUse
	case len(s.publishers) >= s.srv.cfg.MaxPublishers:
		return errTooMany
	}
	s.publishers[id] = nil
	return nil
}

// inUse says whether a stream of the session has that id. The caller holds mu.
func (s *session) inUse(id string) bool {
	_, publishes := s.publishers[id]
	_, plays := s.players[id]
	return publishes || plays
}

// publisher returns the session's stream of that id, nil if there is none.
func (s *session) publisher(id string) *publisher {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.publishers[id]
}

// player returns the session's player of that id, nil if there is none.
func (s *session) player(id string) *player {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.players[id]
}

// connection returns what can be said of the session.
func (s *session) connection() Connection {
	c := s.client
	s.mu.Lock()
	defer s.mu.Unlock()
	return Connection{
		SessionID:            s.id,
		AppKey:               string(c.AppKey),
		ClientVersion:        string(c.ClientVersion),
		ClientOSVersion:      string(c.ClientOSVersion),
		ClientBrowserVersion: string(c.ClientBrowserVersion),
		MediaProviders:       c.MediaProviders,
		Custom:               c.Custom,
		KeepAlive:            s.echo != nil,
		Connected:            s.sock != nil,
		Address:              s.peer,
		Origin:               s.origin,
		Created:              s.created,
		Publishers:           len(s.publishers),
		Players:              len(s.players),
	}
}

// appKey is the application that the browser named.
func (s *session) appKey() string { return cmp.Or(string(s.client.AppKey), "defaultApp") }
