package guard

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"

	"transponder/internal/limits"
)

// WhyShare is why somebody is turned away whose address has its share already.
const WhyShare = "share"

// WhyFull is why somebody is turned away where there is no place at all.
const WhyFull = "full"

// proxyPercent is how much of all places those may have who come through one proxy that does not say who they are.
const proxyPercent = 80

// SharesConfig says how much of all places one address may have.
type SharesConfig struct {
	Percent int            // of each kind of place; 0: any number
	Proxies []netip.Prefix // that tell us in X-Forwarded-For who asks, and this machine does, too
}

// PercentRange is the range of SharesConfig.Percent.
var PercentRange = limits.Of(0, 100)

// DefaultSharesConfig leaves four fifths to others.
func DefaultSharesConfig() SharesConfig { return SharesConfig{Percent: 20} }

// Validate reports a value that cannot work.
func (c SharesConfig) Validate() error {
	return PercentRange.Check("address_share_percent:", c.Percent)
}

// IsProxy says whether an address is one that many people may be behind: this machine's own, too, as a proxy may run here.
func (c SharesConfig) IsProxy(a netip.Addr) bool {
	if a.IsLoopback() {
		return true
	}
	for _, p := range c.Proxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// Client returns the address of who asks: what a proxy says, or the other end of the connection.
func (c SharesConfig) Client(r *http.Request) netip.Addr {
	peer, _ := Peer(r.RemoteAddr)
	if !c.IsProxy(peer) {
		return peer
	}
	forwarded := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(forwarded) - 1; i >= 0; i-- {
		a, err := netip.ParseAddr(strings.TrimSpace(forwarded[i]))
		if err != nil {
			break
		}
		if a = a.Unmap().WithZone(""); !c.IsProxy(a) {
			return a
		}
	}
	return peer
}

// Places are what is given to those who come, so many in all and to each address its share. All methods may be called from any
// goroutine.
type Places struct {
	shares SharesConfig
	all    int

	mu    sync.Mutex
	taken int                  // guarded by mu
	by    map[netip.Prefix]int // guarded by mu
}

// Places makes so many places.
func (c SharesConfig) Places(all int) *Places {
	return &Places{shares: c, all: all, by: map[netip.Prefix]int{}}
}

// Take gives a place to an address, or says why not: WhyFull, WhyShare. leave gives the place back, and is called once.
func (p *Places) Take(a netip.Addr) (leave func(), why string) {
	who := Block(a)
	most := share(p.all, p.shares.Percent)
	if p.shares.IsProxy(a) {
		most = max(most, share(p.all, proxyPercent))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.taken >= p.all:
		return nil, WhyFull
	case p.by[who] >= most:
		return nil, WhyShare
	}
	p.taken++
	p.by[who]++
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.taken--
		if p.by[who]--; p.by[who] == 0 {
			delete(p.by, who)
		}
	}, ""
}

// share is so many percent of all places, and one at least.
func share(all, percent int) int {
	if percent == 0 {
		return all
	}
	return (all*percent + 99) / 100
}

// Block is what counts as one address: with IPv6 a network of 64 bits, of which everybody has a whole one.
func Block(a netip.Addr) netip.Prefix {
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // the zero address has the zero prefix
	return p
}

// Listener gives each connection that l accepts one of the places, and closes those that get none.
func (p *Places) Listener(l net.Listener, door string, refusals *Refusals) net.Listener {
	return &listener{l, p, door, refusals}
}

type listener struct {
	net.Listener
	places   *Places
	door     string
	refusals *Refusals
}

// Accept returns the next connection that has a place.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		leave, ok := l.admit(c)
		if !ok {
			c.Close()
			continue
		}
		p := &placed{Conn: c, leave: sync.OnceFunc(leave)}
		if half, ok := c.(halfCloser); ok {
			return &placedHalf{p, half}, nil
		}
		return p, nil
	}
}

func (l *listener) admit(c net.Conn) (leave func(), ok bool) {
	peer, _ := Peer(c.RemoteAddr().String())
	leave, why := l.places.Take(peer)
	if leave == nil {
		l.refusals.Note(l.door, why, "peer", c.RemoteAddr().String())
		return nil, false
	}
	return leave, true
}

// placed is a connection that gives its place back when it is closed.
type placed struct {
	net.Conn
	leave func()
}

// Close closes the connection.
func (c *placed) Close() error {
	c.leave()
	return c.Conn.Close()
}

// halfCloser is a connection that can be closed in one direction, as TCP's can.
type halfCloser interface{ CloseWrite() error }

type placedHalf struct {
	*placed
	half halfCloser
}

// CloseWrite ends what this side sends.
func (c *placedHalf) CloseWrite() error { return c.half.CloseWrite() }
