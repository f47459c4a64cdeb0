package token

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"transponder/internal/access"
)

func TestVerifyEachAlgorithm(t *testing.T) {
	keys := signingKeys()
	b := newTokens(t, DefaultConfig(), keys[algES256].verifier, keys[algEdDSA].verifier, keys[algRS256].verifier, keys[algHS256].verifier)
	for alg, k := range keys {
		p, err := b.Verify(t.Context(), shows(k.sign(t, content())))
		if err != nil {
			t.Errorf("%s: %v", alg, err)
			continue
		}
		if p.Kind != access.Token || p.Subject != "ann" || p.App != "acme" || p.ID != "one" || p.KeyID == "" || p.Issued.IsZero() || p.Expires.IsZero() {
			t.Errorf("%s: %+v", alg, p)
		}
		if err := access.Decide(p, access.Publish, access.Object{Stream: "cam-1"}); err != nil {
			t.Error(err)
		}
		if access.Decide(p, access.Publish, access.Object{Stream: "dog"}) == nil || access.Decide(p, access.Play, access.Object{Stream: "cam-1"}) == nil {
			t.Error("the token allows more than it grants")
		}
	}
}

func TestVerify(t *testing.T) {
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Unix() // when the time of a bubble begins
	in := func(seconds int64) any { return now + seconds }
	long := strings.Repeat("x", 300)
	for _, test := range []struct {
		name   string
		change func(c, own jwt.MapClaims)
		words  string // for the holder; "": the token is taken
	}{
		{"expired within the leeway", set("exp", in(-20)), ""},
		{"expired", set("exp", in(-40)), "expired 40s ago"},
		{"no exp", set("exp", nil), "no exp"},
		{"no iat", set("iat", nil), "no iat"},
		{"iat a little ahead", set("iat", in(20)), ""},
		{"iat ahead", set("iat", in(420)), "the clocks differ by 7m0s"},
		{"nbf a little ahead", set("nbf", in(20)), ""},
		{"nbf ahead", set("nbf", in(100)), "is valid in 1m40s"},
		{"no aud", set("aud", nil), "has no aud"},
		{"another aud", set("aud", "wiki"), `is for "wiki", not for "transponder"`},
		{"aud is part of it", set("aud", "transponder2"), "not for"},
		{"several aud", set("aud", []string{"wiki", "transponder"}), ""},
		{"lives too long", set("exp", in(25*3600)), "24h0m0s is the most"},
		{"lives as long as it may", set("exp", in(24*3600)), ""},
		{"issued long ago and lives too long", set("iat", int64(1)), "lives for"},
		{"exp without bounds", set("exp", json.Number("1e300")), "the token"},
		{"iat without bounds", set("iat", json.Number("-1e300")), "the token"},
		{"exp is text", set("exp", "tomorrow"), "types of RFC 7519"},
		{"sub is a number", set("sub", 17), "types of RFC 7519"},
		{"long sub", set("sub", long), "longer than 256"},
		{"long jti", set("jti", long), "longer than 256"},
		{"no sub", set("sub", nil), ""},

		{"no member transponder", set("transponder", nil), `no member "transponder"`},
		{"it is null", set("transponder", json.RawMessage("null")), `no member "transponder"`},
		{"it is text", set("transponder", "all"), "must be an object"},
		{"no version", set("transponder.v", nil), "version 0"},
		{"another version", set("transponder.v", 2), "version 2"},
		{"unknown member", set("transponder.region", "eu"), `unknown field "region"`},
		{"unknown member of a grant", set("transponder.grants", []any{jwt.MapClaims{"actions": []string{"play"}, "stream": "*"}}), `unknown field "stream"`},
		{"unknown action", set("transponder.grants", []any{jwt.MapClaims{"actions": []string{"fly"}, "streams": []string{"*"}}}), `unknown action "fly"`},
		{"grants are no list", set("transponder.grants", "all"), "grants has the wrong type"},
		{"no grants", set("transponder.grants", nil), ""}, // it allows nothing
		{"long app", set("transponder.app", long), "longer than 256"},
		{"limit below 0", set("transponder.limits", jwt.MapClaims{"publishers": -1}), "below 0"},
		{"until is over", set("transponder.until", in(-1)), "ended 1s ago"},
		{"until to come", set("transponder.until", in(60)), ""},
		{"once without jti", func(c, own jwt.MapClaims) { own["once"] = true; delete(c, "jti") }, "needs a jti"},
	} {
		k := signingKeys()[algES256]
		bubble := func(t *testing.T) {
			b := newTokens(t, DefaultConfig(), k.verifier)
			_, err := b.Verify(t.Context(), shows(k.sign(t, content(test.change))))
			var bad *access.BadCredential
			switch {
			case test.words == "" && err != nil:
				t.Errorf("%v", err)
			case test.words != "" && (!errors.As(err, &bad) || !strings.Contains(bad.Detail, test.words)):
				t.Errorf("%v, want %q", err, test.words)
			}

			// A stranger, whose signature is not right, learns nothing of all this.
			text := k.sign(t, content(test.change))
			text = text[:len(text)-8] + "AAAAAAAA"
			if _, err := b.Verify(t.Context(), shows(text)); !errors.As(err, &bad) || bad.Detail != "" {
				t.Errorf("with a wrong signature: %v", err)
			}
		}
		t.Run(test.name, func(t *testing.T) { synctest.Test(t, bubble) })
	}
}

