package rtmpserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"transponder/internal/access"
	"transponder/internal/guard"
	"transponder/internal/load"
	"transponder/internal/media"
	"transponder/internal/panics"
	"transponder/internal/rtmp"
	"transponder/internal/stream"
	"transponder/internal/trace"
)

// AudioRenditions returns the sound of a stream in a format: the feed of the source if it has the format, otherwise one that is transcoded
// or silent. The caller calls release once, when it no longer needs the feed.
type AudioRenditions interface {
	Feed(s *stream.Source, format media.AudioFormat) (feed *stream.Feed, release func(), err error)
}

// Origins knows the connections that this server has made to itself: a transponder.Registry.
type Origins interface {
	// Origin returns the push whose output a connection brings, directly or from another server, "" if it is none of this server's, and
	// whether the push would send what is published under that name on to itself.
	Origin(trail rtmp.Trail, name string) (push string, ring bool)
}

// Relays knows the streams that other servers of the cluster send here. cluster.Relay is one.
type Relays interface {
	// Expects returns what a server publishes that connects to an application, with the query. ok is false if the application is not that
	// of a relay. A second call with the same application fails.
	Expects(app string) (info stream.Info, ok bool)
	// Arrived is told the source that the server writes to from now on.
	Arrived(app string, src *stream.Source)
	// Find returns a stream, also one that another server has.
	Find(ctx context.Context, name string) (*stream.Source, bool)
}

// maxUnfinished is how many bytes the unfinished messages of all connections may have, beyond half a megabyte for each connection.
const maxUnfinished = 256 << 20

// acceptPause is the pause after the system had no room for a new connection.
const acceptPause = 50 * time.Millisecond

// Parts are the parts of the server that this door works with. Hub, Audio, Origins and Access must not be nil.
type Parts struct {
	Hub     *stream.Hub
	Asked   *stream.Asked // shared by all doors; nil: this door has its own
	Audio   AudioRenditions
	Origins Origins
	Access  Access
	Hooks   Hooks // asks the backends of applications; nil: there are none
	// Push starts a push of a stream by a principal, for whom the backend of an application has asked for it; nil: there are no pushes.
	Push func(ctx context.Context, by *access.Principal, stream, url string) error
	Gate *load.Gate  // decides whether there is room for another player, as the hub does for publishers; nil: there always is
	TLS  *tls.Config // of RTMPS; not nil if Config.SecureAddress is set

	Relays Relays        // nil: this server is alone
	Tracer *trace.Tracer // makes the traces of publishers; nil: there are none

	// Plain and Secure are listeners that stand for Config.Address and Config.SecureAddress; nil: New opens those. The server closes them.
	Plain, Secure net.Listener

	Shares   guard.SharesConfig // how much of all connections one address may have; the zero value sets no limit
	Refusals *guard.Refusals    // counts the connections that are refused; nil: they are not counted
}

// Server serves RTMP publishers and players.
type Server struct {
	cfg     Config
	parts   Parts
	log     *slog.Logger
	plain   net.Listener // nil: none
	secure  net.Listener // below TLS; nil: none
	places  *guard.Places
	waiting waiting
	budget  *rtmp.Budget

	counters counters
	panics   panics.Counter
}

// New opens the ports. Nothing is accepted before Run, which also closes them.
func New(cfg Config, parts Parts, log *slog.Logger) (*Server, error) {
	if parts.Asked == nil {
		parts.Asked = &stream.Asked{}
	}
	s := &Server{
		cfg: cfg, parts: parts, log: log,
		places: parts.Shares.Places(cfg.MaxConnections), waiting: waiting{shares: parts.Shares, by: map[netip.Prefix]int{}}, budget: rtmp.NewBudget(maxUnfinished),
	}
	s.plain, s.secure = parts.Plain, parts.Secure
	var err error
	if cfg.Address != "" && s.plain == nil {
		if s.plain, err = net.Listen("tcp", cfg.Address); err != nil {
			return nil, fmt.Errorf("open the RTMP port: %w", err)
		}
	}
	if cfg.SecureAddress != "" && s.secure == nil {
		if s.secure, err = net.Listen("tcp", cfg.SecureAddress); err != nil {
			s.close()
			return nil, fmt.Errorf("open the RTMPS port: %w", err)
		}
	}
	return s, nil
}

