package whip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"transponder/internal/access"
	"transponder/internal/access/auth"
	"transponder/internal/rtc"
	"transponder/internal/stream"
	"transponder/internal/testkit"
)

// desk is an Authenticator that knows some tokens and no passwords.
type desk struct {
	*auth.Authenticator
	leases *access.Leases
}

// tokens are principals by their tokens. A nil principal is that of a token which has expired.
type tokens map[string]*access.Principal

var errOld = &access.BadCredential{Detail: `the token expired 40 s ago: "new one", please`}

func (k tokens) Verify(_ context.Context, c access.Credential) (*access.Principal, error) {
	p, ok := k[c.Token]
	switch {
	case !ok:
		return nil, &access.BadCredential{}
	case p == nil:
		return nil, errOld
	}
	return p, nil
}

func newDesk(t *testing.T, known tokens) *desk {
	t.Helper()
	leases := access.NewLeases()
	return &desk{
		auth.New(auth.Config{Mode: auth.Closed}, auth.Parts{Tokens: known, Leases: leases, Quotas: access.NewQuotas()}, slog.New(slog.DiscardHandler)),
		leases,
	}
}

func may(stream string, actions ...access.Action) []access.Grant {
	return []access.Grant{{Actions: actions, Streams: []string{stream}}}
}

func bearerOf(token string) string { return "Authorization: Bearer " + token }

const recvonly = "recvonly"

// TestDoor: who may publish and play, and what the others are told. The answers do not depend on whether there is a stream.
func TestDoor(t *testing.T) {
	d := openFor(t, DefaultConfig(), rtc.DefaultConfig(), newDesk(t, tokens{
		"right": {Kind: access.Token, Subject: "a", Grants: may("acme/*", access.Publish, access.Play)},
		"play":  {Kind: access.Token, Subject: "b", Grants: may("acme/*", access.Play)},
		"old":   nil,
		"box":   {Kind: access.Key, ID: "k1", Stream: "acme/box", Grants: may("acme/box", access.Publish)},
		"one":   {Kind: access.Token, Subject: "c", Grants: may("*", access.Publish), Limits: access.Limits{Publishers: 1}},
	}))
	if res, body := d.do(t, "POST", "/whip/acme%2Flive", offer("H264"), sdpType, bearerOf("right")); res.StatusCode != 201 {
		t.Fatalf("publish: %s %s", res.Status, body)
	}
	const stranger = "a valid token, key or password is needed"
	const old = `Bearer error="invalid_token", error_description="the token expired 40 s ago: 'new one', please"`
	for _, tt := range []struct {
		name, path, token string
		want              int
		says, challenge   string
	}{
		{"no token", "/whip/acme%2Fa", "", 401, stranger, "Bearer"},
		{"no token, a name that is taken", "/whip/acme%2Flive", "", 401, stranger, "Bearer"},
		{"no token, a player", "/whep/acme%2Flive", "", 401, stranger, "Bearer"},
		{"no token, a player of nothing", "/whep/acme%2Fnothing", "", 401, stranger, "Bearer"},
		{"garbage", "/whip/acme%2Fa", "x", 401, stranger, `Bearer error="invalid_token", error_description="` + stranger + `"`},
		{"expired", "/whip/acme%2Fa", "old", 401, "expired 40 s ago", old},
		{"another stream", "/whip/beta%2Fa", "right", 403, "beta/a", "insufficient_scope"},
		{"a player's token", "/whip/acme%2Fa", "play", 403, "publish", "insufficient_scope"},
		{"a player's token, a name that is taken", "/whip/acme%2Flive", "play", 403, "publish", "insufficient_scope"},
		{"another stream to play", "/whep/beta%2Fa", "play", 403, "beta/a", "insufficient_scope"},
		{"nothing to play", "/whep/acme%2Fnothing", "play", 404, "nobody publishes", ""},
		{"right, but taken", "/whip/acme%2Flive", "right", 409, "in use", ""},
		{"a key of an encoder", "/whip/whatever", "box", 201, "", ""},
		{"one publisher", "/whip/one", "one", 201, "", ""},
		{"one publisher too many", "/whip/two", "one", 429, "the limit of 1 publishers", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body := offer("H264")
			if strings.HasPrefix(tt.path, "/whep") {
				body = strings.Replace(body, "sendonly", recvonly, 1)
			}
			headers := []string{sdpType}
			if tt.token != "" {
				headers = append(headers, bearerOf(tt.token))
			}
			res, answer := d.do(t, "POST", tt.path, body, headers...)
			if res.StatusCode != tt.want || !strings.Contains(answer, tt.says) {
				t.Fatalf("%s %s, want %d with %q", res.Status, answer, tt.want, tt.says)
			}
			got := res.Header.Get("WWW-Authenticate")
			if tt.want == 401 && got != tt.challenge || !strings.Contains(got, tt.challenge) || (got != "") != (tt.challenge != "") {
				t.Errorf("WWW-Authenticate is %s, want %s", got, tt.challenge)
			}
			if res.Header.Get("Access-Control-Allow-Origin") != "*" {
				t.Error("a page cannot read the answer")
			}
			if (res.Header.Get("Retry-After") != "") != (tt.want == 429) {
				t.Errorf("Retry-After is %q", res.Header.Get("Retry-After"))
			}
		})
	}
	if src, ok := d.hub.Source("acme/box"); !ok {
		t.Error("the key has not given its stream its name")
	} else if got := src.Info().Publisher.Identity; got == "" {
		t.Error("the publisher has no identity")
	}
	if _, ok := d.hub.Source("whatever"); ok {
		t.Error("the stream has the name of the address, want that of the key")
	}
}

