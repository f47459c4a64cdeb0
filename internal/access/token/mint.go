package token

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"transponder/internal/access"
	"transponder/internal/state"
)

// issuer is the iss of the tokens that this server makes.
const issuer = "transponder"

// defaultLifetime is the lifetime of a token whose maker asks for none.
const defaultLifetime = time.Hour

// Request asks for a token.
type Request struct {
	Grants  []access.Grant
	Subject string        // "": the subject of the principal who asks
	For     time.Duration // 0: an hour
	Until   time.Time     // zero: its sessions do not end by themselves
	Once    bool
	Limits  access.Limits
	App     string
}

// Minted is a token that this server has made.
type Minted struct {
	Token   access.Secret
	ID      string // jti
	Expires time.Time
}

// RequestError says which member of a request cannot be used.
type RequestError struct{ Field, Reason string }

// Error names the member.
func (e *RequestError) Error() string { return e.Field + ": " + e.Reason }

var (
	// ErrNoKey means that there is no stored key with this id, or none that the caller may see.
	ErrNoKey = errors.New("no such key")
	// ErrTooManyOwn means that somebody who is no administrator has as many keys as he may have.
	ErrTooManyOwn = fmt.Errorf("you have %d keys already, with those that were made with them: remove one first", maxOfOne)
	// ErrTooMany means that there are as many keys or revocations as there may be.
	ErrTooMany = errors.New("there are too many of them already")
)

// subjectOf returns the subject of the tokens, and the owner of the keys, that a principal makes: "" for an administrator on this machine.
// It differs from the subjects of other kinds of principals.
func subjectOf(p *access.Principal) string {
	switch {
	case p == nil:
		return ""
	case p.Kind == access.Token:
		return p.Subject
	case p.Kind == access.Key:
		return string(p.Kind) + ":" + p.ID
	case p.Subject != "":
		return string(p.Kind) + ":" + p.Subject
	}
	return ""
}

// mayMake returns nil if a principal may make a credential with these grants. It sets the application and the limits to those of the
// principal where he may not choose.
func (t *Tokens) mayMake(by *access.Principal, grants []access.Grant, app *string, limits *access.Limits) error {
	if len(grants) == 0 {
		return &RequestError{"grants", "they are missing: without grants nothing is allowed"}
	}
	if err := access.ValidateGrants(grants); err != nil {
		return &RequestError{"grants", strings.TrimPrefix(err.Error(), "grants: ")}
	}
	if err := checkNames(ownClaims{App: *app, Limits: limits}); err != nil {
		return &RequestError{"limits", "a limit below 0, or a name of an app that is too long"}
	}
	if isUnknown(by) && slices.ContainsFunc(grants, func(g access.Grant) bool {
		return slices.Contains(g.Actions, access.Control) || slices.Contains(g.Actions, access.Admin)
	}) {
		// The bearer of such a token would count as somebody who has logged in, and could make users, keys and applications, which stay.
		return &access.Denied{Action: access.Admin, Detail: "rights to control and to administer are not given by somebody whom the settings let in: " +
			"make the token on the server itself, or log in"}
	}
	if by.IsAdmin() {
		return nil
	}
	if by == nil || !slices.ContainsFunc(by.Grants, func(g access.Grant) bool {
		return slices.Contains(g.Actions, access.Control) || slices.Contains(g.Actions, access.Admin)
	}) {
		return &access.Denied{Action: access.Control, Detail: "tokens and keys are made by those who may control streams"}
	}
	if *app != "" && *app != by.App {
		return &access.Denied{Action: access.Admin, Detail: "only an administrator makes tokens and keys for another application"}
	}
	*app = by.App
	*limits = within(*limits, by.Limits)
	return access.Give(by, grants)
}

// unknownLifetime bounds the tokens that somebody makes who is let in without a credential.
const unknownLifetime = time.Hour

// guest begins the subjects that such a principal may choose.
const guest = "guest:"

