package phone

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Login is a login that the phone demands (RFC 8760, RFC 7616).
type Login struct {
	Realm, Nonce   string
	User, Password string
	SHA256         bool
	QOP            bool // demands a client nonce
	Stale          bool // says that only the nonce was wrong
}

// Challenge returns the value of WWW-Authenticate or Proxy-Authenticate.
func (l Login) Challenge() string {
	s := fmt.Sprintf("Digest realm=%q, nonce=%q", l.Realm, l.Nonce)
	if l.SHA256 {
		s += ", algorithm=SHA-256"
	}
	if l.QOP {
		s += `, qop="auth"`
	}
	if l.Stale {
		s += ", stale=true"
	}
	return s
}

// Check says what is wrong with the Authorization or Proxy-Authorization of a request, nil if the login is right.
func (l Login) Check(m *Message) error {
	value := m.Header("Authorization") + m.Header("Proxy-Authorization")
	if value == "" {
		return errors.New("there is no login")
	}
	got := map[string]string{}
	for part := range strings.SplitSeq(strings.TrimPrefix(value, "Digest "), ",") {
		key, v, _ := strings.Cut(strings.TrimSpace(part), "=")
		got[key] = strings.Trim(v, `"`)
	}
	switch {
	case got["username"] != l.User:
		return fmt.Errorf("the user is %q, want %q", got["username"], l.User)
	case got["realm"] != l.Realm || got["nonce"] != l.Nonce:
		return fmt.Errorf("realm %q and nonce %q, want %q and %q", got["realm"], got["nonce"], l.Realm, l.Nonce)
	case got["uri"] != m.URI:
		return fmt.Errorf("the uri is %q, the request's is %q", got["uri"], m.URI)
	case l.QOP && (got["qop"] != "auth" || got["cnonce"] == "" || got["nc"] == ""):
		return fmt.Errorf("qop %q, cnonce %q, nc %q", got["qop"], got["cnonce"], got["nc"])
	}
	parts := []string{l.sum(l.User, l.Realm, l.Password), l.Nonce}
	if l.QOP {
		parts = append(parts, got["nc"], got["cnonce"], got["qop"])
	}
	if want := l.sum(append(parts, l.sum(m.Method, m.URI))...); got["response"] != want {
		return errors.New("the password is wrong")
	}
	return nil
}

func (l Login) sum(parts ...string) string {
	text := []byte(strings.Join(parts, ":"))
	if l.SHA256 {
		b := sha256.Sum256(text)
		return hex.EncodeToString(b[:])
	}
	b := md5.Sum(text)
	return hex.EncodeToString(b[:])
}
