package rest

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"transponder/api"
	"transponder/internal/access/people"
	"transponder/internal/guard"
	"transponder/internal/sip"
	"transponder/internal/state"
)

func TestMethods(t *testing.T) {
	srv := newServer(t, &fakePushes{}, newHub(t))
	tests := []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/push/startup", 405, "POST, OPTIONS"},
		{"GET", "/push/find", 405, "POST, OPTIONS"},
		{"GET", "/push/terminate", 405, "POST, OPTIONS"},
		{"PUT", "/push/find_all", 405, "GET, HEAD, POST, OPTIONS"},
		{"POST", "/push/history", 405, "GET, HEAD, OPTIONS"},
		{"POST", "/push/events", 405, "GET, HEAD, OPTIONS"},
		{"DELETE", "/stream/find_all", 405, "GET, HEAD, POST, OPTIONS"},
		{"GET", "/stream/find", 405, "POST, OPTIONS"},
		{"GET", "/stream/terminate", 405, "POST, OPTIONS"},
		{"POST", "/openapi_specification", 405, "GET, HEAD, OPTIONS"},
		{"GET", "/push/mute", 405, "POST, OPTIONS"},
		{"GET", "/push/unmute", 405, "POST, OPTIONS"},
		{"GET", "/push/sound_on", 405, "POST, OPTIONS"},
		{"GET", "/push/sound_off", 405, "POST, OPTIONS"},
		{"GET", "/call/startup", 405, "POST, OPTIONS"},
		{"PUT", "/call/find_all", 405, "GET, HEAD, POST, OPTIONS"},
		{"POST", "/push", 404, ""},
		{"POST", "/push/nothing", 404, ""},
		{"GET", "/", 404, ""},
		{"GET", "/connection/find", 405, "POST, OPTIONS"},
		{"DELETE", "/connection/find_all", 405, "GET, HEAD, POST, OPTIONS"},
		{"GET", "/connection/terminate", 405, "POST, OPTIONS"},
		{"GET", "/connection/set_log_level", 405, "POST, OPTIONS"},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			r := send(t, srv, newRequest(t, srv, tt.method, "/rest-api"+tt.path, ""))
			r.wantStatus(t, tt.status)
			if got := r.Header.Get("Allow"); got != tt.allow {
				t.Errorf("Allow = %q, want %q", got, tt.allow)
			}
		})
	}
}

func TestErrorBody(t *testing.T) {
	got := newErrorBody("/rest-api/push/find", http.StatusNotFound, "Transponder not found", time.UnixMilli(1700000000123))
	want := errorBody{
		Exception: "NotFoundException",
		Reason:    "Not Found, NotFoundException, Transponder not found, 1700000000123",
		Path:      "/rest-api/push/find",
		Error:     "Not Found",
		Message:   "Transponder not found",
		Timestamp: 1700000000123,
		Status:    404,
	}
	if got != want {
		t.Errorf("error = %+v, want %+v", got, want)
	}
}

func TestContentTypes(t *testing.T) {
	srv := newServer(t, &fakePushes{}, newHub(t))
	for _, ct := range []string{"", "application/x-www-form-urlencoded; charset=UTF-8", "text/plain", "nonsense"} {
		r := newRequest(t, srv, http.MethodPost, "/rest-api/stream/find", `{"name":"cam"}`)
		r.Header.Set("Content-Type", ct)
		send(t, srv, r).wantStatus(t, http.StatusOK)
	}
}

func TestLargeBody(t *testing.T) {
	srv := newServer(t, &fakePushes{}, newHub(t))
	fits := `{"name":"cam","x":"` + strings.Repeat("x", maxBody-22) + `"}`
	if len(fits) > maxBody {
		t.Fatalf("test body has %d bytes", len(fits))
	}
	post(t, srv, "/rest-api/stream/find", fits).wantStatus(t, http.StatusOK)
	post(t, srv, "/rest-api/stream/find", fits+strings.Repeat(" ", 2)).wantStatus(t, http.StatusRequestEntityTooLarge)
}

