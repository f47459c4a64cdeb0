package app

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"transponder/internal/access"
	"transponder/internal/access/people"
	"transponder/internal/testkit"
	"transponder/internal/testkit/natskit"
)

// townhall is a cluster whose people a test looks at.
type townhall struct {
	t    *testing.T
	nats *natskit.Server
	key  string            // file
	dirs map[string]string // of the servers
}

func newTownhall(t *testing.T) *townhall {
	t.Helper()
	h := &townhall{t: t, nats: natskit.Start(t), key: filepath.Join(t.TempDir(), "key"), dirs: map[string]string{}}
	if err := os.WriteFile(h.key, []byte(base64.StdEncoding.EncodeToString(make([]byte, 32))+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return h
}

// house is one server.
type house struct {
	*App
	log  *journal
	stop func()
	dir  string
}

// open starts a server of the cluster, in the folder that it had before.
func (h *townhall) open(id string, settings ...string) house {
	h.t.Helper()
	if h.dirs[id] == "" {
		h.dirs[id] = h.t.TempDir()
	}
	s := house{dir: h.dirs[id]}
	s.App, s.log, s.stop = runLogged(h.t, s.dir, append([]string{
		"access=closed", "cluster_nats_url=" + h.nats.URL(), "cluster_node_id=" + id, "secrets_key_file=" + h.key,
	}, settings...)...)
	return s
}

// initial is the file with the first administrator's password.
func (s house) initial() string { return filepath.Join(s.dir, "state", "initial-admin-password") }

// carry makes a browser that shows a server the cookie of another one, as a load balancer lets it.
func (b *browser) carry(to *App) *browser {
	b.t.Helper()
	next := newBrowser(b.t, to)
	for _, c := range b.Jar.Cookies(mustURL(b.t, b.base)) {
		name := "__Host-transponder-" + strconv.Itoa(portOf(to.https))
		next.Jar.SetCookies(mustURL(b.t, next.base), []*http.Cookie{{Name: name, Value: c.Value, Path: "/", Secure: true}})
	}
	return next
}

// must asks for something that works, and reads the answer into result unless that is nil.
func (b *browser) must(path, body string, result any) {
	b.t.Helper()
	status, answer := b.ask("POST", path, body)
	if status != http.StatusOK {
		b.t.Fatalf("%s %s: %d %s", path, body, status, answer)
	}
	if result != nil {
		if err := json.Unmarshal([]byte(answer), result); err != nil {
			b.t.Fatalf("%s: %v: %s", path, err, answer)
		}
	}
}

// answers is empty if GET path is answered with a status.
func (b *browser) answers(path string, want int) func() string {
	return func() string {
		if status, answer := b.ask("GET", path, ""); status != want {
			return fmt.Sprintf("GET %s of %s: %d %s, want %d", path, b.base, status, answer, want)
		}
		return ""
	}
}

// shows is answers for somebody with a token or a key.
func (b *browser) shows(credential, path string, want int) func() string {
	return func() string {
		r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.base+path, nil)
		if err != nil {
			return err.Error()
		}
		r.Header.Set("Authorization", "Bearer "+credential)
		resp, err := (&http.Client{Transport: b.Transport}).Do(r)
		if err != nil {
			return err.Error()
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			return fmt.Sprintf("%s answers a credential with %d, want %d", b.base, resp.StatusCode, want)
		}
		return ""
	}
}

// follow begins a request that lasts. The channel is closed when the server ends it.
func (b *browser) follow(credential string) <-chan struct{} {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.base+"/push/events", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	client := &b.Client
	if credential != "" {
		r.Header.Set("Authorization", "Bearer "+credential)
		client = &http.Client{Transport: b.Transport}
	}
	resp, err := client.Do(r)
	if err != nil || resp.StatusCode != http.StatusOK {
		b.t.Fatalf("events: %v, %v", resp, err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
	}()
	return ended
}

// ends fails the test if what was begun does not end.
func ends(t *testing.T, what string, ended <-chan struct{}) {
	t.Helper()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Errorf("%s goes on", what)
	}
}

// Whatever is made or taken away at one server is so at the other one.
func TestPeopleOfACluster(t *testing.T) {
	t.Parallel()
	h := newTownhall(t)
	a, b := h.open("a"), h.open("b")
	text, err := os.ReadFile(a.initial())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(b.initial()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the second server has made an administrator, too: %v", err)
	}
	atB := newBrowser(t, b.App)
	if status := atB.login("admin", strings.TrimSpace(string(text))); status != http.StatusOK {
		t.Fatalf("the first administrator's login at the other server: %d", status)
	}
	adminA := atB.carry(a.App)
	testkit.Eventually(t, patience, adminA.answers("/user/find_all", 200))
	testkit.Eventually(t, patience, func() string {
		if _, err := os.Stat(a.initial()); !errors.Is(err, fs.ErrNotExist) {
			return "the first administrator's password is still in its file, though he has logged in elsewhere"
		}
		return ""
	})

	// A user of A is one of B. He is shut out at B when he is removed at A, and so is what he has begun there.
	adminA.must("/user/create", `{"name":"Zoë O.","role":"operator","password":"zoes-password"}`, nil)
	var zoe *browser
	testkit.Eventually(t, patience, func() string {
		zoe = newBrowser(t, b.App)
		if status := zoe.login("Zoë O.", "zoes-password"); status != http.StatusOK {
			return fmt.Sprintf("the user's login at the other server: %d", status)
		}
		return ""
	})
	var token struct{ Token, JTI string }
	zoe.must("/token/create", `{"grants":[{"actions":["read"],"streams":["*"]}],"expiresIn":600}`, &token)
	testkit.Eventually(t, patience, adminA.shows(token.Token, "/push/history", 200)) // one key signs the tokens of all
	events := zoe.follow("")
	adminA.must("/user/update", `{"name":"Zoë O.","role":"viewer"}`, nil)
	ends(t, "what a user has begun who has another role", events)
	testkit.Eventually(t, patience, zoe.answers("/key/find_all", 403))
	events = zoe.follow("")
	adminA.must("/user/remove", `{"name":"Zoë O."}`, nil)
	ends(t, "what a user has begun who was removed", events)
	testkit.Eventually(t, patience, zoe.answers("/session", 401))
	testkit.Eventually(t, patience, atB.shows(token.Token, "/push/history", 401))

	// Keys and tokens.
	var key struct{ ID, Key string }
	adminA.must("/key/create", `{"label":"encoder","grants":[{"actions":["read"],"streams":["*"]}]}`, &key)
	testkit.Eventually(t, patience, atB.shows(key.Key, "/push/history", 200))
	events = atB.follow(key.Key)
	adminA.must("/key/remove", `{"id":"`+key.ID+`"}`, nil)
	ends(t, "what was begun with a key that was removed", events)
	testkit.Eventually(t, patience, atB.shows(key.Key, "/push/history", 401))
	atB.must("/token/create", `{"grants":[{"actions":["read"],"streams":["*"]}],"expiresIn":600}`, &token)
	testkit.Eventually(t, patience, adminA.shows(token.Token, "/push/history", 200))
	events = adminA.follow(token.Token)
	atB.must("/token/revoke", `{"jti":"`+token.JTI+`"}`, nil)
	ends(t, "what was begun with a token that was revoked", events)
	testkit.Eventually(t, patience, adminA.shows(token.Token, "/push/history", 401))
	used := access.Credential{Door: "whip"}
	var once struct{ Token string }
	adminA.must("/token/create", `{"grants":[{"actions":["publish"],"streams":["*"]}],"expiresIn":600,"once":true}`, &once)
	used.Token = once.Token
	if _, err := a.tokens.Verify(t.Context(), used); err != nil {
		t.Errorf("a token for one use: %v", err)
	}
	if _, err := b.tokens.Verify(t.Context(), used); err == nil {
		t.Error("a token for one use was good at both servers")
	}

	// Destinations and applications.
	adminA.must("/destination/create", `{"name":"stage","rtmpUrl":"rtmp://example.com:1935/live/KEY-CANARY","streams":["*"]}`, nil)
	testkit.Eventually(t, patience, func() string {
		if d, err := b.destinations.Resolve(t.Context(), "stage"); err != nil || !strings.HasSuffix(string(d.URL), "/KEY-CANARY") {
			return fmt.Sprintf("the destination at the other server: %v, %v", d, err)
		}
		return ""
	})
	adminA.must("/app/create", `{"name":"shop","key":"shop","url":"http://127.0.0.1:9/hooks","username":"u","password":"SECRET-CANARY"}`, nil)
	testkit.Eventually(t, patience, func() string {
		if app, ok := b.apps.ByName("shop"); !ok || app.Password != "SECRET-CANARY" {
			return fmt.Sprintf("the application at the other server: %v", ok)
		}
		return ""
	})
	atB.must("/app/remove", `{"name":"shop"}`, nil)
	testkit.Eventually(t, patience, func() string {
		if _, ok := a.apps.ByName("shop"); ok {
			return "the application is still at the first server"
		}
		return ""
	})

	// A logout at one server is one at all. The audit log of each says where it was written.
	if status, answer := adminA.ask("DELETE", "/session", ""); status != http.StatusOK {
		t.Errorf("logout: %d %s", status, answer)
	}
	testkit.Eventually(t, patience, atB.answers("/session", 401))
	for _, s := range []house{a, b} {
		s.stop()
		lines, err := os.ReadFile(filepath.Join(s.dir, "audit.log"))
		if want := `"node":"` + s.cfg.Audit.Node + `"`; err != nil || !strings.Contains(string(lines), want) {
			t.Errorf("the audit log lacks %s: %v\n%s", want, err, lines)
		}
		for what, text := range map[string]string{"log": s.log.String(), "audit log": string(lines)} {
			if strings.Contains(text, "CANARY") || strings.Contains(text, "zoes-password") || strings.Contains(text, key.Key) {
				t.Errorf("the %s of %s has a secret", what, s.cfg.Audit.Node)
			}
		}
	}
	for _, name := range filesBelow(t, h.nats.Dir) {
		if text, err := os.ReadFile(name); err == nil && (strings.Contains(string(text), "CANARY") || strings.Contains(string(text), key.Key)) {
			t.Errorf("NATS has a secret that is not sealed, in %s", name)
		}
	}
}

func filesBelow(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, path)
		}
		return err
	})
	if err != nil || len(names) == 0 {
		t.Fatalf("files of NATS: %q, %v", names, err)
	}
	return names
}

