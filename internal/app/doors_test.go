package app

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"transponder/internal/access"
	"transponder/internal/access/token"
	"transponder/internal/rtmp"
	"transponder/internal/testkit"
)

// knock is a try to come in by a door with a credential. It returns what the door says: "in", or the status or reason.
type knock func(t *testing.T, a *App, credential, stream string) string

// knocks are all doors that take tokens. stream is the stream that is asked for, where the door has one.
var knocks = map[string]knock{
	"REST":    overHTTP(http.MethodGet, "/rest-api/stream/find_all?empty=true", ""),
	"events":  overHTTP(http.MethodGet, "/rest-api/push/events", ""),
	"metrics": overHTTP(http.MethodGet, "/metrics", ""),
	"stat":    overHTTP(http.MethodGet, "/?action=stat", ""),
	"WHIP":    overHTTP(http.MethodPost, "/whip/STREAM", "v=0\r\n"), // no offer: whoever is in gets 400
	"WHEP":    overHTTP(http.MethodPost, "/whep/STREAM", "v=0\r\n"),
	"RTMP": func(t *testing.T, a *App, credential, stream string) string {
		if credential != "" {
			credential = "?token=" + credential
		}
		conn, client, err := rtmpPublisher(t, a, stream+credential)
		if conn != nil {
			defer conn.Close()
			defer client.Unpublish()
		}
		return refusedRTMP(t, err)
	},
	"WebSocket": func(t *testing.T, a *App, credential, stream string) string {
		p := openPage(t, a, "", `,"custom":{"token":"`+credential+`"}`, nil)
		if name, data := p.hear(); name != "getUserData" {
			return fmt.Sprint(data["reason"])
		}
		p.say(`{"message":"publishStream","data":[{"mediaSessionId":"1","name":"` + stream + `","sdp":"v=0\r\n"}]}`)
		if _, data := p.hear(); data["info"] != "Failed by error" { // it has come as far as the offer
			return fmt.Sprint(data["reason"])
		}
		return "in"
	},
}

func overHTTP(method, path, body string) knock {
	return func(t *testing.T, a *App, credential, stream string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, method, "http://localhost:"+port(a.http)+strings.Replace(path, "STREAM", stream, 1), strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if credential != "" {
			r.Header.Set("Authorization", "Bearer "+credential)
		}
		if body != "" {
			r.Header.Set("Content-Type", "application/sdp")
		}
		got, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer got.Body.Close()
		if got.StatusCode == http.StatusOK || strings.HasPrefix(path, "/wh") && got.StatusCode == http.StatusBadRequest {
			return "in"
		}
		text, err := io.ReadAll(io.LimitReader(got.Body, 64<<10))
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%d %s", got.StatusCode, text)
	}
}

func port(l interface{ Addr() net.Addr }) string {
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// rtmpPublisher publishes a name, which may have a query.
func rtmpPublisher(t *testing.T, a *App, name string) (net.Conn, *rtmp.Client, error) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", "127.0.0.1:"+port(a.server), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	c := rtmp.NewClient(conn, rtmp.ClientConfig{App: "live", TCURL: "rtmp://localhost/live", StreamName: name})
	if err := errors.Join(c.Handshake(), c.Connect()); err != nil {
		return conn, c, err
	}
	return conn, c, c.Publish()
}

func refusedRTMP(t *testing.T, err error) string {
	t.Helper()
	var refused *rtmp.StatusError
	switch {
	case err == nil:
		return "in"
	case errors.As(err, &refused):
		return refused.Description
	}
	t.Fatal(err)
	return ""
}