// An object with very many members costs no more than reading it, at the top level and below.
func TestManyMembers(t *testing.T) {
	srv := newServer(t, &fakePushes{}, newHub(t))
	var members strings.Builder
	for i := range 80_000 {
		fmt.Fprintf(&members, `"m%d":1,`, i)
	}
	for path, body := range map[string]string{
		"/rest-api/push/find":    "{" + members.String() + `"streamName":"x"}`,
		"/rest-api/push/startup": `{"streamName":"x","rtmpUrl":"rtmp://h/live","options":{` + members.String() + `"x":1}}`,
	} {
		r := post(t, srv, path, body)
		r.wantStatus(t, http.StatusBadRequest)
		if !strings.Contains(r.message(t), "more than 1000 members") {
			t.Errorf("message = %q", r.message(t))
		}
	}
}

func TestShortBody(t *testing.T) {
	srv := newServer(t, &fakePushes{}, newHub(t))
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST /rest-api/push/find HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{}")
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 12)
	if _, err := conn.Read(answer); err != nil || string(answer) != "HTTP/1.1 400" {
		t.Errorf("answer to half a body = %q, %v, want HTTP/1.1 400", answer, err)
	}
}

// deadlines is a connection that keeps the deadlines set on it, and whose body never arrives.
type deadlines struct {
	*httptest.ResponseRecorder
	set []time.Time
}

func (d *deadlines) SetReadDeadline(at time.Time) error {
	d.set = append(d.set, at)
	return nil
}

