// Package app builds every part of the server from the settings, runs them, and stops them in reverse order. Only this package knows all
// parts.
package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"maps"
	"net"
	"os"
	"sync"
	"time"

	"transponder/internal/access"
	"transponder/internal/access/audit"
	"transponder/internal/access/auth"
	"transponder/internal/access/people"
	"transponder/internal/access/token"
	"transponder/internal/certificate"
	"transponder/internal/cluster"
	"transponder/internal/config"
	"transponder/internal/destination"
	"transponder/internal/guard"
	"transponder/internal/handover"
	"transponder/internal/hook"
	"transponder/internal/load"
	"transponder/internal/panics"
	"transponder/internal/rest"
	"transponder/internal/rtc"
	"transponder/internal/rtc/lean"
	"transponder/internal/rtc/pion"
	"transponder/internal/rtc/udp"
	"transponder/internal/rtmpserver"
	"transponder/internal/sip"
	"transponder/internal/sip/line"
	"transponder/internal/state"
	"transponder/internal/stream"
	"transponder/internal/trace"
	"transponder/internal/transcode/picture"
	"transponder/internal/transcode/sound"
	"transponder/internal/transcode/soundfile"
	"transponder/internal/transponder"
	"transponder/internal/wcs"
	"transponder/internal/whip"
)

// stopLimit is how long the server may take to stop.
const stopLimit = 5 * time.Second

// App is the whole server.
type App struct {
	cfg     config.Config
	version string
	log     *slog.Logger

	state    *state.Store
	records  *records          // of pushes; nil: they do not outlive the process
	failover *cluster.Failover // nil: this server is alone
	orphans  *cluster.Orphans  // nil: this server is alone
	tracer   *trace.Tracer     // nil: there are no traces
	gate     *load.Gate        // nil: the settings set no limit
	guard    *guard.Guard
	refusals *guard.Refusals
	auth     *auth.Authenticator
	leases   *access.Leases
	pushers  *access.Leases // of users who have started pushes
	quotas   *access.Quotas
	tokens   *token.Tokens
	people   *people.People
	audit    *audit.Log
	hub      *stream.Hub
	asked    stream.Asked // the names about which backends are asked
	media    *udp.Port
	lean     *lean.Receiver
	pion     *pion.Endpoint
	ingest   *rtc.Ingest
	audio    *sound.Transcoder
	egress   *rtc.Egress
	sounds   *soundfile.Library
	video    *picture.Transcoder
	pushes   *transponder.Registry

	destinations *destination.Store
	hooks        *transponder.Hooks // nil: the settings name no hook
	sdk          *wcs.Server
	whip         *whip.Server
	calls        *sip.Calls
	server       *rtmpserver.Server // nil: the RTMP port is not open

	// Of a server among others; nil: this server is alone.
	cluster *cluster.Cluster
	router  *cluster.Router
	relay   *cluster.Relay
	events  *cluster.Events
	past    *cluster.Past   // nil: this server is alone
	shared  *cluster.Shared // users, keys, destinations and applications; nil: this server is alone
	mirror  *cluster.Mirror // what others tell backends if this server dies; nil: this server is alone

	apps     *hook.Apps
	backends *hook.Hooks

	listeners            map[string]net.Listener // by setting; of these and of RTMP and ICE-TCP, for a process that takes over
	http, https, ws, wss net.Listener            // nil: not open
	sipSockets           *line.Sockets           // nil: SIP opens them when it needs them
	certificates         *certificate.Keeper

	drainer *drainer
	serving func()              // is called when the parts run; nil: nobody wants to know
	next    *handover.Successor // set by Run before it returns; nil: no process takes over

	started time.Time
	panics  panics.Counter // of HTTP requests

	reloading reloading
}

// New opens the ports and builds the parts. The caller calls Run once.
func New(ctx context.Context, cfg config.Config, version string, log *slog.Logger) (*App, error) {
	ports, err := Open(ctx, cfg, nil, log)
	if err != nil {
		return nil, err
	}
	return NewOn(ctx, ports, cfg, version, log)
}

