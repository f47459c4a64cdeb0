package rtmp

import (
	"crypto/md5"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// ErrLoginRefused means that the server wants a login and did not accept the one it got, or got none. Another attempt with the same name and
// password would fail too.
var ErrLoginRefused = errors.New("rtmp login refused")

// Login answers the challenges of servers that ask for a name and a password: the scheme of Adobe (authmod=adobe: Flash Media Server, Wowza,
// Akamai) and that of Limelight (authmod=llnw).
//
// Such a server refuses connect twice: first to say that it wants a login, then to send a challenge. The client connects again after each
// refusal, since most servers close the connection. Next returns for each refusal the login for the next connect. One Login serves one such
// chain of connections; a later reconnect needs a new one.
type Login struct {
	User, Password string // not percent-encoded
	App            string // ClientConfig.App, which is part of the answer to Limelight

	named, answered bool // what was sent so far
}

// Next returns ClientConfig.Login for the next connection after connect was refused. If the refusal does not ask for a login, Next returns the
// refusal. If there is no further answer, it returns ErrLoginRefused with the reason. So there are at most two further connections.
func (l *Login) Next(refused *StatusError) (query string, err error) {
	mod := refused.loginMod()
	if mod == "" || refused.Command != "connect" {
		return "", refused
	}
	values := challengeValues(refused.Description)
	switch {
	case mod != "adobe" && mod != "llnw":
		return "", fmt.Errorf("%w: the server asks for a kind of login that is not known", ErrLoginRefused)
	case values["reason"] == "authfailed":
		return "", fmt.Errorf("%w: wrong name or password", ErrLoginRefused)
	case values["reason"] == "nosuchuser":
		return "", fmt.Errorf("%w: the server does not know the name", ErrLoginRefused)
	case l.User == "":
		// Some servers ask only clients that call themselves like Adobe's encoder.
		return "", fmt.Errorf("%w: the server asks for a name and a password (rtmp://name:password@server/app), "+
			"perhaps because of rtmpFlashVersion", ErrLoginRefused)
	case l.answered:
		return "", fmt.Errorf("%w: the server did not accept the answer to its challenge", ErrLoginRefused)
	}
	query = "authmod=" + mod + "&user=" + escapeUser(l.User)
	switch {
	case mod == "adobe" && values["salt"]+values["challenge"]+values["opaque"] != "":
		l.answered = true
		return query + l.answerAdobe(values, nonce()), nil
	case mod == "llnw" && values["nonce"] != "":
		l.answered = true
		return query + l.answerLimelight(values["nonce"], nonce()), nil
	case l.named:
		return "", fmt.Errorf("%w: the server gave no challenge", ErrLoginRefused)
	default:
		l.named = true
		return query, nil
	}
}

// loginMod returns the scheme that a refusal names, "" if the refusal is not about a login. The texts are
// "[ AccessManager.Reject ] : [ code=403 need auth; authmod=adobe ] : " and
// "[ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=needauth&user=…", with less text around them from other servers.
func (e *StatusError) loginMod() string {
	_, mod, ok := strings.Cut(e.Description, "authmod=")
	if !ok {
		return ""
	}
	if end := strings.IndexAny(mod, " ;:]&?\t"); end >= 0 {
		mod = mod[:end]
	}
	return strings.ToLower(mod)
}

// challengeValues reads ?reason=needauth&user=…&salt=… at the end of a refusal. The values are base64 with + and =, not percent-encoded.
func challengeValues(description string) map[string]string {
	_, query, _ := strings.Cut(description, "?")
	values := map[string]string{}
	for pair := range strings.SplitSeq(query, "&") {
		if name, value, ok := strings.Cut(pair, "="); ok {
			values[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	return values
}

// answerAdobe returns the digest of the secret and of the challenges of both sides. If the server sent opaque, it replaces the challenge of the
// server, and is sent back.
func (l *Login) answerAdobe(values map[string]string, own string) string {
	secret := md5Base64(l.User + values["salt"] + l.Password)
	theirs, back := values["challenge"], ""
	if opaque := values["opaque"]; opaque != "" {
		theirs, back = opaque, "&opaque="+opaque
	}
	return "&challenge=" + own + "&response=" + md5Base64(secret+theirs+own) + back
}

// answerLimelight returns a digest as in HTTP (RFC 2617, 3.2.2.1), with a realm and a method of its own. The URI is the application with its
// instance.
func (l *Login) answerLimelight(theirs, own string) string {
	const realm, method, count, quality = "live", "publish", "00000001", "auth"
	app, _, _ := strings.Cut(l.App, "?")
	app = strings.Trim(app, "/")
	if !strings.Contains(app, "/") {
		app += "/_definst_"
	}
	secret := md5Hex(l.User + ":" + realm + ":" + l.Password)
	asked := md5Hex(method + ":/" + app)
	response := md5Hex(strings.Join([]string{secret, theirs, count, own, quality, asked}, ":"))
	return "&nonce=" + theirs + "&cnonce=" + own + "&nc=" + count + "&response=" + response
}

func md5Base64(s string) string {
	sum := md5.Sum([]byte(s))
	return base64.StdEncoding.EncodeToString(sum[:])
}

func md5Hex(s string) string {
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}

// nonce returns a challenge of eight hexadecimal digits: some servers keep no more.
func nonce() string {
	var b [4]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// escapeUser percent-encodes only the characters that would end a name in a query, and the percent sign. Servers compare the name without
// decoding it.
func escapeUser(name string) string {
	var b strings.Builder
	for _, c := range []byte(name) {
		if c <= ' ' || c == 0x7f || strings.IndexByte("%&#?", c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// addQuery appends a query to an app or URL that may have one.
func addQuery(s, query string) string {
	switch {
	case query == "":
		return s
	case !strings.Contains(s, "?"):
		return s + "?" + query
	case strings.HasSuffix(s, "?") || strings.HasSuffix(s, "&"):
		return s + query
	default:
		return s + "&" + query
	}
}
