package guard

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The addresses from which requests come.
const (
	here   = "127.0.0.1:40000"
	lan    = "192.168.1.20:40000"
	public = "203.0.113.9:40000"
)

// request makes a request. headers are pairs of a name and a value.
func request(method, peer, host string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, "/", nil)
	r.RemoteAddr, r.Host = peer, host
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

func newGuard() *Guard {
	return New([]string{"live.example.com", "*.studio.example"}, NewRefusals(slog.New(slog.DiscardHandler)))
}

func TestHost(t *testing.T) {
	tests := []struct {
		peer, host string
		passes     bool
	}{
		{here, "", true}, // HTTP/1.0
		{here, "localhost:8081", true},
		{here, "LOCALHOST", true},
		{here, "localhost.:8081", true},
		{here, "app.localhost", true},
		{here, "127.0.0.1:8081", true},
		{here, "127.9.9.9", true},
		{here, "[::1]:8081", true},
		{here, "::1", false}, // not a Host header
		{here, "192.168.1.5:8081", true},
		{lan, "[fd00::5]:8081", true},
		{lan, "203.0.113.1", true},
		{lan, "transponder:8081", true}, // a container's name
		{lan, "studio.local", true},
		{lan, "transponder.media.svc.cluster.local:8081", true},
		{lan, "host.docker.internal", true},
		{lan, "live.example.com:8081", true},
		{lan, "Live.Example.Com.", true},
		{lan, "a.b.studio.example", true},
		{lan, "studio.example", false},
		{lan, "notstudio.example", false},
		{here, "transponder.media.svc:8081", true},
		{lan, "media.lan", true},
		{lan, "media.home", true},
		{here, "evil.test", false},
		{here, "evil.test:8081", false},
		{lan, "lan.evil.test", false},
		{lan, "evil-lan", true}, // one word is no domain
		{here, "evil.test.:8081", false},
		{here, "localhost.evil.test", false},
		{here, "127.0.0.1.evil.test:8081", false},
		{here, "127.0.0.1:8081.evil.test", false},
		{here, "localhost@evil.test", false},
		{here, "[::1].evil.test", false},
		{here, "[evil.test]", false},
		{here, "evil.test:80:80", false},
		{lan, "evil.test", false},
		{"[fe80::7%eth0]:1", "evil.test", false},
		{"[::ffff:192.168.1.20]:1", "evil.test", false},
		{"100.64.3.3:1", "evil.test", false},
		{"no address", "evil.test", false},
		{public, "evil.test", true},
		{public, "live.example.org", true},
	}
	for _, tt := range tests {
		err := newGuard().Host("rest", request("GET", tt.peer, tt.host))
		if (err == nil) != tt.passes {
			t.Errorf("Host %q from %s: %v, want it to pass: %v", tt.host, tt.peer, err, tt.passes)
		}
	}
	err := newGuard().Host("rest", request("POST", here, "studio.corp.example:8081"))
	if err == nil || !strings.Contains(err.Error(), "http_allowed_hosts=studio.corp.example in") {
		t.Errorf("the refusal is %v, want the line for the settings", err)
	}
	if err := New([]string{"*"}, nil).Host("rest", request("GET", here, "evil.test")); err != nil {
		t.Errorf("with * for all names: %v", err)
	}
}

// If an interface of the server has a public address, clients in the network of that address are near.
func TestNeighbours(t *testing.T) {
	g := newGuard()
	for _, p := range networks() {
		if p.Addr().IsLoopback() {
			continue
		}
		r := request("GET", "", "evil.test")
		r.RemoteAddr = "[" + p.Addr().String() + "]:1"
		if g.Host("rest", r) == nil {
			t.Errorf("%s, which is ours, counts as far away", p.Addr())
		}
	}
}

