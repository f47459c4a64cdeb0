package transponder

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// TargetPolicy says to which addresses this server pushes. It judges the address that is dialled, not the name it was
// resolved from, so that no name, however it is written and wherever it points today, leads around a rule. The zero
// TargetPolicy only has the rules that always hold: nothing goes to link-local addresses, to those where clouds hand out
// credentials, and to those that are no single host's.
type TargetPolicy struct {
	allow, deny []targetRule
	denyPrivate bool
}

// TargetError means that the rules forbid a target.
type TargetError struct {
	Rule string // that forbids it, for the log: a caller who could read it would learn what stands behind a name
}

// Error does not say which rule it was, or what the name was resolved to.
func (e *TargetError) Error() string { return "this server does not push to this address" }

// targetRule matches targets by name or network, and port.
type targetRule struct {
	text    string       // as it was written
	host    string       // with a dot in front: all names that end so; "": any
	network netip.Prefix // where valid, instead of host
	port    uint16       // 0: any
}

// forbidden are the names and networks that no setting opens.
var (
	forbiddenHosts    = []string{"metadata.google.internal", "metadata.goog"}
	forbiddenNetworks = prefixes(
		"0.0.0.0/8", "::/128", // this host: connecting there reaches loopback
		"169.254.0.0/16", "fe80::/10", // link-local, with 169.254.169.254, where most clouds hand out credentials
		"224.0.0.0/4", "ff00::/8", "255.255.255.255/32", // multicast, broadcast
		"100.100.100.200/32", "192.0.0.192/32", "168.63.129.16/32", // metadata of Alibaba, Oracle and Azure
		"fd00:ec2::254/128", "fd20:ce::254/128", // metadata of AWS and Google over IPv6
	)
	privateNetworks = prefixes(
		"127.0.0.0/8", "::1/128",
		"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", // RFC 1918
		"100.64.0.0/10",                 // shared by carriers, RFC 6598
		"192.0.0.0/24", "198.18.0.0/15", // protocol assignments, benchmarks
		"240.0.0.0/4",           // reserved
		"fc00::/7", "fec0::/10", // unique local, and what they were before
		"64:ff9b:1::/48", // translation inside one network, RFC 8215
	)
)

func prefixes(all ...string) []netip.Prefix {
	list := make([]netip.Prefix, len(all))
	for i, s := range all {
		list[i] = netip.MustParsePrefix(s)
	}
	return list
}

// ParseTargetPolicy reads rules. A rule is a name (live.example.com), all names below one (*.example.com), an address, a
// network (10.0.0.0/8, fd00::/8) or * for everything, and may end in a port (*.example.com:1935, [fd00::/8]:1935, *:443). What
// a deny rule matches is refused. If there are allow rules, what none of them matches is refused as well. denyPrivate refuses
// loopback and all private networks, also where they are written into an IPv6 address. The error names every bad rule.
func ParseTargetPolicy(allow, deny []string, denyPrivate bool) (TargetPolicy, error) {
	p := TargetPolicy{denyPrivate: denyPrivate}
	var errs []error
	parse := func(key string, rules []string) (parsed []targetRule) {
		for _, text := range rules {
			r, err := parseTargetRule(text)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: rule %q: %w", key, text, err))
			}
			parsed = append(parsed, r)
		}
		return parsed
	}
	p.allow, p.deny = parse("push_allow", allow), parse("push_deny", deny)
	if err := errors.Join(errs...); err != nil {
		return TargetPolicy{}, err
	}
	return p, nil
}

func parseTargetRule(text string) (targetRule, error) {
	r := targetRule{text: text}
	host, port, err := splitRule(strings.ToLower(strings.TrimSpace(text)))
	if err != nil {
		return r, err
	}
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return r, errors.New("the port must be a number from 1 to 65535")
		}
		r.port = uint16(n)
	}
	switch {
	case host == "*":
		return r, nil
	case strings.Contains(host, "/"):
		r.network, err = parseNetwork(host)
		return r, err
	}
	if a, err := netip.ParseAddr(host); err == nil {
		if a.Zone() != "" {
			return r, errors.New("an address here has no zone")
		}
		a = a.Unmap()
		r.network = netip.PrefixFrom(a, a.BitLen())
		return r, nil
	}
	r.host = strings.TrimSuffix(strings.TrimPrefix(host, "*"), ".")
	if !isHostName(strings.TrimPrefix(r.host, ".")) || strings.HasPrefix(host, "*") != strings.HasPrefix(r.host, ".") {
		return r, errors.New("it is no host name (xn--… for one that is not ASCII), *.name, address, network or *")
	}
	return r, nil
}

// splitRule splits a rule into host and port. A port is told from an IPv6 address by brackets.
func splitRule(s string) (host, port string, err error) {
	if inside, ok := strings.CutPrefix(s, "["); ok {
		host, rest, ok := strings.Cut(inside, "]")
		port, hasPort := strings.CutPrefix(rest, ":")
		if !ok || hasPort == (port == "") || !hasPort && rest != "" {
			return "", "", errors.New("it must look like [address]:port")
		}
		return host, port, nil
	}
	if strings.Count(s, ":") != 1 {
		return s, "", nil
	}
	host, port, _ = strings.Cut(s, ":")
	if host == "" || port == "" {
		return "", "", errors.New("it must look like host:port, *:port for any host")
	}
	return host, port, nil
}

