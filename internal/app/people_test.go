package app

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"transponder/internal/access/people"
	"transponder/internal/config"
	"transponder/internal/testkit"
)

// journal is a log that several goroutines write.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// runLogged runs a whole server on a folder, until stop is called.
func runLogged(t *testing.T, dir string, settings ...string) (a *App, log *journal, stop func()) {
	t.Helper()
	cfg, warnings, err := config.Load(config.Sources{Set: append([]string{
		"http.port=0", "https.port=0", "ws.port=-1", "wss.port=-1", "rtmp.port=-1", "media_port_from=0",
		"tls_dir=" + dir, "media_dir=" + dir, "state_dir=" + dir + "/state", "audit_log=" + dir + "/audit.log",
	}, settings...)})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("settings: %v, %v", warnings, err)
	}
	log = &journal{}
	if a, err = New(t.Context(), cfg, "test", slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	t.Cleanup(stop)
	return a, log, stop
}

// browser is a client that keeps cookies.
type browser struct {
	t    *testing.T
	base string
	http.Client
}

func newBrowser(t *testing.T, a *App) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t, "https://127.0.0.1:" + strconv.Itoa(portOf(a.https)) + "/rest-api", http.Client{
		Jar: jar, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
	}}
}

// ask makes a request, and returns the status and the body of the answer.
func (b *browser) ask(method, path, body string) (int, string) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.base+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	resp, err := b.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func (b *browser) login(name, password string) (status int) {
	b.t.Helper()
	status, _ = b.ask("POST", "/session", `{"name":"`+name+`","password":"`+password+`"}`)
	return status
}

