package wcs

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"transponder/internal/load"
	"transponder/internal/media"
	"transponder/internal/rtc"
	"transponder/internal/stream"
	"transponder/internal/testkit"
	"transponder/internal/transponder"
)

func unpublishFrame(id string) string {
	return `{"message":"unPublishStream","data":[{"mediaSessionId":"` + id + `","name":"n","published":true,"hasVideo":true,` +
		`"hasAudio":true,"status":"PUBLISHING","record":false}]}`
}

func TestPublish(t *testing.T) {
	w := newWorld(t, testConfig())
	b := dialIn(t, w.serve(t))
	for range 2 { // the same name and id once more, as soon as they are free
		b.raw(publishFrame("id1", "one", `,"bitrate":"700","maxBitrate":900,"custom":{"name":"room"},"localMediaInfo":{"devices":{}}`))
		name, data := b.next()
		if want := `["id1","v=0\r\nanswer",true]`; name != "setRemoteSDP" || data != want {
			t.Fatalf("got %s %s, want setRemoteSDP %s", name, data, want)
		}
		b.wantQuiet() // no PUBLISHING before the media is there

		src := w.ingest.publication("id1").src
		src.Video.Write(media.Frame{Track: &media.Track{Codec: media.H264, Width: 320, Height: 240}, Key: true, Data: []byte{1}})
		src.Audio.Write(media.Frame{Track: &media.Track{Codec: media.Opus}, Key: true, Data: []byte{1}})
		src.SetLive()
		d := b.wantStatus("id1", "PUBLISHING", "")
		want := map[string]any{
			"nodeId": "node1", "appKey": "defaultApp", "name": "one", "published": true, "hasVideo": true, "hasAudio": true,
			"record": false, "width": 320.0, "height": 240.0, "bitrate": 700.0, "minBitrate": 0.0, "maxBitrate": 900.0,
			"audioCodec": "opus", "videoCodec": "H264", "transport": "UDP", "mediaType": "publish", "mediaProvider": "WebRTC",
		}
		for key, value := range want {
			if d[key] != value {
				t.Errorf("%s = %v, want %v", key, d[key], value)
			}
		}
		if d["createDate"].(float64) < 1e12 || d["sessionId"] == "" {
			t.Errorf("createDate %v, sessionId %v", d["createDate"], d["sessionId"])
		}

		b.raw(`{"message":"sendStreamEvent","data":[{"mediaSessionId":"id1","type":"audioMuted"}]}`)
		b.raw(unpublishFrame("id1"))
		d = b.wantStatus("id1", "UNPUBLISHED", "Stopped by user")
		if _, found := w.hub.Source("one"); found {
			t.Error("UNPUBLISHED came before the name was free")
		}
		if got := fmt.Sprint(d["audioState"], d["videoState"]); got != "map[muted:true] map[muted:false]" {
			t.Errorf("audioState, videoState = %s", got)
		}
		b.raw(unpublishFrame("id1")) // over already
		b.wantQuiet()
	}
	if st := w.srv.Stats(); st.Published != 2 || st.Failed != 0 || st.Publishers != 0 {
		t.Errorf("Stats = %+v, want 2 published, none failed, none left", st)
	}
}

