package rest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"transponder/internal/access"
	"transponder/internal/access/audit"
	"transponder/internal/access/auth"
	"transponder/internal/stream"
	"transponder/internal/transponder"
)

// knownTokens are tokens, with those who have them.
type knownTokens map[string]*access.Principal

func (k knownTokens) Verify(_ context.Context, c access.Credential) (*access.Principal, error) {
	if p := k[c.Token]; p != nil {
		return p, nil
	}
	return nil, &access.BadCredential{}
}

// holders are the principals of these tests, by their tokens.
func holders() knownTokens {
	grant := func(streams string, do ...access.Action) []access.Grant {
		return []access.Grant{{Actions: do, Streams: []string{streams}, URLs: []string{"*"}}}
	}
	return knownTokens{
		"admin":      {Kind: access.User, Subject: "admin", Grants: access.Administrator.Grants(nil)},
		"viewer":     {Kind: access.User, Subject: "viewer", Grants: access.Viewer.Grants(nil)},
		"acme":       {Kind: access.User, Subject: "acme", App: "acme", Grants: access.Operator.Grants([]string{"acme/*"})},
		"acme-view":  {Kind: access.User, Subject: "acme-view", App: "acme", Grants: access.Viewer.Grants([]string{"acme/*"})},
		"pusher":     {Kind: access.Token, Subject: "pusher", Grants: grant("acme/*", access.Push), Limits: access.Limits{Pushes: 2}},
		"player":     {Kind: access.Token, Subject: "player", Grants: grant("*", access.Play)},
		"controller": {Kind: access.Token, Subject: "controller", Grants: []access.Grant{{Actions: []access.Action{access.Control, access.Push}, Streams: []string{"acme/*"}, URLs: []string{"*"}}}},
		"nothing":    {Kind: access.Token, Subject: "nothing"},
	}
}

// auditLines keeps the lines of the audit log.
type auditLines struct{ all []audit.Line }

func (l *auditLines) Note(line audit.Line) { l.all = append(l.all, line) }

const canary = "hunter2"

// tenants are two streams with a push each, one of which "pusher" has started, and two pages.
func tenants(t *testing.T) (*fakePushes, *fakeSessions, *stream.Hub, *fakeEvents) {
	t.Helper()
	hub := stream.NewHub(stream.DefaultConfig(), nil)
	publish(t, hub, stream.Info{Name: "acme/a", ID: "id-acme", Provider: "WHIP", Publisher: stream.Publisher{Identity: "token::pusher"}})
	publish(t, hub, stream.Info{Name: "beta/b", ID: "id-beta", Provider: "WHIP"})
	push := func(id, name, owner string) transponder.Info {
		return transponder.Info{
			ID: id, SourceName: name, StreamName: canary, SecretName: true, Target: "rtmps://host:443/app/***", URL: "rtmps://u:" + canary + "@host/app/" + canary,
			State: transponder.Live, Started: pushTime, Since: pushTime, Owner: owner,
		}
	}
	list := []transponder.Info{push("push-acme", "acme/a", "token::pusher"), push("push-beta", "beta/b", "user::admin")}
	events := newFakeEvents(0)
	for _, p := range list {
		events.add(transponder.Event{ID: p.ID, At: pushTime, SourceName: p.SourceName, Target: p.Target, To: transponder.Live, Owner: p.Owner})
	}
	sessions := &fakeSessions{connections: []Connection{{SessionID: "s-acme", AppKey: "acme", Address: "192.0.2.7:1"}, {SessionID: "s-beta", AppKey: "beta", Address: "192.0.2.8:1"}}}
	return &fakePushes{list: list, over: slices.Clone(list)}, sessions, hub, events
}