// Each door takes the same credentials, and refuses the same ones. The holder of a token that is signed rightly learns what is wrong with it,
// a stranger nothing.
func TestEveryDoor(t *testing.T) {
	a := runApp(t, "access=closed", "token_secret="+pageSecret)
	all := func(change func(jwt.MapClaims)) string {
		return pageToken(t, func(c jwt.MapClaims) {
			c["transponder"] = map[string]any{"v": 1, "grants": []any{map[string]any{"actions": []string{"publish", "play", "read"}, "streams": []string{"*"}}}}
			if change != nil {
				change(c)
			}
		})
	}
	right := all(nil)
	few := pageToken(t, nil) // publishes and plays cam-*
	revoked := all(func(c jwt.MapClaims) { c["sub"] = "bob" })
	if err := a.tokens.Revoke(t.Context(), nil, token.Revocation{Sub: "bob"}); err != nil {
		t.Fatal(err)
	}
	_, key, err := a.tokens.CreateKey(t.Context(), access.Whole(access.Local), token.KeyRequest{Grants: []access.Grant{
		{Actions: []access.Action{access.Publish, access.Play, access.Read}, Streams: []string{"*"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	past := func(c jwt.MapClaims) {
		c["iat"], c["exp"] = time.Now().Add(-time.Hour).Unix(), time.Now().Add(-time.Minute).Unix()
	}
	hasStream := []string{"WHIP", "WHEP", "RTMP", "WebSocket"}
	for _, test := range []struct {
		name, credential, stream string
		says                     string // "in", or part of what the door says
		doors                    []string
	}{
		{"none", "", "cam-1", needsToken, nil},
		{"garbage", "garbage", "cam-1", needsToken, nil},
		{"garbage in three parts", "a.b.c", "cam-1", needsToken, nil},
		{"another signature", right[:len(right)-4] + "AAAA", "cam-1", needsToken, nil},
		{"an expired token of another signature", strings.TrimRight(all(past), "-_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") + "AAAA", "cam-1", needsToken, nil},
		{"an unknown key", access.KeyPrefix + strings.Repeat("a", 26), "cam-1", needsToken, nil},
		{"expired", all(past), "cam-1", "the token expired", nil},
		{"for another server", all(func(c jwt.MapClaims) { c["aud"] = "wiki" }), "cam-1", `the token is for`, nil},
		{"revoked", revoked, "cam-1", "this token was revoked", nil},
		{"for another stream", few, "dog", "not among", hasStream},
		{"a player's", pageToken(t, func(c jwt.MapClaims) {
			c["transponder"] = map[string]any{"v": 1, "grants": []any{map[string]any{"actions": []string{"play"}, "streams": []string{"*"}}}}
		}), "cam-1", "no grant to publish", []string{"WHIP", "RTMP", "WebSocket"}},
		{"cannot read", few, "", "403", []string{"REST", "events", "metrics", "stat"}},
		{"right", right, "cam-1", "in", nil},
		{"right for its stream", few, "cam-1", "in", hasStream},
		{"a stored key", string(key), "cam-1", "in", nil},
	} {
		for door, try := range knocks {
			if test.doors != nil && !slices.Contains(test.doors, door) {
				continue
			}
			t.Run(test.name+"/"+door, func(t *testing.T) {
				t.Parallel()
				stream := test.stream
				if test.says == "in" {
					stream += "-" + door // so that no name is taken
				}
				said := try(t, a, test.credential, stream)
				if door == "WHEP" && test.says == "in" {
					if !strings.Contains(said, "404") { // he may play it, and nobody publishes it
						t.Errorf("the door says %q", said)
					}
					return
				}
				if !strings.Contains(said, test.says) || test.says == needsToken && strings.Contains(said, "signature") {
					t.Errorf("the door says %q, want %q", said, test.says)
				}
				if test.says == needsToken && strings.HasPrefix(said, "4") && !strings.HasPrefix(said, "401") {
					t.Errorf("the door says %q, want 401", said)
				}
			})
		}
	}
}

// A right that one request has shown is not there for the next one on the same connection.
func TestNoRightStaysWithAConnection(t *testing.T) {
	a := runApp(t, "access=closed", "token_secret="+pageSecret)
	conn, err := dialApp(a.http, false)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	answers := bufio.NewReader(conn)
	for i, want := range []int{http.StatusBadRequest, http.StatusBadRequest, http.StatusUnauthorized} { // after which the server closes: it has not read the body
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost/whip/cam-1", strings.NewReader("v=0\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/sdp")
		if want != http.StatusUnauthorized {
			r.Header.Set("Authorization", "Bearer "+pageToken(t, nil))
		}
		if err := r.Write(conn); err != nil {
			t.Fatal(err)
		}
		got, err := http.ReadResponse(answers, r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, got.Body); err != nil || got.StatusCode != want || len(got.Cookies()) > 0 {
			t.Errorf("request %d: %s, want %d, %v", i, got.Status, want, err)
		}
		got.Body.Close()
	}
}

// No token, no key and no secret that signs tokens is in the log, an answer, a metric, the audit log or the state, whatever door it was shown
// at, and whether it is valid or not.
func TestTokensStaySecret(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, log, stop := runLogged(t, dir, "ws.port=0", "rtmp.port=0", "access=closed", "token_secret="+pageSecret, "token_in_query=true")
	defer stop()
	everything := []access.Grant{{Actions: []access.Action{access.Admin}, Streams: []string{"*"}}}
	_, key, err1 := a.tokens.CreateKey(t.Context(), access.Whole(access.Local), token.KeyRequest{Grants: everything, Stream: "box"})
	made, err2 := a.tokens.Create(t.Context(), access.Whole(access.Local), token.Request{Grants: everything})
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	wrong := access.KeyPrefix + "canarycanarycanarycanaryca"
	secrets := []string{string(made.Token), string(key), wrong, "e30.e30.canary", pageSecret}

	var live []*page
	for _, s := range secrets {
		for door, try := range knocks {
			_ = try(t, a, s, "x-"+strings.ToLower(door))
		}
		live = append(live, openPage(t, a, "?token="+s, "", nil), openPage(t, a, "", `,"authToken":"`+s+`"`, nil), openPage(t, a, "", `,"custom":"`+s+`"`, nil))
		_ = overHTTP(http.MethodPost, "/whip/x?token="+s, "v=0\r\n")(t, a, "", "")
		_ = overHTTP(http.MethodGet, "/rest-api/stream/find_all?token="+s, "")(t, a, "", "")
		_, _, _ = rtmpPublisher(t, a, s)
	}
	for _, p := range live[:6] { // of valid credentials: they are in now, and REST lists them
		p.hear()
	}
	offered := testkit.NewPublisher(testkit.DefaultPublisherConfig())
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = offered.Run(ctx, offerTo(a, "/whip/show", string(key))) })
	wait(t, offered.Connected(), "WHIP")

	found := map[string]string{}
	for _, path := range []string{
		"/metrics", "/?action=stat", "/config.json", "/rest-api/stream/find_all?empty=true", "/rest-api/connection/find_all?empty=true",
		"/rest-api/push/find_all?empty=true", "/rest-api/push/history", "/rest-api/audit", "/rest-api/key/find_all", "/rest-api/token/revocations",
	} {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost:"+port(a.http)+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+string(made.Token))
		got, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(got.Body)
		got.Body.Close()
		if err != nil || got.StatusCode != http.StatusOK {
			t.Errorf("%s: %s, %v", path, got.Status, err)
		}
		found[path] = string(text)
	}
	if !strings.Contains(found["/rest-api/connection/find_all?empty=true"], "sessionId") || !strings.Contains(found["/rest-api/audit"], "publish") {
		t.Error("there are no connections or no lines of the audit log: the test proves nothing")
	}
	cancel()
	wg.Wait()
	found["the log"] = log.String()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		found[path] = string(text)
		return err
	})
	if err != nil || len(found) < 13 {
		t.Errorf("%d places, %v", len(found), err)
	}
	for place, text := range found {
		for _, s := range secrets {
			// A part is as bad as the whole: the signature of a token, the key without its beginning.
			part := strings.TrimPrefix(s[strings.LastIndex(s, ".")+1:], access.KeyPrefix)
			if i := strings.Index(text, part); i >= 0 {
				t.Errorf("%s shows %q: %q", place, part, text[max(0, i-120):min(len(text), i+80)])
			}
		}
	}
}

// A token that may be used once begins one session, at whichever door. The session goes on with it: its holder can end it.
func TestOnceToken(t *testing.T) {
	t.Parallel()
	a := runApp(t, "access=closed", "token_secret="+pageSecret)
	once := pageToken(t, func(c jwt.MapClaims) {
		c["transponder"] = map[string]any{"v": 1, "once": true, "grants": []any{map[string]any{"actions": []string{"publish", "read"}, "streams": []string{"*"}}}}
	})
	publisher := testkit.NewPublisher(testkit.DefaultPublisherConfig())
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	location := make(chan string, 1)
	wg.Go(func() {
		_ = publisher.Run(ctx, func(ctx context.Context, offer string) (string, error) {
			got, text, err := bearer(ctx, a, http.MethodPost, "/whip/cam-1", once, offer)
			if err == nil && got.StatusCode != http.StatusCreated {
				err = fmt.Errorf("%s %s", got.Status, text)
			}
			if err != nil {
				location <- err.Error()
				return "", err
			}
			location <- got.Header.Get("Location")
			return text, nil
		})
	})
	session := <-location
	if !strings.HasPrefix(session, "/whip/") {
		t.Fatal(session)
	}
	wait(t, publisher.Connected(), "WHIP")
	for door, try := range knocks {
		if said := try(t, a, once, "cam-2"); !strings.Contains(said, "used once") {
			t.Errorf("%s: %q", door, said)
		}
	}
	got, text, err := bearer(t.Context(), a, http.MethodDelete, session, once, "")
	if err != nil || got.StatusCode != http.StatusOK {
		t.Errorf("DELETE: %v %s, %v", got, text, err)
	}
}

// ending is a session that goes on. ended is closed when the other side has ended it.
type ending struct {
	name  string
	ended <-chan struct{}
}

// Whoever loses his right loses his sessions within a second, at every door: after a revocation of the subject, and after the removal of a
// key. The sessions of others go on.
func TestRevocationEndsSessions(t *testing.T) {
	a := runApp(t, "access=closed", "token_secret="+pageSecret)
	grants := []any{map[string]any{"actions": []string{"publish", "play", "read"}, "streams": []string{"*"}}}
	signed := func(sub string) string {
		return pageToken(t, func(c jwt.MapClaims) {
			c["sub"], c["transponder"] = sub, map[string]any{"v": 1, "grants": grants}
		})
	}
	made, key, err := a.tokens.CreateKey(t.Context(), access.Whole(access.Local), token.KeyRequest{Grants: []access.Grant{
		{Actions: []access.Action{access.Publish, access.Play, access.Read}, Streams: []string{"*"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait) // after the contexts below have ended
	ann := everySession(t, a, &wg, "ann", signed("ann"))
	bob := everySession(t, a, &wg, "bob", signed("bob"))
	box := everySession(t, a, &wg, "box", string(key))
	for _, step := range []struct {
		name     string
		take     func() error
		sessions []ending
		others   []ending
	}{
		{"a subject is revoked", func() error { return a.tokens.Revoke(t.Context(), nil, token.Revocation{Sub: "ann"}) }, ann, slices.Concat(bob, box)},
		{"a key is removed", func() error { return a.tokens.RemoveKey(t.Context(), access.Whole(access.Local), made.ID) }, box, bob},
	} {
		if err := step.take(); err != nil {
			t.Fatal(err)
		}
		limit := time.After(time.Second)
		for _, s := range step.sessions {
			select {
			case <-s.ended:
			case <-limit:
				t.Errorf("%s: %s goes on", step.name, s.name)
				limit = time.After(0)
			}
		}
		for _, s := range step.others {
			select {
			case <-s.ended:
				t.Errorf("%s: %s has ended, too", step.name, s.name)
			default:
			}
		}
	}
}

// The member until of a token ends the sessions that it has begun, at every door and to the second. The end of the token itself does not.
func TestUntilEndsSessions(t *testing.T) {
	t.Parallel()
	a := runApp(t, "access=closed", "token_secret="+pageSecret)
	grants := []any{map[string]any{"actions": []string{"publish", "play", "read"}, "streams": []string{"*"}}}
	until := time.Now().Add(10 * time.Second).Truncate(time.Second) // a busy machine needs some seconds for all sessions
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	begin := func(sub string, own map[string]any) []ending {
		own["v"], own["grants"] = 1, grants
		return everySession(t, a, &wg, sub, pageToken(t, func(c jwt.MapClaims) {
			c["sub"], c["exp"], c["transponder"] = sub, until.Unix()-31, own // now within the leeway of clocks, and past it at until
			c["iat"] = until.Unix() - 60
		}))
	}
	ann := begin("ann", map[string]any{"until": until.Unix()})
	bob := begin("bob", map[string]any{})
	if late := time.Since(until); late > -time.Second {
		t.Fatalf("the sessions began too late: %v", late)
	}
	for _, s := range ann {
		select {
		case <-s.ended:
			if early := time.Until(until); early > 0 {
				t.Errorf("%s has ended %v too early", s.name, early)
			}
		case <-time.After(time.Until(until) + time.Second):
			t.Errorf("%s goes on", s.name)
		}
	}
	for _, s := range bob {
		select {
		case <-s.ended:
			t.Errorf("%s has ended with the token", s.name)
		default:
		}
	}
}

// everySession begins a session at every door.
func everySession(t *testing.T, a *App, wg *sync.WaitGroup, who, credential string) []ending {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	var all []ending
	begin := func(name string, live func()) {
		ended := make(chan struct{})
		all = append(all, ending{who + "'s " + name, ended})
		wg.Go(func() {
			defer close(ended)
			live()
		})
	}

	page := openPage(t, a, "", `,"custom":{"token":"`+credential+`"}`, nil)
	if name, data := page.hear(); name != "getUserData" {
		t.Fatalf("%s %v", name, data)
	}
	begin("WebSocket", func() {
		for {
			if _, _, err := page.conn.Read(ctx); err != nil {
				return
			}
		}
	})

	conn, client, err := rtmpPublisher(t, a, who+"-rtmp?token="+credential)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Time{})
	context.AfterFunc(ctx, func() { conn.Close() })
	begin("RTMP", func() { _ = client.Serve() })

	events, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost:"+port(a.http)+"/rest-api/push/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	events.Header.Set("Authorization", "Bearer "+credential)
	answer, err := http.DefaultClient.Do(events)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("events: %v, %v", answer, err)
	}
	begin("events", func() {
		_, _ = io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
	})

	publisher := testkit.NewPublisher(testkit.DefaultPublisherConfig())
	begin("WHIP", func() {
		_ = publisher.Run(ctx, offerTo(a, "/whip/"+who+"-whip", credential))
	})
	wait(t, publisher.Connected(), "WHIP")
	testkit.Eventually(t, patience, func() string {
		if src, ok := a.hub.Source(who + "-whip"); !ok || !src.IsLive() {
			return "the publisher is not live"
		}
		return ""
	})
	player := testkit.NewPlayer(testkit.PlayerConfig{Video: true})
	begin("WHEP", func() {
		_ = player.Run(ctx, offerTo(a, "/whep/"+who+"-whip", credential))
	})
	wait(t, player.Connected(), "WHEP")
	return all
}

func wait(t *testing.T, done <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("%s did not connect", what)
	}
}

// offerTo is an exchange over WHIP or WHEP.
func offerTo(a *App, path, credential string) testkit.Exchange {
	return func(ctx context.Context, offer string) (string, error) {
		got, text, err := bearer(ctx, a, http.MethodPost, path, credential, offer)
		if err == nil && got.StatusCode != http.StatusCreated {
			err = fmt.Errorf("%s %s", got.Status, text)
		}
		return text, err
	}
}

// bearer makes a request of WHIP or WHEP.
func bearer(ctx context.Context, a *App, method, path, credential, body string) (*http.Response, string, error) {
	r, err := http.NewRequestWithContext(ctx, method, "http://localhost:"+port(a.http)+path, strings.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/sdp")
	}
	r.Header.Set("Authorization", "Bearer "+credential)
	got, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, "", err
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	return got, string(text), err
}
