package line

import "net/netip"

// Port returns the local port of a transport: 0 before the sockets are open, and for TLS without a TLS server.
func (l *Line) Port(transport string) int {
	switch p := l.ports.Load(); {
	case p == nil:
		return 0
	case transport == "tls":
		return p.tls
	default:
		return p.sip
	}
}

// Back returns the path to where a message came from: over TCP and TLS the same connection, as long as it lives. It is for requests to a
// peer that connected to us, and may not be reached otherwise.
func (l *Line) Back(o Origin) Path {
	p := Path{Transport: o.Transport, Remote: o.Source, ServerName: o.serverName}
	p.Local, _ = l.localFor(o.Source) // the peer has just reached us: there is a route
	return p
}

// Contact returns the URI at which the peer of a path reaches us.
func (l *Line) Contact(user string, p Path) string {
	uri := "sip:" + user + "@" + l.sentBy(p)
	if p.Transport != "udp" {
		uri += ";transport=" + p.Transport
	}
	return uri
}

// sentBy returns our host and port as the peer of a path sees them.
func (l *Line) sentBy(p Path) string {
	host := p.Local
	for _, external := range l.cfg.External {
		if external.Is4() == p.Remote.Addr().Is4() && !p.Remote.Addr().IsLoopback() {
			host = external
		}
	}
	if !host.IsValid() {
		host = netip.IPv4Unspecified()
	}
	port := l.Port(p.Transport)
	if port == 0 { // without a TLS server, a peer can only use our connection
		port = l.Port("udp")
	}
	return netip.AddrPortFrom(host, uint16(port)).String()
}
