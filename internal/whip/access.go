package whip

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/netip"

	"transponder/internal/access"
	"transponder/internal/guard"
)

// Access finds out who a client is, and decides what he may do. auth.Authenticator is one.
type Access interface {
	Credential(door string, r *http.Request) access.Credential
	Identify(ctx context.Context, c access.Credential) (*access.Principal, error)
	Authorize(p *access.Principal, c access.Credential, do access.Action, o access.Object) error
	Hold(p *access.Principal) *access.Lease
	Take(p *access.Principal, do access.Action) (release func(), err error)
}

// client is who has sent a request.
type client struct {
	who     *access.Principal
	shown   access.Credential
	token   string // that the client has sent, "" for none
	address netip.Addr
	insists bool // he asks for the name of a stream that somebody else publishes
}

// credential returns what a request shows. again means that the request belongs to a session, whose token was checked before.
//
// Of what a request shows, only tokens count. Browsers send passwords, cookies and certificates by themselves, also for pages of strangers.
func (p protocol) credential(r *http.Request, again bool) client {
	c := client{shown: p.server.parts.Access.Credential(p.name, r), token: p.token(r)}
	c.address, _ = guard.RemoteAddress(r.RemoteAddr)
	c.shown.Token, c.shown.Again = c.token, again
	c.shown.Name, c.shown.Password, c.shown.Session = "", "", ""
	if r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "" {
		c.shown.Certificates = nil
	}
	return c
}

// identify finds out who has sent a request. theirs means that the backend of an application decides about tokens that are none of ours.
func (p protocol) identify(r *http.Request, c *client, theirs bool) (err error) {
	if theirs && !access.LooksLikeToken(c.token) {
		c.shown.Token = ""
	}
	c.who, err = p.server.parts.Access.Identify(r.Context(), c.shown)
	var bad *access.BadCredential
	if theirs && errors.As(err, &bad) {
		c.who, err = access.Nobody(), nil
	}
	if err != nil {
		return err
	}
	if c.showsNothing() && (!theirs || c.token == "") {
		return p.server.parts.Guard.Media(p.name, p.setting, r)
	}
	return nil
}

// showsNothing says whether the client has shown nothing that only he can have.
func (c client) showsNothing() bool {
	return c.who.Kind == access.Local || c.who.Kind == access.Anonymous
}

// token returns the token of a request.
func (p protocol) token(r *http.Request) string {
	if t := bearer(r); t != "" || !p.server.cfg.TokenInQuery {
		return t
	}
	return r.URL.Query().Get("token")
}

// owner tells who has begun a session.
type owner struct {
	who    *access.Principal
	token  [sha256.Size]byte // the hash of the token, zero for none
	stream string            // the name of the stream
}

func (c client) owner(stream string) owner { return owner{c.who, hash(c.token), stream} }

// hash returns the hash of a token, zero for none.
func hash(token string) (h [sha256.Size]byte) {
	if token != "" {
		h = sha256.Sum256([]byte(token))
	}
	return h
}

// showsTokenOf says whether a client shows the token with which the session was begun. The token may have expired since.
func (o owner) showsTokenOf(token string) bool {
	h := hash(token)
	return token != "" && subtle.ConstantTimeCompare(h[:], o.token[:]) == 1
}

// is says whether a client is the one that has begun the session. If nothing tells the two apart, and none of them has shown a token, the
// address of the session is the proof: only the client that has begun the session was told it.
func (o owner) is(c client) bool {
	if id := o.who.Identity(); id != "" || c.who.Identity() != "" {
		return id == c.who.Identity()
	}
	return o.token == hash(c.token)
}

// owned serves requests of a session for the client that has begun it, and for others that may control its stream.
func (p protocol) owned(next func(w http.ResponseWriter, r *http.Request, x *session)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		x, ok := p.server.session(w, r)
		if !ok {
			return
		}
		if err := p.mayChange(r, x.owner); err != nil {
			p.turnAway(w, r, err)
			return
		}
		next(w, r, x)
	}
}

func (p protocol) mayChange(r *http.Request, o owner) error {
	if o.showsTokenOf(p.token(r)) {
		return nil
	}
	c := p.credential(r, true)
	if err := p.identify(r, &c, false); err != nil || o.is(c) {
		return err
	}
	return p.server.parts.Access.Authorize(c.who, c.shown, access.Control, access.Object{Stream: o.stream, Owner: o.who.Identity()})
}

// turnAway answers a request of a client whom we do not know, or who may not do this.
func (p protocol) turnAway(w http.ResponseWriter, r *http.Request, err error) {
	p.server.log.Debug("request turned away", "door", p.name, "peer", r.RemoteAddr, "err", err)
	p.refuse(w, err)
}
