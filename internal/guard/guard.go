package guard

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
)

// Why a request is turned away, as metrics name it.
const (
	WhyHost     = "host"
	WhyOrigin   = "origin"
	WhyPassword = "password" // a wrong one
	WhyTries    = "tries"    // of passwords, too many
)

// Error says why a request is turned away, and which line in the settings would let it in.
type Error struct{ message string }

// Error returns the words for the client.
func (e *Error) Error() string { return e.message }

// Guard judges requests by the page that they come from. A nil Guard knows no names of this server beyond the general ones, and
// counts nothing. All methods may be called from any goroutine.
type Guard struct {
	names    atomic.Pointer[[]string] // of this server, as patterns
	refusals *Refusals
	near     neighbours
}

// New makes a guard for a server of these names; *.example.com is all names that end so. Its refusals are counted there.
func New(names []string, refusals *Refusals) *Guard {
	g := &Guard{refusals: refusals}
	g.SetNames(names)
	return g
}

// SetNames puts others in the place of the server's names.
func (g *Guard) SetNames(names []string) {
	plain := make([]string, len(names))
	for i, name := range names {
		plain[i] = plainName(name)
	}
	g.names.Store(&plain)
}

// Host refuses a request from this machine or a private network that calls the server by an unknown name: a stranger's page that
// has had its name resolved to this address does. From elsewhere any name will do, as its owner reaches the server anyway.
func (g *Guard) Host(door string, r *http.Request) error {
	if r.Host == "" || !g.isNear(r) || g.knows(r.Host) {
		return nil
	}
	name, _ := splitHost(r.Host)
	return g.refuse(door, WhyHost, r, fmt.Sprintf(
		"this server does not know itself as %s: if it is reached by that name, write http_allowed_hosts=%s in its settings",
		shown(name), shown(name)))
}

// Page refuses the request of a page of another host, unless its origin is named.
func (g *Guard) Page(door string, r *http.Request, named Origins) error {
	origin, ok := originOf(r)
	site := r.Header.Get("Sec-Fetch-Site")
	switch {
	case !ok: // more than one
	case site == "same-origin" || site == "none":
		return nil
	case origin == "" && site == "":
		return nil // no browser
	case origin == "":
		if isRead(r) && r.Header.Get("Sec-Fetch-Mode") == "navigate" {
			return nil // somebody followed a link, and the page with that link sees nothing of the answer
		}
	case isOwn(r, origin), named.name(origin), named.any && origin != "null" && !isSimple(r):
		return nil
	}
	line := "rest_access_control_allow_origin=" + named.with(origin)
	switch {
	case !ok || !hasHost(origin):
		return g.refuse(door, WhyOrigin, r, "a page of another origin may not use this: serve it from a host of its own, "+
			"and name its origin in the setting rest_access_control_allow_origin")
	case named.any:
		return g.refuse(door, WhyOrigin, r, fmt.Sprintf("a page of %s may use this with the content type application/json only: "+
			"otherwise write %s in the settings", shown(origin), line))
	}
	return g.refuse(door, WhyOrigin, r, fmt.Sprintf("a page of %s may not use this: if it may, write %s in the settings",
		shown(origin), line))
}

// Socket refuses a WebSocket of a page that is not among the allowed ones. If none are given, all are allowed where the server is
// reached from afar, and those of its own host where it is not.
func (g *Guard) Socket(door string, r *http.Request, allowed []string) error {
	origin, ok := originOf(r)
	switch {
	case !ok:
	case origin == "":
		return nil // no browser
	case len(allowed) > 0:
		if matches(allowed, origin) || g.knows(r.Host) && sameHostPort(r.Host, origin) {
			return nil
		}
	case !g.isInside(r):
		return nil
	default:
		if err := g.Host(door, r); err != nil {
			return err
		}
		if isOwn(r, origin) || isLoopbackOrigin(origin) || r.Header.Get("Sec-Fetch-Site") == "same-origin" {
			return nil
		}
	}
	if !ok || !hasHost(origin) {
		return g.refuse(door, WhyOrigin, r, "a page from a file or in a sandbox may not use this: serve it from a host of its own, "+
			"and name that host in the setting ws_allowed_origins")
	}
	_, host, _ := strings.Cut(origin, "://")
	return g.refuse(door, WhyOrigin, r, fmt.Sprintf("a page of %s may not use this: if it may, write ws_allowed_origins=%s in the settings",
		shown(origin), strings.Join(append(append([]string{}, allowed...), shown(host)), ",")))
}

