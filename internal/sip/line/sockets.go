package line

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"
)

const (
	// receiveBuffer is what the kernel may hold while we have no time to read: some hundreds of messages.
	receiveBuffer = 1 << 20
	// portTries is how often a free port is looked for that both UDP and TCP have.
	portTries = 20
)

// ports are the local ports, as they stand in Via and Contact.
type ports struct{ sip, tls int }

// Sockets are what a Line listens on.
type Sockets struct {
	UDP *net.UDPConn
	TCP net.Listener // of the same port
	TLS net.Listener // nil: there is no TLS server
}

// open opens the sockets, if they are not open, and has them served.
func (l *Line) open(ctx context.Context) error {
	if l.ports.Load() != nil {
		return nil
	}
	select {
	case l.opening <- struct{}{}:
		defer func() { <-l.opening }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	switch {
	case l.closed:
		return ErrClosed
	case l.sockets != nil:
		return nil
	}
	s := l.parts.Sockets
	if s == nil {
		var err error
		if s, err = Listen(ctx, l.cfg, l.parts.Certificate != nil, Sockets{}); err != nil {
			return err
		}
	}
	l.sockets = s
	l.log.Info("SIP listens", "address", s.UDP.LocalAddr().String(), "tls", s.ports().tls)
	l.command(func(time.Time) { l.serve(s) })
	l.ports.Store(s.ports()) // from now on others send, and find the sockets in use
	return nil
}

// close closes the sockets for good.
func (l *Line) close() {
	l.opening <- struct{}{}
	defer func() { <-l.opening }()
	l.closed = true
	for _, s := range []*Sockets{l.sockets, l.parts.Sockets} {
		if s != nil {
			s.Close()
		}
	}
}

// Listen opens UDP and TCP on the same port, and a TLS server if it is wanted and has a certificate. Of before, which another process has opened, it
// uses what fits, and closes the rest.
func Listen(ctx context.Context, cfg Config, hasCertificate bool, before Sockets) (_ *Sockets, err error) {
	s := &Sockets{}
	defer func() {
		before.Close()
		if err != nil {
			s.Close()
			err = fmt.Errorf("listen for SIP at sip_port or sip_tls_port: %w", err)
		}
	}()
	if before.UDP != nil && before.TCP != nil {
		port := cfg.Port
		if port == 0 {
			port = portOf(before.UDP.LocalAddr())
		}
		if cfg.fits(before.UDP.LocalAddr(), port) && cfg.fits(before.TCP.Addr(), port) {
			s.UDP, s.TCP, before.UDP, before.TCP = before.UDP, before.TCP, nil, nil
		}
	}
	for try := 1; s.UDP == nil; try++ {
		if s.UDP, s.TCP, err = listenOnce(ctx, cfg); err != nil && (cfg.Port != 0 || try == portTries) {
			return nil, err
		}
	}
	_ = s.UDP.SetReadBuffer(receiveBuffer) // the kernel gives what it allows
	switch {
	case cfg.TLSPort == 0 || !hasCertificate:
	case before.TLS != nil && cfg.fits(before.TLS.Addr(), cfg.TLSPort):
		s.TLS, before.TLS = before.TLS, nil
	default:
		var config net.ListenConfig
		if s.TLS, err = config.Listen(ctx, "tcp", cfg.listenAddress(cfg.TLSPort)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func listenOnce(ctx context.Context, cfg Config) (*net.UDPConn, net.Listener, error) {
	var config net.ListenConfig
	conn, err := config.ListenPacket(ctx, "udp", cfg.listenAddress(cfg.Port))
	if err != nil {
		return nil, nil, err
	}
	listener, err := config.Listen(ctx, "tcp", cfg.listenAddress(portOf(conn.LocalAddr())))
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	return conn.(*net.UDPConn), listener, nil
}

// fits says whether a socket has the address of the settings, and a port.
func (c Config) fits(a net.Addr, port int) bool {
	at, err := netip.ParseAddrPort(a.String())
	if err != nil || int(at.Port()) != port {
		return false
	}
	want, err := netip.ParseAddr(c.Address)
	return c.Address == "" && at.Addr().IsUnspecified() || err == nil && want.Unmap() == at.Addr().Unmap()
}

func (c Config) listenAddress(port int) string {
	return net.JoinHostPort(c.Address, strconv.Itoa(port))
}

func portOf(a net.Addr) int {
	addrPort, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return 0
	}
	return int(addrPort.Port())
}

func (s *Sockets) ports() *ports {
	p := &ports{sip: portOf(s.UDP.LocalAddr())}
	if s.TLS != nil {
		p.tls = portOf(s.TLS.Addr())
	}
	return p
}

// Close closes the sockets.
func (s *Sockets) Close() {
	if s.UDP != nil {
		s.UDP.Close()
	}
	if s.TCP != nil {
		s.TCP.Close()
	}
	if s.TLS != nil {
		s.TLS.Close()
	}
}

// serve starts the goroutines that read the sockets.
func (l *Line) serve(s *Sockets) {
	l.links.udp = s.UDP
	l.links.spawn(func(ctx context.Context) { l.readDatagrams(ctx, s.UDP) })
	l.links.spawn(func(ctx context.Context) { l.accept(ctx, s.TCP, "tcp", nil) })
	if s.TLS != nil {
		config := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: l.certificate}
		l.links.spawn(func(ctx context.Context) { l.accept(ctx, s.TLS, "tls", config) })
	}
}

func (l *Line) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c := l.parts.Certificate(); c != nil {
		return c, nil
	}
	return nil, errors.New("there is no certificate")
}
