package wcs

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"transponder/internal/access"
	"transponder/internal/access/audit"
	"transponder/internal/access/auth"
	"transponder/internal/guard"
	"transponder/internal/sip"
	"transponder/internal/stream"
	"transponder/internal/testkit"
)

// tokens knows the principals of some tokens, by their text.
type tokens struct {
	mu       sync.Mutex
	known    map[string]*access.Principal // guarded by mu
	verified []string                     // guarded by mu
	hold     chan struct{}                // guarded by mu; not nil: answers come when it is closed
}

func (k *tokens) Verify(ctx context.Context, c access.Credential) (*access.Principal, error) {
	k.mu.Lock()
	k.verified = append(k.verified, c.Token)
	p, hold := k.known[c.Token], k.hold
	k.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	switch {
	case strings.HasPrefix(c.Token, "expired"):
		return nil, &access.BadCredential{Detail: "the token has expired 40 s ago"}
	case p == nil:
		return nil, &access.BadCredential{}
	}
	return p, nil
}

func (k *tokens) forget(token string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.known, token)
}

// book is an audit log.
type book struct {
	mu    sync.Mutex
	lines []string // guarded by mu
}

func (b *book) Note(l audit.Line) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, fmt.Sprintf("%s %s %s %s %v", l.Via, l.Who.Kind, l.Do, l.Stream, l.OK))
}

func (b *book) has(line string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.lines {
		if l == line {
			return true
		}
	}
	return false
}

// somewhere is where the clients of the tests are: addresses of the documentation, so that no rule for this machine counts.
const somewhere = "198.51.100.7:4000"

// closedWorld is a world whose pages come from elsewhere, and need a credential there.
type closedWorld struct {
	*world
	tokens *tokens
	book   *book
	leases *access.Leases
	quotas *access.Quotas
	auth   *auth.Authenticator
}

func grants(streams string, actions ...access.Action) []access.Grant {
	return []access.Grant{{Actions: actions, Streams: []string{streams}}}
}

func newClosedWorld(t *testing.T, cfg Config, conf auth.Config) *closedWorld {
	t.Helper()
	c := &closedWorld{
		tokens: &tokens{known: map[string]*access.Principal{
			"cam":    {Kind: access.Token, Subject: "ann", ID: "j1", Grants: append(grants("cam-*", access.Publish, access.Play), access.Grant{Actions: []access.Action{access.Push}, Streams: []string{"cam-*"}, URLs: []string{"rtmp://good.example:1935/*"}})},
			"ann2":   {Kind: access.Token, Subject: "ann", ID: "j2", Grants: grants("cam-*", access.Publish, access.Play)},
			"viewer": {Kind: access.Token, Subject: "vic", Grants: grants("cam-*", access.Play)},
			"tpk_x":  {Kind: access.Key, ID: "k1", Stream: "cam-key", Grants: grants("cam-key", access.Publish)},
			"one":    {Kind: access.Token, Subject: "one", Grants: grants("*", access.Publish, access.Play), Limits: access.Limits{Publishers: 1, Players: 1}},
			"phone":  {Kind: access.Token, Subject: "pho", Grants: grants("sip:*", access.Publish, access.Play)},
			"old":    {Kind: access.Token, Subject: "ann", ID: "j0", Grants: grants("cam-*", access.Publish, access.Play), Expires: time.Now().Add(-time.Minute)},
			"none":   {Kind: access.Token, Subject: "non"},
		}},
		book:   &book{},
		leases: access.NewLeases(),
		quotas: access.NewQuotas(),
	}
	c.world = newWorld(t, cfg)
	refusals := guard.NewRefusals(c.srv.log)
	c.auth = auth.New(conf, auth.Parts{
		Tokens: c.tokens, Recorder: c.book, Refusals: refusals, Leases: c.leases, Quotas: c.quotas,
	}, c.srv.log)
	parts := c.srv.parts
	parts.Access, parts.Refusals = c.auth, refusals
	c.srv = New(cfg, parts, c.srv.log)
	return c
}

// from serves the world to clients at an address.
func (c *closedWorld) from(t *testing.T, address string) (url string) {
	t.Helper()
	hs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RemoteAddr = address
		c.srv.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		if err := c.srv.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		hs.Close()
	})
	return "ws" + strings.TrimPrefix(hs.URL, "http")
}

