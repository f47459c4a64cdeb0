package admin

import (
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"transponder/internal/hook"
	"transponder/internal/rest"
	"transponder/internal/state"
)

// serveApps serves the real methods of applications, on a real state.
func serveApps(t *testing.T) (url string, apps *hook.Apps) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	store, err := state.Memory(t.Context(), log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	if apps, err = hook.NewApps(t.Context(), "", store, store.Sealer(), log); err != nil {
		t.Fatal(err)
	}
	api, err := rest.New(rest.DefaultConfig(), rest.Parts{Apps: apps}, log)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(api)
	t.Cleanup(func() { api.Close(); srv.Close() })
	return srv.URL, apps
}

// TestAppCommands runs the commands of the vendor's documents against the methods of REST.
func TestAppCommands(t *testing.T) {
	url, apps := serveApps(t)
	for _, test := range []struct{ args, out, err string }{
		{"app add -u wcs -p SECRET myApp myAppKey http://localhost:8081/apps/EchoApp", "", ""},
		{"app add myApp otherKey http://h/", "", "exists already"},
		{"app add other k ftp://h/", "", "url"},
		{"app list", "http://localhost:8081/apps/EchoApp  hook   FAIL      state", ""},
		{"app update -l http://h/new defaultApp", "", ""},
		{"app add-method defaultApp StreamKeepAliveEvent", "", ""},
		{"app methods defaultApp", "StreamKeepAliveEvent", ""},
		{"app methods", "PushStatusEvent", ""},
		{"app remove-method -a myAppKey", "", ""},
		{"app add-method myAppKey connect", "", ""},
		{"app add-method myAppKey connect", "", ""},
		{"app remove-method myAppKey publishStream", "", "does not send"},
		{"app add-method myAppKey nonsense", "", "nonsense"},
		{"app add-method myAppKey", "", "-a for all"},
		{"app add-method nobody connect", "", "App not found"},
		{"app remove nobody", "", "App not found"},
		{"app update", "", "usage"},
		{"app list -d", "publish+play *; push *", ""},
	} {
		out, errs, err := run(t, "", append(strings.Fields(test.args), "--server", url)...)
		if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) || !strings.Contains(out, test.out) {
			t.Errorf("%s: %v\n%s", test.args, err, out)
		}
		if strings.Contains(out+errs, "SECRET") {
			t.Errorf("%s shows the password", test.args)
		}
	}
	if app, _ := apps.Find("myAppKey"); !slices.Equal(app.Methods, []hook.Method{hook.Connect}) || app.Password != "SECRET" || app.OnError != hook.Fail {
		t.Errorf("the application is %+v", app)
	}
	if app, _ := apps.Find("defaultApp"); app.URL != "http://h/new" || !app.Sends(hook.StreamKeepAliveEvent) {
		t.Errorf("defaultApp is %+v", app)
	}
}

func TestAppPassword(t *testing.T) {
	url, got := answering(t, 200, "{}")
	if _, _, err := run(t, "typed\n", "app", "update", "-u", "wcs", "-p", "-", "studio", "--server", url); err != nil {
		t.Fatal(err)
	}
	if want := `{"name":"studio","password":"typed","username":"wcs"}`; (*got)[0].body != want {
		t.Errorf("sent %s, want %s", (*got)[0].body, want)
	}
}