// The status strings are those of the SDK's constants.
var ends = []struct {
	err          error
	status, info string
}{
	{errStopped, "UNPUBLISHED", "Stopped by user"},
	{rtc.ErrClientClosed, "UNPUBLISHED", "Stopped by user"},
	{stream.ErrTerminated, "UNPUBLISHED", "Stopped by rest /terminate"},
	{errDisconnected, "FAILED", "Stopped by session disconnect"},
	{errPushFailed, "FAILED", "Failed by RTMP writer error"},
	{errNullID, "FAILED", "MediaSessionId is null"},
	{errBadID, "FAILED", "Failed by error"},
	{errTooMany, "FAILED", "Failed by error"},
	{stream.ErrIDInUse, "FAILED", "MediaSessionId is already in use"},
	{stream.ErrNameInUse, "FAILED", "Stream name is already in use"},
	{stream.ErrName, "FAILED", "Failed by error"},
	{stream.ErrClosed, "FAILED", "Failed by error"},
	{rtc.ErrBadOffer, "FAILED", "Failed by error"},
	{load.ErrFull, "FAILED", "Failed by error"},
	{rtc.ErrNoCommonCodecs, "FAILED", "No common codecs"},
	{rtc.ErrICETimeout, "FAILED", "Failed by ICE timeout"},
	{rtc.ErrICEFailed, "FAILED", "Failed by ICE error"},
	{rtc.ErrICEKeepAlive, "FAILED", "Failed by ICE keep alive"},
	{rtc.ErrDTLS, "FAILED", "Failed by DTLS error"},
	{rtc.ErrDTLSFingerprint, "FAILED", "Failed by DTLS fingerprint error"},
	{fmt.Errorf("%w: %w", rtc.ErrDTLS, rtc.ErrDTLSFingerprint), "FAILED", "Failed by DTLS fingerprint error"},
	{rtc.ErrActivity, "FAILED", "Failed by RTP activity"},
	{errors.New("anything else"), "FAILED", "Failed by error"},
}

func TestOutcome(t *testing.T) {
	for _, tt := range ends {
		t.Run(tt.err.Error(), func(t *testing.T) {
			status, info := outcome(fmt.Errorf("in a wrapping: %w", tt.err))
			if status != tt.status || info != tt.info {
				t.Errorf("outcome = %s %q, want %s %q", status, info, tt.status, tt.info)
			}
		})
	}
}

// Each cause of an end, before and after PUBLISHING, gives one terminal status and frees the name.
func TestOneTerminalStatus(t *testing.T) {
	w := newWorld(t, testConfig())
	b := dialIn(t, w.serve(t))
	for _, live := range []bool{false, true} {
		for _, tt := range ends {
			t.Run(fmt.Sprintf("live %t, %v", live, tt.err), func(t *testing.T) {
				b.t = t
				b.publish("id1", "one")
				b.want("setRemoteSDP")
				p := w.ingest.publication("id1")
				if live {
					p.src.SetLive()
					b.wantStatus("id1", "PUBLISHING", "")
				}
				p.die <- tt.err
				b.wantStatus("id1", tt.status, tt.info)
				if _, found := w.hub.Source("one"); found {
					t.Error("the status came before the name was free")
				}
				b.raw(unpublishFrame("id1"))
				b.wantQuiet()
			})
		}
	}
	b.t = t
}

func TestPublishRefused(t *testing.T) {
	cfg := testConfig()
	cfg.MaxPublishers = 2
	w := newWorld(t, cfg)
	url := w.serve(t)
	other := dialIn(t, url)
	other.publishLive(w, "idtaken", "taken")
	b := dialIn(t, url)
	b.publishLive(w, "idmine", "mine")
	long := string(slices.Repeat([]byte("x"), 300))
	tests := []struct {
		name, frame string
		refuse      error
		id, info    string
	}{
		{"id null", `{"message":"publishStream","data":[{"mediaSessionId":null,"name":"x","sdp":"v=0"}]}`, nil, "", "MediaSessionId is null"},
		{"id missing", `{"message":"publishStream","data":[{"name":"x","sdp":"v=0"}]}`, nil, "", "MediaSessionId is null"},
		{"id an object", `{"message":"publishStream","data":[{"mediaSessionId":{},"name":"x"}]}`, nil, "", "MediaSessionId is null"},
		{"id too long", publishFrame(long, "x", ""), nil, "", "Failed by error"},
		{"id in use", publishFrame("idtaken", "x", ""), nil, "idtaken", "MediaSessionId is already in use"},
		{"own id in use", publishFrame("idmine", "x", ""), nil, "idmine", "MediaSessionId is already in use"},
		{"name in use", publishFrame("id2", "taken", ""), nil, "id2", "Stream name is already in use"},
		{"own name in use", publishFrame("id2", "mine", ""), nil, "id2", "Stream name is already in use"},
		{"no name", publishFrame("id2", "", ""), nil, "id2", "Failed by error"},
		{"other provider", `{"message":"publishStream","data":[{"mediaSessionId":"id2","name":"x","mediaProvider":"Flash"}]}`, nil,
			"id2", "No common codecs"},
		{"codecs", publishFrame("id2", "x", ""), rtc.ErrNoCommonCodecs, "id2", "No common codecs"},
		{"bad offer", publishFrame("id2", "x", ""), rtc.ErrBadOffer, "id2", "Failed by error"},
		{"busy", publishFrame("id2", "x", ""), load.ErrFull, "id2", "Failed by error"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b.t = t
			w.ingest.fail(tt.refuse)
			b.raw(tt.frame)
			d := b.wantStatus(tt.id, "FAILED", tt.info)
			if d["published"] != true || d["mediaType"] != "publish" {
				t.Errorf("published %v, mediaType %v", d["published"], d["mediaType"])
			}
			b.wantQuiet()
		})
	}
	b.t = t
	w.ingest.fail(nil)
	b.publishLive(w, "id2", "two")
	b.publish("id3", "three")
	b.wantStatus("id3", "FAILED", "Failed by error") // two are enough
	b.raw(unpublishFrame("id2"))
	b.wantStatus("id2", "UNPUBLISHED", "Stopped by user")
	b.publishLive(w, "id3", "three")
	other.wantQuiet()
}