func dialFrom(t *testing.T, url, origin string) *browser {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	header := http.Header{}
	if origin != "" {
		header.Set("Origin", origin)
	}
	conn, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPHeader: header})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	conn.SetReadLimit(-1)
	return &browser{t: t, conn: conn}
}

// with says hello with a token.
func (b *browser) with(token string) {
	b.t.Helper()
	b.hello(`,"custom":{"token":"` + token + `"}`)
}

const stranger = "a valid token, key or password is needed"

// Who comes in, by what he shows, from where, in which mode.
func TestDoor(t *testing.T) {
	const own, evil = "http://localhost:3000", "https://evil.example"
	tests := []struct {
		name            string
		mode            auth.Mode
		anonymous       []access.Action
		address, origin string
		path, hello     string
		reason          string // "": comes in
	}{
		{"nothing", auth.Auto, nil, somewhere, "", "", "", stranger},
		{"nothing, closed", auth.Closed, nil, somewhere, "", "", "", stranger},
		{"nothing, open", auth.Open, nil, somewhere, "", "", "", ""},
		{"anonymous may play", auth.Auto, []access.Action{access.Play}, somewhere, "", "", "", ""},
		{"garbage", auth.Auto, nil, somewhere, "", "", `,"custom":{"token":"garbage"}`, stranger},
		{"expired", auth.Auto, nil, somewhere, "", "", `,"custom":{"token":"expired"}`, "the token has expired 40 s ago"},
		{"token", auth.Auto, nil, somewhere, "", "", `,"custom":{"token":"cam"}`, ""},
		{"token without grants", auth.Auto, nil, somewhere, "", "", `,"custom":{"token":"none"}`, ""},
		{"text that is a key", auth.Auto, nil, somewhere, "", "", `,"custom":"tpk_x"`, ""},
		{"text that is none", auth.Auto, nil, somewhere, "", "", `,"custom":"cam"`, stranger},
		{"token in the URL", auth.Auto, nil, somewhere, "", "/a/b?x=1&token=cam", "", ""},
		{"bad token in the URL", auth.Auto, nil, somewhere, "", "/?token=x", "", stranger},
		{"key as authToken", auth.Auto, nil, somewhere, "", "", `,"authToken":"tpk_x"`, ""},
		{"custom before URL", auth.Auto, nil, somewhere, "", "/?token=cam", `,"custom":{"token":"x"}`, stranger},
		{"no text as token", auth.Auto, nil, somewhere, "", "", `,"custom":{"token":{"a":1}}`, stranger},
		{"this machine", auth.Auto, nil, "127.0.0.1:9", "", "", "", ""},
		{"page of this machine", auth.Auto, nil, "127.0.0.1:9", own, "", "", ""},
		{"foreign page on this machine", auth.Auto, nil, "127.0.0.1:9", evil, "", "", "a page of https://evil.example may not use this: if it may, write ws_allowed_origins=evil.example in the settings"},
		{"foreign page on this machine, open", auth.Open, nil, "127.0.0.1:9", evil, "", "", "a page of https://evil.example may not use this: if it may, write ws_allowed_origins=evil.example in the settings"},
		{"foreign page with a token", auth.Auto, nil, "127.0.0.1:9", evil, "", `,"custom":{"token":"cam"}`, ""},
		{"foreign page with garbage", auth.Auto, nil, "127.0.0.1:9", evil, "", `,"custom":{"token":"garbage"}`, stranger},
		{"this machine, closed", auth.Closed, nil, "127.0.0.1:9", "", "", "", stranger},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newClosedWorld(t, testConfig(), auth.Config{Mode: tt.mode, Anonymous: tt.anonymous})
			b := dialFrom(t, c.from(t, tt.address)+tt.path, tt.origin)
			if tt.reason == "" {
				b.hello(tt.hello)
				return
			}
			reason := tt.reason
			if len(reason) > 123 {
				reason = reason[:120] + "…"
			}
			b.raw(`{"message":"connection","data":[{"appKey":"defaultApp"` + tt.hello + `}]}`)
			if d := b.want("fail"); d["info"] != "Restricted access" || d["reason"] != tt.reason {
				t.Errorf("refused by %v, want %q", d, tt.reason)
			}
			if code, why := b.wantClosed(); code != websocket.StatusPolicyViolation || why != reason {
				t.Errorf("closed by %d %q, want %q", code, why, reason)
			}
			if n := len(c.srv.Connections()); n != 0 {
				t.Errorf("%d sessions are left", n)
			}
		})
	}
}

