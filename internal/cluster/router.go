package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"transponder/internal/panics"
	"transponder/internal/state"
	"transponder/internal/stream"
	"transponder/internal/trace"
)

// Peers sends requests to the other processes of the cluster. *Cluster is one.
type Peers interface {
	Me() Owner
	// Nodes returns the nodes that live, this one too.
	Nodes() []Node
	// Handle is called before the cluster runs: f answers the requests with a verb.
	Handle(verb string, f func(ctx context.Context, body []byte) ([]byte, error))
	// Request fails with ErrGone if the process has ended or is cut off.
	Request(ctx context.Context, to Owner, verb string, body []byte) ([]byte, error)
	// Informed is nil if this process knows which others live.
	Informed() error
}

// Kind says what an id names.
type Kind string

// What servers have.
const (
	KindPush   Kind = "push"   // a push, by its id
	KindStream Kind = "stream" // a stream, by its name
	KindMedia  Kind = "media"  // a publisher or player, by its media session id
	KindPage   Kind = "page"   // a session of the Web SDK
	KindCall   Kind = "call"   // a SIP call
	KindWHIP   Kind = "whip"   // a session of WHIP or WHEP
	KindNode   Kind = "node"   // a server, by its name
)

// The verbs of a Router.
const (
	verbHTTP = "http" // a Call
	verbPart = "part" // the next part of a long answer
	verbHas  = "has"  // have you this?
)

const (
	// answerWithin is how long a process may take to answer a call. The call is repeated once within that time, since NATS loses
	// messages when a connection breaks.
	answerWithin = 4 * time.Second
	// repeatAfter is when a call without an answer is repeated.
	repeatAfter = 2 * time.Second
	// hasWithin is how long a process may take to say whether it has something. It looks into its memory only.
	hasWithin = 2 * time.Second
	// answersFor is how long answers are kept for repetitions.
	answersFor = time.Minute
	// maxAnswers bounds the answers that are kept: a hundred changes a second.
	maxAnswers = 6000
	// partSize is the longest part of an answer.
	partSize = 256 << 10
	// partsFor is how long the parts of a long answer are kept.
	partsFor = 10 * time.Second
	// maxWaiting bounds the parts that are kept, in bytes.
	maxWaiting = 64 << 20
)

// ErrNoAnswer means that a server of the cluster did not answer in time.
var ErrNoAnswer = errors.New("a server of the cluster does not answer")

// errBusy means that too many long answers wait to be fetched.
var errBusy = errors.New("too many answers wait to be fetched")

// Router hands requests to the process that has what they are about. Any goroutine may call the methods. Serve, Trace and Has
// are called before the cluster runs.
type Router struct {
	peers  Peers
	sealer state.Sealer
	log    *slog.Logger

	handler http.Handler
	tracer  *trace.Tracer // nil: there are no traces
	has     map[Kind]func(id string) bool

	panics  panics.Counter
	asked   atomic.Int64
	unheard atomic.Int64 // calls without an answer
	served  atomic.Int64
	again   atomic.Int64 // repetitions that were answered without doing anything

	mu      sync.Mutex
	answers map[string]*answer  // guarded by mu; by the id of the call
	order   []string            // guarded by mu; the keys of answers, oldest first
	parts   map[string][][]byte // guarded by mu; by the id of the call
	waiting int                 // guarded by mu; bytes in parts
}

// answer is an answer that is kept, or on the way.
type answer struct {
	at    time.Time
	done  chan struct{} // closed when reply is set
	reply Reply
}

// RouterStats are figures of a Router.
type RouterStats struct {
	Asked   int64 // calls to other servers
	Unheard int64 // calls to other servers that got no answer
	Served  int64 // calls of other servers
	Again   int64 // calls of other servers that came twice, and were done once
}

// NewRouter makes a router, and answers the requests of other processes from then on.
func NewRouter(peers Peers, sealer state.Sealer, log *slog.Logger) *Router {
	r := &Router{
		peers: peers, sealer: sealer, log: log, handler: http.NotFoundHandler(), has: map[Kind]func(string) bool{},
		answers: map[string]*answer{}, parts: map[string][][]byte{},
	}
	peers.Handle(verbHTTP, r.onCall)
	peers.Handle(verbPart, r.onPart)
	peers.Handle(verbHas, r.onHas)
	return r
}