func TestPage(t *testing.T) {
	const host = "192.168.1.5:8081"
	named, err := ParseOrigins("https://studio.example, http://Pages.example:80/")
	if err != nil {
		t.Fatal(err)
	}
	all, err := ParseOrigins("*")
	if err != nil {
		t.Fatal(err)
	}
	const origin, site, mode, kind = "Origin", "Sec-Fetch-Site", "Sec-Fetch-Mode", "Content-Type"
	tests := []struct {
		name    string
		method  string
		named   Origins
		headers []string
		passes  bool
		allowed string // Access-Control-Allow-Origin
	}{
		{"curl", "POST", Origins{}, nil, true, ""},
		{"curl with a form's type", "POST", Origins{}, []string{kind, "application/x-www-form-urlencoded"}, true, ""},
		{"own page", "POST", Origins{}, []string{origin, "http://192.168.1.5:8081", site, "same-origin"}, true, "http://192.168.1.5:8081"},
		{"own page behind a proxy that says another Host", "POST", Origins{}, []string{origin, "https://live.example.com", site, "same-origin"}, true, ""},
		{"address bar", "GET", Origins{}, []string{site, "none", mode, "navigate"}, true, ""},
		{"same host, other port", "POST", Origins{}, []string{origin, "http://192.168.1.5:3000", site, "same-site"}, true, "http://192.168.1.5:3000"},
		{"same host by https", "POST", Origins{}, []string{origin, "https://192.168.1.5", site, "cross-site"}, true, "https://192.168.1.5"},
		{"same host, old browser", "POST", Origins{}, []string{origin, "http://192.168.1.5:3000"}, true, "http://192.168.1.5:3000"},
		{"followed link", "GET", Origins{}, []string{site, "cross-site", mode, "navigate"}, true, ""},

		{"form", "POST", Origins{}, []string{origin, "http://evil.test", site, "cross-site", mode, "navigate", kind, "text/plain"}, false, ""},
		{"form of a page by file or in a sandbox", "POST", Origins{}, []string{origin, "null", site, "cross-site", mode, "navigate"}, false, ""},
		{"form without its origin", "POST", Origins{}, []string{site, "cross-site", mode, "navigate"}, false, ""},
		{"form of another subdomain", "POST", Origins{}, []string{site, "same-site", mode, "navigate"}, false, ""},
		{"form, old browser", "POST", Origins{}, []string{origin, "http://evil.test"}, false, ""},
		{"beacon", "POST", Origins{}, []string{origin, "http://evil.test", site, "cross-site", mode, "no-cors", kind, "text/plain"}, false, ""},
		{"fetch", "GET", Origins{}, []string{origin, "http://evil.test", site, "cross-site", mode, "cors"}, false, ""},
		{"picture", "GET", Origins{}, []string{site, "cross-site", mode, "no-cors"}, false, ""},
		{"EventSource", "GET", Origins{}, []string{origin, "http://evil.test", mode, "cors"}, false, ""},
		{"preflight", "OPTIONS", Origins{}, []string{origin, "http://evil.test", site, "cross-site", mode, "cors"}, false, ""},
		{"preflight of an own page", "OPTIONS", Origins{}, []string{origin, "http://192.168.1.5", mode, "cors"}, true, "http://192.168.1.5"},
		{"page of the visitor's machine", "POST", Origins{}, []string{origin, "http://localhost:3000"}, false, ""},
		{"host in the origin's user name", "POST", Origins{}, []string{origin, "http://192.168.1.5:8081@evil.test"}, false, ""},
		{"longer name", "POST", Origins{}, []string{origin, "http://192.168.1.5.evil.test"}, false, ""},
		{"two origins", "POST", Origins{}, []string{origin, "http://192.168.1.5", origin, "http://evil.test"}, false, ""},
		{"two origins in one", "POST", Origins{}, []string{origin, "http://192.168.1.5 http://evil.test"}, false, ""},
		{"extension", "POST", Origins{}, []string{origin, "chrome-extension://abcdef"}, false, ""},
		{"no origin's form", "POST", Origins{}, []string{origin, "192.168.1.5"}, false, ""},
		{"with a bearer token that nobody checks", "POST", Origins{}, []string{origin, "http://evil.test", "Authorization", "Bearer x"}, false, ""},
		{"with a password that the browser may have sent", "POST", Origins{}, []string{origin, "http://evil.test", "Authorization", "Basic eDp4"}, false, ""},

		{"named", "POST", named, []string{origin, "https://studio.example", site, "cross-site", kind, "text/plain"}, true, "https://studio.example"},
		{"named with the scheme's port", "POST", named, []string{origin, "http://pages.example"}, true, "http://pages.example"},
		{"named by another scheme", "POST", named, []string{origin, "http://studio.example"}, false, ""},
		{"named on another port", "POST", named, []string{origin, "https://studio.example:8443"}, false, ""},
		{"below a named one", "POST", named, []string{origin, "https://evil.studio.example"}, false, ""},
		{"no origin, where some are named", "POST", named, []string{origin, "null"}, false, ""},

		{"any page, JSON", "POST", all, []string{origin, "http://evil.test", kind, "application/json; charset=utf-8"}, true, "*"},
		{"any page, reading", "GET", all, []string{origin, "http://evil.test"}, true, "*"},
		{"any page, form", "POST", all, []string{origin, "http://evil.test", kind, "Text/Plain; x=application/json"}, false, ""},
		{"any page, nothing said of the type", "POST", all, []string{origin, "http://evil.test"}, false, ""},
		{"any page, hidden", "POST", all, []string{origin, "null", kind, "application/json"}, false, ""},
		{"own page, where any is allowed", "POST", all, []string{origin, "http://192.168.1.5"}, true, "http://192.168.1.5"},
	}
	for _, peer := range []string{here, lan, public} {
		for _, tt := range tests {
			t.Run(tt.name+" from "+peer, func(t *testing.T) {
				r := request(tt.method, peer, host, tt.headers...)
				err := newGuard().Page("rest", r, tt.named)
				if (err == nil) != tt.passes {
					t.Fatalf("%v, want it to pass: %v", err, tt.passes)
				}
				if err == nil {
					if got := tt.named.Allow(r); got != tt.allowed {
						t.Errorf("allowed origin = %q, want %q", got, tt.allowed)
					}
				} else if !strings.Contains(err.Error(), "rest_access_control_allow_origin") {
					t.Errorf("%q does not say what to set", err)
				}
			})
		}
	}
	err = newGuard().Page("rest", request("POST", here, host, origin, "https://new.example"), named)
	if want := "rest_access_control_allow_origin=https://studio.example,http://pages.example,https://new.example in"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("the refusal is %v, want %q", err, want)
	}
}