// What the bearer of a token may do is what its grants say. A stranger's questions all have the answer for a stream that does not exist.
func TestGrants(t *testing.T) {
	c := newClosedWorld(t, testConfig(), auth.DefaultConfig())
	url := c.from(t, somewhere)
	cam, viewer := dialFrom(t, url, ""), dialFrom(t, url, "")
	cam.with("cam")
	viewer.with("viewer")
	cam.publishLive(c.world, "id1", "cam-1")
	for _, name := range []string{"other-live", "other-none"} {
		if name == "other-live" {
			src, err := c.hub.Publish(stream.Info{Name: name, ID: "other"})
			if err != nil {
				t.Fatal(err)
			}
			src.SetLive()
			defer src.Close(nil)
		}
		viewer.play("p-"+name, name)
		d := viewer.wantStatus("p-"+name, "FAILED", "Session does not exist")
		if want := `stream "` + name + `" is not among cam-*, which this token may play`; d["reason"] != want {
			t.Errorf("reason = %v, want %q", d["reason"], want)
		}
		viewer.raw(`{"message":"availableStream","data":[{"mediaSessionId":"q","name":"` + name + `"}]}`)
		if d := viewer.want("availableStream"); d["status"] != "false" || d["info"] != "Stream not found" {
			t.Errorf("availableStream = %v", d)
		}
		viewer.raw(`{"message":"snapshot","data":[{"mediaSessionId":"q","name":"` + name + `"}]}`)
		if d := viewer.want("notifyStreamEvent"); fmt.Sprint(d["payload"]) != "map[info:Stream not found]" {
			t.Errorf("snapshot = %v", d)
		}
		viewer.publish("w-"+name, name) // a name in use is no different
		viewer.wantStatus("w-"+name, "FAILED", "Restricted access")
	}
	viewer.playLive(c.world, "p1", "cam-1")
	viewer.publish("w1", "cam-1")
	if d := viewer.wantStatus("w1", "FAILED", "Restricted access"); d["reason"] != "this token has no grant to publish" {
		t.Errorf("reason = %v", d["reason"])
	}
	if !c.book.has("websocket token publish cam-1 true") || !c.book.has("websocket token publish cam-1 false") || !c.book.has("websocket token play other-live false") {
		t.Errorf("the audit log has %q", c.book.lines)
	}
}

// A push of rtmpUrl is refused before the stream begins.
func TestPushNeedsGrant(t *testing.T) {
	c := newClosedWorld(t, testConfig(), auth.DefaultConfig())
	b := dialFrom(t, c.from(t, somewhere), "")
	b.with("cam")
	b.raw(publishFrame("id1", "cam-1", `,"rtmpUrl":"rtmp://bad.example/live"`))
	b.wantStatus("id1", "FAILED", "Restricted access")
	if len(c.ingest.offers) != 0 || len(c.pusher.started()) != 0 {
		t.Error("the offer was answered, or a push was started")
	}
	for _, url := range []string{"destination://main", "http://good.example:1935/x", "rtmp://good.example:1936/live", "rtmp://good.example@bad.example/live", "x"} {
		b.raw(publishFrame("id1", "cam-1", `,"rtmpUrl":"`+url+`"`))
		b.wantStatus("id1", "FAILED", "Restricted access")
	}
	b.raw(publishFrame("id2", "cam-1", `,"rtmpUrl":"RTMP://user:pass@Good.example/live"`))
	b.want("setRemoteSDP")
	c.ingest.publication("id2").src.SetLive()
	b.wantStatus("id2", "PUBLISHING", "")
	testkit.Eventually(t, 10*time.Second, func() string {
		if p := c.pusher.started(); len(p) != 1 || p[0].By.Identity() != "token::ann" {
			return fmt.Sprintf("pushes: %+v", p)
		}
		return ""
	})
}

