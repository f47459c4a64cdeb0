package line

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

const (
	// maxFailures is how many errors in a row a socket may report before it counts as broken. Single errors come from ICMP, or from a lack of
	// file descriptors.
	maxFailures = 100
	// failurePause keeps a listener that fails from taking all the processor.
	failurePause = 50 * time.Millisecond
)

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
				l.fatal(fmt.Errorf("read SIP over UDP: %w", err))
				return
			}
			continue
		}
		failures = 0
		source = netip.AddrPortFrom(source.Addr().Unmap(), source.Port())
		l.confine(func() {
			if l.gate.admitsDatagram(time.Now(), buffer[:n], source) {
				l.received(ctx, buffer[:n], Origin{Transport: "udp", Source: source}, false)
			}
		})
	}
}

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
				l.fatal(fmt.Errorf("accept SIP over %s: %w", transport, err))
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
		admitted := false
		l.confine(func() { admitted = l.gate.admits(time.Now(), source, transport) })
		if !admitted {
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
