// Package auth finds out who a client is. An Authenticator turns what a client has shown at a door into a principal, as the mode of access
// in the settings says, and writes down what is decided about it. internal/app makes one Authenticator for all doors.
package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"transponder/internal/access"
	"transponder/internal/access/audit"
	"transponder/internal/guard"
)

// Tokens checks JWTs and stored keys. The error is a *access.BadCredential or a *access.TooMany.
type Tokens interface {
	Verify(ctx context.Context, c access.Credential) (*access.Principal, error)
}

// People checks names and passwords, and the cookies of those who have logged in. The errors are as in Tokens.
type People interface {
	Login(ctx context.Context, c access.Credential) (*access.Principal, error)
	Session(ctx context.Context, c access.Credential) (*access.Principal, error)
}

// Guesses counts tokens that proved nothing, by the address that they came from.
type Guesses interface {
	// Before returns a *access.TooMany if a token that people have chosen must not be compared now, because the address has guessed too often.
	// account names the token.
	Before(c access.Credential, account string) error
	// Right notes that such a token was right.
	Right(c access.Credential, account string)
	// Wrong counts one. It returns a *access.TooMany if the address may not try any more for now, otherwise a *access.BadCredential.
	Wrong(c access.Credential) error
}

// Recorder writes down what was decided. It does not block for long.
type Recorder interface {
	Note(line audit.Line)
}

// Parts are the parts that an Authenticator asks. Each may be nil: then nobody has such a credential.
type Parts struct {
	Tokens   Tokens
	People   People
	Guesses  Guesses
	Cookie   func(r *http.Request) string // the cookie of a login, "": none
	Recorder Recorder
	Guard    *guard.Guard
	Pages    guard.Origins // of pages on other hosts that count as the server's own
	Refusals *guard.Refusals
	Shares   guard.SharesConfig
	Leases   *access.Leases
	Quotas   *access.Quotas
}

// Authenticator finds out who clients are. All methods may be called from any goroutine.
type Authenticator struct {
	cfg   Config
	parts Parts
	log   *slog.Logger

	names names
}

// New makes an Authenticator for a valid configuration.
func New(cfg Config, parts Parts, log *slog.Logger) *Authenticator {
	if parts.Leases == nil {
		parts.Leases = access.NewLeases()
	}
	return &Authenticator{cfg: cfg, parts: parts, log: log}
}

// Mode returns the mode of access.
func (a *Authenticator) Mode() Mode { return a.cfg.Mode }

// Credential returns what an HTTP request shows. door names the caller.
func (a *Authenticator) Credential(door string, r *http.Request) access.Credential {
	c := access.Credential{
		Door: door, Peer: a.parts.Shares.Client(r), Origin: shorten(r.Header.Get("Origin")),
		Local: guard.IsLocal(r) && a.parts.Guard.IsTrusted(r, a.parts.Pages),
	}
	if c.Local {
		a.watch(r)
	}
	if scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "Bearer") {
		c.Token = strings.TrimSpace(token)
	}
	c.Name, c.Password, _ = r.BasicAuth()
	if a.parts.Cookie != nil && isRESTDoor(door) { // a cookie comes along with what any page sends
		c.Session = a.parts.Cookie(r)
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		c.Certificates = r.TLS.VerifiedChains[0]
	}
	return c
}

// shorten cuts what a client has sent, for the audit log.
func shorten(text string) string {
	const most = 255
	return text[:min(len(text), most)]
}

