package whip

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"transponder/internal/access"
	"transponder/internal/guard"
	"transponder/internal/hook"
	"transponder/internal/limits"
	"transponder/internal/load"
	"transponder/internal/panics"
	"transponder/internal/rtc"
	"transponder/internal/stream"
	"transponder/internal/trace"
)

// The causes for which this door itself ends a session.
var (
	errDeleted  = errors.New("the client deleted the session")
	errStopping = errors.New("the server is stopping")
)

const (
	typeSDP      = "application/sdp"
	typeFragment = "application/trickle-ice-sdpfrag" // RFC 8840
)

// Config says what requests may look like, and how long players wait.
type Config struct {
	// TokenInQuery takes a token also from the query of the address, for clients that cannot send headers. Addresses get into the logs of
	// proxies.
	TokenInQuery bool
	// ICEServers are told to clients (RFC 9725, 4.6).
	ICEServers rtc.ICEServers
	// MaxBody is the longest body of a request, in bytes.
	MaxBody int64
	// Hold is how long the session of a player continues without a publisher. If a publisher takes the name again within this time, the
	// session plays it. 0: the session ends with its publisher.
	Hold time.Duration
}

// HoldRange is the range of Config.Hold.
var HoldRange = limits.Of(0, 24*time.Hour)

// DefaultConfig takes tokens from headers only. Hold is long enough for an encoder that reconnects and for a page that is reloaded.
func DefaultConfig() Config { return Config{MaxBody: 256 << 10, Hold: 10 * time.Second} }

// Validate reports every value that cannot work.
func (c Config) Validate() error {
	if c.MaxBody < 1024 {
		return errors.New("a body of less than 1024 bytes holds no offer")
	}
	return HoldRange.Check("hold time of players", c.Hold)
}

// PublishFunc makes a stream from an offer. rtc.Ingest.Publish is one.
type PublishFunc func(ctx context.Context, offer rtc.Offer, info stream.Info) (Publication, error)

// PlayFunc answers an offer to play a stream. rtc.Egress.Play is one.
type PlayFunc func(ctx context.Context, offer rtc.Offer, src *stream.Source) (Playback, error)

// connection is what a Publication and a Playback have in common.
type connection interface {
	Answer() string
	// Run is called once, and returns why the session ended.
	Run(ctx context.Context) error
	AddCandidate(candidate string) error
	// RestartICE takes a fragment with a new ICE user name and password, and returns our answer anew.
	RestartICE(ctx context.Context, fragment string) (answer string, err error)
}

// Publication is the media of a publisher, such as rtc.Publication.
type Publication interface {
	connection
	Source() *stream.Source
	Stats() rtc.SessionStats
}

// Playback is the media of a player, such as rtc.Playback.
type Playback interface {
	connection
	Connected() <-chan struct{}
	Stats() rtc.PlayStats
	// Hold is called before Run. When the stream ends, the playback waits up to limit for a publisher that takes the name again.
	Hold(streams rtc.Sources, limit time.Duration)
	// Away says whether the playback waits for a publisher that has left. changed is closed when that changes.
	Away() (away bool, changed <-chan struct{})
}

// Parts are the parts of the server that this door works with.
type Parts struct {
	Publish PublishFunc
	Play    PlayFunc
	Streams rtc.Sources
	Asked   *stream.Asked // shared by all doors; nil: this door has its own
	Access  Access
	Hooks   Hooks // asks the backends of applications; nil: there are none
	// Push starts a push of a stream by a principal, for whom the backend of an application has asked for it; nil: there are no pushes.
	Push func(ctx context.Context, by *access.Principal, stream, url string) error
	// Elsewhere returns the address of a server that has room for a publisher, "" if there is none; nil: this server is alone.
	Elsewhere func() string
	Guard     *guard.Guard // judges which pages may publish and play without a token; nil: a guard that knows no names of this server

	Tracer *trace.Tracer // makes the traces of publishers; nil: there are none
}

