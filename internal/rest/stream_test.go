package rest

import (
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"testing"

	"transponder/internal/stream"
)

func TestStreamAnswer(t *testing.T) {
	hub := newHub(t)
	cfg := DefaultConfig()
	cfg.NodeID = "node@127.0.0.1"
	srv := newServerWith(t, cfg, &fakePushes{}, hub)
	const common = `"nodeId":"node@127.0.0.1","published":true,"mediaType":"publish","hasVideo":true,
		"audioState":{"muted":false},"videoState":{"muted":false},"bitrate":0,"audioBitrate":0,"fps":0,"gop":0,"transport":"UDP",`
	const want = `[
		{` + common + `"name":"cam","mediaSessionId":"56141d10-fddc-11e6","sessionId":"s1","appKey":"defaultApp",
		"mediaProvider":"WebRTC","status":"PUBLISHING","hasAudio":true,"audioCodec":"opus","videoCodec":"H264","width":640,"height":360},
		{` + common + `"name":"door","mediaSessionId":"whip-1","sessionId":"whip-1","appKey":"","mediaProvider":"WHIP",
		"status":"PENDING","hasAudio":false,"audioCodec":"","videoCodec":"","width":0,"height":0}]`

	for _, r := range []reply{get(t, srv, "/rest-api/stream/find_all"), post(t, srv, "/rest-api/stream/find_all", "")} {
		r.wantStatus(t, http.StatusOK)
		var got, wanted []map[string]any
		if err := errors.Join(json.Unmarshal(r.body, &got), json.Unmarshal([]byte(want), &wanted)); err != nil {
			t.Fatal(err)
		}
		for i, src := range hub.Sources() {
			if created := got[i]["createDate"]; created != float64(src.Created().UnixMilli()) {
				t.Errorf("createDate = %v, want %v", created, src.Created().UnixMilli())
			}
			delete(got[i], "createDate")
		}
		if !reflect.DeepEqual(got, wanted) {
			t.Errorf("streams = %v, want %v", got, wanted)
		}
	}
}

// streamFilters are filters that find and terminate understand in the same way.
var streamFilters = []struct {
	body string
	want []string // names; none: 404
}{
	{`{"mediaSessionId":"whip-1"}`, []string{"door"}},
	{`{"mediaSessionIds":["whip-1","56141d10-fddc-11e6","gone"]}`, []string{"cam", "door"}},
	{`{"mediaSessionIds":["gone"],"mediaSessionId":"whip-1"}`, []string{"door"}},
	{`{"mediaSessionIds":[]}`, nil},
	{`{"name":"cam"}`, []string{"cam"}},
	{`{"name":"cam","status":"PUBLISHING"}`, []string{"cam"}},
	{`{"name":"cam","status":"PENDING"}`, nil},
	{`{"status":"PENDING"}`, []string{"door"}},
	{`{"status":"FAILED"}`, nil},
	{`{"published":true}`, []string{"cam", "door"}},
	{`{"published":"true","mediaSessionId":null}`, []string{"cam", "door"}},
	{`{"published":false}`, nil},
	{`{"name":"nobody"}`, nil},
	{`{"name":"door","mediaSessionId":"56141d10-fddc-11e6"}`, nil},
}

func TestFindStreams(t *testing.T) {
	srv := newServer(t, &fakePushes{}, newHub(t))
	tests := append(slices.Clone(streamFilters), []struct {
		body string
		want []string
	}{
		{``, []string{"cam", "door"}},
		{`{}`, []string{"cam", "door"}},
		{`{"mediaSessionId":null,"name":null,"published":null,"display":["metrics"]}`, []string{"cam", "door"}}, // the SDK's console
	}...)
	for _, tt := range tests {
		r := post(t, srv, "/rest-api/stream/find", tt.body)
		if tt.want == nil {
			r.wantStatus(t, http.StatusNotFound)
			continue
		}
		r.wantStatus(t, http.StatusOK)
		var list []streamBody
		if err := json.Unmarshal(r.body, &list); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range list {
			got = append(got, s.Name)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("find %s = %q, want %q", tt.body, got, tt.want)
		}
	}
}

func TestTerminateStreams(t *testing.T) {
	tests := append(slices.Clone(streamFilters), []struct {
		body string
		want []string
	}{
		{`{"all":true}`, []string{"cam", "door"}},
		{`{"all":"true"}`, []string{"cam", "door"}},
		{`{"all":true,"name":"cam"}`, []string{"cam"}},
		{`{"all":true,"mediaSessionIds":[]}`, nil},
	}...)
	for _, tt := range tests {
		t.Run(tt.body, func(t *testing.T) {
			hub := newHub(t)
			all := hub.Sources()
			srv := newServer(t, &fakePushes{}, hub)
			r := post(t, srv, "/rest-api/stream/terminate", tt.body)
			if tt.want == nil {
				r.wantStatus(t, http.StatusNotFound)
			} else {
				r.wantStatus(t, http.StatusOK)
				if len(r.body) != 0 {
					t.Errorf("body = %q, want none", r.body)
				}
			}
			var ended []string
			for _, src := range all {
				if errors.Is(src.Err(), stream.ErrTerminated) {
					ended = append(ended, src.Info().Name)
				}
			}
			if !slices.Equal(ended, tt.want) {
				t.Errorf("ended = %q, want %q", ended, tt.want)
			}
		})
	}
}

