package wcs

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
	"transponder/internal/access"
	"transponder/internal/guard"
	"transponder/internal/hook"
)

// session is a browser that has said who it is. It lives as long as its socket. If the page asked for keepAlive, the session
// survives the loss of the socket for a while, and continues over the next socket that brings its token. The HTTP handler of the
// last socket owns the session.
type session struct {
	srv     *Server
	id      string
	token   string
	created time.Time
	level   logLevel
	log     *slog.Logger
	client  connection
	echo    map[string]json.RawMessage // the browser's connection message, with the authToken; nil unless the session may be kept

	principal *access.Principal // who the page is
	shown     access.Credential // without its secrets
	proof     proof             // for a page that returns
	lease     *access.Lease
	hook      *hook.Session // of the backend of its app; nil: there are no backends
	data      dataQueue     // for the backend

	streams *streamSet
	calls   *callSet

	mu           sync.Mutex
	sock         *socket       // guarded by mu; nil while there is none
	owner        *socket       // guarded by mu; the last socket, open or not; never nil
	moved        chan struct{} // guarded by mu; closed and replaced when the owner changes
	releasePlace func()        // guarded by mu; gives back the place of a session that waits for its browser; nil: it does not wait
	last         [][]byte      // guarded by mu; terminal statuses since the socket was lost
	over         error         // guarded by mu; why the session ended; set when done is closed

	done  chan struct{}
	begun chan struct{} // closed when the backend has been told of the session, and it is known whether the page has a phone
}

// newSession makes the session of a socket for a page that was let in. It sets the authToken in the echo of the greeting.
// shown is who the page has shown to be, p who it is for the app.
func newSession(k *socket, g greeting, shown, p *access.Principal) *session {
	s := &session{
		srv:     k.srv,
		id:      g.sessionID,
		token:   rand.Text(),
		created: time.Now(),
		client:  g.connection,
		streams: newStreamSet(k.srv.cfg),
		sock:    k,
		owner:   k,
		moved:   make(chan struct{}),
		done:    make(chan struct{}),
		begun:   make(chan struct{}),

		principal: p,
		shown:     withoutSecrets(g.shown),
		proof:     newProof(shown, g.shown.Token),
		lease:     k.srv.access.Hold(p),
		hook:      g.hook,
	}
	s.client.AuthToken = ""
	s.calls = newCallSet(s)
	s.log = s.level.logger(k.srv.log).With("session", s.id)
	g.echo["authToken"], _ = json.Marshal(s.token) // a string always encodes
	if bool(g.KeepAlive) && k.srv.cfg.KeepAliveGrace > 0 {
		s.echo = maps.Clone(g.echo)
		for name := range s.echo {
			if strings.EqualFold(name, "custom") { // the decoder takes every spelling
				s.echo[name] = redact(s.echo[name])
			}
		}
	}
	return s
}

// withoutSecrets returns where a credential came from.
func withoutSecrets(c access.Credential) access.Credential {
	c.Token, c.Certificates = "", nil
	return c
}

// watchLease ends the session when its principal loses his rights.
func (s *session) watchLease() {
	select {
	case <-s.lease.Done():
		s.end(refuse(s.lease.Err()))
	case <-s.done:
	}
}

// address returns the address of the browser.
func (s *session) address() netip.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, _ := guard.RemoteAddress(s.owner.peer)
	return a
}

// appKey returns the application that the browser named.
func (s *session) appKey() string { return cmp.Or(string(s.client.AppKey), "defaultApp") }

// keeps says whether the session survives a socket that ended for the cause. It does not if the page closed the socket, nor if
// the server closed it because the browser misbehaved: the browser would do so again.
func (s *session) keeps(cause error) bool {
	return s.echo != nil && !closedByPage(cause) && (errors.Is(cause, errGone) || errors.Is(cause, errSilent))
}

// closedByPage says whether the browser sent a close frame. The SDK's session.disconnect() sends one without a code, and a
// browser that leaves the page sends 1001. A broken network, a killed browser and a sleeping phone send none.
func closedByPage(cause error) bool {
	switch websocket.CloseStatus(cause) {
	case websocket.StatusNormalClosure, websocket.StatusGoingAway, websocket.StatusNoStatusRcvd:
		return true
	}
	return false
}

// lose is called when a socket has ended. The session ends too, unless it is to be kept.
func (s *session) lose(k *socket, cause error) {
	s.mu.Lock()
	if s.sock != k {
		s.mu.Unlock() // lose was called before, or the session has another socket
		return
	}
	s.sock = nil
	why := ""
	if s.over == nil && s.keeps(cause) {
		s.releasePlace, why = s.srv.keepOne(k.client)
	}
	kept := s.releasePlace != nil
	s.mu.Unlock()
	if why != "" { // without mu, since Note may write to the log
		s.srv.parts.Refusals.Note("kept", why, "peer", k.client.String())
	}
	if !kept {
		s.end(cause)
		return
	}
	s.log.Info("session lost its socket", "err", cause)
}

// withICEServers adds to what the browser gets back of its greeting the STUN and TURN servers that it may use. Our SDK takes them; the vendor's
// leaves them to the page.
func (s *Server) withICEServers(echo map[string]json.RawMessage, client string) map[string]json.RawMessage {
	servers := s.cfg.ICEServers.For(client, time.Now())
	if len(servers) == 0 {
		return echo
	}
	echo = maps.Clone(echo)
	echo["iceServers"], _ = json.Marshal(servers) // strings always encode
	return echo
}

