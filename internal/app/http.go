package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"transponder/internal/cluster"
	"transponder/internal/metrics"
	"transponder/internal/rest"
	"transponder/internal/rtc"
	"transponder/internal/rtmpserver"
	"transponder/internal/state"
	"transponder/internal/transcode/mediafile"
	"transponder/internal/transponder"
	"transponder/internal/webui"
)

const (
	headerTimeout = 10 * time.Second // for the headers of a request
	answerTimeout = time.Minute      // for writing an answer; event streams set deadlines of their own
	drainTimeout  = time.Second      // for open requests of all ports together when the server stops

	maxHeader = 64 << 10
)

// httpParts makes the HTTP servers that have a port. The contexts of requests descend from ctx.
func (a *App) httpParts(ctx context.Context) ([]part, error) {
	pages, closePages, err := a.pages()
	if err != nil {
		return nil, err
	}
	places := a.cfg.Shares.Places(a.cfg.Listen.MaxHTTP)
	idle := newIdlers(places)
	// The servers stop one after the other. The first sets the limit for all.
	limit := sync.OnceValue(func() time.Time { return time.Now().Add(drainTimeout) })
	var parts []part
	add := func(name string, l net.Listener, secure bool, h http.Handler) {
		if l == nil {
			return
		}
		l = places.Listener(l, strings.ToLower(name), a.refusals)
		if secure {
			// Browsers open WebSockets by HTTP/1.1 only, and the pages gain nothing from HTTP/2.
			l = tls.NewListener(l, a.certificates.ServerConfig(true, "http/1.1"))
		}
		s := &http.Server{
			Handler:           a.safely(limitBody(h)),
			ReadHeaderTimeout: headerTimeout,
			WriteTimeout:      answerTimeout,
			IdleTimeout:       idleTimeout,
			ConnState:         idle.note,
			MaxHeaderBytes:    maxHeader,
			BaseContext:       func(net.Listener) context.Context { return ctx },
			ErrorLog:          slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
		}
		parts = append(parts, part{name, func(ctx context.Context) error { return serve(ctx, s, l, closePages, limit) }})
	}
	plain := pages
	if a.certificates != nil {
		plain = a.certificates.Challenges(pages)
	}
	add("HTTP", a.http, false, plain)
	add("HTTPS", a.https, true, pages)
	add("WebSocket", a.ws, false, a.sdk)
	add("secure WebSocket", a.wss, true, a.sdk)
	return parts, nil
}

// safely serves by next. If next panics, the panic is logged and counted, and the connection is closed, as net/http does it.
func (a *App) safely(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			value := recover()
			if value == nil {
				return
			}
			if value != http.ErrAbortHandler { // which a handler may use on purpose
				_ = a.panics.Note(a.log.With("peer", r.RemoteAddr), "request panicked", value)
			}
			panic(http.ErrAbortHandler) // net/http logs nothing of it
		}()
		next.ServeHTTP(w, r)
	})
}

// serve runs a server until ctx ends. Then it accepts no more connections, calls end, and gives open requests until the limit. Connections
// that were upgraded to WebSockets are not waited for: the Web SDK's door ends them.
func serve(ctx context.Context, s *http.Server, l net.Listener, end func(), limit func() time.Time) error {
	var open openConns
	idle := s.ConnState
	s.ConnState = func(c net.Conn, state http.ConnState) {
		open.note(c, state)
		idle(c, state)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	select {
	case err := <-served:
		s.Close()
		return err
	case <-ctx.Done():
	}
	l.Close()
	<-served // from now on open knows all connections
	end()
	s.SetKeepAlivesEnabled(false)
	patience, cancel := context.WithDeadline(context.WithoutCancel(ctx), limit())
	defer cancel()
	open.wait(patience) // Shutdown would close connections that have been accepted just now, and whose requests have not been read
	if s.Shutdown(patience) != nil {
		s.Close()
	}
	return context.Cause(ctx)
}

// openConns are the connections of a server that have a request, or wait for their first one. The zero value is ready to use.
type openConns struct {
	mu    sync.Mutex
	conns map[net.Conn]struct{} // guarded by mu
	none  chan struct{}         // guarded by mu; closed when there is none; nil: nobody waits
}

// note is the ConnState of an http.Server.
func (o *openConns) note(c net.Conn, state http.ConnState) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if state == http.StateNew || state == http.StateActive {
		if o.conns == nil {
			o.conns = map[net.Conn]struct{}{}
		}
		o.conns[c] = struct{}{}
		return
	}
	delete(o.conns, c)
	if len(o.conns) == 0 && o.none != nil {
		close(o.none)
		o.none = nil
	}
}

// wait returns when there is none, or when ctx ends. No connections may come any more.
func (o *openConns) wait(ctx context.Context) {
	o.mu.Lock()
	if len(o.conns) == 0 {
		o.mu.Unlock()
		return
	}
	none := make(chan struct{})
	o.none = none
	o.mu.Unlock()
	select {
	case <-none:
	case <-ctx.Done():
	}
}

