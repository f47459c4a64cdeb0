package hook

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"transponder/internal/access"
	"transponder/internal/access/audit"
	"transponder/internal/guard"
	"transponder/internal/panics"
	"transponder/internal/state"
)

// goodbye is how long sending the last events may take when the server stops. Each gets one try.
const goodbye = 2 * time.Second

// maxConnects is how many connects may be under way or wait, for all apps. One address may have its share of them.
const maxConnects = 2048

// Recorder writes down who was refused. It does not block for long.
type Recorder interface {
	Note(line audit.Line)
}

// Parts are the parts that a Hooks asks.
type Parts struct {
	Apps     *Apps
	Recorder Recorder // nil: nothing is written down
	Refusals *guard.Refusals
	Shares   guard.SharesConfig // how many connects one address may have

	Keeper state.Keeper // of the ends that backends are to be told after a crash; nil: they are not told
	Sealer state.Sealer
	// Estates are where the other servers of a cluster find the ends that this one owes; nil: this server is alone.
	Estates Estates
}

// Hooks sends the hooks of all sessions. All methods may be called from any goroutine.
type Hooks struct {
	cfg         Config
	parts       Parts
	log         *slog.Logger
	client      http.Client
	connections chan struct{} // has a value for each request under way
	connects    *guard.Places
	rates       *rates
	panics      panics.Counter
	debts       *debts

	mu       sync.Mutex
	backends map[string]*backend // guarded by mu; by appKey
	jobs     []job               // guarded by mu; wait for Run
	over     bool                // guarded by mu; Run starts nothing more

	wake chan struct{} // has a value if there are jobs
}

// job is work that a session gives to Run. ctx ends with the last moment for it; stopping ends when the server begins to stop.
type job func(ctx, stopping context.Context)

