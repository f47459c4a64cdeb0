//go:build e2e

package e2e

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// TestDestinationKeysAreKept pushes to destinations with a secret in their addresses, through success, refusal and loss, over a restart of the
// server. The destinations get the secret. Nobody else does: no list of REST, metric, page, log, event, hook or audit line has it, nor does any
// file but the key let anybody read it.
func TestDestinationKeysAreKept(t *testing.T) {
	t.Parallel()
	var hooks safeBuffer
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { io.Copy(&hooks, r.Body) }))
	defer hook.Close()
	state, audit := t.TempDir(), filepath.Join(t.TempDir(), "audit.log")
	settings := []string{"state_dir=" + state, "audit_log=" + audit, "push_hook_url=" + hook.URL, "rtmp_push_failed_keep_ms=60000"}
	s := startServer(t, settings...)
	told := s.follow()
	publishWHIP(t, s, "show")

	friendly := testkit.NewRTMPServer(t, testkit.Script{})
	refusing := testkit.NewRTMPServer(t, testkit.Script{At: "publish", Do: testkit.Refuse, Code: "NetStream.Publish.BadName", Description: "no " + canary})
	for name, url := range map[string]string{"friend": friendly.URL("live/" + canary), "enemy": refusing.URL("live/" + canary)} {
		body := map[string]any{"name": name, "rtmpUrl": url, "rtmpTransponderFullUrl": true}
		if code := s.post("/destination/create", body, nil); code != http.StatusOK {
			t.Fatalf("create answers %d", code)
		}
	}
	start := func(name string) int {
		return s.post("/push/startup", map[string]any{"streamName": "show", "rtmpUrl": "destination://" + name}, nil)
	}
	for name, status := range map[string]string{"friend": "PUBLISHING", "enemy": "FAILED"} {
		if code := start(name); code != http.StatusOK {
			t.Fatalf("startup to %s answers %d", name, code)
		}
		testkit.Eventually(t, 15*time.Second, func() string {
			var found []push
			s.post("/push/find", map[string]string{"rtmpUrl": "destination://" + name}, &found)
			if len(found) != 1 || found[0].Status != status {
				return name + " is not " + status
			}
			return ""
		})
	}
	if want := "publish('" + canary + "')"; !slices.Contains(friendly.Calls(), want) {
		t.Errorf("the destination got %q, want %s", friendly.Calls(), want)
	}
	if code := s.post("/push/startup", map[string]any{
		"streamName": "show", "rtmpUrl": friendly.URL("live/" + canary), "rtmpTransponderFullUrl": true,
	}, nil); code != http.StatusConflict {
		t.Errorf("the same address without its name answers %d", code)
	}

	read := func() {
		t.Helper()
		for where, text := range everythingToRead(t, s) {
			if strings.Contains(text, canary) {
				t.Errorf("%s shows the key: %s", where, text)
			}
		}
	}
	read()
	friendly.Kick()
	testkit.Eventually(t, 15*time.Second, func() string {
		if n := strings.Count(hooks.String(), `"to":"FAILED"`); n < 2 {
			return "the hook has not been told of both failures yet"
		}
		return ""
	})
	read()
	if !strings.Contains(told.raw.String(), `"destination":"friend"`) {
		t.Errorf("events do not name the destination: %s", told.raw.String())
	}
	s.stop()
	logged, err := os.ReadFile(audit)
	if err != nil || !strings.Contains(string(logged), "destination://friend") {
		t.Errorf("the audit log does not name the destination: %s, %v", logged, err)
	}
	shown := map[string]string{"log": s.log.String(), "events": told.raw.String(), "hooks": hooks.String(), "audit log": string(logged)}
	files, err := os.ReadDir(state)
	if err != nil || len(files) < 2 {
		t.Fatalf("files of the state: %v, %v", files, err)
	}
	for _, f := range files {
		if !f.Type().IsRegular() { // the socket for the process that takes over
			continue
		}
		content, err := os.ReadFile(filepath.Join(state, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		shown["file "+f.Name()] = string(content)
	}
	for where, text := range shown {
		if i := strings.Index(text, canary); i >= 0 {
			t.Errorf("the %s shows the key: …%s…", where, text[max(0, i-200):min(len(text), i+50)])
		}
	}

	// After a restart the destinations are there, with their keys.
	s = startServer(t, settings...)
	publishWHIP(t, s, "show")
	before := len(friendly.Calls())
	if code := start("friend"); code != http.StatusOK {
		t.Errorf("after a restart startup answers %d", code)
	}
	friendly.Wait(t, "publish", func() bool { return slices.Contains(friendly.Calls()[before:], "publish('"+canary+"')") })
}

// everythingToRead returns the answers of all lists of REST, and of the pages that show figures.
func everythingToRead(t *testing.T, s *server) map[string]string {
	t.Helper()
	client := http.Client{Timeout: 10 * time.Second}
	base := strings.TrimSuffix(s.rest, "/rest-api")
	texts := map[string]string{}
	get := func(method, path string) {
		r, err := http.NewRequestWithContext(t.Context(), method, base+path, strings.NewReader(`{"name": "friend"}`))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		texts[method+" "+path] = string(body)
	}
	get(http.MethodGet, "/rest-api/openapi_specification")
	lists := 0
	for line := range strings.Lines(texts["GET /rest-api/openapi_specification"]) {
		path, isPath := strings.CutSuffix(strings.TrimSpace(line), ":")
		if !isPath || !strings.HasPrefix(line, "  /") {
			continue
		}
		switch path[strings.LastIndexByte(path, '/')+1:] {
		case "find", "find_all", "history", "audit", "presets", "revocations", "report", "methods", "session":
			lists++
			get(http.MethodGet, "/rest-api"+path)
			if !strings.HasSuffix(path, "/session") { // a POST is a login
				get(http.MethodPost, "/rest-api"+path)
			}
		}
	}
	if lists < 8 {
		t.Errorf("only %d lists were found", lists)
	}
	for _, path := range []string{"/metrics", "/?action=stat", "/?action=stat&format=json", "/config.json", "/health/ready?verbose", "/console"} {
		get(http.MethodGet, path)
	}
	return texts
}
