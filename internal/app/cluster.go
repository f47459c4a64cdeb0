package app

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"

	"transponder/internal/cluster"
	"transponder/internal/rtc"
	"transponder/internal/rtmpserver"
	"transponder/internal/sip"
	"transponder/internal/state"
	"transponder/internal/stream"
	"transponder/internal/transponder"
)

// openCluster joins the other servers, if the settings name a NATS server. Nothing is sent before Run.
func (a *App) openCluster(ctx context.Context) error {
	if a.cfg.Cluster.NATS == "" {
		return nil
	}
	id, err := cluster.Identify(a.cfg.State.Dir, a.cfg.Cluster.Node)
	if err != nil {
		a.log.Warn("the name of this node is not kept", "err", err)
	}
	a.cfg.REST.NodeID, a.cfg.WCS.NodeID, a.cfg.Backends.NodeID, a.cfg.Audit.Node = id.Node, id.Node, id.Node, id.Node
	a.cluster, err = cluster.New(a.cfg.Cluster, cluster.Parts{Identity: id, Sealer: a.state.Sealer(), Hub: a.hub, Node: a.node}, a.log)
	if err != nil {
		return err
	}
	a.shared = cluster.NewShared(ctx, cluster.SharedParts{Cluster: a.cluster, Local: a.state, Log: a.log})
	a.shared.Start(ctx)
	a.mirror = cluster.NewMirror(a.cluster, a.state, a.log)
	a.hub.SetNames(a.cluster.Names())
	a.router = cluster.NewRouter(a.cluster, a.cluster.Sealer(), a.log)
	for _, k := range []cluster.Kind{
		cluster.KindNode, cluster.KindPush, cluster.KindStream, cluster.KindMedia, cluster.KindPage, cluster.KindCall, cluster.KindWHIP,
	} {
		a.router.Has(k, func(id string) bool { return a.hasHere(k, id) })
	}
	a.relay = cluster.NewRelay(cluster.RelayParts{Router: a.router, Hub: a.hub, Transcode: a.transcode}, a.log)
	return nil
}

// keeper keeps what people have made: this server, or all servers together.
func (a *App) keeper() state.Keeper {
	if a.shared != nil {
		return a.shared
	}
	return a.state
}

// node is what this server tells the others about itself.
func (a *App) node() cluster.Node {
	use, stats := a.use(), a.gate.Stats()
	n := cluster.Node{
		Server: a.version, API: 1, Started: a.started.UnixMilli(), HTTP: a.cfg.Cluster.HTTPURL, RTMP: a.cfg.Cluster.RTMPAddress, State: cluster.NodeReady,
		Cores: stats.Used, Allowed: stats.Allowed, Unit: stats.Stream, Streams: use.Streams, Pushes: use.Pushes, Players: use.Players,
	}
	if n.RTMP == "" {
		n.RTMP = a.rtmpAddress()
	}
	switch phase, _, _ := a.drainer.now(); {
	case phase != serving:
		n.State = cluster.NodeDraining
	case stats.Allowed > 0 && stats.Used+stats.Stream > stats.Allowed:
		n.State = cluster.NodeFull
	}
	return n
}

// members returns the servers that live.
func (a *App) members() []cluster.Node {
	if a.cluster != nil {
		return a.cluster.Nodes()
	}
	alone := a.node()
	alone.Node = a.cfg.REST.NodeID
	return []cluster.Node{alone}
}

// rtmpAddress returns where other servers reach the RTMP port of this one: at the first address of this machine. "": nowhere.
func (a *App) rtmpAddress() string {
	if a.server == nil || a.server.Addr() == nil {
		return ""
	}
	_, port, err := net.SplitHostPort(a.server.Addr().String())
	if err != nil {
		return ""
	}
	return net.JoinHostPort(firstAddress(a.cfg.Media), port)
}