// Media refuses a request by WHIP or WHEP that needs no token, as Socket does where no origins are allowed.
func (g *Guard) Media(door, setting string, r *http.Request) error {
	origin, ok := originOf(r)
	site := r.Header.Get("Sec-Fetch-Site")
	if ok && origin == "" && site == "" {
		return nil // no browser: they name the origin of all that is more than read
	}
	if err := g.Host(door, r); err != nil {
		return err
	}
	switch {
	case !ok:
	case !g.isInside(r), site == "same-origin", site == "none":
		return nil
	case origin == "": // another origin's, which hides itself
	case isOwn(r, origin), isLoopbackOrigin(origin):
		return nil
	}
	return g.refuse(door, WhyOrigin, r, fmt.Sprintf(
		"a page of another host may not use this without a token: write %s=TOKEN in the settings, and give the page that token; "+
			"if the page is this server's own, the proxy before it has to pass the Host header on", setting))
}

// refuse counts the refusal and makes its error.
func (g *Guard) refuse(door, why string, r *http.Request, message string) error {
	if g != nil {
		g.refusals.Note(door, why, "peer", r.RemoteAddr, "host", shown(r.Host), "origin", shown(r.Header.Get("Origin")), "detail", message)
	}
	return &Error{message}
}

// IsLocal says whether a request comes from this machine, and from no proxy on it that says so.
func IsLocal(r *http.Request) bool {
	peer, ok := Peer(r.RemoteAddr)
	if !ok || !peer.IsLoopback() {
		return false
	}
	for _, header := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "Via"} {
		if r.Header.Get(header) != "" {
			return false
		}
	}
	return true
}

// isNear says whether the other end of the connection is this machine or in a network that strangers do not reach.
func (g *Guard) isNear(r *http.Request) bool {
	peer, ok := Peer(r.RemoteAddr)
	if !ok || isPrivate(peer) {
		return true
	}
	return g != nil && g.near.has(peer)
}

// isInside says whether a page may have reached the server through its visitor's browser only: the browser is near, or calls the
// server by a name of this machine or of a private network. A proxy says in a header where the browser is. No page can add such
// a header to a WebSocket, nor to a request of another origin without being allowed to.
func (g *Guard) isInside(r *http.Request) bool {
	if g.isFromAfar(r) {
		return false
	}
	return g.isNear(r) || isPrivateName(r.Host)
}

// isFromAfar says whether a proxy has had the request from an address that is not near.
func (g *Guard) isFromAfar(r *http.Request) bool {
	for _, header := range []string{"X-Forwarded-For", "X-Real-Ip"} {
		for _, list := range r.Header.Values(header) {
			for client := range strings.SplitSeq(list, ",") {
				a, err := netip.ParseAddr(strings.Trim(strings.TrimSpace(client), "[]"))
				if err == nil && !isPrivate(a.Unmap()) && (g == nil || !g.near.has(a.Unmap())) {
					return true
				}
			}
		}
	}
	return false
}

// knows says whether a Host header is a name of this server, or one that no stranger can own.
func (g *Guard) knows(host string) bool {
	name, ok := splitHost(host)
	switch {
	case !ok:
		return false
	case isAddress(name), isPrivateName(name):
		return true
	}
	return g != nil && matchesName(*g.names.Load(), name)
}