func TestPlayers(t *testing.T) {
	sessions := someSessions()
	sessions.muted = true
	cfg := DefaultConfig()
	cfg.NodeID = "node1"
	srv := serve(t, cfg, Parts{
		Pushes: &fakePushes{}, Streams: newHub(t), Events: newFakeEvents(0), Connections: sessions, Players: sessions,
	})
	r := post(t, srv, "/rest-api/stream/find", `{"published":"false"}`)
	r.wantStatus(t, http.StatusOK)
	const want = `[{"nodeId":"node1","appKey":"defaultApp","sessionId":"s1","mediaSessionId":"p1","name":"cam","published":false,
		"hasVideo":true,"hasAudio":true,"status":"PLAYING","audioCodec":"opus","videoCodec":"H264","width":640,"height":360,
		"bitrate":1500,"audioBitrate":0,"fps":0,"gop":0,"transport":"UDP","createDate":1700000000123,"mediaType":"play",
		"audioState":{"muted":true},"videoState":{"muted":false},"mediaProvider":"WebRTC"}]`
	var got, wanted any
	if err := errors.Join(json.Unmarshal(r.body, &got), json.Unmarshal([]byte(want), &wanted)); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, wanted) {
		t.Errorf("players = %s, want %s", r.body, want)
	}

	tests := []struct {
		body string
		want []string // media session ids
	}{
		{`{}`, []string{"56141d10-fddc-11e6", "whip-1", "p1"}},
		{`{"name":"cam"}`, []string{"56141d10-fddc-11e6", "p1"}},
		{`{"name":"cam","published":true}`, []string{"56141d10-fddc-11e6"}},
		{`{"status":"PLAYING"}`, []string{"p1"}},
		{`{"mediaSessionId":"p1"}`, []string{"p1"}},
	}
	for _, tt := range tests {
		r := post(t, srv, "/rest-api/stream/find", tt.body)
		r.wantStatus(t, http.StatusOK)
		var list []streamBody
		if err := json.Unmarshal(r.body, &list); err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, s := range list {
			ids = append(ids, s.MediaSessionID)
			if muted := s.AudioState.Muted; !muted {
				t.Errorf("%s is not muted", s.MediaSessionID)
			}
		}
		if !slices.Equal(ids, tt.want) {
			t.Errorf("find %s = %q, want %q", tt.body, ids, tt.want)
		}
	}

	post(t, srv, "/rest-api/stream/terminate", `{"mediaSessionId":"p1"}`).wantStatus(t, http.StatusOK)
	if want := []string{"p1"}; !slices.Equal(sessions.terminated, want) {
		t.Errorf("terminated = %q, want %q", sessions.terminated, want)
	}
}

func TestNoStreams(t *testing.T) {
	srv := newServer(t, &fakePushes{}, stream.NewHub(stream.DefaultConfig(), nil))
	for _, r := range []reply{
		get(t, srv, "/rest-api/stream/find_all"),
		post(t, srv, "/rest-api/stream/find", ""),
		post(t, srv, "/rest-api/stream/terminate", `{"all":true}`),
	} {
		r.wantStatus(t, http.StatusNotFound)
		if got, want := r.message(t), "Stream not found"; got != want {
			t.Errorf("message = %q, want %q", got, want)
		}
	}
}

// A spare publisher is listed beside the publisher that has the name. Who ends the stream by its name ends both.
func TestSpares(t *testing.T) {
	cfg := stream.DefaultConfig()
	cfg.Standby, cfg.Takeover = true, stream.TakeoverAlways
	hub := stream.NewHub(cfg, nil)
	for _, id := range []string{"first", "second"} {
		src, err := hub.Claim(t.Context(), stream.Info{Name: "cam", ID: id, Provider: "RTMP"})
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close(nil)
		src.SetLive()
	}
	srv := newServer(t, &fakePushes{}, hub)
	r := get(t, srv, "/rest-api/stream/find_all")
	r.wantStatus(t, http.StatusOK)
	var got []map[string]any
	if err := json.Unmarshal(r.body, &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0]["mediaSessionId"] != "first" || got[0]["standby"] != nil || got[1]["mediaSessionId"] != "second" || got[1]["standby"] != true {
		t.Errorf("the streams are %v", got)
	}
	post(t, srv, "/rest-api/stream/terminate", `{"name":"cam"}`).wantStatus(t, http.StatusOK)
	if n := hub.Len(); n != 0 || hub.Promotions() != 0 {
		t.Errorf("%d publishers are left, and %d spares have got the name", n, hub.Promotions())
	}
}
