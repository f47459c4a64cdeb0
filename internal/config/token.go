package config

import "transponder/internal/access/token"

// tokenSettings are the settings of who signs tokens, and which tokens are taken.
func (c *Config) tokenSettings() []setting {
	return []setting{
		text("token_secret", (*string)(&c.Token.Secret)),
		text("token_keys_file", &c.Token.KeysFile),
		text("token_jwks_url", &c.Token.JWKSURL),
		text("token_audience", &c.Token.Audience),
		seconds("token_max_lifetime", &c.Token.MaxLifetime, token.MaxLifetimeRange),
		boolean("token_exp_ends_sessions", &c.Token.ExpEnds),
	}
}
