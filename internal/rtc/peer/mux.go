package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"
)

// maxDatagram is the most that is read of a datagram: more than any path's MTU that WebRTC uses.
const maxDatagram = 2048

// mux shares one UDP port among all peers: it is pion's ice.UDPMux, on several sockets. Each socket has a buffer of its own
// in the kernel and a goroutine that empties it with recvmmsg; a datagram is then not copied until pion takes it.
type mux struct {
	sockets []*socket
	ipv4    *socket // to send from; nil if there is none
	ipv6    *socket
	port    int
	wg      sync.WaitGroup
	buffers sync.Pool // of *[maxDatagram]byte
	dropped atomic.Int64

	mu     sync.RWMutex
	closed bool                        // guarded by mu
	users  map[user]*muxConn           // guarded by mu
	peers  map[netip.AddrPort]*binding // guarded by mu
}

var _ ice.UDPMux = (*mux)(nil)

// user is an ICE user name of ours, on one address family.
type user struct {
	ufrag string
	ipv6  bool
}

// binding is an address and the conn that it belongs to: the last one that wrote to it.
type binding struct{ conn *muxConn }

// newMux opens n sockets for IPv4, and one for IPv6 where the machine has it, on one port.
func newMux(ctx context.Context, port, n, readBuffer int) (*mux, error) {
	m := &mux{users: map[user]*muxConn{}, peers: map[netip.AddrPort]*binding{}}
	m.buffers.New = func() any { return new([maxDatagram]byte) }
	for i := range n {
		s, err := listen(ctx, "udp4", port, readBuffer, i > 0)
		if err != nil {
			m.closeSockets()
			return nil, fmt.Errorf("listen for media: %w", err)
		}
		port = s.LocalAddr().(*net.UDPAddr).Port
		m.sockets = append(m.sockets, s)
	}
	m.ipv4, m.port = m.sockets[0], port
	// A machine without IPv6, or one where that port is taken on IPv6 only, still serves IPv4.
	if s, err := listen(ctx, "udp6", port, readBuffer, false); err == nil {
		m.ipv6 = s
		m.sockets = append(m.sockets, s)
	}
	for _, s := range m.sockets {
		m.wg.Go(func() { m.read(s) })
	}
	return m, nil
}

// read hands out a socket's datagrams until it is closed.
func (m *mux) read(s *socket) {
	r := newBatch(s.UDPConn, &m.buffers)
	for {
		n, err := r.read()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		for i := range n { // other errors concern one datagram, such as an ICMP answer to what was sent
			m.dispatch(r, i)
		}
	}
}

// dispatch gives the i-th datagram of a batch to its conn. A check names its user, so that a client that publishes anew
// from the same port is heard; all else goes by address.
func (m *mux) dispatch(r *batch, i int) {
	data, from := r.datagram(i)
	var c *muxConn
	var to netip.Addr
	if ufrag, ok := checkUser(data); ok {
		m.mu.RLock()
		c = m.users[user{ufrag, from.Addr().Is6()}]
		m.mu.RUnlock()
		to = r.to(i)
	} else {
		m.mu.RLock()
		if p := m.peers[from]; p != nil {
			c = p.conn
		}
		m.mu.RUnlock()
	}
	if c != nil {
		c.put(queued{r.take(i), len(data), from, to})
	}
}

// checkUser returns our user name in a binding request.
func checkUser(b []byte) (string, bool) {
	// The two first bits tell STUN from DTLS and RTP (RFC 7983); a request's class bits are zero.
	if len(b) < 20 || b[0] != 0 || b[1] != 1 || !stun.IsMessage(b) {
		return "", false
	}
	msg := stun.Message{Raw: b}
	if msg.Decode() != nil {
		return "", false
	}
	name, err := msg.Get(stun.AttrUsername)
	if err != nil {
		return "", false
	}
	ours, _, _ := strings.Cut(string(name), ":")
	return ours, true
}

// GetListenAddresses implements ice.UDPMux. pion needs one local address of each family, whatever addresses the machine
// has: all of them come in by the same sockets, and the answer's candidates are written elsewhere.
func (m *mux) GetListenAddresses() []net.Addr {
	a := []net.Addr{&net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: m.port}}
	if m.ipv6 != nil {
		a = append(a, &net.UDPAddr{IP: net.IPv6loopback, Port: m.port})
	}
	return a
}

// GetConn implements ice.UDPMux.
func (m *mux) GetConn(ufrag string, addr net.Addr) (net.PacketConn, error) {
	a, ok := addr.(*net.UDPAddr)
	if !ok {
		return nil, fmt.Errorf("%v is no UDP address", addr)
	}
	u := user{ufrag, a.IP.To4() == nil}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, net.ErrClosed
	}
	if m.users[u] != nil {
		return nil, fmt.Errorf("ICE user %q has a conn already", ufrag)
	}
	s := m.ipv4
	if u.ipv6 {
		s = m.ipv6
	}
	c := newMuxConn(m, u, s, a)
	m.users[u] = c
	return c, nil
}

// RemoveConnByUfrag implements ice.UDPMux.
func (m *mux) RemoveConnByUfrag(ufrag string) {
	for _, ipv6 := range []bool{false, true} {
		m.mu.RLock()
		c := m.users[user{ufrag, ipv6}]
		m.mu.RUnlock()
		if c != nil {
			c.Close()
		}
	}
}

// bind sends what comes from an address to the conn that wrote to it.
func (m *mux) bind(c *muxConn, addr netip.AddrPort) *binding {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := &binding{c}
	m.peers[addr] = p
	return p
}

// remove forgets a conn and its addresses, but not those that another conn took over.
func (m *mux) remove(c *muxConn, bound map[netip.AddrPort]*binding) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.users[c.user] == c {
		delete(m.users, c.user)
	}
	for addr, p := range bound {
		if m.peers[addr] == p {
			delete(m.peers, addr)
		}
	}
}

// Close closes the sockets and every conn, and waits for the goroutines.
func (m *mux) Close() error {
	m.mu.Lock()
	m.closed = true
	var conns []*muxConn
	for _, c := range m.users {
		conns = append(conns, c)
	}
	m.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
	m.closeSockets()
	m.wg.Wait()
	return nil
}

func (m *mux) closeSockets() {
	for _, s := range m.sockets {
		s.Close()
	}
}