// hasHere says whether this server has something.
func (a *App) hasHere(k cluster.Kind, id string) bool {
	switch k {
	case cluster.KindNode:
		return id == a.cfg.REST.NodeID
	case cluster.KindPush:
		return len(a.pushes.Find(transponder.Filter{ID: id})) > 0
	case cluster.KindStream:
		src, ok := a.hub.Source(id)
		return ok && !src.Info().IsRelay()
	case cluster.KindMedia:
		src, ok := a.hub.SourceByID(id)
		return ok && !src.Info().IsRelay()
	case cluster.KindPage:
		for _, c := range a.sdk.Connections() {
			if c.SessionID == id {
				return true
			}
		}
	case cluster.KindCall:
		return a.cfg.SIP.Enabled && len(a.calls.Find(sip.Filter{CallID: id})) > 0
	case cluster.KindWHIP:
		return a.whip.Has(id)
	}
	return false
}

// relays returns the relays for the RTMP door; nil: this server is alone.
func (a *App) relays() rtmpserver.Relays {
	if a.relay == nil {
		return nil
	}
	return a.relay
}

// playable finds the streams that can be played here: those of this server, and those that other servers send when somebody asks.
type playable struct {
	*stream.Hub
	relay *cluster.Relay // nil: this server is alone
}

func (a *App) playable() playable { return playable{a.hub, a.relay} }

// Source may take some milliseconds for a stream of another server.
func (p playable) Source(name string) (*stream.Source, bool) {
	if p.relay == nil {
		return p.Hub.Source(name)
	}
	return p.relay.Source(name)
}

var _ rtc.Sources = playable{}

// maxForwarded is the longest body of a request that is handed over to another server.
const maxForwarded = 256 << 10

// forwardedHeaders are the headers that the handlers of sessions look at.
var forwardedHeaders = []string{"Authorization", "Content-Type", "Content-Encoding", "If-Match", "Etag", "Origin", "Sec-Fetch-Site", "User-Agent"}

// sessionsAnywhere serves the requests of WHIP and WHEP sessions by the server that has the session, so that a load balancer may send them to
// any server. Events of sessions are followed at the server that has them.
func (a *App) sessionsAnywhere(next http.Handler) http.Handler {
	if a.router == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := sessionOf(r)
		if id == "" || cluster.Forwarded(r.Context()) != nil || a.whip.Has(id) {
			next.ServeHTTP(w, r)
			return
		}
		at, found, _ := a.router.Locate(r.Context(), cluster.KindWHIP, id)
		if !found {
			next.ServeHTTP(w, r)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForwarded))
		var reply cluster.Reply
		if err == nil {
			reply, err = a.router.Ask(r.Context(), at, cluster.NewCall(r, body, forwardedHeaders...))
		}
		var large *http.MaxBytesError
		switch {
		case errors.As(err, &large):
			http.Error(w, "the body is too long for an SDP text", http.StatusRequestEntityTooLarge)
		case err != nil:
			w.Header().Set("Retry-After", "2")
			http.Error(w, "the server that has this session does not answer", http.StatusServiceUnavailable)
		default:
			reply.Write(w)
		}
	})
}

// sessionOf returns the session of WHIP or WHEP that a request is about, "" if another server could not answer it.
func sessionOf(r *http.Request) string {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if len(parts) < 3 || r.Method == http.MethodOptions || len(parts) > 4 {
		return ""
	}
	return parts[2]
}

// better returns the address of a server that has more room for a publisher than this one, "" if there is none.
func (a *App) better() string {
	if a.router == nil {
		return ""
	}
	return a.router.Better()
}

// betterSocket is better for pages of the Web SDK: the HTTP port takes their sockets under /ws.
func (a *App) betterSocket() string {
	address, found := strings.CutPrefix(a.better(), "http") // https becomes wss
	if !found {
		return ""
	}
	return "ws" + strings.TrimSuffix(address, "/") + "/ws"
}

// clusterReady is nil if publishers may be sent to this server as far as the cluster is concerned.
func (a *App) clusterReady() error {
	if a.cluster == nil {
		return nil
	}
	return a.cluster.Ready()
}

// hookMarks keep how far the events of this server were posted; nil: nothing is kept.
func (a *App) hookMarks() transponder.HookMarks {
	if a.records == nil {
		return nil
	}
	m := cluster.HookMarks{Node: "self", Local: a.state, Log: a.log}
	if a.cluster != nil {
		m.Node, m.Shared = a.cluster.Self().Node, a.cluster.Keeper()
	}
	return m
}
