package rtmpserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"transponder/internal/guard"
	"transponder/internal/load"
	"transponder/internal/media"
	"transponder/internal/panics"
	"transponder/internal/rtmp"
	"transponder/internal/stream"
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

// maxUnfinished is how many bytes the unfinished messages of all connections may have, beyond half a megabyte for each connection.
const maxUnfinished = 256 << 20

// acceptPause is the pause after the system had no room for a new connection.
const acceptPause = 50 * time.Millisecond

// Parts are the parts of the server that this door works with. Hub, Audio and Origins must not be nil.
type Parts struct {
	Hub     *stream.Hub
	Audio   AudioRenditions
	Origins Origins
	Gate    *load.Gate // decides whether there is room for another player, as the hub does for publishers; nil: there always is

	Shares   guard.SharesConfig // how much of all connections one address may have; the zero value sets no limit
	Refusals *guard.Refusals    // counts the connections that are refused; nil: they are not counted
}

// Server serves RTMP publishers and players.
type Server struct {
	cfg      Config
	parts    Parts
	log      *slog.Logger
	listener net.Listener
	places   *guard.Places
	budget   *rtmp.Budget

	counters counters
	panics   panics.Counter
}

// New opens the port. Nothing is accepted before Run, which also closes it.
func New(cfg Config, parts Parts, log *slog.Logger) (*Server, error) {
	l, err := net.Listen("tcp", cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("open the RTMP port: %w", err)
	}
	return &Server{
		cfg: cfg, parts: parts, log: log, listener: l,
		places: parts.Shares.Places(cfg.MaxConnections), budget: rtmp.NewBudget(maxUnfinished),
	}, nil
}

// Addr returns the address that the server listens on.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Run accepts and serves connections until ctx ends, and returns the cause. All connections are closed and all goroutines have ended when
// it returns.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil)
	stop := context.AfterFunc(ctx, func() { s.listener.Close() })
	defer stop()
	defer s.listener.Close()

	for {
		nc, err := s.listener.Accept()
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
		peer, _ := guard.RemoteAddress(nc.RemoteAddr().String())
		release, why := s.places.Take(peer)
		if release == nil {
			s.counters.rejected.Add(1)
			s.parts.Refusals.Note("rtmp", why, "peer", nc.RemoteAddr().String())
			nc.Close()
			continue
		}
		s.counters.connections.Add(1)
		s.counters.accepted.Add(1)
		wg.Go(func() {
			defer release()
			defer s.counters.connections.Add(-1)
			s.serve(ctx, nc)
		})
	}
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
