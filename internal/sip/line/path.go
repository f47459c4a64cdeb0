package line

import (
	"net/netip"
	"slices"

	"transponder/internal/sip/dialog"
)

// Origin is where a message came from.
type Origin struct {
	Transport string // "udp", "tcp" or "tls"
	Source    netip.AddrPort

	serverName string // the name that we checked the peer's certificate against, if we made a TLS connection
}

// Path is where a request goes first. The request itself may name another target.
type Path struct {
	Transport  string // "udp", "tcp" or "tls"
	Remote     netip.AddrPort
	Local      netip.Addr // our address on the way there
	ServerName string     // whom the certificate of a TLS server must name

	more []netip.AddrPort // to be tried after Remote, in order (RFC 3263, 4.3)
}

// At returns the path without its other addresses. If a response came from one of them, the path leads there: a request with credentials has to
// go to the server that asked for the credentials.
func (p Path) At(o Origin) Path {
	if p.Transport == o.Transport && slices.Contains(p.more, o.Source) {
		p.Remote = o.Source
	}
	p.more = nil
	return p
}

// next returns the path to the next address.
func (p Path) next() Path {
	p.Remote, p.more = p.more[0], p.more[1:]
	return p
}

// route returns the key by which links find the connection of a path. A path over UDP has a route, too, though there is one socket for all.
func (p Path) route() route { return route{p.Transport, p.Remote, p.ServerName} }

// route is one way to one peer.
type route struct {
	transport  string
	remote     netip.AddrPort
	serverName string // "" also for a connection that the peer made: its name is not proved
}

func (r route) origin() Origin { return Origin{r.transport, r.remote, r.serverName} }

// startsDialog reports whether the request may go to any server of a domain: it is for no dialog yet.
func startsDialog(r *dialog.Request) bool {
	return r.Method != "ACK" && r.Method != "CANCEL" && dialog.ParseAddress(r.Header.Get("To")).Param("tag") == ""
}