// Whatever a stranger shows, he is refused and learns nothing.
func TestStrangers(t *testing.T) {
	keys := signingKeys()
	ec, hs := keys[algES256], keys[algHS256]
	cfg := DefaultConfig()
	cfg.Secret = testSecret
	b := newTokens(t, cfg, ec.verifier, keys[algRS256].verifier)
	b64 := base64.RawURLEncoding.EncodeToString
	plain, err := json.Marshal(content())
	if err != nil {
		t.Fatal(err)
	}
	pub, err := x509.MarshalPKIXPublicKey(keys[algRS256].value)
	if err != nil {
		t.Fatal(err)
	}
	publicAsSecret := signingKey{hs.verifier, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pub}), jwt.SigningMethodHS256}
	other := signingKey{verifier{"ec", algES256, nil}, newECKey(t), jwt.SigningMethodES256}
	good := ec.sign(t, content())
	for name, text := range map[string]string{
		"garbage":                             "garbage",
		"empty parts":                         "..",
		"three words":                         "a.b.c",
		"four parts":                          good + ".x",
		"sixty thousand dots":                 strings.Repeat(".", 60_000),
		"too long":                            good + strings.Repeat("A", maxToken),
		"a header without end":                strings.Repeat("A", 66_000) + ".e30.AA",
		"alg none":                            b64([]byte(`{"alg":"none"}`)) + "." + b64(plain) + ".",
		"alg none with a kid":                 b64([]byte(`{"alg":"none","kid":"ec"}`)) + "." + b64(plain) + ".",
		"alg NonE":                            b64([]byte(`{"alg":"NonE"}`)) + "." + b64(plain) + ".",
		"alg HS384":                           signingKey{hs.verifier, hs.private, jwt.SigningMethodHS384}.sign(t, content()),
		"HS256 under the kid of another type": hs.sign(t, content(), "kid", "ec"),
		"the public key as a secret":          publicAsSecret.sign(t, content(), "kid", "rs"),
		"the public key as a secret, no kid":  publicAsSecret.sign(t, content()),
		"another key under a known kid":       other.sign(t, content()),
		"another key without a kid":           other.sign(t, content(), "kid", nil),
		"another key in its own header":       other.sign(t, content(), "jwk", other.jwk(), "kid", nil),
		"unknown kid":                         ec.sign(t, content(), "kid", "nobody"),
		"kid is a number":                     ec.sign(t, content(), "kid", 7),
		"long kid":                            ec.sign(t, content(), "kid", strings.Repeat("k", 300)),
		"crit":                                ec.sign(t, content(), "crit", []string{"exp"}),
		"content of another":                  good[:strings.Index(good, ".")+1] + b64([]byte(`{"sub":"root"}`)) + good[strings.LastIndex(good, "."):],
		"signature in another alphabet":       good[:strings.LastIndex(good, ".")+1] + "+/+/",
		"padding":                             good + "==",
		"spaces":                              " " + good,
		"stored key that is not there":        access.KeyPrefix + strings.Repeat("a", 26),
		"stored key without end":              access.KeyPrefix + strings.Repeat("a", 10_000),
		"nothing but the prefix":              access.KeyPrefix,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := b.Verify(t.Context(), shows(text))
			var bad *access.BadCredential
			if !errors.As(err, &bad) || bad.Detail != "" || err.Error() != access.ErrNone.Error() {
				t.Errorf("%v, want what somebody hears who shows nothing", err)
			}
		})
	}
	if _, err := b.Verify(t.Context(), shows(good)); err != nil {
		t.Errorf("the right token: %v", err)
	}
	if _, err := b.Verify(t.Context(), shows(hs.sign(t, content(), "kid", "whatever the backend calls it"))); err != nil {
		t.Errorf("token_secret with a kid: %v", err)
	}
}