// errNoStream means that there is no publisher of the stream that a client wants to play.
var errNoStream = errors.New("nobody publishes a stream of that name")

// Server answers WHIP and WHEP requests. All methods may be called from any goroutine.
type Server struct {
	cfg   Config
	parts Parts
	log   *slog.Logger
	mux   *http.ServeMux

	panics   panics.Counter
	restarts map[access.Action]*rtc.RestartCounter // of publishers and of players

	wg       sync.WaitGroup // of sessions, also those that are about to begin
	mu       sync.Mutex
	closed   bool                                 // guarded by mu
	entering map[*session]context.CancelCauseFunc // guarded by mu; sessions that are about to begin
	sessions map[string]*session                  // guarded by mu; by id
}

// session is one publication or one playback.
type session struct {
	id, path string // id is a secret between the client and the server; path is that of the stream
	owner    owner
	steps    *trace.Steps  // of a publisher that begins
	restarts chan struct{} // has an entry while ICE is being restarted
	ice      iceSession    // guarded by the server's mu: the present one
	former   []string      // guarded by the server's mu: user names of the ICE sessions before, the last ones
	media    connection
	playback Playback                // the media of a session that plays; nil: the session publishes
	figures  func() []any            // of the media, for the last log line of the session
	lease    *access.Lease           // when it is over, the session ends
	leave    func()                  // gives back the place among those that the principal may have
	hooks    *hook.Session           // of the application
	stream   hook.Stream             // what the backend of the application was told, with what it has changed
	events   map[string]*eventStream // guarded by the server's mu; by id
	log      *slog.Logger
	cancel   context.CancelCauseFunc
	done     chan struct{}
}

// iceSession is what tells one ICE session from the next (RFC 9725, 4.3.1).
type iceSession struct {
	etag   string
	ufrags []string // of the client
}

func newICESession(text string) iceSession {
	return iceSession{`"` + stream.NewID() + `"`, parseFragment(text).ufrags}
}

// New makes a server for the paths /whip/{name} and /whep/{name}, and for the sessions below them.
func New(cfg Config, parts Parts, log *slog.Logger) *Server {
	if parts.Asked == nil {
		parts.Asked = &stream.Asked{}
	}
	s := &Server{cfg: cfg, parts: parts, log: log, mux: http.NewServeMux(), entering: map[*session]context.CancelCauseFunc{}, sessions: map[string]*session{}}
	s.restarts = map[access.Action]*rtc.RestartCounter{access.Publish: {}, access.Play: {}}
	s.handle(protocol{s, "whip", "whip_token", access.Publish, s.publish})
	whep := protocol{s, "whep", "whep_token", access.Play, s.play}
	s.handle(whep)
	s.handleEvents(whep)
	return s
}

// protocol is WHIP or WHEP.
type protocol struct {
	server  *Server
	name    string // also of the door
	setting string // names a token that all clients may use
	action  access.Action

	begin func(ctx context.Context, x *session, offer string, info stream.Info) error // answers the offer and sets the media of the session
}

// handle registers the handlers of a protocol.
func (s *Server) handle(p protocol) {
	offers, sessions := "/"+p.name+"/{name}", "/"+p.name+"/{name}/{id}"
	s.mux.HandleFunc("POST "+offers, shared(p.create))
	s.mux.HandleFunc("DELETE "+sessions, shared(p.owned(s.delete)))
	s.mux.HandleFunc("PATCH "+sessions, shared(p.owned(s.patch)))
	// A pattern with GET also matches HEAD.
	s.mux.HandleFunc("GET "+offers, p.allowed(s.describe))
	s.mux.HandleFunc("GET "+sessions, shared(p.owned(s.probe)))
	const toOffers, toSessions = "POST, GET, HEAD, OPTIONS", "DELETE, PATCH, GET, HEAD, OPTIONS"
	s.mux.HandleFunc("OPTIONS "+offers, shared(p.optionsOfOffers(toOffers)))
	s.mux.HandleFunc("OPTIONS "+sessions, shared(s.options(toSessions)))
	s.mux.HandleFunc(offers, p.allowed(s.notAllowed(toOffers)))
	s.mux.HandleFunc(sessions, p.allowed(s.notAllowed(toSessions)))
}

