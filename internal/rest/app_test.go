package rest

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"transponder/internal/access"
	"transponder/internal/access/auth"
	"transponder/internal/hook"
	"transponder/internal/state"
	"transponder/internal/stream"
)

var _ Apps = (*hook.Apps)(nil)

// newApps keeps applications in a real state.
func newApps(t *testing.T) *hook.Apps {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	store, err := state.Memory(t.Context(), log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	apps, err := hook.NewApps(t.Context(), "", store, store.Sealer(), log)
	if err != nil {
		t.Fatal(err)
	}
	return apps
}

func serveApps(t *testing.T, apps *hook.Apps) *httptest.Server {
	t.Helper()
	none := &fakeSessions{}
	return serve(t, DefaultConfig(), Parts{
		Pushes: &fakePushes{}, Streams: stream.NewHub(stream.DefaultConfig(), nil), Events: newFakeEvents(0), Connections: none, Players: none, Apps: apps,
	})
}

func TestApps(t *testing.T) {
	apps := newApps(t)
	srv := serveApps(t, apps)
	for _, tt := range []struct {
		name, path, body string
		status           int
		want             string // in the answer
	}{
		{"create", "create", `{"name":"studio","key":"studioKey","url":"https://studio.example/hooks","username":"wcs","password":"SECRET"}`, 200, `"passwordSet":true`},
		{"again", "create", `{"name":"studio"}`, 409, "exists already"},
		{"another's key", "create", `{"name":"other","key":"studioKey"}`, 409, "exists already"},
		{"without a name", "create", `{"key":"k"}`, 400, "name"},
		{"a bad name", "create", `{"name":"a/b"}`, 400, "name"},
		{"a bad URL", "create", `{"name":"other","url":"ftp://h/"}`, 400, "url"},
		{"a password in the URL", "create", `{"name":"other","url":"http://u:SECRET@h/"}`, 400, "username and password"},
		{"an unknown method", "create", `{"name":"other","methods":["publishstream"]}`, 400, "publishStream"},
		{"a method of the vendor", "create", `{"name":"phones","methods":["connect","OnCallEvent"]}`, 200, `"OnCallEvent"`},
		{"a bad policy", "create", `{"name":"other","auth":"none"}`, 400, "auth"},
		{"a policy without a backend", "create", `{"name":"other","auth":"hook"}`, 400, "needs a url"},
		{"grants to admin", "create", `{"name":"other","grants":[{"actions":["admin"],"streams":["*"]}]}`, 400, "administrators"},
		{"unknown grants", "create", `{"name":"other","grants":[{"actions":["fly"]}]}`, 400, "fly"},
		{"a password for nobody", "create", `{"name":"other","password":"SECRET"}`, 400, "username"},
		{"find by name", "find", `{"name":"studio"}`, 200, `"key":"studioKey"`},
		{"find by key", "find", `{"key":"studioKey"}`, 200, `"auth":"hook"`},
		{"find nothing", "find", `{"name":"nobody"}`, 404, "App not found"},
		{"update", "update", `{"name":"studio","methods":["connect","connect","publishStream"],"onError":"FAIL","limits":{"publishers":3}}`, 200, `"methods":["connect","publishStream"]`},
		{"update keeps the rest", "update", `{"name":"studio","grants":[{"actions":["publish"],"streams":["studio/*"]}]}`, 200, `"url":"https://studio.example/hooks"`},
		{"update nothing", "update", `{"name":"nobody"}`, 404, "App not found"},
		{"back to the default", "update", `{"name":"studio","onError":"","username":""}`, 200, `"passwordSet":false`},
		{"remove", "remove", `{"name":"phones"}`, 200, ""},
		{"remove again", "remove", `{"name":"phones"}`, 404, "App not found"},
		{"methods", "methods", `{}`, 200, `"StreamKeepAliveEvent"`},
		{"find all", "find_all", `{}`, 200, `"source":"built in"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := post(t, srv, "/rest-api/app/"+tt.path, tt.body)
			if got.StatusCode != tt.status || !strings.Contains(string(got.body), tt.want) {
				t.Errorf("answer = %d %s, want %d with %s", got.StatusCode, got.body, tt.status, tt.want)
			}
			if strings.Contains(string(got.body), "SECRET") {
				t.Errorf("the answer has the password: %s", got.body)
			}
		})
	}
	app, _ := apps.Find("studioKey")
	if app.OnError != "" || app.Limits.Publishers != 3 || app.Password != "" || app.Grants[0].Streams[0] != "studio/*" {
		t.Errorf("the application is %+v", app)
	}
}

// An answer of find can be sent to update: nothing changes.
func TestAppRoundTrip(t *testing.T) {
	apps := newApps(t)
	srv := serveApps(t, apps)
	post(t, srv, "/rest-api/app/create", `{"name":"studio","url":"https://studio.example/hooks","username":"wcs","password":"p","limits":{"players":2}}`)
	before, _ := apps.ByName("studio")
	var found []json.RawMessage
	if err := json.Unmarshal(post(t, srv, "/rest-api/app/find", `{"name":"studio"}`).body, &found); err != nil {
		t.Fatal(err)
	}
	if got := post(t, srv, "/rest-api/app/update", string(found[0])); got.StatusCode != http.StatusOK {
		t.Fatalf("update: %d %s", got.StatusCode, got.body)
	}
	after, _ := apps.ByName("studio")
	if after.Password != before.Password || after.Key != before.Key || after.Policy() != before.Policy() || after.Limits != before.Limits ||
		!slices.Equal(after.Methods, before.Methods) {
		t.Errorf("the application became %+v", after)
	}
}

// TestHooksDoc makes the requests of docs/hooks.md.
func TestHooksDoc(t *testing.T) { checkDoc(t, "hooks.md") }

// Only administrators see and change applications.
func TestAppAccess(t *testing.T) {
	none := &fakeSessions{}
	apps := newApps(t)
	srv := serve(t, DefaultConfig(), Parts{
		Pushes: &fakePushes{}, Streams: stream.NewHub(stream.DefaultConfig(), nil), Events: newFakeEvents(0), Connections: none, Players: none, Apps: apps,
		Access: newAccess(auth.Config{Mode: auth.Closed, Anonymous: []access.Action{access.Publish, access.Play, access.Read, access.Control}}),
	})
	for _, path := range []string{"find_all", "find", "create", "update", "remove", "methods"} {
		if got := post(t, srv, "/rest-api/app/"+path, `{"name":"defaultApp"}`); got.StatusCode != http.StatusForbidden && got.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", path, got.StatusCode, got.body)
		}
	}
}