// A token in the address counts only if the settings say so.
func TestTokenInQuery(t *testing.T) {
	for _, allowed := range []bool{false, true} {
		cfg := DefaultConfig()
		cfg.TokenInQuery = allowed
		d := openFor(t, cfg, rtc.DefaultConfig(), newDesk(t, tokens{"right": {Kind: access.Token, Subject: "a", Grants: may("a", access.Publish)}}))
		res, _ := d.do(t, "POST", "/whip/a?token=right", offer("H264"), sdpType)
		if want := map[bool]int{false: 401, true: 201}[allowed]; res.StatusCode != want {
			t.Errorf("token_in_query=%v: %s, want %d", allowed, res.Status, want)
		}
		if at := res.Header.Get("Location"); strings.Contains(at, "right") {
			t.Errorf("the token is in the address of the session: %s", at)
		}
	}
}

// Browsers send passwords, cookies and client certificates by themselves. None of them publishes.
func TestAmbientCredentials(t *testing.T) {
	d := openFor(t, DefaultConfig(), rtc.DefaultConfig(), &desk{
		auth.New(auth.Config{Mode: auth.Closed}, auth.Parts{People: anyPassword{}}, slog.New(slog.DiscardHandler)), nil,
	})
	for _, header := range []string{"Authorization: Basic YWRtaW46YWRtaW4=", "Cookie: transponder=x; transponder-8081=x; __Host-transponder-8444=x"} {
		if res, _ := d.do(t, "POST", "/whip/a", offer("H264"), sdpType, header); res.StatusCode != 401 {
			t.Errorf("%s: %s, want 401", header, res.Status)
		}
	}
}

// anyPassword takes all passwords and all cookies.
type anyPassword struct{}

func (anyPassword) Login(context.Context, access.Credential) (*access.Principal, error) {
	return access.Whole(access.User), nil
}

func (anyPassword) Session(context.Context, access.Credential) (*access.Principal, error) {
	return access.Whole(access.User), nil
}

