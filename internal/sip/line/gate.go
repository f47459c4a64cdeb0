package line

import (
	"bytes"
	"net/netip"
	"sync"
	"time"
)

const (
	// knownFor is how long an address is known after we sent a request to it or accepted a call from it. Calls and registrations that are
	// silent for longer depend on Parts.Welcome.
	knownFor = time.Hour
	// maxKnown bounds the memory for known addresses.
	maxKnown = 4096
)

// sender is a source of requests, for which rates counts. Anybody can send datagrams with the address of a peer. So datagrams and connections of an
// address are two senders: forged datagrams do not block the connections of the peer.
type sender struct {
	addr      netip.Addr
	datagrams bool
}

func senderOf(source netip.AddrPort, transport string) sender {
	return sender{source.Addr(), transport == "udp"}
}

// gate decides whether bytes from the network are parsed at all. Its methods may be called from any goroutine.
type gate struct {
	welcome func(netip.AddrPort, string) bool
	counts  *counters

	mu      sync.Mutex
	known   map[netip.Addr]time.Time // until when; guarded by mu
	blocked map[sender]time.Time     // until when; guarded by mu
}

func newGate(welcome func(netip.AddrPort, string) bool, counts *counters) *gate {
	return &gate{welcome: welcome, counts: counts, known: map[netip.Addr]time.Time{}, blocked: map[sender]time.Time{}}
}

// know makes an address known for knownFor.
func (g *gate) know(now time.Time, a netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.known[a]; !ok && len(g.known) >= maxKnown {
		dropOldest(g.known)
	}
	g.known[a] = now.Add(knownFor)
}

// knows reports whether an address is known.
func (g *gate) knows(now time.Time, a netip.Addr) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return now.Before(g.known[a])
}

// block keeps a sender out for a while. A known address may still send requests within its calls.
func (g *gate) block(now time.Time, a sender, pause time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.blocked) >= maxKnown {
		dropOldest(g.blocked)
	}
	g.blocked[a] = now.Add(pause)
}

func (g *gate) isBlocked(now time.Time, a sender) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	until, ok := g.blocked[a]
	if ok && !now.Before(until) {
		delete(g.blocked, a)
	}
	return now.Before(until)
}

func dropOldest[K comparable](m map[K]time.Time) {
	var oldest K
	found := false
	for a, until := range m {
		if !found || until.Before(m[oldest]) {
			oldest, found = a, true
		}
	}
	delete(m, oldest)
}

// admits decides about a source, and counts those that it refuses.
func (g *gate) admits(now time.Time, source netip.AddrPort, transport string) bool {
	switch {
	case g.knows(now, source.Addr()):
		return true
	case g.isBlocked(now, senderOf(source, transport)):
		g.counts.rate.Add(1)
	case g.welcome(source, transport):
		return true
	default:
		g.counts.strangers.Add(1)
	}
	return false
}

// admitsDatagram decides about a datagram without parsing it. It refuses a datagram that only keeps a NAT open, too: there is nothing to parse.
func (g *gate) admitsDatagram(now time.Time, data []byte, source netip.AddrPort) bool {
	if len(data) > maxDatagram {
		g.counts.size.Add(1)
		return false
	}
	return g.admits(now, source, "udp") && len(bytes.Trim(data, "\r\n\x00")) > 0
}

// methods are the methods that are parsed: the methods of RFC 3261 and of the extensions that phones and PBXs use. A request that we do not support
// gets an error response from package dialog or sip, unless it comes from a stranger.
var methods = []string{
	"INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "INFO", "UPDATE", "NOTIFY", "REFER", "PRACK", "REGISTER", "SUBSCRIBE", "MESSAGE", "PUBLISH",
}

// admitsMethod reports whether data begins like a response, or like a request that we know.
func (g *gate) admitsMethod(data []byte) bool {
	word, _, _ := bytes.Cut(bytes.TrimLeft(data, "\r\n"), []byte(" "))
	if string(word) == "SIP/2.0" {
		return true
	}
	for _, method := range methods {
		if string(word) == method {
			return true
		}
	}
	g.counts.method.Add(1)
	return false
}
