package udp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Socket is one of those that share the port. What has no note may be called from any goroutine.
type Socket struct {
	port *Port
	conn *net.UDPConn
	raw  syscall.RawConn

	wheel wheel // owned by run
	now   time.Duration

	strange atomic.Int64
	unsent  atomic.Int64
	full    atomic.Uint32 // as the kernel counts, which begins anew after 2^32

	mu    sync.Mutex
	work  []func()      // guarded by mu: for run to do
	armed time.Duration // guarded by mu: when reading is to end; 0: never, negative: at once
}

// listen opens a socket on a port, which others share if asked for. The first one of a port is bound alone, so that a
// second server on the same port fails in place of taking half of the first one's packets; only then is it shared.
func (p *Port) listen(ctx context.Context, network string, port int, join bool) (*Socket, error) {
	var lc net.ListenConfig
	if join {
		lc.Control = func(_, _ string, raw syscall.RawConn) error { return share(raw) }
	}
	pc, err := lc.ListenPacket(ctx, network, net.JoinHostPort("", strconv.Itoa(port)))
	if err != nil {
		return nil, err
	}
	s := &Socket{port: p, conn: pc.(*net.UDPConn)}
	if err := s.prepare(network, join); err != nil {
		s.conn.Close()
		return nil, err
	}
	s.wheel.init()
	return s, nil
}

func (s *Socket) prepare(network string, shared bool) (err error) {
	if s.raw, err = s.conn.SyscallConn(); err != nil {
		return err
	}
	if !shared {
		if err := share(s.raw); err != nil {
			return fmt.Errorf("share the port: %w", err)
		}
	}
	if err := tellMore(s.raw, network); err != nil {
		return fmt.Errorf("ask for destinations and times of datagrams: %w", err)
	}
	if n := s.port.cfg.ReadBuffer; n > 0 && force(s.raw, n) != nil {
		_ = s.conn.SetReadBuffer(n) // as much as the kernel allows
	}
	return nil
}

// run hands out the socket's datagrams and fires its timers until it is closed.
func (s *Socket) run() {
	b := newBatch(s)
	d := Datagram{Socket: s, batch: b}
	for {
		s.arm()
		n, err := b.read()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		s.now = s.port.Now()
		d.At = s.now
		for i := range n { // other errors concern one datagram, such as an ICMP answer to what was sent
			d.Data, d.From = b.datagram(i)
			d.index = i
			var u User
			if u, d.Check = s.port.find(d.Data, d.From); u != nil {
				u.Receive(&d)
			} else {
				s.strange.Add(1)
			}
		}
		if full := b.full(); full != 0 {
			s.full.Store(full)
		}
		s.wheel.advance(s.now)
	}
}

// arm does what others have asked for, and lets the next read end when a timer is due.
func (s *Socket) arm() {
	for {
		next, ok := s.wheel.next()
		if !ok {
			next = 0
		}
		s.mu.Lock()
		work := s.work
		s.work = nil
		if len(work) == 0 {
			s.limit(next)
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		for _, f := range work {
			f()
		}
	}
}

// limit sets when reading is to end. mu is held.
func (s *Socket) limit(at time.Duration) {
	if at == s.armed {
		return
	}
	s.armed = at
	deadline := time.Time{}
	if at != 0 {
		deadline = s.port.opened.Add(max(at, 1))
	}
	_ = s.conn.SetReadDeadline(deadline) // fails only when closed, which reading tells
}

// Do lets f run in the socket's goroutine, soon; never if the port is closed before.
func (s *Socket) Do(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.work = append(s.work, f)
	s.limit(-1)
}

// Set sets a timer; one that is set already is moved. It is called from the socket's goroutine only.
func (s *Socket) Set(t *Timer, at time.Duration) { s.wheel.set(t, at) }

// Write sends a datagram, and waits while the kernel has no room for it.
func (s *Socket) Write(b []byte, from Source, to netip.AddrPort) (int, error) {
	n, _, err := s.conn.WriteMsgUDPAddrPort(b, from.control, to)
	return n, err
}

// Send sends a datagram or, where the kernel has no room for it, does not.
func (s *Socket) Send(b []byte, from Source, to netip.AddrPort) {
	if !s.send(b, from, to) {
		s.unsent.Add(1)
	}
}

// Source is an address of ours that a datagram leaves from; the zero value lets the kernel choose. What is sent to a peer must
// come from where its checks went to: the peer pairs the two, and the kernel would choose by its own routes.
type Source struct {
	addr    netip.Addr
	control []byte
}

// NewSource makes a source of an address.
func NewSource(a netip.Addr) Source { return Source{a, sourceControl(a)} }

// Addr returns the address, not valid if the kernel chooses.
func (s Source) Addr() netip.Addr { return s.addr }

// Datagram is what came.
type Datagram struct {
	Socket *Socket
	Data   []byte // may be changed
	From   netip.AddrPort
	Check  bool          // it is a STUN binding request
	At     time.Duration // when it was read, as Port.Now

	batch *batch
	index int
}

// To returns which of our addresses it came to; not valid if that is not known.
func (d *Datagram) To() netip.Addr {
	if d.batch == nil { // made by a test
		return netip.Addr{}
	}
	return d.batch.to(d.index)
}

// Arrived returns when the kernel got it, as At.
func (d *Datagram) Arrived() time.Duration {
	if d.batch == nil {
		return d.At
	}
	return d.At - d.batch.waited(d.index)
}

// Take gives the datagram's memory to the caller, who gives it back by Release.
func (d *Datagram) Take() *[MaxDatagram]byte { return d.batch.take(d.index) }

// Release gives memory back that was taken from a datagram.
func (p *Port) Release(b *[MaxDatagram]byte) { p.buffers.Put(b) }