// A page that is refused for want of room is told which server has room.
func TestPublishElsewhere(t *testing.T) {
	const there = "wss://two.example:8444/ws"
	for _, tt := range []struct {
		name      string
		refuse    error
		elsewhere string
		want      any
	}{
		{"room elsewhere", fmt.Errorf("%w: it ends soon", load.ErrFull), there, there},
		{"no room anywhere", load.ErrFull, "", nil},
		{"another reason", rtc.ErrBadOffer, there, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, testConfig())
			w.srv.parts.Elsewhere = func() string { return tt.elsewhere }
			b := dialIn(t, w.serve(t))
			w.ingest.fail(tt.refuse)
			b.raw(publishFrame("id", "x", ""))
			d := b.wantStatus("id", "FAILED", "Failed by error")
			if d["elsewhere"] != tt.want {
				t.Errorf("elsewhere = %v, want %v", d["elsewhere"], tt.want)
			}
			if reason, _ := d["reason"].(string); strings.HasSuffix(reason, there) != (tt.want != nil) {
				t.Errorf("reason = %q; want the address at its end: %v", reason, tt.want != nil)
			}
		})
	}
}

func TestPublishOffers(t *testing.T) {
	w := newWorld(t, testConfig())
	b := dialIn(t, w.serve(t))
	b.raw(publishFrame("id1", "one", `,"transport":"TCP"`))
	b.want("setRemoteSDP")
	// Numbers as names, words as booleans, and null for absent fields.
	b.raw(`{"message":"publishStream","data":[{"mediaSessionId":12,"name":34,"hasVideo":"true","hasAudio":null,"bitrate":"0",` +
		`"mediaProvider":null,"sdp":"v=0","transport":null,"rtmpUrl":null,"constraints":[[]]}]}`)
	name, data := b.next()
	if name != "setRemoteSDP" || data != `["12","v=0\r\nanswer",true]` {
		t.Errorf("got %s %s", name, data)
	}
	want := []rtc.Offer{{SDP: "v=0\r\noffer", TCP: true}, {SDP: "v=0"}}
	if !slices.Equal(w.ingest.offers, want) {
		t.Errorf("offers = %+v, want %+v", w.ingest.offers, want)
	}
	if src, found := w.hub.Source("one"); !found || src.Info().Transport != "TCP" {
		t.Error("the stream's transport is not TCP")
	}
	w.ingest.publication("12").src.SetLive()
	b.wantStatus("12", "PUBLISHING", "")
	b.wantQuiet()
	if got := w.pusher.started(); len(got) != 0 {
		t.Errorf("pushes = %+v, want none", got)
	}
}