// A token that is longer than the limit is refused, however well it is signed.
func TestLongToken(t *testing.T) {
	k := signingKeys()[algES256]
	b := newTokens(t, DefaultConfig(), k.verifier)
	for size, right := range map[int]bool{100: true, maxToken: false} {
		if _, err := b.Verify(t.Context(), shows(k.sign(t, content(set("more", strings.Repeat("x", size)))))); (err == nil) != right {
			t.Errorf("with %d bytes more: %v", size, err)
		}
	}
}

// A key is found for its own algorithm only, by its kid or without one.
func TestFindKey(t *testing.T) {
	keys := signingKeys()
	var r keyring
	r.file = []verifier{keys[algES256].verifier, keys[algRS256].verifier}
	r.secret = &verifier{alg: algHS256, value: []byte(testSecret)}
	unnamed := keys[algEdDSA].verifier
	unnamed.id = ""
	r.remote = []verifier{unnamed, {id: "ec", alg: algHS256, value: []byte("from afar")}}
	for _, test := range []struct{ alg, kid, found string }{
		{algES256, "ec", "ec"}, {algES256, "", "ec"}, {algRS256, "rs", "rs"}, {algRS256, "", "rs"},
		{algHS256, "ec", ""}, {algHS256, "rs", ""}, {algEdDSA, "ec", ""}, {algRS256, "ec", ""}, {algES256, "rs", ""},
		{algES256, "unknown", ""}, {algRS256, "unknown", ""},
		{algHS256, "unknown", secretName}, {algHS256, "", ""}, // without a kid two fit
		{algEdDSA, "unknown", unnamed.name()}, {algEdDSA, "", unnamed.name()},
		{"none", "ec", ""}, {"none", "", ""},
	} {
		k, err := r.find(test.alg, test.kid)
		if test.found == "" && err == nil || test.found != "" && (err != nil || k.name() != test.found || k.alg != test.alg) {
			t.Errorf("%s %q: %q, %v; want %q", test.alg, test.kid, k.name(), err, test.found)
		}
	}
}

// A server that knows no secret takes no token that is signed with an empty one.
func TestNoSecret(t *testing.T) {
	empty := signingKey{private: []byte{}, method: jwt.SigningMethodHS256}
	for _, b := range []*bench{newTokens(t, DefaultConfig()), newTokens(t, DefaultConfig(), signingKeys()[algES256].verifier)} {
		for _, header := range [][]any{nil, {"kid", ""}, {"kid", secretName}, {"kid", "ec"}} {
			if _, err := b.Verify(t.Context(), shows(empty.sign(t, content(), header...))); err == nil {
				t.Errorf("taken with the header %v", header)
			}
		}
	}
}