// NewOn builds the parts on open ports, which are no longer the caller's. The caller calls Run once.
func NewOn(ctx context.Context, ports *Ports, cfg config.Config, version string, log *slog.Logger) (_ *App, err error) {
	a := &App{cfg: cfg, version: version, log: log, started: time.Now(), listeners: maps.Clone(ports.tcp), certificates: ports.certificates}
	a.reloading.now = cfg
	a.cfg.REST.NodeID = nodeID(a.cfg.Media)
	a.cfg.WCS.NodeID = a.cfg.REST.NodeID
	a.cfg.Backends.NodeID = a.cfg.REST.NodeID
	a.cfg.SIP.UserAgent = cmp.Or(cfg.SIP.UserAgent, "Transponder/"+version)
	a.cfg.SIP.Line.Roots = cfg.Push.RootCAs
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	defer ports.Close()
	a.http, a.https, a.ws, a.wss = ports.take("http.port"), ports.take("https.port"), ports.take("ws.port"), ports.take("wss.port")
	a.sipSockets, ports.sip = ports.sip, nil
	a.cfg.State.Lock, ports.lock = ports.lock, nil
	cfg.State = a.cfg.State
	if a.state, err = state.Open(ctx, cfg.State, log); err != nil {
		return nil, err
	}
	a.gate = load.NewGate(cfg.MaxLoad, a.use)
	a.hub = stream.NewHub(cfg.Stream, a.gate)
	a.drainer = newDrainer(cfg.Drain, a.hub.Len, a.hub.Refuse, log)
	if err := a.openCluster(ctx); err != nil {
		return nil, err
	}
	// In a cluster the name of this node is known now.
	if a.tracer, err = trace.New(ctx, cfg.Trace, a.cfg.REST.NodeID, version, os.Getenv, log); err != nil {
		return nil, err
	}
	if a.router != nil {
		a.router.Trace(a.tracer)
	}
	if err := a.openTokens(ctx); err != nil {
		return nil, err
	}
	a.refusals = guard.NewRefusals(log)
	a.guard = guard.New(a.names(cfg), a.refusals)
	pages, err := cfg.REST.Origins()
	if err != nil {
		return nil, err
	}
	if err := a.openPeople(ctx); err != nil {
		return nil, err
	}
	a.auth = auth.New(cfg.Access, auth.Parts{
		Tokens: a.tokens, People: a.people, Guesses: a.people, Cookie: rest.SessionCookie, Recorder: a.audit, Guard: a.guard, Pages: pages, Refusals: a.refusals,
		Shares: cfg.Shares, Leases: a.leases, Quotas: a.quotas,
	}, log)
	if err = a.openApps(ctx); err != nil {
		return nil, err
	}
	a.audio = sound.New(cfg.Audio, log)
	a.sounds = soundfile.New(cfg.MediaDir, cfg.Sounds, log)
	if a.video, err = picture.New(cfg.Video, log); err != nil {
		return nil, err
	}
	a.destinations = destination.New(a.keeper(), a.state.Sealer())
	if err := a.destinations.Reseal(ctx); err != nil {
		log.Warn("destinations are sealed with an old key", "err", err)
	}
	a.records = a.openRecords(ctx)
	pushParts := transponder.Parts{
		Hub: a.hub, Audio: a.audio, Video: a.video, Sounds: sounds{a.sounds}, Stills: picture.NewStills(cfg.MediaDir), Gate: a.gate,
		Destinations: a.destinations, ParseOptions: rest.ParseOptions, Rights: pushRights{a.auth, a.pushers}, OnEnd: a.pushEnded, Tracer: a.tracer,
	}
	a.records.addTo(&pushParts, a)
	if a.openPast(); a.past != nil {
		pushParts.OnPast = a.past.Add
	}
	a.pushes = transponder.NewRegistry(cfg.Push, pushParts, log)
	a.openFailover()
	if a.cluster != nil {
		a.events = cluster.NewEvents(cluster.EventsParts{
			JetStream: a.cluster.JetStream(), Name: a.cfg.Cluster.Name, Node: a.cluster.Self().Node, Replicas: a.cluster.Replicas, Journal: a.pushes.Journal(), Log: log,
		})
	}
	if cfg.Hooks.URL != "" {
		a.hooks = transponder.NewHooks(cfg.Hooks, a.pushes.Journal(), a.hookMarks(), log)
	}
	if a.media, err = ports.openMedia(ctx, cfg.Media); err != nil {
		return nil, err
	}
	hintAtMedia(cfg.Media, a.media, log)
	cfg.Pion.TCPListener = ports.take(portTCP)
	if a.pion, err = pion.New(ctx, cfg.Pion, a.media, log); err != nil {
		return nil, portError(portTCP, cfg.Pion.TCPPort, err)
	}
	if a.lean, err = lean.New(cfg.Lean, a.media, log); err != nil {
		return nil, err
	}
	a.ingest = rtc.NewIngest(cfg.Ingest, a.hub, log, a.receivers()...)
	a.egress = rtc.NewEgress(cfg.Egress, rtc.EgressParts{Sender: a.pion, Transcode: a.transcode, Gate: a.gate}, log)
	if a.calls, err = sip.New(a.cfg.SIP, a.sipParts(), log); err != nil {
		return nil, err
	}
	a.whip = whip.New(cfg.WHIP, a.whipParts(), log)
	a.sdk = wcs.New(a.cfg.WCS, a.sdkParts(), log)
	if a.server, err = a.newRTMP(ports.take(portRTMP), ports.take(portRTMPS)); err != nil {
		return nil, err
	}
	return a, nil
}

