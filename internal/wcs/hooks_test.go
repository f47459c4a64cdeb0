package wcs

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"transponder/internal/access"
	"transponder/internal/access/auth"
	"transponder/internal/hook"
	"transponder/internal/rtc"
	"transponder/internal/state"
	"transponder/internal/stream"
	"transponder/internal/testkit"
)

// backend is the application server of a customer. It mirrors what it gets, as the vendor's samples do.
type backend struct {
	t *testing.T

	mu      sync.Mutex
	config  string                                                     // guarded by mu; restClientConfig
	answers map[string]func(body map[string]any) (int, map[string]any) // guarded by mu; by method
	got     []string                                                   // guarded by mu; method, and what matters of the body
	bodies  map[string][]map[string]any                                // guarded by mu; by method
	holds   map[string]chan struct{}                                   // guarded by mu; answers come when they are closed
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	method := path.Base(r.URL.Path)
	var body map[string]any
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		b.t.Errorf("%s: %v", method, err)
	}
	b.mu.Lock()
	line := method
	for _, name := range []string{"name", "status", "info"} {
		if v, ok := body[name].(string); ok {
			line += " " + v
		}
	}
	b.got = append(b.got, line)
	b.bodies[method] = append(b.bodies[method], maps.Clone(body))
	answer, hold, config := b.answers[method], b.holds[method], b.config
	b.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-r.Context().Done():
			return
		}
	}
	code := http.StatusOK
	if answer != nil {
		code, body = answer(body)
	}
	if method == "connect" && config != "" {
		body["restClientConfig"] = json.RawMessage(config)
	}
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body)
}

// answer sets the answer to a method.
func (b *backend) answer(method string, f func(body map[string]any) (int, map[string]any)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answers[method] = f
}

// refuse answers 403.
func refuseAll(map[string]any) (int, map[string]any) { return http.StatusForbidden, map[string]any{} }

// hold lets a method wait until the test calls release.
func (b *backend) hold(method string) (release func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	wait := make(chan struct{})
	b.holds[method] = wait
	return sync.OnceFunc(func() { close(wait) })
}

// want waits for hooks, which must come in this order. Others may come between.
func (b *backend) want(lines ...string) {
	b.t.Helper()
	testkit.Eventually(b.t, 10*time.Second, func() string {
		b.mu.Lock()
		defer b.mu.Unlock()
		rest := b.got
		for _, line := range lines {
			i := slices.Index(rest, line)
			if i < 0 {
				return fmt.Sprintf("the backend got %q, want %q among them, in order", b.got, lines)
			}
			rest = rest[i+1:]
		}
		return ""
	})
}

// body returns the last body of a method.
func (b *backend) body(method string) map[string]any {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.bodies[method]
	if len(all) == 0 {
		b.t.Fatalf("no %s came", method)
	}
	return all[len(all)-1]
}

func (b *backend) count(line string) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.got {
		if l == line {
			n++
		}
	}
	return n
}

// external begins a stream that no page publishes.
func (w *world) external(t *testing.T, name string) *stream.Source {
	t.Helper()
	src, err := w.hub.Publish(stream.Info{Name: name, ID: "external " + name})
	if err != nil {
		t.Fatal(err)
	}
	src.SetLive()
	return src
}

