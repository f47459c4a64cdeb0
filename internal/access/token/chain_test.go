package token

import (
	"errors"
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