// Without a kid the one key that fits is tried, and none if several fit.
func TestNoKid(t *testing.T) {
	ec := signingKeys()[algES256]
	second := ec.verifier
	second.id, second.value = "second", newECKey(t).Public()
	text := ec.sign(t, content(), "kid", nil)
	if _, err := newTokens(t, DefaultConfig(), ec.verifier, signingKeys()[algRS256].verifier).Verify(t.Context(), shows(text)); err != nil {
		t.Errorf("one key fits: %v", err)
	}
	if _, err := newTokens(t, DefaultConfig(), ec.verifier, second).Verify(t.Context(), shows(text)); err == nil {
		t.Error("several keys fit, and one was tried")
	}
}

func TestExpEndsSessions(t *testing.T) {
	k := signingKeys()[algEdDSA]
	for _, test := range []struct {
		ends        bool
		until, want time.Duration // from the second of now; 0: none
	}{{false, 0, 0}, {false, time.Hour, time.Hour}, {true, 0, 600 * time.Second}, {true, time.Hour, time.Hour}, {true, time.Minute, time.Minute}} {
		cfg := DefaultConfig()
		cfg.ExpEnds = test.ends
		var change []func(c, own jwt.MapClaims)
		now := time.Now().Truncate(time.Second)
		if test.until > 0 {
			change = append(change, set("transponder.until", now.Add(test.until).Unix()))
		}
		p, err := newTokens(t, cfg, k.verifier).Verify(t.Context(), shows(k.sign(t, content(change...))))
		if err != nil {
			t.Fatal(err)
		}
		got := p.Until.Sub(now)
		if test.want == 0 && !p.Until.IsZero() || test.want > 0 && (got < test.want || got > test.want+time.Second) {
			t.Errorf("%+v: until %v", test, p.Until)
		}
	}
}

func TestOnce(t *testing.T) {
	k := signingKeys()[algEdDSA]
	m := newMemory()
	b := newTokensOn(t, m, DefaultConfig(), k.verifier)
	text := k.sign(t, content(set("transponder.once", true)))
	again := shows(text)
	again.Again = true
	verify := func(b *bench, c access.Credential, words string) {
		t.Helper()
		_, err := b.Verify(t.Context(), c)
		if words == "" && err != nil || words != "" && (err == nil || !strings.Contains(err.Error(), words)) {
			t.Errorf("%v, want %q", err, words)
		}
	}
	verify(b, again, "") // spends nothing
	verify(b, shows(text), "")
	verify(b, shows(text), "was used")
	verify(b, again, "") // the session goes on
	verify(b, shows(k.sign(t, content(set("transponder.once", true), set("jti", "two")))), "")
	verify(newTokensOn(t, m, DefaultConfig(), k.verifier), shows(text), "was used") // after a restart

	m.fill(true)
	third := shows(k.sign(t, content(set("transponder.once", true), set("jti", "three"))))
	verify(b, third, "") // a full disk ends no show
	verify(b, third, "was used")

	for range maxUsed { // of tokens that have not expired
		b.used.spend(strings.Repeat("x", 1+len(b.used.ids)%7)+time.Now().String(), fmt.Sprint(len(b.used.ids)%100), time.Now().Add(time.Hour))
	}
	verify(b, shows(k.sign(t, content(set("transponder.once", true), set("jti", "four")))), "was used")
}