// A token for one stream counts for that stream, in place of what the session may do.
func TestTokenOfOneStream(t *testing.T) {
	c := newClosedWorld(t, testConfig(), auth.DefaultConfig())
	b := dialFrom(t, c.from(t, somewhere), "")
	b.with("none")
	b.publish("id1", "cam-1")
	b.wantStatus("id1", "FAILED", "Restricted access")
	b.raw(publishFrame("id2", "cam-2", `,"custom":{"token":"cam"}`))
	b.want("setRemoteSDP")
	b.raw(playFrame("p1", "cam-2", `,"custom":{"token":"garbage"}`))
	if d := b.wantStatus("p1", "FAILED", "Restricted access"); d["reason"] != stranger {
		t.Errorf("reason = %v", d["reason"])
	}
	c.ingest.publication("id2").src.SetLive()
	b.wantStatus("id2", "PUBLISHING", "")
	b.raw(playFrame("p2", "cam-2", `,"custom":{"token":"viewer"}`))
	b.want("setRemoteSDP", "inboundVideoRate")
	close((<-c.egress.made).connected)
	b.want("notifyStreamStatusEvent", "inboundVideoRate")
	if n := c.leases.End(func(p *access.Principal) bool { return p.Subject == "vic" }, access.ErrRevoked); n != 1 {
		t.Errorf("%d leases have ended", n)
	}
	if d := b.want("notifyStreamStatusEvent", "inboundVideoRate", "outboundVideoRate"); d["mediaSessionId"] != "p2" || d["info"] != "Restricted access" {
		t.Errorf("the player whose token was revoked got %v", d)
	}
	c.leases.End(func(p *access.Principal) bool { return p.Subject == "ann" }, access.ErrRevoked)
	if d := b.want("notifyStreamStatusEvent", "inboundVideoRate"); d["mediaSessionId"] != "id2" || d["status"] != "FAILED" || d["info"] != "Restricted access" {
		t.Errorf("the publisher whose token was revoked got %v", d)
	}
	b.wantQuiet()
}

// The name of a stored key is not the name of its stream. The page keeps the name that it gave.
func TestKeyNamesStream(t *testing.T) {
	c := newClosedWorld(t, testConfig(), auth.DefaultConfig())
	b := dialFrom(t, c.from(t, somewhere), "")
	b.with("tpk_x")
	b.publish("id1", "whatever")
	b.want("setRemoteSDP")
	c.ingest.publication("id1").src.SetLive()
	if d := b.wantStatus("id1", "PUBLISHING", ""); d["name"] != "whatever" {
		t.Errorf("the page is told the name %v", d["name"])
	}
	if _, found := c.hub.Source("cam-key"); !found {
		t.Errorf("the streams are %v, want cam-key", c.hub.Sources())
	}
	b.raw(`{"message":"snapshot","data":[{"mediaSessionId":"id1","name":"whatever"}]}`)
	if d := b.want("notifyStreamEvent", "inboundVideoRate"); d["type"] != "snapshotCompleted" {
		t.Errorf("snapshot of its own stream: %v", d)
	}
}

// A token that has expired lets nothing begin, and ends nothing.
func TestExpiredTokenBeginsNothing(t *testing.T) {
	c := newClosedWorld(t, testConfig(), auth.DefaultConfig())
	b := dialFrom(t, c.from(t, somewhere), "")
	b.with("old")
	b.raw(publishFrame("id1", "cam-1", `,"custom":{"token":"ann2"}`))
	b.want("setRemoteSDP")
	c.ingest.publication("id1").src.SetLive()
	b.wantStatus("id1", "PUBLISHING", "")
	b.publish("id2", "cam-2")
	d := b.want("notifyStreamStatusEvent", "inboundVideoRate")
	if reason, _ := d["reason"].(string); d["mediaSessionId"] != "id2" || d["info"] != "Restricted access" || !strings.Contains(reason, "expired at") {
		t.Errorf("status = %v", d)
	}
	if _, found := c.hub.Source("cam-1"); !found {
		t.Error("the stream that had begun has ended")
	}
}

// A session ends at once when its principal loses his rights.
func TestRevokedSession(t *testing.T) {
	c := newClosedWorld(t, testConfig(), auth.DefaultConfig())
	url := c.from(t, somewhere)
	cam, viewer := dialFrom(t, url, ""), dialFrom(t, url, "")
	cam.with("cam")
	cam.publishLive(c.world, "id1", "cam-1")
	viewer.with("viewer")
	viewer.playLive(c.world, "p1", "cam-1")
	c.leases.End(func(p *access.Principal) bool { return p.Subject == "vic" }, access.ErrRevoked)
	for {
		name, data := viewer.next()
		if name == "fail" {
			if !strings.Contains(data, "access_revoked") || !strings.Contains(data, restricted) {
				t.Errorf("fail %s", data)
			}
			break
		}
	}
	if code, why := viewer.wantClosed(); code != websocket.StatusPolicyViolation || !strings.HasPrefix(why, "access_revoked") {
		t.Errorf("closed by %d %q", code, why)
	}
	cam.wantQuiet("inboundVideoRate") // others go on
	// The player ends beside the socket.
	testkit.Eventually(t, 10*time.Second, func() string {
		if n := len(c.srv.Players()); n != 0 {
			return fmt.Sprintf("%d players are left", n)
		}
		return ""
	})
}