// TestOwner: who may change and end a session whose address he knows.
func TestOwner(t *testing.T) {
	known := tokens{
		"a":       {Kind: access.Token, Subject: "a", ID: "1", Grants: may("*", access.Publish)},
		"a again": {Kind: access.Token, Subject: "a", ID: "2", Grants: may("*", access.Publish)},
		"b":       {Kind: access.Token, Subject: "b", Grants: may("*", access.Publish, access.Play)},
		"b reads": {Kind: access.Token, Subject: "b", Grants: may("*", access.Read)},
		"control": {Kind: access.User, Subject: "op", Grants: may("*", access.Control)},
		"other":   {Kind: access.User, Subject: "op2", Grants: may("beta/*", access.Control)},
		"shared":  {Kind: access.Setting, Grants: may("*", access.Publish)},
		"shared2": {Kind: access.Setting, Grants: may("*", access.Publish)},
		"hook":    {Kind: access.Hook, App: "shop", Grants: may("*", access.Publish)},
	}
	d := openFor(t, DefaultConfig(), rtc.DefaultConfig(), newDesk(t, known))
	const fragment = "Content-Type: application/trickle-ice-sdpfrag"
	for n, tt := range []struct {
		name, made, token string
		want              int // of DELETE
	}{
		{"nothing", "a", "", 401},
		{"garbage", "a", "x", 401},
		{"another publisher", "a", "b", 403},
		{"who may only read", "a", "b reads", 403},
		{"control of other streams", "a", "other", 403},
		{"a shared token, where the publisher had his own", "a", "shared", 403},
		{"another shared token", "shared", "shared2", 403},
		{"his own token", "a", "a", 200},
		{"a newer token of his", "a", "a again", 200},
		{"control", "a", "control", 200},
		{"the shared token", "shared", "shared", 200},
		{"the token that the backend admitted", "hook", "hook", 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name := fmt.Sprintf("s%d", n)
			res, body := d.do(t, "POST", "/whip/"+name, offer("H264"), sdpType, bearerOf(tt.made))
			if res.StatusCode != 201 {
				t.Fatalf("publish: %s %s", res.Status, body)
			}
			at := res.Header.Get("Location")
			headers := []string{fragment}
			if tt.token != "" {
				headers = append(headers, bearerOf(tt.token))
			}
			for method, want := range map[string]int{"PATCH": 204, "GET": 204} {
				if tt.want != 200 {
					want = tt.want
				}
				if res, body := d.do(t, method, at, "a=candidate:1 1 udp 1 192.0.2.1 5 typ host\r\n", headers...); res.StatusCode != want {
					t.Errorf("%s: %s %s, want %d", method, res.Status, body, want)
				}
			}
			if res, body := d.do(t, "DELETE", at, "", headers...); res.StatusCode != tt.want {
				t.Errorf("DELETE: %s %s, want %d", res.Status, body, tt.want)
			}
			if _, live := d.hub.Source(name); live != (tt.want != 200) {
				t.Errorf("the stream is there: %v", live)
			}
		})
	}
	t.Run("a token that has expired since", func(t *testing.T) {
		known["short"] = &access.Principal{Kind: access.Token, Subject: "s", Grants: may("*", access.Publish)}
		res, _ := d.do(t, "POST", "/whip/short", offer("H264"), sdpType, bearerOf("short"))
		known["short"] = nil
		if again, _ := d.do(t, "POST", "/whip/short2", offer("H264"), sdpType, bearerOf("short")); again.StatusCode != 401 {
			t.Errorf("it publishes once more: %s", again.Status)
		}
		if res, _ := d.do(t, "DELETE", res.Header.Get("Location"), "", bearerOf("short")); res.StatusCode != 200 {
			t.Errorf("DELETE: %s, want 200: it ends what it has begun", res.Status)
		}
	})
}

// A second request is asked for its token although the first one, on the same connection, had one.
func TestNoTokenSticks(t *testing.T) {
	d := openFor(t, DefaultConfig(), rtc.DefaultConfig(), newDesk(t, tokens{"a": {Kind: access.Token, Subject: "a", Grants: may("*", access.Publish)}}))
	for i, header := range []string{bearerOf("a"), "X-None: 1"} {
		res, _ := d.do(t, "POST", fmt.Sprintf("/whip/s%d", i), offer("H264"), sdpType, header)
		if want := []int{201, 401}[i]; res.StatusCode != want {
			t.Errorf("request %d: %s, want %d", i, res.Status, want)
		}
		if len(res.Cookies()) > 0 {
			t.Errorf("cookies: %v", res.Cookies())
		}
	}
}

