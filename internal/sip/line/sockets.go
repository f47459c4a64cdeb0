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
	// receiveBuffer holds some hundred messages while the goroutine of the Line is busy.
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
		return fmt.Errorf("listen for SIP: %w", err)
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

// readDatagrams reads the UDP socket until it is closed.
func (l *Line) readDatagrams(ctx context.Context, conn *net.UDPConn) {
	buffer := make([]byte, 64<<10)
	for failures := 0; ; {
		n, source, err := conn.ReadFromUDPAddrPort(buffer)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if failures++; errors.Is(err, net.ErrClosed) || failures > maxFailures {
				l.links.fatal(fmt.Errorf("read SIP over UDP: %w", err))
				return
			}
			continue
		}
		failures = 0
		source = netip.AddrPortFrom(source.Addr().Unmap(), source.Port())
		if l.gate.admitsDatagram(time.Now(), buffer[:n], source) {
			l.received(ctx, buffer[:n], Origin{Transport: "udp", Source: source}, false)
		}
	}
}

// maxFailures is how many errors in a row a socket may report before it counts as broken. Single errors come from ICMP, or from a lack of
// file descriptors.
const maxFailures = 100

// failurePause keeps a listener that fails from taking all the processor.
const failurePause = 50 * time.Millisecond

// accept takes connections until the listener is closed.
func (l *Line) accept(ctx context.Context, listener net.Listener, transport string, config *tls.Config) {
	for failures := 0; ; {
		conn, err := listener.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				conn.Close()
			}
			return
		case err != nil:
			if failures++; errors.Is(err, net.ErrClosed) || failures > maxFailures {
				l.links.fatal(fmt.Errorf("accept SIP over %s: %w", transport, err))
				return
			}
			select {
			case <-time.After(failurePause):
			case <-ctx.Done():
			}
			continue
		}
		failures = 0
		source := sourceOf(conn)
		if !l.gate.admits(time.Now(), source, transport) {
			conn.Close()
			continue
		}
		if config != nil {
			conn = tls.Server(conn, config)
		}
		c := newLink(route{transport: transport, remote: source}, conn)
		l.deliver(ctx, func(now time.Time) { l.links.accepted(now, c) })
		l.links.start(c)
	}
}

func sourceOf(conn net.Conn) netip.AddrPort {
	source, _ := netip.ParseAddrPort(conn.RemoteAddr().String())
	return netip.AddrPortFrom(source.Addr().Unmap(), source.Port())
}

// Port returns the local port of a transport: 0 before the sockets are open, and for TLS without a TLS server.
func (l *Line) Port(transport string) int {
	switch p := l.ports.Load(); {
	case p == nil:
		return 0
	case transport == "tls":
		return p.tls
	default:
		return p.sip
	}
}

// Back returns the path to where a message came from: over TCP and TLS the same connection, as long as it lives. It is for requests to a
// peer that connected to us, and may not be reached otherwise.
func (l *Line) Back(o Origin) Path {
	p := Path{Transport: o.Transport, Remote: o.Source, ServerName: o.serverName}
	p.Local, _ = l.localFor(o.Source) // the peer has just reached us: there is a route
	return p
}

// Contact returns the URI at which the peer of a path reaches us.
func (l *Line) Contact(user string, p Path) string {
	uri := "sip:" + user + "@" + l.sentBy(p)
	if p.Transport != "udp" {
		uri += ";transport=" + p.Transport
	}
	return uri
}

// sentBy returns our host and port as the peer of a path sees them.
func (l *Line) sentBy(p Path) string {
	host := p.Local
	for _, external := range l.cfg.External {
		if external.Is4() == p.Remote.Addr().Is4() && !p.Remote.Addr().IsLoopback() {
			host = external
		}
	}
	if !host.IsValid() {
		host = netip.IPv4Unspecified()
	}
	port := l.Port(p.Transport)
	if port == 0 { // without a TLS server, a peer can only use our connection
		port = l.Port("udp")
	}
	return netip.AddrPortFrom(host, uint16(port)).String()
}
