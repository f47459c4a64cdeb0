//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// person is a client that keeps the cookie of his login, and shows it to whichever server he asks.
type person struct {
	t      *testing.T
	name   string
	cookie string // its value
}

// login logs in at a server. It returns "" or why that failed.
func (p *person) login(at *member, password string) string {
	p.t.Helper()
	resp, why := p.send(at, http.MethodPost, "/session", map[string]string{"name": p.name, "password": password})
	if why != "" {
		return why
	}
	if resp.StatusCode != http.StatusOK || len(resp.Cookies()) == 0 {
		return fmt.Sprintf("the login of %s answers %s", p.name, resp.Status)
	}
	p.cookie = resp.Cookies()[0].Value
	return ""
}

// knows is empty if a server knows who he is.
func (p *person) knows(at *member) string {
	resp, why := p.send(at, http.MethodGet, "/session", nil)
	if why == "" && resp.StatusCode != http.StatusOK {
		why = fmt.Sprintf("the session of %s is answered %s", p.name, resp.Status)
	}
	return why
}

func (p *person) send(at *member, method, path string, body any) (*http.Response, string) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err.Error()
	}
	ctx, cancel := context.WithTimeout(p.t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, at.rest+path, bytes.NewReader(text))
	if err != nil {
		return nil, err.Error()
	}
	req.Header.Set("Content-Type", "application/json")
	if p.cookie != "" {
		req.AddCookie(&http.Cookie{Name: "transponder-" + req.URL.Port(), Value: p.cookie})
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err.Error()
	}
	resp.Body.Close()
	return resp, ""
}

// relaunch starts the server again that was killed.
func (m *member) relaunch() {
	m.t.Helper()
	next := newServer(m.t, m.dir)
	next.cmd = exec.Command(m.cmd.Args[0], m.cmd.Args[1:]...)
	next.cmd.Path, next.cmd.Dir, next.cmd.Env, next.cmd.Stderr = m.cmd.Path, m.dir, m.cmd.Env, &next.log
	m.server = next
	m.launch()
	m.awaitReady()
}

// lists is empty once a list of a server names something.
func (m *member) lists(method, name string) func() string {
	return func() string {
		var all []map[string]any
		m.post(method, map[string]any{}, &all)
		for _, one := range all {
			if one["id"] == name || one["name"] == name {
				return ""
			}
		}
		return fmt.Sprintf("%s lists %v, without %s", method, all, name)
	}
}

// refusal is what a server says to a change that it refuses.
func (m *member) refusal(method string, body any) (code int, text string) {
	m.t.Helper()
	var answer struct{ Message string }
	code = m.post(method, body, &answer)
	return code, answer.Message
}

// TestPeopleOfTwoServers makes a user, a key and a destination at one server, and uses them at the other. When the key is removed at the first, the
// publisher and its push end at the other within a second.
func TestPeopleOfTwoServers(t *testing.T) {
	t.Parallel()
	g := newGroup(t)
	a, b := g.begin("a"), g.begin("b")
	for _, m := range []*member{a, b} {
		testkit.Eventually(t, time.Minute, func() string { return m.ready(http.StatusOK) })
	}
	sink := newFar(t)
	var key struct{ ID, Key string }
	for _, request := range []struct {
		method string
		body   map[string]any
		out    any
	}{
		{"/user/create", map[string]any{"name": "vera", "role": "viewer", "password": "veras-password"}, nil},
		{"/key/create", map[string]any{"label": "encoder", "grants": []any{map[string]any{"actions": []string{"publish"}, "streams": []string{"cam"}}}}, &key},
		{"/destination/create", map[string]any{"name": "stage", "rtmpUrl": sink.URL("live"), "streams": []string{"*"}}, nil},
	} {
		if code := a.post(request.method, request.body, request.out); code != http.StatusOK {
			t.Fatalf("%s answers %d", request.method, code)
		}
	}
	vera := &person{t: t, name: "vera"}
	testkit.Eventually(t, 10*time.Second, func() string { return vera.login(b, "veras-password") })
	testkit.Eventually(t, 10*time.Second, func() string { return vera.knows(a) })

	testkit.Eventually(t, 10*time.Second, b.lists("/key/find_all", key.ID))
	testkit.Eventually(t, 10*time.Second, b.lists("/destination/find_all", "stage"))
	b.whipToken = key.Key
	publish(t, b.server, "cam", testkit.DefaultPublisherConfig())
	var started push
	if code := a.post("/push/startup", map[string]any{"streamName": "cam", "rtmpUrl": "destination://stage"}, &started); code != http.StatusOK {
		t.Fatalf("startup answers %d", code)
	}
	sink.flows(1)
	if code := a.post("/key/remove", map[string]any{"id": key.ID}, nil); code != http.StatusOK {
		t.Fatalf("remove answers %d", code)
	}
	removed := time.Now()
	testkit.Eventually(t, 10*time.Second, func() string {
		if code := b.post("/stream/find", map[string]any{"name": "cam"}, nil); code != http.StatusNotFound {
			return fmt.Sprintf("the stream is still there: %d", code)
		}
		return ""
	})
	if took := time.Since(removed); took > 3*time.Second { // a second, and what a busy machine needs
		t.Errorf("the publisher went on for %v after his key was removed at the other server", took)
	}
	if _, err := b.exchange("cam")(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("the removed key is answered %v at the other server, want 401", err)
	}
}