// The first administrator logs in with the password that the server has left, makes a user, and takes away what the user has. Then the server
// starts again. Nothing that was written has a secret.
func TestPeople(t *testing.T) {
	dir := t.TempDir()
	a, log, stop := runLogged(t, dir, "access=closed")
	initial := filepath.Join(dir, "state", "initial-admin-password")
	text, err := os.ReadFile(initial)
	if err != nil {
		t.Fatal(err)
	}
	password := strings.TrimSpace(string(text))
	if _, _, ok := a.FirstAdmin(); ok {
		t.Error("the password is shown, though nobody reads")
	}

	admin := newBrowser(t, a)
	if status, _ := admin.ask("GET", "/session", ""); status != http.StatusUnauthorized {
		t.Errorf("nobody gets %d", status)
	}
	if status := admin.login("admin", "wrong-password-CANARY"); status != http.StatusUnauthorized {
		t.Errorf("a wrong password gets %d", status)
	}
	if status := admin.login("admin", password); status != http.StatusOK {
		t.Fatalf("the login gets %d: %s", status, log)
	}
	if _, err := os.Stat(initial); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the password is still there: %v", err)
	}
	status, answer := admin.ask("POST", "/user/create", `{"name":"vera","role":"viewer"}`)
	var vera struct{ Password string }
	if err := json.Unmarshal([]byte(answer), &vera); err != nil || status != http.StatusOK || vera.Password == "" {
		t.Fatalf("create: %d %s", status, answer)
	}

	viewer := newBrowser(t, a)
	if status := viewer.login("vera", vera.Password); status != http.StatusOK {
		t.Fatalf("the login of the viewer gets %d", status)
	}
	for path, want := range map[string]int{"/push/history": 200, "/user/find_all": 403, "/audit": 403, "/key/find_all": 403} {
		if status, answer := viewer.ask("GET", path, ""); status != want {
			t.Errorf("a viewer gets %d from %s: %s", status, path, answer)
		}
	}
	events, err := viewer.Get(viewer.base + "/push/events")
	if err != nil || events.StatusCode != http.StatusOK {
		t.Fatalf("events: %v, %v", events, err)
	}
	defer events.Body.Close()
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, events.Body)
		close(ended)
	}()
	if status, answer := admin.ask("POST", "/user/update", `{"name":"vera","password":"another-password-CANARY"}`); status != http.StatusOK {
		t.Errorf("update: %d %s", status, answer)
	}
	select {
	case <-ended:
	case <-time.After(time.Second):
		t.Error("the events go on for more than a second after the password was changed")
	}
	if status, _ := viewer.ask("GET", "/session", ""); status != http.StatusUnauthorized {
		t.Errorf("the session goes on after the password was changed: %d", status)
	}

	if status, answer = admin.ask("GET", "/audit", ""); status != http.StatusOK {
		t.Fatalf("audit: %d %s", status, answer)
	}
	for _, want := range []string{`"do":"login"`, `"do":"user/create","object":"vera","ok":true`, `"object":"admin","ok":false,"why":"wrong name or password"`, `"sub":"admin"`} {
		if !strings.Contains(answer, want) {
			t.Errorf("the audit log lacks %s: %s", want, answer)
		}
	}

	cookies := admin.Jar.Cookies(mustURL(t, admin.base))
	stop()
	written, err := os.ReadFile(filepath.Join(dir, "audit.log"))
	if err != nil || !bytes.Contains(written, []byte("user/create")) {
		t.Errorf("the file of the audit log: %v, %s", err, written)
	}
	for what, text := range map[string]string{"log": log.String(), "audit log": answer, "file of the audit log": string(written)} {
		for _, secret := range []string{password, vera.Password, "CANARY", cookies[0].Value, "$2a$"} {
			if strings.Contains(text, secret) {
				t.Errorf("the %s has the secret %s", what, secret)
			}
		}
	}

	b, _, _ := runLogged(t, dir, "access=closed")
	again := newBrowser(t, b)
	port := strconv.Itoa(portOf(b.https))
	again.Jar.SetCookies(mustURL(t, again.base), []*http.Cookie{{Name: "__Host-transponder-" + port, Value: cookies[0].Value, Path: "/", Secure: true}})
	if status, answer := again.ask("GET", "/session", ""); status != http.StatusOK || !strings.Contains(answer, `"name":"admin"`) {
		t.Errorf("after a restart: %d %s", status, answer)
	}
	if _, err := os.Stat(initial); !errors.Is(err, os.ErrNotExist) {
		t.Error("the second start makes an administrator, too")
	}

	// Nobody knows the password any more.
	if err := people.LeaveReset(filepath.Join(dir, "state"), "admin", "a-third-password"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Reload(t.Context()); err != nil {
		t.Error(err)
	}
	testkit.Eventually(t, patience, func() string {
		if _, err := os.Stat(filepath.Join(dir, "state", "reset-admin")); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Sprintf("the new password is not taken up: %v", err)
		}
		return ""
	})
	if status := again.login("admin", "a-third-password"); status != http.StatusOK {
		t.Errorf("the new password is answered %d", status)
	}
}

