package guard

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
)

// The reasons for which a request is refused. The metrics have the same words.
const (
	WhyHost     = "host"
	WhyOrigin   = "origin"
	WhyPassword = "password" // a wrong password
	WhyTries    = "tries"    // too many wrong passwords
	WhyAccess   = "access"   // the client may not do this
)

// Error says why a request is refused, and which line in the settings would allow it.
type Error struct{ message string }

// Error returns the text for the client.
func (e *Error) Error() string { return e.message }

// Guard judges a request by the page that the request comes from. A nil Guard knows only names that no stranger can own, and counts
// nothing. All methods may be called from any goroutine.
type Guard struct {
	names    atomic.Pointer[[]string] // names of this server; *.suffix is every name below suffix
	refusals *Refusals
	near     neighbours
}

// New makes a Guard for a server with these names. *.example.com is every name that ends in .example.com. refusals counts and logs what
// the Guard refuses.
func New(names []string, refusals *Refusals) *Guard {
	g := &Guard{refusals: refusals}
	g.SetNames(names)
	return g
}

// SetNames replaces the names of the server.
func (g *Guard) SetNames(names []string) {
	plain := make([]string, len(names))
	for i, name := range names {
		plain[i] = plainName(name)
	}
	g.names.Store(&plain)
}

// Host refuses a request from this machine or from a private network if the Host header is an unknown name, as in a request of a
// stranger's page whose name resolves to this address. From elsewhere every name is allowed, because the owner of the name can reach
// this server anyway.
func (g *Guard) Host(door string, r *http.Request) error {
	if r.Host == "" || !g.isNear(r) || g.knows(r.Host) {
		return nil
	}
	name, _ := splitHost(r.Host)
	return g.refuse(door, WhyHost, r, fmt.Sprintf(
		"this server does not know itself as %s: if it is reached by that name, write http_allowed_hosts=%s in its settings",
		shown(name), shown(name)))
}

// Page refuses the request of a page of another host, unless named holds the origin of the page.
func (g *Guard) Page(door string, r *http.Request, named Origins) error {
	origin, ok := originOf(r)
	site := r.Header.Get("Sec-Fetch-Site")
	switch {
	case !ok: // it has more than one origin
	case site == "same-origin" || site == "none":
		return nil
	case origin == "" && site == "":
		return nil // no browser
	case origin == "":
		if isRead(r) && r.Header.Get("Sec-Fetch-Mode") == "navigate" {
			return nil // somebody followed a link; the page with the link does not see the answer
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

// Socket refuses the WebSocket of a page whose host is not in allowed. If allowed is empty, all pages may open a WebSocket, except where
// the server is reached through this machine or a private network: there only pages of the server's own host may.
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

// Media judges a request of WHIP or WHEP that needs no token. The rule is the rule of Socket with an empty list. setting is the name of
// the setting that would demand a token.
func (g *Guard) Media(door, setting string, r *http.Request) error {
	origin, ok := originOf(r)
	site := r.Header.Get("Sec-Fetch-Site")
	if ok && origin == "" && site == "" {
		return nil // no browser: a browser sends the origin with every request that does more than read
	}
	if err := g.Host(door, r); err != nil {
		return err
	}
	switch {
	case !ok:
	case !g.isInside(r), site == "same-origin", site == "none":
		return nil
	case origin == "": // of another origin, which the browser does not name
	case isOwn(r, origin), isLoopbackOrigin(origin):
		return nil
	}
	return g.refuse(door, WhyOrigin, r, fmt.Sprintf(
		"a page of another host may not use this without a token: write %s=TOKEN in the settings, and give the page that token; "+
			"if the page is this server's own, the proxy before it has to pass the Host header on", setting))
}

// refuse counts and logs a refusal, and returns the error for the client.
func (g *Guard) refuse(door, why string, r *http.Request, message string) error {
	if g != nil {
		g.refusals.Note(door, why, "peer", r.RemoteAddr, "host", shown(r.Host), "origin", shown(r.Header.Get("Origin")), "detail", message)
	}
	return &Error{message}
}

// HasBearer reports whether a request has a bearer token. No browser adds a token by itself, so that no page can use what is not its own.
func HasBearer(r *http.Request) bool {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.EqualFold(scheme, "Bearer") && strings.TrimSpace(token) != ""
}

// IsTrusted reports whether a request that shows no credential may have the power that its place gives: the Host header is a name that no
// stranger can own, and there is no page, or the page comes from the server's own host, from this machine, or from an origin that named holds.
func (g *Guard) IsTrusted(r *http.Request, named Origins) bool {
	origin, ok := originOf(r)
	if !ok || g.isNear(r) && r.Host != "" && !g.knows(r.Host) {
		return false
	}
	if origin == "" {
		return true // the guard of the door judges requests without an origin by Sec-Fetch-Site
	}
	return isOwn(r, origin) || isLoopbackOrigin(origin) || named.name(origin)
}

// proxyHeaders are what proxies add to requests.
var proxyHeaders = []string{
	"Forwarded", "Via", "X-Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Server", "X-Original-Forwarded-For",
	"X-Real-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "True-Client-Ip", "Fastly-Client-Ip", "Cf-Connecting-Ip", "Cf-Ray",
}

// IsLocal reports whether a request comes from this machine itself, and not through a proxy that runs here.
func IsLocal(r *http.Request) bool {
	peer, ok := RemoteAddress(r.RemoteAddr)
	if !ok || !peer.IsLoopback() {
		return false
	}
	for _, header := range proxyHeaders {
		if r.Header.Get(header) != "" {
			return false
		}
	}
	return true
}

// isNear reports whether the connection comes from this machine, or from a network that strangers cannot reach.
func (g *Guard) isNear(r *http.Request) bool {
	peer, ok := RemoteAddress(r.RemoteAddr)
	if !ok || isPrivate(peer) {
		return true
	}
	return g != nil && g.near.has(peer)
}

// isInside reports whether a page may have needed the visitor's browser to reach the server: the browser is near, or uses a name of this
// machine or of a private network. If there is a proxy, a header of the proxy says where the browser is. A page cannot add such a header
// to a WebSocket, and may not add it to a request of another origin.
func (g *Guard) isInside(r *http.Request) bool {
	if g.isFromAfar(r) {
		return false
	}
	return g.isNear(r) || isPrivateName(r.Host)
}

// isFromAfar reports whether a proxy says that it received the request from an address that is not near.
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

// knows reports whether a Host header is a name of this server, or a name that no stranger can own.
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