func TestRevoke(t *testing.T) {
	k := signingKeys()[algEdDSA]
	for _, test := range []struct {
		name    string
		r       Revocation
		revoked bool // ann's token "one", issued now
		later   bool // a token of hers, issued two seconds later
	}{
		{"jti", Revocation{JTI: "one"}, true, true}, // the later one has the same jti
		{"another jti", Revocation{JTI: "two"}, false, false},
		{"sub", Revocation{Sub: "ann"}, true, false},
		{"another sub", Revocation{Sub: "bob"}, false, false},
		{"part of the sub", Revocation{Sub: "an"}, false, false},
		{"kid", Revocation{KID: "ed"}, true, false},
		{"sub, before the token", Revocation{Sub: "ann", Before: time.Now().Add(-time.Hour)}, false, false},
		{"sub, for a while", Revocation{Sub: "ann", Before: time.Now().Add(time.Hour)}, true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := newMemory()
			b := newTokensOn(t, m, DefaultConfig(), k.verifier)
			text := k.sign(t, content())
			p, err := b.Verify(t.Context(), shows(text))
			if err != nil {
				t.Fatal(err)
			}
			lease, other := b.leases.Hold(p), b.leases.Hold(access.Whole(access.Local))
			if err := b.Revoke(t.Context(), access.Whole(access.Local), test.r); err != nil {
				t.Fatal(err)
			}
			after := k.sign(t, content(set("iat", time.Now().Unix()+2)))
			for _, b := range []*bench{b, newTokensOn(t, m, DefaultConfig(), k.verifier)} { // now, and after a restart
				if _, err := b.Verify(t.Context(), shows(text)); (err != nil) != test.revoked {
					t.Errorf("the token: %v", err)
				}
				if _, err := b.Verify(t.Context(), shows(after)); (err != nil) != test.later {
					t.Errorf("a later token: %v", err)
				}
				if got := b.Revocations(); len(got) != 1 || got[0].what() != test.r.what() || got[0].By != "local" {
					t.Errorf("revocations: %+v", got)
				}
			}
			if ended := errors.Is(lease.Err(), access.ErrRevoked); ended != test.revoked || other.Err() != nil {
				t.Errorf("the session ended: %v, another: %v", ended, other.Err())
			}
			late := b.leases.Hold(p) // verified before, held after
			if ended := errors.Is(late.Err(), access.ErrRevoked); ended != test.revoked {
				t.Errorf("a session that began at the same time ended: %v", ended)
			}
		})
	}
}

func TestRevocationsAreChecked(t *testing.T) {
	b := newTokens(t, DefaultConfig())
	for _, r := range []Revocation{{}, {JTI: "a", Sub: "b"}, {Sub: strings.Repeat("x", 300)}, {Sub: "a", Before: time.Now().Add(48 * time.Hour)}} {
		var bad *RequestError
		if err := b.Revoke(t.Context(), nil, r); !errors.As(err, &bad) {
			t.Errorf("%+v: %v", r, err)
		}
	}
	// An earlier revocation does not undo one that reaches further.
	now := time.Now()
	if err := errors.Join(b.Revoke(t.Context(), nil, Revocation{Sub: "ann", Before: now}), b.Revoke(t.Context(), nil, Revocation{Sub: "ann", Before: now.Add(-time.Hour)})); err != nil {
		t.Fatal(err)
	}
	if got := b.Revocations(); len(got) != 1 || !got[0].Before.Equal(now) {
		t.Errorf("%+v", got)
	}
	// A full disk does not keep a token valid.
	b.memory.fill(true)
	if err := b.Revoke(t.Context(), nil, Revocation{Sub: "bob"}); err == nil || !strings.Contains(err.Error(), "in force until the server stops") {
		t.Errorf("%v", err)
	}
	if !b.revocations.revoked(&access.Principal{Kind: access.Token, Subject: "bob", Issued: now.Add(-time.Second)}) {
		t.Error("it is not in force")
	}
	for range maxRevocations {
		b.revocations.add(Revocation{JTI: time.Now().String() + strings.Repeat("x", len(b.revocations.live)%5)})
	}
	for len(b.revocations.live) < maxRevocations {
		b.revocations.add(Revocation{JTI: time.Now().String()})
	}
	if err := b.Revoke(t.Context(), nil, Revocation{JTI: "one more"}); !errors.Is(err, ErrTooMany) {
		t.Errorf("%v", err)
	}
}