// newHookedWorld makes a world whose default app has a backend.
func newHookedWorld(t *testing.T, cfg Config, change func(*hook.Config, *hook.App)) (*closedWorld, *backend) {
	t.Helper()
	b := &backend{
		t: t, answers: map[string]func(map[string]any) (int, map[string]any){}, bodies: map[string][]map[string]any{},
		holds: map[string]chan struct{}{},
	}
	hs := httptest.NewServer(b)
	t.Cleanup(hs.Close)
	c := newClosedWorld(t, cfg, auth.DefaultConfig())
	store, err := state.Memory(t.Context(), c.srv.log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	apps, err := hook.NewApps(t.Context(), "", store, store.Sealer(), c.srv.log)
	if err != nil {
		t.Fatal(err)
	}
	hcfg := hook.DefaultConfig()
	app := hook.App{Name: "studio", Key: "studio", URL: hs.URL + "/app", Methods: hook.DefaultMethods()}
	if change != nil {
		change(&hcfg, &app)
	}
	if _, err := apps.Create(t.Context(), app); err != nil {
		t.Fatal(err)
	}
	hooks, err := hook.New(hcfg, hook.Parts{Apps: apps, Recorder: c.book}, c.srv.log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() { defer close(done); _ = hooks.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	parts := c.srv.parts
	parts.Hooks = hooks
	c.srv = New(cfg, parts, c.srv.log)
	return c, b
}

const studio = `"appKey":"studio","mediaProviders":["WebRTC"],"clientVersion":"2.0","clientOSVersion":"os","clientBrowserVersion":"br"`

// greet says hello to the app with the backend.
func (b *browser) greet(more string) map[string]any {
	b.t.Helper()
	b.raw(`{"message":"connection","data":[{` + studio + more + `}]}`)
	return b.want("getUserData")
}

const failAll = `{"publishStream":{"restOnError":"FAIL"},"playStream":{"restOnError":"FAIL"},"snapshot":{"restOnError":"FAIL"},` +
	`"OnDataEvent":{"restOnError":"FAIL"},"StreamStatusEvent":{"restOnError":"FAIL"},"ConnectionStatusEvent":{"restOnError":"FAIL"}}`

// A show from the connection to its end, as the backend hears it.
func TestHooksOfShow(t *testing.T) {
	c, back := newHookedWorld(t, testConfig(), nil)
	url := c.from(t, somewhere)
	cam, viewer := dialFrom(t, url, "https://studio.example"), dialFrom(t, url, "")
	d := cam.greet(`,"custom":{"token":"theirs"},"sipPassword":"SECRET","keepAlive":false`)
	if d["custom"] == nil || d["authToken"] == "" {
		t.Errorf("getUserData = %v", d)
	}
	body := back.body("connect")
	for name, want := range map[string]any{
		"appKey": "studio", "clientVersion": "2.0", "keepAlive": false, "origin": "https://studio.example", "useWsTunnel": false, "clientAddress": somewhere,
	} {
		if body[name] != want {
			t.Errorf("connect: %s = %v, want %v", name, body[name], want)
		}
	}
	if fmt.Sprint(body["custom"]) != "map[token:theirs]" {
		t.Errorf("custom = %v: the backend reads the token", body["custom"])
	}
	if strings.Contains(fmt.Sprint(body), "SECRET") || body["authToken"] != nil {
		t.Errorf("connect holds a secret: %v", body)
	}
	if n := len(c.tokens.verified); n != 0 {
		t.Errorf("%d tokens of the backend were verified here", n)
	}
	viewer.greet("")
	cam.raw(publishFrame("id1", "show", `,"custom":{"a":1},"rtmpUrl":"rtmp://h.example/live/KEY"`))
	cam.want("setRemoteSDP")
	c.ingest.publication("id1").src.SetLive()
	cam.wantStatus("id1", "PUBLISHING", "")
	viewer.playLive(c.world, "p1", "show")
	back.want("connect", "ConnectionStatusEvent ESTABLISHED", "publishStream show PENDING", "StreamStatusEvent show PUBLISHING")
	back.want("playStream show PENDING", "StreamStatusEvent show PLAYING")
	body = back.body("publishStream")
	for name, want := range map[string]any{
		"mediaSessionId": "id1", "name": "show", "published": true, "hasVideo": true, "status": "PENDING", "sdp": "v=0\r\noffer", "record": false,
		"mediaProvider": "WebRTC", "sessionId": back.body("connect")["sessionId"], "rtmpUrl": "rtmp://h.example/live/***",
	} {
		if name != "sessionId" && body[name] != want {
			t.Errorf("publishStream: %s = %v, want %v", name, body[name], want)
		}
	}
	if fmt.Sprint(body["custom"]) != "map[a:1]" {
		t.Errorf("custom = %v", body["custom"])
	}
	cam.raw(`{"message":"unPublishStream","data":[{"mediaSessionId":"id1","name":"show"}]}`)
	cam.want("notifyStreamStatusEvent", "inboundVideoRate")
	viewer.want("notifyStreamStatusEvent", "outboundVideoRate")
	_ = viewer.conn.CloseNow()
	back.want("unPublishStream show PUBLISHING", "StreamStatusEvent show UNPUBLISHED Stopped by user")
	back.want("StreamStatusEvent show FAILED Stopped by publisher stop", "ConnectionStatusEvent DISCONNECTED")
	_ = cam.conn.Close(1000, "")
	testkit.Eventually(t, 10*time.Second, func() string {
		if n := back.count("ConnectionStatusEvent DISCONNECTED"); n != 2 {
			return fmt.Sprintf("%d DISCONNECTED", n)
		}
		return ""
	})
	if n := back.count("ConnectionStatusEvent ESTABLISHED"); n != 2 {
		t.Errorf("%d ESTABLISHED, want one for each DISCONNECTED", n)
	}
}

// The SDK closes the media and sends unPublishStream at the same time. Whichever is first, the backend hears once that the page has ended the
// stream, before the status.
func TestBackendHearsEndOnce(t *testing.T) {
	c, back := newHookedWorld(t, testConfig(), nil)
	b := dialFrom(t, c.from(t, somewhere), "")
	b.greet("")
	b.publishLive(c.world, "id1", "show")
	b.play("p1", "show")
	b.want("setRemoteSDP", "inboundVideoRate")
	playback := <-c.egress.made
	close(playback.connected)
	b.want("notifyStreamStatusEvent", "inboundVideoRate")
	playback.die <- rtc.ErrClientClosed
	b.want("notifyStreamStatusEvent", "inboundVideoRate", "outboundVideoRate")
	b.raw(`{"message":"stopStream","data":[{"mediaSessionId":"p1","name":"show"}]}`)
	c.ingest.publication("id1").die <- rtc.ErrClientClosed
	b.want("notifyStreamStatusEvent", "inboundVideoRate")
	b.raw(`{"message":"unPublishStream","data":[{"mediaSessionId":"id1","name":"show"}]}`)
	back.want("stopStream show PLAYING", "StreamStatusEvent show STOPPED Stopped by user") // the two streams end side by side
	back.want("unPublishStream show PUBLISHING", "StreamStatusEvent show UNPUBLISHED Stopped by user")
	_ = b.conn.Close(1000, "")
	back.want("ConnectionStatusEvent DISCONNECTED")
	if back.count("stopStream show PLAYING") != 1 || back.count("unPublishStream show PUBLISHING") != 1 {
		t.Errorf("the backend got %q", back.got)
	}
}

// connect declines, whatever the settings say.
func TestBackendDeclines(t *testing.T) {
	c, back := newHookedWorld(t, testConfig(), nil)
	back.answer("connect", refuseAll)
	for _, address := range []string{somewhere, "127.0.0.1:9"} {
		b := dialFrom(t, c.from(t, address), "")
		b.raw(`{"message":"connection","data":[{` + studio + `}]}`)
		if d := b.want("fail"); d["apiMethod"] != "connect" || d["status"] != "FAILED" || d["info"] != "Restricted access" {
			t.Errorf("fail = %v", d)
		}
		if code, why := b.wantClosed(); code != 1008 || why != restricted {
			t.Errorf("closed by %d %q", code, why)
		}
	}
	if n := back.count("ConnectionStatusEvent DISCONNECTED"); n != 0 || len(c.srv.Connections()) != 0 {
		t.Error("a session that was refused was told of")
	}
	other := dialFrom(t, c.from(t, somewhere), "") // the app without a backend needs a credential of ours
	other.raw(`{"message":"connection","data":[{"appKey":"defaultApp"}]}`)
	if d := other.want("fail"); d["reason"] != stranger {
		t.Errorf("fail = %v", d)
	}
}

// What a refusal of the backend does: nothing by default, except connect; and all if the backend asks for that.
func TestBackendRefuses(t *testing.T) {
	for _, fails := range []bool{false, true} {
		t.Run(fmt.Sprintf("fails %v", fails), func(t *testing.T) {
			c, back := newHookedWorld(t, testConfig(), nil)
			if fails {
				back.config = failAll
			}
			for _, m := range []string{"publishStream", "playStream", "snapshot", "OnDataEvent"} {
				back.answer(m, refuseAll)
			}
			src := c.external(t, "live")
			defer src.Close(nil)
			b := dialFrom(t, c.from(t, somewhere), "")
			b.greet("")
			b.publish("id1", "show")
			if fails {
				if d := b.wantStatus("id1", "FAILED", "Restricted access"); d["reason"] != nil {
					t.Errorf("status = %v", d)
				}
			} else {
				b.want("setRemoteSDP")
			}
			b.play("p1", "live")
			if fails {
				b.wantStatus("p1", "FAILED", "Restricted access")
			} else {
				b.want("setRemoteSDP")
			}
			b.raw(`{"message":"snapshot","data":[{"mediaSessionId":"q","name":"live"}]}`)
			if d := b.want("notifyStreamEvent"); (d["type"] == "snapshotFailed") != fails {
				t.Errorf("snapshot: %v", d)
			}
			b.raw(`{"message":"sendData","data":[{"operationId":"o1","payload":{"x":1}}]}`)
			if d := b.want("DataStatusEvent"); (d["status"] == "FAILED") != fails {
				t.Errorf("data: %v", d)
			}
			if got := fmt.Sprint(back.body("OnDataEvent")["payload"]); got != "map[x:1]" {
				t.Errorf("payload = %s", got)
			}
			if fails && back.count("StreamStatusEvent show FAILED Restricted access") != 0 {
				t.Error("the backend is told of the stream that it has refused")
			}
		})
	}
}

// A refusal of an event ends what the event is about.
func TestBackendRefusesEvents(t *testing.T) {
	c, back := newHookedWorld(t, testConfig(), nil)
	back.config = failAll
	back.answer("StreamStatusEvent", func(body map[string]any) (int, map[string]any) {
		if body["status"] == "PUBLISHING" {
			return http.StatusForbidden, nil
		}
		return http.StatusOK, nil
	})
	b := dialFrom(t, c.from(t, somewhere), "")
	b.greet("")
	b.publishLive(c.world, "id1", "show")
	if d := b.want("notifyStreamStatusEvent", "inboundVideoRate"); d["status"] != "FAILED" || d["info"] != "Restricted access" {
		t.Errorf("status = %v", d)
	}
	back.answer("ConnectionStatusEvent", refuseAll)
	other := dialFrom(t, c.from(t, somewhere), "")
	other.greet("")
	if code, _ := other.wantClosed(); code != 1008 {
		t.Errorf("closed by %d", code)
	}
}

// The backend may give a stream another name and a push. The page keeps the name that it knows, all others see the new one.
func TestBackendRenames(t *testing.T) {
	c, back := newHookedWorld(t, testConfig(), nil)
	back.config = `{"publishStream":{"restPolicy":"OVERWRITE","restOverwrite":"name, rtmpUrl"},"playStream":{"restPolicy":"OVERWRITE","restOverwrite":"name"},"StreamStatusEvent":{"clientExclude":"nodeId, audioState"}}`
	back.answer("publishStream", func(body map[string]any) (int, map[string]any) {
		body["name"], body["rtmpUrl"], body["mediaSessionId"] = "hidden-"+body["name"].(string), "destination://main", "other"
		return 200, body
	})
	back.answer("playStream", func(body map[string]any) (int, map[string]any) {
		body["name"] = "hidden-" + body["name"].(string)
		return 200, body
	})
	b := dialFrom(t, c.from(t, somewhere), "")
	b.greet("")
	b.publish("id1", "show")
	b.want("setRemoteSDP")
	c.ingest.publication("id1").src.SetLive()
	d := b.wantStatus("id1", "PUBLISHING", "")
	if d["name"] != "show" || d["nodeId"] != nil || d["audioState"] != nil || d["videoState"] == nil {
		t.Errorf("the page got %v", d)
	}
	back.want("StreamStatusEvent hidden-show PUBLISHING")
	testkit.Eventually(t, 10*time.Second, func() string {
		if p := c.pusher.started(); len(p) != 1 || p[0].URL != "destination://main" || p[0].StreamName != "hidden-show" {
			return fmt.Sprintf("pushes: %+v", p)
		}
		return ""
	})
	b.play("p1", "show")
	b.want("setRemoteSDP", "inboundVideoRate")
	close((<-c.egress.made).connected)
	if d := b.want("notifyStreamStatusEvent", "inboundVideoRate"); d["name"] != "show" || d["status"] != "PLAYING" {
		t.Errorf("the player got %v", d)
	}
	if p := c.srv.Players(); len(p) != 1 || p[0].Name != "hidden-show" {
		t.Errorf("Players = %+v", p)
	}
	for name, want := range map[string]string{"a://b": "Failed by error", "x\x00": "Failed by error", strings.Repeat("x", 300): "Failed by error", "show2": "Stream name is already in use"} {
		taken := c.external(t, "show2")
		back.answer("publishStream", func(body map[string]any) (int, map[string]any) {
			body["name"] = name
			return 200, body
		})
		b.publish("id-"+want, "other")
		if d := b.want("notifyStreamStatusEvent", "inboundVideoRate", "outboundVideoRate"); d["status"] != "FAILED" || d["info"] != want || d["name"] != "other" {
			t.Errorf("renamed to %q: %v", name, d)
		}
		taken.Close(nil)
	}
}

// A backend gives out what its app has, and no more.
func TestBackendRenamesWithinItsApp(t *testing.T) {
	c, back := newHookedWorld(t, testConfig(), func(_ *hook.Config, a *hook.App) {
		a.Grants = grants("acme/*", access.Publish, access.Play)
	})
	back.config = `{"publishStream":{"restPolicy":"OVERWRITE","restOverwrite":"name"},"playStream":{"restPolicy":"OVERWRITE","restOverwrite":"name"}}`
	rename := func(body map[string]any) (int, map[string]any) {
		body["name"] = "other/x"
		return 200, body
	}
	back.answer("publishStream", rename)
	back.answer("playStream", rename)
	defer c.external(t, "other/x").Close(nil)
	b := dialFrom(t, c.from(t, somewhere), "")
	b.greet("")
	b.publish("id1", "acme/x")
	b.wantStatus("id1", "FAILED", "Restricted access")
	b.play("p1", "acme/x")
	b.wantStatus("p1", "FAILED", "Session does not exist")
}

// While a backend thinks, the page is heard, and nobody else gets the name.
func TestSlowBackend(t *testing.T) {
	c, back := newHookedWorld(t, testConfig(), nil)
	url := c.from(t, somewhere)
	b, other := dialFrom(t, url, ""), dialFrom(t, url, "")
	b.greet("")
	other.greet("")
	release := back.hold("publishStream")
	defer release()
	b.publish("id1", "show")
	back.want("publishStream show PENDING")
	b.raw(`{"message":"ping","data":[null]}`)
	b.want("pong")
	other.publish("id2", "show")
	other.wantStatus("id2", "FAILED", "Stream name is already in use")
	b.raw(`{"message":"unPublishStream","data":[{"mediaSessionId":"id1","name":"show"}]}`)
	b.wantStatus("id1", "UNPUBLISHED", "Stopped by user")
	back.want("unPublishStream show PENDING", "StreamStatusEvent show UNPUBLISHED Stopped by user")
	other.publish("id3", "show") // the name is free at once
	testkit.Eventually(t, 10*time.Second, func() string {
		if n := back.count("publishStream show PENDING"); n != 2 {
			return fmt.Sprintf("%d requests", n)
		}
		return ""
	})
	_ = other.conn.CloseNow() // while asked
	testkit.Eventually(t, 10*time.Second, func() string {
		free, err := c.srv.parts.Asked.Reserve("show")
		if err != nil {
			return "the name is reserved"
		}
		free()
		return ""
	})
	b.publish("id4", "show")
	release()
	b.want("setRemoteSDP")
	if n := len(c.hub.Sources()); n != 1 {
		t.Errorf("%d streams", n)
	}
}

// The backend changes what the page has said, and what the page gets.
func TestBackendChangesConnection(t *testing.T) {
	c, back := newHookedWorld(t, testConfig(), nil)
	back.config = `{"connect":{"restPolicy":"OVERWRITE","restOverwrite":"custom,keepAlive,sessionId,appKey","clientExclude":"clientOSVersion,authToken"}}`
	back.answer("connect", func(body map[string]any) (int, map[string]any) {
		body["custom"], body["keepAlive"], body["sessionId"], body["appKey"] = map[string]any{"role": "host"}, false, "x", "y"
		return 200, body
	})
	b := dialFrom(t, c.from(t, somewhere), "")
	d := b.greet(`,"keepAlive":true,"custom":{"token":"t"}`)
	if fmt.Sprint(d["custom"]) != "map[role:host]" || d["keepAlive"] != false || d["clientOSVersion"] != nil || d["authToken"] == "" || d["appKey"] != "studio" {
		t.Errorf("getUserData = %v", d)
	}
	conn := c.srv.Connections()[0]
	if conn.KeepAlive || string(conn.Custom) != `{"role":"host"}` || conn.AppKey != "studio" || conn.SessionID == "x" {
		t.Errorf("Connection = %+v", conn)
	}
}

// The policy of the app says what a client needs.
func TestPolicies(t *testing.T) {
	for _, tt := range []struct {
		policy  hook.Policy
		token   string
		comesIn bool
		asked   int
	}{
		{hook.PolicyHook, "", true, 1},
		{hook.PolicyHook, "cam", true, 1}, // the backend reads it
		{hook.PolicyBoth, "", false, 0},
		{hook.PolicyBoth, "garbage", false, 0},
		{hook.PolicyBoth, "cam", true, 1},
		{hook.PolicyToken, "", false, 0},
	} {
		t.Run(fmt.Sprintf("%s with %q", tt.policy, tt.token), func(t *testing.T) {
			c, back := newHookedWorld(t, testConfig(), func(_ *hook.Config, a *hook.App) { a.Auth = tt.policy })
			b := dialFrom(t, c.from(t, somewhere), "")
			b.raw(`{"message":"connection","data":[{` + studio + `,"custom":{"token":"` + tt.token + `"}}]}`)
			if tt.comesIn {
				b.want("getUserData")
			} else {
				b.want("fail")
			}
			if n := back.count("connect"); n != tt.asked {
				t.Errorf("connect was asked %d times, want %d", n, tt.asked)
			}
			if !tt.comesIn {
				return
			}
			b.publish("id1", "other-1")
			if tt.policy == hook.PolicyHook {
				b.want("setRemoteSDP")
			} else {
				b.wantStatus("id1", "FAILED", "Restricted access") // the token is for cam-*
			}
		})
	}
}

// A backend gets the tokens of its pages, but no stored key of this server.
func TestBackendGetsNoKey(t *testing.T) {
	c, back := newHookedWorld(t, testConfig(), func(_ *hook.Config, a *hook.App) { a.Auth = hook.PolicyBoth })
	b := dialFrom(t, c.from(t, somewhere), "")
	b.greet(`,"custom":{"Token":"tpk_x","user":"u"}`)
	b.raw(publishFrame("id1", "any", `,"custom":{"token":"tpk_x","a":1}`))
	b.want("setRemoteSDP")
	for method, want := range map[string]string{"connect": "map[Token:*** user:u]", "publishStream": "map[a:1 token:***]"} {
		if got := fmt.Sprint(back.body(method)["custom"]); got != want {
			t.Errorf("%s: custom = %s, want %s", method, got, want)
		}
	}
	for in, want := range map[string]string{`"tpk_x"`: `"***"`, `{"token":"a.b.c"}`: `{"token":"a.b.c"}`, `"text"`: `"text"`, `7`: `7`, ``: ``} {
		if got := string(withoutKey(json.RawMessage(in))); got != want {
			t.Errorf("withoutKey(%s) = %s, want %s", in, got, want)
		}
	}
}

// A foreign page that the backend lets in has the rights of the app, not those of the machine that its browser runs on.
func TestForeignPageOfApp(t *testing.T) {
	c, _ := newHookedWorld(t, testConfig(), func(_ *hook.Config, a *hook.App) { a.Grants = grants("acme/*", access.Play) })
	url := c.from(t, "127.0.0.1:9")
	foreign, own := dialFrom(t, url, "https://evil.example"), dialFrom(t, url, "")
	foreign.greet("")
	foreign.publish("id1", "show")
	foreign.wantStatus("id1", "FAILED", "Restricted access")
	own.greet("")
	own.publish("id2", "show")
	own.want("setRemoteSDP")
}

// The end of a stream by the backend's answer to keep-alive.
func TestKeepAliveHooks(t *testing.T) {
	c, back := newHookedWorld(t, testConfig(), func(cfg *hook.Config, a *hook.App) {
		cfg.KeepAlive, cfg.KeepAliveInterval, cfg.KeepAliveApps = true, 10*time.Millisecond, nil
		a.Methods = append(a.Methods, hook.StreamKeepAliveEvent)
	})
	b := dialFrom(t, c.from(t, somewhere), "")
	b.greet("")
	b.publishLive(c.world, "id1", "show")
	b.play("p1", "show")
	b.want("setRemoteSDP", "inboundVideoRate")
	close((<-c.egress.made).connected)
	b.want("notifyStreamStatusEvent", "inboundVideoRate")
	back.want("StreamKeepAliveEvent show PUBLISHING")
	back.want("StreamKeepAliveEvent show PLAYING")
	back.answer("StreamKeepAliveEvent", func(body map[string]any) (int, map[string]any) {
		if body["published"] == true {
			return http.StatusOK, nil
		}
		return http.StatusForbidden, nil
	})
	if d := b.want("notifyStreamStatusEvent", "inboundVideoRate", "outboundVideoRate"); d["mediaSessionId"] != "p1" || d["status"] != "FAILED" || d["info"] != "Terminated by keep-alive" {
		t.Errorf("status = %v", d)
	}
}

// A session that is kept is told of once, when it is over.
func TestHooksOfKeptSession(t *testing.T) {
	cfg := testConfig()
	c, back := newHookedWorld(t, cfg, nil)
	url := c.from(t, somewhere)
	b := dialFrom(t, url, "")
	token, _ := b.greet(`,"keepAlive":true,"custom":{"user":"x"}`)["authToken"].(string)
	b.publishLive(c.world, "id1", "show")
	_ = b.conn.CloseNow()
	c.lost(t)
	next := dialFrom(t, url, "")
	next.raw(`{"message":"connection","data":[{"authToken":"` + token + `"}]}`)
	next.want("getUserData")
	next.wantStatus("id1", "PUBLISHING", "")
	if n := back.count("connect"); n != 1 {
		t.Errorf("connect was asked %d times", n)
	}
	c.leases.End(func(p *access.Principal) bool { return p.Kind == access.Hook }, access.ErrRevoked)
	next.wantClosed()
	back.want("StreamStatusEvent show FAILED Restricted access")
	testkit.Eventually(t, 10*time.Second, func() string {
		back.mu.Lock()
		defer back.mu.Unlock()
		last := back.got[len(back.got)-1]
		if !strings.HasPrefix(last, "ConnectionStatusEvent DISCONNECTED") {
			return fmt.Sprintf("the last hook is %q", last)
		}
		return ""
	})
}

// Data goes to the backend in its order, and too much of it is refused.
func TestDataInOrder(t *testing.T) {
	c, back := newHookedWorld(t, testConfig(), nil)
	b := dialFrom(t, c.from(t, somewhere), "")
	b.greet("")
	release := back.hold("OnDataEvent")
	const most = maxData + 1 // one is under way
	for i := range most + 1 {
		b.raw(fmt.Sprintf(`{"message":"sendData","data":[{"operationId":"o%d","payload":%d}]}`, i, i))
		if i == 0 {
			back.want("OnDataEvent")
		}
	}
	if d := b.want("DataStatusEvent"); d["status"] != "FAILED" || d["operationId"] != fmt.Sprintf("o%d", most) {
		t.Errorf("first answer %v, want a refusal of the last", d)
	}
	release()
	for i := range most {
		if d := b.want("DataStatusEvent"); d["status"] != "ACCEPTED" || d["operationId"] != fmt.Sprintf("o%d", i) {
			t.Errorf("answer %d is %v", i, d)
		}
	}
	var payloads []any
	back.mu.Lock()
	for _, body := range back.bodies["OnDataEvent"] {
		payloads = append(payloads, body["payload"])
	}
	back.mu.Unlock()
	if !slices.IsSortedFunc(payloads, func(a, b any) int { return int(a.(float64) - b.(float64)) }) {
		t.Errorf("payloads came as %v", payloads)
	}
}