// closedServer asks everybody for a token.
func closedServer(t *testing.T) (*httptest.Server, *fakePushes, *auditLines, *access.Leases) {
	t.Helper()
	pushes, sessions, hub, events := tenants(t)
	lines, leases := &auditLines{}, access.NewLeases()
	who := auth.New(auth.Config{Mode: auth.Closed}, auth.Parts{Tokens: holders(), Recorder: lines, Leases: leases}, slog.New(slog.DiscardHandler))
	srv := serve(t, DefaultConfig(), Parts{
		Pushes: pushes, Streams: hub, Events: events, Connections: sessions, Players: sessions, Access: who, Calls: &fakeCalls{},
		Report: func() auth.Report { return who.Report() }, Runtime: &fakeRuntime{levels: []LogLevel{{}}},
	})
	return srv, pushes, lines, leases
}

// Every method refuses clients without a credential, before it reads what they send, and those with a bad one. No method that changes
// something answers GET: pages of other hosts can make a browser send GET.
func TestEveryMethodAsksWhoSends(t *testing.T) {
	pushes, sessions, hub, events := tenants(t)
	who := auth.New(auth.Config{Mode: auth.Closed}, auth.Parts{Tokens: holders()}, slog.New(slog.DiscardHandler))
	h, err := New(DefaultConfig(), Parts{
		Pushes: pushes, Streams: hub, Events: events, Connections: sessions, Players: sessions, Access: who, Calls: &fakeCalls{},
		Report: func() auth.Report { return who.Report() }, Runtime: &fakeRuntime{levels: []LogLevel{{}}},
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	srv := httptest.NewServer(h)
	defer srv.Close()
	if len(h.methods) < 20 {
		t.Fatalf("there are %d methods", len(h.methods))
	}
	selfMade := []string{"/rest-api/session"} // it authenticates its clients itself
	for path, methods := range h.methods {
		if slices.Contains(selfMade, path) {
			continue
		}
		for _, method := range methods {
			for token, want := range map[string]int{"": 401, "wrong": 401, "nothing": 403} {
				body := "{"
				if method != http.MethodPost {
					body = ""
				}
				r := newRequest(t, srv, method, path, body)
				if token != "" {
					r.Header.Set("Authorization", "Bearer "+token)
				}
				got := send(t, srv, r)
				got.wantStatus(t, want)
				challenge := strings.Join(got.Header.Values("WWW-Authenticate"), ", ")
				if wants := map[string]string{"": `Basic realm="rest-api", charset="UTF-8", Bearer realm="rest-api"`, "wrong": `Bearer realm="rest-api", error="invalid_token"`}[token]; challenge != wants {
					t.Errorf("%s with the token %q is challenged by %q, want %q", path, token, challenge, wants)
				}
			}
		}
		if changes := !strings.Contains(path, "find") && !strings.HasSuffix(path, "revocations"); changes && slices.Contains(methods, http.MethodPost) && slices.Contains(methods, http.MethodGet) {
			t.Errorf("%s can be asked by GET", path)
		}
	}
	r := newRequest(t, srv, http.MethodGet, "/rest-api/nothing", "")
	send(t, srv, r).wantStatus(t, http.StatusUnauthorized) // a stranger does not learn which methods there are
}

// A person who opens an address of the API in a browser is sent to the page for the login, and back after it.
func TestVisit(t *testing.T) {
	srv, _, _, _ := closedServer(t)
	client := srv.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	r := newRequest(t, srv, http.MethodGet, "/rest-api//push/find_all?empty=true", "")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Site", "none")
	got, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	if where := got.Header.Get("Location"); got.StatusCode != http.StatusSeeOther || where != "/login?next=%2Frest-api%2Fpush%2Ffind_all%3Fempty%3Dtrue" {
		t.Errorf("answer = %d to %s", got.StatusCode, where)
	}
	r = newRequest(t, srv, http.MethodGet, "/rest-api/push/find_all", "")
	r.Header.Set("Sec-Fetch-Mode", "cors")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	browser := send(t, srv, r)
	browser.wantStatus(t, http.StatusUnauthorized)
	if browser.Header.Get("WWW-Authenticate") != "" {
		t.Error("a browser is asked for a password")
	}
}

// Everybody sees what his grants say, and keys only if he is an administrator or has started the push.
func TestListsByPrincipal(t *testing.T) {
	srv, _, _, _ := closedServer(t)
	for _, tt := range []struct {
		token    string
		pushes   string // the ids that he sees
		streams  string
		sessions string
		keys     bool
	}{
		{"admin", "push-acme push-beta", "id-acme id-beta", "s-acme s-beta", true},
		{"viewer", "push-acme push-beta", "id-acme id-beta", "s-acme s-beta", false},
		{"acme", "push-acme", "id-acme", "s-acme", false},
		{"acme-view", "push-acme", "id-acme", "s-acme", false},
		{"pusher", "push-acme", "403", "403", true},
		{"player", "403", "403", "403", false},
	} {
		t.Run(tt.token, func(t *testing.T) {
			for path, want := range map[string]string{
				"/push/find_all": tt.pushes, "/push/history": tt.pushes, "/push/find": tt.pushes,
				"/stream/find_all": tt.streams, "/stream/find": tt.streams, "/connection/find_all": tt.sessions, "/connection/find": tt.sessions,
			} {
				body := "{}"
				if strings.HasSuffix(path, "history") {
					body = ""
				}
				got := ask(t, srv, tt.token, "/rest-api"+path, body)
				if got.StatusCode != http.StatusOK {
					if status := http.StatusText(got.StatusCode); !strings.HasPrefix(want, "40") || status != map[string]string{"403": "Forbidden", "404": "Not Found"}[want] {
						t.Errorf("%s = %d %s, want %q", path, got.StatusCode, got.body, want)
					}
					continue
				}
				var list []map[string]any
				if err := json.Unmarshal(got.body, &list); err != nil {
					t.Fatal(err)
				}
				var ids []string
				for _, item := range list {
					id, _ := item["mediaSessionId"].(string)
					if strings.HasPrefix(path, "/connection") {
						id, _ = item["sessionId"].(string)
					}
					ids = append(ids, id)
				}
				if g := strings.Join(ids, " "); g != want {
					t.Errorf("%s has %q, want %q", path, g, want)
				}
				if strings.HasPrefix(path, "/push") && len(list) > 0 {
					if shown := bytes.Contains(got.body, []byte(canary)); shown != tt.keys {
						t.Errorf("%s shows a key: %v, want %v: %s", path, shown, tt.keys, got.body)
					}
				}
				if strings.HasPrefix(path, "/connection") && bytes.Contains(got.body, []byte("192.0.2.7")) != (tt.token == "admin") {
					t.Errorf("%s: the address of a person: %s", path, got.body)
				}
			}
		})
	}
}

// Followers get the events of the pushes that they may know of.
func TestEventsByPrincipal(t *testing.T) {
	srv, _, _, leases := closedServer(t)
	for token, want := range map[string][]string{
		"admin": {"push-acme", "push-beta"}, "viewer": {"push-acme", "push-beta"}, "acme": {"push-acme"}, "pusher": {"push-acme"},
	} {
		t.Run(token, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // less than the pause between two heartbeats
			defer cancel()
			r := newRequest(t, srv, http.MethodGet, "/rest-api/push/events?after=0", "").WithContext(ctx)
			r.Header.Set("Authorization", "Bearer "+token)
			resp, err := srv.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Fatalf("answer = %d", resp.StatusCode)
			}
			var got []string
			var ended int
			lines := bufio.NewScanner(resp.Body)
			for lines.Scan() {
				if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
					var e struct{ ID string }
					if err := json.Unmarshal([]byte(data), &e); err != nil {
						t.Fatal(err)
					}
					got = append(got, e.ID)
				}
				if ended == 0 && len(got) == len(want) && lines.Text() == "" { // it is over when the rights of the follower are
					ended = leases.End(func(p *access.Principal) bool { return p.Subject == token }, access.ErrRevoked)
				}
			}
			if err := lines.Err(); err != nil || ended != 1 {
				t.Errorf("%v; %d leases have ended", err, ended)
			}
			if !slices.Equal(got, want) {
				t.Errorf("events of %q, want %q", got, want)
			}
		})
	}
}