// Serve sets the handler of the calls of other processes.
func (r *Router) Serve(h http.Handler) { r.handler = h }

// Has sets how this process finds out whether it has something.
func (r *Router) Has(k Kind, f func(id string) bool) { r.has[k] = f }

// Trace sets what makes the spans of calls.
func (r *Router) Trace(t *trace.Tracer) { r.tracer = t }

// Ready is nil if this process knows which others live. If not, what is not here may be elsewhere.
func (r *Router) Ready() error { return r.peers.Informed() }

// Node returns the name of this node.
func (r *Router) Node() string { return r.peers.Me().Node }

// Stats returns the figures of the router.
func (r *Router) Stats() RouterStats {
	return RouterStats{r.asked.Load(), r.unheard.Load(), r.served.Load(), r.again.Load()}
}

// Panics returns how many calls of other servers have panicked.
func (r *Router) Panics() int64 { return r.panics.Load() }

// others returns the other processes.
func (r *Router) others() []Owner {
	var all []Owner
	for _, n := range r.peers.Nodes() {
		if n.Owner != r.peers.Me() {
			all = append(all, n.Owner)
		}
	}
	return all
}

// Better returns the address for clients of a server that has more room for a publisher: of two that are ready, taken at random, the one that
// uses less. "": there is none. What servers tell of themselves is some seconds old, so the other server decides once more.
func (r *Router) Better() string {
	var ready []Node
	for _, n := range r.peers.Nodes() {
		if n.Owner != r.peers.Me() && n.State == NodeReady && n.HTTP != "" {
			ready = append(ready, n)
		}
	}
	rand.Shuffle(len(ready), func(i, j int) { ready[i], ready[j] = ready[j], ready[i] })
	switch {
	case len(ready) == 0:
		return ""
	case len(ready) > 1 && ready[1].share() < ready[0].share():
		return ready[1].HTTP
	}
	return ready[0].HTTP
}

// share is how much of what it may use a server uses.
func (n Node) share() float64 {
	if n.Allowed <= 0 {
		return n.Cores
	}
	return n.Cores / n.Allowed
}

// traceHeaders name the trace of a client (W3C Trace Context), which goes on at the server that serves the call.
var traceHeaders = []string{"Traceparent", "Tracestate"}

// NewCall makes the call for a request of a client, with some of its headers and those of its trace.
func NewCall(req *http.Request, body []byte, headers ...string) Call {
	c := Call{
		ID: stream.NewID(), Method: req.Method, Path: req.URL.RequestURI(), Host: req.Host, Peer: req.RemoteAddr, Secure: req.TLS != nil,
		Header: http.Header{}, Changes: req.Method != http.MethodGet && req.Method != http.MethodHead, Body: body,
	}
	for _, name := range slices.Concat(traceHeaders, headers) {
		if v := req.Header.Values(name); len(v) > 0 {
			c.Header[http.CanonicalHeaderKey(name)] = v
		}
	}
	return c
}

// Ask has a process answer a call. It fails with ErrGone if the process has ended or is cut off, and with ErrNoAnswer if the process does not
// answer in time: then it may have done what the call asks for.
func (r *Router) Ask(ctx context.Context, to Owner, c Call) (Reply, error) {
	r.asked.Add(1)
	if c.Header = c.Header.Clone(); c.Header == nil { // AskAll asks many
		c.Header = http.Header{}
	}
	span := r.tracer.HandOver(ctx, c.Header)
	span.Set("transponder.node", to.Node)
	reply, err := r.ask(ctx, to, c)
	endSpan(span, reply, err)
	if err != nil {
		r.unheard.Add(1)
		r.log.Warn("another server did not answer", "node", to.Node, "path", pathOf(c.Path), "err", err)
		return Reply{}, err
	}
	reply.Node = to.Node
	return reply, nil
}

// endSpan ends the span of a call.
func endSpan(s trace.Span, reply Reply, err error) {
	switch {
	case err == nil:
		s.SetInt("http.response.status_code", reply.Status)
		s.End()
	case errors.Is(err, ErrGone):
		s.Fail("node_gone", "The other server has ended, or is cut off.")
	case errors.Is(err, ErrNoAnswer):
		s.Fail("no_answer", "The other server did not answer in time.")
	default:
		s.Fail("internal", "The request could not be handed over.")
	}
}

