package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/access"
	"transponder/internal/access/auth"
	"transponder/internal/transponder"
)

var _ Checker = (*transponder.Registry)(nil)

// fakeChecker keeps the requests. A check tells its steps, then waits for open, if that is not nil.
type fakeChecker struct {
	mu   sync.Mutex
	got  []transponder.CheckRequest // guarded by mu
	open chan struct{}
}

// fakeSteps are the steps of each address.
var fakeSteps = []transponder.Checking{
	{Step: transponder.StepName, Result: transponder.CheckOK, Detail: "Resolved."},
	{Step: transponder.StepPolicy, Result: transponder.CheckOK, Detail: "Allowed."},
	{Step: transponder.StepAddress, Result: transponder.CheckOK, Address: "10.0.0.1:1935", Took: 3 * time.Millisecond, Detail: "Reached.", Hidden: true},
	{Step: transponder.StepTLS, Result: transponder.CheckSkipped, Detail: "None.", Hidden: true},
	{
		Step: transponder.StepHandshake, Result: transponder.CheckFailed, Address: "10.0.0.1:1935", Reason: transponder.ReasonHandshake, Detail: "No RTMP.",
		Hidden: true,
	},
	{Step: transponder.StepStream, Result: transponder.CheckFailed, Detail: "Slow."},
}

func (f *fakeChecker) Check(ctx context.Context, req transponder.CheckRequest) (transponder.Checked, error) {
	f.mu.Lock()
	f.got = append(f.got, req)
	f.mu.Unlock()
	for backup := range 1 + len(req.Options.BackupURLs) {
		for _, step := range fakeSteps {
			if req.Heard != nil {
				req.Heard(backup, step)
			}
		}
	}
	if f.open != nil {
		select {
		case <-f.open:
		case <-ctx.Done():
			return transponder.Checked{}, context.Cause(ctx)
		}
	}
	c := transponder.Checked{
		Target: "rtmp://10.0.0.1/live/***", Platform: "youtube", Hidden: true, Steps: fakeSteps,
		Findings: []transponder.Finding{{Code: transponder.FindingKeyInterval, Detail: "Slow."}},
	}
	for range req.Options.BackupURLs {
		c.Backups = append(c.Backups, c)
		c.Backups[len(c.Backups)-1].Backups = nil
	}
	return c, nil
}

func (f *fakeChecker) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.got)
}