// handleEvents registers the handlers for the events of sessions.
func (s *Server) handleEvents(p protocol) {
	events, one := "/"+p.name+"/{name}/{id}/events", "/"+p.name+"/{name}/{id}/events/{stream}"
	s.mux.HandleFunc("POST "+events, shared(p.owned(s.subscribe)))
	s.mux.HandleFunc("GET "+one, shared(s.follow))
	s.mux.HandleFunc("DELETE "+one, shared(s.unsubscribe))
	for path, methods := range map[string]string{events: "POST, OPTIONS", one: "GET, DELETE, OPTIONS"} {
		s.mux.HandleFunc("OPTIONS "+path, shared(func(w http.ResponseWriter, _ *http.Request) { preflight(w, methods) }))
		s.mux.HandleFunc(path, p.allowed(s.notAllowed(methods)))
	}
}

// ServeHTTP implements http.Handler. It ignores a slash at the end of the path.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.EscapedPath(), "/") {
		again, u := *r, *r.URL
		u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/"), strings.TrimSuffix(u.RawPath, "/")
		again.URL = &u
		r = &again
	}
	s.mux.ServeHTTP(w, r)
}

// Has says whether there is a session with that id, which is the last part of its address.
func (s *Server) Has(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[id] != nil
}

// Close ends all sessions and waits for them. No session begins after it.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	for _, x := range s.sessions {
		x.cancel(errStopping)
	}
	for _, cancel := range s.entering {
		cancel(errStopping)
	}
	s.mu.Unlock()
	s.wg.Wait()
	return nil
}

// enter notes that a session is about to begin, unless the server is closed. The context ends when the server closes. leave must be called.
func (s *Server) enter(ctx context.Context, x *session) (entered context.Context, leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, errStopping
	}
	s.wg.Add(1)
	ctx, cancel := context.WithCancelCause(ctx)
	s.entering[x] = cancel
	return ctx, func() {
		cancel(nil)
		s.mu.Lock()
		delete(s.entering, x)
		s.mu.Unlock()
		s.wg.Done()
	}, nil
}