func TestLoopbackIsOneHost(t *testing.T) {
	for _, origin := range []string{"http://localhost:3000", "http://127.0.0.1", "http://[::1]:9"} {
		if err := newGuard().Page("rest", request("POST", here, "localhost:8081", "Origin", origin), Origins{}); err != nil {
			t.Errorf("%s: %v", origin, err)
		}
	}
}

func TestParseOrigins(t *testing.T) {
	for _, bad := range []string{"null", "studio.example", "https://studio.example/page", "https://", "https://a.example https://b.example", "https://a@b.example"} {
		if o, err := ParseOrigins(bad); err == nil {
			t.Errorf("%q is taken for %+v", bad, o)
		}
	}
}

// socketTests are pages that open a WebSocket while the settings name no origins. The rules for WHIP and WHEP are the same.
var socketTests = []struct {
	name       string
	peer, host string
	headers    []string
	passes     bool
}{
	{"no browser", here, "evil.test", nil, true},
	{"own page", here, "localhost:8080", []string{"Origin", "http://localhost:8081"}, true},
	{"own page in a network", lan, "192.168.1.5:8080", []string{"Origin", "https://192.168.1.5:8444"}, true},
	{"own page by name", lan, "studio.local:8080", []string{"Origin", "http://STUDIO.local:8081"}, true},
	{"own page by the machine's other name", here, "127.0.0.1:8080", []string{"Origin", "http://localhost:8081"}, true},
	{"page in development", lan, "192.168.1.5:8080", []string{"Origin", "http://localhost:3000"}, true},
	{"foreign page to a public server", public, "live.example.org", []string{"Origin", "https://www.example.net"}, true},
	{"foreign page to a public address", public, "198.51.100.1:8080", []string{"Origin", "https://www.example.net"}, true},
	{"page by file to a public server", public, "live.example.org", []string{"Origin", "null"}, true},
	{"foreign page to a public server behind a proxy", here, "live.example.org", []string{"Origin", "https://www.example.net", "X-Forwarded-For", "203.0.113.7"}, true},
	{"through a proxy that says another Host", here, "127.0.0.1:8080", []string{"Origin", "https://www.example.net", "X-Forwarded-For", "203.0.113.7, 10.0.0.2"}, true},

	{"foreign page to this machine", here, "localhost:8080", []string{"Origin", "https://evil.test"}, false},
	{"foreign page to an address of this machine", here, "192.168.1.5:8080", []string{"Origin", "https://evil.test"}, false},
	{"foreign page to a private network", lan, "192.168.1.5:8080", []string{"Origin", "https://evil.test"}, false},
	{"foreign page to a server by name in a private network", lan, "live.example.com", []string{"Origin", "https://evil.test"}, false},
	{"page by file", here, "localhost:8080", []string{"Origin", "null"}, false},
	{"rebound page", here, "evil.test:8080", []string{"Origin", "http://evil.test:8080"}, false},
	{"rebound page of another port", lan, "evil.test:8080", []string{"Origin", "http://evil.test:8081"}, false},
	{"rebound page that says it is not", lan, "evil.test:8080", []string{"Origin", "http://evil.test:8080", "Sec-Fetch-Site", "same-origin"}, false},
	{"foreign page through a proxy of the network", here, "studio.local", []string{"Origin", "https://evil.test", "X-Forwarded-For", "192.168.1.20"}, false},
	{"longer name", here, "localhost:8080", []string{"Origin", "http://localhost.evil.test"}, false},
	{"two origins", here, "localhost:8080", []string{"Origin", "http://localhost", "Origin", "http://evil.test"}, false},
}