// newCheckServer serves checks to an administrator on this machine, and to tokens that may push some streams to some addresses.
func newCheckServer(t *testing.T, checker *fakeChecker) (*httptest.Server, *Server) {
	t.Helper()
	grant := func(action access.Action, stream string) []access.Grant {
		return []access.Grant{{Actions: []access.Action{action}, Streams: []string{stream}, Destinations: []string{"tube"}, URLs: []string{"rtmp://live.example:1935/*"}}}
	}
	none := &fakeSessions{}
	api, err := New(DefaultConfig(), Parts{
		Pushes: &fakePushes{}, Streams: newHub(t), Events: newFakeEvents(0), Connections: none, Players: none, Checker: checker,
		Access: byToken{auth.New(auth.DefaultConfig(), auth.Parts{}, slog.New(slog.DiscardHandler)), map[string]*access.Principal{
			"pusher": {Kind: access.Token, Subject: "a", Grants: grant(access.Push, "acme/*")},
			"viewer": {Kind: access.Token, Subject: "v", Grants: grant(access.Read, "*")},
		}},
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(api)
	t.Cleanup(func() {
		api.Close()
		srv.Close()
	})
	return srv, api
}

func checkAs(t *testing.T, srv *httptest.Server, token, body string) reply {
	t.Helper()
	r := newRequest(t, srv, http.MethodPost, "/rest-api/push/check", body)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return send(t, srv, r)
}

// Whoever may push a stream to an address may check the address, and nobody else. Without a stream it is enough to be allowed to push some stream there.
func TestMayCheck(t *testing.T) {
	for _, tt := range []struct {
		name, token, body string
		status            int
	}{
		{"an administrator", "", `{"rtmpUrl":"rtmp://localhost/live"}`, 200},
		{"his stream to his address", "pusher", `{"streamName":"acme/a","rtmpUrl":"rtmp://live.example/live"}`, 200},
		{"his stream to his destination", "pusher", `{"streamName":"acme/a","rtmpUrl":"destination://tube"}`, 200},
		{"no stream to his destination", "pusher", `{"rtmpUrl":"destination://tube"}`, 200},
		{"no stream to his address", "pusher", `{"rtmpUrl":"rtmp://live.example/live"}`, 200},
		{"another stream", "pusher", `{"streamName":"beta/a","rtmpUrl":"destination://tube"}`, 403},
		{"another address", "pusher", `{"streamName":"acme/a","rtmpUrl":"rtmp://10.0.0.1/live"}`, 403},
		{"no stream to another address", "pusher", `{"rtmpUrl":"rtmp://10.0.0.1/live"}`, 403},
		{"no stream to another destination", "pusher", `{"rtmpUrl":"destination://stage"}`, 403},
		{"a viewer", "viewer", `{"streamName":"acme/a","rtmpUrl":"destination://tube"}`, 403},
		{"another address as the second", "pusher", `{"streamName":"acme/a","rtmpUrl":"destination://tube","options":{"backupUrls":["rtmp://10.0.0.1/live"]}}`, 403},
		{"two of his addresses", "pusher", `{"streamName":"acme/a","rtmpUrl":"destination://tube","options":{"backupUrls":["rtmp://live.example/live"]}}`, 200},
		{"no address", "", `{}`, 400},
		{"a wrong option", "", `{"rtmpUrl":"rtmp://localhost/live","options":{"codecs":3}}`, 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			checker := &fakeChecker{}
			srv, _ := newCheckServer(t, checker)
			checkAs(t, srv, tt.token, tt.body).wantStatus(t, tt.status)
			if called := checker.count() == 1; called != (tt.status == 200) {
				t.Errorf("the destination was checked: %t", called)
			}
		})
	}
}

// An administrator on this machine sees each step. A stranger sees neither addresses of a private network nor which step failed.
func TestCheckAnswer(t *testing.T) {
	checker := &fakeChecker{}
	srv, _ := newCheckServer(t, checker)
	body := `{"streamName":"acme/a","rtmpUrl":"destination://tube","publish":true,"options":{"codecs":["hevc"]},"height":720}`
	full := checkAs(t, srv, "", body)
	full.wantStatus(t, http.StatusOK)
	var got checkBody
	if err := json.Unmarshal(full.body, &got); err != nil {
		t.Fatal(err)
	}
	if got.OK || got.Platform != "youtube" || len(got.Steps) != 6 || got.Steps[4].Reason != "rtmp_handshake" || got.Steps[2].Ms != 3 ||
		len(got.Findings) != 1 || got.Findings[0].Code != "key_interval" {
		t.Errorf("answer %s", full.body)
	}
	checker.mu.Lock()
	if req := checker.got[0]; !req.Publish || req.StreamName != "acme/a" || req.Height != 720 || len(req.Options.Codecs) != 1 || req.By == nil {
		t.Errorf("request %+v", req)
	}
	checker.mu.Unlock()
	hidden := checkAs(t, srv, "pusher", body)
	hidden.wantStatus(t, http.StatusOK)
	got = checkBody{}
	if err := json.Unmarshal(hidden.body, &got); err != nil {
		t.Fatal(err)
	}
	if got.OK || len(got.Steps) != 4 || got.Steps[2].Reason != "unreachable" || strings.Contains(string(hidden.body), "10.0.0.1:1935") || strings.Contains(string(hidden.body), "handshake") {
		t.Errorf("a stranger gets %s", hidden.body)
	}
}

// Whoever asks for lines gets each step as it comes, then what others get in one piece.
func TestCheckInLines(t *testing.T) {
	checker := &fakeChecker{open: make(chan struct{})}
	srv, api := newCheckServer(t, checker)
	ask := func(token string) *http.Response {
		t.Helper()
		r := newRequest(t, srv, http.MethodPost, "/rest-api/push/check", `{"streamName":"acme/a","rtmpUrl":"destination://tube","options":{"backupUrls":["rtmp://live.example/live"]}}`)
		r.Header.Set("Accept", "text/plain, application/x-ndjson;q=0.9")
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := srv.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		if got := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || got != linesType {
			t.Fatalf("%s, %s", resp.Status, got)
		}
		return resp
	}
	spec, err := loadContract()
	if err != nil {
		t.Fatal(err)
	}
	// next reads a line, which must be what the contract calls kind.
	next := func(d *json.Decoder, kind string) string {
		t.Helper()
		var line json.RawMessage
		if err := d.Decode(&line); err != nil {
			t.Fatal(err)
		}
		var value any
		if err := json.Unmarshal(line, &value); err != nil {
			t.Fatal(err)
		}
		if err := spec.doc.Components.Schemas[kind].Value.VisitJSON(value); err != nil {
			t.Errorf("%s is no %s: %v", line, kind, err)
		}
		return string(line)
	}
	steps := func(d *json.Decoder, n int) (got []string) {
		t.Helper()
		for range n {
			var s stepBody
			if err := json.Unmarshal([]byte(next(d, "CheckedStep")), &s); err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("%s%d", s.Step, s.Backup))
		}
		return got
	}

	d := json.NewDecoder(ask("").Body)
	want := strings.Fields("name0 policy0 address0 tls0 handshake0 stream0 name1 policy1 address1 tls1 handshake1 stream1")
	if got := steps(d, len(want)); !slices.Equal(got, want) { // they come while the check waits
		t.Errorf("steps %v", got)
	}
	close(checker.open)
	last := next(d, "Checked")
	whole := checkAs(t, srv, "", `{"streamName":"acme/a","rtmpUrl":"destination://tube","options":{"backupUrls":["rtmp://live.example/live"]}}`)
	whole.wantStatus(t, http.StatusOK)
	if strings.TrimSpace(string(whole.body)) != last || !strings.Contains(last, `"backups":[{"ok":false`) {
		t.Errorf("the last line is\n%s, want\n%s", last, whole.body)
	}
	if d.More() {
		t.Error("something comes after the answer")
	}

	d = json.NewDecoder(ask("pusher").Body)
	want = strings.Fields("name0 policy0 name1 policy1 address0 stream0 address1 stream1")
	if got := steps(d, len(want)); !slices.Equal(got, want) {
		t.Errorf("a stranger gets steps %v", got)
	}
	if last := next(d, "Checked"); strings.Contains(last, "10.0.0.1:1935") || strings.Contains(last, "handshake") {
		t.Errorf("a stranger gets %s", last)
	}

	// A request that is refused at once is answered as JSON. A check that ends early ends with an error.
	r := newRequest(t, srv, http.MethodPost, "/rest-api/push/check", `{}`)
	r.Header.Set("Accept", linesType)
	send(t, srv, r).wantStatus(t, http.StatusBadRequest)
	checker.open = make(chan struct{})
	d = json.NewDecoder(ask("").Body)
	steps(d, 12)
	api.Close()
	if got := next(d, "Error"); !strings.Contains(got, `"status":503`) {
		t.Errorf("the stopping server ends a check with %s", got)
	}
}