// Who may change what. What somebody may not know of is not found; what he knows of and may not change is refused.
func TestChangesByPrincipal(t *testing.T) {
	for _, tt := range []struct {
		token, path, body string
		want              int
	}{
		{"admin", "/push/mute", `{"mediaSessionId":"push-beta"}`, 200},
		{"acme", "/push/mute", `{"mediaSessionId":"push-acme"}`, 200},
		{"acme", "/push/mute", `{"mediaSessionId":"push-beta"}`, 404},
		{"acme", "/push/terminate", `{"mediaSessionId":"push-beta"}`, 404},
		{"acme", "/push/sound_off", `{"mediaSessionId":"push-beta"}`, 404},
		{"acme", "/push/sound_on", `{"mediaSessionId":"push-beta","soundFile":"a.wav"}`, 404},
		{"acme-view", "/push/terminate", `{"mediaSessionId":"push-acme"}`, 403},
		{"viewer", "/push/unmute", `{"mediaSessionId":"push-beta"}`, 403},
		{"pusher", "/push/terminate", `{"mediaSessionId":"push-acme"}`, 200},
		{"pusher", "/push/terminate", `{"mediaSessionId":"push-beta"}`, 404},
		{"player", "/push/terminate", `{"mediaSessionId":"push-acme"}`, 404},
		{"player", "/push/terminate", `{"mediaSessionId":"none"}`, 404},

		{"admin", "/push/startup", `{"streamName":"beta/b","rtmpUrl":"rtmp://h/a"}`, 200},
		{"acme", "/push/startup", `{"streamName":"acme/a","rtmpUrl":"rtmp://h/a"}`, 403}, // operators push to destinations only
		{"acme", "/push/startup", `{"streamName":"acme/a","rtmpUrl":"destination://youtube"}`, 200},
		{"acme", "/push/startup", `{"streamName":"beta/b","rtmpUrl":"destination://youtube"}`, 403},
		{"pusher", "/push/startup", `{"streamName":"acme/a","rtmpUrl":"rtmp://h/a"}`, 200},
		{"pusher", "/push/startup", `{"streamName":"beta/b","rtmpUrl":"rtmp://h/a"}`, 403},
		{"viewer", "/push/startup", `{"streamName":"acme/a","rtmpUrl":"rtmp://h/a"}`, 403},
		{"pusher", "/push/startup", `{"streamName":"acme/a","rtmpUrl":"rtmp://h/a","options":{"backupStreams":["acme/b"]}}`, 200},
		{"pusher", "/push/startup", `{"streamName":"acme/a","rtmpUrl":"rtmp://h/a","options":{"backupStreams":["acme/b","beta/b"]}}`, 403},
		{"acme", "/push/source", `{"mediaSessionId":"push-beta","streamName":"acme/a"}`, 404},
		{"acme-view", "/push/source", `{"mediaSessionId":"push-acme","streamName":"acme/a"}`, 403},

		{"admin", "/stream/terminate", `{"mediaSessionId":"id-beta"}`, 200},
		{"acme", "/stream/terminate", `{"mediaSessionId":"id-acme"}`, 200},
		{"acme", "/stream/terminate", `{"mediaSessionId":"id-beta"}`, 404},
		{"acme-view", "/stream/terminate", `{"mediaSessionId":"id-acme"}`, 403},
		{"pusher", "/stream/terminate", `{"mediaSessionId":"id-acme"}`, 200}, // his own
		{"viewer", "/stream/terminate", `{"all":true}`, 403},
		{"player", "/stream/terminate", `{"all":true}`, 404},

		{"admin", "/connection/terminate", `{"sessionId":"s-beta"}`, 200},
		{"acme", "/connection/terminate", `{"sessionId":"s-acme"}`, 200},
		{"acme", "/connection/terminate", `{"sessionId":"s-beta"}`, 404},
		{"acme-view", "/connection/terminate", `{"sessionId":"s-acme"}`, 403},
		{"viewer", "/connection/set_log_level", `{"sessionId":"s-acme","logLevel":"DEBUG"}`, 403},
		{"admin", "/connection/set_log_level", `{"sessionId":"s-acme","logLevel":"DEBUG"}`, 200},
	} {
		t.Run(tt.token+tt.path, func(t *testing.T) {
			srv, _, lines, _ := closedServer(t)
			got := ask(t, srv, tt.token, "/rest-api"+tt.path, tt.body)
			got.wantStatus(t, tt.want)
			if len(lines.all) != 1 {
				t.Fatalf("the audit log has %+v, want one line", lines.all)
			}
			line := lines.all[0]
			if line.Do != tt.path[1:] || line.OK != (tt.want == 200) || line.Who.Subject != tt.token || line.Via != "rest" || (line.Why == "") != line.OK {
				t.Errorf("the audit log says %+v", line)
			}
			if text, _ := json.Marshal(line); bytes.Contains(text, []byte(canary)) {
				t.Errorf("the audit log has a key: %s", text)
			}
			if tt.want == 403 && !strings.Contains(got.message(t), "this") {
				t.Errorf("the message does not say what is missing: %s", got.body)
			}
		})
	}
}