// Without NATS those who were known log in, and nothing can be changed. What has ended meanwhile at one server ends at the other one when NATS is
// back, and a server that starts meanwhile knows what it knew last.
func TestPeopleWithoutNATS(t *testing.T) {
	t.Parallel()
	h := newTownhall(t)
	a, b := h.open("a", "admin_password=the-admins-password"), h.open("b", "admin_password=the-admins-password")
	admin := newBrowser(t, a.App)
	if status := admin.login("admin", "the-admins-password"); status != http.StatusOK {
		t.Fatalf("login: %d", status)
	}
	admin.must("/user/create", `{"name":"vera","role":"viewer","password":"veras-password"}`, nil)
	var key struct{ ID, Key string }
	admin.must("/key/create", `{"label":"encoder","grants":[{"actions":["read"],"streams":["*"]}]}`, &key)
	vera := newBrowser(t, a.App)
	if status := vera.login("vera", "veras-password"); status != http.StatusOK {
		t.Fatalf("login: %d", status)
	}
	veraAtB := vera.carry(b.App)
	testkit.Eventually(t, patience, veraAtB.answers("/session", 200))

	h.nats.Kill(t)
	testkit.Eventually(t, time.Minute, func() string {
		if a.shared.Writable() == nil || b.shared.Writable() == nil {
			return "the servers do not know that NATS is away"
		}
		return ""
	})
	for path, body := range map[string]string{
		"/user/create":        `{"name":"new","role":"viewer"}`,
		"/user/update":        `{"name":"vera","role":"operator"}`,
		"/user/remove":        `{"name":"vera"}`,
		"/key/create":         `{"label":"x","grants":[{"actions":["read"],"streams":["*"]}]}`,
		"/key/remove":         `{"id":"` + key.ID + `"}`,
		"/token/revoke":       `{"sub":"user:vera"}`,
		"/session/terminate":  `{"id":"` + a.people.Sessions()[0].ID + `"}`,
		"/destination/create": `{"name":"stage","rtmpUrl":"rtmp://example.com/live/x","streams":["*"]}`,
		"/app/create":         `{"name":"shop","key":"shop"}`,
	} {
		if status, answer := admin.ask("POST", path, body); status != http.StatusServiceUnavailable || !strings.Contains(answer, "NATS cannot be reached") {
			t.Errorf("%s without NATS: %d %s", path, status, answer)
		}
	}
	for what, why := range map[string]string{
		"a session": veraAtB.answers("/session", 200)(), "a key at a": admin.shows(key.Key, "/push/history", 200)(),
		"a key at b": veraAtB.shows(key.Key, "/push/history", 200)(),
	} {
		if why != "" {
			t.Errorf("%s without NATS: %s", what, why)
		}
	}
	late := newBrowser(t, b.App)
	if status := late.login("vera", "veras-password"); status != http.StatusOK {
		t.Errorf("a login without NATS: %d", status)
	}
	if status, answer := vera.ask("DELETE", "/session", ""); status != http.StatusOK {
		t.Errorf("a logout without NATS: %d %s", status, answer)
	}
	if err := people.LeaveReset(filepath.Join(a.dir, "state"), "admin", "a-third-password"); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Reload(t.Context()); err != nil {
		t.Error(err)
	}
	b.stop()
	b = h.open("b", "admin_password=the-admins-password")
	again := newBrowser(t, b.App)
	if status := again.login("vera", "veras-password"); status != http.StatusOK {
		t.Errorf("a login after a start without NATS: %d: %s", status, b.log)
	}
	if _, err := os.Stat(b.initial()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a start without NATS has made an administrator: %v", err)
	}

	h.nats.Start(t)
	// What has changed at one server while it was alone.
	testkit.Eventually(t, time.Minute, func() string {
		a.people.Reload() // looks for the new password now
		if status := newBrowser(t, b.App).login("admin", "a-third-password"); status != http.StatusOK {
			return fmt.Sprintf("the new password that was left at the other server: %d", status)
		}
		return ""
	})
	testkit.Eventually(t, time.Minute, func() string {
		b.people.Reload()
		return again.carry(a.App).answers("/session", 200)() // begun while nobody could be told
	})
	testkit.Eventually(t, time.Minute, vera.carry(b.App).answers("/session", 401))
	if why := vera.answers("/session", 401)(); why != "" {
		t.Errorf("a session that has ended without NATS came back: %s", why)
	}
	var made struct{ Name string }
	fresh := newBrowser(t, a.App)
	if status := fresh.login("admin", "a-third-password"); status != http.StatusOK {
		t.Fatalf("login: %d", status)
	}
	fresh.must("/user/create", `{"name":"new","role":"viewer"}`, &made)
	testkit.Eventually(t, patience, func() string {
		if _, err := b.people.User("new"); err != nil {
			return err.Error()
		}
		return ""
	})
}