// isUnknown says whether a principal is let in by the settings alone, from wherever he comes: access=open, disable_rest_auth=true, anonymous.
// What he makes must not be valid for long after the settings have changed.
func isUnknown(p *access.Principal) bool {
	return p == nil || p.Kind == access.Anonymous || p.Kind == access.Setting && p.ID == ""
}

// within returns the limits, but no more than most.
func within(l, most access.Limits) access.Limits {
	less := func(a, b int) int {
		if a == 0 || b != 0 && b < a {
			return b
		}
		return a
	}
	return access.Limits{
		Publishers: less(l.Publishers, most.Publishers), Players: less(l.Players, most.Players), Pushes: less(l.Pushes, most.Pushes),
		BitrateKbps: less(l.BitrateKbps, most.BitrateKbps),
	}
}

// earliest returns the first of some times that are not zero; zero if all are.
func earliest(times ...time.Time) time.Time {
	var first time.Time
	for _, t := range times {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

// Create makes a token within the grants of by, signed with the key of this server.
func (t *Tokens) Create(ctx context.Context, by *access.Principal, r Request) (Minted, error) {
	if err := t.mayMake(by, r.Grants, &r.App, &r.Limits); err != nil {
		return Minted{}, err
	}
	now := time.Now().Truncate(time.Second)
	own, admin := subjectOf(by), by.IsAdmin()
	if isUnknown(by) && r.Subject != "" {
		r.Subject = guest + r.Subject // he chooses a name for himself, and takes nobody else's
	}
	switch {
	case r.Subject == "", !admin && by.Subject != "" && r.Subject == by.Subject:
		r.Subject = own
	case !admin && r.Subject != own:
		return Minted{}, &access.Denied{Action: access.Admin, Detail: "only an administrator makes tokens for another subject"}
	case len(r.Subject) > maxName:
		return Minted{}, &RequestError{"subject", fmt.Sprintf("it is longer than %d bytes", maxName)}
	}
	switch {
	case r.For == 0:
		r.For = min(defaultLifetime, t.cfg.MaxLifetime)
	case r.For < time.Second, r.For > t.cfg.MaxLifetime:
		return Minted{}, &RequestError{"expiresIn", fmt.Sprintf("it must be from 1 to %d seconds", t.cfg.MaxLifetime/time.Second)}
	}
	if !r.Until.IsZero() && !r.Until.After(now) {
		return Minted{}, &RequestError{"until", "it is in the past"}
	}
	expires := now.Add(r.For)
	if !admin { // what he has made does not outlive his own credential
		expires = earliest(expires, by.Expires, by.Until)
		r.Until = earliest(r.Until, by.Until)
	}
	if isUnknown(by) {
		expires = earliest(expires, now.Add(unknownLifetime))
	}
	makers, err := access.MakersBy(by)
	if err != nil {
		return Minted{}, &RequestError{"grants", err.Error()}
	}
	c := claims{
		Issuer: issuer, Audience: jwt.ClaimStrings{t.cfg.Audience}, Subject: r.Subject, ID: strings.ToLower(rand.Text()),
		IssuedAt: jwt.NewNumericDate(now), Expires: jwt.NewNumericDate(expires),
	}
	content := ownClaims{Version: version, App: r.App, Grants: r.Grants, Once: r.Once, Makers: makers}
	if !r.Until.IsZero() {
		content.Until = jwt.NewNumericDate(r.Until)
	}
	if r.Limits != (access.Limits{}) {
		content.Limits = &r.Limits
	}
	if c.Own, err = json.Marshal(content); err != nil {
		return Minted{}, err
	}
	text, err := t.sign(ctx, c)
	if err != nil {
		return Minted{}, err
	}
	if len(text) > maxToken {
		return Minted{}, &RequestError{"grants", fmt.Sprintf("the token would have more than %d bytes", maxToken)}
	}
	t.log.Info("token created", "jti", c.ID, "sub", c.Subject, "expires", expires, "by", by.String())
	return Minted{access.Secret(text), c.ID, expires}, nil
}

// signed is what is signed: claims have the methods of jwt.Claims only for this.
type signed struct {
	jwt.Claims `json:"-"`
	claims
}

// MarshalJSON writes the claims.
func (s signed) MarshalJSON() ([]byte, error) { return json.Marshal(s.claims) }

// signer is the key with which this server signs.
type signer struct {
	id      string
	private ed25519.PrivateKey
}

// signerRecord is the signer in the state.
type signerRecord struct {
	ID      string    `json:"id"`
	Seed    string    `json:"seed"` // sealed
	Created time.Time `json:"created"`
}

const (
	signerKey = "current"
	sealedAt  = "signing/" + signerKey // a sealed secret opens in its own place only
)

func (t *Tokens) sign(ctx context.Context, c claims) (string, error) {
	s, err := t.currentSigner(ctx)
	if err != nil {
		return "", err
	}
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, signed{claims: c})
	token.Header["kid"] = s.id
	return token.SignedString(s.private)
}

// currentSigner returns the key with which this server signs. It makes one if there is none, or if the key was revoked.
func (t *Tokens) currentSigner(ctx context.Context) (*signer, error) {
	t.signing.Lock()
	defer t.signing.Unlock()
	if t.signer != nil && !t.revocations.revoked(&access.Principal{Kind: access.Token, KeyID: t.signer.id, Issued: time.Now().Truncate(time.Second)}) {
		return t.signer, nil
	}
	seed := make([]byte, ed25519.SeedSize)
	rand.Read(seed) // never fails
	s := newSigner(seed)
	sealed, err := t.parts.Sealer.Seal(sealedAt, seed)
	if err != nil {
		return nil, fmt.Errorf("seal the key that signs tokens: %w", err)
	}
	record := signerRecord{ID: s.id, Seed: sealed, Created: time.Now()}
	expect, err := t.signerRevision(ctx)
	if err == nil {
		_, err = t.buckets.signing.Put(ctx, signerKey, record, expect)
	}
	if errors.Is(err, state.ErrConflict) { // another server has just made one
		if err = t.loadSigner(ctx); err == nil && t.signer != nil {
			return t.signer, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("store the key that signs tokens: %w", err)
	}
	t.useSigner(s)
	t.log.Info("key for tokens made", "kid", s.id)
	return s, nil
}

// signerRevision returns the revision of the key that a new one replaces.
func (t *Tokens) signerRevision(ctx context.Context) (uint64, error) {
	if t.shared == nil {
		return state.Any, nil
	}
	r, err := t.buckets.signing.Get(ctx, signerKey)
	if errors.Is(err, state.ErrNotFound) {
		err = nil
	}
	return r.Revision, err
}

// useSigner signs with s from now on. The caller holds signing, or nobody else knows t.
func (t *Tokens) useSigner(s *signer) {
	t.signer = s
	t.ring.set(&t.ring.local, []verifier{{s.id, algEdDSA, s.private.Public()}})
}

func newSigner(seed []byte) *signer {
	private := ed25519.NewKeyFromSeed(seed)
	public := verifier{alg: algEdDSA, value: private.Public().(ed25519.PublicKey)}
	return &signer{id: "local" + public.name(), private: private}
}

// loadSigner reads the key with which this server signs from the state, if there is one.
func (t *Tokens) loadSigner(ctx context.Context) error {
	r, err := t.buckets.signing.Get(ctx, signerKey)
	if errors.Is(err, state.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	seed, err := t.parts.Sealer.Open(sealedAt, r.Value.Seed)
	if err != nil {
		return err
	}
	if len(seed) != ed25519.SeedSize {
		return errors.New("it has another length than the key of Ed25519 has")
	}
	t.useSigner(newSigner(seed))
	return nil
}