func TestDisconnectEndsStreams(t *testing.T) {
	tests := []struct {
		name  string
		leave func(*browser)
	}{
		{"close", func(b *browser) { _ = b.conn.Close(websocket.StatusNormalClosure, "") }},
		{"close without code", func(b *browser) { _ = b.conn.Close(websocket.StatusNoStatusRcvd, "") }},
		{"socket lost", func(b *browser) { _ = b.conn.CloseNow() }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, testConfig())
			url := w.serve(t)
			b := dialIn(t, url)
			b.publishLive(w, "id1", "one")
			b.publish("id2", "two")
			b.want("setRemoteSDP")
			one, two := w.ingest.publication("id1").src, w.ingest.publication("id2").src
			tt.leave(b)
			<-one.Done()
			<-two.Done()

			again := dialIn(t, url)
			again.publishLive(w, "id1", "one")
			again.publishLive(w, "id2", "two")
			testkit.Eventually(t, 10*time.Second, func() string {
				if st := w.srv.Stats(); st.Sessions != 1 || st.Publishers != 2 || st.Failed != 0 {
					return fmt.Sprintf("Stats = %+v, want 1 session, 2 publishers, none failed", st)
				}
				return ""
			})
		})
	}
}

const pushURL = "rtmp://localhost:1935/live"

func TestPush(t *testing.T) {
	w := newWorld(t, testConfig())
	b := dialIn(t, w.serve(t))
	b.raw(publishFrame("id1", "one", `,"rtmpUrl":"`+pushURL+`"`))
	b.want("setRemoteSDP")
	b.wantQuiet()
	if got := w.pusher.started(); len(got) != 0 {
		t.Fatalf("pushes before the media is there = %+v, want none", got)
	}
	w.ingest.publication("id1").src.SetLive()
	b.wantStatus("id1", "PUBLISHING", "")
	testkit.Eventually(t, 10*time.Second, func() string {
		got := w.pusher.started()
		if len(got) != 1 || !reflect.DeepEqual(got[0], transponder.Request{StreamName: "one", URL: pushURL, By: got[0].By, Via: "sdk"}) {
			return fmt.Sprintf("pushes = %+v, want one of stream one to %s", got, pushURL)
		}
		return ""
	})
	b.wantQuiet()
}

func TestPushFails(t *testing.T) {
	bad := &transponder.RequestError{Field: "rtmpUrl", Reason: "the host does not resolve"}
	late := transponder.Info{
		SourceName: "one", URL: pushURL, State: transponder.Failed,
		Reason: transponder.ReasonRefused, Detail: "nobody listens",
	}
	tests := []struct {
		name       string
		failStream bool
		start      error
		later      []transponder.Info
		info       string // of the event; "": none
	}{
		{"at once", false, bad, nil, "rtmpUrl: the host does not resolve"},
		{"at once, with the stream", true, bad, nil, ""},
		{"later", false, nil, []transponder.Info{late}, "tcp_refused: nobody listens"},
		{"later, with the stream", true, nil, []transponder.Info{late}, ""},
		{"somebody else's", true, nil, []transponder.Info{{SourceName: "one", URL: "rtmp://else"}, {SourceName: "x", URL: pushURL}}, ""},
		{"there already", true, transponder.ErrDuplicate, nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := testConfig()
			cfg.FailWithPush = tt.failStream
			w := newWorld(t, cfg)
			w.pusher.err = tt.start
			b := dialIn(t, w.serve(t))
			b.raw(publishFrame("id1", "one", `,"rtmpUrl":"`+pushURL+`"`))
			b.want("setRemoteSDP")
			w.ingest.publication("id1").src.SetLive()
			b.wantStatus("id1", "PUBLISHING", "")
			for _, info := range tt.later {
				w.srv.PushFailed(info)
			}
			switch {
			case tt.info != "":
				got, _ := json.Marshal(b.want("notifyStreamEvent"))
				want := `{"mediaSessionId":"id1","payload":{"info":"` + tt.info + `"},"type":"pushFailed"}`
				if string(got) != want {
					t.Errorf("event = %s, want %s", got, want)
				}
			case tt.failStream && (tt.start == bad || len(tt.later) == 1):
				b.wantStatus("id1", "FAILED", "Failed by RTMP writer error")
			}
			b.wantQuiet()
		})
	}
}