// Tokens and keys that a user has made go with his rights.
func TestLostRights(t *testing.T) {
	a := runApp(t, "admin_password=the-admins-password")
	admin, otto := newBrowser(t, a), newBrowser(t, a)
	if status := admin.login("admin", "the-admins-password"); status != http.StatusOK {
		t.Fatalf("login: %d", status)
	}
	if status, answer := admin.ask("POST", "/user/create", `{"name":"otto","role":"operator","password":"ottos-password"}`); status != http.StatusOK {
		t.Fatalf("create: %d %s", status, answer)
	}
	if status := otto.login("otto", "ottos-password"); status != http.StatusOK {
		t.Fatalf("login: %d", status)
	}
	made := func(path, body, member string) string {
		t.Helper()
		status, answer := otto.ask("POST", path, body)
		var m map[string]any
		if err := json.Unmarshal([]byte(answer), &m); err != nil || status != http.StatusOK {
			t.Fatalf("%s: %d %s", path, status, answer)
		}
		return m[member].(string)
	}
	credentials := map[string]string{
		"token":     made("/token/create", `{"grants":[{"actions":["read"],"streams":["*"]}],"expiresIn":600}`, "token"),
		"wide key":  made("/key/create", `{"label":"wide","grants":[{"actions":["control"],"streams":["*"]}]}`, "key"),
		"small key": made("/key/create", `{"label":"small","grants":[{"actions":["read"],"streams":["*"]}]}`, "key"),
	}
	works := func(what string) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, admin.base+"/push/history", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+credentials[what])
		client := http.Client{Transport: admin.Transport}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	for what := range credentials {
		if status := works(what); status != http.StatusOK {
			t.Errorf("%s: %d", what, status)
		}
	}
	if status, answer := admin.ask("POST", "/user/update", `{"name":"otto","role":"viewer"}`); status != http.StatusOK {
		t.Fatalf("update: %d %s", status, answer)
	}
	for what, want := range map[string]int{"token": 401, "wide key": 401, "small key": 200} {
		if status := works(what); status != want {
			t.Errorf("%s after he is a viewer: %d, want %d", what, status, want)
		}
	}
	if status, answer := admin.ask("POST", "/user/remove", `{"name":"otto"}`); status != http.StatusOK {
		t.Fatalf("remove: %d %s", status, answer)
	}
	if status := works("small key"); status != http.StatusUnauthorized {
		t.Errorf("a key of a user who is gone: %d", status)
	}
}

// A user changes his own password. He needs the present one, and guesses count. Everybody who was logged in as him is logged out, but for the page
// that has asked.
func TestOwnPassword(t *testing.T) {
	t.Parallel()
	a := runApp(t, "access=closed", "admin_password=the-admins-password", "token_secret="+pageSecret)
	admin, vera, other := newBrowser(t, a), newBrowser(t, a), newBrowser(t, a)
	if status := admin.login("admin", "the-admins-password"); status != http.StatusOK {
		t.Fatalf("login: %d", status)
	}
	if status, answer := admin.ask("POST", "/user/create", `{"name":"vera","role":"viewer","password":"veras-password"}`); status != http.StatusOK {
		t.Fatalf("create: %d %s", status, answer)
	}
	for _, b := range []*browser{vera, other} {
		if status := b.login("vera", "veras-password"); status != http.StatusOK {
			t.Fatalf("login: %d", status)
		}
	}
	for _, tt := range []struct {
		name, body string
		want       int
	}{
		{"a wrong one", `{"password":"guessed-it","newPassword":"another-password"}`, 403},
		{"none", `{"newPassword":"another-password"}`, 400},
		{"too short", `{"password":"veras-password","newPassword":"short"}`, 400},
		{"the same", `{"password":"veras-password","newPassword":"veras-password"}`, 400},
		{"her name", `{"password":"veras-password","newPassword":"vera"}`, 400},
		{"of somebody else", `{"name":"admin","password":"the-admins-password","newPassword":"another-password"}`, 403},
		{"right", `{"password":"veras-password","newPassword":"another-password"}`, 200},
	} {
		if status, answer := vera.ask("POST", "/session/password", tt.body); status != tt.want {
			t.Errorf("%s: %d %s, want %d", tt.name, status, answer, tt.want)
		}
	}
	if status, answer := vera.ask("GET", "/session", ""); status != http.StatusOK || !strings.Contains(answer, `"vera"`) {
		t.Errorf("the page that has asked: %d %s", status, answer)
	}
	if status, _ := other.ask("GET", "/session", ""); status != http.StatusUnauthorized {
		t.Errorf("another page of hers: %d", status)
	}
	if status := other.login("vera", "veras-password"); status != http.StatusUnauthorized {
		t.Errorf("the old password: %d", status)
	}
	if status := other.login("vera", "another-password"); status != http.StatusOK {
		t.Errorf("the new password: %d", status)
	}
	if status := admin.login("admin", "the-admins-password"); status != http.StatusOK {
		t.Errorf("the administrator: %d", status)
	}
	stranger := newBrowser(t, a)
	if status, _ := stranger.ask("POST", "/session/password", `{"password":"another-password","newPassword":"strangers-password"}`); status != http.StatusUnauthorized {
		t.Errorf("nobody: %d", status)
	}
	if status, _ := stranger.ask("POST", "/session/password?", `{}`); status != http.StatusUnauthorized {
		t.Errorf("nobody: %d", status)
	}
	// Guesses from a page that somebody has left open.
	blocked := 0
	for range 60 {
		if status, _ := vera.ask("POST", "/session/password", `{"password":"guess","newPassword":"strangers-password"}`); status == http.StatusTooManyRequests {
			blocked++
		}
	}
	if blocked == 0 {
		t.Error("the present password can be guessed for ever")
	}
}