// pages returns the handler of the HTTP and HTTPS ports. closePages ends the requests that would not end by themselves.
func (a *App) pages() (h http.Handler, closePages func(), err error) {
	var calls rest.Calls
	if a.cfg.SIP.Enabled {
		calls = a.calls
	}
	a.cfg.REST.HTTPSPort = portOf(a.https)
	var nodes rest.Nodes
	var events rest.Events = a.pushes.Journal()
	var orphans rest.Orphans
	var past func(int) []*transponder.Info
	var runtime rest.Runtime
	if a.reloading.levels != nil {
		runtime = a
	}
	if a.cluster != nil {
		nodes, events, orphans, past = a.router, a.events, a.orphans, a.past.Newest
	}
	api, err := rest.New(a.cfg.REST, rest.Parts{
		Members: a.members, Nodes: nodes, HasHere: a.hasHere, Orphans: orphans, Past: past,
		Apps:   a.apps,
		Pushes: cluster.NewPushes(a.pushes), Checker: a.pushes, Streams: a.hub, Events: events, Connections: sessions{a.sdk}, Players: sessions{a.sdk},
		Access: a.auth, Report: a.report, People: a.people, Audit: a.audit, Guard: a.guard, Refusals: a.refusals, Shares: a.cfg.Shares, Calls: calls, Tokens: a.tokens, Node: a.drainer, Runtime: runtime, Media: mediafile.New(a.cfg.MediaDir),
		Destinations: a.destinations, DescribeTarget: a.cfg.Push.DescribeTarget, Thumbnail: a.video.Thumbnail, Receptions: a.ingest.Receptions,
	}, a.log)
	if err != nil {
		return nil, nil, err
	}
	stat, err := rest.Stat(a.cfg.REST, a.guard, a.stats)
	if err != nil {
		return nil, nil, err
	}
	stat = api.Protect("stat", true, stat)
	ui, err := webui.New(webui.Config{
		Version: a.version, RTMPPort: a.rtmpPort(), HTTPSPort: portOf(a.https), RESTAuth: a.cfg.REST.Auth, NamePrefix: a.cfg.Push.NamePrefix,
	}, func(r *http.Request) bool { return api.MayRead("pages", r) })
	if err != nil {
		return nil, nil, err
	}
	figures, err := metrics.New(a.figures())
	if err != nil {
		return nil, nil, err
	}
	traced := a.tracer.Incoming(api)
	mux := http.NewServeMux()
	mux.Handle("/whip/", a.tracer.Incoming(a.sessionsAnywhere(a.whip)))
	mux.Handle("/whep/", a.sessionsAnywhere(a.whip))
	if a.router != nil {
		a.router.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if rest.Serves(r.URL.Path) {
				traced.ServeHTTP(w, r)
				return
			}
			a.whip.ServeHTTP(w, r)
		}))
	}
	mux.Handle("/ws", a.sdk) // for proxies that forward only one port
	mux.Handle("/ws/", a.sdk)
	mux.Handle("/metrics", api.Protect("metrics", false, figures))
	mux.Handle("/debug/pprof/", api.ProtectAdmin("pprof", newProfiler()))
	mux.Handle("/config.json", a.onlyByName("pages", ui))
	mux.Handle("/health/live", metrics.Live())
	mux.Handle("/health/ready", metrics.Ready(a.ready, a.notes))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" && r.URL.Query().Get("action") == "stat" {
			stat.ServeHTTP(w, r)
			return
		}
		ui.ServeHTTP(w, r)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rest.Serves(r.URL.Path) { // the mux would redirect paths with a double slash, and clients turn a redirected POST into a GET
			traced.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	}), api.Close, nil
}

