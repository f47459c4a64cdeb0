package token

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"time"

	"transponder/internal/access"
	"transponder/internal/limits"
)

// Config says who signs tokens, and which tokens are taken.
type Config struct {
	Secret   access.Secret // signs tokens with HS256 (token_secret); "": no such tokens
	KeysFile string        // a JWKS (token_keys_file)
	JWKSURL  string        // where a JWKS is fetched (token_jwks_url)

	Audience    string        // must be among the aud of a token (token_audience)
	MaxLifetime time.Duration // the most time from iat to exp (token_max_lifetime)
	ExpEnds     bool          // exp ends the sessions of tokens without until (token_exp_ends_sessions)
}

// DefaultConfig takes tokens of this server only: no key of another signer is known.
func DefaultConfig() Config {
	return Config{Audience: "transponder", MaxLifetime: 24 * time.Hour}
}

// MaxLifetimeRange is the range of Config.MaxLifetime.
var MaxLifetimeRange = limits.Of(time.Minute, 366*24*time.Hour)

// minSecret is the shortest secret in bytes: RFC 7518, 3.2 demands as many as the hash has.
const minSecret = 32

// Validate reports every value that cannot work. It reads no file.
func (c Config) Validate() error {
	errs := []error{MaxLifetimeRange.Check("token_max_lifetime:", c.MaxLifetime)}
	if c.Secret != "" && len(c.Secret) < minSecret {
		errs = append(errs, fmt.Errorf("token_secret: must have at least %d bytes, not %d: a short secret can be guessed", minSecret, len(c.Secret)))
	}
	if c.Audience == "" {
		errs = append(errs, errors.New("token_audience: must not be empty, because a token for another service would be taken"))
	}
	if c.JWKSURL != "" {
		errs = append(errs, checkURL(c.JWKSURL))
	}
	return errors.Join(errs...)
}

// checkURL refuses addresses over which a stranger could give us keys.
func checkURL(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil, u.Host == "":
		return errors.New("token_jwks_url: must look like https://issuer.example/jwks.json")
	case u.User != nil:
		return errors.New("token_jwks_url: must not contain a user")
	case u.Scheme == "https", u.Scheme == "http" && isLoopback(u.Hostname()):
		return nil
	}
	return errors.New("token_jwks_url: must begin with https://; http:// is for an issuer on this machine only")
}

func isLoopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}
