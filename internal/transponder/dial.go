package transponder

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"transponder/internal/rtmp"
	"transponder/internal/stream"
	"transponder/internal/trace"
)

// errNoAddress means that a host has no address of the same family as the source address.
var errNoAddress = errors.New("the host has no address of the same family as rtmp_publisher_ip")

// dialer makes the connections of a push. It remembers which addresses failed, so that the next connection tries the others first. Any
// goroutine may use it.
type dialer struct {
	pushConfig
	source func() *stream.Source // what the push reads now

	inside atomic.Bool // an address of a private network was dialled

	mu     sync.Mutex
	hellos [4]rtmp.Hello                // guarded by mu; of the latest connections, the newest first
	failed map[netip.AddrPort]time.Time // guarded by mu; addresses that failed last, and when
}

func newDialer(c pushConfig, source func() *stream.Source) *dialer {
	return &dialer{pushConfig: c, source: source}
}

// locate resolves the host of a target and returns the addresses that may be dialled. It fails with *targetError if none may.
func (c Config) locate(ctx context.Context, t pushTarget) ([]netip.Addr, error) {
	port, err := t.port()
	if err != nil {
		return nil, err
	}
	addrs, err := c.resolve(ctx, t.Host)
	if err != nil {
		return nil, err
	}
	return t.Policy.allowed(t.Host, port, addrs)
}

func (t pushTarget) port() (uint16, error) {
	n, err := strconv.ParseUint(t.Port, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("port: %w", err)
	}
	return uint16(n), nil
}

// resolve returns all addresses of a host.
func (c Config) resolve(ctx context.Context, host string) (addrs []netip.Addr, err error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	ctx, span := trace.Start(ctx, "resolve")
	span.Set("server.address", host)
	defer func() { endSpan(span, err) }()
	ctx, cancel := context.WithTimeout(ctx, c.ResolveTimeout)
	defer cancel()
	lookup := c.Resolve
	if lookup == nil {
		lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	if addrs, err = lookup(ctx, host); err != nil {
		return nil, err
	}
	for i, a := range addrs {
		addrs[i] = a.Unmap()
	}
	return addrs, nil
}

// dialTCP opens a TCP connection.
func (d *dialer) dialTCP(ctx context.Context, a netip.AddrPort) (_ net.Conn, err error) {
	ctx, span := trace.Start(ctx, "TCP")
	if span.On() {
		span.Set("network.peer.address", a.Addr().String())
		span.SetInt("network.peer.port", int(a.Port()))
	}
	defer func() { endSpan(span, err) }()
	if d.cfg.dialTCP != nil {
		return d.cfg.dialTCP(ctx, a)
	}
	tcp := net.Dialer{Control: d.control}
	if d.cfg.LocalAddr.IsValid() {
		tcp.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(d.cfg.LocalAddr, 0))
	}
	return tcp.DialContext(ctx, "tcp", a.String())
}

// control makes the kernel give up a connection on which nothing is acknowledged for as long as a write may take. Keep-alive probes would
// not help: they are sent on idle connections only, and a push is never idle.
func (d *dialer) control(_, _ string, raw syscall.RawConn) error {
	var err error
	if e := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.cfg.WriteTimeout.Milliseconds()))
	}); e != nil {
		return e
	}
	return err
}

// secure makes a TLS connection of conn if the target asks for TLS. It closes conn if that fails.
func (d *dialer) secure(ctx context.Context, t pushTarget, conn net.Conn) (_ net.Conn, err error) {
	if !t.TLS {
		return conn, nil
	}
	ctx, span := trace.Start(ctx, "TLS")
	defer func() { endSpan(span, err) }()
	secured := tls.Client(conn, &tls.Config{
		ServerName: t.Host, RootCAs: d.cfg.RootCAs, InsecureSkipVerify: d.cfg.SkipTLSVerify, //nolint:gosec // a setting for tests
	})
	if err := secured.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, &tlsError{err}
	}
	return &securedConn{secured}, nil
}

// securedConn is a TLS connection that returns network errors only. crypto/tls returns errors of other types for bytes that are not valid
// records.
type securedConn struct{ *tls.Conn }

func (c *securedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	return n, c.networkError("read", err)
}

func (c *securedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	return n, c.networkError("write", err)
}

func (c *securedConn) networkError(op string, err error) error {
	var known net.Error
	if err == nil || err == io.EOF || errors.As(err, &known) {
		return err
	}
	return &net.OpError{Op: op, Net: "tls", Addr: c.RemoteAddr(), Err: err}
}

// tlsError is an error of the TLS handshake.
type tlsError struct{ err error }

func (e *tlsError) Error() string { return "TLS handshake: " + e.err.Error() }
func (e *tlsError) Unwrap() error { return e.err }