// pathOf returns a path without its query, which may hold a secret.
func pathOf(path string) string {
	for i := range path {
		if path[i] == '?' {
			return path[:i]
		}
	}
	return path
}

func (r *Router) ask(ctx context.Context, to Owner, c Call) (Reply, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	body, err := pack(r.sealer, "call", c, c.Body)
	switch {
	case err != nil:
		return Reply{}, err
	case len(body) > maxMessage:
		return Reply{}, errTooLarge
	}
	first, stop := context.WithTimeout(ctx, repeatAfter)
	sealed, err := r.peers.Request(first, to, verbHTTP, body)
	stop()
	if err != nil && !errors.Is(err, ErrGone) && ctx.Err() == nil {
		sealed, err = r.peers.Request(ctx, to, verbHTTP, body)
	}
	if err != nil {
		return Reply{}, noAnswer(to, err)
	}
	return r.open(ctx, to, c.ID, sealed)
}

// noAnswer returns the error for a request to a process that failed.
func noAnswer(to Owner, err error) error {
	if errors.Is(err, ErrGone) {
		return fmt.Errorf("node %s: %w", to.Node, err)
	}
	return fmt.Errorf("node %s: %w: %w", to.Node, ErrNoAnswer, err)
}

// open reads the answer to a call, and fetches its other parts. An answer begins with the number of its parts.
func (r *Router) open(ctx context.Context, to Owner, id string, sealed []byte) (reply Reply, err error) {
	number, whole, ok := bytes.Cut(sealed, []byte{' '})
	parts, err := strconv.Atoi(string(number))
	if !ok || err != nil || parts < 1 || parts > 2*maxPlain/partSize {
		return Reply{}, errMessage
	}
	for i := 1; i < parts; i++ {
		next, err := r.peers.Request(ctx, to, verbPart, []byte(id+" "+strconv.Itoa(i)))
		if err != nil {
			return Reply{}, noAnswer(to, err)
		}
		whole = append(slices.Clip(whole), next...)
	}
	reply.Body, err = unpack(r.sealer, "answer/"+id, whole, &reply)
	return reply, err
}

// AskAll has all other processes answer a call. missing are the nodes that did not.
func (r *Router) AskAll(ctx context.Context, c Call) (replies []Reply, missing []string) {
	to := r.others()
	all, errs := make([]Reply, len(to)), make([]error, len(to))
	var wg sync.WaitGroup
	for i, o := range to {
		wg.Go(func() { all[i], errs[i] = r.Ask(ctx, o, c) })
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			missing = append(missing, to[i].Node)
			continue
		}
		replies = append(replies, all[i])
	}
	return replies, missing
}

// question asks a process whether it has something.
type question struct {
	Kind Kind   `json:"kind"`
	ID   string `json:"id"`
}

// Locate asks the other processes which of them has something. missing are the nodes that did not answer, if none of the others has it.
func (r *Router) Locate(ctx context.Context, k Kind, id string) (at Owner, found bool, missing []string) {
	ctx, cancel := context.WithTimeout(ctx, hasWithin)
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel() // the first that has it ends the questions to the others
	body, err := pack(r.sealer, "question", question{k, id}, nil)
	if err != nil {
		return Owner{}, false, nil
	}
	type told struct {
		from Owner
		yes  bool
		err  error
	}
	to := r.others()
	answers := make(chan told, len(to))
	for _, o := range to {
		asking.Go(func() {
			text, err := r.peers.Request(ctx, o, verbHas, body)
			answers <- told{o, string(text) == "yes", err}
		})
	}
	for range to {
		switch t := <-answers; {
		case t.err != nil:
			missing = append(missing, t.from.Node)
		case t.yes:
			return t.from, true, nil
		}
	}
	return Owner{}, false, missing
}

func (r *Router) onHas(_ context.Context, body []byte) ([]byte, error) {
	var q question
	if _, err := unpack(r.sealer, "question", body, &q); err != nil {
		return nil, err
	}
	if has := r.has[q.Kind]; has != nil && has(q.ID) {
		return []byte("yes"), nil
	}
	return []byte("no"), nil
}