func parseNetwork(s string) (netip.Prefix, error) {
	n, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return n, errors.New("it is no network in the form address/bits")
	case n.Addr().Is4In6():
		return n, errors.New("write an IPv4 network as such")
	case n != n.Masked():
		return n, fmt.Errorf("its address goes beyond its %d bits; %s would be the network", n.Bits(), n.Masked())
	}
	return n, nil
}

// isHostName says whether s is a name in ASCII, and not a number that resolvers read as an address (127.1, 0x7f000001).
func isHostName(s string) bool {
	labels := strings.Split(s, ".")
	for _, l := range labels {
		if l == "" || strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	last := labels[len(labels)-1]
	return strings.Trim(last, "0123456789") != "" && !strings.HasPrefix(last, "0x")
}

// Check says whether a push to host may dial addr, one that host was resolved to. It returns a *TargetError if not. Whoever
// dials must dial that very address, and ask again each time the name is resolved.
func (p TargetPolicy) Check(host string, addr netip.AddrPort) error {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	forms := addressForms(addr.Addr())
	matches := func(r targetRule) bool { return r.matches(host, forms, addr.Port()) }
	switch {
	case !addr.IsValid() || addr.Port() == 0:
		return &TargetError{"no address"}
	case strings.ContainsFunc(host, func(r rune) bool { return r > 0x7f }):
		// Some resolvers fold such names to others that rules may speak of; we would have to fold as each of them does.
		return &TargetError{"the name is not ASCII"}
	case slices.Contains(forbiddenHosts, host) || holds(forbiddenNetworks, forms):
		return &TargetError{"always forbidden"}
	case p.denyPrivate && holds(privateNetworks, forms):
		return &TargetError{"push_deny_private"}
	}
	if i := slices.IndexFunc(p.deny, matches); i >= 0 {
		return &TargetError{"push_deny " + p.deny[i].text}
	}
	forms = forms[:1] // an address that merely holds an allowed one is another
	if len(p.allow) > 0 && !slices.ContainsFunc(p.allow, matches) {
		return &TargetError{"not in push_allow"}
	}
	return nil
}

// Allowed returns the addresses that a push to host may dial at port, in their order, or the *TargetError of the first if
// there are none. No addresses are no error.
func (p TargetPolicy) Allowed(host string, port uint16, addrs []netip.Addr) ([]netip.Addr, error) {
	var allowed []netip.Addr
	var first error
	for _, a := range addrs {
		err := p.Check(host, netip.AddrPortFrom(a, port))
		switch {
		case err == nil:
			allowed = append(allowed, a)
		case first == nil:
			first = err
		}
	}
	if len(allowed) == 0 {
		return nil, first
	}
	return allowed, nil
}

// matches says whether the rule speaks of this name, or of one of these forms of the address.
func (r targetRule) matches(host string, forms []netip.Addr, port uint16) bool {
	switch {
	case r.port != 0 && r.port != port:
		return false
	case r.network.IsValid():
		return slices.ContainsFunc(forms, r.network.Contains)
	case strings.HasPrefix(r.host, "."):
		return strings.HasSuffix(host, r.host)
	default:
		return r.host == "" || r.host == host
	}
}

func holds(networks []netip.Prefix, forms []netip.Addr) bool {
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return slices.ContainsFunc(forms, n.Contains) })
}

// The networks of IPv6 addresses that packets leave as IPv4.
var (
	compatibleNetwork = netip.MustParsePrefix("::/96")           // RFC 4291, 2.5.5.1
	translatedNetwork = netip.MustParsePrefix("::ffff:0:0:0/96") // RFC 2765
	nat64Network      = netip.MustParsePrefix("64:ff9b::/96")    // RFC 6052
	nat64LocalNetwork = netip.MustParsePrefix("64:ff9b:1::/48")  // RFC 8215
	sixToFourNetwork  = netip.MustParsePrefix("2002::/16")       // RFC 3056
	teredoNetwork     = netip.MustParsePrefix("2001::/32")       // RFC 4380
)

// addressForms returns the address as it is dialled, and the IPv4 addresses that are written into it.
func addressForms(a netip.Addr) []netip.Addr {
	a = a.WithZone("").Unmap()
	forms := []netip.Addr{a}
	if !a.Is6() || a.IsLoopback() { // ::1 is of the compatible network, but 0.0.0.1 is not meant
		return forms
	}
	b := a.As16()
	low := netip.AddrFrom4([4]byte(b[12:]))
	switch {
	case compatibleNetwork.Contains(a), translatedNetwork.Contains(a), nat64Network.Contains(a):
		return append(forms, low)
	case nat64LocalNetwork.Contains(a): // RFC 6052, 2.2: in a /96 or, around the byte that is zero, in the /48 itself
		return append(forms, low, netip.AddrFrom4([4]byte{b[6], b[7], b[9], b[10]}))
	case sixToFourNetwork.Contains(a):
		return append(forms, netip.AddrFrom4([4]byte(b[2:6])))
	case teredoNetwork.Contains(a): // the server, and the client inverted
		return append(forms, netip.AddrFrom4([4]byte(b[4:8])), netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]}))
	}
	return forms
}
