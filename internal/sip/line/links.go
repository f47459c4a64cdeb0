package line

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"transponder/internal/panics"
)

const (
	// maxConnections bounds all connections.
	maxConnections = 512
	// maxOfAddress bounds the connections with one address: an address that has so many cannot make another one to us.
	maxOfAddress = 32
	// idleTime is how long a connection lives without messages. Keep holds it longer.
	idleTime = 10 * time.Minute
	// writeTime is how long a datagram may wait for the kernel.
	writeTime = time.Second
	// largeDatagram is the size above which RFC 3261, 18.1.1, wants TCP: the datagram will be cut into fragments, which some NATs drop.
	largeDatagram = 1300
)

var (
	errNoConnection = errors.New("the connection is closed")
	errConnections  = errors.New("too many SIP connections")
	errIdle         = errors.New("the connection was idle")
)

// ping keeps a connection, or the entry of a NAT, alive (RFC 5626, 3.5.1).
var ping = []byte("\r\n\r\n")

// links are the ways to peers: the UDP socket and the connections. They are owned by the goroutine of the Line.
type links struct {
	cfg    Config
	bind   netip.Addr
	counts *counters
	panics *panics.Counter
	log    *slog.Logger

	udp    *net.UDPConn // nil before it is open
	open   map[route]*link
	kept   map[route]map[*keeper]struct{}
	warned bool // of a large datagram

	lost func(now time.Time, r route, err error) // set by New

	// Set by Run, before anything else happens.
	spawn    func(func(context.Context))
	post     func(context.Context, task)
	received func(ctx context.Context, data []byte, from Origin, wait bool)
}

// keeper is one use of Keep.
type keeper struct{ broken func(error) } // nil: nobody wants to know

func newLinks(cfg Config, bind netip.Addr, counts *counters, panics *panics.Counter, log *slog.Logger) *links {
	return &links{cfg: cfg, bind: bind, counts: counts, panics: panics, log: log, open: map[route]*link{}, kept: map[route]map[*keeper]struct{}{}}
}

// carry implements wire.
func (s *links) carry(r route, data []byte, dial bool) (made bool, err error) {
	if r.transport == "udp" {
		if err = s.sendDatagram(r.remote, data); err == nil {
			s.counts.sent.Add(1)
		}
		return false, err
	}
	c := s.open[r]
	switch {
	case c != nil:
	case !dial:
		return false, errNoConnection
	case len(s.open) >= maxConnections:
		s.counts.full.Add(1)
		return false, errConnections
	default:
		made, c = true, newLink(r, nil)
		s.add(c)
		s.start(c)
	}
	c.used = time.Now()
	return made, c.write(data)
}

func (s *links) sendDatagram(remote netip.AddrPort, data []byte) error {
	if s.udp == nil {
		return ErrClosed
	}
	if len(data) > largeDatagram && !s.warned {
		s.warned = true
		s.log.Warn("a SIP message is larger than 1300 bytes: if calls fail, use TCP (sipTransport)", "bytes", len(data))
	}
	_ = s.udp.SetWriteDeadline(time.Now().Add(writeTime))
	_, err := s.udp.WriteToUDPAddrPort(data, remote)
	return err
}

// accepted takes a connection that a peer has made.
func (s *links) accepted(now time.Time, c *link) {
	same := 0
	for other := range s.open {
		if other.remote.Addr() == c.route.remote.Addr() {
			same++
		}
	}
	if s.open[c.route] != nil || same >= maxOfAddress || len(s.open) >= maxConnections {
		s.counts.full.Add(1)
		c.end(errConnections)
		return
	}
	c.used = now
	s.add(c)
}

func (s *links) add(c *link) {
	s.open[c.route] = c
	s.counts.connections.Store(int64(len(s.open)))
}

// start runs a connection. It may be called from every goroutine that Line.Run joins.
func (s *links) start(c *link) {
	s.spawn(func(ctx context.Context) {
		err := s.confine(func() error { return c.run(ctx, s) })
		s.post(ctx, func(now time.Time) { s.remove(now, c, err) })
	})
}

// confine runs a part of a connection. A panic ends this connection alone.
func (s *links) confine(f func() error) error {
	return s.panics.Run(s.log, "panic in a SIP connection", f)
}

// remove takes a connection that has ended.
func (s *links) remove(now time.Time, c *link, err error) {
	if s.open[c.route] != c {
		return // it was not accepted
	}
	delete(s.open, c.route)
	s.counts.connections.Store(int64(len(s.open)))
	s.counts.unsent.Add(int64(len(c.out)))
	s.log.Debug("SIP connection closed", "transport", c.route.transport, "peer", c.route.remote, "err", err)
	s.lost(now, c.route, err)
	for k := range s.kept[c.route] {
		if k.broken != nil {
			k.broken(err)
		}
	}
}

// keepAlive sends a ping over our connections to peers and over the UDP paths of Keep, and closes idle connections.
func (s *links) keepAlive(now time.Time) {
	for r, c := range s.open {
		switch {
		case now.Sub(c.used) > idleTime && len(s.kept[r]) == 0:
			c.end(errIdle)
		case !c.inbound:
			_ = c.write(ping)
		}
	}
	for r := range s.kept {
		if r.transport == "udp" {
			_ = s.sendDatagram(r.remote, ping)
		}
	}
}

func (s *links) keep(r route, k *keeper) {
	if s.kept[r] == nil {
		s.kept[r] = map[*keeper]struct{}{}
	}
	s.kept[r][k] = struct{}{}
}

func (s *links) release(r route, k *keeper) {
	delete(s.kept[r], k)
	if len(s.kept[r]) == 0 {
		delete(s.kept, r)
	}
}

// dial makes a connection.
func (s *links) dial(ctx context.Context, r route) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timers.Finish)
	defer cancel()
	var dialer net.Dialer
	if s.bind.IsValid() {
		dialer.LocalAddr = &net.TCPAddr{IP: s.bind.AsSlice(), Zone: s.bind.Zone()}
	}
	conn, err := dialer.DialContext(ctx, "tcp", r.remote.String())
	if err != nil || r.transport != "tls" {
		return conn, err
	}
	secure := tls.Client(conn, &tls.Config{
		ServerName: r.serverName, RootCAs: s.cfg.Roots, InsecureSkipVerify: s.cfg.TLSInsecure, MinVersion: tls.VersionTLS12,
	})
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return secure, nil
}