// A made-up token does not lead a page of another host around the guard, where everybody may publish.
func TestPageWithMadeUpToken(t *testing.T) {
	d := open(t, DefaultConfig(), rtc.DefaultConfig())
	const page = "Origin: https://evil.test"
	for _, headers := range [][]string{{page}, {page, bearerOf("x")}} {
		for _, path := range []string{"/whip/a", "/whep/a"} {
			if res, body := d.do(t, "POST", path, offer("H264"), append(headers, sdpType)...); res.StatusCode != 403 {
				t.Errorf("%s with %v: %s %s, want 403", path, headers, res.Status, body)
			}
		}
	}
	res, _ := d.do(t, "OPTIONS", "/whip/a", "", page, "Access-Control-Request-Method: POST")
	if res.StatusCode != 204 {
		t.Errorf("a page with a token of its own cannot ask whether it may: %s", res.Status)
	}
}

// A session ends within a second when its principal loses his rights, or when his time is over. Its place is free then.
func TestRevoked(t *testing.T) {
	publisher := &access.Principal{Kind: access.Token, Subject: "a", ID: "1", Grants: may("*", access.Publish), Limits: access.Limits{Publishers: 1}}
	player := &access.Principal{Kind: access.Token, Subject: "b", ID: "2", Grants: may("*", access.Play), Limits: access.Limits{Players: 1}}
	by := newDesk(t, tokens{"publish": publisher, "play": player})
	d := openFor(t, DefaultConfig(), rtc.DefaultConfig(), by)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	post := func(path, token string) testkit.Exchange {
		return func(_ context.Context, offer string) (string, error) {
			for {
				res, body := d.do(t, "POST", path, offer, sdpType, bearerOf(token))
				if res.StatusCode == http.StatusNotFound && ctx.Err() == nil { // not published yet
					continue
				}
				if res.StatusCode != 201 {
					return "", fmt.Errorf("%s: %s %s", path, res.Status, body)
				}
				return body, nil
			}
		}
	}
	gone := make(chan error, 2)
	cfg := testkit.DefaultPublisherConfig()
	cfg.FPS = 100
	wg.Go(func() { gone <- testkit.NewPublisher(cfg).Run(ctx, post("/whip/show", "publish")) })
	watcher := testkit.NewPlayer(testkit.PlayerConfig{Video: true})
	wg.Go(func() { gone <- watcher.Run(ctx, post("/whep/show", "play")) })
	watcher.Wait(t, "pictures", func() bool { return len(watcher.Frames("video")) > 10 })

	src, _ := d.hub.Source("show")
	for _, p := range []*access.Principal{player, publisher} {
		asked := time.Now()
		if n := by.leases.End(func(q *access.Principal) bool { return q == p }, access.ErrRevoked); n != 1 {
			t.Fatalf("%d leases of %v, want 1", n, p)
		}
		if err := <-gone; !errors.Is(err, testkit.ErrConnection) {
			t.Errorf("%v ended with %v", p, err)
		}
		if took := time.Since(asked); took > time.Second {
			t.Errorf("%v ended after %v", p, took)
		}
	}
	if !errors.Is(src.Err(), access.ErrRevoked) {
		t.Errorf("the stream ended with %v, want it revoked", src.Err())
	}
	testkit.Eventually(t, 5*time.Second, func() string { // clients learn of the end a moment before the server is done with a session
		if n := by.leases.Len(); n != 0 {
			return fmt.Sprintf("%d leases are left of sessions that have ended", n)
		}
		return ""
	})
	testkit.Eventually(t, 5*time.Second, func() string {
		res, body := d.do(t, "POST", "/whip/show2", offer("H264"), sdpType, bearerOf("publish"))
		if res.StatusCode != 201 {
			return "the place is not free: " + body
		}
		return ""
	})
	if n := by.leases.End(func(*access.Principal) bool { return true }, access.ErrExpired); n != 1 {
		t.Errorf("%d leases are left, want that of the last session", n)
	}
}