func TestLimitsOfPrincipal(t *testing.T) {
	c := newClosedWorld(t, testConfig(), auth.DefaultConfig())
	url := c.from(t, somewhere)
	a, b := dialFrom(t, url, ""), dialFrom(t, url, "")
	a.with("one")
	b.with("one")
	a.publishLive(c.world, "id1", "one")
	b.publish("id2", "two")
	if d := b.wantStatus("id2", "FAILED", "Restricted access"); d["reason"] != "the limit of 1 publishers is reached" {
		t.Errorf("reason = %v", d["reason"])
	}
	b.playLive(c.world, "p1", "one")
	b.play("p2", "one")
	b.want("notifyStreamStatusEvent", "outboundVideoRate")
	a.raw(`{"message":"unPublishStream","data":[{"mediaSessionId":"id1","name":"one"}]}`)
	a.want("notifyStreamStatusEvent", "inboundVideoRate")
	wantEnd := func(id, status string) {
		t.Helper()
		if d := b.want("notifyStreamStatusEvent", "outboundVideoRate"); d["mediaSessionId"] != id || d["status"] != status {
			t.Fatalf("status = %v, want %s of %s", d, status, id)
		}
	}
	wantEnd("p1", "FAILED") // its publisher has ended
	b.publish("id3", "three")
	b.want("setRemoteSDP")
	c.ingest.fail(fmt.Errorf("bad offer"))
	b.raw(`{"message":"unPublishStream","data":[{"mediaSessionId":"id3","name":"three"}]}`)
	wantEnd("id3", "UNPUBLISHED")
	for range 3 { // a failure gives its place back
		b.publish("id4", "four")
		if d := b.want("notifyStreamStatusEvent", "outboundVideoRate"); d["info"] != "Failed by error" {
			t.Fatalf("status = %v", d)
		}
	}
}

// A publisher who sends more than his token allows ends with the word for what is not allowed, and hears why.
func TestRateOfPrincipal(t *testing.T) {
	c := newClosedWorld(t, testConfig(), auth.DefaultConfig())
	c.tokens.known["slow"] = &access.Principal{Kind: access.Token, Subject: "slo", Grants: grants("*", access.Publish), Limits: access.Limits{BitrateKbps: 500}}
	b := dialFrom(t, c.from(t, somewhere), "")
	b.with("slow")
	b.publishLive(c.world, "id1", "one")
	p := c.ingest.publication("id1")
	if got := p.src.Info().Publisher.MaxRateBPS; got != 500_000 {
		t.Errorf("the limit is %d bit/s", got)
	}
	p.die <- stream.ErrRate // as stream.Hub does
	if d := b.want("notifyStreamStatusEvent", "inboundVideoRate"); d["info"] != "Restricted access" || d["reason"] != stream.ErrRate.Error() {
		t.Errorf("status = %v", d)
	}
}

// Only who began a session may return to it. A token that has expired meanwhile is as good as before.
func TestReturnNeedsSamePrincipal(t *testing.T) {
	for _, tt := range []struct {
		name, token string
		returns     bool
	}{
		{"same token", "cam", true},
		{"another token of the same holder", "ann2", true},
		{"token of another", "viewer", false},
		{"no token", "", false},
		{"garbage", "garbage", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newClosedWorld(t, testConfig(), auth.DefaultConfig())
			url := c.from(t, somewhere)
			b := dialFrom(t, url, "")
			token := b.hello(`,"keepAlive":true,"custom":{"token":"cam","user":"x"}`)
			b.publishLive(c.world, "id1", "cam-1")
			_ = b.conn.CloseNow()
			c.lost(t)
			c.tokens.forget("cam") // it has expired
			next := dialFrom(t, url, "")
			next.raw(`{"message":"connection","data":[{"authToken":"` + token + `","custom":{"token":"` + tt.token + `"}}]}`)
			if !tt.returns {
				if code, _ := next.wantClosed(); code != websocket.StatusPolicyViolation {
					t.Errorf("closed by %d", code)
				}
				if n := c.srv.Stats().Kept; n != 1 {
					t.Errorf("%d sessions wait, want the victim's", n)
				}
				return
			}
			d := next.want("getUserData")
			if got := fmt.Sprint(d["custom"]); got != "map[token:*** user:x]" {
				t.Errorf("custom = %s, want it without the token", got)
			}
			next.wantStatus("id1", "PUBLISHING", "")
		})
	}
}

