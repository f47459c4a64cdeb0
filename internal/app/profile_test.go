package app

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"transponder/internal/access"
	"transponder/internal/access/token"
)

// Profiles are for administrators alone, for a bounded time, and one at a time.
func TestProfiles(t *testing.T) {
	closed, open := runApp(t, "access=closed"), runApp(t)
	key := func(a *App, actions ...access.Action) string {
		t.Helper()
		_, text, err := a.tokens.CreateKey(t.Context(), access.Whole(access.Local), token.KeyRequest{Grants: []access.Grant{{Actions: actions, Streams: []string{"*"}}}})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	admin, viewer := key(closed, access.Admin), key(closed, access.Read, access.Control, access.Push)
	for _, tt := range []struct {
		name, path, credential, origin string
		app                            *App
		want                           int
	}{
		{"a stranger", "heap", "", "", closed, 401},
		{"a stranger, the list", "", "", "", closed, 401},
		{"who may read and control", "heap", viewer, "", closed, 403},
		{"an administrator", "heap", admin, "", closed, 200},
		{"an administrator, the list", "", admin, "", closed, 200},
		{"an operator on this machine", "goroutine?debug=2", "", "", open, 200},
		{"a page of another host", "heap", "", "http://evil.test", open, 403},
		{"too long", "profile?seconds=31", admin, "", closed, 400},
		{"for ever", "trace?seconds=0", admin, "", closed, 400},
		{"too long a difference", "heap?seconds=3600", admin, "", closed, 400},
		{"the command line", "cmdline", admin, "", closed, 404},
	} {
		headers := []string{}
		if tt.credential != "" {
			headers = append(headers, "Authorization", "Bearer "+tt.credential)
		}
		if tt.origin != "" {
			headers = append(headers, "Origin", tt.origin)
		}
		if got, body := fetch(t, http.MethodGet, "http://localhost:"+port(tt.app.http)+"/debug/pprof/"+tt.path, "", headers...); got.StatusCode != tt.want {
			t.Errorf("%s: %d, want %d: %.200s", tt.name, got.StatusCode, tt.want, body)
		}
	}
	if got, _ := fetch(t, http.MethodPost, "http://localhost:"+port(open.http)+"/debug/pprof/heap", ""); got.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", got.StatusCode)
	}

	long := make(chan int)
	go func() {
		status := http.StatusServiceUnavailable
		for status == http.StatusServiceUnavailable { // one of the short profiles below may be before it
			got, err := http.Get("http://localhost:" + port(open.http) + "/debug/pprof/trace?seconds=1")
			if err != nil {
				status = 0
				break
			}
			status = got.StatusCode
			_, _ = io.Copy(io.Discard, got.Body) // the trace ends when nobody reads it
			got.Body.Close()
		}
		long <- status
	}()
	refused := false
	for done := false; !done; {
		select {
		case status := <-long:
			done = true
			if status != http.StatusOK {
				t.Errorf("the first profile: %d", status)
			}
		default:
			got, body := fetch(t, http.MethodGet, "http://localhost:"+port(open.http)+"/debug/pprof/threadcreate", "")
			if got.StatusCode == http.StatusServiceUnavailable && strings.Contains(body, "one at a time") {
				refused = true
			}
		}
	}
	if !refused {
		t.Error("two profiles are made at a time")
	}
}