func TestSocket(t *testing.T) {
	for _, tt := range socketTests {
		t.Run(tt.name, func(t *testing.T) {
			err := newGuard().Socket("websocket", request("GET", tt.peer, tt.host, tt.headers...), nil)
			if (err == nil) != tt.passes {
				t.Errorf("%v, want it to pass: %v", err, tt.passes)
			}
		})
	}
	err := newGuard().Socket("websocket", request("GET", here, "localhost", "Origin", "https://www.example.net"), nil)
	if err == nil || !strings.Contains(err.Error(), "ws_allowed_origins=www.example.net in") {
		t.Errorf("the refusal is %v, want the line for the settings", err)
	}
}

// No refusal tells the operator to write an origin that the settings cannot hold.
func TestRefusedPagesWithoutHost(t *testing.T) {
	for _, origin := range []string{"null", "file://", "about:blank", "data:", "://"} {
		r := request("POST", here, "localhost", "Origin", origin)
		for setting, err := range map[string]error{
			"ws_allowed_origins":               newGuard().Socket("websocket", r, nil),
			"rest_access_control_allow_origin": newGuard().Page("rest", r, Origins{}),
		} {
			if err == nil || !strings.Contains(err.Error(), setting) || strings.Contains(err.Error(), setting+"=") {
				t.Errorf("to a page of %q: %v, want it told to be served from a host that %s can name", origin, err, setting)
			}
		}
	}
}