// A caller may check a few times, then has to wait. Others are not held up by that.
func TestCheckRate(t *testing.T) {
	srv, _ := newCheckServer(t, &fakeChecker{})
	body := `{"streamName":"acme/a","rtmpUrl":"destination://tube"}`
	for range checkBurst {
		checkAs(t, srv, "pusher", body).wantStatus(t, http.StatusOK)
	}
	refused := checkAs(t, srv, "pusher", body)
	refused.wantStatus(t, http.StatusTooManyRequests)
	if refused.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	checkAs(t, srv, "", body).wantStatus(t, http.StatusOK)
	synctest.Test(t, func(t *testing.T) {
		var c checks
		for n := range checkBurst + 1 {
			if wait := c.allow("a", 1, time.Now()); wait > 0 != (n == checkBurst) {
				t.Errorf("check %d has to wait %v", n, wait)
			}
		}
		time.Sleep(checkEvery)
		if wait := c.allow("a", 1, time.Now()); wait != 0 {
			t.Errorf("%v to wait after a pause", wait)
		}
		if wait := c.allow("a", 3, time.Now()); wait != 3*checkEvery {
			t.Errorf("%v to wait for three addresses", wait)
		}
		for n := range maxCheckers {
			c.allow(string(rune('b'+n)), 1, time.Now())
		}
		if n := len(c.by); n > maxCheckers {
			t.Errorf("%d callers are remembered", n)
		}
	})
}

// Only so many checks run at once, and all end when the server stops.
func TestChecksAtOnce(t *testing.T) {
	checker := &fakeChecker{open: make(chan struct{})}
	srv, api := newCheckServer(t, checker)
	var leaves []func()
	for {
		_, leave, err := api.checks.running.enter(t.Context(), api.parts.Shares.Client(&http.Request{RemoteAddr: "127.0.0.1:1"}))
		if err != nil {
			break
		}
		leaves = append(leaves, leave)
	}
	if len(leaves) == 0 || len(leaves) > maxChecks {
		t.Errorf("%d checks at once", len(leaves))
	}
	checkAs(t, srv, "", `{"rtmpUrl":"rtmp://localhost/live"}`).wantStatus(t, http.StatusServiceUnavailable)
	for _, leave := range leaves {
		leave()
	}
	answered := make(chan int, 1)
	go func() {
		r, err := http.Post(srv.URL+"/rest-api/push/check", "application/json", strings.NewReader(`{"rtmpUrl":"rtmp://localhost/live"}`))
		if err != nil {
			answered <- 0
			return
		}
		r.Body.Close()
		answered <- r.StatusCode
	}()
	for deadline := time.Now().Add(10 * time.Second); checker.count() == 0; {
		if time.Now().After(deadline) {
			t.Fatal("no check began")
		}
		time.Sleep(time.Millisecond)
	}
	api.Close()
	if status := <-answered; status != http.StatusServiceUnavailable {
		t.Errorf("the stopping server answers %d", status)
	}
}