// newRTMP makes the server for RTMP and RTMPS. It returns nil if the settings close both ports.
func (a *App) newRTMP(plain, secure net.Listener) (*rtmpserver.Server, error) {
	if plain == nil && secure == nil {
		return nil, nil
	}
	parts := rtmpserver.Parts{
		Hub: a.hub, Asked: &a.asked, Audio: a.audio, Origins: a.pushes, Access: a.auth, Hooks: a.backends, Push: a.push, Gate: a.gate, Relays: a.relays(), Tracer: a.tracer, Shares: a.cfg.Shares, Refusals: a.refusals,
		Plain: plain, Secure: secure,
	}
	if secure != nil {
		parts.TLS = a.certificates.ServerConfig(false)
	}
	cfg := a.cfg.RTMP
	cfg.Address, cfg.SecureAddress = "", ""
	return rtmpserver.New(cfg, parts, a.log)
}

// hintAtMedia logs what may be wrong with the media port, if the server cannot know it for sure.
func hintAtMedia(cfg udp.Config, port *udp.Port, log *slog.Logger) {
	if n := port.ReadBuffer(); n > 0 && n < cfg.ReadBuffer {
		log.Info("the kernel grants small buffers to media sockets; for many streams raise net.core.rmem_max", "bytes", n, "wanted", cfg.ReadBuffer)
	}
	var private, public bool
	for _, a := range port.Addresses() {
		private = private || a.Is4() && a.IsPrivate()
		public = public || a.Is4() && !a.IsPrivate() && !a.IsLoopback()
	}
	if private && !public {
		log.Info("browsers in other networks may not find this machine; if they should, set ip to its public address", "addresses", port.Addresses())
	}
}

// nodeID makes a name for this process in the form of the contract's examples: 32 letters and digits, and an address.
func nodeID(cfg udp.Config) string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:]) + "@" + firstAddress(cfg)
}

// firstAddress returns the first address of this server: of the settings, or else of the machine.
func firstAddress(cfg udp.Config) string {
	if len(cfg.Addresses) > 0 {
		return cfg.Addresses[0].String()
	}
	if addrs, err := net.InterfaceAddrs(); err == nil {
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() && n.IP.To4() != nil {
				return n.IP.String()
			}
		}
	}
	return "127.0.0.1"
}

// URLs returns the addresses of the server on this machine.
func (a *App) URLs() URLs { return a.urls() }

// close closes what New has opened, if Run does not stop the parts.
func (a *App) close() {
	for _, l := range []net.Listener{a.http, a.https, a.ws, a.wss} {
		if l != nil {
			l.Close()
		}
	}
	if a.sipSockets != nil {
		a.sipSockets.Close()
	}
	a.closeMedia()
	if a.cluster != nil {
		a.cluster.Close()
	}
	if a.state != nil {
		a.state.Close()
	}
}

// closeMedia ends all WebRTC sessions, then closes the port.
func (a *App) closeMedia() error {
	if a.lean != nil {
		a.lean.Close()
	}
	if a.pion != nil {
		a.pion.Close()
	}
	if a.media != nil {
		a.media.Close()
	}
	return nil
}