// attach lets the session continue over a new socket. The browser gets its own connection message back, the terminal statuses
// that it missed, and the statuses of the streams that are on. attach returns false if the session has ended.
func (s *session) attach(k *socket) bool {
	s.mu.Lock()
	if s.over != nil {
		s.mu.Unlock()
		return false
	}
	before := s.sock
	s.sock, s.owner = k, k
	s.stopKeeping()
	close(s.moved)
	s.moved = make(chan struct{})
	k.session.Store(s)
	k.send("getUserData", s.srv.withICEServers(s.echo, s.id))
	for _, frame := range s.last {
		k.queue(frame)
	}
	s.last = nil
	publishers, players := s.streams.all()
	s.mu.Unlock()

	s.log.Info("session restored", "peer", k.peer)
	if before != nil {
		before.end(errMoved)
	}
	for _, p := range publishers {
		p.announceAgain()
	}
	for _, p := range players {
		p.announceAgain()
	}
	s.calls.tellAgain()
	return true
}

// awaitEnd is what the handler of a socket does after the socket is gone: it waits until the session has ended, or until another
// socket owns the session.
func (s *session) awaitEnd(ctx context.Context, k *socket) {
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
	s.streams.wg.Wait()
	s.hook.Close(s.whyOver())
	s.logEnd(ctx)
}

// expire ends the session if k is still its last socket, and says whether k is.
func (s *session) expire(k *socket) bool {
	s.mu.Lock()
	owned := s.owner == k
	if owned {
		s.finish(errLeft)
	}
	s.mu.Unlock()
	if owned {
		s.endStreams(errLeft)
	}
	return owned
}

// end ends the session, whatever its state. The names of its streams are free when end returns.
func (s *session) end(cause error) {
	s.mu.Lock()
	s.finish(cause)
	k := s.sock
	s.mu.Unlock()
	s.endStreams(cause)
	if k != nil {
		k.end(cause)
	}
}

// finish marks the session as ended. The caller holds mu, and calls endStreams after that.
func (s *session) finish(cause error) {
	if s.over != nil {
		return
	}
	s.over = cause
	s.stopKeeping()
	s.lease.Release()
	close(s.done)
	s.srv.forget(s)
}

// stopKeeping ends the wait for the browser. The caller holds mu.
func (s *session) stopKeeping() {
	if s.releasePlace != nil {
		s.releasePlace()
		s.releasePlace = nil
		s.srv.count.kept.Add(-1)
	}
}

// endStreams ends everything that the session publishes and plays, its calls and its registration. It does not wait for the
// goroutines.
func (s *session) endStreams(cause error) {
	if !isRefusal(cause) {
		cause = errDisconnected
	}
	s.streams.close()
	s.calls.close()
	publishers, players := s.streams.all()
	for _, p := range publishers {
		p.end(cause)
	}
	for _, p := range players {
		p.stop(cause)
	}
}

// socket returns the socket, nil if there is none.
func (s *session) socket() *socket {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sock
}

// send queues a message, and says whether there is a socket. Without a socket the message is lost: attach tells the browser what
// matters when it returns.
func (s *session) send(name string, data ...any) bool {
	k := s.socket()
	if k != nil {
		k.send(name, data...)
	}
	return k != nil
}

// sendLast queues the terminal status of a stream or of a call that the page knows, or keeps it until the browser returns.
func (s *session) sendLast(name string, data any) {
	frame, ok := s.srv.encode(name, data)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case isRefusal(s.over): // the page is about to hear why its session ends, which counts for its streams, too
	case s.sock != nil:
		s.sock.queue(frame)
	case s.releasePlace != nil: // bounded by the number of streams and calls: the page knows of none that begins without a socket
		s.last = append(s.last, frame)
	}
}

// sendRate sends the present bit rate, unless half of the messages that may wait are waiting already: a slow browser must not be
// disconnected because of rates.
func (s *session) sendRate(name string, rate videoRate) {
	if k := s.socket(); k != nil && !k.out.busy() {
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

// whyOver returns why the session has ended, in words for the backend; "" if the page has left.
func (s *session) whyOver() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if errors.Is(s.over, errGone) {
		return ""
	}
	return s.over.Error()
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

// connection describes the session.
func (s *session) connection() Connection {
	c := s.client
	publishers, players := s.streams.count()
	calls := s.calls.len()
	s.mu.Lock()
	defer s.mu.Unlock()
	return Connection{
		SessionID:            s.id,
		AppKey:               string(c.AppKey),
		ClientVersion:        string(c.ClientVersion),
		ClientOSVersion:      string(c.ClientOSVersion),
		ClientBrowserVersion: string(c.ClientBrowserVersion),
		MediaProviders:       c.MediaProviders,
		Custom:               redact(c.Custom),
		KeepAlive:            s.echo != nil,
		Connected:            s.sock != nil,
		Address:              s.owner.peer,
		Origin:               s.owner.origin,
		Created:              s.created,
		Publishers:           publishers,
		Players:              players,
		Calls:                calls,
		SIPLogin:             string(c.SIPLogin),
	}
}
