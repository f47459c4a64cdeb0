package token

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
)

func newECKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// The example keys of RFC 7517, A.1, and RFC 8037, A.2.
const examples = `{"keys":[
 {"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","use":"enc","kid":"1"},
 {"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"},
 {"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"8037"}]}`

func TestParseJWKS(t *testing.T) {
	keys := signingKeys()
	with := func(k signingKey, pairs ...any) map[string]any {
		m := maps.Clone(k.jwk())
		for i := 0; i+1 < len(pairs); i += 2 {
			m[pairs[i].(string)] = pairs[i+1]
		}
		return m
	}
	ec, ed, rs, hs := keys[algES256], keys[algEdDSA], keys[algRS256], keys[algHS256]
	b64 := base64.RawURLEncoding.EncodeToString
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name    string
		text    []byte
		secrets bool
		algs    string // of the keys that are taken
		ignored string // part of the reasons
	}{
		{"examples", []byte(examples), false, "RS256 EdDSA", "not for checking"},
		{"all kinds", jwks(ec.jwk(), ed.jwk(), rs.jwk(), hs.jwk()), true, "ES256 EdDSA RS256 HS256", ""},
		{"a secret from an address", jwks(ec.jwk(), hs.jwk()), false, "ES256", "it is a secret"},
		{"one key", mustJSON(ec.jwk()), false, "ES256", ""},
		{"nothing", []byte("{}"), false, "", `no member "keys"`},
		{"no JSON", []byte("<html>"), false, "", "not JSON"},
		{"no keys", []byte(`{"keys":[]}`), false, "", ""},
		{"short secret", jwks(with(hs, "k", b64([]byte("short")))), true, "", "less than 32"},
		{"private", jwks(with(ec, "d", "AAAA")), false, "", "private key"},
		{"use", jwks(with(ec, "use", "enc")), false, "", "not for checking"},
		{"key_ops", jwks(with(ec, "key_ops", []string{"sign"})), false, "", "not for checking"},
		{"key_ops to verify", jwks(with(ec, "key_ops", []string{"verify"})), false, "ES256", ""},
		{"PS256", jwks(with(rs, "alg", "PS256")), false, "", "PS256"},
		{"alg of another type", jwks(with(rs, "alg", "HS256")), true, "", "HS256"},
		{"another curve", jwks(with(ec, "crv", "P-384")), false, "", "not taken"},
		{"X25519", jwks(with(ed, "crv", "X25519")), false, "", "not taken"},
		{"not on the curve", jwks(with(ec, "x", b64(make([]byte, 32)))), false, "", "no point"},
		{"x too long", jwks(with(ec, "x", b64(make([]byte, 33)))), false, "", "33 bytes"},
		{"padding", jwks(with(ed, "x", ed.jwk()["x"].(string)+"=")), false, "", "not base64url"},
		{"RSA of 1024", jwks(map[string]any{"kty": "RSA", "n": b64(small.N.Bytes()), "e": "AQAB"}), false, "", "1024 bits"},
		{"RSA without end", jwks(with(rs, "n", b64(append([]byte{1}, make([]byte, 2000)...)))), false, "", "bits"},
		{"exponent 1", jwks(with(rs, "e", "AQ")), false, "", "exponent"},
		{"exponent even", jwks(with(rs, "e", "BA")), false, "", "exponent"},
		{"exponent without end", jwks(with(rs, "e", strings.Repeat("_", 40))), false, "", "exponent"},
		{"long kid", jwks(with(ec, "kid", strings.Repeat("k", 300))), false, "", "longer than"},
		{"kid is a number", jwks(with(ec, "kid", 7)), false, "", "cannot unmarshal"},
		{"the same key twice", jwks(ec.jwk(), ec.jwk()), false, "ES256", ""},
		{"two keys of one kid", jwks(ec.jwk(), with(ed, "kid", "ec"), rs.jwk()), false, "RS256", "several keys"},
		{"three keys of one kid", jwks(ec.jwk(), with(ed, "kid", "ec"), ec.jwk()), false, "", "several keys"},
		{"two keys without kid", jwks(with(ec, "kid", ""), with(ed, "kid", "")), false, "ES256 EdDSA", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, ignored, err := parseJWKS(test.text, test.secrets)
			var algs []string
			for _, k := range got {
				algs = append(algs, k.alg)
			}
			why := errors.Join(append(ignored, err)...)
			if strings.Join(algs, " ") != test.algs || test.ignored == "" && why != nil || test.ignored != "" && (why == nil || !strings.Contains(why.Error(), test.ignored)) {
				t.Errorf("keys %q, ignored %v; want %q and %q", algs, why, test.algs, test.ignored)
			}
		})
	}
}

func mustJSON(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}

// Whatever comes from an address: no panic, no secret, no private key, no weak key.
func FuzzParseJWKS(f *testing.F) {
	keys := signingKeys()
	f.Add([]byte(examples))
	f.Add(jwks(keys[algES256].jwk(), keys[algHS256].jwk()))
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AQ","e":"AQAB"},null,7,{"kty":"oct","k":""}]}`))
	f.Add([]byte(`{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, _, err := parseJWKS(text, false)
		if err != nil && got != nil {
			t.Error("keys with an error")
		}
		for _, k := range got {
			if k.name() == "" || len(k.name()) > maxKeyID {
				t.Errorf("name %q", k.name())
			}
			switch key := k.value.(type) {
			case *rsa.PublicKey:
				if key.N.BitLen() < minRSA {
					t.Error("a weak key")
				}
			case []byte:
				t.Error("a secret")
			}
		}
	})
}
