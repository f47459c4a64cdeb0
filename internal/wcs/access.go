package wcs

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"transponder/internal/access"
	"transponder/internal/access/audit"
	"transponder/internal/hook"
	"transponder/internal/stream"
)

// door is the name of this door in the audit log, in the metrics and in credentials.
const door = "websocket"

// restricted is the word of the contract for everything that somebody may not do.
const restricted = "Restricted access"

// Access finds out who a page is, and decides what it may do, as auth.Authenticator does.
type Access interface {
	// Credential returns what the request of a page shows.
	Credential(door string, r *http.Request) access.Credential
	// Identify returns who has shown the credential. The error is a *access.BadCredential or a *access.TooMany.
	Identify(ctx context.Context, c access.Credential) (*access.Principal, error)
	// Authorize decides whether the principal may do the action, and writes the decision down.
	Authorize(p *access.Principal, c access.Credential, do access.Action, o access.Object) error
	// Record writes a line of the audit log.
	Record(p *access.Principal, c access.Credential, line audit.Line)
	// Hold returns the lease of a session of the principal.
	Hold(p *access.Principal) *access.Lease
	// Take takes one of the places that the principal may have for Publish or Play. The error is a *access.Full.
	Take(p *access.Principal, do access.Action) (release func(), err error)
}

// caller is somebody who asks for something: a session, or the bearer of the token that a page gave for one stream.
type caller struct {
	principal *access.Principal
	shown     access.Credential // without the token, which is not kept
	own       bool              // the page gave a token for one stream only
}

// leeway is how much the clocks of two machines may differ.
const leeway = 30 * time.Second

// may returns nil if the caller may do the action, and writes the decision down. A token that has expired lets nothing begin. What has begun
// goes on.
func (s *session) may(who caller, do access.Action, o access.Object) error {
	if p := who.principal; p != nil && !p.Expires.IsZero() && time.Since(p.Expires) > leeway {
		err := &access.BadCredential{Detail: fmt.Sprintf("the credential of this session expired at %s: begin with a new one",
			p.Expires.UTC().Format(time.DateTime+" MST"))}
		s.srv.access.Record(p, who.shown, audit.Line{Do: string(do), Stream: o.Stream, Why: err.Error()})
		return err
	}
	return s.srv.access.Authorize(who.principal, who.shown, do, o)
}

// caller returns who asks when the page gave no token for one stream.
func (s *session) caller() caller { return caller{principal: s.principal, shown: s.shown} }

// identify returns who asks for a stream: the bearer of the token that the page gave for this stream, or else the session.
func (s *session) identify(ctx context.Context, custom json.RawMessage) (caller, error) {
	token := s.ownToken(custom)
	if token == "" {
		return s.caller(), nil
	}
	shown := s.shown
	shown.Token = token
	p, err := s.srv.access.Identify(ctx, shown)
	if err != nil {
		s.srv.access.Record(nil, s.shown, audit.Line{Do: "connect", Why: err.Error()})
		return caller{}, err
	}
	return caller{p, s.shown, true}, nil
}

// ownToken returns the token that a page gave for one stream, "" if it gave none, or if the backend of the app reads the member custom.
func (s *session) ownToken(custom json.RawMessage) string {
	if s.hook.IgnoresToken() {
		return ""
	}
	return tokenIn(custom)
}

// tokenIn returns the token in the member custom of a message: its member token, or the whole of it if it is a text that looks like a
// token.
func tokenIn(custom json.RawMessage) string {
	var object struct {
		Token string `json:"token"`
	}
	var word string
	switch {
	case len(custom) == 0:
	case json.Unmarshal(custom, &object) == nil:
		return object.Token
	case json.Unmarshal(custom, &word) == nil && access.LooksLikeToken(word):
		return word
	}
	return ""
}

// refusal is why a page is not let in, or may not stay.
type refusal struct {
	words string // for the page
	err   error
}

// Error returns the words for the page.
func (r *refusal) Error() string { return r.words }

// Unwrap returns the cause.
func (r *refusal) Unwrap() error { return r.err }

// refuse makes a refusal. The errors of package access have words for the page.
func refuse(err error) error {
	if r, ok := errors.AsType[*hook.Refused](err); ok {
		return &refusal{r.Info, err}
	}
	return &refusal{err.Error(), err}
}

// farewell returns the message with which a page learns why it is refused.
func (r *refusal) farewell() failure {
	f := failure{APIMethod: "connect", Status: failed, Info: restricted}
	if r.words != restricted {
		f.Reason = r.words
	}
	return f
}

// isRefusal says whether somebody may not do what he wants. The page gets the word of the contract for it.
func isRefusal(err error) bool {
	if _, ok := errors.AsType[*hook.Refused](err); ok {
		return true
	}
	return errors.Is(err, access.ErrExpired) || errors.Is(err, access.ErrRevoked) || reasonOf(err) != ""
}

// isDenied says whether somebody may not do what he wants because of who he is.
func isDenied(err error) bool {
	_, denied := errors.AsType[*access.Denied](err)
	return denied || errors.Is(err, access.ErrNone)
}

// reasonOf returns the words for somebody who may not do what he wants, "" for other errors. The words do not tell which streams there are:
// access is decided before a stream is looked up.
func reasonOf(err error) string {
	if d, ok := errors.AsType[*access.Denied](err); ok {
		return d.Error()
	}
	if b, ok := errors.AsType[*access.BadCredential](err); ok {
		return b.Error()
	}
	if m, ok := errors.AsType[*access.TooMany](err); ok {
		return m.Error()
	}
	if f, ok := errors.AsType[*access.Full](err); ok {
		return f.Error()
	}
	for _, reason := range []error{access.ErrNone, stream.ErrRate} {
		if errors.Is(err, reason) {
			return reason.Error()
		}
	}
	return ""
}

// proof is what a page must show again to return to its session.
type proof struct {
	identity string
	kind     access.Kind
	token    [sha256.Size]byte // of the token that the page showed; zero: none
}

func newProof(p *access.Principal, token string) proof {
	f := proof{identity: p.Identity(), kind: access.Anonymous}
	if p != nil {
		f.kind = p.Kind
	}
	if token != "" {
		f.token = sha256.Sum256([]byte(token))
	}
	return f
}

// hasToken says whether the page shows the token again that it showed at first. The token may have expired meanwhile: exp limits how late a
// session may begin, not how late it may go on.
func (f proof) hasToken(token string) bool {
	sum := sha256.Sum256([]byte(token))
	return token != "" && subtle.ConstantTimeCompare(sum[:], f.token[:]) == 1
}

// fits says whether a principal is the one that the proof was made of.
func (f proof) fits(p *access.Principal) bool {
	if p == nil {
		p = access.Nobody()
	}
	return p.Kind == f.kind && p.Identity() == f.identity
}
