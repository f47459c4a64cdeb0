package token

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"transponder/internal/access"
)

// Whoever has a key or a token that may control streams makes others with it. They end with what they were made with.
func TestWhatWasMadeEndsWithItsMaker(t *testing.T) {
	may := grants("control publish", "acme/*")
	child := func(b *bench, with string) (string, Key) {
		t.Helper()
		by, err := b.Verify(t.Context(), shows(with))
		if err != nil {
			t.Fatal(err)
		}
		k, text, err := b.CreateKey(t.Context(), by, KeyRequest{Grants: may})
		if err != nil {
			t.Fatal(err)
		}
		return string(text), k
	}
	for _, tt := range []struct {
		name string
		end  func(b *bench, key Key, token Minted) error
	}{
		{"the key is removed", func(b *bench, k Key, _ Minted) error { return b.RemoveKey(t.Context(), admin, k.ID) }},
		{"the user is gone", func(b *bench, _ Key, _ Minted) error { return b.RemoveKeysOf(t.Context(), "user:ann") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newTokens(t, DefaultConfig())
			first, text, err := b.CreateKey(t.Context(), operator("ann"), KeyRequest{Grants: may})
			if err != nil {
				t.Fatal(err)
			}
			second, _ := child(b, string(text))
			third, _ := child(b, second)
			by, err := b.Verify(t.Context(), shows(third))
			if err != nil {
				t.Fatal(err)
			}
			lease := b.leases.Hold(by)
			token, err := b.Create(t.Context(), by, Request{Grants: may})
			if err != nil {
				t.Fatal(err)
			}
			fourth, _ := child(b, string(token.Token))
			if err := tt.end(b, first, token); err != nil {
				t.Fatal(err)
			}
			for i, left := range []string{string(text), second, third, string(token.Token), fourth} {
				if _, err := b.Verify(t.Context(), shows(left)); err == nil {
					t.Errorf("%d: it is still valid", i)
				}
			}
			if !errors.Is(lease.Err(), access.ErrRevoked) {
				t.Errorf("the session goes on: %v", lease.Err())
			}
			if n := len(b.Keys(admin)); n != 0 {
				t.Errorf("%d keys are left", n)
			}
		})
	}
}

// A key that was made with a token is lost when the token is revoked, by whatever it is named, and no other key is.
func TestKeyOfRevokedToken(t *testing.T) {
	for _, name := range []string{"jti", "sub", "kid"} {
		t.Run(name, func(t *testing.T) {
			m := newMemory()
			b := newTokensOn(t, m, DefaultConfig())
			may := grants("control publish", "acme/*")
			token, err := b.Create(t.Context(), operator("ann"), Request{Grants: may})
			if err != nil {
				t.Fatal(err)
			}
			by, err := b.Verify(t.Context(), shows(string(token.Token)))
			if err != nil {
				t.Fatal(err)
			}
			_, text, err := b.CreateKey(t.Context(), by, KeyRequest{Grants: may})
			if err != nil {
				t.Fatal(err)
			}
			_, other, err := b.CreateKey(t.Context(), operator("ann"), KeyRequest{Grants: may}) // with her password
			if err != nil {
				t.Fatal(err)
			}
			b = newTokensOn(t, m, DefaultConfig()) // after a restart
			r := map[string]Revocation{"jti": {JTI: token.ID}, "sub": {Sub: "user:ann"}, "kid": {KID: by.KeyID}}[name]
			if err := b.Revoke(t.Context(), admin, r); err != nil {
				t.Fatal(err)
			}
			if _, err := b.Verify(t.Context(), shows(string(text))); err == nil {
				t.Error("the token is revoked, and the key that was made with it is valid")
			}
			if _, err := b.Verify(t.Context(), shows(string(other))); err != nil {
				t.Errorf("a key that was made with a password is lost: %v", err)
			}
			// The token was verified before it was revoked.
			if _, text, err := b.CreateKey(t.Context(), by, KeyRequest{Grants: may}); err == nil || text != "" || len(b.Keys(admin)) != 1 {
				t.Errorf("a revoked token makes a key: %v", err)
			}
		})
	}
}

// Two applications have somebody of the same name. Neither sees the keys of the other.
func TestSameNameInTwoApps(t *testing.T) {
	b := newTokens(t, DefaultConfig())
	bob := func(app string) *access.Principal {
		return &access.Principal{Kind: access.Token, Subject: "bob", App: app, ID: app, Issued: time.Now(), Grants: grants("control publish", app+"/*")}
	}
	k, text, err := b.CreateKey(t.Context(), bob("acme"), KeyRequest{Grants: grants("publish", "acme/*")})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.RemoveKey(t.Context(), bob("beta"), k.ID); !errors.Is(err, ErrNoKey) || len(b.Keys(bob("beta"))) != 0 {
		t.Errorf("a stranger of the same name sees %v, and removes it: %v", b.Keys(bob("beta")), err)
	}
	if _, err := b.Verify(t.Context(), shows(string(text))); err != nil {
		t.Error(err)
	}
	if err := b.RemoveKey(t.Context(), bob("acme"), k.ID); err != nil {
		t.Errorf("its owner cannot remove it: %v", err)
	}
}

