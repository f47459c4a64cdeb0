package line

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/icholy/digest"

	"transponder/internal/sip/dialog"
)

// maxNonces is how many nonces are counted, and realms known: a registrar and a proxy have one each, and change the nonce now and then.
const maxNonces = 16

var errChallenge = errors.New("no digest challenge that can be answered")

// algorithms are the digests that we know, the strongest first (RFC 8760, 2.4). The name without value is MD5 (RFC 2617).
var algorithms = []string{"SHA-512-256", "SHA-256", "MD5", ""}

// credentials answer the digest challenges of one account. Basic is never answered: it would show the password.
type credentials struct {
	login, password string

	mu     sync.Mutex
	nonces []nonceCount // guarded by mu, the oldest first
	realms []string     // guarded by mu; that were answered, the oldest first
}

type nonceCount struct {
	nonce string
	n     int
}

// Credentials return the answers of one account to digest challenges. The calls and the registration of the account share them, because they
// count how often each nonce was used. The methods may be called from any goroutine.
func Credentials(login, password string) dialog.Credentials {
	return &credentials{login: login, password: password}
}

// Confined returns credentials that answer only for realms for which c has answered before, such as the realm of the registrar. Incoming calls
// use them: the caller may challenge a request of ours, such as BYE, and could try passwords at leisure on the answer.
func Confined(c dialog.Credentials) dialog.Credentials {
	if own, ok := c.(*credentials); ok {
		return confined{own}
	}
	return c
}

type confined struct{ *credentials }

// Authorize answers the strongest challenge of a known realm.
func (c confined) Authorize(challenges []string, method, uri string, body []byte) (string, error) {
	return c.answer(slices.DeleteFunc(parseChallenges(challenges), func(x *digest.Challenge) bool { return !c.knows(x.Realm) }), method, uri, body)
}

// Authorize answers the strongest challenge.
func (c *credentials) Authorize(challenges []string, method, uri string, body []byte) (string, error) {
	return c.answer(parseChallenges(challenges), method, uri, body)
}

func (c *credentials) answer(challenges []*digest.Challenge, method, uri string, body []byte) (string, error) {
	best := strongest(challenges)
	if best == nil {
		return "", errChallenge
	}
	answer, err := digest.Digest(best, digest.Options{
		Method: method, URI: uri, Username: c.login, Password: c.password, Count: c.count(best.Nonce),
		GetBody: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil },
	})
	if err != nil {
		return "", err
	}
	c.learn(best.Realm)
	return answer.String(), nil
}

func (c *credentials) knows(realm string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Contains(c.realms, realm)
}

func (c *credentials) learn(realm string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if slices.Contains(c.realms, realm) {
		return
	}
	c.realms = append(c.realms, realm)
	if len(c.realms) > maxNonces {
		c.realms = slices.Delete(c.realms, 0, 1)
	}
}

// count returns how often the nonce was used, with this time (RFC 7616, 3.4).
func (c *credentials) count(nonce string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	used := nonceCount{nonce: nonce}
	if i := slices.IndexFunc(c.nonces, func(n nonceCount) bool { return n.nonce == nonce }); i >= 0 {
		used = c.nonces[i]
		c.nonces = slices.Delete(c.nonces, i, i+1)
	}
	used.n++
	c.nonces = append(c.nonces, used)
	if len(c.nonces) > maxNonces {
		c.nonces = slices.Delete(c.nonces, 0, 1)
	}
	return used.n
}

// parseChallenges reads the challenges that can be answered.
func parseChallenges(values []string) []*digest.Challenge {
	var known []*digest.Challenge
	for _, value := range values {
		if c := parseChallenge(value); c != nil {
			known = append(known, c)
		}
	}
	return known
}

// strongest returns the challenge with the strongest digest, nil if there is none. Among equals the first counts.
func strongest(challenges []*digest.Challenge) *digest.Challenge {
	var best *digest.Challenge
	for _, c := range challenges {
		if best == nil || rank(c) < rank(best) {
			best = c
		}
	}
	return best
}

func rank(c *digest.Challenge) int { return slices.Index(algorithms, c.Algorithm) }

// parseChallenge reads the value of WWW-Authenticate or Proxy-Authenticate, nil if it cannot be answered. It takes what servers send: names in
// any case, blanks around qop values, and values without quotes.
func parseChallenge(value string) *digest.Challenge {
	scheme, rest, _ := strings.Cut(strings.TrimSpace(value), " ")
	if !strings.EqualFold(scheme, "Digest") {
		return nil
	}
	c := &digest.Challenge{}
	for _, param := range (dialog.Header{{Name: scheme, Value: rest}}).List(scheme) {
		name, value, _ := strings.Cut(param, "=")
		value = unquote(strings.TrimSpace(value))
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "realm":
			c.Realm = value
		case "nonce":
			c.Nonce = value
		case "opaque":
			c.Opaque = value
		case "algorithm":
			c.Algorithm = strings.ToUpper(value)
		case "qop":
			for qop := range strings.SplitSeq(value, ",") {
				if qop = strings.ToLower(strings.TrimSpace(qop)); qop != "" {
					c.QOP = append(c.QOP, qop)
				}
			}
		case "userhash":
			c.Userhash = strings.EqualFold(value, "true")
		}
	}
	if c.Nonce == "" || rank(c) < 0 || !digest.CanDigest(c) {
		return nil
	}
	return c
}

// unquote takes a quoted string apart (RFC 3261, 25.1).
func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	var b strings.Builder
	for i := 1; i < len(s)-1; i++ {
		if s[i] == '\\' && i+1 < len(s)-1 {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