// A page that is asked about goes on to be heard.
func TestReaderDoesNotWaitForAccess(t *testing.T) {
	c := newClosedWorld(t, testConfig(), auth.DefaultConfig())
	url := c.from(t, somewhere)
	b := dialFrom(t, url, "")
	b.with("cam")
	hold := make(chan struct{})
	c.tokens.mu.Lock()
	c.tokens.hold = hold
	c.tokens.mu.Unlock()
	b.raw(publishFrame("id1", "cam-1", `,"custom":{"token":"ann2"}`))
	b.wantQuiet()
	b.raw(`{"message":"unPublishStream","data":[{"mediaSessionId":"id1","name":"cam-1"}]}`)
	b.wantStatus("id1", "UNPUBLISHED", "Stopped by user")
	b.raw(playFrame("p1", "cam-1", `,"custom":{"token":"ann2"}`))
	b.raw(`{"message":"stopStream","data":[{"mediaSessionId":"p1","name":"cam-1"}]}`)
	b.wantStatus("p1", "STOPPED", "Stopped by user")
	late := dialFrom(t, url, "")
	late.raw(`{"message":"connection","data":[{"custom":{"token":"viewer"}}]}`)
	late.raw(`{"message":"ping","data":[null]}`)
	if name, _ := late.next(); name != "pong" {
		t.Errorf("%s came first", name)
	}
	late.raw(`{"message":"connection","data":[{"custom":{"token":"viewer"}}]}`) // once is enough
	close(hold)
	late.want("getUserData")
	late.wantQuiet()
	if n := len(c.hub.Sources()); n != 0 {
		t.Errorf("%d streams", n)
	}
	c.tokens.mu.Lock()
	defer c.tokens.mu.Unlock()
	if n := len(c.tokens.verified); n != 4 {
		t.Errorf("%d tokens were verified: %q", n, c.tokens.verified)
	}
}

// A call sends and receives: it needs both grants on the callee's name. An account needs them on its own name, since others can call it.
func TestCallNeedsGrants(t *testing.T) {
	c := newClosedWorld(t, testConfig(), auth.DefaultConfig())
	line := c.withSIP(t)
	url := c.from(t, somewhere)
	b := dialFrom(t, url, "")
	b.hello(`,"custom":{"token":"cam"},"sipLogin":"3000","sipDomain":"sip.example"`)
	if d := b.want("fail"); d["apiMethod"] != "register" || d["info"] != "Restricted access" {
		t.Errorf("fail = %v", d)
	}
	c.tokens.known["phone1"] = &access.Principal{Kind: access.Token, Subject: "p1", Grants: grants("sip:300*", access.Publish, access.Play)}
	p := dialFrom(t, url, "")
	p.hello(`,"custom":{"token":"phone1"},"sipLogin":"3000","sipDomain":"sip.example"`)
	phone := <-line.opened
	p.raw(callFrame("c1", "4001", ""))
	if d := p.want("finish"); d["callId"] != "c1" || d["status"] != "FAILED" || d["info"] != "Restricted access" || d["reason"] == nil {
		t.Errorf("finish = %v", d)
	}
	p.raw(callFrame("c2", "3001", ""))
	p.wantCall("notifyTryingResponse", "c2", "TRYING")
	phone.want(t, "call c2 3001")
}

