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

// sockets are what we listen on.
type sockets struct {
	udp *net.UDPConn
	tcp net.Listener
	tls net.Listener // nil: there is no TLS server
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
	s, err := l.listen(ctx)
	if err != nil {
		return fmt.Errorf("listen for SIP at sip_port or sip_tls_port: %w", err)
	}
	l.sockets = s
	l.log.Info("SIP listens", "address", s.udp.LocalAddr().String(), "tls", s.ports().tls)
	l.command(func(time.Time) { l.serve(s) })
	l.ports.Store(s.ports()) // from now on others send, and find the sockets in use
	return nil
}

// close closes the sockets for good.
func (l *Line) close() {
	l.opening <- struct{}{}
	defer func() { <-l.opening }()
	l.closed = true
	if l.sockets != nil {
		l.sockets.close()
	}
}

// listen opens UDP and TCP on the same port.
func (l *Line) listen(ctx context.Context) (*sockets, error) {
	var err error
	for range portTries {
		var s *sockets
		if s, err = l.listenOnce(ctx); err == nil || l.cfg.Port != 0 {
			return s, err
		}
	}
	return nil, err
}

func (l *Line) listenOnce(ctx context.Context) (_ *sockets, err error) {
	s := &sockets{}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	var config net.ListenConfig
	conn, err := config.ListenPacket(ctx, "udp", l.listenAddress(l.cfg.Port))
	if err != nil {
		return nil, err
	}
	s.udp = conn.(*net.UDPConn)
	_ = s.udp.SetReadBuffer(receiveBuffer) // the kernel gives what it allows
	if s.tcp, err = config.Listen(ctx, "tcp", l.listenAddress(portOf(s.udp.LocalAddr()))); err != nil {
		return nil, err
	}
	if l.cfg.TLSPort == 0 || l.parts.Certificate == nil {
		return s, nil
	}
	listener, err := config.Listen(ctx, "tcp", l.listenAddress(l.cfg.TLSPort))
	if err != nil {
		return nil, err
	}
	s.tls = listener
	return s, nil
}

func (l *Line) listenAddress(port int) string {
	return net.JoinHostPort(l.cfg.Address, strconv.Itoa(port))
}

func portOf(a net.Addr) int {
	addrPort, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return 0
	}
	return int(addrPort.Port())
}

func (s *sockets) ports() *ports {
	p := &ports{sip: portOf(s.udp.LocalAddr())}
	if s.tls != nil {
		p.tls = portOf(s.tls.Addr())
	}
	return p
}

func (s *sockets) close() {
	if s.udp != nil {
		s.udp.Close()
	}
	if s.tcp != nil {
		s.tcp.Close()
	}
	if s.tls != nil {
		s.tls.Close()
	}
}

// serve starts the goroutines that read the sockets.
func (l *Line) serve(s *sockets) {
	l.links.udp = s.udp
	l.links.spawn(func(ctx context.Context) { l.readDatagrams(ctx, s.udp) })
	l.links.spawn(func(ctx context.Context) { l.accept(ctx, s.tcp, "tcp", nil) })
	if s.tls != nil {
		config := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: l.certificate}
		l.links.spawn(func(ctx context.Context) { l.accept(ctx, s.tls, "tls", config) })
	}
}

func (l *Line) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c := l.parts.Certificate(); c != nil {
		return c, nil
	}
	return nil, errors.New("there is no certificate")
}