func (d *deadlines) Read([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }

// TestSlowBody also checks that the deadline is removed: if it passed later, it would cancel the request.
func TestSlowBody(t *testing.T) {
	h, err := New(DefaultConfig(), Parts{Pushes: &fakePushes{}, Streams: newHub(t), Events: newFakeEvents(0)}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	d := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	start := time.Now()
	h.ServeHTTP(d, localRequest(t.Context(), http.MethodPost, "/rest-api/push/find", d))
	if d.Code != http.StatusRequestTimeout {
		t.Errorf("answer = %d %s, want 408", d.Code, d.Body)
	}
	if len(d.set) != 2 || d.set[0].Before(start.Add(bodyTimeout)) || !d.set[1].IsZero() {
		t.Errorf("deadlines = %v, want one in %v and then none", d.set, bodyTimeout)
	}
}

func TestSpecification(t *testing.T) {
	r := get(t, newServer(t, &fakePushes{}, newHub(t)), "/rest-api/openapi_specification")
	r.wantStatus(t, http.StatusOK)
	if !bytes.Equal(r.body, api.OpenAPI) {
		t.Error("the specification that is served is not api/openapi.yaml")
	}
}

func TestCrossOrigin(t *testing.T) {
	studio := Config{
		AllowOrigin: "https://studio.example", AllowHeaders: "content-type", AllowMethods: "POST",
		Headers: "X-Frame-Options: DENY; Access-Control-Max-Age:600;",
		Auth:    true,
	}
	raw := DefaultConfig()
	raw.Headers = "Access-Control-Allow-Origin: https://studio.example"
	any := DefaultConfig()
	any.AllowOrigin = "*"
	tests := []struct {
		name, origin string
		cfg          Config
		status       int // of a POST without a password
		headers      map[string]string
	}{
		{"own host", "http://127.0.0.1:3000", DefaultConfig(), 404, map[string]string{
			"Access-Control-Allow-Origin":  "http://127.0.0.1:3000",
			"Access-Control-Allow-Headers": "content-type,x-requested-with",
			"Access-Control-Allow-Methods": "GET, POST, OPTIONS",
			"Vary":                         "Origin",
		}},
		{"foreign", "https://studio.example", DefaultConfig(), 403, map[string]string{"Access-Control-Allow-Origin": "", "Vary": "Origin"}},
		{"foreign, nothing set", "https://studio.example", Config{}, 403, map[string]string{"Access-Control-Allow-Origin": ""}},
		{"named, with users", "https://studio.example", studio, 401, map[string]string{
			"Access-Control-Allow-Origin":  "https://studio.example",
			"Access-Control-Allow-Headers": "content-type,authorization",
			"Access-Control-Allow-Methods": "POST",
			"Access-Control-Max-Age":       "600",
			"X-Frame-Options":              "DENY",
		}},
		{"not named, with users", "https://evil.test", studio, 403, map[string]string{"Access-Control-Allow-Origin": "", "WWW-Authenticate": ""}},
		{"named by a header", "https://studio.example", raw, 404, map[string]string{"Access-Control-Allow-Origin": "https://studio.example"}},
		{"not named by a header", "https://evil.test", raw, 403, map[string]string{"Access-Control-Allow-Origin": ""}},
		{"any", "https://evil.test", any, 401, map[string]string{"Access-Control-Allow-Origin": "*"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv := newServerWith(t, tt.cfg, &fakePushes{}, newHub(t))
			preflight := newRequest(t, srv, http.MethodOptions, "/rest-api/push/startup", "")
			preflight.Header.Set("Access-Control-Request-Method", "POST")
			asked := newRequest(t, srv, http.MethodPost, "/rest-api/push/find", "{}")
			for r, want := range map[*http.Request]int{preflight: http.StatusNoContent, asked: tt.status} {
				if tt.status == http.StatusForbidden {
					want = tt.status
				}
				r.Header.Set("Origin", tt.origin)
				got := send(t, srv, r)
				got.wantStatus(t, want)
				for name, want := range tt.headers {
					if got := got.Header.Get(name); got != want {
						t.Errorf("%s of a %s = %q, want %q", name, r.Method, got, want)
					}
				}
			}
		})
	}
}

// A page of another host whose name resolves to this server gets no answer if no password is needed, and browsers get no challenge.
func TestStolenName(t *testing.T) {
	open := newServer(t, &fakePushes{}, newHub(t))
	closed := newServerWith(t, Config{Auth: true}, &fakePushes{}, newHub(t))
	for _, method := range []string{"GET", "POST"} {
		r := newRequest(t, open, method, "/rest-api/push/find_all", "")
		r.Host = "evil.test:8081"
		got := send(t, open, r)
		got.wantStatus(t, http.StatusForbidden)
		if !strings.Contains(got.message(t), "http_allowed_hosts=evil.test") {
			t.Errorf("message = %q", got.message(t))
		}
		r = newRequest(t, closed, method, "/rest-api/push/find_all", "")
		r.Host = "evil.test:8081"
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		r.Header.Set("Sec-Fetch-Mode", "cors")
		got = send(t, closed, r)
		got.wantStatus(t, http.StatusUnauthorized)
		if challenge := got.Header.Get("WWW-Authenticate"); challenge != "" {
			t.Errorf("a browser is asked %q", challenge)
		}
		r = newRequest(t, closed, method, "/rest-api/push/find_all", "")
		r.Host = "live.example.org"
		r.SetBasicAuth("ann", "secret")
		send(t, closed, r).wantStatus(t, http.StatusNotFound)
	}
}

// A browser that uses plain HTTP from another machine sends no Sec-Fetch headers. It is not asked for a password either, because it would send the
// password with the requests of all pages from then on. A person who has opened the API is sent to the page for signing in.
func TestBrowsersAreNotChallenged(t *testing.T) {
	srv := newServerWith(t, Config{Auth: true}, &fakePushes{}, newHub(t))
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	const mozilla = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
	for _, tt := range []struct {
		name, agent, accept string
		status              int
		challenged          bool
	}{
		{"a script of a page", mozilla, "*/*", http.StatusUnauthorized, false},
		{"a person", mozilla, "text/html,application/xhtml+xml,*/*;q=0.8", http.StatusSeeOther, false},
		{"curl", "curl/8.5.0", "*/*", http.StatusUnauthorized, true},
		{"no name", "", "text/html", http.StatusUnauthorized, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRequest(t, srv, http.MethodGet, "/rest-api/push/history?limit=3", "")
			r.Header.Set("User-Agent", tt.agent)
			r.Header.Set("Accept", tt.accept)
			got, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			got.Body.Close()
			if challenge := got.Header.Get("WWW-Authenticate"); got.StatusCode != tt.status || (challenge != "") != tt.challenged {
				t.Errorf("answer = %d with WWW-Authenticate = %q, want %d and challenged = %t", got.StatusCode, challenge, tt.status, tt.challenged)
			}
		})
	}
}

// usersOf returns people with one administrator.
func usersOf(t *testing.T, name, password string) *people.People {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "users")
	text := "# who may use the API\n\n" + name + ":" + strings.Replace(string(hash), "$2a$", "$2y$", 1) + "\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	kept, err := state.Memory(t.Context(), log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kept.Close() })
	p, err := people.New(t.Context(), people.Config{UsersFile: file}, people.Parts{Keeper: kept, Shares: guard.DefaultSharesConfig()}, log)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestUsers(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Auth = true
	srv := newServerWith(t, cfg, &fakePushes{}, newHub(t))
	tests := []struct {
		name, user, password string
		want                 int
	}{
		{"right", "ann", "secret", 200},
		{"right again", "ann", "secret", 200},
		{"wrong password", "ann", "Secret", 401},
		{"no password", "ann", "", 401},
		{"unknown", "bob", "secret", 401},
		{"nobody", "", "", 401},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRequest(t, srv, http.MethodGet, "/rest-api/stream/find_all", "")
			r.SetBasicAuth(tt.user, tt.password)
			got := send(t, srv, r)
			got.wantStatus(t, tt.want)
			challenge := got.Header.Get("WWW-Authenticate")
			if asked := strings.HasPrefix(challenge, "Basic "); asked != (tt.want == 401) {
				t.Errorf("WWW-Authenticate = %q in an answer of %d", challenge, tt.want)
			}
		})
	}
	for _, path := range []string{
		"/rest-api/stream/find_all", "/rest-api/push/history", "/rest-api/push/events", "/rest-api/nothing",
		"/rest-api/openapi_specification",
	} {
		get(t, srv, path).wantStatus(t, http.StatusUnauthorized)
	}
}

