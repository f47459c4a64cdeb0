package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"net/http"
	"time"

	"transponder/internal/access"
	"transponder/internal/access/audit"
	"transponder/internal/access/token"
)

// Tokens makes and revokes tokens and stored keys. token.Tokens is one.
type Tokens interface {
	Create(ctx context.Context, by *access.Principal, r token.Request) (token.Minted, error)
	Revoke(ctx context.Context, by *access.Principal, r token.Revocation) error
	Revocations() []token.Revocation
	CreateKey(ctx context.Context, by *access.Principal, r token.KeyRequest) (token.Key, access.Secret, error)
	RemoveKey(ctx context.Context, by *access.Principal, id string) error
	Keys(by *access.Principal) []token.Key
}

// tokenRoutes serves the methods of tokens. Whoever may control streams makes tokens within his own grants.
func (s *Server) tokenRoutes() {
	if s.parts.Tokens == nil {
		return
	}
	s.method("/token/create", access.Control, s.createToken, http.MethodPost)
	s.method("/token/revoke", access.Admin, s.revokeToken, http.MethodPost)
	s.read("/token/revocations", access.Admin, s.revocations)
}

// tokenBody is the answer to a request for a token.
type tokenBody struct {
	Token     string `json:"token"`
	JTI       string `json:"jti"`
	ExpiresAt int64  `json:"expiresAt"`
}

func (s *Server) createToken(ctx context.Context, f *fields) (any, error) {
	r := token.Request{
		Subject: f.text("subject"),
		For:     time.Duration(f.integer("expiresIn")) * time.Second,
		Until:   f.moment("until"),
		Once:    f.flag("once", false),
		App:     f.text("app"),
	}
	decode(f, "grants", &r.Grants)
	decode(f, "limits", &r.Limits)
	if f.err != nil {
		return nil, f.err
	}
	made, err := s.parts.Tokens.Create(ctx, principalOf(ctx), r)
	if err != nil {
		return nil, err
	}
	note(ctx, func(l *audit.Line) { l.Object = "jti " + made.ID })
	return tokenBody{string(made.Token), made.ID, made.Expires.UnixMilli()}, nil
}

func (s *Server) revokeToken(ctx context.Context, f *fields) (any, error) {
	r := token.Revocation{JTI: f.text("jti"), Sub: f.text("sub"), KID: f.text("kid"), Before: f.moment("before")}
	if f.err != nil {
		return nil, f.err
	}
	for kind, what := range map[string]string{"jti ": r.JTI, "sub ": r.Sub, "kid ": r.KID} {
		if what != "" {
			note(ctx, func(l *audit.Line) { l.Object = kind + shorten(what) })
		}
	}
	return nil, s.parts.Tokens.Revoke(ctx, principalOf(ctx), r)
}

// revocationBody is a revocation in an answer.
type revocationBody struct {
	JTI    string `json:"jti,omitempty"`
	Sub    string `json:"sub,omitempty"`
	KID    string `json:"kid,omitempty"`
	Before int64  `json:"before"`
	At     int64  `json:"at"`
	By     string `json:"by,omitempty"`
}

func (s *Server) revocations(w http.ResponseWriter, _ *http.Request) error {
	bodies := []revocationBody{}
	for _, r := range s.parts.Tokens.Revocations() {
		bodies = append(bodies, revocationBody{r.JTI, r.Sub, r.KID, r.Before.UnixMilli(), r.At.UnixMilli(), r.By})
	}
	s.answer(w, http.StatusOK, bodies)
	return nil
}

// maxMoment is the last millisecond of the year 9999, the last year that JSON can write.
const maxMoment = 253402300799999

// moment returns a field that is a time in milliseconds since 1970, the zero Time if it is absent.
func (f *fields) moment(name string) time.Time {
	n := f.number(name)
	switch {
	case n == 0:
		return time.Time{}
	case n != math.Trunc(n) || n < 0 || n > maxMoment:
		f.fail(name, "it must be a time in milliseconds since 1970, not %v", n)
		return time.Time{}
	}
	return time.UnixMilli(int64(n))
}

// decode reads a field that has the members of a Go type. An absent field changes nothing.
func decode[T any](f *fields, name string, to *T) {
	v := f.take(name)
	if v == nil {
		return
	}
	var value T
	d := json.NewDecoder(bytes.NewReader(v))
	d.DisallowUnknownFields()
	if err := d.Decode(&value); err != nil {
		f.fail(name, "%v", err)
		return
	}
	*to = value
}
