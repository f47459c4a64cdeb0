package transponder

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// TargetPolicy decides to which addresses this server pushes. It judges the address that is dialled, not only the name. So a rule cannot be
// avoided by another spelling of a name, or by a name that points somewhere else today. The zero TargetPolicy has only the rules that always
// hold: it forbids link-local addresses, addresses where clouds hand out credentials, and addresses that do not belong to a single host.
type TargetPolicy struct {
	allow, deny []targetRule // an empty allow allows all
	denyPrivate string       // the rule that forbids private networks; "": none does
}

// targetError means that the TargetPolicy forbids a target.
type targetError struct {
	Rule string // the rule that forbids it; for the log only, since it tells where a name points in a private network
}

// Error names neither the rule nor the address.
func (e *targetError) Error() string { return "this server does not push to this address" }

// targetRule matches targets by name or network, and port.
type targetRule struct {
	text    string       // as written in the settings
	host    string       // a name; with a leading dot: all names that end so; "": any
	network netip.Prefix // if valid, used instead of host
	port    uint16       // 0: any
}

// Names and networks that no setting allows, and private networks, which push_deny_private forbids.
var (
	forbiddenHosts    = []string{"metadata.google.internal", "metadata.goog"}
	forbiddenNetworks = prefixes(
		"0.0.0.0/8", "::/128", // this host: a connection to it reaches loopback
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
		"fc00::/7", "fec0::/10", // unique local, and site-local, which came before
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

// ParseTargetPolicy reads rules. A rule is a name (live.example.com), all names below a name (*.example.com), an address, a network
// (10.0.0.0/8, fd00::/8), or * for everything. It may end in a port (*.example.com:1935, [fd00::/8]:1935, *:443).
//
// A target is refused if a deny rule matches it, and if there are allow rules and none matches it. denyPrivate refuses loopback and all
// private networks, also if such an address is written inside an IPv6 address. The error names every bad rule.
func ParseTargetPolicy(allow, deny []string, denyPrivate bool) (TargetPolicy, error) {
	var p TargetPolicy
	if denyPrivate {
		p.denyPrivate = "push_deny_private"
	}
	var allowErr, denyErr error
	p.allow, allowErr = parseTargetRules("push_allow", allow)
	p.deny, denyErr = parseTargetRules("push_deny", deny)
	if err := errors.Join(allowErr, denyErr); err != nil {
		return TargetPolicy{}, err
	}
	return p, nil
}

// WithAllow returns the policy with other allow rules, for connections that are no pushes. key is the setting that holds the rules.
func (p TargetPolicy) WithAllow(key string, rules []string) (_ TargetPolicy, err error) {
	p.allow, err = parseTargetRules(key, rules)
	return p, err
}

// public returns the policy without private networks. why is the rule for the log.
func (p TargetPolicy) public(why string) TargetPolicy {
	if p.denyPrivate == "" {
		p.denyPrivate = why
	}
	return p
}

func parseTargetRules(key string, rules []string) (parsed []targetRule, err error) {
	var errs []error
	for _, text := range rules {
		r, err := parseTargetRule(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: rule %q: %w", key, text, err))
		}
		parsed = append(parsed, r)
	}
	return parsed, errors.Join(errs...)
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
			return r, errors.New("an address in a rule must not have a zone (%...)")
		}
		a = a.Unmap()
		r.network = netip.PrefixFrom(a, a.BitLen())
		return r, nil
	}
	r.host = strings.TrimSuffix(strings.TrimPrefix(host, "*"), ".")
	if !isHostName(strings.TrimPrefix(r.host, ".")) || strings.HasPrefix(host, "*") != strings.HasPrefix(r.host, ".") {
		return r, errors.New("it is no host name: write a name (xn--… if it is not ASCII), *.name, an address, a network or *")
	}
	return r, nil
}

