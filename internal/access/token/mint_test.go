package token

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/access"
	"transponder/internal/state"
)

func TestCreate(t *testing.T) {
	b := newTokens(t, DefaultConfig())
	until := time.Now().Add(time.Hour).Truncate(time.Second)
	made, err := b.Create(t.Context(), admin, Request{
		Grants: grants("publish", "cam-*"), Subject: "ann", For: time.Minute, Until: until, App: "acme", Limits: access.Limits{Players: 4},
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := b.Verify(t.Context(), shows(string(made.Token)))
	if err != nil {
		t.Fatal(err)
	}
	if p.Subject != "ann" || p.App != "acme" || p.ID != made.ID || !p.Expires.Equal(made.Expires) || !p.Until.Equal(until) || p.Limits.Players != 4 ||
		!strings.HasPrefix(p.KeyID, "local#") || len(p.Grants) != 1 || p.Grants[0].Streams[0] != "cam-*" {
		t.Errorf("%+v", p)
	}
	if all := b.memory.text(); strings.Contains(all, string(made.Token)) {
		t.Error("the state has the token")
	}
	// After a restart the same key signs, and an older token is valid.
	again := newTokensOn(t, b.memory, DefaultConfig())
	if _, err := again.Verify(t.Context(), shows(string(made.Token))); err != nil {
		t.Error(err)
	}
	second, err := again.Create(t.Context(), admin, Request{Grants: grants("play", "*")})
	if err != nil {
		t.Fatal(err)
	}
	q, err := b.Verify(t.Context(), shows(string(second.Token)))
	if err != nil || q.KeyID != p.KeyID || q.ID == p.ID || q.Subject != "" {
		t.Errorf("%+v, %v", q, err)
	}
	// A once-token of ours is spent like any other.
	once, err := b.Create(t.Context(), admin, Request{Grants: grants("play", "*"), Once: true})
	if err != nil {
		t.Fatal(err)
	}
	_, err1 := b.Verify(t.Context(), shows(string(once.Token)))
	_, err2 := b.Verify(t.Context(), shows(string(once.Token)))
	if err1 != nil || err2 == nil {
		t.Errorf("%v, %v", err1, err2)
	}
}

// When the key of this server is revoked, its tokens are not valid any more, and the next token has another key.
func TestRevokeOwnKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTokens(t, DefaultConfig())
		create := func() (string, *access.Principal) {
			t.Helper()
			made, err := b.Create(t.Context(), admin, Request{Grants: grants("play", "*")})
			if err != nil {
				t.Fatal(err)
			}
			p, err := b.Verify(t.Context(), shows(string(made.Token)))
			if err != nil {
				t.Fatal(err)
			}
			return string(made.Token), p
		}
		text, p := create()
		if err := b.Revoke(t.Context(), admin, Revocation{KID: p.KeyID}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Verify(t.Context(), shows(text)); err == nil {
			t.Error("a token of a revoked key is valid")
		}
		if _, q := create(); q.KeyID == p.KeyID {
			t.Error("the revoked key signs on")
		}
	})
}

func TestCreateWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTokens(t, DefaultConfig())
		now := time.Now()
		ann := operator("ann")
		ann.App, ann.Limits = "acme", access.Limits{Publishers: 2}
		short := operator("ann")
		short.Kind, short.Expires, short.Until = access.Token, now.Add(time.Minute), now.Add(time.Hour)
		viewer := &access.Principal{Kind: access.User, Subject: "eve", Grants: grants("read play publish", "*")}
		publish := grants("publish", "acme/cam")
		for _, test := range []struct {
			name  string
			by    *access.Principal
			r     Request
			words string // of the error
			want  string // subject, app, seconds, publishers
		}{
			{"within her own", ann, Request{Grants: publish}, "", "user:ann acme 3600 2"},
			{"her name", ann, Request{Grants: publish, Subject: "ann"}, "", "user:ann acme 3600 2"},
			{"another name", ann, Request{Grants: publish, Subject: "bob"}, "another subject", ""},
			{"another app", ann, Request{Grants: publish, App: "beta"}, "another application", ""},
			{"a smaller limit", ann, Request{Grants: publish, Limits: access.Limits{Publishers: 1}}, "", "user:ann acme 3600 1"},
			{"a larger limit", ann, Request{Grants: publish, Limits: access.Limits{Publishers: 9}}, "", "user:ann acme 3600 2"},
			{"more streams", ann, Request{Grants: grants("publish", "*")}, "nobody gives more", ""},
			{"admin", ann, Request{Grants: grants("admin", "acme/*")}, "nobody gives more", ""},
			{"a token makes a token", short, Request{Grants: publish}, "", "ann  60 0"},
			{"without control", viewer, Request{Grants: grants("publish", "x")}, "by those who may control", ""},
			{"nobody", access.Nobody(), Request{Grants: publish}, "by those who may control", ""},
			{"nil", nil, Request{Grants: publish}, "by those who may control", ""},

			{"admin names anybody", admin, Request{Grants: publish, Subject: "bob", App: "beta"}, "", "bob beta 3600 0"},
			{"no grants", admin, Request{}, "grants: they are missing", ""},
			{"bad grants", admin, Request{Grants: grants("fly", "*")}, `grants: grants[0]: unknown action "fly"`, ""},
			{"too long", admin, Request{Grants: publish, For: 25 * time.Hour}, "expiresIn: it must be from 1 to 86400 seconds", ""},
			{"backwards", admin, Request{Grants: publish, For: -time.Hour}, "expiresIn", ""},
			{"until in the past", admin, Request{Grants: publish, Until: now.Add(-time.Hour)}, "until", ""},
			{"long subject", admin, Request{Grants: publish, Subject: strings.Repeat("x", 300)}, "subject", ""},
			{"limit below 0", admin, Request{Grants: publish, Limits: access.Limits{Players: -1}}, "limit", ""},
			{"larger than what is read", admin, Request{Grants: grants("publish", many(200, 60)...)}, "more than 8192 bytes", ""},
		} {
			made, err := b.Create(t.Context(), test.by, test.r)
			if test.words != "" {
				if err == nil || !strings.Contains(err.Error(), test.words) || made.Token != "" {
					t.Errorf("%s: %v, want %q", test.name, err, test.words)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", test.name, err)
				continue
			}
			p, err := b.Verify(t.Context(), shows(string(made.Token)))
			if err != nil {
				t.Errorf("%s: %v", test.name, err)
				continue
			}
			got := fmt.Sprintf("%s %s %d %d", p.Subject, p.App, p.Expires.Sub(now)/time.Second, p.Limits.Publishers)
			if got != test.want {
				t.Errorf("%s: %q, want %q", test.name, got, test.want)
			}
			if test.by == short && !p.Until.Equal(short.Until) {
				t.Errorf("the token outlives the one that has made it: %v", p.Until)
			}
		}
		for _, by := range []*access.Principal{access.Whole(access.Anonymous), access.Whole(access.Setting)} { // the settings let everybody in
			if _, _, err := b.CreateKey(t.Context(), by, KeyRequest{Grants: publish}); err == nil || !strings.Contains(err.Error(), "outlives the settings") {
				t.Errorf("%s makes a key: %v", by.Kind, err)
			}
			made, err := b.Create(t.Context(), by, Request{Grants: publish, For: 24 * time.Hour})
			if err != nil || made.Expires.Sub(now) > time.Hour {
				t.Errorf("%s makes a token until %v, %v", by.Kind, made.Expires, err)
			}
			// With such a token he would count as somebody who has logged in, and could leave users and keys in the server.
			for _, action := range []string{"admin", "control", "publish admin"} {
				if _, err := b.Create(t.Context(), by, Request{Grants: append(grants("play", "*"), grants(action, "*")...)}); err == nil {
					t.Errorf("%s makes a token with %s", by.Kind, action)
				}
			}
			if made, err = b.Create(t.Context(), by, Request{Grants: publish, Subject: "user:ann"}); err != nil {
				t.Fatal(err)
			}
			if p, err := b.Verify(t.Context(), shows(string(made.Token))); err != nil || p.Subject != "guest:user:ann" {
				t.Errorf("%s takes the name of somebody else: %v, %v", by.Kind, p, err)
			}
		}
		k, _, err := b.CreateKey(t.Context(), short, KeyRequest{Grants: publish})
		if err != nil || !k.Expires.Equal(short.Expires) {
			t.Errorf("a key outlives the token that has made it: %v, %v", k.Expires, err)
		}
		for words, r := range map[string]KeyRequest{
			"label":                       {Grants: publish, Label: "a\nb"},
			"label: it must have at most": {Grants: publish, Label: strings.Repeat("x", 129)},
			"stream: no grant":            {Grants: publish, Stream: "other"},
			"expiresAt":                   {Grants: publish, Expires: now},
			"grants":                      {},
		} {
			if _, _, err := b.CreateKey(t.Context(), admin, r); err == nil || !strings.Contains(err.Error(), words) {
				t.Errorf("%v, want %q", err, words)
			}
		}
	})
}

