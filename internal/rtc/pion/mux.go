package pion

import (
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"

	"transponder/internal/rtc/udp"
)

// mux is the media port in the form of an ice.UDPMux. A datagram is copied only when pion reads it.
type mux struct {
	*udp.Port
	dropped atomic.Int64
}

var _ ice.UDPMux = (*mux)(nil)

// GetListenAddresses implements ice.UDPMux. Pion needs one local address of each family, whatever addresses the machine
// has: the same sockets receive for all of them, and Endpoint.candidates writes the candidates of the answer.
func (m *mux) GetListenAddresses() []net.Addr {
	a := []net.Addr{&net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: m.Number()}}
	if m.Socket(true) != nil {
		a = append(a, &net.UDPAddr{IP: net.IPv6loopback, Port: m.Number()})
	}
	return a
}

// GetConn implements ice.UDPMux.
func (m *mux) GetConn(ufrag string, addr net.Addr) (net.PacketConn, error) {
	a, ok := addr.(*net.UDPAddr)
	if !ok {
		return nil, fmt.Errorf("%v is no UDP address", addr)
	}
	c := newMuxConn(m, ufrag, a)
	if err := m.Join(ufrag, c.ipv6, c); err != nil {
		return nil, err
	}
	return c, nil
}

// RemoveConnByUfrag implements ice.UDPMux.
func (m *mux) RemoveConnByUfrag(ufrag string) {
	for _, ipv6 := range []bool{false, true} {
		if c, ok := m.User(ufrag, ipv6).(*muxConn); ok {
			c.Close()
		}
	}
}

// Close implements ice.UDPMux. The port is not ours to close.
func (m *mux) Close() error { return nil }

// maxQueued limits the datagrams that wait for the goroutine of one session: half a second of 20 Mbit/s.
const maxQueued = 1024

// muxConn is the share of one session in the port, as a net.PacketConn for pion. One goroutine may read.
type muxConn struct {
	mux    *mux
	ufrag  string
	ipv6   bool
	socket *udp.Socket
	local  net.Addr

	arrive chan struct{} // has an entry when the queue may have changed
	done   chan struct{}

	mu     sync.Mutex
	queue  []queued // guarded by mu; a ring, its length is a power of two
	first  int      // guarded by mu
	n      int      // guarded by mu
	closed bool     // guarded by mu

	bindMu sync.Mutex
	bound  map[netip.AddrPort]bool       // guarded by bindMu; nil when closed
	routes map[netip.AddrPort]udp.Source // guarded by bindMu; by the client's address: which address of ours it sends its checks to
}

type queued struct {
	buf  *[udp.MaxDatagram]byte
	size int
	from netip.AddrPort
	to   netip.Addr // the address of ours that it came to; only of checks
}

func newMuxConn(m *mux, ufrag string, local *net.UDPAddr) *muxConn {
	ipv6 := local.IP.To4() == nil
	return &muxConn{
		mux:    m,
		ufrag:  ufrag,
		ipv6:   ipv6,
		socket: m.Socket(ipv6),
		local:  local,
		arrive: make(chan struct{}, 1),
		done:   make(chan struct{}),
		bound:  map[netip.AddrPort]bool{},
		routes: map[netip.AddrPort]udp.Source{},
	}
}

// Receive implements udp.User.
func (c *muxConn) Receive(d *udp.Datagram) {
	var to netip.Addr
	if d.Check {
		to = d.To()
	}
	c.put(queued{d.Take(), len(d.Data), d.From, to})
}

// put queues a datagram. From then on the conn owns the buffer.
func (c *muxConn) put(q queued) {
	c.mu.Lock()
	if c.closed || c.n >= maxQueued {
		if !c.closed {
			c.mux.dropped.Add(1)
		}
		c.mu.Unlock()
		c.mux.Release(q.buf)
		return
	}
	if c.n == len(c.queue) {
		bigger := make([]queued, max(16, 2*len(c.queue)))
		for i := range c.n {
			bigger[i] = c.queue[(c.first+i)&(len(c.queue)-1)]
		}
		c.queue, c.first = bigger, 0
	}
	c.queue[(c.first+c.n)&(len(c.queue)-1)] = q
	c.n++
	wake := c.n == 1
	c.mu.Unlock()
	if wake {
		select {
		case c.arrive <- struct{}{}:
		default:
		}
	}
}

// ReadFromAddrPort returns the next datagram. If it is a check, then datagrams to that client are sent from the address
// that the check came to. Pion answers the check, and sends one of its own, before it reads again.
func (c *muxConn) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	for {
		c.mu.Lock()
		if c.n > 0 {
			q := c.queue[c.first]
			c.queue[c.first] = queued{}
			c.first = (c.first + 1) & (len(c.queue) - 1)
			c.n--
			c.mu.Unlock()
			n := copy(b, q.buf[:q.size])
			c.mux.Release(q.buf)
			if q.to.IsValid() {
				c.route(q.from, q.to)
			}
			return n, q.from, nil
		}
		c.mu.Unlock()
		select {
		case <-c.arrive:
		case <-c.done:
			return 0, netip.AddrPort{}, io.EOF
		}
	}
}

// ReadFrom implements net.PacketConn.
func (c *muxConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.ReadFromAddrPort(b)
	if err != nil {
		return 0, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

// WriteToAddrPort sends a datagram. Datagrams from that address belong to this conn from now on.
func (c *muxConn) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	from, ok := c.bind(to)
	if !ok {
		return 0, io.ErrClosedPipe
	}
	return c.socket.Write(b, from, to)
}

// bind claims an address for this conn and returns the source for datagrams to it. It is not ok if the conn is closed.
func (c *muxConn) bind(to netip.AddrPort) (from udp.Source, ok bool) {
	c.bindMu.Lock()
	defer c.bindMu.Unlock()
	if c.bound == nil {
		return udp.Source{}, false
	}
	if !c.bound[to] {
		c.bound[to] = true
		c.mux.Claim(c, to)
	}
	return c.routes[to], true
}

// maxRoutes limits the addresses that come from checks which nobody has verified yet.
const maxRoutes = 64

// route notes the address of ours that a check came to.
func (c *muxConn) route(from netip.AddrPort, local netip.Addr) {
	c.bindMu.Lock()
	defer c.bindMu.Unlock()
	source, known := c.routes[from]
	if source.Addr() == local || !known && len(c.routes) >= maxRoutes {
		return
	}
	c.routes[from] = udp.NewSource(local)
}

// WriteTo implements net.PacketConn.
func (c *muxConn) WriteTo(b []byte, to net.Addr) (int, error) {
	a, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, os.ErrInvalid
	}
	return c.WriteToAddrPort(b, a.AddrPort())
}

// Close ends reads and gives back the conn's addresses. A second Close does nothing.
func (c *muxConn) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	for ; c.n > 0; c.n-- {
		c.mux.Release(c.queue[c.first].buf)
		c.first = (c.first + 1) & (len(c.queue) - 1)
	}
	c.queue = nil
	c.mu.Unlock()
	close(c.done)

	c.bindMu.Lock()
	bound := c.bound
	c.bound = nil
	c.bindMu.Unlock()
	c.mux.Leave(c, c.ufrag, c.ipv6, slices.Collect(maps.Keys(bound))...)
	return nil
}

// LocalAddr implements net.PacketConn.
func (c *muxConn) LocalAddr() net.Addr { return c.local }

// SetDeadline implements net.PacketConn; pion uses it only just before Close.
func (c *muxConn) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.PacketConn.
func (c *muxConn) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.PacketConn.
func (c *muxConn) SetWriteDeadline(time.Time) error { return nil }
