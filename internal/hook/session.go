package hook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"transponder/internal/access"
)

// maxQueue is how many events of one session may wait. If there are more, the oldest is dropped and counted.
const maxQueue = 256

// retryPauses are the pauses between the tries of one event; the last one repeats. Push hooks have the same pauses.
var retryPauses = [...]time.Duration{time.Second, 4 * time.Second, 16 * time.Second}

// lastRetries is how often the end of a session is sent again at least: a backend that misses it counts the client for ever.
const lastRetries = 3

// Session has the hooks of one client session. Events go out one after another, in the order in which they were told. What a client waits for
// is sent after the events that were told before it, and nothing waits for its answer. All methods may be called from any goroutine; those of a
// nil Session do nothing and allow everything.
type Session struct {
	hooks  *Hooks
	client Client

	mu          sync.Mutex
	principal   *access.Principal // guarded by mu; nil until connect
	rules       map[Method]rule   // guarded by mu; from restClientConfig
	connected   Object            // guarded by mu; the body of connect, for ConnectionStatusEvent
	established bool              // guarded by mu
	closed      bool              // guarded by mu
	queue       []event           // guarded by mu
	draining    bool              // guarded by mu; a goroutine of Run sends the queue

	owing map[string]struct{} // owned by drain; the places of the ends that are kept
}

// event waits in a queue. Exactly one of turn and method is set.
type event struct {
	turn chan struct{} // closed when it is the turn of a request that a client waits for

	method  Method
	body    Object
	stream  string
	retries int
	refused func(error)
	last    bool // of the session

	place        string // of the owed end that it begins or ends; see mark
	begins, ends bool

	done func(context.Context) // see Report
}

// AppKey returns the app of the session.
func (s *Session) AppKey() string {
	if s == nil {
		return ""
	}
	return s.client.AppKey
}

// IgnoresToken says whether a token among the client's own members (custom) belongs to the backend, and is none of ours.
func (s *Session) IgnoresToken() bool {
	return s != nil && s.hooks.app(s.client.AppKey).Policy() == PolicyHook
}

// HasBackend says whether a backend is asked, so that the answer may take a while.
func (s *Session) HasBackend() bool { return s != nil && s.hooks.app(s.client.AppKey).URL != "" }

// Connect decides whether the client may have the session. p is who the client has shown to be. It returns who the client is from now on, and
// the members of the connection as the backend has changed them. The error is a *Refused, access.ErrNone, a *access.Denied, or the cause of
// ctx. It takes as long as the backend, at most the timeout of the settings.
func (s *Session) Connect(ctx context.Context, p *access.Principal, c Connection) (*access.Principal, Object, error) {
	if s == nil {
		return p, c.Members, nil
	}
	app := s.hooks.app(s.client.AppKey)
	stranger := p == nil || p.Kind == access.Anonymous
	policy := app.Policy()
	switch {
	case stranger && (policy == PolicyToken || policy == PolicyBoth):
		return nil, nil, access.ErrNone
	case p != nil && p.App != "" && p.App != app.Key && app.URL != "":
		return nil, nil, &access.Denied{Detail: fmt.Sprintf("this credential is for the app %q, not for %q", short(p.App), short(app.Key))}
	}
	asked := app.Sends(Connect)
	members := c.Members
	if asked {
		changed, err := s.connect(ctx, app, p, stranger, c)
		if err != nil {
			return nil, nil, err
		}
		members = changed
	}
	p = admitted(app, p, asked)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.principal = p
	return p, members, nil
}

// admitted returns who a client is that may have a session of the app, with the rate that a publisher of the app may have. asked: its backend has
// said yes.
func admitted(app *App, p *access.Principal, asked bool) *access.Principal {
	p = memberOf(app, p, asked)
	most := app.Limits.BitrateKbps
	if p == nil || p.App != "" && p.App != app.Key || most == 0 || p.Limits.BitrateKbps != 0 && p.Limits.BitrateKbps <= most {
		return p
	}
	slower := *p
	slower.Limits.BitrateKbps = most
	return &slower
}

// memberOf returns who a client is within the app.
func memberOf(app *App, p *access.Principal, asked bool) *access.Principal {
	stranger := p == nil || p.Kind == access.Anonymous && !p.IsAdmin()
	if stranger && asked && app.Policy() == PolicyHook {
		return &access.Principal{Kind: access.Hook, App: app.Key, Grants: app.GrantsOfHook()}
	}
	// The app is a part of an identity. Somebody who has one keeps it, so that what he begins on a page is his at all doors.
	if p == nil || p.App != "" || p.Identity() != "" || app.Source == "" || app.Source == BuiltIn {
		return p
	}
	member := *p // so that the limits of the app count him
	member.App = app.Key
	return &member
}