// TestClusterLongPeople lets servers lose each other, NATS, and their processes, with people at work.
func TestClusterLongPeople(t *testing.T) {
	t.Parallel()
	keys := func(t *testing.T, m *member, stream string) (id, key string) {
		t.Helper()
		var made struct{ ID, Key string }
		body := map[string]any{"label": stream, "grants": []any{map[string]any{"actions": []string{"publish"}, "streams": []string{stream}}}}
		if code := m.post("/key/create", body, &made); code != http.StatusOK {
			t.Fatalf("create answers %d", code)
		}
		return made.ID, made.Key
	}
	settings := []string{"admin_password=the-admins-password"}

	// A push to a destination with a name goes on at another server, which resolves the name.
	t.Run("destination", func(t *testing.T) {
		t.Parallel()
		g := newGroup(t)
		a, b := g.join("a", settings...), g.join("b", settings...)
		sink := newFar(t)
		if code := a.post("/destination/create", map[string]any{"name": "stage", "rtmpUrl": sink.URL("live"), "streams": []string{"*"}}, nil); code != http.StatusOK {
			t.Fatalf("create answers %d", code)
		}
		_, leave := publish(t, a.server, "cam", testkit.DefaultPublisherConfig())
		var started push
		if code := a.post("/push/startup", map[string]any{"streamName": "cam", "rtmpUrl": "destination://stage"}, &started); code != http.StatusOK {
			t.Fatalf("startup answers %d", code)
		}
		sink.flows(1)
		a.waitPush("cam", "PUBLISHING")
		testkit.Eventually(t, 10*time.Second, func() string { // its record is there
			if len(g.records()) != 1 {
				return "NATS has no record of the push"
			}
			return ""
		})
		a.kill()
		leave()
		publish(t, b.server, "cam", testkit.DefaultPublisherConfig())
		sink.flows(2)
		if p := b.waitPush("cam", "PUBLISHING"); p.MediaSessionID != started.MediaSessionID {
			t.Errorf("the push at the other server is %s, want %s", p.MediaSessionID, started.MediaSessionID)
		}
		sink.judge(2)
	})

	// A server that is cut off goes on with a key that was removed meanwhile, and ends it when it is back.
	t.Run("cut off", func(t *testing.T) {
		t.Parallel()
		g := newGroup(t)
		a, b := g.join("a", settings...), g.join("b", settings...)
		sink := newFar(t)
		id, key := keys(t, a, "cam")
		b.whipToken = key
		testkit.Eventually(t, 10*time.Second, b.lists("/key/find_all", id))
		publish(t, b.server, "cam", testkit.DefaultPublisherConfig())
		sink.push(b, "cam")
		b.cut()
		testkit.Eventually(t, time.Minute, func() string {
			if code, _ := b.refusal("/user/create", map[string]any{"name": "new", "role": "viewer"}); code != http.StatusServiceUnavailable {
				return fmt.Sprintf("a change at the server that is cut off answers %d", code)
			}
			return ""
		})
		if code := a.post("/key/remove", map[string]any{"id": id}, nil); code != http.StatusOK {
			t.Fatalf("remove answers %d", code)
		}
		sink.flows(1) // nobody has told it
		b.mend()
		mended := time.Now()
		testkit.Eventually(t, time.Minute, func() string {
			if code := b.post("/stream/find", map[string]any{"name": "cam"}, nil); code != http.StatusNotFound {
				return fmt.Sprintf("the stream is still there: %d", code)
			}
			return ""
		})
		t.Logf("the publisher was ended %v after the link was back", time.Since(mended).Round(10*time.Millisecond))
		testkit.Eventually(t, 10*time.Second, func() string { return b.ready(http.StatusOK) })
	})

	// NATS dies, with all servers. A server that starts without it knows everybody; changes are refused with a reason. The servers come back to what
	// they were.
	t.Run("without NATS", func(t *testing.T) {
		t.Parallel()
		g := newGroup(t)
		a, b := g.join("a", settings...), g.join("b", settings...)
		_, key := keys(t, a, "cam")
		if code := b.post("/user/create", map[string]any{"name": "vera", "role": "viewer", "password": "veras-password"}, nil); code != http.StatusOK {
			t.Fatalf("create answers %d", code)
		}
		vera := &person{t: t, name: "vera"}
		testkit.Eventually(t, 10*time.Second, func() string { return vera.login(a, "veras-password") })
		g.nats.Kill(t)
		b.kill()
		b.relaunch()
		if why := vera.login(b, "veras-password"); why != "" {
			t.Errorf("after a kill, without NATS: %s", why)
		}
		b.whipToken = key
		_, leave := publish(t, b.server, "cam", testkit.DefaultPublisherConfig())
		for _, m := range []*member{a, b} {
			code, text := m.refusal("/user/create", map[string]any{"name": "new", "role": "viewer"})
			if code != http.StatusServiceUnavailable || !strings.Contains(text, "NATS cannot be reached") {
				t.Errorf("a change without NATS: %d %s", code, text)
			}
		}
		leave()
		if err := os.RemoveAll(filepath.Join(g.nats.Dir, "jetstream")); err != nil { // it has lost everything
			t.Fatal(err)
		}
		g.nats.Start(t)
		for _, m := range []*member{a, b} {
			testkit.Eventually(t, time.Minute, func() string { return m.ready(http.StatusOK) })
			testkit.Eventually(t, time.Minute, func() string {
				if code, text := m.refusal("/user/update", map[string]any{"name": "vera", "role": "operator"}); code != http.StatusOK {
					return fmt.Sprintf("a change answers %d %s", code, text)
				}
				return ""
			})
			testkit.Eventually(t, time.Minute, func() string { return (&person{t: t, name: "vera"}).login(m, "veras-password") })
		}
	})
}