// A principal with an identity takes over from himself, also with another token.
func TestTakeoverByPrincipal(t *testing.T) {
	own := func(id string) *access.Principal {
		g := may("*", access.Publish)
		g[0].Replace = true
		return &access.Principal{Kind: access.Token, Subject: "a", ID: id, Grants: g}
	}
	d := openFor(t, DefaultConfig(), rtc.DefaultConfig(), newDesk(t, tokens{
		"1": own("1"), "2": own("2"), "b": {Kind: access.Token, Subject: "b", Grants: may("*", access.Publish)},
	}))
	for _, tt := range []struct {
		token string
		want  int
	}{{"1", 201}, {"b", 409}, {"2", 201}} {
		if res, body := d.do(t, "POST", "/whip/a", offer("H264"), sdpType, bearerOf(tt.token)); res.StatusCode != tt.want {
			t.Errorf("%s: %s %s, want %d", tt.token, res.Status, body, tt.want)
		}
	}
	if n := d.hub.Takeovers(); n != 1 {
		t.Errorf("%d takeovers, want 1", n)
	}
}

// Whoever may end a stream of others takes its place if he asks for it, and only then.
func TestTakeoverByControl(t *testing.T) {
	by := func(subject string, actions ...access.Action) *access.Principal {
		return &access.Principal{Kind: access.Token, Subject: subject, Grants: may("a", actions...)}
	}
	d := openFor(t, DefaultConfig(), rtc.DefaultConfig(), newDesk(t, tokens{
		"ann": by("ann", access.Publish), "bob": by("bob", access.Publish), "chief": by("chief", access.Publish, access.Control),
	}))
	for _, tt := range []struct {
		token, path string
		want        int
	}{
		{"ann", "/whip/a", 201},
		{"bob", "/whip/a?takeover=true", 409},
		{"chief", "/whip/a", 409},
		{"chief", "/whip/a?takeover=false", 409},
		{"chief", "/whip/a?takeover=true", 201},
		{"ann", "/whip/a", 409}, // her program tries to come back
		{"ann", "/whip/a?takeover=true", 409},
	} {
		if res, body := d.do(t, "POST", tt.path, offer("H264"), sdpType, bearerOf(tt.token)); res.StatusCode != tt.want {
			t.Errorf("%s at %s: %s %s, want %d", tt.token, tt.path, res.Status, body, tt.want)
		}
	}
	if n := d.hub.Takeovers(); n != 1 {
		t.Errorf("%d takeovers, want 1", n)
	}
}

var _ Access = (*auth.Authenticator)(nil)

var _ rtc.Sources = (*stream.Hub)(nil)

// Whoever may not publish or play is told that, and nothing about the body that he has sent. His body is not waited for.
func TestCredentialBeforeBody(t *testing.T) {
	d := openFor(t, DefaultConfig(), rtc.DefaultConfig(), newDesk(t, tokens{
		"right": {Kind: access.Token, Subject: "a", Grants: may("acme/*", access.Publish, access.Play)},
	}))
	for _, door := range []string{"whip", "whep"} {
		for _, body := range []struct{ name, text, kind string }{
			{"empty", "", sdpType}, {"of another type", "{}", "Content-Type: application/json"}, {"without a type", "v=0", "X-None: 1"},
			{"too long", strings.Repeat("a", 300<<10), sdpType}, {"no offer", "v=0", sdpType},
		} {
			for _, who := range []struct {
				name, header string
				want         int // 0: an error about the body
			}{{"nobody", "X-None: 1", 401}, {"garbage", bearerOf("x"), 401}, {"for another stream", bearerOf("right"), 403}} {
				if res, answer := d.do(t, "POST", "/"+door+"/beta%2Fa", body.text, body.kind, who.header); res.StatusCode != who.want {
					t.Errorf("%s, %s, a body that is %s: %s %s, want %d", door, who.name, body.name, res.Status, answer, who.want)
				}
			}
			if res, _ := d.do(t, "POST", "/"+door+"/acme%2Fa", body.text, body.kind, bearerOf("right")); res.StatusCode == 401 || res.StatusCode == 403 || res.StatusCode < 400 {
				t.Errorf("%s, who may, a body that is %s: %s", door, body.name, res.Status)
			}
		}
	}
}