// splitRule splits a rule into host and port. An IPv6 address with a port needs brackets.
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
		return n, errors.New("a network must look like address/bits")
	case n.Addr().Is4In6():
		return n, errors.New("write an IPv4 network without the IPv6 prefix")
	case n != n.Masked():
		return n, fmt.Errorf("the address has bits set beyond the first %d; the network is %s", n.Bits(), n.Masked())
	}
	return n, nil
}

// isHostName reports whether s is a name in ASCII. Numbers that resolvers read as an address (127.1, 0x7f000001) are not.
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

// Check returns an error if a push to host must not dial addr, an address of that host. The caller dials exactly this address, and
// checks again each time it resolves the name.
func (p TargetPolicy) Check(host string, addr netip.AddrPort) error {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	forms := addressForms(addr.Addr())
	matches := func(r targetRule) bool { return r.matches(host, forms, addr.Port()) }
	switch {
	case !addr.IsValid() || addr.Port() == 0:
		return &targetError{"no address"}
	case strings.ContainsFunc(host, func(r rune) bool { return r > 0x7f }):
		// Some resolvers fold such names to ASCII names that rules may contain. To judge them, this server would have to fold the same way.
		return &targetError{"the name is not ASCII"}
	case slices.Contains(forbiddenHosts, host) || holds(forbiddenNetworks, forms):
		return &targetError{"always forbidden"}
	case p.denyPrivate != "" && holds(privateNetworks, forms):
		return &targetError{p.denyPrivate}
	}
	if i := slices.IndexFunc(p.deny, matches); i >= 0 {
		return &targetError{"push_deny " + p.deny[i].text}
	}
	forms = forms[:1] // an IPv6 address that contains an allowed IPv4 address is another address
	if len(p.allow) > 0 && !slices.ContainsFunc(p.allow, matches) {
		return &targetError{"not in push_allow"}
	}
	return nil
}

// allowed returns the addresses that a push to host may dial at port, in the order of addrs. If all are forbidden it returns the
// *targetError of the first. An empty addrs is no error.
func (p TargetPolicy) allowed(host string, port uint16, addrs []netip.Addr) ([]netip.Addr, error) {
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

// matches reports whether the rule names this host, or one of these forms of its address.
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

// Networks of IPv6 addresses that contain an IPv4 address to which routers may send the packets.
var (
	compatibleNetwork = netip.MustParsePrefix("::/96")           // RFC 4291, 2.5.5.1
	translatedNetwork = netip.MustParsePrefix("::ffff:0:0:0/96") // RFC 2765
	nat64Network      = netip.MustParsePrefix("64:ff9b::/96")    // RFC 6052
	nat64LocalNetwork = netip.MustParsePrefix("64:ff9b:1::/48")  // RFC 8215
	sixToFourNetwork  = netip.MustParsePrefix("2002::/16")       // RFC 3056
	teredoNetwork     = netip.MustParsePrefix("2001::/32")       // RFC 4380
)

// addressForms returns the address as it is dialled, followed by the IPv4 addresses that it contains.
func addressForms(a netip.Addr) []netip.Addr {
	a = a.WithZone("").Unmap()
	forms := []netip.Addr{a}
	if !a.Is6() || a.IsLoopback() { // ::1 lies in compatibleNetwork, but does not mean 0.0.0.1
		return forms
	}
	b := a.As16()
	low := netip.AddrFrom4([4]byte(b[12:]))
	switch {
	case compatibleNetwork.Contains(a), translatedNetwork.Contains(a), nat64Network.Contains(a):
		return append(forms, low)
	case nat64LocalNetwork.Contains(a): // RFC 6052, 2.2: at the end of a /96, or around the zero byte of the /48
		return append(forms, low, netip.AddrFrom4([4]byte{b[6], b[7], b[9], b[10]}))
	case sixToFourNetwork.Contains(a):
		return append(forms, netip.AddrFrom4([4]byte(b[2:6])))
	case teredoNetwork.Contains(a): // the server, and the client with inverted bits
		return append(forms, netip.AddrFrom4([4]byte(b[4:8])), netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]}))
	}
	return forms
}
