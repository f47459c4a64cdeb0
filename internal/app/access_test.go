package app

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"transponder/api"
)

// ownAddress returns an address of this machine that is not its loopback address. Clients that use it come from elsewhere, as far as the server
// can tell.
func ownAddress(t *testing.T) string {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() && n.IP.To4() != nil {
			return n.IP.String()
		}
	}
	t.Skip("this machine has no other address than its loopback address")
	return ""
}

// fetch makes a request, and returns the status and the body.
func fetch(t *testing.T, method, url, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

// paths are the paths of REST.
func paths(t *testing.T) []string {
	t.Helper()
	found := regexp.MustCompile(`(?m)^  (/[a-z_/]+):\n    (get|post):`).FindAllSubmatch(api.OpenAPI, -1)
	if len(found) < 25 {
		t.Fatalf("%d paths are found", len(found))
	}
	var all []string
	for _, m := range found {
		all = append(all, strings.ToUpper(string(m[2]))+" /rest-api"+string(m[1]))
	}
	return all
}

// A server that was just started lets strangers do nothing, and clients on its machine everything.
func TestFreshServer(t *testing.T) {
	here, elsewhere := "localhost", ownAddress(t)
	for _, tt := range []struct {
		name       string
		set        []string
		stranger   int // the answer to a stranger who asks for pushes
		local      int
		figures    int // to a stranger
		publishing int
	}{
		{"default", nil, 401, 200, 401, 401},
		{"closed", []string{"access=closed"}, 401, 401, 401, 401},
		{"open", []string{"access=open"}, 200, 200, 200, 400},
		{"vendor's setting", []string{"disable_rest_auth=true"}, 200, 200, 200, 401},
		{"passwords", []string{"disable_rest_auth=false"}, 401, 401, 401, 401},
		{"strangers who publish", []string{"anonymous=publish"}, 401, 200, 401, 400},
		{"scrapers", []string{"metrics_allow=" + elsewhere}, 401, 200, 200, 401},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := runApp(t, tt.set...)
			at := func(host string) string { return "http://" + net.JoinHostPort(host, portText(a)) }
			for host, want := range map[string]int{here: tt.local, elsewhere: tt.stranger} {
				if resp, body := fetch(t, "POST", at(host)+"/rest-api/push/find_all", `{"empty":true}`); resp.StatusCode != want {
					t.Errorf("%s gets %d %s, want %d", host, resp.StatusCode, body, want)
				}
			}
			if resp, body := fetch(t, "POST", at(elsewhere)+"/rest-api/user/create", `{"name":"eve","role":"admin"}`); resp.StatusCode != 401 {
				t.Errorf("a stranger makes a user: %d %s", resp.StatusCode, body)
			}
			// With such a token the stranger would be somebody who has logged in.
			for _, action := range []string{"admin", "control"} {
				resp, body := fetch(t, "POST", at(elsewhere)+"/rest-api/token/create", `{"grants":[{"actions":["`+action+`"],"streams":["*"]}]}`)
				if resp.StatusCode != 401 && resp.StatusCode != 403 {
					t.Errorf("a stranger makes a token with %s: %d %s", action, resp.StatusCode, body)
				}
			}
			if resp, body := fetch(t, "GET", at(elsewhere)+"/metrics", ""); resp.StatusCode != tt.figures {
				t.Errorf("metrics: %d %.200s, want %d", resp.StatusCode, body, tt.figures)
			}
			if resp, body := fetch(t, "POST", at(elsewhere)+"/whip/cam", "no offer", "Content-Type", "application/sdp"); resp.StatusCode != tt.publishing {
				t.Errorf("WHIP: %d %s, want %d", resp.StatusCode, body, tt.publishing)
			}
			if resp, _ := fetch(t, "GET", at(elsewhere)+"/health/live", ""); resp.StatusCode != 200 {
				t.Errorf("health: %d", resp.StatusCode)
			}
		})
	}
	t.Run("every method", func(t *testing.T) {
		a := runApp(t)
		for _, line := range paths(t) {
			method, path, _ := strings.Cut(line, " ")
			resp, body := fetch(t, method, "http://"+net.JoinHostPort(elsewhere, portText(a))+path, "{}")
			if want := 401; resp.StatusCode != want && path != "/rest-api/session" {
				t.Errorf("%s for a stranger: %d %s", line, resp.StatusCode, body)
			}
			if strings.Contains(body, "Transponder dev") || bytes.Contains([]byte(body), []byte(a.version)) && a.version != "" {
				t.Errorf("%s tells the version: %s", line, body)
			}
		}
	})
}

// The version is for those who may read: it tells which known faults the server has.
func TestVersionForReaders(t *testing.T) {
	a := runApp(t)
	for host, want := range map[string]bool{"localhost": true, ownAddress(t): false} {
		_, body := fetch(t, "GET", "http://"+net.JoinHostPort(host, portText(a))+"/config.json", "")
		var c struct{ Version string }
		if err := json.Unmarshal([]byte(body), &c); err != nil {
			t.Fatal(err)
		}
		if (c.Version != "") != want {
			t.Errorf("%s reads %s", host, body)
		}
	}
}

func portText(a *App) string {
	_, port, _ := net.SplitHostPort(a.http.Addr().String())
	return port
}