// What no token can match any more is forgotten, here and in the state.
func TestForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := signingKeys()[algEdDSA]
		b := newTokens(t, DefaultConfig(), k.verifier)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.Run(ctx) }()
		if _, err := b.Verify(ctx, shows(k.sign(t, content(set("transponder.once", true))))); err != nil {
			t.Fatal(err)
		}
		if err := b.Revoke(ctx, nil, Revocation{Sub: "bob"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(23 * time.Hour)
		if n := len(b.Revocations()); n != 1 || len(b.used.ids) != 0 {
			t.Errorf("%d revocations, %d used tokens after 23 h", n, len(b.used.ids))
		}
		time.Sleep(2 * time.Hour)
		if n := len(b.Revocations()); n != 0 || b.memory.text() != "" {
			t.Errorf("%d revocations after 25 h, and in the state: %s", n, b.memory.text())
		}
		cancel()
		<-done
	})
}

func TestKeysFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := signingKeys()
		ec, ed := keys[algES256], keys[algEdDSA]
		path := filepath.Join(t.TempDir(), "keys.json")
		write := func(text []byte) {
			t.Helper()
			// Another file, so that it changes at once, as the fake clock does not move the clock of files.
			if err := errors.Join(os.WriteFile(path+".new", text, 0o600), os.Rename(path+".new", path)); err != nil {
				t.Fatal(err)
			}
		}
		write(jwks(ec.jwk()))
		cfg := DefaultConfig()
		cfg.KeysFile = path
		b := newTokens(t, cfg)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.Run(ctx) }()
		is := func(k signingKey, right bool) {
			t.Helper()
			if _, err := b.Verify(ctx, shows(k.sign(t, content()))); (err == nil) != right {
				t.Errorf("%s: %v, want right: %v", k.alg, err, right)
			}
		}
		is(ec, true)
		is(ed, false)
		write(jwks(ec.jwk(), ed.jwk()))
		time.Sleep(lookAtFile + time.Second)
		is(ec, true)
		is(ed, true)
		write([]byte("{broken"))
		time.Sleep(lookAtFile + time.Second)
		is(ed, true)
		if err := b.Reload(); err == nil || !strings.Contains(err.Error(), "token_keys_file") {
			t.Errorf("Reload: %v", err)
		}
		write(jwks(ed.jwk()))
		if err := b.Reload(); err != nil {
			t.Error(err)
		}
		is(ec, false)
		is(ed, true)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(lookAtFile + time.Second)
		is(ed, true)
		cancel()
		<-done
	})
}

// A secret in a file that others may read is no secret.
func TestKeysFileMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	cfg := DefaultConfig()
	cfg.KeysFile = path
	for _, test := range []struct {
		key   signingKey
		mode  os.FileMode
		words string
	}{
		{signingKeys()[algHS256], 0o600, ""},
		{signingKeys()[algHS256], 0o640, "chmod 600"},
		{signingKeys()[algES256], 0o644, ""},
	} {
		if err := errors.Join(os.WriteFile(path, jwks(test.key.jwk()), 0o600), os.Chmod(path, test.mode)); err != nil {
			t.Fatal(err)
		}
		m := newMemory()
		_, err := New(t.Context(), cfg, Parts{m, m, access.NewLeases()}, nil)
		if test.words == "" && err != nil || test.words != "" && (err == nil || !strings.Contains(err.Error(), test.words)) {
			t.Errorf("%s, mode %o: %v, want %q", test.key.alg, test.mode, err, test.words)
		}
	}
}