// A server with users of its own brings them into an empty cluster. The next one leaves its own aside, and has them again when it is alone.
func TestPeopleOfASoloServerInACluster(t *testing.T) {
	t.Parallel()
	h := newTownhall(t)
	for _, id := range []string{"a", "b"} {
		h.dirs[id] = t.TempDir()
		alone, _, stop := runLogged(t, h.dirs[id], "access=closed", "admin_password=password-of-"+id, "secrets_key_file="+h.key)
		own := newBrowser(t, alone)
		if status := own.login("admin", "password-of-"+id); status != http.StatusOK {
			t.Fatalf("login: %d", status)
		}
		own.must("/destination/create", `{"name":"of-`+id+`","rtmpUrl":"rtmp://example.com/live/x","streams":["*"]}`, nil)
		stop()
	}
	a, b := h.open("a"), h.open("b")
	for _, s := range []house{a, b} {
		if status := newBrowser(t, s.App).login("admin", "password-of-b"); status != http.StatusUnauthorized {
			t.Errorf("the password of the user that was left aside: %d", status)
		}
		if status := newBrowser(t, s.App).login("admin", "password-of-a"); status != http.StatusOK {
			t.Errorf("the password of the user who was brought in: %d", status)
		}
		all, err := s.destinations.List(t.Context())
		if err != nil || len(all) != 1 || all[0].Name != "of-a" || !all[0].KeySet {
			t.Errorf("the destinations are %v, %v", all, err)
		}
	}
	if !strings.Contains(b.log.String(), "are not used while it is in the cluster") || !strings.Contains(a.log.String(), "are those of the cluster now") {
		t.Errorf("the logs do not say what has become of the users:\n%s\n%s", a.log, b.log)
	}
	b.stop()
	alone, _, _ := runLogged(t, h.dirs["b"], "access=closed", "secrets_key_file="+h.key)
	if status := newBrowser(t, alone).login("admin", "password-of-b"); status != http.StatusOK {
		t.Errorf("the user that was left aside, after the server has left the cluster: %d", status)
	}
}
