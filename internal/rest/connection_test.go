package rest

import (
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func newSessionServer(t *testing.T) (*httptest.Server, *fakeSessions) {
	t.Helper()
	sessions := someSessions()
	cfg := DefaultConfig()
	cfg.NodeID = "node1"
	return serve(t, cfg, Parts{
		Pushes: &fakePushes{}, Streams: newHub(t), Events: newFakeEvents(0), Connections: sessions, Players: sessions,
	}), sessions
}

func TestConnectionAnswer(t *testing.T) {
	srv, _ := newSessionServer(t)
	const want = `[
		{"nodeId":"node1","appKey":"defaultApp","sessionId":"s1","mediaProviders":["WebRTC","MSE"],"clientVersion":"2.0",
		"clientOSVersion":"5.0 (X11)","clientBrowserVersion":"Mozilla/5.0","keepAlive":false,"origin":"https://pages.example",
		"custom":{"token":"x"},"status":"ESTABLISHED","createDate":1700000000123,"clientAddress":"192.0.2.7:51000",
		"publishers":1,"players":1,"calls":1,"sipLogin":"3000"},
		{"nodeId":"node1","appKey":"phone","sessionId":"s2","mediaProviders":[],"clientVersion":"0.5","clientOSVersion":"",
		"clientBrowserVersion":"","keepAlive":true,"origin":"","status":"DISCONNECTED","createDate":1700000000123,
		"clientAddress":"192.0.2.8:51001","publishers":0,"players":0,"calls":0}]`
	for _, r := range []reply{get(t, srv, "/rest-api/connection/find_all"), post(t, srv, "/rest-api/connection/find_all", "{}")} {
		r.wantStatus(t, http.StatusOK)
		var got, wanted any
		if err := errors.Join(json.Unmarshal(r.body, &got), json.Unmarshal([]byte(want), &wanted)); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, wanted) {
			t.Errorf("connections = %s, want %s", r.body, want)
		}
	}
}

func TestFindConnections(t *testing.T) {
	srv, _ := newSessionServer(t)
	tests := []struct {
		body string
		want []string // session ids; none: 404
	}{
		{``, []string{"s1", "s2"}},
		{`{"clientVersion":null}`, []string{"s1", "s2"}},
		{`{"clientVersion":"2.0"}`, []string{"s1"}},
		{`{"clientVersion":"9"}`, nil},
		{`{"sessionId":"s2"}`, []string{"s2"}},
		{`{"sessionId":"s2","appKey":"defaultApp"}`, nil},
		{`{"appKey":"phone"}`, []string{"s2"}},
	}
	for _, tt := range tests {
		r := post(t, srv, "/rest-api/connection/find", tt.body)
		if tt.want == nil {
			r.wantStatus(t, http.StatusNotFound)
			continue
		}
		r.wantStatus(t, http.StatusOK)
		var list []connectionBody
		if err := json.Unmarshal(r.body, &list); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, c := range list {
			got = append(got, c.SessionID)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("find %s = %q, want %q", tt.body, got, tt.want)
		}
	}
	none := newServer(t, &fakePushes{}, newHub(t))
	r := get(t, none, "/rest-api/connection/find_all")
	r.wantStatus(t, http.StatusNotFound)
	if got := r.message(t); got != "Connection not found" {
		t.Errorf("message = %q", got)
	}
}

func TestConnectionRequests(t *testing.T) {
	srv, sessions := newSessionServer(t)
	tests := []struct {
		method, body string
		status       int
		message      string
	}{
		{"terminate", `{"sessionId":"s1"}`, 200, ""},
		{"terminate", `{"sessionId":"gone"}`, 404, "Connection not found"},
		{"terminate", `{}`, 400, "sessionId: it is missing"},
		{"terminate", `{"sessionId":null}`, 400, "sessionId: it is missing"},
		{"terminate", `{"sessionId":{}}`, 400, "sessionId: it must be a string, not an object"},
		{"find", `{"sessionId":[]}`, 400, "sessionId: it must be a string, not a list"},
		{"set_log_level", `{"sessionId":"s1","logLevel":"DEBUG"}`, 200, ""},
		{"set_log_level", `{"sessionId":"s2","logLevel":"off"}`, 200, ""},
		{"set_log_level", `{"sessionId":"gone","logLevel":"TRACE"}`, 404, "Connection not found"},
		{"set_log_level", `{"sessionId":"s1"}`, 400, "logLevel: it is missing"},
		{"set_log_level", `{"sessionId":"s1","logLevel":"LOUD"}`, 400, "logLevel: it must be DEBUG, INFO, WARN or ERROR"},
		{"set_log_level", `{"logLevel":"INFO"}`, 400, "sessionId: it is missing"},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.body, func(t *testing.T) {
			r := post(t, srv, "/rest-api/connection/"+tt.method, tt.body)
			r.wantStatus(t, tt.status)
			if tt.status == http.StatusOK {
				if len(r.body) != 0 {
					t.Errorf("body = %q, want none", r.body)
				}
			} else if got := r.message(t); !strings.Contains(got, tt.message) {
				t.Errorf("message = %q, want %q", got, tt.message)
			}
		})
	}
	if want := []string{"s1"}; !slices.Equal(sessions.terminated, want) {
		t.Errorf("terminated = %q, want %q", sessions.terminated, want)
	}
	want := map[string]slog.Level{"s1": slog.LevelDebug, "s2": slog.LevelError}
	if !maps.Equal(sessions.levels, want) {
		t.Errorf("levels = %v, want %v", sessions.levels, want)
	}
}