// Run serves until ctx ends, or until a request or a process that takes over ends the server, and then for as long as streams may go on. Then, or
// if a part fails, it stops the parts in order: calls are hung up, then pushes say goodbye, then publishers are told. It returns nil if no part
// failed and all parts stopped in time.
func (a *App) Run(ctx context.Context) error {
	servers, err := a.httpParts(context.WithoutCancel(ctx))
	if err != nil {
		a.close()
		return err
	}
	a.noteServer("start", nil, "access="+string(a.cfg.Access.Mode))
	a.restorePushes(ctx)
	// Each part comes after the parts that it uses.
	parts := []part{
		{"state", until(a.state.Close)},
	}
	if a.tracer != nil {
		parts = append(parts, part{"traces", a.tracer.Run}) // stops after all that has spans
	}
	if a.cluster != nil { // stops after the pushes and streams, so that they can be given back
		parts = append(parts, part{"link to NATS", until(func() error { a.cluster.Close(); return nil })}, part{"cluster", a.cluster.Run}, part{"records of the cluster", a.shared.Run},
			part{"records for the other servers", a.mirror.Run})
	}
	parts = append(parts, []part{
		{"audit log", a.audit.Run},
		{"users", a.people.Run},
		{"tokens", a.tokens.Run},
		{"access", a.auth.Run},
		{"hub", a.hub.Run},
		{"hooks", a.backends.Run}, // stops after all doors, so that it tells of the ends of their sessions
		{"WebRTC receivers", until(a.closeMedia)},
	}...)
	parts = append(parts, a.records.parts()...)
	if a.reloading.levels != nil {
		parts = append(parts, part{"levels of the log", until(func() error { a.reloading.levels.Close(); return nil })})
	}
	if a.certificates != nil {
		parts = append(parts, part{"certificates", a.certificates.Run})
	}
	if a.gate != nil {
		parts = append(parts, part{"load", a.gate.Run})
	}
	if a.server != nil {
		parts = append(parts, part{"RTMP server", a.server.Run})
	}
	if a.relay != nil {
		parts = append(parts, part{"relays", a.relay.Run}, part{"events of the cluster", a.events.Follow}, part{"history of the cluster", a.past.Run}) // stop after the pushes
	}
	parts = append(parts,
		part{"WHIP", until(a.whip.Close)},
		part{"signalling", func(ctx context.Context) error {
			<-ctx.Done()
			limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
			defer cancel()
			return a.sdk.Shutdown(limit)
		}},
	)
	if a.hooks != nil {
		parts = append(parts, part{"push hooks", a.hooks.Run}) // stops after the pushes, so that it reports their ends
	}
	pushEvents := &pushEvents{
		journal: a.pushes.Journal(), streams: a.hub, backends: a.backends, mirror: a.mirror, log: a.log,
		owners: state.NewBucket[pushOwner](a.debts(), pushOwners, pushOwnersVersion),
	}
	if a.cluster != nil {
		parts = append(parts, part{"what servers that are gone have left", a.heir(pushEvents).Run})
	}
	parts = append(parts, part{"push events", pushEvents.run})
	parts = append(parts, part{"sound files", a.sounds.Run}, part{"pictures", a.video.Run}, part{"pushes", a.pushes.Run})
	if a.failover != nil {
		parts = append(parts, part{"failover", a.failover.Run}, part{"pushes without a server", a.orphans.Run}) // stop before the pushes
	}
	if a.cfg.Auto.Enabled {
		parts = append(parts, part{"automatic pushes", transponder.NewAutoStart(a.cfg.Auto.URL, a.hub, a.pushes, a.log).Run})
	}
	parts = append(parts, part{"SIP", a.runCalls}) // stops before the streams and the pushes of its calls
	a.cfg.WCS.WarnIfOpen(a.log)
	work, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() {
		if a.serving != nil {
			a.serving()
		}
		next, why := a.drainer.wait(ctx, work)
		a.next = next
		stop(why)
	})
	err = runAll(work, a.log, append(parts, servers...), stopLimit)
	stop(err)
	wg.Wait()
	return err
}

// until makes the function of a part that runs by itself until close is called.
func until(close func() error) func(context.Context) error {
	return func(ctx context.Context) error {
		<-ctx.Done()
		return close()
	}
}
