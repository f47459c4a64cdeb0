package wcs

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"

	"transponder/internal/access"
	"transponder/internal/guard"
)

// visit is what the request shows with which a page has opened its socket.
type visit struct {
	shown access.Credential
	token string       // in the query of the URL
	judge func() error // says whether a page of that origin may come without a token
}

// newVisit reads a request.
func (s *Server) newVisit(r *http.Request) visit {
	v := visit{
		shown: s.access.Credential(door, r),
		token: r.URL.Query().Get("token"),
		judge: sync.OnceValue(func() error { return s.parts.Guard.Socket(door, r, s.cfg.Origins) }),
	}
	// A browser adds a cookie, a password that it knows, and a certificate to the requests of all pages.
	v.shown.Session, v.shown.Name, v.shown.Password = "", "", ""
	if !isOwnPage(r) {
		v.shown.Certificates = nil
	}
	return v
}

// isOwnPage says whether a request comes from a page of the host that it goes to, or from no page.
func isOwnPage(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	u, err := url.Parse(origin)
	return origin == "" || err == nil && strings.EqualFold(u.Hostname(), bareHost(r.Host))
}

// credential returns what a page shows with its first message. A token in the message goes before one in the URL.
func (v visit) credential(c connection) access.Credential {
	shown := v.shown
	switch own := tokenIn(c.Custom); {
	case own != "":
		shown.Token = own
	case v.token != "":
		shown.Token = v.token
	case looksLikeToken(string(c.AuthToken)):
		shown.Token = string(c.AuthToken)
	}
	return shown
}

// greeting is the first message of a page, and what it shows.
type greeting struct {
	connection
	data  json.RawMessage
	echo  map[string]json.RawMessage
	shown access.Credential
}

// returns says whether the page wants to return to its session.
func (g greeting) returns() bool { return g.AuthToken != "" && !looksLikeToken(string(g.AuthToken)) }

// greet lets a page in, or not. A page that shows nothing is answered at once. What else has to be asked for may take time, so it is asked
// for on another goroutine: the reader goes on meanwhile.
func (k *socket) greet(ctx context.Context, g greeting) {
	if g.shown.Token == "" {
		k.admit(ctx, g)
		return
	}
	k.work.Go(func() { k.safely(func() { k.admit(ctx, g) }) })
}

// admit lets a page in that may come in, and tells it else why not.
func (k *socket) admit(ctx context.Context, g greeting) {
	err := k.enter(ctx, g)
	if err != nil && ctx.Err() == nil {
		k.log.Debug("page refused", "origin", short(k.origin), "app", short(string(g.AppKey)), "err", err)
		k.end(err)
	}
}

// enter finds out who the page is, and makes a session for it, or gives it back its session.
func (k *socket) enter(ctx context.Context, g greeting) error {
	var old *session
	if g.returns() {
		var ok bool
		if old, ok = k.srv.toReturnTo(string(g.AuthToken)); !ok {
			return errAuthToken
		}
		if old.proof.hasToken(g.shown.Token) {
			return k.resume(old)
		}
	}
	p, err := k.identify(ctx, g.shown)
	switch {
	case err != nil:
		return err
	case old == nil:
		return k.begin(ctx, g, p)
	case !old.proof.fits(p):
		k.srv.parts.Refusals.Note(door, "access", "peer", k.peer, "principal", p.String())
		return errAuthToken // as if there were no such session
	}
	return k.resume(old)
}

// identify returns who the page is. A page of a foreign host must have a token, where the guard says so: without one, the rights would come
// from the place of the browser, which the page only uses.
func (k *socket) identify(ctx context.Context, shown access.Credential) (*access.Principal, error) {
	if shown.Token == "" {
		if err := k.visit.judge(); err != nil {
			return nil, refuse(err)
		}
	}
	p, err := k.srv.access.Identify(ctx, shown)
	if err != nil {
		return nil, refuse(err)
	}
	if p == nil || p.Kind == access.Anonymous {
		if err := k.visit.judge(); err != nil { // a token that is none
			return nil, refuse(err)
		}
	}
	return p, nil
}

// begin makes a session.
func (k *socket) begin(ctx context.Context, g greeting, p *access.Principal) error {
	if p == nil || p.Kind == access.Anonymous && len(p.Grants) == 0 {
		k.srv.parts.Refusals.Note(door, "access", "peer", k.peer, "principal", p.String())
		return refuse(access.ErrNone)
	}
	g.AppKey = cmp.Or(g.AppKey, "defaultApp")
	if string(g.Custom) == "null" {
		g.Custom = nil
	}
	account, err := takeAccount(g.data, g.echo)
	s := newSession(k, g, p)
	k.srv.remember(s)
	k.session.Store(s)
	k.welcome()
	s.log.Info("session opened", "peer", k.peer, "principal", p.String(),
		"app", short(string(g.AppKey)), "client", short(string(g.ClientVersion)), "origin", short(k.origin))
	k.send("getUserData", g.echo)
	if mayLose(p) {
		s.streams.start(s.watchLease)
	}
	s.openPhone(ctx, k.host, account, err)
	return nil
}

// mayLose says whether the principal may lose his rights while a session lasts.
func mayLose(p *access.Principal) bool { return p.Kind != access.Local && p.Kind != access.Anonymous }

// resume gives the page back its session.
func (k *socket) resume(s *session) error {
	if !s.attach(k) {
		return errAuthToken
	}
	k.welcome()
	return nil
}

// lobby has the sockets whose page has not been let in yet. An address may have a few of them at a time.
type lobby struct {
	shares guard.SharesConfig

	mu sync.Mutex
	by map[netip.Prefix]int // guarded by mu; by block of addresses
}

// enter takes a place for an address. release gives it back; it is nil if the address has all its places. A proxy, and this machine, where a
// proxy may run, may have any number: many people may be behind it.
func (l *lobby) enter(a netip.Addr, most int) (release func()) {
	if !a.IsValid() || l.shares.IsProxy(a) {
		return func() {}
	}
	who := guard.Block(a)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.by[who] >= most {
		return nil
	}
	l.by[who]++
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.by[who]--; l.by[who] == 0 {
			delete(l.by, who)
		}
	})
}
