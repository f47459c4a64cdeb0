// Package token checks and makes the credentials of programs: JWTs with grants, and stored keys for encoders (tpk_…). It knows which keys
// sign tokens (a secret, a file or an address with a JWKS), and which tokens were revoked.
package token
