package rest

import (
	"crypto/tls"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"transponder/internal/access"
	"transponder/internal/guard"
)

// A client that has guessed too often is told when to try again. Handlers besides the API are protected too, except from this machine.
func TestTooManyTries(t *testing.T) {
	const free = 5
	cfg := DefaultConfig()
	cfg.Auth = true
	refusals := guard.NewRefusals(slog.New(slog.DiscardHandler))
	h, err := New(cfg, Parts{Pushes: &fakePushes{}, Streams: newHub(t), Events: newFakeEvents(0), Refusals: refusals, People: usersOf(t, "ann", "secret"), Shares: guard.DefaultSharesConfig()}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	figures := h.Protect("metrics", false, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	ask := func(h http.Handler, peer, password, forwarded string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, "/rest-api/push/find_all", nil)
		r.RemoteAddr, r.Host = peer, "localhost"
		if password != "" {
			r.SetBasicAuth("ann", password)
		}
		if forwarded != "" {
			r.Header.Set("X-Forwarded-For", forwarded)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	for i := range free + 1 {
		if got := ask(h, "203.0.113.9:1", "wrong"+strconv.Itoa(i), ""); got.Code != http.StatusUnauthorized {
			t.Fatalf("try %d is answered %d", i, got.Code)
		}
	}
	if got := ask(h, "203.0.113.9:1", "wrong", ""); got.Code != http.StatusTooManyRequests || got.Header().Get("Retry-After") != "1" {
		t.Errorf("one try more is answered %d, Retry-After %q", got.Code, got.Header().Get("Retry-After"))
	}
	if got := refusals.Counts()[guard.Refused{Door: "rest", Why: guard.WhyPassword}]; got != free+1 {
		t.Errorf("%d wrong passwords are counted", got)
	}
	for _, tt := range []struct {
		peer, password, forwarded string
		want                      int
	}{
		{"127.0.0.1:1", "", "", 200},
		{"127.0.0.1:1", "", "203.0.113.1", 401}, // a proxy on this machine
		{"203.0.113.1:1", "", "", 401},
		{"203.0.113.1:1", "secret", "", 200},
	} {
		if got := ask(figures, tt.peer, tt.password, tt.forwarded).Code; got != tt.want {
			t.Errorf("figures for %s with %q: %d, want %d", tt.peer, tt.password, got, tt.want)
		}
	}
}

// door sends requests to a server like a browser that keeps cookies.
type door struct {
	t    *testing.T
	h    http.Handler
	peer string // address of the browser
	host string
	https,
	proxied bool // a proxy speaks HTTPS with the browser
	jar map[string]string
}

// newDoor makes a server with the user ann, an administrator, whose password is "secret", and says which address asks it.
func newDoor(t *testing.T, cfg Config, peer string) *door {
	t.Helper()
	h, err := New(cfg, Parts{
		Pushes: &fakePushes{}, Streams: newHub(t), Events: newFakeEvents(0), People: usersOf(t, "ann", "secret"), Shares: guard.DefaultSharesConfig(),
		Guard: guard.New([]string{"live.example.com"}, nil),
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return &door{t: t, h: h, peer: peer, host: "live.example.com:8444", jar: map[string]string{}}
}

func (d *door) ask(method, path, body string) *httptest.ResponseRecorder {
	d.t.Helper()
	r := httptest.NewRequest(method, prefix+path, strings.NewReader(body))
	r.RemoteAddr, r.Host = d.peer+":1", d.host
	if d.https {
		r.TLS = &tls.ConnectionState{}
	}
	if d.proxied {
		r.Header.Set("X-Forwarded-For", "203.0.113.77")
		r.Header.Set("X-Forwarded-Proto", "https")
	}
	for name, value := range d.jar {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	w := httptest.NewRecorder()
	d.h.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		if c.MaxAge < 0 {
			delete(d.jar, c.Name)
		} else {
			d.jar[c.Name] = c.Value
		}
	}
	return w
}

const right = `{"name":"ann","password":"secret"}`

// A login makes a cookie that scripts cannot read, and that no other site can use. With it one may do what the user may, until one logs out.
func TestSession(t *testing.T) {
	for _, tt := range []struct {
		name           string
		peer, host     string
		https, proxied bool
		cookie         string
		secure         bool
	}{
		{"HTTPS", "203.0.113.1", "live.example.com:8444", true, false, "__Host-transponder-8444", true},
		{"HTTPS, usual port", "203.0.113.1", "live.example.com", true, false, "__Host-transponder-443", true},
		{"this machine", "127.0.0.1", "localhost:8081", false, false, "transponder-8081", false},
		{"this machine by IPv6", "::1", "[::1]:8081", false, false, "transponder-8081", false},
		{"a proxy with HTTPS", "127.0.0.1", "live.example.com", false, true, "__Host-transponder-443", true},
		{"a strange port", "203.0.113.1", "live.example.com:x;y", true, false, "__Host-transponder-443", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDoor(t, Config{Auth: true}, tt.peer)
			if tt.peer == "::1" {
				d.peer = "[::1]"
			}
			d.host, d.https, d.proxied = tt.host, tt.https, tt.proxied
			if got := d.ask("GET", "/session", ""); got.Code != http.StatusUnauthorized {
				t.Errorf("who is nobody: %d %s", got.Code, got.Body)
			}
			got := d.ask("POST", "/session", right)
			if got.Code != http.StatusOK {
				t.Fatalf("login: %d %s", got.Code, got.Body)
			}
			cookies := got.Result().Cookies()
			if len(cookies) != 1 {
				t.Fatalf("cookies = %v", cookies)
			}
			c := cookies[0]
			if c.Name != tt.cookie || c.Secure != tt.secure || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" || len(c.Value) < 40 {
				t.Errorf("cookie = %+v, want %s", c, tt.cookie)
			}
			var who, again sessionBody
			decodeAnswer(t, got, &who)
			decodeAnswer(t, d.ask("GET", "/session", ""), &again)
			if again.Expires < who.Expires {
				t.Errorf("expires at %d, then at %d", who.Expires, again.Expires)
			}
			again.Expires = who.Expires
			if who.Kind != access.User || who.Name != "ann" || who.Role != access.Administrator || who.Since == 0 || who.Expires <= who.Since ||
				len(who.Actions) != len(access.Actions) || !reflect.DeepEqual(who, again) {
				t.Errorf("who = %+v, then %+v", who, again)
			}
			if got := d.ask("GET", "/user/find_all", ""); got.Code != http.StatusOK {
				t.Errorf("with the session: %d %s", got.Code, got.Body)
			}
			secret := d.jar[tt.cookie]
			if got := d.ask("DELETE", "/session", ""); got.Code != http.StatusOK || len(d.jar) > 0 {
				t.Errorf("logout: %d %s, %v", got.Code, got.Body, d.jar)
			}
			d.jar[tt.cookie] = secret
			if got := d.ask("GET", "/user/find_all", ""); got.Code != http.StatusUnauthorized {
				t.Errorf("after the logout: %d %s", got.Code, got.Body)
			}
			if got := d.ask("DELETE", "/session", ""); got.Code != http.StatusOK {
				t.Errorf("logout again: %d %s", got.Code, got.Body)
			}
		})
	}
}

func decodeAnswer(t *testing.T, w *httptest.ResponseRecorder, v any) {
	t.Helper()
	if err := json.Unmarshal(w.Body.Bytes(), v); err != nil {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
}

func TestRefusedLogins(t *testing.T) {
	for _, tt := range []struct {
		name, peer, body string
		https, allowed   bool
		port             int
		status           int
		want             string
	}{
		{"wrong password", "203.0.113.1", `{"name":"ann","password":"Secret"}`, true, false, 0, 401, "wrong name or password"},
		{"unknown", "203.0.113.1", `{"name":"bob","password":"secret"}`, true, false, 0, 401, "wrong name or password"},
		{"no password", "203.0.113.1", `{"name":"ann"}`, true, false, 0, 400, "password: it is missing"},
		{"plain HTTP", "203.0.113.1", right, false, false, 8444, 403, "open https://live.example.com:8444/login"},
		{"plain HTTP, usual port", "203.0.113.1", right, false, false, 443, 403, "open https://live.example.com/login"},
		{"plain HTTP, no HTTPS", "203.0.113.1", right, false, false, 0, 403, "login_over_http=true"},
		{"plain HTTP is allowed", "203.0.113.1", right, false, true, 8444, 200, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDoor(t, Config{LoginOverHTTP: tt.allowed, HTTPSPort: tt.port}, tt.peer)
			d.https = tt.https
			got := d.ask("POST", "/session", tt.body)
			if got.Code != tt.status || !strings.Contains(got.Body.String(), tt.want) {
				t.Errorf("%d %s, want %d with %q", got.Code, got.Body, tt.status, tt.want)
			}
			if made := len(d.jar) > 0; made != (tt.status == 200) {
				t.Errorf("cookies = %v", d.jar)
			}
		})
	}
}

// A cookie that is over, or that another server on this host has made, does not shut out whoever needs none.
func TestStaleCookie(t *testing.T) {
	d := newDoor(t, Config{}, "127.0.0.1")
	d.host, d.jar = "localhost:8081", map[string]string{"transponder-8081": "stale", "other": "x"}
	var who sessionBody
	decodeAnswer(t, d.ask("GET", "/session", ""), &who)
	if who.Kind != access.Local || who.Role != access.Administrator || who.Mode != "auto" {
		t.Errorf("who = %+v", who)
	}
	if got := d.ask("POST", "/session", right); got.Code != http.StatusOK {
		t.Errorf("login: %d %s", got.Code, got.Body)
	}
	if d.jar["transponder-8081"] == "stale" {
		t.Error("the login keeps the old cookie")
	}
}

// Pages of other sites cannot log anybody in or out.
func TestSessionsOfStrangers(t *testing.T) {
	for _, method := range []string{"POST", "DELETE"} {
		d := newDoor(t, Config{}, "127.0.0.1")
		r := httptest.NewRequest(method, prefix+"/session", strings.NewReader(right))
		r.RemoteAddr, r.Host = "127.0.0.1:1", "localhost:8081"
		r.Header.Set("Origin", "https://evil.example")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		w := httptest.NewRecorder()
		d.h.ServeHTTP(w, r)
		if w.Code != http.StatusForbidden || w.Header().Get("Set-Cookie") != "" {
			t.Errorf("%s: %d %s, %q", method, w.Code, w.Body, w.Header().Get("Set-Cookie"))
		}
	}
}

// Administrators see and end the sessions of all. Others do not.
func TestSessionsOfOthers(t *testing.T) {
	d := newDoor(t, Config{}, "203.0.113.1")
	d.https = true
	d.ask("POST", "/session", right)
	if got := d.ask("POST", "/user/create", `{"name":"vera","role":"viewer"}`); got.Code != http.StatusOK {
		t.Fatalf("create: %d %s", got.Code, got.Body)
	} else {
		var vera userBody
		decodeAnswer(t, got, &vera)
		if len(vera.Password) != 23 {
			t.Errorf("the password is %q", vera.Password)
		}
		other := *d
		other.jar = map[string]string{}
		if got := other.ask("POST", "/session", `{"name":"vera","password":"`+vera.Password+`"}`); got.Code != http.StatusOK {
			t.Fatalf("login: %d %s", got.Code, got.Body)
		}
		for path, want := range map[string]int{"/session": 200, "/session/find_all": 403, "/user/find_all": 403, "/audit": 403} {
			if got := other.ask("GET", path, ""); got.Code != want {
				t.Errorf("a viewer gets %d from %s, want %d", got.Code, path, want)
			}
		}
		var list []openSessionBody
		decodeAnswer(t, d.ask("GET", "/session/find_all", ""), &list)
		if len(list) != 2 || list[0].Name != "vera" || list[0].Role != access.Viewer || list[0].Address != "203.0.113.1" {
			t.Fatalf("sessions = %+v", list)
		}
		if got := d.ask("POST", "/session/terminate", `{"id":"`+list[0].ID+`"}`); got.Code != http.StatusOK {
			t.Errorf("terminate: %d %s", got.Code, got.Body)
		}
		if got := other.ask("GET", "/session", ""); got.Code != http.StatusUnauthorized {
			t.Errorf("a session that was ended: %d %s", got.Code, got.Body)
		}
		if got := d.ask("POST", "/session/terminate", `{"id":"`+list[0].ID+`"}`); got.Code != http.StatusNotFound {
			t.Errorf("terminate again: %d %s", got.Code, got.Body)
		}
	}
}

func TestUserErrors(t *testing.T) {
	d := newDoor(t, Config{}, "203.0.113.1")
	d.https = true
	d.ask("POST", "/session", right)
	d.ask("POST", "/user/create", `{"name":"vera","role":"viewer","password":"a long password"}`)
	for _, tt := range []struct {
		path, body string
		status     int
		want       string
	}{
		{"/user/create", `{"name":"vera","role":"viewer"}`, 409, "there is a user with this name already"},
		{"/user/create", `{"name":"bob","role":"root"}`, 400, "role: it must be viewer, operator or admin"},
		{"/user/create", `{"name":"bob"}`, 400, "role: it is missing"},
		{"/user/create", `{"name":"bob","role":"viewer","password":"short"}`, 400, "password: it must have at least 8 bytes"},
		{"/user/update", `{"name":"nobody","role":"admin"}`, 404, "User not found"},
		{"/user/update", `{"name":"ann","role":"viewer"}`, 409, "rest_users_file"},
		{"/user/remove", `{"name":"ann"}`, 409, "rest_users_file"},
		{"/user/remove", `{"name":"nobody"}`, 404, "User not found"},
		{"/user/remove", `{}`, 400, "name: it is missing"},
		{"/user/remove", `{"name":"vera"}`, 200, ""},
	} {
		if got := d.ask("POST", tt.path, tt.body); got.Code != tt.status || !strings.Contains(got.Body.String(), tt.want) {
			t.Errorf("%s %s: %d %s, want %d with %q", tt.path, tt.body, got.Code, got.Body, tt.status, tt.want)
		}
	}
}

// Browsers send cookies with links that other pages make. So nothing is changed by GET: whoever adds a method for GET says here that it only reads.
func TestGETOnlyReads(t *testing.T) {
	reads := regexp.MustCompile(`^/rest-api/(openapi_specification|session|audit|access/report|push/(history|events)|stream/snapshot|destination/presets|token/revocations|\w+/methods|[\w/]+/find(_all)?)$`)
	h, err := New(DefaultConfig(), Parts{Pushes: &fakePushes{}, Streams: newHub(t), Events: newFakeEvents(0)}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for path, methods := range h.methods {
		if slices.Contains(methods, http.MethodGet) && !reads.MatchString(path) {
			t.Errorf("%s can be called by GET", path)
		}
	}
	if len(h.methods) < 20 {
		t.Errorf("only %d methods", len(h.methods))
	}
}
