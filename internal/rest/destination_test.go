package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"transponder/internal/access"
	"transponder/internal/access/auth"
	"transponder/internal/destination"
	"transponder/internal/media"
	"transponder/internal/state"
	"transponder/internal/transponder"
)

func newDestinations(t *testing.T) *destination.Store {
	t.Helper()
	keeper, err := state.Memory(t.Context(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keeper.Close() })
	return destination.New(keeper, keeper.Sealer())
}

// byToken knows principals by the text of their bearer token. Everybody else is whom auth.Authenticator finds.
type byToken struct {
	Access
	known map[string]*access.Principal
}

func (b byToken) Identify(ctx context.Context, c access.Credential) (*access.Principal, error) {
	if p := b.known[c.Token]; p != nil {
		return p, nil
	}
	return b.Access.Identify(ctx, c)
}

// newDestinationServer serves destinations to an administrator on this machine, and to holders of the tokens "operator", "acme", "beta" and
// "viewer".
func newDestinationServer(t *testing.T, pushes *fakePushes) *httptest.Server {
	t.Helper()
	grant := func(actions []access.Action, destinations ...string) []access.Grant {
		return []access.Grant{{Actions: actions, Streams: []string{"*"}, Destinations: destinations}}
	}
	push := []access.Action{access.Push, access.Read}
	none := &fakeSessions{}
	return serve(t, DefaultConfig(), Parts{
		Pushes: pushes, Streams: newHub(t), Events: newFakeEvents(0), Connections: none, Players: none,
		Destinations: newDestinations(t), DescribeTarget: transponder.DefaultConfig().DescribeTarget,
		Access: byToken{auth.New(auth.DefaultConfig(), auth.Parts{}, slog.New(slog.DiscardHandler)), map[string]*access.Principal{
			"operator": {Kind: access.User, Subject: "op", Grants: access.Operator.Grants(nil)},
			"acme":     {Kind: access.Token, Subject: "a", App: "acme", Grants: grant(push, "tube*", "stage")},
			"beta":     {Kind: access.Token, Subject: "b", App: "beta", Grants: grant(push, "*")},
			"viewer":   {Kind: access.User, Subject: "v", Grants: access.Viewer.Grants(nil)},
		}},
	})
}

// as sends a request with a bearer token; "": as a client on this machine.
func as(t *testing.T, srv *httptest.Server, token, path, body string) reply {
	t.Helper()
	r := newRequest(t, srv, http.MethodPost, path, body)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return send(t, srv, r)
}

