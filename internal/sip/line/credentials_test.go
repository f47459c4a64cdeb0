package line

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
	"sync"
	"testing"

	"github.com/icholy/digest"
)

const (
	md5Challenge    = `Digest realm="biloxi.com", nonce="n1", opaque="o", qop="auth,auth-int"`
	sha256Challenge = `Digest realm="biloxi.com", nonce="n2", algorithm=SHA-256, qop="auth"`
	sha512Challenge = `Digest realm="biloxi.com", nonce="n3", algorithm=SHA-512-256`
)

func TestAuthorize(t *testing.T) {
	const uri = "sip:bob@biloxi.com;user=phone"
	tests := []struct {
		name       string
		challenges []string
		want       string // what the answer holds; "": there is none
	}{
		{"MD5", []string{md5Challenge}, `nonce="n1"`},
		{"the strongest", []string{md5Challenge, sha512Challenge, sha256Challenge}, `nonce="n3"`},
		{"the strongest that we know", []string{`Digest realm="a", nonce="n4", algorithm=SHA-1024`, sha256Challenge, md5Challenge}, `nonce="n2"`},
		{"the first of equals", []string{md5Challenge, strings.Replace(md5Challenge, "n1", "n5", 1)}, `nonce="n1"`},
		{"auth-int alone", []string{`Digest realm="a", nonce="n", qop="auth-int"`}, "qop=auth-int"},
		{"both, with a blank", []string{`Digest realm="a", nonce="n", qop="auth-int, auth"`}, "qop=auth,"},
		{"no qop", []string{`Digest realm="a", nonce="n"`}, `uri="` + uri + `"`},
		{"names in any case, no quotes", []string{`DIGEST Realm=a,  NONCE = n+/= , Algorithm=md5,Qop=AUTH`}, `nonce="n+/="`},
		{"quotes in the realm", []string{`Digest realm="a \"b\", c", nonce="n"`}, `realm="a \"b\", c"`},
		{"stale and unknown parameters", []string{`Digest realm="a", domain="sip:x y", nonce="n", stale=TRUE, x=y`}, `nonce="n"`},
		{"Basic", []string{`Basic realm="a"`}, ""},
		{"Basic and MD5", []string{`Basic realm="a"`, md5Challenge}, `nonce="n1"`},
		{"unknown digest", []string{`Digest realm="a", nonce="n", algorithm=MD5-sess`}, ""},
		{"unknown qop", []string{`Digest realm="a", nonce="n", qop="auth-conf"`}, ""},
		{"no nonce", []string{`Digest realm="a"`}, ""},
		{"nothing", nil, ""},
		{"empty", []string{""}, ""},
	}
	for _, test := range tests {
		got, err := Credentials("bob", "zanzibar").Authorize(test.challenges, "INVITE", uri, []byte("v=0"))
		if (err == nil) != (test.want != "") || !strings.Contains(got, test.want) {
			t.Errorf("%s: got %s, %v, want %s", test.name, got, err, test.want)
			continue
		}
		if err == nil && !verify(t, got, "INVITE", "zanzibar", "v=0") {
			t.Errorf("%s: a server refuses %s", test.name, got)
		}
		if strings.Contains(got, "zanzibar") {
			t.Errorf("%s: the password is in %s", test.name, got)
		}
	}
}

// verify computes the response as a server does (RFC 7616, 3.4.1).
func verify(t *testing.T, answer, method, password, body string) bool {
	c, err := digest.ParseCredentials(answer)
	if err != nil {
		t.Fatal(err)
	}
	sum := func(parts ...string) string {
		h := map[string]func() hash.Hash{"": md5.New, "MD5": md5.New, "SHA-256": sha256.New, "SHA-512-256": sha512.New512_256}[c.Algorithm]()
		h.Write([]byte(strings.Join(parts, ":")))
		return hex.EncodeToString(h.Sum(nil))
	}
	a1, a2 := sum(c.Username, c.Realm, password), sum(method, c.URI)
	if c.QOP == "auth-int" {
		a2 = sum(method, c.URI, sum(body))
	}
	want := sum(a1, c.Nonce, fmt.Sprintf("%08x", c.Nc), c.Cnonce, c.QOP, a2)
	if c.QOP == "" {
		want = sum(a1, c.Nonce, a2)
	}
	return c.Response == want
}