func TestConfig(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Errorf("the defaults are not valid: %v", err)
	}
	bad := Config{AllowOrigin: "studio.example", Headers: "X-Good: 1;no colon;bad name: 2"}
	err := bad.Validate()
	if err == nil {
		t.Fatal("a bad config is valid")
	}
	for _, want := range []string{"rest_access_control_allow_origin:", `"no colon"`, `"bad name: 2"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("faults = %q, want %q among them", err, want)
		}
	}
	if _, err := New(bad, Parts{Pushes: &fakePushes{}, Streams: newHub(t), Events: newFakeEvents(0)}, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("an API was made of a bad config")
	}
}

// TestLogKeepsSecrets checks that the log, at the lowest level, does not have the secrets that a caller sent.
func TestLogKeepsSecrets(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	calls := &fakeCalls{err: sip.ErrPolicy}
	h, err := New(DefaultConfig(), Parts{Pushes: &fakePushes{}, Streams: newHub(t), Events: newFakeEvents(0), Calls: calls}, log)
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{
		`{"streamName":"name","rtmpUrl":"rtmp://u:hunter2@h/app/hunter2","password":"hunter2"}`,
		`{"streamName":"name","rtmpUrl":"x" "hunter2"}`,
		`{"streamName":"name","rtmpUrl":"x","width":"hunter2"}`,
		`{"streamName":"name","rtmpUrl":{"hunter2":1}}`,
	} {
		h.ServeHTTP(httptest.NewRecorder(), localRequest(t.Context(), http.MethodPost, "/rest-api/push/startup", strings.NewReader(body)))
	}
	for _, body := range []string{
		`{"callId":"c","callee":"1001","sipPassword":"hunter2"}`,
		`{"callId":"c","callee":"1001","sipPassword":{"hunter2":1}}`,
		`{"callId":"c","callee":"1001","sipPort":"hunter2"}`,
	} {
		h.ServeHTTP(httptest.NewRecorder(), localRequest(t.Context(), http.MethodPost, "/rest-api/call/startup", strings.NewReader(body)))
	}
	if !strings.Contains(out.String(), "rest request") {
		t.Fatalf("log = %q, want lines about the requests", &out)
	}
	if strings.Contains(out.String(), "hunter2") {
		t.Errorf("the log holds a secret: %s", &out)
	}
}