func TestDestinations(t *testing.T) {
	const canary = "canary-key-1"
	pushes := &fakePushes{list: []transponder.Info{{URL: "destination://tube", Destination: "tube", SourceName: "s"}}}
	srv := newDestinationServer(t, pushes)
	create := func(body string) reply { t.Helper(); return as(t, srv, "", "/rest-api/destination/create", body) }

	create(`{"name":"tube","rtmpUrl":"rtmps://host/live2/`+canary+`","rtmpTransponderFullUrl":true,"app":"acme","label":"Tube","options":{"codecs":["HEVC"],"restore":{"attempts":"unlimited"}}}`).wantStatus(t, http.StatusOK)
	create(`{"name":"tube2","preset":"twitch","key":"`+canary+`"}`).wantStatus(t, http.StatusOK)
	create(`{"name":"stage","server":"rtmp://host/app/","key":"`+canary+`","streams":["stage-*"]}`).wantStatus(t, http.StatusOK)
	for _, tt := range []struct {
		body, want string
		status     int
	}{
		{`{"name":"tube","rtmpUrl":"rtmp://h/x"}`, "exists already", http.StatusConflict},
		{`{"name":"Tube","rtmpUrl":"rtmp://h/x"}`, "name", http.StatusBadRequest},
		{`{"rtmpUrl":"rtmp://h/x"}`, "name", http.StatusBadRequest},
		{`{"name":"a"}`, "rtmpUrl", http.StatusBadRequest},
		{`{"name":"a","rtmpUrl":"http://h/` + canary + `"}`, "rtmp://", http.StatusBadRequest},
		{`{"name":"a","rtmpUrl":"destination://tube"}`, "rtmp://", http.StatusBadRequest},
		{`{"name":"a","rtmpUrl":"rtmp://h/app/***"}`, "***", http.StatusBadRequest},
		{`{"name":"a","rtmpUrl":"rtmp://h/app/","rtmpTransponderFullUrl":true}`, "full URL", http.StatusBadRequest},
		{`{"name":"a","rtmpUrl":"rtmp://h/app","key":"k"}`, "either", http.StatusBadRequest},
		{`{"name":"a","preset":"ivs","key":"k"}`, "server", http.StatusBadRequest},
		{`{"name":"a","preset":"twitch","key":"k","backup":true}`, "no backup server", http.StatusBadRequest},
		{`{"name":"a","preset":"youtube","rtmpUrl":"rtmp://h/app","backup":true}`, "backup", http.StatusBadRequest},
		{`{"name":"a","preset":"youtube","backup":true}`, "backup", http.StatusBadRequest},
		{`{"name":"a","preset":"none","rtmpUrl":"rtmp://h/app"}`, "preset", http.StatusBadRequest},
		{`{"name":"a","rtmpUrl":"rtmp://h/app","options":{"codecs":["x"]}}`, "options.codecs", http.StatusBadRequest},
		{`{"name":"a","rtmpUrl":"rtmp://h/app","options":{"holdMs":"x"}}`, "options.holdMs", http.StatusBadRequest},
		{`{"name":"a","rtmpUrl":"rtmp://h/app","options":7}`, "options", http.StatusBadRequest},
		{`{"name":"a","rtmpUrl":"rtmp://h/app","streams":[]}`, "streams", http.StatusBadRequest},
		{`{"name":"a","rtmpUrl":"rtmp://h/app","streams":"*"}`, "streams", http.StatusBadRequest},
	} {
		r := create(tt.body)
		r.wantStatus(t, tt.status)
		if !strings.Contains(string(r.body), tt.want) || strings.Contains(string(r.body), canary) {
			t.Errorf("%s: %s", tt.body, r.body)
		}
	}

	// What everybody sees.
	for token, want := range map[string]string{
		"":         "stage rtmp://host/app/***/true, tube rtmps://host/live2/***/true, tube2 rtmps://ingest.global-contribute.live-video.net/app/***/true",
		"operator": "stage, tube, tube2",
		"acme":     "stage, tube, tube2",
		"beta":     "stage, tube2",
		"viewer":   "",
	} {
		r := as(t, srv, token, "/rest-api/destination/find_all", `{"empty":true}`)
		r.wantStatus(t, http.StatusOK)
		var list []destinationBody
		if err := json.Unmarshal(r.body, &list); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, d := range list {
			s := d.Name
			if d.Target != "" || d.KeySet != nil {
				s += fmt.Sprintf(" %s/%t", d.Target, *d.KeySet)
			}
			got = append(got, s)
			if want := map[string]int{"tube": 1}[d.Name]; d.UsedBy != want {
				t.Errorf("%s is used by %d pushes, want %d", d.Name, d.UsedBy, want)
			}
		}
		if got := strings.Join(got, ", "); got != want {
			t.Errorf("%q sees %q, want %q", token, got, want)
		}
		if strings.Contains(string(r.body), canary) {
			t.Errorf("%q sees the key", token)
		}
	}
	as(t, srv, "beta", "/rest-api/destination/find", `{"name":"tube"}`).wantStatus(t, http.StatusNotFound)
	as(t, srv, "acme", "/rest-api/destination/find", `{"name":"tube"}`).wantStatus(t, http.StatusOK)
	as(t, srv, "nobody", "/rest-api/destination/find_all", `{}`)

	// Who changes what.
	for _, method := range []string{"create", "update", "remove"} {
		for _, token := range []string{"operator", "acme", "viewer"} {
			as(t, srv, token, "/rest-api/destination/"+method, `{"name":"tube","rtmpUrl":"rtmp://mine/x"}`).wantStatus(t, http.StatusForbidden)
		}
	}

	// An answer that is sent back changes nothing.
	before := as(t, srv, "", "/rest-api/destination/find", `{"name":"tube"}`)
	var one []json.RawMessage
	if err := json.Unmarshal(before.body, &one); err != nil {
		t.Fatal(err)
	}
	as(t, srv, "", "/rest-api/destination/update", string(one[0])).wantStatus(t, http.StatusOK)
	// An update leaves what it does not name.
	as(t, srv, "", "/rest-api/destination/update", `{"name":"tube","label":""}`).wantStatus(t, http.StatusOK)
	r := as(t, srv, "", "/rest-api/destination/find", `{"name":"tube"}`)
	if text := string(r.body); !strings.Contains(text, `"rtmps://host/live2/***"`) || !strings.Contains(text, `"app":"acme"`) ||
		!strings.Contains(text, `"options":{"restore":{"attempts":-1},"codecs":["hevc"]}`) || strings.Contains(text, "label") {
		t.Errorf("after an update %s", text)
	}
	as(t, srv, "", "/rest-api/destination/update", `{"name":"none","label":"x"}`).wantStatus(t, http.StatusNotFound)
	as(t, srv, "", "/rest-api/destination/remove", `{"name":"tube2"}`).wantStatus(t, http.StatusOK)
	as(t, srv, "", "/rest-api/destination/remove", `{"name":"tube2"}`).wantStatus(t, http.StatusNotFound)
	get(t, srv, "/rest-api/destination/presets").wantStatus(t, http.StatusOK)
	get(t, srv, "/rest-api/destination/find_all").wantStatus(t, http.StatusOK)
}

