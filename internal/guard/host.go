package guard

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// privateSuffixes are the ends of names that nobody can register: RFC 6761, RFC 6762 with the names that appendix G lists, RFC 8375, and
// ICANN's resolutions of February 2018 and July 2024. .svc is the end of short names of services in Kubernetes.
var privateSuffixes = []string{
	".localhost", ".local", ".home.arpa", ".internal", ".intranet", ".private", ".corp", ".home", ".lan", ".svc",
}

// carrierNAT is the network between providers and their customers (RFC 6598). Many sites use it for their private networks, too.
var carrierNAT = netip.MustParsePrefix("100.64.0.0/10")

// RemoteAddress returns the address of the client of a connection, without the port and the zone: the zero Addr and false if there is none.
// remote is http.Request.RemoteAddr or the like.
func RemoteAddress(remote string) (a netip.Addr, ok bool) {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}, false
	}
	return ap.Addr().Unmap().WithZone(""), true
}

// isPrivate reports whether an address means this machine, or can only be reached from inside a private network.
func isPrivate(a netip.Addr) bool {
	return a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() || a.IsUnspecified() || carrierNAT.Contains(a)
}

// splitHost returns the name or the address in a Host header or an origin, in small letters and without the port.
func splitHost(host string) (name string, ok bool) {
	name = host
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		if strings.Trim(host[i+1:], "0123456789") != "" {
			return "", false
		}
		name = host[:i]
	}
	if inside, bracketed := strings.CutPrefix(name, "["); bracketed {
		inside, closed := strings.CutSuffix(inside, "]")
		return strings.ToLower(inside), closed && isAddress(inside)
	}
	return plainName(name), name != "" && !strings.ContainsAny(name, ":[]@/ ")
}

// plainName returns the form in which names are compared: in small letters, without the dot of the root at the end.
func plainName(name string) string { return strings.TrimSuffix(strings.ToLower(name), ".") }

func isAddress(name string) bool {
	_, err := netip.ParseAddr(name)
	return err == nil
}

// isLoopbackName reports whether a name or an address means this machine.
func isLoopbackName(name string) bool {
	if a, err := netip.ParseAddr(name); err == nil {
		return a.Unmap().IsLoopback() || a.IsUnspecified()
	}
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}

// isPrivateName reports whether a Host header holds a name or an address that means nothing outside this network. A name without a dot is
// private, because no top-level domain has an address.
func isPrivateName(host string) bool {
	name, ok := splitHost(host)
	if !ok {
		return false
	}
	if a, err := netip.ParseAddr(name); err == nil {
		return isPrivate(a.Unmap())
	}
	return !strings.Contains(name, ".") || slices.ContainsFunc(privateSuffixes, func(s string) bool { return strings.HasSuffix(name, s) })
}

// matchesName reports whether a name matches one of the patterns: a name, *.domain for every name below domain, or * for every name.
func matchesName(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		if suffix, ok := strings.CutPrefix(pattern, "*"); ok {
			return strings.HasSuffix(name, suffix) && len(name) > len(suffix)
		}
		return name == pattern
	})
}

// neighbours knows the networks of this machine's interfaces. Those networks contain the machine's own addresses.
type neighbours struct {
	mu       sync.Mutex
	networks []netip.Prefix // guarded by mu; replaced, never changed
	read     time.Time      // guarded by mu
}

// interfacesFor is how long a list of the interfaces is used before it is read again.
const interfacesFor = time.Minute

func (n *neighbours) has(a netip.Addr) bool {
	return slices.ContainsFunc(n.list(), func(p netip.Prefix) bool { return p.Contains(a) })
}

// list returns the networks. It reads the interfaces without the lock, so two calls may do so at once.
func (n *neighbours) list() []netip.Prefix {
	n.mu.Lock()
	known, read := n.networks, n.read
	n.mu.Unlock()
	if !read.IsZero() && time.Since(read) <= interfacesFor {
		return known
	}
	now := networks()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.networks, n.read = now, time.Now()
	return now
}

func networks() []netip.Prefix {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var all []netip.Prefix
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			all = append(all, netip.PrefixFrom(p.Addr().Unmap(), p.Bits()))
		}
	}
	return all
}
