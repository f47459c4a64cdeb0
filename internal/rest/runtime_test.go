package rest

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"
)

// fakeRuntime notes what it is asked.
type fakeRuntime struct {
	done   Reloaded
	err    error
	levels []LogLevel
	after  time.Duration
}

func (f *fakeRuntime) Reload(context.Context) (Reloaded, error) { return f.done, f.err }
func (f *fakeRuntime) LogLevels() []LogLevel                    { return f.levels }

func (f *fakeRuntime) SetLogLevel(pkg string, level *slog.Level, after time.Duration) error {
	if pkg == "nothing" {
		return errors.New("there is no package")
	}
	f.levels, f.after = f.levels[:1], after
	if level != nil {
		f.levels = append(f.levels, LogLevel{Package: pkg, Level: *level, Until: pushTime})
	}
	return nil
}

func TestRuntime(t *testing.T) {
	run := &fakeRuntime{done: Reloaded{Changed: []string{"log_level"}}, levels: []LogLevel{{Level: slog.LevelInfo}}}
	srv := serve(t, DefaultConfig(), Parts{Pushes: &fakePushes{}, Streams: newHub(t), Events: newFakeEvents(0), Runtime: run})
	got := post(t, srv, "/rest-api/node/reload", `{}`)
	if got.wantStatus(t, http.StatusOK); strings.TrimSpace(string(got.body)) != `{"changed":["log_level"],"restart":[],"read":[],"wrong":[]}` {
		t.Errorf("%s", got.body)
	}
	run.err = SettingsError{[]string{"a must be b", "c must be d"}}
	got = post(t, srv, "/rest-api/node/reload", `{}`)
	if got.wantStatus(t, http.StatusBadRequest); !strings.Contains(got.message(t), "a must be b; c must be d") {
		t.Errorf("%s", got.body)
	}
	for _, tt := range []struct {
		body   string
		status int
		want   string
		after  time.Duration
	}{
		{`{"level":"debug","package":"rtc","forSeconds":60}`, 200, `[{"level":"INFO"},{"package":"rtc","level":"DEBUG","until":`, time.Minute},
		{`{"level":"WARN","package":"rtc","forSeconds":"0"}`, 200, `"level":"WARN"`, 0},
		{`{"package":"rtc"}`, 200, `[{"level":"INFO"}]`, 0},
		{`{"level":"loud"}`, 400, "level", 0},
		{`{"level":"debug","forSeconds":86401}`, 400, "forSeconds", 0},
		{`{"level":"debug","forSeconds":-1}`, 400, "forSeconds", 0},
		{`{"level":"debug","package":"nothing"}`, 400, "there is no package", 0},
	} {
		got := post(t, srv, "/rest-api/node/log/set", tt.body)
		if got.wantStatus(t, tt.status); !strings.Contains(string(got.body), tt.want) || tt.status == 200 && run.after != tt.after {
			t.Errorf("%s: %s after %v, want %s after %v", tt.body, got.body, run.after, tt.want, tt.after)
		}
	}
	get(t, srv, "/rest-api/node/log").wantStatus(t, http.StatusOK)
}

// Only administrators change the server.
func TestRuntimeIsForAdministrators(t *testing.T) {
	srv, _, _, _ := closedServer(t)
	for _, path := range []string{"/rest-api/node/reload", "/rest-api/node/log/set"} {
		for token, want := range map[string]int{"viewer": 403, "acme": 403, "admin": 200, "": 401} {
			if got := ask(t, srv, token, path, "{}"); got.StatusCode != want {
				t.Errorf("%s as %s: %d, want %d", path, token, got.StatusCode, want)
			}
		}
	}
}
