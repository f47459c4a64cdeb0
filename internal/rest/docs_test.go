package rest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"transponder/internal/access"
	"transponder/internal/access/audit"
	"transponder/internal/access/auth"
	"transponder/internal/access/people"
	"transponder/internal/media"
	"transponder/internal/sip"
	"transponder/internal/sip/dialog"
	"transponder/internal/state"
	"transponder/internal/stream"
	"transponder/internal/transcode/mediafile"
	"transponder/internal/transponder"
)

// TestDocs makes every request of the documents of this API, in order, and compares the answers with those in the document: the status, the
// headers, and the members of the body with their types, texts and booleans. Numbers and times may differ.
func TestDocs(t *testing.T) {
	for _, name := range []string{
		"rest.md", "sip.md", "users.md", "tokens.md", "destinations.md", "youtube.md", "facebook.md", "twitch.md", "obs.md", "from-wcs.md",
		"troubleshooting.md",
	} {
		t.Run(name, func(t *testing.T) { checkDoc(t, name) })
	}
}

func checkDoc(t *testing.T, name string) {
	t.Helper()
	doc, err := os.ReadFile("../../docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	srv := newDocServer(t)
	exchanges := regexp.MustCompile("(?s)```sh\n(curl .*?)```\n\n```http\n(.*?)```").FindAllStringSubmatch(string(doc), -1)
	if shown := bytes.Count(doc, []byte("```sh\n")); len(exchanges) != shown || shown == 0 {
		t.Fatalf("%d of the %d commands are followed by an answer", len(exchanges), shown)
	}
	for _, e := range exchanges {
		t.Run(strings.SplitN(e[1], "\n", 2)[0], func(t *testing.T) {
			r, want := parseCurl(t, srv, e[1]), parseAnswer(t, e[2])
			if want.headers.Get("Content-Type") == "text/event-stream" {
				compareStream(t, want, srv, r)
				return
			}
			compare(t, want, send(t, srv, r))
		})
	}
}

// docPushes answers like the server in the document.
type docPushes struct{ *fakePushes }

func (p docPushes) Start(ctx context.Context, req transponder.Request) (transponder.Info, error) {
	info, err := p.fakePushes.Start(ctx, req)
	if strings.HasPrefix(req.URL, "destination://") {
		info.Target, info.StreamName = "rtmps://a.rtmps.youtube.com/live2/***", info.SourceName
		p.mu.Lock()
		defer p.mu.Unlock()
		p.list = nil
	}
	return info, err
}

func (p docPushes) Find(ctx context.Context, f transponder.Filter) ([]transponder.Info, error) {
	found, err := p.fakePushes.Find(ctx, f)
	for i := range found {
		found[i].State, found[i].Width, found[i].Height = transponder.Live, 1280, 720
	}
	return found, err
}

// docCalls has one call, which the phone has answered, and makes others that are forgotten.
func docCalls() *fakeCalls {
	return &fakeCalls{list: []sip.Info{{
		CallID: "call-1", Status: dialog.Established, Code: 200, Caller: "1000", Callee: "1001", StreamName: "phone", Audio: true, Video: true,
		AudioCodec: media.PCMU, VideoCodec: media.H264, SDP: "v=0\r\n", Started: pushTime, Answered: pushTime, PacketsReceived: 1250,
	}}}
}

// docHistory and docEvents are what the document shows about a push that has ended.
var (
	docHistory = []transponder.Info{{
		ID: pushID, SourceName: "name", StreamName: "rtmp_name", Target: "rtmp://localhost/live/***", URL: "rtmp://localhost:1935/live", Width: 1280, Height: 720,
		State: transponder.Failed, Since: pushTime, Reason: transponder.ReasonPeerClosed, Detail: "The server closed the connection.",
		Attempts: 4, Started: pushTime, Ended: pushTime, Asked: &transponder.Asked{}, By: transponder.Starter{Kind: access.User, Name: "anna", Via: transponder.ViaREST},
	}}
	docEvents = []transponder.Event{{
		ID: pushID, At: time.UnixMilli(1788264000123), SourceName: "name", Target: "rtmp://localhost/live/***",
		From: transponder.Connecting, To: transponder.Live, Attempt: 1,
	}, {
		ID: pushID, At: time.UnixMilli(1788264007250), SourceName: "name", Target: "rtmp://localhost/live/***",
		From: transponder.Live, To: transponder.Waiting, Reason: transponder.ReasonPeerClosed,
		Detail: "The server closed the connection.", Attempt: 1, NextRetry: time.UnixMilli(1788264012250), BytesAcked: 2500000,
	}}
)

// docConnections is the connection of the publisher.
var docConnections = []Connection{{
	SessionID: "5f0c1d5e-8c2a-4d2f-9a51-0a1f1f6d7e10", AppKey: "defaultApp", ClientVersion: "2.0",
	ClientOSVersion: "5.0 (X11; Linux x86_64)", ClientBrowserVersion: "Mozilla/5.0 (X11; Linux x86_64)",
	MediaProviders: []string{"WebRTC", "MSE", "WSPlayer"}, Connected: true, Address: "192.0.2.7:51000",
	Origin: "https://studio.example", Created: pushTime, Publishers: 1,
}}

// docChecker finds that nothing listens at the address.
type docChecker struct{}

func (docChecker) Check(context.Context, transponder.CheckRequest) (transponder.Checked, error) {
	return transponder.Checked{Target: "rtmp://localhost/live/***", Steps: []transponder.Checking{
		{Step: transponder.StepName, Result: transponder.CheckOK, Detail: "The server's name was resolved."},
		{Step: transponder.StepPolicy, Result: transponder.CheckOK, Detail: "This server may push there."},
		{
			Step: transponder.StepAddress, Result: transponder.CheckFailed, Address: "127.0.0.1:1935", Reason: transponder.ReasonRefused,
			Detail: "Nothing listens at this address: the connection was refused.",
		},
		{
			Step: transponder.StepStream, Result: transponder.CheckOK,
			Detail: "Nothing is known of the rules of this server. The stream breaks none that hold everywhere.",
		},
	}}, nil
}

func newDocServer(t *testing.T) *httptest.Server {
	t.Helper()
	hub := stream.NewHub(stream.DefaultConfig(), nil)
	src := publish(t, hub, stream.Info{
		Name: "name", ID: "56141d10-fddc-11e6-bc64-92361f002671", SessionID: "5f0c1d5e-8c2a-4d2f-9a51-0a1f1f6d7e10",
		AppKey: "defaultApp", Provider: "WebRTC", Transport: "UDP", HasVideo: true, HasAudio: true,
	})
	src.SetLive()
	src.Video.Write(media.Frame{Track: &media.Track{Codec: media.H264, Width: 1280, Height: 720}, Key: true})
	src.Audio.Write(media.Frame{Track: &media.Track{Codec: media.Opus}, Key: true})

	events := newFakeEvents(2)
	for _, e := range docEvents {
		events.add(e)
	}
	sessions := &fakeSessions{connections: docConnections}
	parts := Parts{
		Thumbnail: fakeThumbnail(nil),
		Apps:      newApps(t),
		Pushes:    docPushes{&fakePushes{over: docHistory}}, Streams: hub, Events: events, Calls: docCalls(), Connections: sessions, Players: sessions,
		Tokens: docTokens{}, Checker: docChecker{}, Media: mediafile.New(t.TempDir()),
	}
	parts.Destinations, parts.DescribeTarget = newDestinations(t), transponder.DefaultConfig().DescribeTarget
	addDocPeople(t, &parts)
	api, err := New(DefaultConfig(), parts, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	stat, err := Stat(DefaultConfig(), nil, func() Stats { return someStats })
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/rest-api/", api)
	mux.Handle("/", stat)
	srv := httptest.NewServer(mux)
	if srv.Client().Jar, err = cookiejar.New(nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		api.Close()
		srv.Close()
	})
	return srv
}

// parseCurl makes the request of a curl command.
func parseCurl(t *testing.T, srv *httptest.Server, command string) *http.Request {
	t.Helper()
	words := regexp.MustCompile(`'[^']*'|[^\s\\]+`).FindAllString(command, -1)
	for i := range words {
		words[i] = strings.Trim(words[i], "'")
	}
	var url, body, method string
	headers := http.Header{}
	for i := 1; i < len(words); i++ {
		switch word := words[i]; word {
		case "-i":
		case "-H":
			i++
			name, value, _ := strings.Cut(words[i], ": ")
			headers.Add(name, value)
		case "-c", "-b":
			i++ // the client keeps the cookies
		case "-X":
			i++
			method = words[i]
		case "-d":
			i++
			body = words[i]
		case "--data-binary":
			i++
			if words[i] != "@jingle.wav" {
				t.Fatalf("%s: there is no such file", words[i])
			}
			body = sound()
		default:
			if url != "" || strings.HasPrefix(word, "-") {
				t.Fatalf("word %q of %s is not understood", word, command)
			}
			url = word
		}
	}
	path, ok := strings.CutPrefix(url, "http://localhost:8081")
	if !ok {
		t.Fatalf("%q is not an address of the server", url)
	}
	switch {
	case method != "":
	case body != "":
		method = http.MethodPost
	default:
		method = http.MethodGet
	}
	r := newRequest(t, srv, method, path, body)
	if body != "" && headers.Get("Content-Type") == "" {
		headers.Set("Content-Type", "application/x-www-form-urlencoded") // curl's own
	}
	r.Header = headers
	return r
}

// answerShown is an answer in the document. If it shows no body, the body is not compared.
type answerShown struct {
	status  string
	headers http.Header
	body    string
}

func parseAnswer(t *testing.T, text string) answerShown {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(strings.ReplaceAll(text, "\n", "\r\n")+"\r\n")), nil)
	if err != nil {
		t.Fatalf("%q is not an answer: %v", text, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answerShown{resp.Status, resp.Header, strings.TrimSpace(strings.ReplaceAll(string(body), "\r", ""))}
}

// compareStream compares the beginning of a body without an end. It must be equal.
func compareStream(t *testing.T, want answerShown, srv *httptest.Server, r *http.Request) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	resp, err := srv.Client().Do(r.WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body := make([]byte, len(want.body))
	if _, err := io.ReadFull(resp.Body, body); err != nil || string(body) != want.body {
		t.Errorf("events = %q, %v, want %q", body, err, want.body)
	}
	compare(t, answerShown{want.status, want.headers, ""}, reply{Response: resp})
}

var moment = regexp.MustCompile(`\d{13}|\d{4}-\d\d-\d\dT[\d:.]+Z`)

func compare(t *testing.T, want answerShown, got reply) {
	t.Helper()
	if got.Status != want.status {
		t.Fatalf("answer = %s %s, want %s", got.Status, got.body, want.status)
	}
	for name := range want.headers {
		if g, w := got.Header.Get(name), want.headers.Get(name); g != w {
			t.Errorf("%s = %q, want %q", name, g, w)
		}
	}
	if want.body == "" {
		return
	}
	var g, w any
	if err := json.Unmarshal(moment.ReplaceAll(got.body, []byte("1")), &g); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(moment.ReplaceAll([]byte(want.body), []byte("1")), &w); err != nil {
		t.Fatalf("the body shown is not JSON: %v", err)
	}
	compareValue(t, "body", w, g)
}

func compareValue(t *testing.T, at string, want, got any) {
	t.Helper()
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			break
		}
		for name := range g {
			if _, ok := w[name]; !ok {
				t.Errorf("%s.%s is not shown", at, name)
			}
		}
		for name := range w {
			compareValue(t, at+"."+name, w[name], g[name])
		}
		return
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			break
		}
		for i := range w {
			compareValue(t, fmt.Sprintf("%s[%d]", at, i), w[i], g[i])
		}
		return
	case float64:
		if _, ok := got.(float64); ok {
			return
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s = %v, want %v", at, got, want)
	}
}

// addDocPeople adds one administrator, and an audit log.
func addDocPeople(t *testing.T, parts *Parts) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	kept, err := state.Memory(t.Context(), log)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := audit.New(audit.Config{}, kept, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = lines.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		kept.Close()
	})
	users, err := people.New(t.Context(), people.Config{}, people.Parts{Keeper: kept, Record: lines.Note}, log)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := users.Create(t.Context(), people.NewUser{Name: "ann", Role: access.Administrator}); err != nil {
		t.Fatal(err)
	}
	parts.People, parts.Audit = users, lines
	parts.Access = auth.New(auth.DefaultConfig(), auth.Parts{People: users, Cookie: SessionCookie, Recorder: lines}, log)
}
