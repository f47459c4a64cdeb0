package udp

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
)

// Batches lends read buffers to many sockets: a Conn has one only while it has datagrams to hand over. So hundreds of calls, whose
// datagrams can have 64 KiB each, need the buffers of a few. The buffers lie outside of the heap: most of their pages are never touched, and
// take no memory. All methods may be called from any goroutine.
type Batches struct {
	size int

	mu   sync.Mutex
	free []*Batch // guarded by mu
}

// maxFree limits the batches that wait for use: about one for each goroutine that can read at the same moment.
const maxFree = 16

// NewBatches makes batches for datagrams of up to size bytes. A longer datagram is cut off.
func NewBatches(size int) *Batches { return &Batches{size: size} }

func (p *Batches) get() *Batch {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.free); n > 0 {
		b := p.free[n-1]
		p.free = p.free[:n-1]
		return b
	}
	return newBatchOutside(p.size)
}

// Put takes a batch back that came from Conn.Read. Its datagrams are gone then.
func (p *Batches) Put(b *Batch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.free) < maxFree {
		p.free = append(p.free, b)
		return
	}
	b.free()
}

// Close frees the batches that wait for use.
func (p *Batches) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range p.free {
		b.free()
	}
	p.free = nil
}

// Conn is a UDP socket that one user has alone, unlike the Port. One goroutine may read; the other methods may be called from any goroutine.
type Conn struct {
	conn    *net.UDPConn
	raw     syscall.RawConn
	batches *Batches

	batch *Batch                // owned by the reader, while it reads
	poll  func(fd uintptr) bool // receive
}

// Listen opens a socket, with a buffer of readBuffer bytes in the kernel or as much as the kernel allows; 0: the kernel's default. The caller
// closes the socket.
func Listen(at netip.AddrPort, readBuffer int, batches *Batches) (*Conn, error) {
	network := "udp4"
	if at.Addr().Is6() {
		network = "udp6"
	}
	conn, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(at))
	if err != nil {
		return nil, err
	}
	c := &Conn{conn: conn, batches: batches}
	c.poll = c.receive
	if c.raw, err = conn.SyscallConn(); err != nil {
		conn.Close()
		return nil, fmt.Errorf("prepare a socket: %w", err)
	}
	enlarge(c.conn, c.raw, readBuffer)
	return c, nil
}

// enlarge asks for a buffer in the kernel. Without CAP_NET_ADMIN the kernel grants at most net.core.rmem_max.
func enlarge(conn *net.UDPConn, raw syscall.RawConn, size int) {
	if size > 0 && force(raw, size) != nil {
		_ = conn.SetReadBuffer(size) // as much as the kernel allows
	}
}

// Port returns the number of the port.
func (c *Conn) Port() int { return c.conn.LocalAddr().(*net.UDPAddr).Port }

// Send sends a datagram. It returns false if the kernel has no room or no route; it never waits.
func (c *Conn) Send(b []byte, to netip.AddrPort) bool { return send(c.conn, c.raw, b, Source{}, to) }

// Close closes the socket. A waiting Read returns net.ErrClosed.
func (c *Conn) Close() error { return c.conn.Close() }