// create answers an offer (RFC 9725, 4.2), of a publisher or a player.
func (p protocol) create(w http.ResponseWriter, r *http.Request) {
	s := p.server
	id, public := stream.NewID(), stream.NewID() // the public id is shown by the REST API
	c := p.credential(r, false)
	c.insists = r.URL.Query().Get("takeover") == "true"
	steps := p.trace(r, public)
	hooks, err := p.open(r, c, public)
	if err == nil {
		err = p.identify(r, &c, hooks.IgnoresToken())
	}
	if err != nil {
		steps.End(err)
		p.turnAway(w, r, err)
		return
	}
	path := r.URL.EscapedPath()
	x := &session{id: id, path: r.URL.Path, restarts: make(chan struct{}, 1), done: make(chan struct{}), hooks: hooks, steps: steps}
	x.log = steps.Log(s.log.With("stream", r.PathValue("name"), "session", public, "peer", r.RemoteAddr))
	refuse := func(err error) {
		steps.End(err)
		hooks.Close(err.Error())
		x.log.Warn("session refused", "path", r.URL.Path, "err", err)
		if !p.redirect(w, r, err) {
			p.refuse(w, err)
		}
	}
	name, err := p.allow(r.Context(), x, &c, r.PathValue("name")) // whoever may not learns nothing of what is wrong with his offer
	if err != nil {
		refuse(err)
		return
	}
	offer, ok := s.body(w, r, typeSDP)
	if !ok {
		hooks.Close("the request has no offer")
		steps.End(rtc.ErrBadOffer)
		return
	}
	x.ice = newICESession(offer)
	etag := x.ice.etag
	if err := p.launch(r.Context(), x, c, name, offer, public); err != nil {
		refuse(err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", typeSDP)
	h.Set("Location", path+"/"+url.PathEscape(id))
	h.Set("ETag", etag)
	if x.playback != nil {
		h.Add("Link", link(h.Get("Location")))
	}
	s.linkICEServers(h, public)
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, x.media.Answer())
}

// trace begins the trace of a publisher.
func (p protocol) trace(r *http.Request, session string) *trace.Steps {
	if p.action != access.Publish {
		return nil
	}
	steps := p.server.parts.Tracer.Steps(r.Context(), "publish", "answer")
	steps.Set("transponder.door", p.name)
	steps.Set("transponder.stream", r.PathValue("name"))
	steps.Set("transponder.session", session)
	return steps
}

// redirected marks the address of a client that was sent here by a server without room. It is not sent on, so that it does not go round.
const redirected = "redirected"

// redirect sends a publisher to another server if this one has no room (RFC 9725, 4.5). It returns false if there is nowhere to go.
func (p protocol) redirect(w http.ResponseWriter, r *http.Request, err error) bool {
	elsewhere := p.server.parts.Elsewhere
	if elsewhere == nil || p.action != access.Publish || !errors.Is(err, load.ErrFull) || r.URL.Query().Has(redirected) {
		return false
	}
	base := elsewhere()
	if base == "" {
		return false
	}
	query := r.URL.Query()
	query.Set(redirected, "true")
	w.Header().Set("Location", strings.TrimSuffix(base, "/")+r.URL.EscapedPath()+"?"+query.Encode())
	w.WriteHeader(http.StatusTemporaryRedirect)
	return true
}

// allow decides whether the client may publish or play the stream, and says who the client is from now on. The backend of an application is asked
// whether the client may connect. A stored key may name the stream.
func (p protocol) allow(ctx context.Context, x *session, c *client, name string) (_ string, err error) {
	if c.who, _, err = x.hooks.Connect(ctx, c.who, c.connection()); err != nil {
		return "", err
	}
	if p.action == access.Publish && c.who.Stream != "" {
		name = c.who.Stream
	}
	return name, p.server.parts.Access.Authorize(c.who, c.shown, p.action, access.Object{Stream: name})
}

// launch admits a session and starts it. Close waits for it, but for no client: the offer was read, and the answer is not written yet.
func (p protocol) launch(ctx context.Context, x *session, c client, name, offer, id string) error {
	entered, leave, err := p.server.enter(ctx, x)
	if err != nil {
		return err
	}
	defer leave()
	if err := p.admit(entered, x, c, name, offer, id); err != nil {
		return err
	}
	p.server.start(context.WithoutCancel(ctx), x)
	return nil
}

// admit asks the backend of an application about the stream, which it may rename, and begins the media of the session. If it fails, nothing is left
// behind.
func (p protocol) admit(ctx context.Context, x *session, c client, name, offer, id string) (err error) {
	by := p.server.parts.Access
	if x.leave, err = by.Take(c.who, p.action); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			x.leave()
		}
	}()
	free, err := p.reserve(x, name)
	if err != nil {
		return err
	}
	defer func() { free() }()
	if x.stream, err = x.hooks.Ask(ctx, p.method(), p.asked(name, id, offer)); err != nil {
		return err
	}
	if x.stream.Name != name { // a backend gives out what its application has, and no more
		name = x.stream.Name
		x.log = x.log.With("real", name)
		if err := by.Authorize(c.who, c.shown, p.action, access.Object{Stream: name}); err != nil {
			return err
		}
		free()
		if free, err = p.reserve(x, name); err != nil {
			return err
		}
	}
	x.owner = c.owner(name)
	evicts := c.insists && c.who.MayEvict(name) && by.Authorize(c.who, c.shown, access.Control, access.Object{Stream: name}) == nil
	err = p.begin(ctx, x, offer, stream.Info{
		Name: name, ID: id, SessionID: id, AppKey: x.hooks.AppKey(), Provider: "WHIP", Transport: "UDP", Steps: x.steps,
		Publisher: stream.Publisher{
			Credential: c.token, Address: c.address, Identity: c.who.Identity(), Replace: c.who.MayTakeOver(name), Insists: evicts,
			MaxRateBPS: int64(c.who.Limits.BitrateKbps) * 1000,
		},
	})
	if err != nil {
		x.hooks.Tell(hook.StreamStatusEvent, x.described(hook.StatusFailed, err.Error()), nil)
		return err
	}
	x.lease = by.Hold(c.who)
	return nil
}