// The count rises with each use of a nonce, also if several calls use it at once (RFC 7616, 3.4).
func TestNonceCount(t *testing.T) {
	c := Credentials("bob", "zanzibar")
	var mu sync.Mutex
	seen := map[string]int{}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			answer, err := c.Authorize([]string{md5Challenge}, "BYE", "sip:a", nil)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			parsed, _ := digest.ParseCredentials(answer)
			seen[fmt.Sprint(parsed.Nc)]++
		})
	}
	wg.Wait()
	for n := 1; n <= 20; n++ {
		if seen[fmt.Sprint(n)] != 1 {
			t.Fatalf("the counts are %v", seen)
		}
	}
	answer, _ := c.Authorize([]string{strings.Replace(md5Challenge, "n1", "fresh", 1)}, "BYE", "sip:a", nil)
	if !strings.Contains(answer, "nc=00000001") {
		t.Errorf("a fresh nonce: %s", answer)
	}
	for i := range 1000 {
		_, _ = c.Authorize([]string{fmt.Sprintf(`Digest realm="a", nonce="%d", qop="auth"`, i)}, "BYE", "sip:a", nil)
	}
	if n := len(c.(*credentials).nonces); n > maxNonces {
		t.Errorf("%d nonces are kept", n)
	}
}

// FuzzChallenge holds that no challenge panics, and that an answer is one line that another parser reads.
func FuzzChallenge(f *testing.F) {
	for _, seed := range []string{md5Challenge, sha256Challenge, sha512Challenge, `Digest realm="a\\", nonce="\"`, "Digest nonce=\r\nX: 1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, challenge string) {
		answer, err := Credentials("bob", "zanzibar").Authorize([]string{challenge}, "INVITE", "sip:a@b;c=d", nil)
		if err != nil {
			return
		}
		if !isLegal(answer) {
			t.Errorf("the answer is %q", answer)
		}
		if c, err := digest.ParseCredentials(answer); err != nil || c.URI != "sip:a@b;c=d" || c.Username != "bob" {
			t.Errorf("%q: %v %v", answer, c, err)
		}
	})
}

// Confined credentials answer only for the realms that the account has met.
func TestConfined(t *testing.T) {
	c := Credentials("bob", "zanzibar")
	within := Confined(c)
	stranger := `Digest realm="evil", nonce="n9", qop="auth"`
	if answer, err := within.Authorize([]string{md5Challenge}, "BYE", "sip:a", nil); err == nil {
		t.Errorf("before the registrar has asked: %s", answer)
	}
	if _, err := c.Authorize([]string{md5Challenge}, "REGISTER", "sip:a", nil); err != nil {
		t.Fatal(err)
	}
	answer, err := within.Authorize([]string{stranger, md5Challenge}, "BYE", "sip:a", nil)
	if err != nil || strings.Contains(answer, "evil") {
		t.Errorf("for the realm of the registrar: %q, %v", answer, err)
	}
	if answer, err := within.Authorize([]string{stranger}, "BYE", "sip:a", nil); err == nil {
		t.Errorf("for another realm: %s", answer)
	}
	for i := range 2 * maxNonces {
		_, _ = c.Authorize([]string{fmt.Sprintf(`Digest realm="r%d", nonce="n", qop="auth"`, i)}, "REGISTER", "sip:a", nil)
	}
	if n := len(c.(*credentials).realms); n != maxNonces {
		t.Errorf("%d realms are kept, want %d", n, maxNonces)
	}
	if Confined(nil) != nil {
		t.Error("an account without a password has credentials")
	}
}