// Secrets that pages show are neither listed nor kept.
func TestCustomIsRedacted(t *testing.T) {
	for in, want := range map[string]string{
		`{"token":"T","deep":{"list":[{"apiKey":1,"n":12345678901234567890}],"PassWord":{"a":1}},"user":"x"}`: `{"deep":{"PassWord":"***","list":[{"apiKey":"***","n":12345678901234567890}]},"token":"***","user":"x"}`,
		`"a.b.c"`: `"***"`, `"tpk_x"`: `"***"`, `"hello"`: `"hello"`, `[{"jwt":1}]`: `[{"jwt":"***"}]`, `7`: `7`, ``: ``,
	} {
		if got := string(redact(json.RawMessage(in))); got != want {
			t.Errorf("redact(%s) = %s, want %s", in, got, want)
		}
	}
	c := newClosedWorld(t, testConfig(), auth.DefaultConfig())
	b := dialFrom(t, c.from(t, somewhere)+"/?token=cam", "")
	b.hello(`,"custom":{"token":"cam"}`)
	all := c.srv.Connections()
	if len(all) != 1 || string(all[0].Custom) != `{"token":"***"}` {
		t.Errorf("Connections = %+v", all)
	}
	s := c.srv.all()[0]
	if s.shown.Token != "" || s.shown.Peer != netip.MustParseAddr("198.51.100.7") {
		t.Errorf("kept: %+v", s.shown)
	}
}

// FuzzCustom checks that what others get of a page's own data is JSON, and holds no key.
func FuzzCustom(f *testing.F) {
	for _, custom := range []string{`{"token":"tpk_x"}`, `"tpk_x"`, `{"TOKEN":"tpk_x","token":"y"}`, `{"a":[{"auth":"tpk_x"}]}`, `[1e999]`, `{"a":`, `null`, "\xff"} {
		f.Add([]byte(custom))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if !json.Valid(raw) {
			return
		}
		if clean := redact(raw); !json.Valid(clean) {
			t.Errorf("redact(%s) = %s", raw, clean)
		}
		clean := withoutKey(raw)
		if !json.Valid(clean) || strings.HasPrefix(tokenIn(clean), access.KeyPrefix) {
			t.Errorf("withoutKey(%s) = %s", raw, clean)
		}
	})
}

func TestLongGreeting(t *testing.T) {
	b := dial(t, newWorld(t, testConfig()).serve(t))
	b.raw(strings.Repeat("x", maxGreeting+1))
	if code, _ := b.wantClosed(); code != websocket.StatusMessageTooBig {
		t.Errorf("closed by %d", code)
	}
}

// An address may have a few sockets that have not said who they are. Others come in meanwhile, and so does the address when one was admitted.
func TestLobby(t *testing.T) {
	cfg := testConfig()
	cfg.MaxUnadmitted = 2
	c := newClosedWorld(t, cfg, auth.DefaultConfig())
	url := c.from(t, somewhere)
	first, second := dialFrom(t, url, ""), dialFrom(t, url, "")
	_, resp, err := websocket.Dial(t.Context(), url, nil)
	if err == nil || resp == nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Fatalf("the third socket: %v, %v", resp, err)
	}
	first.with("cam")
	third := dialFrom(t, url, "")
	third.with("cam")
	_ = second.conn.CloseNow()
	testkit.Eventually(t, 10*time.Second, func() string {
		c.srv.lobby.mu.Lock()
		defer c.srv.lobby.mu.Unlock()
		if n := len(c.srv.lobby.by); n != 0 {
			return fmt.Sprintf("%d addresses wait", n)
		}
		return ""
	})
}

// A page that calls as soon as its session is established has its phone, though opening it takes a while.
func TestCallAtOnce(t *testing.T) {
	c := newClosedWorld(t, testConfig(), auth.DefaultConfig())
	line := c.withSIP(t)
	open := c.srv.parts.Phone
	called := make(chan struct{})
	c.srv.parts.Phone = func(ctx context.Context, acc sip.Account, who Caller, events sip.PhoneEvents) (Phone, error) {
		<-called
		return open(ctx, acc, who, events)
	}
	c.tokens.known["phone1"] = &access.Principal{Kind: access.Token, Subject: "p1", Grants: grants("sip:300*", access.Publish, access.Play)}
	b := dialFrom(t, c.from(t, somewhere), "")
	b.hello(`,"custom":{"token":"phone1"},"sipLogin":"3000","sipDomain":"sip.example"`)
	b.raw(callFrame("c1", "3001", ""))
	close(called)
	phone := <-line.opened
	b.wantCall("notifyTryingResponse", "c1", "TRYING")
	phone.want(t, "call c1 3001")
}