// Whoever may push to a destination reads its options, because those of his own request replace them: but none that name other destinations.
func TestOptionsAreTold(t *testing.T) {
	srv := newDestinationServer(t, &fakePushes{})
	for _, body := range []string{
		`{"name":"tube-plain","rtmpUrl":"rtmp://host/a","app":"acme"}`,
		`{"name":"tube-ends","rtmpUrl":"rtmp://host/b","app":"acme","options":{"onSourceLoss":"end"}}`,
		`{"name":"tube-twice","rtmpUrl":"rtmp://host/c","app":"acme","options":{"onSourceLoss":"hold","backupUrls":["destination://tube-plain"]}}`,
	} {
		as(t, srv, "", "/rest-api/destination/create", body).wantStatus(t, http.StatusOK)
	}
	for token, wants := range map[string]map[string]string{
		"":     {"tube-plain": ``, "tube-ends": `{"onSourceLoss":"end"}`, "tube-twice": `{"onSourceLoss":"hold","backupUrls":["destination://tube-plain"]}`},
		"acme": {"tube-plain": `{}`, "tube-ends": `{"onSourceLoss":"end"}`, "tube-twice": ``},
	} {
		r := as(t, srv, token, "/rest-api/destination/find_all", `{}`)
		r.wantStatus(t, http.StatusOK)
		var list []destinationBody
		if err := json.Unmarshal(r.body, &list); err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, d := range list {
			got[d.Name] = string(d.Options)
		}
		if !maps.Equal(got, wants) {
			t.Errorf("%q is told %q, want %q", token, got, wants)
		}
	}
}

// TestParseOptions holds that the options of a push are the same after a destination has kept them.
func TestParseOptions(t *testing.T) {
	want := transponder.Options{
		Action: "mute", Loop: true, Audio: media.AudioFormat{Codec: media.PCMA, RateBPS: 64000, SampleRate: 44100, Channels: 1}, RateBPS: 2_500_000,
		Fit: "letterbox", OnSourceLoss: "hold", HoldFor: time.Minute, Slate: "s.png", Picture: "card", Codecs: []string{"hevc", "opus"},
		Restore: &transponder.Restore{Attempts: -1, FirstPause: time.Second, Factor: 1.5, MaxPause: time.Minute, Jitter: 0.5, HealthyFor: time.Hour},
	}
	text, err := json.Marshal(newOptionsBody(want))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseOptions(text); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%s becomes %+v, %v, want %+v", text, got, err, want)
	}
	if _, err := ParseOptions(json.RawMessage(`{"holdMs":"x"}`)); err == nil || !strings.Contains(err.Error(), "options.holdMs") {
		t.Errorf("bad options: %v", err)
	}
}

// TestPushDecision holds that a push is decided about before it is started: by the name of the destination, or by the address.
func TestPushDecision(t *testing.T) {
	for _, tt := range []struct {
		token, url string
		status     int
	}{
		{"", "rtmp://localhost/live", http.StatusOK},
		{"operator", "destination://tube", http.StatusOK},
		{"operator", "rtmp://host/live", http.StatusForbidden},
		{"acme", "destination://tube", http.StatusOK},
		{"acme", "DESTINATION://tube", http.StatusOK},
		{"acme", "destination://other", http.StatusForbidden},
		{"acme", "rtmp://host/live", http.StatusForbidden},
		{"acme", "nonsense", http.StatusForbidden},
		{"viewer", "destination://tube", http.StatusForbidden},
	} {
		pushes := &fakePushes{}
		srv := newDestinationServer(t, pushes)
		as(t, srv, tt.token, "/rest-api/push/startup", `{"streamName":"s","rtmpUrl":"`+tt.url+`"}`).wantStatus(t, tt.status)
		if started := pushes.count(); (started == 1) != (tt.status == http.StatusOK) {
			t.Errorf("%s to %s: %d pushes were started", tt.token, tt.url, started)
		}
	}
}
