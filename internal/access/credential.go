package access

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// KeyPrefix begins each stored key. Programs that look for leaked secrets know keys by it.
const KeyPrefix = "tpk_"

// LooksLikeToken says whether a text has the form of a stored key or of a JWT. Doors ask it where clients may also send texts that are meant
// for the backend of an application.
func LooksLikeToken(text string) bool {
	return strings.HasPrefix(text, KeyPrefix) || strings.Count(text, ".") == 2
}

// Credential is what a client has shown at a door, and where the client is.
type Credential struct {
	Door   string     // "rest", "websocket", "whip", "whep", "rtmp", "metrics", "stat", "pages"
	Peer   netip.Addr // of the client; behind a known proxy: the address that the proxy names
	Local  bool       // the client is on this machine, no proxy stands between, and the guard has no objection to the page that asks
	Origin string     // of the page, for the audit log

	Token          string // a JWT or a stored key: a bearer token, or where the door looks for one
	Name, Password string // HTTP Basic
	Session        string // the cookie of a login
	Certificates   []*x509.Certificate

	// Again means that the request goes on with a session that was admitted before, such as the DELETE of WHIP. A token that may be used once
	// is checked then, and not spent.
	Again bool
}

// ErrNone means that an action needs a credential and that the client has shown none.
var ErrNone = errors.New("a valid token, key or password is needed")

// BadCredential means that what a client has shown is not valid. Error tells a stranger nothing.
type BadCredential struct {
	// Detail tells the holder of a token that we have signed, or that a known key has signed, what is wrong with the token: it has expired,
	// or it is for somebody else. "": the client has proved nothing, and learns nothing.
	Detail string
}

// Error is the text for the client.
func (e *BadCredential) Error() string {
	if e.Detail == "" {
		return ErrNone.Error()
	}
	return e.Detail
}

// TooMany means that the client has tried too often.
type TooMany struct{ Wait time.Duration }

// Error is the text for the client.
func (e *TooMany) Error() string {
	return fmt.Sprintf("too many tries: try again in %d s", int((e.Wait+time.Second-1)/time.Second))
}
