package udp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pion/stun/v4"
)

// MaxDatagram is the size of a datagram's buffer: more than the MTU of any path that WebRTC uses. A longer datagram is cut off.
const MaxDatagram = 2048

// ErrUser means that an ICE user name is in use already.
var ErrUser = errors.New("this ICE user name is taken")

// User takes the datagrams of one ICE user name of ours.
type User interface {
	// Receive takes a datagram. It is called in the goroutine of the socket on which the datagram arrived, and must not
	// block. d is valid until Receive returns.
	Receive(d *Datagram)
}

// Port is the UDP port. All methods may be called from any goroutine.
type Port struct {
	cfg     Config
	sockets []*Socket
	ipv4    *Socket
	ipv6    *Socket // nil if there is none
	number  int
	opened  time.Time
	wg      sync.WaitGroup
	buffers sync.Pool // of *[MaxDatagram]byte

	mu     sync.RWMutex
	closed bool                    // guarded by mu
	users  map[userName]User       // guarded by mu
	claims map[netip.AddrPort]User // guarded by mu; by the sender's address: the last user that claimed it
}

// userName is an ICE user name of ours, on one address family.
type userName struct {
	ufrag string
	ipv6  bool
}

// Open opens the sockets for IPv4, and one for IPv6 if the machine has it, on one port. It starts a goroutine for each
// socket. Whoever opens the port closes it. inherited are sockets of one port that another process has opened by Open: they are used and closed
// here, and sockets that are missing are opened beside them.
func Open(ctx context.Context, cfg Config, inherited ...*net.UDPConn) (*Port, error) {
	p := &Port{cfg: cfg, opened: time.Now(), users: map[userName]User{}, claims: map[netip.AddrPort]User{}}
	p.buffers.New = func() any { return new([MaxDatagram]byte) }
	n := cfg.Sockets
	if !canShare {
		n = 1
	}
	port := cfg.Port
	have, err := p.adopt(inherited)
	if err != nil {
		p.closeSockets()
		return nil, fmt.Errorf("use the sockets of the process before: %w", err)
	}
	for i := have; i < n; i++ {
		if p.ipv4 != nil {
			port = p.ipv4.number()
		}
		s, err := p.listen(ctx, "udp4", port, i > 0)
		if err != nil {
			p.closeSockets()
			return nil, fmt.Errorf("listen for media: %w", err)
		}
		p.sockets = append(p.sockets, s)
		if p.ipv4 == nil {
			p.ipv4 = s
		}
	}
	p.number = p.ipv4.number()
	// A machine without IPv6, or where only the IPv6 port is taken, still serves IPv4.
	if p.ipv6 == nil {
		if s, err := p.listen(ctx, "udp6", p.number, false); err == nil {
			p.ipv6 = s
			p.sockets = append(p.sockets, s)
		}
	}
	for _, s := range p.sockets {
		p.wg.Go(s.run)
	}
	return p, nil
}

// adopt takes the sockets of another process. It returns how many of them are for IPv4.
func (p *Port) adopt(inherited []*net.UDPConn) (ipv4 int, err error) {
	for _, conn := range inherited {
		s := &Socket{port: p, conn: conn}
		s.wheel.init()
		p.sockets = append(p.sockets, s)
	}
	for _, s := range p.sockets {
		network := "udp6"
		if s.conn.LocalAddr().(*net.UDPAddr).IP.To4() != nil {
			network, p.ipv4 = "udp4", s
			ipv4++
		} else {
			p.ipv6 = s
		}
		if err := s.prepare(network, true); err != nil {
			return 0, err
		}
	}
	return ipv4, nil
}

// Conns returns the sockets, for a process that takes over.
func (p *Port) Conns() []*net.UDPConn {
	var list []*net.UDPConn
	for _, s := range p.sockets {
		list = append(list, s.conn)
	}
	return list
}

// Number returns the port's number.
func (p *Port) Number() int { return p.number }

// ReadBuffer returns the size of the buffer that the kernel has granted each socket, 0 if it does not say.
func (p *Port) ReadBuffer() int { return granted(p.ipv4.raw) }

// Now returns the time since the port was opened: the clock of datagrams and timers.
func (p *Port) Now() time.Duration { return time.Since(p.opened) }

// Socket returns a socket to send from, nil if the machine does not have that address family.
func (p *Port) Socket(ipv6 bool) *Socket {
	if ipv6 {
		return p.ipv6
	}
	return p.ipv4
}