// A push ends with the right of the user who has started it, and with nothing less: a new password ends no show. A setting lets it go on.
func TestPushesOfUsers(t *testing.T) {
	t.Parallel()
	for name, outlives := range map[string]bool{"by default": false, "rtmp_push_outlives_user": true} {
		t.Run(name, func(t *testing.T) {
			a := runApp(t, "admin_password=the-admins-password", "rtmp_push_outlives_user="+strconv.FormatBool(outlives))
			far := testkit.NewRTMPServer(t, testkit.Script{})
			if _, _, err := rtmpPublisher(t, a, "show"); err != nil {
				t.Fatal(err)
			}
			admin := newBrowser(t, a)
			if status := admin.login("admin", "the-admins-password"); status != http.StatusOK {
				t.Fatalf("login: %d", status)
			}
			do := func(b *browser, path, body string) {
				t.Helper()
				if status, answer := b.ask("POST", path, body); status != http.StatusOK {
					t.Fatalf("%s: %d %s", path, status, answer)
				}
			}
			do(admin, "/destination/create", `{"name":"far","rtmpUrl":"`+far.URL("live/key")+`","streams":["*"]}`)
			there := func() bool {
				_, answer := admin.ask("POST", "/push/find_all", `{"empty":true}`)
				return strings.Contains(answer, `"rtmpUrl":"destination://far"`)
			}
			for _, how := range []struct{ path, body string }{
				{"/user/update", `{"name":"otto","role":"viewer"}`},
				{"/user/update", `{"name":"otto","role":"operator","streams":["other-*"]}`},
				{"/user/remove", `{"name":"otto"}`},
			} {
				if _, err := a.people.User("otto"); err != nil {
					do(admin, "/user/create", `{"name":"otto","role":"operator","password":"ottos-password"}`)
				} else {
					do(admin, "/user/update", `{"name":"otto","role":"operator","password":"ottos-password","streams":["*"]}`)
				}
				otto := newBrowser(t, a)
				if status := otto.login("otto", "ottos-password"); status != http.StatusOK {
					t.Fatalf("login: %d", status)
				}
				do(otto, "/push/startup", `{"streamName":"show","rtmpUrl":"destination://far"}`)
				do(admin, "/user/update", `{"name":"otto","password":"another-password"}`)
				if !there() {
					t.Fatal("a new password has ended the push")
				}
				do(admin, how.path, how.body)
				if outlives {
					if !there() {
						t.Errorf("%s %s ends the push", how.path, how.body)
					}
					_, answer := admin.ask("POST", "/push/find_all", `{"empty":true}`)
					var pushes []struct{ MediaSessionID string }
					if err := json.Unmarshal([]byte(answer), &pushes); err != nil || len(pushes) != 1 {
						t.Fatalf("%s: %v", answer, err)
					}
					do(admin, "/push/terminate", `{"mediaSessionId":"`+pushes[0].MediaSessionID+`"}`)
				}
				testkit.Eventually(t, patience, func() string {
					if there() {
						return "the push goes on after " + how.body
					}
					return ""
				})
			}
		})
	}
}

func mustURL(t *testing.T, address string) *url.URL {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