// New makes a Hooks for a valid configuration. It refuses apps whose password would take the place of the hash.
func New(cfg Config, parts Parts, log *slog.Logger) (*Hooks, error) {
	transport, err := newTransport(cfg)
	if err != nil {
		return nil, err
	}
	h := &Hooks{
		cfg: cfg, parts: parts, log: log,
		client: http.Client{
			Transport: transport,
			// A redirected POST would become a GET. The address of the app must be corrected instead.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		connections: make(chan struct{}, cfg.MaxConnections),
		connects:    parts.Shares.Places(maxConnects),
		rates:       newRates(parts.Shares),
		backends:    map[string]*backend{},
		wake:        make(chan struct{}, 1),
		debts:       newDebts(parts.Keeper, parts.Sealer),
	}
	if cfg.SendHash {
		if err := parts.Apps.forbidUsers(); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// Run sends what no door waits for, until ctx ends. Then it sends what is left, within a short time. Stop it after all doors, so that it tells
// backends of the ends of their sessions. It runs once.
func (h *Hooks) Run(ctx context.Context) error {
	defer h.client.CloseIdleConnections()
	sending, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	var wg sync.WaitGroup
	wg.Go(func() { h.parts.Apps.watch(ctx) })
	h.tellOwed(ctx)
	start := func() {
		for _, j := range h.take() {
			wg.Go(func() { _ = h.panics.Run(h.log, "a hook failed", func() error { j(sending, ctx); return nil }) })
		}
	}
	for ctx.Err() == nil {
		select {
		case <-h.wake:
			start()
		case <-ctx.Done():
		}
	}
	limit := time.AfterFunc(goodbye, func() { cancel(errStopping) })
	defer limit.Stop()
	h.mu.Lock()
	h.over = true
	h.mu.Unlock()
	start()
	wg.Wait()
	return context.Cause(ctx)
}

// take returns the jobs that wait.
func (h *Hooks) take() []job {
	h.mu.Lock()
	defer h.mu.Unlock()
	jobs := h.jobs
	h.jobs = nil
	return jobs
}

// start gives a job to Run. It returns false if Run starts nothing more.
func (h *Hooks) start(j job) bool {
	h.mu.Lock()
	if h.over {
		h.mu.Unlock()
		return false
	}
	h.jobs = append(h.jobs, j)
	h.mu.Unlock()
	select {
	case h.wake <- struct{}{}:
	default:
	}
	return true
}

// backend returns the state of the backend of an app.
func (h *Hooks) backend(key string) *backend {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.backends[key]
	if b == nil {
		b = newBackend()
		h.backends[key] = b
	}
	return b
}

// Client is who wants a session.
type Client struct {
	AppKey    string // as the client has named it; "": DefaultApp
	SessionID string
	Door      string     // "websocket", "whip", "whep", "rtmp"; for the audit log
	Peer      netip.Addr // for the limits of an address
	Address   string     // ip:port, for the backend
}

// Open makes a session. It asks nobody. The error is a *Refused: the client names an app that does not exist, and the settings do not allow
// that. The caller closes the session.
func (h *Hooks) Open(c Client) (*Session, error) {
	if h == nil {
		return nil, nil
	}
	c.AppKey = cmp.Or(c.AppKey, DefaultApp)
	if _, ok := h.parts.Apps.Find(c.AppKey); !ok && h.cfg.Strict {
		h.parts.Refusals.Note(c.Door, "app", "peer", c.Peer.String(), "app", short(c.AppKey))
		return nil, refusedBy(fmt.Errorf("there is no app %q, and apps_strict=true", short(c.AppKey)))
	}
	return &Session{hooks: h, client: c}, nil
}

// app returns the app that has a key. An app that does not exist is one without a backend.
func (h *Hooks) app(key string) *App {
	app, ok := h.parts.Apps.Find(key)
	if !ok {
		return &App{Name: key, Key: key}
	}
	if h.cfg.Disabled && app.URL != "" {
		without := *app
		without.URL = ""
		switch without.Auth {
		case PolicyHook:
			without.Auth = PolicyOpen
		case PolicyBoth:
			without.Auth = PolicyToken
		}
		return &without
	}
	return app
}

// newRequestID returns 26 letters and digits.
func newRequestID() string { return rand.Text() }

// noteRefusal writes down that a backend has refused a client.
func (h *Hooks) noteRefusal(c Client, p *access.Principal, m Method, stream, id string, err error) {
	if h.parts.Recorder == nil {
		return
	}
	line := audit.Line{
		At: time.Now(), Who: audit.Who{Kind: string(access.Anonymous), App: c.AppKey}, Via: c.Door, Do: "hook/" + string(m), Stream: stream,
		Why: err.Error(), Request: id,
	}
	if p != nil {
		line.Who = audit.Who{Kind: string(p.Kind), Subject: p.Subject, ID: p.ID, App: cmp.Or(p.App, c.AppKey)}
	}
	if c.Peer.IsValid() {
		line.From = c.Peer.String()
	}
	h.parts.Recorder.Note(line)
}

// Node returns the name of this server, which each hook has.
func (h *Hooks) Node() string { return h.cfg.NodeID }

// Unreachable returns the apps whose backends have not answered lately.
func (h *Hooks) Unreachable() []string {
	if h == nil {
		return nil
	}
	h.mu.Lock()
	backends := make(map[string]*backend, len(h.backends))
	for key, b := range h.backends {
		backends[key] = b
	}
	h.mu.Unlock()
	var keys []string
	for key, b := range backends {
		if b.isDown() {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// Stats are the figures of one app.
type Stats struct {
	App               string
	Requests          map[Method]map[Result]int64
	UnderWay, Waiting int
	Buckets           map[float64]uint64 // answers that took at most so many seconds
	Count             uint64
	Seconds           float64
	Ignored           int64 // refusals without an effect
	LostEvents        int64
	Down              bool
}

// Stats returns the figures of all apps that have sent a hook.
func (h *Hooks) Stats() []Stats {
	if h == nil {
		return nil
	}
	h.mu.Lock()
	keys := make([]string, 0, len(h.backends))
	for key := range h.backends {
		keys = append(keys, key)
	}
	h.mu.Unlock()
	slices.Sort(keys)
	var all []Stats
	for _, key := range keys {
		s := h.backend(key).stats()
		s.App = key
		all = append(all, s)
	}
	return all
}

func (b *backend) stats() Stats {
	s := Stats{UnderWay: len(b.places), Waiting: len(b.waiting), Requests: map[Method]map[Result]int64{}, Buckets: map[float64]uint64{}}
	b.mu.Lock()
	defer b.mu.Unlock()
	for k, n := range b.counts {
		if s.Requests[k.method] == nil {
			s.Requests[k.method] = map[Result]int64{}
		}
		s.Requests[k.method][k.result] = n
	}
	for i, bound := range timeBuckets {
		s.Count += uint64(b.times[i])
		s.Buckets[bound.Seconds()] = s.Count
	}
	s.Count += uint64(b.times[len(timeBuckets)])
	s.Seconds = b.timeSum.Seconds()
	s.Ignored, s.LostEvents, s.Down = b.ignored, b.lost, b.failures >= breakAfter
	return s
}

// Panics returns how many requests ended because of a bug here.
func (h *Hooks) Panics() int64 {
	if h == nil {
		return 0
	}
	return h.panics.Load()
}

// reportMissing logs that a hook had no answer, or was refused though nobody waits.
func (h *Hooks) reportMissing(q request, session string, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	if b := h.backend(q.app.Key); b.mayLog(time.Now()) {
		h.log.Warn("a hook was not answered", "app", q.app.Key, "method", string(q.method), "session", session, "request", q.id, "err", err)
	}
}