func (s *Server) publish(ctx context.Context, x *session, offer string, info stream.Info) error {
	p, err := s.parts.Publish(ctx, rtc.Offer{SDP: offer, Whole: true}, info)
	if err != nil {
		return err
	}
	x.media = p
	s.pushed(ctx, x, p.Source())
	x.figures = func() []any {
		st := p.Stats()
		return []any{"packets", st.Packets, "lost", st.Lost, "nacks", st.NACKs, "plis", st.PLIs}
	}
	return nil
}

func (s *Server) play(ctx context.Context, x *session, offer string, info stream.Info) error {
	src, ok := s.parts.Streams.Source(info.Name)
	if !ok {
		return errNoStream
	}
	p, err := s.parts.Play(ctx, rtc.Offer{SDP: offer}, src)
	if err != nil {
		return err
	}
	p.Hold(s.parts.Streams, s.cfg.Hold)
	x.media, x.playback = p, p
	x.figures = func() []any {
		st := p.Stats()
		return []any{"packets", st.Packets, "lost", st.Lost, "nacked", st.NACKed, "plis", st.PLIs}
	}
	return nil
}

// describe answers GET on an address for offers. RFC 9725, 4.1, wants it to succeed without content. Players recognize an address of WHEP by
// the type (draft-ietf-wish-whep, 4.1).
//
// It needs no token, because it tells nothing about streams.
func (s *Server) describe(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Accept-Post", typeSDP)
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Type", typeSDP)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// probe says whether a session exists. By it a player finds out that its stream has ended.
func (s *Server) probe(w http.ResponseWriter, _ *http.Request, _ *session) {
	w.WriteHeader(http.StatusNoContent)
}

// start runs a session in a goroutine. If the server was closed while the offer was answered, the session ends at once.
func (s *Server) start(ctx context.Context, x *session) {
	ctx, x.cancel = context.WithCancelCause(ctx)
	s.mu.Lock()
	if s.closed {
		x.cancel(errStopping)
	}
	s.sessions[x.id] = x
	s.mu.Unlock()
	s.wg.Go(func() { s.run(ctx, x) })
}

// run runs a session to its end. A panic in the media ends this session, and no other.
func (s *Server) run(ctx context.Context, x *session) {
	defer x.lease.Release()
	defer x.leave()
	var wg sync.WaitGroup
	wg.Go(func() {
		select {
		case <-x.lease.Done():
			x.cancel(x.lease.Err())
		case <-ctx.Done():
		}
	})
	x.hooks.Established(x.cancel)
	if x.hooks.HasBackend() {
		wg.Go(func() { x.report(ctx) })
	}
	x.log.Info("session begun", "path", x.path, "principal", x.owner.who)
	err := s.panics.Run(x.log, "session panicked", func() error { return x.media.Run(ctx) })
	s.mu.Lock()
	delete(s.sessions, x.id)
	s.mu.Unlock()
	x.cancel(nil)
	wg.Wait()
	x.reportEnd(err)
	close(x.done)
	facts := []any{"path", x.path, "err", err}
	if !errors.Is(err, panics.Err) { // else the figures may be part of what is broken
		_ = s.panics.Run(x.log, "figures of a session panicked", func() error { facts = append(facts, x.figures()...); return nil })
	}
	x.log.Info("session ended", facts...)
}

// Panics returns how many sessions have ended because of a bug of this server.
func (s *Server) Panics() int64 { return s.panics.Load() }

// Restarts returns the figures of the ICE restarts that publishers and players have asked for.
func (s *Server) Restarts() (whip, whep rtc.RestartStats) {
	return s.restarts[access.Publish].Stats(), s.restarts[access.Play].Stats()
}

// delete ends a session (RFC 9725, 4.2). It answers when the name is free again.
func (s *Server) delete(w http.ResponseWriter, r *http.Request, x *session) {
	x.cancel(errDeleted)
	select {
	case <-x.done:
	case <-r.Context().Done():
		return
	}
	w.WriteHeader(http.StatusOK)
}

// patch takes ICE candidates, and restarts ICE (RFC 9725, 4.3). The two are told apart by the ufrag. If-Match cannot tell them
// apart, since the pages of MediaMTX send candidates with If-Match: *, which the RFC reserves for restarts. Against 4.3.1, If-Match may
// be missing with candidates: the path names the session, and mostly the fragment names the ICE session.
func (s *Server) patch(w http.ResponseWriter, r *http.Request, x *session) {
	text, ok := s.body(w, r, typeFragment)
	if !ok {
		return
	}
	f := parseFragment(text)
	s.mu.Lock()
	present, former := x.ice, slices.ContainsFunc(f.ufrags, func(u string) bool { return slices.Contains(x.former, u) })
	s.mu.Unlock()
	switch {
	case !f.isSDP:
		problem(w, http.StatusBadRequest, "the body is not an SDP fragment: it has no line that begins with a= or m=")
		return
	case !matches(r.Header.Values("If-Match"), present.etag):
		problem(w, http.StatusPreconditionFailed, "If-Match does not name the ETag of the session")
		return
	case former:
		problem(w, http.StatusPreconditionFailed, "the user name (a=ice-ufrag) is that of an ICE session that a restart has ended")
		return
	case slices.ContainsFunc(f.ufrags, func(u string) bool { return !slices.Contains(present.ufrags, u) }):
		s.restart(w, r, x, text)
		return
	}
	var faults []error // a candidate that cannot be read must not keep the others from being used
	for _, c := range f.candidates {
		err := x.media.AddCandidate(c)
		if errors.Is(err, errors.ErrUnsupported) {
			problem(w, http.StatusUnprocessableEntity, "candidates are not taken: the answer's are enough")
			return
		}
		faults = append(faults, err)
	}
	if err := errors.Join(faults...); err != nil {
		problem(w, http.StatusBadRequest, err.Error())
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// maxFormer limits the user names that are kept of ICE sessions before: requests come out of order by a few at most.
const maxFormer = 16

// restart restarts ICE (RFC 9725, 4.3.3). If it fails, the ICE session stays as it is.
func (s *Server) restart(w http.ResponseWriter, r *http.Request, x *session, fragment string) {
	if len(r.Header.Values("If-Match")) == 0 {
		problem(w, http.StatusPreconditionRequired, "an ICE restart needs the header If-Match: *")
		return
	}
	select {
	case x.restarts <- struct{}{}:
		defer func() { <-x.restarts }()
	case <-r.Context().Done():
		return
	}
	answer, err := x.media.RestartICE(r.Context(), fragment)
	action := access.Publish
	if x.playback != nil {
		action = access.Play
	}
	s.restarts[action].Count(err)
	if err != nil {
		x.log.Warn("ICE not restarted", "err", err)
		switch {
		case errors.Is(err, rtc.ErrBadOffer):
			problem(w, http.StatusBadRequest, err.Error())
		case errors.Is(err, rtc.ErrNoRestart):
			problem(w, http.StatusUnprocessableEntity, err.Error())
		case errors.Is(err, rtc.ErrManyRestarts):
			w.Header().Set("Retry-After", "1")
			problem(w, http.StatusTooManyRequests, err.Error())
		case errors.Is(err, net.ErrClosed):
			problem(w, http.StatusNotFound, "the session has ended")
		default:
			problem(w, http.StatusInternalServerError, "ICE could not be restarted: try again, or delete the session")
		}
		return
	}
	next := newICESession(fragment)
	s.mu.Lock()
	x.former = append(x.former, x.ice.ufrags...)
	x.former = x.former[max(0, len(x.former)-maxFormer):]
	x.ice = next
	s.mu.Unlock()
	x.log.Info("ICE restarted")
	w.Header().Set("Content-Type", typeFragment)
	w.Header().Set("ETag", next.etag)
	_, _ = io.WriteString(w, rtc.ICEFragment(answer))
}

// matches says whether the values of If-Match allow a request: there is none, or one of them is * or the entity tag. The tag may be weak,
// since proxies that compress make tags weak, and its quotes may be missing.
func matches(values []string, etag string) bool {
	var tags []string
	for tag := range strings.SplitSeq(strings.Join(values, ","), ",") {
		if tag = strings.TrimSpace(tag); tag != "" {
			tags = append(tags, strings.Trim(strings.TrimPrefix(tag, "W/"), `"`))
		}
	}
	return len(tags) == 0 || slices.Contains(tags, "*") || slices.Contains(tags, strings.Trim(etag, `"`))
}

const (
	maxCandidates = 64 // of one fragment
	maxUfrags     = 8  // of one fragment or offer
)

// fragment is the needed content of an SDP fragment (RFC 8840, 9).
type fragment struct {
	isSDP      bool
	ufrags     []string // without repetitions
	candidates []string
}

// parseFragment reads a fragment, or an offer.
func parseFragment(text string) (f fragment) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		f.isSDP = f.isSDP || strings.HasPrefix(line, "a=") || strings.HasPrefix(line, "m=")
		if v, ok := strings.CutPrefix(line, "a=ice-ufrag:"); ok && !slices.Contains(f.ufrags, v) && len(f.ufrags) < maxUfrags {
			f.ufrags = append(f.ufrags, v)
		} else if v, ok := strings.CutPrefix(line, "a=candidate:"); ok && len(f.candidates) < maxCandidates {
			f.candidates = append(f.candidates, v)
		}
	}
	return f
}

// session finds the session that a request names. If there is none, it answers the request and returns false.
func (s *Server) session(w http.ResponseWriter, r *http.Request) (*session, bool) {
	s.mu.Lock()
	x := s.sessions[r.PathValue("id")]
	s.mu.Unlock()
	if x == nil || r.URL.Path != x.path+"/"+x.id && !strings.HasPrefix(r.URL.Path, x.path+"/"+x.id+"/") {
		problem(w, http.StatusNotFound, "no such session: it has ended, or it never existed")
		return nil, false
	}
	return x, true
}

// body reads the body of a request. If the body is not of the wanted type, body answers the request and returns false.
func (s *Server) body(w http.ResponseWriter, r *http.Request, want string) (string, bool) {
	if got, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || got != want {
		accept := "Accept-Post"
		if r.Method == http.MethodPatch {
			accept = "Accept-Patch"
		}
		w.Header().Set(accept, want)
		problem(w, http.StatusUnsupportedMediaType, "Content-Type must be "+want)
		return "", false
	}
	if coding := r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		w.Header().Set("Accept-Encoding", "identity") // RFC 9110, 12.5.3
		problem(w, http.StatusUnsupportedMediaType, "the body must not be compressed")
		return "", false
	}
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.cfg.MaxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		problem(w, http.StatusRequestEntityTooLarge, "the body is too long for an SDP text")
		return "", false
	case errors.Is(err, os.ErrDeadlineExceeded):
		problem(w, http.StatusRequestTimeout, "the body did not arrive in time")
		return "", false
	case err != nil:
		problem(w, http.StatusBadRequest, "the body could not be read")
		return "", false
	case len(strings.TrimSpace(string(b))) == 0:
		problem(w, http.StatusBadRequest, "the body is empty: it must be the SDP text")
		return "", false
	}
	return string(b), true
}