// A token that was made with a token ends with it, however the chain goes on, and by whatever the first one is named. So do the keys in between.
func TestChainEndsWithItsFirst(t *testing.T) {
	may := grants("control publish", "acme/*")
	for _, name := range []string{"jti", "kid", "removed"} {
		t.Run(name, func(t *testing.T) {
			signer := signingKeys()[algES256]
			b := newTokens(t, DefaultConfig(), signer.verifier)
			make := func(with string) (token, key string) {
				t.Helper()
				by, err := b.Verify(t.Context(), shows(with))
				if err != nil {
					t.Fatal(err)
				}
				made, err := b.Create(t.Context(), by, Request{Grants: may})
				if err != nil {
					t.Fatal(err)
				}
				_, text, err := b.CreateKey(t.Context(), by, KeyRequest{Grants: may})
				if err != nil {
					t.Fatal(err)
				}
				return string(made.Token), string(text)
			}
			first := signer.sign(t, content(set("transponder.grants", may)))
			var removed Key
			if name == "removed" {
				var text access.Secret
				var err error
				if removed, text, err = b.CreateKey(t.Context(), operator("ann"), KeyRequest{Grants: may}); err != nil {
					t.Fatal(err)
				}
				first = string(text)
			}
			token, key := make(first)
			tokenOfToken, keyOfToken := make(token)
			tokenOfKey, keyOfKey := make(key)
			by, err := b.Verify(t.Context(), shows(tokenOfToken))
			if err != nil {
				t.Fatal(err)
			}
			lease := b.leases.Hold(by)
			defer lease.Release()
			switch name {
			case "jti":
				err = b.Revoke(t.Context(), admin, Revocation{JTI: "one"})
			case "kid":
				err = b.Revoke(t.Context(), admin, Revocation{KID: signer.id})
			default:
				err = b.RemoveKey(t.Context(), admin, removed.ID)
			}
			if err != nil {
				t.Fatal(err)
			}
			for i, left := range []string{first, token, key, tokenOfToken, keyOfToken, tokenOfKey, keyOfKey} {
				if _, err := b.Verify(t.Context(), shows(left)); err == nil {
					t.Errorf("%d is still valid", i)
				}
			}
			if !errors.Is(lease.Err(), access.ErrRevoked) {
				t.Errorf("a session goes on: %v", lease.Err())
			}
			if keys := b.Keys(admin); len(keys) > 0 {
				t.Errorf("keys are left: %v", keys)
			}
			if name == "removed" && len(b.Revocations()) > 0 { // else whoever makes and removes keys would fill the list
				t.Errorf("a removed key leaves revocations: %v", b.Revocations())
			}
		})
	}
}

// A key that was made with a token of a key has the limits of its makers to share.
func TestLimitsOfMakers(t *testing.T) {
	b := newTokens(t, DefaultConfig())
	may := grants("control publish", "acme/*")
	_, text, err := b.CreateKey(t.Context(), admin, KeyRequest{Grants: may, Limits: access.Limits{Publishers: 1}})
	if err != nil {
		t.Fatal(err)
	}
	quotas := access.NewQuotas()
	taken := 0
	with := string(text)
	for range 4 {
		by, err := b.Verify(t.Context(), shows(with))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := quotas.Take(by, access.Publish); err == nil {
			taken++
		}
		token, err := b.Create(t.Context(), by, Request{Grants: may})
		if err != nil {
			t.Fatal(err)
		}
		if by, err = b.Verify(t.Context(), shows(string(token.Token))); err != nil {
			t.Fatal(err)
		}
		if _, err := quotas.Take(by, access.Publish); err == nil {
			taken++
		}
		_, next, err := b.CreateKey(t.Context(), by, KeyRequest{Grants: may})
		if err != nil {
			if !strings.Contains(err.Error(), "made with") {
				t.Fatal(err)
			}
			break
		}
		with = string(next)
	}
	if taken != 1 {
		t.Errorf("one publisher is allowed, and %d publish", taken)
	}
}

// Somebody who is no administrator has a share of the keys, whatever he makes them with. Tokens that may be used once have shares, too.
func TestShareOfKeys(t *testing.T) {
	b := newTokens(t, DefaultConfig())
	may := grants("control publish", "acme/*")
	ann := operator("ann")
	var made []string
	for _, by := range []*access.Principal{ann, nil} {
		if by == nil { // her key
			p, err := b.Verify(t.Context(), shows(made[0]))
			if err != nil {
				t.Fatal(err)
			}
			by = p
		}
		_, text, err := b.CreateKey(t.Context(), by, KeyRequest{Grants: may})
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, string(text))
	}
	hers := b.Keys(admin)[1] // made with her key
	for i := range maxOfOne - 2 {
		hers.ID = fmt.Sprint("k", i)
		if err := b.keys.add(newStoredKey(hers, sha256.Sum256([]byte(hers.ID))), "user::ann", maxOfOne); err != nil {
			t.Fatal(i, err)
		}
	}
	by, err := b.Verify(t.Context(), shows(made[1]))
	if err != nil {
		t.Fatal(err)
	}
	for _, by := range []*access.Principal{ann, by} {
		if _, _, err := b.CreateKey(t.Context(), by, KeyRequest{Grants: may}); !errors.Is(err, ErrTooManyOwn) {
			t.Errorf("%v makes one more: %v", by, err)
		}
	}
	for _, by := range []*access.Principal{operator("bob"), admin} {
		if _, _, err := b.CreateKey(t.Context(), by, KeyRequest{Grants: may}); err != nil {
			t.Errorf("%v: %v", by, err)
		}
	}

	until := time.Now().Add(time.Hour)
	for i := range maxUsedOfOne {
		if !b.used.spend(fmt.Sprint("ann ", i), "ann", until) {
			t.Fatal("too few")
		}
	}
	if b.used.spend("ann again", "ann", until) || !b.used.spend("bob", "bob", until) {
		t.Error("one owner takes the places of all")
	}
	b.used.expired(until.Add(time.Second))
	if !b.used.spend("ann again", "ann", until.Add(time.Hour)) {
		t.Error("what has expired still counts")
	}
}
