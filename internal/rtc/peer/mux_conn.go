package peer

import (
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// maxQueued is how many datagrams wait for one peer's goroutine: half a second of 20 Mbit/s.
const maxQueued = 1024

// muxConn is one peer's share of the port, as a net.PacketConn for pion. Reads are for one goroutine.
type muxConn struct {
	mux    *mux
	user   user
	socket *socket
	local  net.Addr

	arrive chan struct{} // holds a token when the queue may have changed
	done   chan struct{}

	mu     sync.Mutex
	queue  []queued // ring, length a power of two; guarded by mu
	first  int      // guarded by mu
	n      int      // guarded by mu
	closed bool     // guarded by mu

	bindMu sync.Mutex
	bound  map[netip.AddrPort]*binding // guarded by bindMu
	routes map[netip.AddrPort]route    // guarded by bindMu
}

// route is the address of ours that a peer's address sends its checks to. What we send must come from there: the peer pairs
// the two, and the kernel would choose by its own routes.
type route struct {
	local   netip.Addr
	control []byte
}

type queued struct {
	buf  *[maxDatagram]byte
	size int
	from netip.AddrPort
	to   netip.Addr // of ours; only of checks
}

func newMuxConn(m *mux, u user, s *socket, local net.Addr) *muxConn {
	return &muxConn{
		mux:    m,
		user:   u,
		socket: s,
		local:  local,
		arrive: make(chan struct{}, 1),
		done:   make(chan struct{}),
		bound:  map[netip.AddrPort]*binding{},
		routes: map[netip.AddrPort]route{},
	}
}

// put queues a datagram; the conn owns its buffer from then on.
func (c *muxConn) put(q queued) {
	c.mu.Lock()
	if c.closed || c.n >= maxQueued {
		if !c.closed {
			c.mux.dropped.Add(1)
		}
		c.mu.Unlock()
		c.mux.buffers.Put(q.buf)
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

// ReadFromAddrPort takes the next datagram. If it is a check, what is sent to its sender from now on leaves from the address
// that it came to: pion answers it, and checks the way back, before it reads again.
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
			c.mux.buffers.Put(q.buf)
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

// WriteToAddrPort sends a datagram; what comes back from there is ours.
func (c *muxConn) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	control, ok := c.bind(to)
	if !ok {
		return 0, io.ErrClosedPipe
	}
	n, _, err := c.socket.WriteMsgUDPAddrPort(b, control, to)
	return n, err
}

// bind notes that an address is this peer's and returns how to send to it; false if the conn is closed.
func (c *muxConn) bind(to netip.AddrPort) (control []byte, ok bool) {
	c.bindMu.Lock()
	defer c.bindMu.Unlock()
	if c.bound == nil {
		return nil, false
	}
	if c.bound[to] == nil {
		c.bound[to] = c.mux.bind(c, to)
	}
	return c.routes[to].control, true
}

// maxRoutes bounds the addresses that unproved checks may name.
const maxRoutes = 64

// route notes where a check came to.
func (c *muxConn) route(from netip.AddrPort, local netip.Addr) {
	c.bindMu.Lock()
	defer c.bindMu.Unlock()
	r, known := c.routes[from]
	if r.local == local || !known && len(c.routes) >= maxRoutes {
		return
	}
	c.routes[from] = route{local, sourceControl(local)}
}

// WriteTo implements net.PacketConn.
func (c *muxConn) WriteTo(b []byte, to net.Addr) (int, error) {
	a, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, os.ErrInvalid
	}
	return c.WriteToAddrPort(b, a.AddrPort())
}

// Close lets reads end and forgets the conn's addresses. Closing twice is harmless.
func (c *muxConn) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	for ; c.n > 0; c.n-- {
		c.mux.buffers.Put(c.queue[c.first].buf)
		c.first = (c.first + 1) & (len(c.queue) - 1)
	}
	c.queue = nil
	c.mu.Unlock()
	close(c.done)

	c.bindMu.Lock()
	bound := c.bound
	c.bound = nil
	c.bindMu.Unlock()
	c.mux.remove(c, bound)
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