// Identify returns who has shown the credential. With an empty credential that is the anonymous principal, or what the mode makes of it. The
// error is a *access.BadCredential or a *access.TooMany.
func (a *Authenticator) Identify(ctx context.Context, c access.Credential) (*access.Principal, error) {
	switch {
	case c.Token != "":
		p, err := a.byToken(ctx, c)
		var bad *access.BadCredential
		switch {
		case !errors.As(err, &bad):
		case a.ignoresTokens(c.Door):
			return a.byPlace(c), nil
		case bad.Detail == "" && a.parts.Guesses != nil: // otherwise the holder of a token of ours is told what is wrong with it, and guesses nothing
			return nil, a.parts.Guesses.Wrong(c)
		}
		return p, err
	case c.Name != "" || c.Password != "":
		p, err := a.byPassword(ctx, c)
		var bad *access.BadCredential
		if errors.As(err, &bad) && isRESTDoor(c.Door) && a.cfg.WithoutCredential() {
			return a.byPlace(c), nil // pages of Web Call Server may send a password to a server that asks for none
		}
		return p, err
	case c.Session != "" && a.parts.People != nil:
		p, err := a.parts.People.Session(ctx, c)
		var bad *access.BadCredential
		if !errors.As(err, &bad) {
			return p, err
		}
		// A cookie that is over is no guess: browsers send it with every request, and the person has to log in again.
	}
	if p := a.byCertificate(c.Certificates); p != nil {
		return p, nil
	}
	return a.byPlace(c), nil
}

func (a *Authenticator) byPassword(ctx context.Context, c access.Credential) (*access.Principal, error) {
	if a.parts.People == nil {
		return nil, &access.BadCredential{}
	}
	return a.parts.People.Login(ctx, c)
}

func (a *Authenticator) byToken(ctx context.Context, c access.Credential) (*access.Principal, error) {
	for _, own := range []struct {
		door   string
		token  access.Secret
		id     string
		action access.Action
	}{
		{"whip", a.cfg.WHIPToken, "whip_token", access.Publish},
		{"whep", a.cfg.WHEPToken, "whep_token", access.Play},
	} {
		if own.token != "" && own.door == c.Door && a.isOwn(c, string(own.token), own.id) {
			return &access.Principal{Kind: access.Setting, ID: own.id, Grants: []access.Grant{
				{Actions: []access.Action{own.action}, Streams: []string{"*"}},
			}}, nil
		}
	}
	if a.parts.Tokens == nil {
		return nil, &access.BadCredential{}
	}
	return a.parts.Tokens.Verify(ctx, c)
}

// isOwn says whether a client has shown a token of the settings. It is not compared for somebody who has guessed too often.
func (a *Authenticator) isOwn(c access.Credential, token, id string) bool {
	guesses := a.parts.Guesses
	if guesses == nil {
		return sameText(token, c.Token)
	}
	if guesses.Before(c, id) != nil || !sameText(token, c.Token) {
		return false
	}
	guesses.Right(c, id)
	return true
}