// close closes the ports.
func (s *Server) close() {
	for _, l := range []net.Listener{s.plain, s.secure} {
		if l != nil {
			l.Close()
		}
	}
}

// Addr returns the address that the server listens on without TLS, nil if it does not.
func (s *Server) Addr() net.Addr { return addrOf(s.plain) }

// SecureAddr returns the address that the server listens on with TLS, nil if it does not.
func (s *Server) SecureAddr() net.Addr { return addrOf(s.secure) }

func addrOf(l net.Listener) net.Addr {
	if l == nil {
		return nil
	}
	return l.Addr()
}

// Run accepts and serves connections until ctx ends, and returns the cause. All connections are closed and all goroutines have ended when
// it returns.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil)
	stop := context.AfterFunc(ctx, s.close)
	defer stop()
	defer s.close()
	if s.plain != nil {
		wg.Go(func() { cancel(s.accept(ctx, s.plain, &wg, nil)) })
	}
	if s.secure != nil {
		wg.Go(func() { cancel(s.accept(ctx, s.secure, &wg, s.parts.TLS)) })
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

// accept accepts connections until ctx ends or the listener fails. wg counts the goroutines of the connections.
func (s *Server) accept(ctx context.Context, l net.Listener, wg *sync.WaitGroup, secure *tls.Config) error {
	for {
		nc, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				nc.Close()
			}
			return context.Cause(ctx)
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept RTMP connections: %w", err)
		case err != nil:
			s.log.Warn("rtmp connection not accepted", "err", err)
			if err := waitFor(ctx, acceptPause); err != nil {
				return err
			}
			continue
		}
		admitted, leave, why := s.enter(nc)
		if leave == nil {
			s.counters.rejected.Add(1)
			s.parts.Refusals.Note(door, why, "peer", nc.RemoteAddr().String())
			nc.Close()
			continue
		}
		s.counters.connections.Add(1)
		s.counters.accepted.Add(1)
		wg.Go(func() {
			defer leave()
			defer s.counters.connections.Add(-1)
			s.serve(ctx, nc, secure, admitted)
		})
	}
}

// enter takes a place for a connection. leave gives it back, nil if there is none: why says for which reason. admitted is called when the client
// may publish or play.
func (s *Server) enter(nc net.Conn) (admitted, leave func(), why string) {
	peer, _ := guard.RemoteAddress(nc.RemoteAddr().String())
	admitted = s.waiting.enter(peer)
	if admitted == nil {
		return nil, nil, whyWaiting
	}
	release, why := s.places.Take(peer)
	if release == nil {
		admitted()
		return nil, nil, why
	}
	return admitted, func() { admitted(); release() }, ""
}

// waitFor waits for d. If ctx ends before, it returns the cause.
func waitFor(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Stats are the figures of the server at one moment.
type Stats struct {
	Connections, Publishers, Players int64 // now

	Accepted   int64 // connections
	Rejected   int64 // connections closed at once because there were too many
	Refused    int64 // requests to publish or to play
	Strangers  int64 // connections that did not speak RTMP, or not in time
	BadFrames  int64 // audio and video messages that could not be used
	TimeJumps  int64 // jumps of the clocks of publishers
	SlowPlayer int64 // times that a player was too slow, and frames were dropped
	Dropped    int64 // frames that slow players lost
	Panics     int64 // connections ended by a bug here
}

type counters struct {
	connections, publishers, players                                      atomic.Int64
	accepted, rejected, refused, strangers, badFrames, jumps, slow, drops atomic.Int64
}

// Stats returns the figures of the server.
func (s *Server) Stats() Stats {
	c := &s.counters
	return Stats{
		Connections: c.connections.Load(), Publishers: c.publishers.Load(), Players: c.players.Load(),
		Accepted: c.accepted.Load(), Rejected: c.rejected.Load(), Refused: c.refused.Load(),
		Strangers: c.strangers.Load(), BadFrames: c.badFrames.Load(), TimeJumps: c.jumps.Load(),
		SlowPlayer: c.slow.Load(), Dropped: c.drops.Load(), Panics: s.panics.Load(),
	}
}