func TestConfig(t *testing.T) {
	for _, test := range []struct {
		change func(*Config)
		words  string
	}{
		{func(*Config) {}, ""},
		{func(c *Config) { c.Secret = testSecret }, ""},
		{func(c *Config) { c.Secret = "short" }, "at least 32 bytes"},
		{func(c *Config) { c.Audience = "" }, "token_audience"},
		{func(c *Config) { c.MaxLifetime = time.Second }, "token_max_lifetime"},
		{func(c *Config) { c.JWKSURL = "https://issuer.example/keys" }, ""},
		{func(c *Config) { c.JWKSURL = "http://127.0.0.1:9/keys" }, ""},
		{func(c *Config) { c.JWKSURL = "http://[::1]:9/keys" }, ""},
		{func(c *Config) { c.JWKSURL = "http://localhost/keys" }, ""},
		{func(c *Config) { c.JWKSURL = "http://issuer.example/keys" }, "https://"},
		{func(c *Config) { c.JWKSURL = "http://localhost.evil.example/keys" }, "https://"},
		{func(c *Config) { c.JWKSURL = "file:///etc/keys" }, "token_jwks_url"},
		{func(c *Config) { c.JWKSURL = "https://u:p@issuer.example/keys" }, "user"},
	} {
		cfg := DefaultConfig()
		test.change(&cfg)
		err := cfg.Validate()
		if test.words == "" && err != nil || test.words != "" && (err == nil || !strings.Contains(err.Error(), test.words)) {
			t.Errorf("%+v: %v, want %q", cfg, err, test.words)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	for alg, k := range signingKeys() {
		b.Run(alg, func(b *testing.B) {
			tokens := newTokens(b, DefaultConfig(), k.verifier)
			c := shows(k.sign(b, content()))
			for b.Loop() {
				if _, err := tokens.Verify(b.Context(), c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Whatever somebody shows: no panic, and nothing comes in that we have not signed.
func FuzzVerify(f *testing.F) {
	keys := signingKeys()
	cfg := DefaultConfig()
	cfg.Secret = testSecret
	b := newTokens(f, cfg, keys[algES256].verifier, keys[algRS256].verifier)
	good := keys[algES256].sign(f, content())
	for _, k := range keys {
		f.Add(k.sign(f, content()))
	}
	f.Add("a.b.c")
	f.Add(access.KeyPrefix + strings.Repeat("a", 26))
	f.Add(`eyJhbGciOiJub25lIiwiYjY0IjpmYWxzZX0.e30.`)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := b.Verify(t.Context(), shows(text))
		var bad *access.BadCredential
		if (p == nil) == (err == nil) || err != nil && !errors.As(err, &bad) {
			t.Errorf("%v, %v", p, err)
		}
		if p != nil && text != good && p.Subject != "ann" {
			t.Errorf("%q is taken: %+v", text, p)
		}
	})
}

// The content of a token that is signed rightly: whatever it is, what is taken is valid.
func FuzzClaims(f *testing.F) {
	for _, change := range []func(c, own jwt.MapClaims){
		set("iss", "x"), set("transponder.once", true), set("transponder.until", 1e300), set("exp", "1"), set("aud", []string{"a", "transponder"}),
		set("transponder.limits", jwt.MapClaims{"players": 1e9}), set("transponder", nil), set("transponder.grants", []any{nil, jwt.MapClaims{}}),
	} {
		text, err := json.Marshal(content(change))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	k := signingKeys()[algHS256]
	f.Fuzz(func(t *testing.T, text []byte) {
		cfg := DefaultConfig()
		cfg.Secret = testSecret
		b := newTokens(t, cfg)
		if !json.Valid(text) {
			return
		}
		head := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256"}`)) + "." + base64.RawURLEncoding.EncodeToString(text)
		signature, err := k.method.Sign(head, k.private)
		if err != nil {
			t.Fatal(err)
		}
		p, err := b.Verify(t.Context(), shows(head+"."+base64.RawURLEncoding.EncodeToString(signature)))
		if err != nil {
			return
		}
		now := time.Now()
		switch {
		case access.ValidateGrants(p.Grants) != nil, p.Kind != access.Token, p.KeyID != secretName:
			t.Errorf("%+v", p)
		case p.Issued.After(now.Add(2 * leeway)), p.Expires.Before(now.Add(-2 * leeway)), p.Expires.Sub(p.Issued) > cfg.MaxLifetime:
			t.Errorf("issued %v, expires %v", p.Issued, p.Expires)
		case !p.Until.IsZero() && p.Until.Before(now.Add(-time.Second)):
			t.Errorf("until %v", p.Until)
		}
	})
}