// Join lets u get the checks for a user name, over one address family.
func (p *Port) Join(ufrag string, ipv6 bool, u User) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	name := userName{ufrag, ipv6}
	switch {
	case p.closed:
		return net.ErrClosed
	case p.users[name] != nil:
		return fmt.Errorf("%w: %q", ErrUser, ufrag)
	}
	p.users[name] = u
	return nil
}

// User returns the user that has joined under a user name, nil if there is none.
func (p *Port) User(ufrag string, ipv6 bool) User {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.users[userName{ufrag, ipv6}]
}

// Claim lets u get the datagrams from an address, even if another user had claimed it.
func (p *Port) Claim(u User, addr netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.claims[addr] = u
}

// Leave undoes Join and the claims of u. Addresses that another user has claimed since stay with that user.
func (p *Port) Leave(u User, ufrag string, ipv6 bool, claimed ...netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if name := (userName{ufrag, ipv6}); p.users[name] == u {
		delete(p.users, name)
	}
	for _, addr := range claimed {
		if p.claims[addr] == u {
			delete(p.claims, addr)
		}
	}
}

// Unclaim undoes Claim, unless another user has claimed the address since.
func (p *Port) Unclaim(u User, addr netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.claims[addr] == u {
		delete(p.claims, addr)
	}
}

// find returns the user of a datagram, and whether the datagram is a check. A check names its user, so that a client that
// publishes again from the same port gets through. For other datagrams the sender's address decides.
func (p *Port) find(data []byte, from netip.AddrPort) (u User, check bool) {
	ufrag, check := checkUser(data)
	p.mu.RLock()
	defer p.mu.RUnlock()
	if check {
		return p.users[userName{ufrag, from.Addr().Is6()}], true
	}
	return p.claims[from], false
}

// checkUser returns our user name in a binding request, not ok if b is none.
func checkUser(b []byte) (string, bool) {
	// The first two bits tell STUN from DTLS and RTP (RFC 7983). The class bits of a request are zero.
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

// Candidates returns the values of an answer's a=candidate lines for UDP.
func (p *Port) Candidates() []string {
	var list []string
	for i, a := range p.Addresses() {
		// RFC 8445, 5.1.2.1; the local preference keeps the order of the list.
		list = append(list, fmt.Sprintf("%d 1 udp %d %s %d typ host", 2*i+1, 126<<24|uint32(65535-i)<<8|255, a, p.number))
	}
	return list
}

// Addresses returns the addresses for answers, the likeliest first: all addresses of this machine in the order IPv4, IPv6,
// loopback; or the addresses of the configuration and loopback. With loopback a browser on the same machine needs no
// network.
func (p *Port) Addresses() []netip.Addr {
	list := slices.Clone(p.cfg.Addresses)
	local, _ := net.InterfaceAddrs()
	var v6, loopback []netip.Addr
	for _, a := range local {
		prefix, err := netip.ParsePrefix(a.String())
		if err != nil {
			continue
		}
		ip := prefix.Addr().Unmap()
		switch {
		case ip.IsLoopback():
			loopback = append(loopback, ip)
		case len(p.cfg.Addresses) > 0 || ip.IsLinkLocalUnicast():
		case ip.Is4():
			list = append(list, ip)
		default:
			v6 = append(v6, ip)
		}
	}
	list = slices.Concat(list, v6, loopback)
	return slices.DeleteFunc(list, func(a netip.Addr) bool { return a.Is6() && p.ipv6 == nil })
}

// Strange returns how many datagrams belonged to no user: they came from clients that had just left, or from strangers.
func (p *Port) Strange() int64 {
	var n int64
	for _, s := range p.sockets {
		n += s.strange.Load()
	}
	return n
}

// Unsent returns how many datagrams did not leave, because the kernel had no room or no route.
func (p *Port) Unsent() int64 {
	var n int64
	for _, s := range p.sockets {
		n += s.unsent.Load()
	}
	return n
}

// Overflowed returns how many datagrams the kernel dropped because a buffer was full, 0 if the kernel does not say.
func (p *Port) Overflowed() int64 {
	var n int64
	for _, s := range p.sockets {
		n += int64(s.full.Load())
	}
	return n
}

// Close closes the sockets and waits for their goroutines. After that no user is called.
func (p *Port) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.closeSockets()
	p.wg.Wait()
	return nil
}

func (p *Port) closeSockets() {
	for _, s := range p.sockets {
		s.conn.Close()
	}
}
