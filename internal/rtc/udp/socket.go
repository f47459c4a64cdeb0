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

// Socket is one of the sockets that share the port. Its methods may be called from any goroutine, unless they say otherwise.
type Socket struct {
	port *Port
	conn *net.UDPConn
	raw  syscall.RawConn

	wheel wheel         // owned by run
	now   time.Duration // owned by run: when the last read returned

	probes      int           // owned by run: how many have come since probesSince
	probesSince time.Duration // owned by run

	strange atomic.Int64
	unsent  atomic.Int64
	full    atomic.Uint32 // the kernel's count, which wraps

	mu    sync.Mutex
	work  []func()      // guarded by mu: for run to do
	armed time.Duration // guarded by mu: when the read is to return; 0: never, negative: at once
}

// listen opens a socket on a port. The first socket of a port is bound alone and shares the port only afterwards. So a
// second server on the same port fails to start; otherwise it would take half of the packets. With join, the port is shared
// already.
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
	enlarge(s.conn, s.raw, s.port.cfg.ReadBuffer)
	return nil
}

// number returns the number of the port.
func (s *Socket) number() int { return s.conn.LocalAddr().(*net.UDPAddr).Port }

// run gives datagrams to their users and fires timers until the socket is closed.
func (s *Socket) run() {
	b := newBatch(func() []byte { return s.port.buffers.Get().(*[MaxDatagram]byte)[:] })
	d, poll := Datagram{Socket: s, batch: b}, b.receive
	for {
		s.arm()
		err := b.read(s.conn, s.raw, poll)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		s.now = s.port.Now()
		d.At = s.now
		// After another error nothing was read, and reading goes on: the error is about one datagram, for example the ICMP reply to
		// a datagram that was sent.
		for i := range b.Len() {
			d.Data, d.From = b.Datagram(i)
			d.index = i
			var u User
			if u, d.Check = s.port.find(d.Data, d.From); u != nil {
				u.Receive(&d)
			} else if !s.answerProbe(&d) {
				s.strange.Add(1)
			}
		}
		if full := b.full(); full != 0 {
			s.full.Store(full)
		}
		s.wheel.advance(s.now)
	}
}

// arm executes the functions of Do, and lets the next read return when a timer is due.
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

// limit sets when the read is to return. mu is held.
func (s *Socket) limit(at time.Duration) {
	if at == s.armed {
		return
	}
	s.armed = at
	deadline := time.Time{}
	if at != 0 {
		deadline = s.port.opened.Add(max(at, 1))
	}
	_ = s.conn.SetReadDeadline(deadline) // fails only on a closed socket, and the read tells that
}

// Do lets f run in the socket's goroutine, soon, or never if the port is closed before.
func (s *Socket) Do(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.work = append(s.work, f)
	s.limit(-1)
}

// Set sets a timer, or moves it if it is set. It is called from the socket's goroutine only.
func (s *Socket) Set(t *Timer, at time.Duration) { s.wheel.set(t, at) }

// Write sends a datagram. It waits while the kernel has no room. A datagram that cannot leave, because there is no route for example, is counted and
// lost, as others are on their way: a client may have more addresses. Only a closed socket is an error.
func (s *Socket) Write(b []byte, from Source, to netip.AddrPort) (int, error) {
	n, _, err := s.conn.WriteMsgUDPAddrPort(b, from.control, to)
	if err != nil && !errors.Is(err, net.ErrClosed) {
		s.unsent.Add(1)
		return len(b), nil
	}
	return n, err
}

// Send sends a datagram. If the kernel has no room, it drops and counts the datagram; it never waits.
func (s *Socket) Send(b []byte, from Source, to netip.AddrPort) {
	if !send(s.conn, s.raw, b, from, to) {
		s.unsent.Add(1)
	}
}

// Source is the address of ours that a datagram is sent from. The zero value lets the kernel choose, by its routes. A
// client must get datagrams from the address that it sends its checks to: ICE makes pairs of addresses.
type Source struct {
	addr    netip.Addr
	control []byte
}

// NewSource returns the source for an address.
func NewSource(a netip.Addr) Source { return Source{a, sourceControl(a)} }

// Addr returns the address; it is not valid if the kernel chooses.
func (s Source) Addr() netip.Addr { return s.addr }

// Datagram is a received datagram.
type Datagram struct {
	Socket *Socket
	Data   []byte // may be changed
	From   netip.AddrPort
	Check  bool          // a STUN binding request
	At     time.Duration // when it was read, as Port.Now

	batch *Batch // has what the kernel said about the datagram, at index; nil: nothing
	index int
}

// To returns the address of ours that the datagram came to. It is not valid if unknown.
func (d *Datagram) To() netip.Addr {
	if d.batch == nil {
		return netip.Addr{}
	}
	return d.batch.to(d.index)
}

// Arrived returns when the kernel got the datagram, on the clock of Port.Now; At if the kernel does not say.
func (d *Datagram) Arrived() time.Duration {
	if d.batch == nil {
		return d.At
	}
	return d.At - d.batch.waited(d.index)
}

// Take gives the datagram's buffer to the caller, who gives it back to Port.Release.
func (d *Datagram) Take() *[MaxDatagram]byte { return (*[MaxDatagram]byte)(d.batch.take(d.index)) }

// Release takes a buffer back that came from Datagram.Take.
func (p *Port) Release(b *[MaxDatagram]byte) { p.buffers.Put(b) }
