package hook

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/access"
)

func newApps(t *testing.T, k *keeper, file string) *Apps {
	t.Helper()
	a, err := NewApps(t.Context(), file, k, k, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestApps(t *testing.T) {
	k := newKeeper()
	a := newApps(t, k, "")
	studio := App{Name: "studio", Key: "studioKey", URL: "https://studio.example/hooks", Username: "wcs", Password: "PASSWORD", Owner: "ops"}
	if _, err := a.Create(t.Context(), studio); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Create(t.Context(), studio); !errors.Is(err, ErrAppExists) {
		t.Errorf("created twice: %v", err)
	}
	if _, err := a.Create(t.Context(), App{Name: "other", Key: "studioKey"}); !errors.Is(err, ErrAppExists) {
		t.Errorf("a key of another app: %v", err)
	}
	if strings.Contains(string(k.records["studio"].Value), `"PASSWORD"`) {
		t.Error("the password is not sealed")
	}
	again := newApps(t, k, "") // the state outlives the process
	app, ok := again.Find("studioKey")
	if !ok || app.Password != "PASSWORD" || app.Policy() != PolicyHook || !app.Sends(PublishStream) || app.Sends(StreamKeepAliveEvent) {
		t.Fatalf("read again: %+v", app)
	}
	_, err := again.Update(t.Context(), "studio", func(app App) (App, error) {
		app.Key, app.Methods = "newKey", []Method{Connect}
		return app, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := again.Find("studioKey"); ok {
		t.Error("the old key still names the app")
	}
	if app, ok := again.Find("newKey"); !ok || app.Sends(PublishStream) || app.Password != "PASSWORD" {
		t.Errorf("updated: %+v", app)
	}
	if err := again.Remove(t.Context(), "studio"); err != nil {
		t.Fatal(err)
	}
	if err := again.Remove(t.Context(), "studio"); !errors.Is(err, ErrNoApp) {
		t.Errorf("removed twice: %v", err)
	}
	if len(k.records) != 0 {
		t.Errorf("left in the state: %v", k.records)
	}
}

func TestBuiltInApps(t *testing.T) {
	a := newApps(t, newKeeper(), "")
	if _, err := a.Update(t.Context(), DefaultApp, func(app App) (App, error) { app.URL = "http://127.0.0.1/EchoApp"; return app, nil }); err != nil {
		t.Fatal(err)
	}
	if app, _ := a.Find(DefaultApp); app.URL == "" || app.Source != FromState {
		t.Errorf("updated: %+v", app)
	}
	if err := a.Remove(t.Context(), DefaultApp); err != nil {
		t.Fatal(err)
	}
	if app, ok := a.Find(DefaultApp); !ok || app.URL != "" || app.Source != BuiltIn {
		t.Errorf("removed: %+v", app)
	}
	if err := a.Remove(t.Context(), DefaultApp); !errors.Is(err, ErrNoApp) {
		t.Errorf("removed twice: %v", err)
	}
}

func TestAppsFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "apps.json")
	write := func(text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"apps":[{"name":"defaultApp","url":"http://127.0.0.1:9091/EchoApp","username":"u","password":"p","onError":"FAIL"}]}`, 0o600)
	k := newKeeper()
	a := newApps(t, k, file)
	app, _ := a.Find(DefaultApp)
	if app.URL == "" || app.Source != FromFile || app.OnError != Fail {
		t.Fatalf("read: %+v", app)
	}
	if _, err := a.Update(t.Context(), DefaultApp, func(app App) (App, error) { return app, nil }); !errors.Is(err, ErrAppFile) {
		t.Errorf("updated: %v", err)
	}
	if err := a.Remove(t.Context(), DefaultApp); !errors.Is(err, ErrAppFile) {
		t.Errorf("removed: %v", err)
	}
	tests := []struct {
		name, text string
		mode       os.FileMode
		want       string
	}{
		{"wide mode", `{"apps":[{"name":"a","url":"http://h/","username":"u","password":"p"}]}`, 0o640, "chmod 600"},
		{"unknown member", `{"apps":[{"name":"a","uri":"http://h/"}]}`, 0o600, "uri"},
		{"unknown method", `{"apps":[{"name":"a","methods":["publishstream"]}]}`, 0o600, "publishstream"},
		{"same key twice", `{"apps":[{"name":"a","key":"k"},{"name":"b","key":"k"}]}`, 0o600, "twice"},
		{"not finished", `{"apps":[`, 0o600, "EOF"},
		{"more after it", `{"apps":[]} {}`, 0o600, "after the object"},
		{"password in the URL", `{"apps":[{"name":"a","url":"http://u:SECRET@h/"}]}`, 0o600, "username and password"},
		{"admin by hook", `{"apps":[{"name":"a","grants":[{"actions":["admin"],"streams":["*"]}]}]}`, 0o600, "administrators"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			write(tt.text, tt.mode)
			err := a.Reload()
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "SECRET") {
				t.Errorf("Reload = %v, want %q", err, tt.want)
			}
			if app, _ := a.Find(DefaultApp); app.Source != FromFile {
				t.Errorf("the apps did not stay as they were: %+v", app)
			}
		})
	}
	write(`{"apps":[{"name":"a"}]}`, 0o644)
	if err := a.Reload(); err != nil {
		t.Errorf("a file without passwords: %v", err)
	}
}

// TestAppsFileIsWatched holds that a changed file is read again, and that one that cannot be used changes nothing.
func TestAppsFileIsWatched(t *testing.T) {
	file := filepath.Join(t.TempDir(), "apps.json")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"apps":[{"name":"a"}]}`)
	synctest.Test(t, func(t *testing.T) {
		a := newApps(t, newKeeper(), file)
		ctx, cancel := context.WithCancel(t.Context())
		go a.watch(ctx)
		defer synctest.Wait()
		defer cancel()
		has := func(name string) bool { _, ok := a.ByName(name); return ok }
		write(`{"apps":[{"name":"a"},{"name":"second"}]}`)
		time.Sleep(watchInterval + time.Second)
		if !has("second") {
			t.Error("a new app was not read")
		}
		write(`{"apps":[`)
		time.Sleep(watchInterval)
		if !has("second") {
			t.Error("a broken file has removed an app")
		}
		write(`{"apps":[{"name":"third"}]}`)
		time.Sleep(watchInterval)
		if has("second") || !has("third") {
			t.Error("a repaired file was not read")
		}
	})
}

func TestPolicies(t *testing.T) {
	token := &access.Principal{Kind: access.Token, Subject: "u1", Grants: []access.Grant{{Actions: []access.Action{access.Play}, Streams: []string{"*"}}}}
	foreign := &access.Principal{Kind: access.Token, Subject: "u1", App: "acme", Grants: token.Grants}
	publish := access.Object{Stream: "cam"}
	tests := []struct {
		name    string
		policy  Policy
		who     *access.Principal
		want    access.Kind // "": not admitted
		publish bool
	}{
		{"hook, stranger", PolicyHook, access.Nobody(), access.Hook, true},
		{"hook, nobody", PolicyHook, nil, access.Hook, true},
		{"hook, token", PolicyHook, token, access.Token, false},
		{"hook, this machine", PolicyHook, access.Whole(access.Local), access.Local, true},
		{"hook, open mode", PolicyHook, access.Whole(access.Anonymous), access.Anonymous, true},
		{"open, stranger", PolicyOpen, access.Nobody(), access.Anonymous, false},
		{"token, stranger", PolicyToken, access.Nobody(), "", false},
		{"token, token", PolicyToken, token, access.Token, false},
		{"both, stranger", PolicyBoth, access.Nobody(), "", false},
		{"both, token", PolicyBoth, token, access.Token, false},
		{"both, this machine", PolicyBoth, access.Whole(access.Local), access.Local, true},
		{"token of another app", PolicyBoth, foreign, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newServer(t)
			h := run(t, b, func(_ *Config, app *App) { app.Auth = tt.policy })
			p, _, err := h.open(t).Connect(t.Context(), tt.who, Connection{})
			if (err == nil) != (tt.want != "") {
				t.Fatalf("Connect = %v", err)
			}
			if err != nil {
				if len(b.received()) > 0 {
					t.Error("the backend was asked for somebody who may not come in")
				}
				return
			}
			if p.Kind != tt.want || (access.Decide(p, access.Publish, publish) == nil) != tt.publish {
				t.Errorf("the principal is %v, publishes %v", p, access.Decide(p, access.Publish, publish))
			}
			if counted := p.Kind == access.Hook || p.Kind == access.Local; counted && p.App != DefaultApp {
				t.Errorf("the app of the principal is %q: its limits do not count him", p.App)
			}
			if tt.who != nil && p.Kind == tt.who.Kind && p.Identity() != tt.who.Identity() {
				t.Errorf("the identity became %s", p.Identity())
			}
		})
	}
}

// TestHookDisabled holds that strangers are not let in because the hooks are off.
func TestHookDisabled(t *testing.T) {
	b := newServer(t)
	for _, policy := range []Policy{PolicyHook, PolicyBoth, ""} {
		h := run(t, b, func(c *Config, app *App) { c.Disabled, app.Auth = true, policy })
		s := h.open(t)
		p, _, err := s.Connect(t.Context(), access.Nobody(), Connection{})
		if s.IgnoresToken() {
			t.Errorf("policy %q: nobody looks at tokens", policy)
		}
		if err == nil && access.Decide(p, access.Publish, access.Object{Stream: "cam"}) == nil {
			t.Errorf("policy %q: a stranger may publish", policy)
		}
	}
	if got := b.received(); len(got) > 0 {
		t.Errorf("the backend got %d hooks", len(got))
	}
}

func TestStrictApps(t *testing.T) {
	b := newServer(t)
	c := page
	c.AppKey = "unknown"
	h := run(t, b, nil)
	if s, err := h.Open(c); err != nil {
		t.Error(err)
	} else if p, _, err := s.Connect(t.Context(), access.Nobody(), Connection{}); err != nil || p.Kind != access.Anonymous {
		t.Errorf("an unknown app: %v, %v", p, err)
	}
	strict := run(t, b, func(c *Config, _ *App) { c.Strict = true })
	var refused *Refused
	if _, err := strict.Open(c); !errors.As(err, &refused) {
		t.Errorf("an unknown app with apps_strict: %v", err)
	}
}