// Figures of the whole server are for those who may read about all streams.
func TestProtect(t *testing.T) {
	who := auth.New(auth.Config{Mode: auth.Closed}, auth.Parts{Tokens: holders()}, slog.New(slog.DiscardHandler))
	h, err := New(DefaultConfig(), Parts{Access: who}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	var reads func(string) bool
	page := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { reads = Reader(r.Context()) })
	for _, tt := range []struct {
		token            string
		some, all        int
		readsAll, access bool
	}{
		{"admin", 200, 200, true, true},
		{"viewer", 200, 200, true, true},
		{"acme-view", 200, 403, false, true},
		{"player", 403, 403, false, false},
		{"wrong", 401, 401, false, false},
		{"", 401, 401, false, false},
	} {
		for all, want := range map[bool]int{false: tt.some, true: tt.all} {
			r := localRequest(t.Context(), http.MethodGet, "/metrics", nil)
			if tt.token != "" {
				r.Header.Set("Authorization", "Bearer "+tt.token)
			}
			w := httptest.NewRecorder()
			h.Protect("metrics", all, page).ServeHTTP(w, r)
			if w.Code != want {
				t.Errorf("%s, all: %v: %d, want %d", tt.token, all, w.Code, want)
			}
			if w.Code == 200 && (reads == nil) != tt.readsAll {
				t.Errorf("%s reads all: %v", tt.token, reads == nil)
			}
			if got := h.MayRead("pages", r); got != tt.access {
				t.Errorf("%s may read: %v", tt.token, got)
			}
		}
	}
	if reads == nil || !reads("acme/x") || reads("beta/x") {
		t.Error("the filter of a tenant is wrong")
	}
}

func TestReportOfAccess(t *testing.T) {
	srv, _, _, _ := closedServer(t)
	got := decoded[auth.Report](t, ask(t, srv, "admin", "/rest-api/access/report", ""))
	if got.Mode != auth.Closed || len(got.Who) == 0 || got.Warnings == nil {
		t.Errorf("%+v", got)
	}
	ask(t, srv, "viewer", "/rest-api/access/report", "").wantStatus(t, http.StatusForbidden)
}

// The limit of the history counts what the caller may see.
func TestHistoryOfTenant(t *testing.T) {
	srv, pushes, _, _ := closedServer(t)
	theirs := pushes.over[1]
	pushes.over = append(slices.Repeat([]transponder.Info{theirs}, 5), pushes.over[0], pushes.over[0], pushes.over[0])
	for token, want := range map[string]string{"acme": "push-acme push-acme", "admin": "push-beta push-beta"} {
		var ids []string
		for _, p := range decoded[[]pushBody](t, ask(t, srv, token, "/rest-api/push/history?limit=2", "")) {
			ids = append(ids, p.MediaSessionID)
		}
		if got := strings.Join(ids, " "); got != want {
			t.Errorf("%s gets %q, want %q", token, got, want)
		}
	}
}
