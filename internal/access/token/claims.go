package token

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"transponder/internal/access"
)

// claims is the content of a token.
type claims struct {
	Issuer    string           `json:"iss,omitempty"`
	Audience  jwt.ClaimStrings `json:"aud"`
	Subject   string           `json:"sub,omitempty"`
	ID        string           `json:"jti,omitempty"`
	IssuedAt  *jwt.NumericDate `json:"iat"`
	NotBefore *jwt.NumericDate `json:"nbf,omitempty"`
	Expires   *jwt.NumericDate `json:"exp"`
	Own       json.RawMessage  `json:"transponder"`
}

// ownClaims is the member "transponder" of a token.
type ownClaims struct {
	Version int              `json:"v"`
	App     string           `json:"app,omitempty"`
	Grants  []access.Grant   `json:"grants"`
	Until   *jwt.NumericDate `json:"until,omitempty"` // ends sessions
	Once    bool             `json:"once,omitempty"`
	Limits  *access.Limits   `json:"limits,omitempty"`
	Makers  []access.Maker   `json:"makers,omitempty"` // of a token that this server has made
}

// version is the version of ownClaims. Another one is refused: it may narrow what the grants say in a way that we do not know.
const version = 1

const (
	leeway  = 30 * time.Second // by which clocks may differ
	maxName = 256              // bytes of a subject, an application or an id
)

// unread keeps the content of a token as it is until its signature was checked.
type unread struct {
	jwt.RegisteredClaims // nothing but the methods of jwt.Claims

	raw json.RawMessage
}

// UnmarshalJSON keeps the text.
func (u *unread) UnmarshalJSON(text []byte) error {
	u.raw = slices.Clone(text)
	return nil
}

// parseClaims reads the content of a token that has a valid signature. The errors are for the holder.
func parseClaims(raw json.RawMessage) (c claims, own ownClaims, err error) {
	if err := json.Unmarshal(raw, &c); err != nil {
		return c, own, errors.New("the claims of the token do not have the types of RFC 7519")
	}
	if len(c.Own) == 0 || string(c.Own) == "null" {
		return c, own, errors.New(`the token has no member "transponder", and so grants nothing`)
	}
	var head struct {
		Version int `json:"v"`
	}
	if err := json.Unmarshal(c.Own, &head); err != nil {
		return c, own, errors.New(`the member "transponder" of the token must be an object with a number "v"`)
	}
	if head.Version != version {
		return c, own, fmt.Errorf(`the token has version %d of the member "transponder"; this server knows version %d`, head.Version, version)
	}
	d := json.NewDecoder(bytes.NewReader(c.Own))
	d.DisallowUnknownFields() // a member that we do not know may narrow the token
	if err := d.Decode(&own); err != nil {
		return c, own, fmt.Errorf(`the member "transponder" of the token: %s`, jsonWords(err))
	}
	if err := access.ValidateGrants(own.Grants); err != nil {
		return c, own, fmt.Errorf("the token: %w", err)
	}
	return c, own, checkNames(own, c.Subject, c.ID)
}

// jsonWords says what is wrong with JSON, without the names of Go.
func jsonWords(err error) string {
	var bad *json.UnmarshalTypeError
	if errors.As(err, &bad) {
		return fmt.Sprintf("%s has the wrong type", short(bad.Field))
	}
	return short(err.Error())
}

func checkNames(own ownClaims, names ...string) error {
	for _, s := range append(names, own.App) {
		if len(s) > maxName {
			return fmt.Errorf("a name in the token is longer than %d bytes", maxName)
		}
	}
	if l := own.Limits; l != nil && (l.Publishers < 0 || l.Players < 0 || l.Pushes < 0 || l.BitrateKbps < 0) {
		return errors.New("a limit in the token is below 0")
	}
	return nil
}

// checkTimes reports whether the token is valid now and for us. The errors are for the holder.
func (c claims) checkTimes(cfg Config, now time.Time) (reason, error) {
	switch {
	case c.Expires == nil:
		return whyContent, errors.New("the token has no exp: a token without an end is not taken")
	case c.IssuedAt == nil:
		return whyContent, errors.New("the token has no iat: it could not be revoked")
	case len(c.Audience) == 0:
		return whyAudience, fmt.Errorf("the token has no aud: it must be %q", cfg.Audience)
	case !slices.Contains(c.Audience, cfg.Audience):
		return whyAudience, fmt.Errorf("the token is for %q, not for %q", short(c.Audience[0]), cfg.Audience)
	}
	issued, expires := c.IssuedAt.Time, c.Expires.Time
	switch {
	case issued.After(now.Add(leeway)):
		return whyTime, fmt.Errorf("the token was issued in the future: its iat is %s, and here it is %s, so that the clocks differ by %v",
			clock(issued), clock(now), round(issued.Sub(now)))
	case c.NotBefore != nil && c.NotBefore.After(now.Add(leeway)):
		return whyTime, fmt.Errorf("the token is valid in %v: its nbf is %s, and here it is %s", round(c.NotBefore.Sub(now)), clock(c.NotBefore.Time), clock(now))
	case !now.Before(expires.Add(leeway)):
		return whyExpired, fmt.Errorf("the token expired %v ago: its exp is %s, and here it is %s", round(now.Sub(expires)), clock(expires), clock(now))
	case expires.Sub(issued) > cfg.MaxLifetime:
		return whyTime, fmt.Errorf("the token lives for %v, and %v is the most (token_max_lifetime)", round(expires.Sub(issued)), cfg.MaxLifetime)
	}
	return "", nil
}

func clock(t time.Time) string            { return t.UTC().Format("2006-01-02T15:04:05Z") }
func round(d time.Duration) time.Duration { return d.Round(time.Second) }
