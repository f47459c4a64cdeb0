package wcs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"

	"github.com/google/uuid"

	"transponder/internal/access"
	"transponder/internal/guard"
	"transponder/internal/hook"
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
		judge: sync.OnceValue(func() error { return s.parts.Guard.Socket(door, r, *s.origins.Load()) }),
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

// credential returns what a page shows with its first message. A token in the message goes before one in the URL. If the backend of the app
// reads the member custom, only what looks like a token of ours is one.
func (v visit) credential(c connection, backend *hook.Session) access.Credential {
	shown := v.shown
	own := tokenIn(c.Custom)
	if backend.IgnoresToken() {
		own = ""
	}
	switch {
	case own != "":
		shown.Token = own
	case access.LooksLikeToken(v.token), v.token != "" && !backend.IgnoresToken():
		shown.Token = v.token
	case access.LooksLikeToken(string(c.AuthToken)):
		shown.Token = string(c.AuthToken)
	}
	return shown
}

// greeting is the first message of a page, and what it shows.
type greeting struct {
	connection
	data      json.RawMessage
	echo      map[string]json.RawMessage
	sessionID string        // of the session that the page wants to return to, or of a new one
	old       *session      // that the page wants to return to; nil: none
	hook      *hook.Session // of the session
	shown     access.Credential
}

// greet lets a page in, or not. A page about which nobody has to be asked is answered at once. Otherwise the answer may take a while, and the
// reader goes on meanwhile.
func (k *socket) greet(ctx context.Context, g greeting) {
	if g.AuthToken != "" && !access.LooksLikeToken(string(g.AuthToken)) {
		old, ok := k.srv.toReturnTo(string(g.AuthToken))
		if !ok {
			k.end(errAuthToken)
			return
		}
		g.old, g.sessionID, g.hook = old, old.id, old.hook
	} else {
		g.AppKey = cmp.Or(g.AppKey, "defaultApp")
		g.sessionID = uuid.NewString()
		if err := k.open(&g); err != nil {
			k.end(refuse(err))
			return
		}
	}
	g.shown = k.visit.credential(g.connection, g.hook)
	if g.shown.Token == "" && (g.old != nil || !g.hook.HasBackend()) {
		k.admit(ctx, g)
		return
	}
	k.work.Go(func() { k.safely(func() { k.admit(ctx, g) }) })
}

// open opens the hooks of a new session.
func (k *socket) open(g *greeting) (err error) {
	if k.srv.parts.Hooks == nil {
		return nil
	}
	g.hook, err = k.srv.parts.Hooks.Open(hook.Client{
		AppKey: string(g.AppKey), SessionID: g.sessionID, Door: door, Peer: k.visit.shown.Peer, Address: k.peer,
	})
	return err
}

// admit lets a page in that may come in, and tells it else why not.
func (k *socket) admit(ctx context.Context, g greeting) {
	err := k.enter(ctx, g)
	if err == nil {
		return
	}
	if g.old == nil {
		g.hook.Close("")
	}
	if ctx.Err() == nil {
		k.log.Debug("page refused", "origin", short(k.origin), "app", short(string(g.AppKey)), "err", err)
		k.end(err)
	}
}

// enter finds out who the page is, and makes a session for it, or gives it back its session.
func (k *socket) enter(ctx context.Context, g greeting) error {
	if g.old != nil && g.old.proof.hasToken(g.shown.Token) {
		return k.resume(g.old)
	}
	p, err := k.identify(ctx, g)
	switch {
	case err != nil:
		return err
	case g.old == nil:
		return k.begin(ctx, g, p)
	case !g.old.proof.fits(p):
		k.srv.parts.Refusals.Note(door, guard.WhyAccess, "peer", k.peer, "principal", p.String())
		return errAuthToken // as if there were no such session
	}
	return k.resume(g.old)
}

// identify returns who the page is. A page of a foreign host has no rights because of the place of the browser, which the page only uses. Such
// a page needs a token, unless the backend of its app decides about it.
func (k *socket) identify(ctx context.Context, g greeting) (*access.Principal, error) {
	shown := g.shown
	foreign := k.visit.judge()
	if foreign != nil {
		shown.Local, shown.Certificates = false, nil
	}
	p, err := k.srv.access.Identify(ctx, shown)
	if _, bad := errors.AsType[*access.BadCredential](err); bad && g.hook.IgnoresToken() {
		shown.Token = ""
		p, err = k.srv.access.Identify(ctx, shown)
	}
	switch {
	case err != nil:
		return nil, refuse(err)
	case foreign != nil && !g.hook.HasBackend() && (p == nil || p.Kind == access.Anonymous):
		return nil, refuse(foreign)
	}
	return p, nil
}

// begin makes a session, if the app lets the page in.
func (k *socket) begin(ctx context.Context, g greeting, shown *access.Principal) error {
	p, err := k.connect(ctx, &g, shown)
	switch {
	case err != nil && ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return refuse(err)
	case p == nil || p.Kind == access.Anonymous && len(p.Grants) == 0:
		k.srv.parts.Refusals.Note(door, guard.WhyAccess, "peer", k.peer, "principal", p.String())
		return refuse(access.ErrNone)
	}
	if string(g.Custom) == "null" {
		g.Custom = nil
	}
	account, err := takeAccount(g.data, g.echo)
	s := newSession(k, g, shown, p)
	k.srv.remember(s)
	k.session.Store(s)
	k.welcome()
	s.log.Info("session opened", "peer", k.peer, "principal", p.String(),
		"app", short(string(g.AppKey)), "client", short(string(g.ClientVersion)), "origin", short(k.origin))
	k.send("getUserData", k.srv.withICEServers(g.echo, s.id))
	if mayLose(p) {
		s.streams.start(s.watchLease)
	}
	s.hook.Established(func(err error) { s.end(refuse(err)) })
	defer close(s.begun)
	s.openPhone(ctx, k.host, account, err)
	return nil
}

// connect asks the backend of the app, and takes over what the backend changes.
func (k *socket) connect(ctx context.Context, g *greeting, p *access.Principal) (*access.Principal, error) {
	if g.hook == nil {
		return p, nil
	}
	sent := maps.Clone(g.echo)
	for name, value := range sent {
		if strings.EqualFold(name, "custom") {
			sent[name] = withoutKey(value)
		}
	}
	p, members, err := g.hook.Connect(ctx, p, hook.Connection{Members: sent, Origin: k.origin})
	if err != nil || !g.hook.HasBackend() {
		return p, err
	}
	g.echo = maps.Clone(members)
	if g.data, err = json.Marshal(members); err != nil {
		return nil, err
	}
	app := g.AppKey
	g.connection = connection{}
	if err := json.Unmarshal(g.data, &g.connection); err != nil {
		return nil, err
	}
	g.AppKey = app
	for _, name := range g.hook.Exclude(hook.Connect) {
		delete(g.echo, name)
	}
	return p, nil
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