func many(n, size int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = strings.Repeat("x", size)
	}
	return list
}

// A token that a key has made ends with the key.
func TestRemoveKeyRevokesItsTokens(t *testing.T) {
	b := newTokens(t, DefaultConfig())
	k, text, err := b.CreateKey(t.Context(), admin, KeyRequest{Grants: grants("control publish", "*")})
	if err != nil {
		t.Fatal(err)
	}
	p, err := b.Verify(t.Context(), shows(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	made, err := b.Create(t.Context(), p, Request{Grants: grants("publish", "*")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Verify(t.Context(), shows(string(made.Token))); err != nil {
		t.Fatal(err)
	}
	if err := b.RemoveKey(t.Context(), admin, k.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Verify(t.Context(), shows(string(made.Token))); err == nil || !strings.Contains(err.Error(), "no longer valid") {
		t.Errorf("%v", err)
	}
}

// On the real store: all is there after a restart, and no file has a key or a token in clear.
func TestOnTheStore(t *testing.T) {
	dir := t.TempDir()
	log := slog.New(slog.DiscardHandler)
	open := func() (*Tokens, *state.Store) {
		t.Helper()
		store, err := state.Open(t.Context(), state.Config{Dir: dir}, log)
		if err != nil {
			t.Fatal(err)
		}
		tokens, err := New(t.Context(), DefaultConfig(), Parts{store, store.Sealer(), access.NewLeases()}, log)
		if err != nil {
			t.Fatal(err)
		}
		return tokens, store
	}
	tokens, store := open()
	k, text, err1 := tokens.CreateKey(t.Context(), admin, KeyRequest{Grants: grants("publish", "*")})
	made, err2 := tokens.Create(t.Context(), admin, Request{Grants: grants("play", "*")})
	bad, err3 := tokens.Create(t.Context(), admin, Request{Grants: grants("play", "*"), Subject: "bob"})
	once, err4 := tokens.Create(t.Context(), admin, Request{Grants: grants("play", "*"), Once: true})
	_, err5 := tokens.Verify(t.Context(), shows(string(once.Token)))
	_, err6 := tokens.Verify(t.Context(), shows(string(text)))
	err7 := tokens.Revoke(t.Context(), admin, Revocation{Sub: "bob"})
	if err := errors.Join(err1, err2, err3, err4, err5, err6, err7); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = tokens.Run(ctx) // writes the last use
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	searchFiles(t, dir, string(text[len(access.KeyPrefix):]), string(made.Token), string(tokens.signer.private.Seed()))
	tokens, store = open()
	defer store.Close()
	for text, right := range map[access.Secret]bool{text: true, made.Token: true, bad.Token: false, once.Token: false} {
		if _, err := tokens.Verify(t.Context(), shows(string(text))); (err == nil) != right {
			t.Errorf("after a restart: %v, want right: %v", err, right)
		}
	}
	if keys := tokens.Keys(admin); len(keys) != 1 || keys[0].ID != k.ID || keys[0].LastUsed.IsZero() {
		t.Errorf("%+v", keys)
	}
}