func (r *Router) onCall(ctx context.Context, body []byte) ([]byte, error) {
	var c Call
	content, err := unpack(r.sealer, "call", body, &c)
	if err != nil {
		return nil, err
	}
	c.Body = content
	r.served.Add(1)
	reply, err := r.once(ctx, &c)
	if err != nil {
		return nil, err
	}
	sealed, err := pack(r.sealer, "answer/"+c.ID, reply, reply.Body)
	if err != nil {
		return nil, err
	}
	return r.cut(c.ID, sealed)
}

// once serves a call. A repetition gets the answer to the first, and waits for it if it is on the way.
func (r *Router) once(ctx context.Context, c *Call) (Reply, error) {
	if !c.Changes {
		return r.serve(ctx, c), nil
	}
	r.mu.Lock()
	if a := r.answers[c.ID]; a != nil {
		r.mu.Unlock()
		r.again.Add(1)
		select {
		case <-a.done:
			return a.reply, nil
		case <-ctx.Done():
			return Reply{}, context.Cause(ctx)
		}
	}
	now := time.Now()
	a := &answer{at: now, done: make(chan struct{})}
	r.answers[c.ID], r.order = a, append(r.order, c.ID)
	for len(r.order) > maxAnswers || now.Sub(r.answers[r.order[0]].at) > answersFor {
		delete(r.answers, r.order[0])
		r.order = r.order[1:]
	}
	r.mu.Unlock()
	defer close(a.done)
	// The client may still want what it has asked for when the asking server has given up.
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerWithin)
	defer cancel()
	a.reply = r.serve(limit, c)
	return a.reply, nil
}

// serve has the handler answer a call.
func (r *Router) serve(ctx context.Context, c *Call) (reply Reply) {
	w := &recorder{header: http.Header{}}
	err := r.panics.Run(r.log, "request of another server panicked", func() error {
		req, err := http.NewRequestWithContext(context.WithValue(ctx, callKey{}, c), c.Method, c.Path, bytes.NewReader(c.Body))
		if err != nil {
			return err
		}
		req.Header, req.Host, req.RemoteAddr, req.RequestURI = c.Header, c.Host, c.Peer, c.Path
		if req.Header == nil {
			req.Header = http.Header{}
		}
		r.handler.ServeHTTP(w, req)
		return nil
	})
	if err != nil {
		return Reply{Status: http.StatusInternalServerError}
	}
	return Reply{Status: w.statusOr200(), Header: w.header, Body: w.body.Bytes()}
}

// recorder keeps what a handler answers.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *recorder) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.body.Len()+len(p) > maxPlain {
		return 0, errTooLarge
	}
	return w.body.Write(p)
}

func (w *recorder) statusOr200() int {
	if w.status == 0 {
		return http.StatusOK
	}
	return w.status
}

// cut returns the first part of an answer, and keeps the others.
func (r *Router) cut(id string, sealed []byte) ([]byte, error) {
	parts := slices.Collect(slices.Chunk(sealed, partSize))
	if len(parts) > 1 {
		r.mu.Lock()
		defer r.mu.Unlock()
		kept, again := r.parts[id]
		switch {
		case again: // the parts of two sealings do not fit together
			parts = kept
		case r.waiting+len(sealed) > maxWaiting:
			return nil, errBusy
		default:
			r.waiting += len(sealed)
			r.parts[id] = parts
			time.AfterFunc(partsFor, func() {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.waiting -= len(sealed)
				delete(r.parts, id)
			})
		}
	}
	return append([]byte(strconv.Itoa(len(parts))+" "), parts[0]...), nil
}

func (r *Router) onPart(_ context.Context, body []byte) ([]byte, error) {
	id, text, _ := bytes.Cut(body, []byte{' '})
	i, err := strconv.Atoi(string(text))
	r.mu.Lock()
	defer r.mu.Unlock()
	parts := r.parts[string(id)]
	if err != nil || i < 0 || i >= len(parts) {
		return nil, errMessage
	}
	return parts[i], nil
}

// ReadCaller reads who has sent a call.
func (c *Call) ReadCaller(to any) error {
	if c.Caller == nil {
		return errMessage
	}
	return json.Unmarshal(c.Caller, to)
}
