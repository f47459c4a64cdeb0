package line

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

const (
	// resolveTimeout bounds all questions to DNS for one request.
	resolveTimeout = 5 * time.Second
	// serviceTimeout bounds one question for SRV records, so that there is time left to ask for addresses.
	serviceTimeout = 2 * time.Second
	// maxAddresses is how many addresses of a domain are tried.
	maxAddresses = 4
)

// errNoAddress means that the name of a SIP server leads to no address.
var errNoAddress = errors.New("no address")

// Resolver asks DNS. net.Resolver is one.
type Resolver interface {
	LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Resolve finds where a request goes (RFC 3263, without NAPTR). uri is the Request-URI, or the first Route with or without angle brackets.
// transport is used if the URI names none; "" leaves the choice to DNS, and takes UDP without DNS. If transport is "tls", every other transport
// is an error. The first Resolve opens our sockets; it fails if their port is taken.
func (l *Line) Resolve(ctx context.Context, uri, transport string) (Path, error) {
	t, err := parseTarget(uri, strings.ToLower(transport))
	if err != nil {
		return Path{}, err
	}
	if err := l.open(ctx); err != nil {
		return Path{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	transport, found, err := l.find(ctx, t)
	if err != nil {
		return Path{}, fmt.Errorf("find SIP server %s: %w", shown(t.host), err)
	}
	allowed, err := l.allowed(t.host, found)
	if err != nil {
		return Path{}, fmt.Errorf("SIP server %s: %w", shown(t.host), err)
	}
	p := Path{Transport: transport, Remote: allowed[0], more: allowed[1:]}
	if transport == "tls" {
		p.ServerName = t.name
	}
	if p.Local, err = l.localFor(p.Remote); err != nil {
		return Path{}, fmt.Errorf("SIP server %s: %w", shown(t.host), err)
	}
	return p, nil
}

// find returns the transport and the addresses of a target.
func (l *Line) find(ctx context.Context, t target) (transport string, found []netip.AddrPort, err error) {
	transports := []string{t.transport}
	if t.transport == "" {
		transports = []string{"udp", "tcp"}
	}
	if address, err := netip.ParseAddr(t.host); err == nil {
		port := t.port
		if port == 0 {
			port = defaultPort(transports[0])
		}
		return transports[0], []netip.AddrPort{netip.AddrPortFrom(address.Unmap(), port)}, nil
	}
	if t.port != 0 {
		found, err = l.lookup(ctx, t.host, t.port)
		return transports[0], found, err
	}
	for _, transport := range transports {
		found, err = l.lookupService(ctx, t.host, transport)
		if err != nil || len(found) > 0 {
			return transport, found, err
		}
	}
	found, err = l.lookup(ctx, t.host, defaultPort(transports[0]))
	return transports[0], found, err
}

// lookupService asks for the SRV records of a domain. It returns nothing if there are none, or if DNS cannot tell: some resolvers of homes and
// firms know no SRV, and most domains of SIP have an address, too.
func (l *Line) lookupService(ctx context.Context, domain, transport string) ([]netip.AddrPort, error) {
	service, proto := "sip", transport
	if transport == "tls" {
		service, proto = "sips", "tcp"
	}
	within, cancel := context.WithTimeout(ctx, serviceTimeout)
	defer cancel()
	_, records, err := l.parts.Resolver.LookupSRV(within, service, proto, domain)
	if err != nil && len(records) == 0 {
		return nil, ctx.Err()
	}
	var found []netip.AddrPort
	for _, record := range records {
		if record.Target == "." { // the domain says that it has no such service (RFC 2782)
			return nil, fmt.Errorf("%w: there is no SIP over %s", errNoAddress, transport)
		}
		addresses, err := l.lookup(ctx, record.Target, record.Port)
		if err != nil {
			continue // another record may work
		}
		found = append(found, addresses...)
		if len(found) >= maxAddresses {
			break
		}
	}
	if len(records) > 0 && len(found) == 0 {
		return nil, errNoAddress
	}
	return found, nil
}

// lookup asks for the addresses of a host. IPv4 comes first: few SIP servers have IPv6.
func (l *Line) lookup(ctx context.Context, host string, port uint16) ([]netip.AddrPort, error) {
	addresses, err := l.parts.Resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	var found []netip.AddrPort
	for _, address := range addresses {
		found = append(found, netip.AddrPortFrom(address.Unmap(), port))
	}
	slices.SortStableFunc(found, func(a, b netip.AddrPort) int { return a.Addr().BitLen() - b.Addr().BitLen() })
	return found, nil
}

// allowed returns the addresses that the policy and the family of our own address leave.
func (l *Line) allowed(host string, found []netip.AddrPort) ([]netip.AddrPort, error) {
	refused := errNoAddress
	var allowed []netip.AddrPort
	for _, remote := range found {
		address := remote.Addr()
		switch {
		case isNobody(address):
			refused = fmt.Errorf("%s is not the address of a host: %w", address, errNoAddress)
		case l.bind.IsValid() && l.bind.Is4() != address.Is4():
			refused = fmt.Errorf("%s cannot be reached from %s: %w", address, l.bind, errNoAddress)
		default:
			if err := l.parts.Allowed(host, remote); err != nil {
				refused = err
				continue
			}
			allowed = append(allowed, remote)
		}
	}
	if len(allowed) == 0 {
		return nil, refused
	}
	return allowed[:min(len(allowed), maxAddresses)], nil
}

// localFor returns our address on the way to a peer. Connecting a UDP socket sends nothing: it asks the kernel for the route.
func (l *Line) localFor(remote netip.AddrPort) (netip.Addr, error) {
	if l.bind.IsValid() && !l.bind.IsUnspecified() {
		return l.bind, nil
	}
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(remote))
	if err != nil {
		return netip.Addr{}, err
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap().WithZone(""), nil
}