func TestSocketOfNamedPages(t *testing.T) {
	allowed := []string{"good.example", "*.good.example", "https://only.example"}
	for origin, tests := range map[string]map[string]bool{
		"":                         {"localhost": true},
		"https://good.example":     {"localhost": true, "live.example.org": true, "evil.test": true},
		"https://Sub.Good.example": {"localhost": true},
		"https://only.example":     {"localhost": true},
		"http://only.example":      {"localhost": false},
		"http://evil.test:8080":    {"evil.test:8080": false, "localhost": false},
		"http://localhost:8080":    {"localhost:8080": true, "localhost:8081": false},
		"http://live.example.com":  {"live.example.com": true},
		"http://live.example.org":  {"live.example.org": false}, // not among the names of this server
		"null":                     {"localhost": false},
	} {
		for host, passes := range tests {
			for _, peer := range []string{here, lan, public} {
				r := request("GET", peer, host)
				if origin != "" {
					r.Header.Set("Origin", origin)
				}
				if err := newGuard().Socket("websocket", r, allowed); (err == nil) != passes {
					t.Errorf("a page of %q to %s from %s: %v, want it to pass: %v", origin, host, peer, err, passes)
				}
			}
		}
	}
}

func TestMedia(t *testing.T) {
	for _, tt := range socketTests {
		t.Run(tt.name, func(t *testing.T) {
			err := newGuard().Media("whip", "whip_token", request("POST", tt.peer, tt.host, tt.headers...))
			// A page of the same origin can add the headers of a proxy itself. So the name counts with these headers, too.
			passes := tt.passes && tt.name != "foreign page to a public server behind a proxy"
			if (err == nil) != passes {
				t.Errorf("%v, want it to pass: %v", err, passes)
			}
		})
	}
	err := newGuard().Media("whep", "whep_token", request("POST", here, "localhost", "Origin", "https://www.example.net"))
	if err == nil || !strings.Contains(err.Error(), "whep_token=TOKEN") {
		t.Errorf("the refusal is %v, want the line for the settings", err)
	}
}

// A nil Guard protects just as well.
func TestNilGuard(t *testing.T) {
	var g *Guard
	if g.Host("rest", request("GET", here, "evil.test")) == nil || g.Host("rest", request("GET", here, "localhost")) != nil {
		t.Error("a nil guard judges hosts otherwise")
	}
}

// All refusals are counted, and at most one per second is logged. Text from a client is shown without control characters and shortened.
func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Hour)
		var out bytes.Buffer
		refusals := NewRefusals(slog.New(slog.NewTextHandler(&out, nil)))
		g := New(nil, refusals)
		for range 25 {
			for range 100 {
				_ = g.Host("rest", request("GET", here, "evil\x1b[31m.test"+strings.Repeat("x", 1000)))
			}
			time.Sleep(100 * time.Millisecond)
		}
		if got := refusals.Counts()[Refused{"rest", WhyHost}]; got != 2500 {
			t.Errorf("%d refusals are counted, want 2500", got)
		}
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(lines) != 3 || !strings.Contains(lines[1], "more=999") {
			t.Errorf("%d lines are logged, want 3: %s", len(lines), out.String())
		}
		if strings.Contains(out.String(), "\x1b") || len(lines[0]) > 700 {
			t.Errorf("the log says %q", lines[0])
		}
	})
}

func TestRemoteAddress(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1:80": "192.0.2.1", "[::ffff:192.0.2.1]:80": "192.0.2.1", "[2001:db8::1]:80": "2001:db8::1", "[fe80::1%eth0]:80": "fe80::1",
		"192.0.2.1": "invalid IP", "pipe": "invalid IP", "name:80": "invalid IP", "": "invalid IP",
	} {
		if got, ok := RemoteAddress(in); got.String() != want || ok != got.IsValid() {
			t.Errorf("RemoteAddress(%q) = %s, %v, want %s", in, got, ok, want)
		}
	}
}