// sameText compares in a time that tells nothing about the texts.
func sameText(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// ignoresTokens says whether a token that is not valid counts as none at a door. With access=open pages may send tokens that are meant for
// somebody else, as to Web Call Server.
func (a *Authenticator) ignoresTokens(door string) bool {
	return a.cfg.Mode == Open && !isRESTDoor(door) && !a.needsToken(door)
}

// needsToken says whether the settings have a token for a door.
func (a *Authenticator) needsToken(door string) bool {
	return door == "whip" && a.cfg.WHIPToken != "" || door == "whep" && a.cfg.WHEPToken != ""
}

// byCertificate returns the holder of a client certificate that was verified, nil if the certificate has no role.
func (a *Authenticator) byCertificate(chain []*x509.Certificate) *access.Principal {
	if len(chain) == 0 {
		return nil
	}
	for _, r := range a.cfg.CertificateRoles {
		name := chain[0].Subject.CommonName
		ok := name != "" && name == r.Name
		if strings.Contains(r.Name, "://") {
			ok = false
			for _, u := range chain[0].URIs {
				if ok = access.Match(r.Name, u.String()); ok {
					name = u.String()
					break
				}
			}
		}
		if ok {
			return &access.Principal{Kind: access.Certificate, Subject: name, Grants: r.Role.Grants(nil)}
		}
	}
	return nil
}

// byPlace returns who a client is that has shown nothing.
func (a *Authenticator) byPlace(c access.Credential) *access.Principal {
	rest := isRESTDoor(c.Door)
	restClosed := rest && a.cfg.REST == RESTClosed
	switch {
	case a.needsToken(c.Door):
		return access.Nobody()
	case c.Door == "rest" && a.cfg.REST == RESTClosed: // also on this machine
	case c.Local && a.cfg.Mode != Closed:
		return access.Whole(access.Local)
	case rest && a.cfg.REST == RESTOpen:
		return access.Whole(access.Setting)
	case a.cfg.Mode == Open && !restClosed:
		return access.Whole(access.Anonymous)
	}
	if (c.Door == "metrics" || c.Door == "stat") && holds(a.cfg.MetricsAllow, c.Peer) {
		return &access.Principal{Kind: access.Setting, Grants: access.Viewer.Grants(nil)}
	}
	if len(a.cfg.Anonymous) > 0 && !restClosed {
		return &access.Principal{Kind: access.Anonymous, Grants: []access.Grant{
			{Actions: a.cfg.Anonymous, Streams: []string{"*"}, Destinations: []string{"*"}, URLs: []string{"*"}},
		}}
	}
	return access.Nobody()
}

func holds(networks []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(a) })
}

// Authorize decides whether a principal may do the action, and writes the decision down, except that somebody was allowed to read. If he may
// not, the error is access.ErrNone for somebody who has shown nothing, otherwise a *access.Denied.
func (a *Authenticator) Authorize(p *access.Principal, c access.Credential, do access.Action, o access.Object) error {
	err := access.Decide(p, do, o)
	if err != nil || do != access.Read {
		a.Record(p, c, audit.Line{Do: string(do), Stream: o.Stream, Target: target(o), OK: err == nil, Why: text(err)})
	}
	return a.refusal(p, c, err)
}

// Decide is Authorize without a line in the audit log, for callers who write a line of their own.
func (a *Authenticator) Decide(p *access.Principal, c access.Credential, do access.Action, o access.Object) error {
	return a.refusal(p, c, access.Decide(p, do, o))
}

// refusal counts a refusal, and returns the error for the client.
func (a *Authenticator) refusal(p *access.Principal, c access.Credential, err error) error {
	if err == nil {
		return nil
	}
	a.parts.Refusals.Note(c.Door, guard.WhyAccess, "peer", c.Peer.String(), "principal", p.String())
	if p == nil || p.Kind == access.Anonymous { // a credential may help
		return access.ErrNone
	}
	return err
}

// Record writes a line of the audit log. It fills in when, who and where.
func (a *Authenticator) Record(p *access.Principal, c access.Credential, line audit.Line) {
	if a.parts.Recorder == nil {
		return
	}
	line.At, line.Via, line.Origin = time.Now(), c.Door, c.Origin
	line.Who = audit.Who{Kind: string(access.Anonymous)}
	if p != nil {
		line.Who = audit.Who{Kind: string(p.Kind), Subject: p.Subject, ID: p.ID, App: p.App}
	}
	if c.Peer.IsValid() {
		line.From = c.Peer.String()
	}
	a.parts.Recorder.Note(line)
}

// Hold returns the lease of a session of the principal. The door ends the session when the lease is over, and releases it in any case.
func (a *Authenticator) Hold(p *access.Principal) *access.Lease { return a.parts.Leases.Hold(p) }

// Take takes one of the places that the principal and his application may have for Publish, Play or Push. The error is a *access.Full.
func (a *Authenticator) Take(p *access.Principal, do access.Action) (release func(), err error) {
	return a.parts.Quotas.Take(p, do)
}

func target(o access.Object) string {
	if o.Destination != "" {
		return "destination://" + o.Destination
	}
	return "" // an address may have secrets; the push writes it down masked
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
