package token

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/access"
)

func grants(actions string, streams ...string) []access.Grant {
	var g access.Grant
	for a := range strings.FieldsSeq(actions) {
		g.Actions = append(g.Actions, access.Action(a))
	}
	g.Streams = streams
	return []access.Grant{g}
}

// operator returns a user who may control and publish acme/*.
func operator(name string) *access.Principal {
	return &access.Principal{Kind: access.User, Subject: name, Grants: grants("read control play publish", "acme/*")}
}

var admin = access.Whole(access.Local)

func TestStoredKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		b := newTokensOn(t, m, DefaultConfig())
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.Run(ctx) }()
		k, text, err := b.CreateKey(ctx, admin, KeyRequest{Label: "OBS in the hall", Grants: grants("publish", "hall-*"), Stream: "hall-1", App: "acme", Limits: access.Limits{Publishers: 1}})
		if err != nil {
			t.Fatal(err)
		}
		if n := len(text); n != len(access.KeyPrefix)+26 || !strings.HasPrefix(string(text), access.KeyPrefix) {
			t.Errorf("the key has %d characters", n)
		}
		if all := m.text(); strings.Contains(all, string(text)) || strings.Contains(all, string(text[len(access.KeyPrefix):])) {
			t.Error("the state has the key itself")
		}
		from := netip.MustParseAddr("192.0.2.7")
		p, err := b.Verify(ctx, access.Credential{Token: string(text), Peer: from})
		if err != nil {
			t.Fatal(err)
		}
		if p.Kind != access.Key || p.ID != k.ID || p.App != "acme" || p.Stream != "hall-1" || p.Limits.Publishers != 1 || p.Identity() != "key#acme:"+k.ID {
			t.Errorf("%+v", p)
		}
		// One letter more, less, or another: no key.
		for _, wrong := range []string{string(text) + "a", string(text[:len(text)-1]), strings.ToUpper(string(text)), string(text[:8]) + "zzzz" + string(text[12:])} {
			if _, err := b.Verify(ctx, shows(wrong)); err == nil || err.Error() != access.ErrNone.Error() {
				t.Errorf("%v", err)
			}
		}
		time.Sleep(90 * time.Second)
		if got := b.Keys(admin); len(got) != 1 || got[0].LastFrom != from || !got[0].LastUsed.Equal(time.Now().Add(-90*time.Second)) {
			t.Errorf("last use: %+v", got)
		}
		again := newTokensOn(t, m, DefaultConfig()) // after a restart
		if got := again.Keys(admin); len(got) != 1 || got[0].LastFrom != from || got[0].LastUsed.IsZero() || got[0].Label != "OBS in the hall" {
			t.Errorf("after a restart: %+v", got)
		}
		if _, err := again.Verify(ctx, shows(string(text))); err != nil {
			t.Errorf("after a restart: %v", err)
		}

		// It is removed: its session ends, and a last use that is written later does not bring it back.
		lease := b.leases.Hold(p)
		if _, err := b.Verify(ctx, shows(string(text))); err != nil {
			t.Fatal(err)
		}
		uses := b.keys.unsaved()
		if err := b.RemoveKey(ctx, admin, k.ID); err != nil {
			t.Fatal(err)
		}
		<-lease.Done()
		if !errors.Is(lease.Err(), access.ErrRevoked) || !errors.Is(b.leases.Hold(p).Err(), access.ErrRevoked) {
			t.Errorf("the session ended with %v", lease.Err())
		}
		if len(uses) != 1 {
			t.Fatalf("%d uses to write", len(uses))
		}
		if _, err := b.buckets.keys.Put(ctx, k.ID, uses[0].keyRecord, uses[0].revision); err == nil {
			t.Error("a removed key came back into the state")
		}
		if _, err := b.Verify(ctx, shows(string(text))); err == nil {
			t.Error("a removed key is valid")
		}
		if err := b.RemoveKey(ctx, admin, k.ID); !errors.Is(err, ErrNoKey) {
			t.Errorf("removed twice: %v", err)
		}
		cancel()
		<-done
		if m.text() != "" {
			t.Errorf("left in the state: %s", m.text())
		}
	})
}

func TestStoredKeyExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTokens(t, DefaultConfig())
		_, text, err := b.CreateKey(t.Context(), admin, KeyRequest{Grants: grants("publish", "*"), Expires: time.Now().Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		p, err := b.Verify(t.Context(), shows(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		lease := b.leases.Hold(p)
		time.Sleep(time.Hour)
		synctest.Wait()
		if !errors.Is(lease.Err(), access.ErrExpired) {
			t.Errorf("the session: %v", lease.Err())
		}
		var bad *access.BadCredential
		if _, err := b.Verify(t.Context(), shows(string(text))); !errors.As(err, &bad) || !strings.Contains(bad.Detail, "expired at 2000-01-01T01:00:00Z") {
			t.Errorf("%v", err)
		}
	})
}

func TestKeysOfOthers(t *testing.T) {
	b := newTokens(t, DefaultConfig())
	ann, bob := operator("ann"), operator("bob")
	k, text, err := b.CreateKey(t.Context(), ann, KeyRequest{Grants: grants("publish", "acme/cam")})
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Keys(bob)) != 0 || len(b.Keys(nil)) != 0 || len(b.Keys(access.Nobody())) != 0 || len(b.Keys(ann)) != 1 || len(b.Keys(admin)) != 1 {
		t.Error("keys are shown to others, or not to their owner")
	}
	if _, _, err := b.CreateKey(t.Context(), admin, KeyRequest{Grants: grants("publish", "acme/cam")}); err != nil { // it has no owner
		t.Fatal(err)
	}
	if len(b.Keys(bob)) != 0 || len(b.Keys(nil)) != 0 || len(b.Keys(access.Nobody())) != 0 || len(b.Keys(ann)) != 1 || len(b.Keys(admin)) != 2 {
		t.Error("keys of administrators are shown to others")
	}
	for _, other := range []*access.Principal{bob, nil, access.Nobody(), {Kind: access.Token, Subject: "ann", Grants: ann.Grants}} {
		if err := b.RemoveKey(t.Context(), other, k.ID); !errors.Is(err, ErrNoKey) {
			t.Errorf("%v removes it: %v", other, err)
		}
	}
	if err := b.RemoveKeysOf(t.Context(), "user:bob"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Verify(t.Context(), shows(string(text))); err != nil {
		t.Errorf("the keys of bob are gone, and ann's with them: %v", err)
	}
	if err := b.RemoveKeysOf(t.Context(), "user:ann"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Verify(t.Context(), shows(string(text))); err == nil {
		t.Error("ann is gone, and her key is valid")
	}
}

// A key that could not be stored is no key.
func TestStoredKeyNeedsTheDisk(t *testing.T) {
	b := newTokens(t, DefaultConfig())
	b.memory.fill(true)
	if _, text, err := b.CreateKey(t.Context(), admin, KeyRequest{Grants: grants("publish", "*")}); !errors.Is(err, errDisk) || text != "" {
		t.Errorf("%q, %v", string(text), err)
	}
	if len(b.Keys(admin)) != 0 {
		t.Error("there is a key")
	}
}
