package guard

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"

	"transponder/internal/limits"
)

// WhyShare is the reason for a refusal if the address already has its share of the places.
const WhyShare = "share"

// WhyFull is the reason for a refusal if no place is free.
const WhyFull = "full"

// proxyPercent is the share of all places that the clients of one proxy may have together, if the proxy does not name them.
const proxyPercent = 80

// SharesConfig says how many of the places one address may have. Connections, WebSockets and followers of events are places.
type SharesConfig struct {
	Percent int            // share of the places of each kind; 0: any number
	Proxies []netip.Prefix // proxies whose X-Forwarded-For is believed; proxies on this machine are always believed
}

// PercentRange is the range of SharesConfig.Percent.
var PercentRange = limits.Of(0, 100)

// DefaultSharesConfig leaves four fifths of the places to other addresses.
func DefaultSharesConfig() SharesConfig { return SharesConfig{Percent: 20} }

// Validate reports a value that cannot work.
func (c SharesConfig) Validate() error {
	return PercentRange.Check("address_share_percent:", c.Percent)
}

// IsProxy reports whether an address belongs to a proxy, through which many people may come. The addresses of this machine count as proxies,
// because a proxy may run here.
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

// Client returns the address of the client that sent a request: the address that a proxy names, or else the address of the connection.
func (c SharesConfig) Client(r *http.Request) netip.Addr {
	peer, _ := RemoteAddress(r.RemoteAddr)
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

// Places is a fixed number of places for clients, of which each address gets at most its share. All methods may be called from any
// goroutine.
type Places struct {
	shares SharesConfig
	all    int

	mu    sync.Mutex
	taken int                  // guarded by mu
	by    map[netip.Prefix]int // guarded by mu
}

// Places makes Places with that many places.
func (c SharesConfig) Places(all int) *Places {
	return &Places{shares: c, all: all, by: map[netip.Prefix]int{}}
}

// Take takes a place for an address. If there is none, release is nil, and why is WhyFull or WhyShare. release gives the place back; call it
// once.
func (p *Places) Take(a netip.Addr) (release func(), why string) {
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

// Crowded reports whether more than a percentage of all places is taken.
func (p *Places) Crowded(percent int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.taken > share(p.all, percent)
}

// share returns a percentage of all places, but at least one place. 0 percent is all of them.
func share(all, percent int) int {
	if percent == 0 {
		return all
	}
	return (all*percent + 99) / 100
}

// Block returns the network that counts as one address: for IPv6 the network of 64 bits, because every customer of a provider has at least
// such a network; for IPv4 the address alone.
func Block(a netip.Addr) netip.Prefix {
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // the zero address has the zero prefix
	return p
}

// Listener returns a listener that takes a place for each connection that l accepts, and closes the connections for which there is none.
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
		release, ok := l.admit(c)
		if !ok {
			c.Close()
			continue
		}
		p := &placed{Conn: c, release: sync.OnceFunc(release)}
		if half, ok := c.(halfCloser); ok {
			return &placedHalf{p, half}, nil
		}
		return p, nil
	}
}

func (l *listener) admit(c net.Conn) (release func(), ok bool) {
	peer, _ := RemoteAddress(c.RemoteAddr().String())
	release, why := l.places.Take(peer)
	if release == nil {
		l.refusals.Note(l.door, why, "peer", c.RemoteAddr().String())
		return nil, false
	}
	return release, true
}

// placed is a connection that releases its place when it is closed.
type placed struct {
	net.Conn
	release func()
}

// Close closes the connection and releases the place.
func (c *placed) Close() error {
	c.release()
	return c.Conn.Close()
}

// halfCloser is a connection that can be closed in one direction, as TCP's can.
type halfCloser interface{ CloseWrite() error }

type placedHalf struct {
	*placed
	half halfCloser
}

// CloseWrite closes the sending direction.
func (c *placedHalf) CloseWrite() error { return c.half.CloseWrite() }