// connect asks the backend, and returns the members as it has changed them.
func (s *Session) connect(ctx context.Context, app *App, p *access.Principal, stranger bool, c Connection) (Object, error) {
	h := s.hooks
	if stranger && !h.rates.allow(s.client.Peer, time.Now()) {
		h.parts.Refusals.Note(s.client.Door, "connects", "peer", s.client.Peer.String(), "app", app.Key)
		return nil, refusedBy(errors.New("the address asks too often"))
	}
	release, why := h.connects.Take(s.client.Peer)
	if release == nil {
		h.parts.Refusals.Note(s.client.Door, why, "peer", s.client.Peer.String(), "app", app.Key)
		return nil, refusedBy(errors.New("too many clients wait for the backend"))
	}
	defer release()
	sent := s.connectBody(c)
	answer, id, err := s.post(ctx, app, Connect, sent, false)
	if cause := context.Cause(ctx); cause != nil {
		return nil, cause
	}
	switch {
	case err == nil:
	case !isRefusal(err) && h.cfg.LetIn:
		h.log.Warn("a client is let in though the backend does not answer, because rest_backend_down=allow", "app", app.Key, "session", s.client.SessionID, "err", err)
		h.backend(app.Key).ignore(Connect)
	default:
		h.noteRefusal(s.client, p, Connect, "", id, err)
		return nil, refusedBy(err)
	}
	rules := parseRules(answer["restClientConfig"])
	members := maps.Clone(c.Members)
	for name, value := range rules[Connect].changes(Connect, sent, answer) {
		switch {
		case name == "keepAlive" && boolean(value, true): // a backend can forbid it, not ask for it
			continue
		case members == nil:
			members = Object{}
		}
		members[name] = value
		if name != "sipPassword" {
			sent[name] = value
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules, s.connected = rules, sent
	return members, nil
}

// connectBody returns the body of connect.
func (s *Session) connectBody(c Connection) Object {
	o := withoutSecrets(c.Members)
	if o == nil {
		o = Object{}
	}
	o.set("useWsTunnel", false)
	o.set("useWsTunnelPacketization2", false)
	o.set("useBase64BinaryEncoding", false)
	if _, ok := o["keepAlive"]; !ok {
		o.set("keepAlive", false)
	}
	if c.Origin != "" {
		o.set("origin", c.Origin)
	}
	if s.client.Address != "" {
		o.set("clientAddress", s.client.Address)
	}
	s.identify(o)
	return o
}

// identify adds the members that each hook has.
func (s *Session) identify(o Object) {
	o.set("nodeId", s.hooks.cfg.NodeID)
	o.set("appKey", s.client.AppKey)
	o.set("sessionId", s.client.SessionID)
}

// post sends a hook of the session and waits for the answer. patient: no client waits for it.
func (s *Session) post(ctx context.Context, app *App, m Method, body Object, patient bool) (answer Object, id string, err error) {
	id = newRequestID()
	text, err := json.Marshal(body)
	if err != nil {
		return nil, id, fmt.Errorf("encode the body: %w", err)
	}
	answer, err = s.hooks.send(ctx, request{app: app, method: m, body: text, id: id, patient: patient})
	if err != nil && ctx.Err() == nil && !isRefusal(err) {
		s.hooks.reportMissing(request{app: app, method: m, id: id}, s.client.SessionID, err)
	}
	return answer, id, err
}

// Exclude returns the members that the page must not get in messages about a method. The SDK needs some of them: they are never excluded.
func (s *Session) Exclude(m Method) []string {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	excluded := s.rules[m].clientExclude
	s.mu.Unlock()
	var names []string
	for _, name := range excluded {
		if !slices.Contains([]string{"mediaSessionId", "status", "authToken", "id", "operationId"}, name) {
			names = append(names, name)
		}
	}
	return names
}

// Established tells the backend that the session is established. refused is called if the backend demands its end.
func (s *Session) Established(refused func(error)) {
	if s == nil {
		return
	}
	s.mu.Lock()
	if s.established || s.closed {
		s.mu.Unlock()
		return
	}
	s.established = true
	s.mu.Unlock()
	s.tell(event{method: ConnectionStatusEvent, body: s.connectionStatus("ESTABLISHED", ""), refused: refused})
}

// Close tells the backend that the session has ended. A session that was established is disconnected. One for which the backend has said yes, and
// which was never established, has failed. Nothing can be told after that.
func (s *Session) Close(info string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	status := "DISCONNECTED"
	if !s.established {
		status = "FAILED"
	}
	tell := s.established || s.connected != nil
	s.closed = s.closed || !tell
	s.mu.Unlock()
	if tell { // tell does nothing if it was told already
		s.tell(event{
			method: ConnectionStatusEvent, body: s.connectionStatus(status, info), last: true,
			retries: max(lastRetries, s.hooks.cfg.EventRetries),
		})
	}
}

func (s *Session) connectionStatus(status, info string) Object {
	s.mu.Lock()
	o := maps.Clone(s.connected)
	s.mu.Unlock()
	if o == nil {
		o = Object{}
		s.identify(o)
	}
	o.set("status", status)
	if info != "" {
		o.set("info", info)
	}
	return o
}

// Ask asks the backend for a stream that a client wants to publish, to play or to take a picture of. It returns the stream with what the
// backend has changed. The error is a *Refused, or the cause of ctx. A refusal that the backend has not asked to be heard (restOnError) is no
// error.
func (s *Session) Ask(ctx context.Context, m Method, st Stream) (Stream, error) {
	if s == nil {
		return st, nil
	}
	answer, sent, r, err := s.ask(ctx, m, st.Name, st.object())
	if err != nil {
		return st, err
	}
	return st.with(r.changes(m, sent, answer)), nil
}

// Data passes data of a client to its backend, and tells the backend what became of it. The error is a *Refused, or the cause of ctx.
func (s *Session) Data(ctx context.Context, operationID string, payload json.RawMessage) error {
	if s == nil {
		return nil
	}
	body := Object{}
	body.set("operationId", operationID)
	if len(payload) > 0 && json.Valid(payload) {
		body["payload"] = payload
	}
	_, _, _, err := s.ask(ctx, OnDataEvent, "", body)
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	status := Object{}
	status.set("operationId", operationID)
	status.set("status", "ACCEPTED")
	if err != nil {
		status.set("status", "FAILED")
		status.set("info", restricted)
	}
	s.tell(event{method: DataStatusEvent, body: status})
	return err
}

// ask sends a hook that a client waits for, after the events that were told before. It returns the answer, what was sent, and the rule of the
// method.
func (s *Session) ask(ctx context.Context, m Method, stream string, body Object) (answer, sent Object, r rule, err error) {
	app := s.hooks.app(s.client.AppKey)
	s.mu.Lock()
	r = s.rules[m]
	s.mu.Unlock()
	if !app.Sends(m) || r.disabled {
		return nil, nil, r, nil
	}
	limited, cancel := context.WithTimeout(ctx, s.hooks.cfg.timeout())
	defer cancel()
	err = s.awaitTurn(limited)
	id := ""
	sent = s.prepare(r, body)
	if err == nil {
		answer, id, err = s.post(limited, app, m, sent, false)
	} else {
		s.hooks.backend(app.Key).count(m, Unanswered)
	}
	if cause := context.Cause(ctx); cause != nil {
		return nil, sent, r, cause
	}
	if err == nil {
		return answer, sent, r, nil
	}
	return nil, sent, r, s.react(app, r, m, stream, id, err)
}

// react decides what a refusal, or a missing answer, does to a request that a client waits for.
func (s *Session) react(app *App, r rule, m Method, stream, id string, err error) error {
	if s.onError(app, r) == Fail {
		s.hooks.noteRefusal(s.client, s.who(), m, stream, id, err)
		return refusedBy(err)
	}
	if s.hooks.backend(app.Key).ignore(m) {
		s.hooks.log.Warn(fmt.Sprintf("%s was refused by the backend and let in, because restOnError is LOG; "+
			"the backend can set FAIL in restClientConfig, or set rest_on_error=FAIL here. This line comes once for each app and method", m),
			"app", app.Key, "session", s.client.SessionID, "stream", stream, "request", id, "err", err)
	}
	return nil
}

// onError returns what a refusal does.
func (s *Session) onError(app *App, r rule) OnError {
	switch {
	case r.onError != "":
		return r.onError
	case app.OnError != "":
		return app.OnError
	}
	return s.hooks.cfg.OnError
}

func (s *Session) who() *access.Principal {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.principal
}

// prepare returns the body as it is sent.
func (s *Session) prepare(r rule, body Object) Object {
	o := maps.Clone(body)
	s.identify(o)
	for _, name := range r.restExclude {
		delete(o, name)
	}
	return o
}

// awaitTurn waits until the events that were told before have been sent.
func (s *Session) awaitTurn(ctx context.Context) error {
	s.mu.Lock()
	if len(s.queue) == 0 && !s.draining {
		s.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	s.queue = append(s.queue, event{turn: turn}) // bounded by the requests of the client, each of which has a timeout
	s.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
		s.leave(turn)
		return context.Cause(ctx)
	}
}

// leave takes a request out of the queue whose client no longer waits: the queue of a slow backend would grow with each.
func (s *Session) leave(turn chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = slices.DeleteFunc(s.queue, func(e event) bool { return e.turn == turn })
}

// Tell queues unPublishStream, stopStream or StreamStatusEvent. refused is called, on another goroutine, if the backend demands the end of the
// stream; it must not block. nil: the stream cannot be ended. Tell does not block.
func (s *Session) Tell(m Method, st Stream, refused func(error)) {
	if s == nil {
		return
	}
	s.tell(event{method: m, body: st.object(), stream: st.Name, refused: refused})
}

// Sends says whether a backend is told events of a method.
func (s *Session) Sends(m Method) bool {
	return s != nil && s.hooks.app(s.client.AppKey).Sends(m)
}

// Report is Tell for an event that is not about a stream of the session. done is called, on another goroutine, when the backend has been told, or
// never will be. It is not called if the next process may still tell the event; nil: nobody wants to know.
func (s *Session) Report(m Method, body Object, done func(context.Context)) {
	if s != nil {
		s.tell(event{method: m, body: body, done: done})
	}
}

// tell puts an event into the queue.
func (s *Session) tell(e event) {
	app := s.hooks.app(s.client.AppKey)
	sends := app.Sends(e.method)
	if e.retries == 0 {
		e.retries = s.hooks.cfg.EventRetries
	}
	e.mark(s.client.SessionID, e.body)
	lost := int64(0)
	s.mu.Lock()
	r := s.rules[e.method]
	closed := s.closed
	s.closed = closed || e.last
	if closed || r.disabled || !sends {
		s.mu.Unlock()
		return
	}
	e.body = s.prepare(r, e.body)
	if len(s.queue) >= maxQueue {
		if i := slices.IndexFunc(s.queue, func(e event) bool { return e.turn == nil }); i >= 0 {
			s.queue = slices.Delete(s.queue, i, i+1)
			lost++
		}
	}
	s.queue = append(s.queue, e)
	start := !s.draining
	s.draining = true
	s.mu.Unlock()
	if start && !s.hooks.start(s.drain) {
		lost += s.drop()
	}
	if lost > 0 {
		s.hooks.backend(app.Key).countLost(lost)
	}
}

// drop empties the queue and returns how many events were in it.
func (s *Session) drop() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var n int64
	for _, e := range s.queue {
		if e.turn != nil {
			close(e.turn)
			continue
		}
		n++
	}
	s.queue, s.draining = nil, false
	return n
}

// drain sends the queue until it is empty. When stopping has ended, there are no more pauses; ctx limits the tries.
func (s *Session) drain(ctx, stopping context.Context) {
	for {
		s.mu.Lock()
		if len(s.queue) == 0 {
			s.queue, s.draining = nil, false
			s.mu.Unlock()
			return
		}
		e := s.queue[0]
		s.queue = s.queue[1:]
		s.mu.Unlock()
		if e.turn != nil {
			close(e.turn)
			continue
		}
		s.deliver(ctx, stopping, e)
	}
}

// deliver sends one event.
func (s *Session) deliver(ctx, stopping context.Context, e event) {
	app := s.hooks.app(s.client.AppKey)
	if !app.Sends(e.method) { // it was changed meanwhile
		s.settle(ctx, e, true)
		return
	}
	if e.begins {
		s.settle(ctx, e, false)
	}
	var err error
	var id string
	for try := 0; ; try++ {
		if _, id, err = s.post(ctx, app, e.method, e.body, true); err == nil {
			s.settle(ctx, e, true)
			return
		}
		if isFinal(err) || try >= e.retries || !pause(stopping, retryPauses[min(try, len(retryPauses)-1)]) {
			break
		}
	}
	if isFinal(err) || stopping.Err() == nil { // else the next process tells it
		s.settle(ctx, e, true)
	}
	s.mu.Lock()
	r := s.rules[e.method]
	s.mu.Unlock()
	if !isRefusal(err) {
		s.hooks.backend(app.Key).countLost(1)
		return
	}
	if e.refused == nil {
		return
	}
	if s.onError(app, r) != Fail {
		s.hooks.backend(app.Key).ignore(e.method)
		return
	}
	s.hooks.noteRefusal(s.client, s.who(), e.method, e.stream, id, err)
	e.refused(refusedBy(err))
}

// isFinal says whether the same event would be refused again.
func isFinal(err error) bool {
	var status statusError
	return errors.As(err, &status) && status < 500 && status != 408 && status != 429
}

// pause waits for d. It returns false if ctx ends before.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