// onlyByName serves content that pages of other hosts must not read. Without the check of the host name, such a page could read it by a
// name of its own that resolves to this server.
func (a *App) onlyByName(door string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := a.guard.Host(door, r); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// figures returns the functions from which /metrics gets its numbers.
func (a *App) figures() metrics.Parts {
	p := metrics.Parts{
		Streams:     a.hub.Sources,
		Backends:    a.backends.Stats,
		Takeovers:   a.hub.Takeovers,
		Promotions:  a.hub.Promotions,
		Standbys:    func() int { return len(a.hub.Spares()) },
		Switches:    a.pushes.Switches,
		Pushes:      func() []transponder.Info { return a.pushes.Find(transponder.Filter{}) },
		Resumes:     a.pushes.ResumeStats,
		PushFigures: a.pushes.Figures,
		Limits: func() map[string]int {
			cfg := a.current()
			return map[string]int{"publishers": cfg.Stream.MaxStreams, "players": cfg.Egress.MaxPlayers, "pushes": cfg.Push.MaxPushes}
		},
		Publishers:  a.ingest.Publishers,
		Datagrams:   a.datagrams,
		Restarts:    a.restarts,
		Panics:      a.countPanics,
		Players:     a.egress.Players,
		Sessions:    a.ingest.Stats,
		WebSockets:  func() metrics.WebSocketStats { return metrics.WebSocketStats(a.sdk.Stats()) },
		RTMP:        func() metrics.RTMPStats { return metrics.RTMPStats(a.rtmpStats()) },
		Calls:       a.calls.Stats,
		Sound:       a.audio.Stats,
		SourceSound: a.audio.SourceStats,
		SoundFiles:  a.sounds.Stats,
		Pictures:    a.video.Totals,
		Thumbnails:  a.video.Thumbnails,
		Load:        a.gate.Stats,
		Stuck:       a.pion.Stuck,
		Refusals:    a.refusals.Counts,
		Reader:      rest.Reader,
		State:       a.state.Stats,
		Drain:       a.drainer.left,
		Tokens:      a.tokens.Stats,
		Leases:      a.leases.Len,
		OverLimit:   a.quotas.Refused,
		Audit:       a.audit.Stats,
		People:      a.people.Stats,
		Traces:      a.tracer.Stats,
	}
	if a.hooks != nil {
		p.Hooks = a.hooks.Stats
	}
	if a.certificates != nil {
		p.Certificates = a.certificates.Stats
	}
	if a.cluster != nil {
		p.Cluster, p.Router, p.Relays, p.Events, p.Past, p.Shared = a.cluster.Stats, a.router.Stats, a.relay.Stats, a.events.Stats, a.past.Stats, a.shared.Stats
		p.EndsWaiting = a.mirror.Behind
	}
	if a.records != nil {
		p.Claims = a.records.claims.Stats
	}
	return p
}

// restarts returns the figures of ICE restarts, by door.
func (a *App) restarts() map[string]rtc.RestartStats {
	whip, whep := a.whip.Restarts()
	return map[string]rtc.RestartStats{"whip": whip, "whep": whep, "websocket": a.sdk.Restarts()}
}

// countPanics returns how often the parts have panicked that do not count panics in their Stats.
func (a *App) countPanics() map[string]int64 {
	counts := map[string]int64{"hook": a.backends.Panics(), "webrtc": a.lean.Panics() + a.pion.Panics(), "whip": a.whip.Panics(), "http": a.panics.Load(), "push": a.pushes.Panics(),
		"transcode": a.audio.Panics() + a.video.Panics() + a.sounds.Panics()}
	if a.router != nil {
		counts["cluster"] = a.router.Panics() + a.relay.Panics()
	}
	return counts
}

// datagrams returns how many datagrams were lost, by reason.
func (a *App) datagrams() map[string]int64 {
	return map[string]int64{
		"strange": a.media.Strange(),
		"refused": a.lean.Refused(),
		"dropped": a.pion.Dropped(),
		"unsent":  a.media.Unsent(),
		"full":    a.media.Overflowed(),
	}
}

func (a *App) ready() error {
	switch p, left, why := a.drainer.now(); p {
	case stopping:
		return errStopped
	case draining:
		return fmt.Errorf("draining for %v at most: %w", left.Round(time.Second), why)
	}
	return a.clusterReady()
}

// notes are what /health/ready tells beside the state of the server, one a line.
func (a *App) notes() string {
	return joinLines(a.registrations(), a.unreachable(), stateNote(a.state.Stats()))
}

// joinLines joins lines, and leaves out empty ones.
func joinLines(lines ...string) string {
	return strings.Join(slices.DeleteFunc(lines, func(l string) bool { return l == "" }), "\n")
}

// stateNote says what is wrong with the state folder, "" if nothing is. A server goes on without its state, so it is ready all the same.
func stateNote(s state.Stats) string {
	var failing, damaged, aside string
	if s.Failing {
		failing = "the state cannot be written: what changes now is lost when the server ends"
	}
	if s.Damaged > 0 {
		damaged = fmt.Sprintf("%d records of the state are damaged", s.Damaged)
	}
	if s.SetAside {
		aside = "the database of the state was damaged when the server started, and was set aside"
	}
	return joinLines(failing, damaged, aside)
}

// registrations says how many SIP registrations are up, "" if there should be none.
func (a *App) registrations() string {
	r := a.calls.Stats().Registrations
	if r.Wanted == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d SIP registrations are up", r.Up, r.Wanted)
}

func (a *App) rtmpStats() rtmpserver.Stats {
	if a.server == nil {
		return rtmpserver.Stats{}
	}
	return a.server.Stats()
}

// stats returns the counts for /?action=stat.
func (a *App) stats() rest.Stats {
	rtmp := a.rtmpStats()
	st := rest.Stats{
		WebSockets:      a.sdk.Stats().Sessions,
		RTMPConnections: int(rtmp.Connections),
		RTMPOut:         len(a.pushes.Find(transponder.Filter{})) + int(rtmp.Players),
		Viewers:         int(rtmp.Players),
	}
	for _, s := range a.hub.Sources() {
		if s.IsLive() {
			switch s.Info().Provider {
			case "RTMP":
				st.RTMPIn++
			case "SIP": // the contract counts no such streams
			default:
				st.WebRTCIn++
			}
		}
	}
	st.WebRTCOut = a.egress.Players()
	st.Viewers += st.WebRTCOut
	st.MediaPortsBusy = min(st.WebRTCIn+st.WebRTCOut, 1) // all WebRTC connections share one port
	st.MediaPortsFree = 1 - st.MediaPortsBusy
	return st
}
