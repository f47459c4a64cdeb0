package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"transponder/internal/access"
	"transponder/internal/access/auth"
	"transponder/internal/load"
	"transponder/internal/media"
	"transponder/internal/transcode/picture"
	"transponder/internal/transcode/soundfile"
	"transponder/internal/transponder"
)

func TestPushAnswer(t *testing.T) {
	const want = `{
  "mediaSessionId": "eume87rjk3df1i9u14elffga6t",
  "streamName": "rtmp_name",
  "rtmpUrl": "rtmp://localhost:1935/live?a=1&b=2",
  "width": 1280,
  "height": 720,
  "muted": true,
  "soundEnabled": true,
  "options": {
    "action": "sound_on",
    "soundFile": "sound.wav",
    "loop": true,
    "restore": {
      "attempts": -1,
      "firstPauseMs": 1000,
      "factor": 1.5,
      "maxPauseMs": 30000,
      "jitter": 0.2,
      "healthyForMs": 60000
    },
    "onSourceLoss": "hold",
    "holdMs": 90000,
    "slate": "slate.png",
    "picture": "card",
    "codecs": [
      "hevc",
      "opus"
    ]
  },
  "health": [
    {
      "code": "key_interval",
      "info": "There are 8.0 s between key frames."
    }
  ],
  "target": "rtmp://localhost/live/***",
  "secretName": false,
  "sourceStreamName": "name",
  "status": "PUBLISHING",
  "since": 1700000001123,
  "reason": "peer_closed",
  "reasonClass": "transient",
  "info": "the peer closed the connection",
  "attempts": 2,
  "startedAt": 1700000000123,
  "endedAt": 1700000060123,
  "nextRetryAt": 1700000005123,
  "durable": false,
  "bytesSent": 1000,
  "bytesAcked": 900,
  "videoFramesSent": 30,
  "audioFramesSent": 47,
  "droppedFrames": 3,
  "queuedBytes": 512,
  "queuedMs": 40,
  "bitrate": 2500,
  "keyFrameIntervalMs": 2000
}
`
	srv := newServer(t, &fakePushes{list: []transponder.Info{livePush()}}, newHub(t))
	for _, r := range []reply{
		get(t, srv, "/rest-api/push/find_all"),
		post(t, srv, "/rest-api/push/find_all", ""),
		post(t, srv, "/rest-api/push/find", `{"streamName":"name","rtmpUrl":"rtmp://localhost:1935/live?a=1&b=2"}`),
	} {
		r.wantStatus(t, http.StatusOK)
		var list []json.RawMessage
		if err := json.Unmarshal(r.body, &list); err != nil || len(list) != 1 {
			t.Fatalf("answer = %s, want a list of one push", r.body)
		}
		var got bytes.Buffer
		if err := json.Indent(&got, list[0], "", "  "); err != nil {
			t.Fatal(err)
		}
		if got.String()+"\n" != want {
			t.Errorf("push = %s, want %s", &got, want)
		}
	}
}

// TestStartPush starts pushes as clients do, with loosely typed and with absent fields.
func TestStartPush(t *testing.T) {
	yes, no := true, false
	const name, url = "name", "rtmp://localhost:1935/live"
	tests := []struct {
		name, body string
		want       transponder.Request
	}{
		{"least", `{"streamName":"name","rtmpUrl":"rtmp://localhost:1935/live"}`, transponder.Request{}},
		{
			"all members", `{"streamName":"name","rtmpUrl":"rtmp://localhost:1935/live","rtmpTransponderFullUrl":true,
				"rtmpFlashVersion":"LNX 76.219.189.0","width":1280,"height":720,"keyFrameInterval":60,"fps":29.97,
				"options":{"action":"sound_on","soundFile":"sound.wav","loop":true,"audioCodec":"ALAW","audioBitrate":96,"audioRate":44100,
				"audioChannels":1,"bitrate":2500,"fit":"letterbox"}}`,
			transponder.Request{
				FullURL: &yes, FlashVersion: "LNX 76.219.189.0", Width: 1280, Height: 720, KeyFrameInterval: 60, FPS: 29.97,
				Options: transponder.Options{
					Action: "sound_on", SoundFile: "sound.wav", Loop: true, RateBPS: 2_500_000, Fit: "letterbox",
					Audio: media.AudioFormat{Codec: media.PCMA, RateBPS: 96_000, SampleRate: 44100, Channels: 1},
				},
			},
		},
		{
			"everything as strings", `{"streamName":"name","rtmpUrl":"rtmp://localhost:1935/live","rtmpTransponderFullUrl":"False",
				"width":"1280","height":" 720 ","keyFrameInterval":"6e1","fps":"29.97","options":{"loop":"true"}}`,
			transponder.Request{
				FullURL: &no, Width: 1280, Height: 720, KeyFrameInterval: 60, FPS: 29.97, Options: transponder.Options{Loop: true},
			},
		},
		{
			"nothing as null", `{"streamName":"name","rtmpUrl":"rtmp://localhost:1935/live","rtmpTransponderFullUrl":null,
				"rtmpFlashVersion":null,"width":null,"height":null,"keyFrameInterval":null,"fps":null,"options":null}`,
			transponder.Request{},
		},
		{
			"nothing as empty strings", `{"streamName":"name","rtmpUrl":"rtmp://localhost:1935/live","rtmpTransponderFullUrl":"",
				"rtmpFlashVersion":"","width":"","height":"","fps":"","options":{"action":"","loop":""}}`,
			transponder.Request{},
		},
		{
			"unknown members", `{"streamName":"name","rtmpUrl":"rtmp://localhost:1935/live","record":false,"options":{"x":[1]}}`,
			transponder.Request{},
		},
		{
			"this server's own options", `{"streamName":"name","rtmpUrl":"rtmp://localhost:1935/live","options":{
				"restore":{"attempts":5,"firstPauseMs":1000,"factor":1.5,"maxPauseMs":30000,"jitter":0.2,"healthyForMs":60000},
				"onSourceLoss":"hold","holdMs":90000,"slate":"slate.png","picture":"card","codecs":["hevc","OPUS"]}}`,
			transponder.Request{Options: transponder.Options{
				Restore: &transponder.Restore{
					Attempts: 5, FirstPause: time.Second, Factor: 1.5, MaxPause: 30 * time.Second, Jitter: 0.2, HealthyFor: time.Minute,
				},
				OnSourceLoss: "hold", HoldFor: 90 * time.Second, Slate: "slate.png", Picture: "card", Codecs: []string{"hevc", "opus"},
			}},
		},
		{
			"several addresses", `{"streamName":"name","rtmpUrl":"rtmp://localhost:1935/live","options":{
				"backupUrls":["rtmp://b.test/live","destination://spare"],"failBack":"false","simultaneous":"true"}}`,
			transponder.Request{Options: transponder.Options{
				BackupURLs: []string{"rtmp://b.test/live", "destination://spare"}, FailBack: &no, Simultaneous: true,
			}},
		},
		{
			"own options as strings", `{"streamName":"name","rtmpUrl":"rtmp://localhost:1935/live","options":{
				"restore":{"attempts":" Unlimited ","firstPauseMs":"1000","factor":"2","maxPauseMs":"","jitter":null},
				"onSourceLoss":"","holdMs":"","slate":null,"codecs":[]}}`,
			transponder.Request{Options: transponder.Options{
				Restore: &transponder.Restore{Attempts: -1, FirstPause: time.Second, Factor: 2},
			}},
		},
		{
			"restoring without end", `{"streamName":"name","rtmpUrl":"rtmp://localhost:1935/live","options":{"restore":{"attempts":"-3"}}}`,
			transponder.Request{Options: transponder.Options{Restore: &transponder.Restore{Attempts: -1}}},
		},
		{
			"no restoring", `{"streamName":"name","rtmpUrl":"rtmp://localhost:1935/live","options":{"restore":{"attempts":0}}}`,
			transponder.Request{Options: transponder.Options{Restore: &transponder.Restore{}}},
		},
		{
			"restoring as the settings say", `{"streamName":"name","rtmpUrl":"rtmp://localhost:1935/live","options":{"restore":null}}`,
			transponder.Request{},
		},
		{"byte order mark", "\ufeff" + `{"streamName":"name","rtmpUrl":"rtmp://localhost:1935/live"}`, transponder.Request{}},
		{
			"sizes of 0", `{"streamName":"name","rtmpUrl":"rtmp://localhost:1935/live","width":0,"height":0}`,
			transponder.Request{},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pushes := &fakePushes{}
			srv := newServer(t, pushes, newHub(t))
			r := newRequest(t, srv, http.MethodPost, "/rest-api/push/startup", tt.body)
			if strings.HasPrefix(tt.body, "\ufeff") {
				r.Header.Set("Content-Type", "text/plain") // not JSON, says the contract's checker
			}
			send(t, srv, r).wantStatus(t, http.StatusOK)
			tt.want.StreamName, tt.want.URL, tt.want.By = name, url, access.Whole(access.Local)
			if got := pushes.last(t); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("request = %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestStartPushName(t *testing.T) {
	for body, want := range map[string]string{
		`{"streamName":42,"rtmpUrl":"rtmp://h/a"}`:        "42",
		`{"streamName":"Ünï#1/2","rtmpUrl":"rtmp://h/a"}`: "Ünï#1/2",
		`{"streamName":" a ","rtmpUrl":"rtmp://h/a"}`:     " a ",
		`{"streamName":"\u0041\n","rtmpUrl":"rtmp://h"}`:  "A\n",
	} {
		pushes := &fakePushes{}
		srv := newServer(t, pushes, newHub(t))
		post(t, srv, "/rest-api/push/startup", body).wantStatus(t, http.StatusOK)
		if got := pushes.last(t).StreamName; got != want {
			t.Errorf("stream name of %s = %q, want %q", body, got, want)
		}
	}
}

// TestBadRequest checks what callers are told when their body cannot be used.
func TestBadRequest(t *testing.T) {
	const startup = "/rest-api/push/startup"
	seedStartup := "{\n  \"streamName\": \"name\",\n  \"rtmpUrl\": \"rtmp://localhost:1935/live\",\n" +
		"  \"rtmpTransponderFullUrl\": false\n  \"options\": {}\n}"
	seedFind := "{\n  \"streamName\": \"name\",\n  \"rtmpUrl\": \"rtmp://localhost:1935/live\",\n}"
	tests := []struct {
		name, path, body, want string
	}{
		{
			"the contract's example of startup", startup, seedStartup,
			`the body is not valid JSON: line 5, column 3: missing comma before "options"`,
		},
		{
			"the contract's example of find", "/rest-api/push/find", seedFind,
			`the body is not valid JSON: line 4, column 1: the comma before '}' has nothing after it`,
		},
		{"cut off", startup, `{"streamName":"name"`, "line 1, column 21: the body ends too early"},
		{"cut off in a string", startup, `{"streamName":"na`, "the body ends too early"},
		{"single quotes", startup, `{'streamName':'name'}`, "line 1, column 2: strings are written in double quotes"},
		{"no quotes", startup, `{streamName:"name"}`, "expected a name in double quotes, not 's'"},
		{"no colon", startup, `{"streamName" "name"}`, `expected a colon, not "name"`},
		{"no value", startup, `{"streamName":}`, "expected a value, not '}'"},
		{"list without comma", startup, `{"a":["é" "x"]}`, `line 1, column 11: missing comma before "x"`},
		{"wrong bracket", startup, `{"a":1]`, `expected a comma or a closing bracket, not ']'`},
		{"two objects", startup, `{} {}`, "nothing may follow the object, but '{' does"},
		{"a form", startup, `streamName=name`, "expected a value, not 's'"},
		{"not UTF-8", startup, "{\"streamName\":\"\xff\"}", "the body is not UTF-8"},
		{"a list", startup, `[]`, "the body must be a JSON object, not a list"},
		{"a string", startup, `"x"`, "the body must be a JSON object, not a string"},
		{"a number", startup, `1`, "the body must be a JSON object, not a number"},
		{"too deep", startup, strings.Repeat("[", 20000), "the body is not valid JSON"},
		{"nothing", startup, ``, "streamName: it is missing"},
		{"null", startup, `null`, "streamName: it is missing"},
		{"no stream", startup, `{"rtmpUrl":"rtmp://h/a"}`, "streamName: it is missing"},
		{"no address", startup, `{"streamName":"name","rtmpUrl":null}`, "rtmpUrl: it is missing"},
		{"name is an object", startup, `{"streamName":{}}`, "streamName: it must be a string, not an object"},
		{"width in words", startup, `{"streamName":"a","rtmpUrl":"b","width":"wide"}`, `width: it must be a number, not "wide"`},
		{"width is true", startup, `{"streamName":"a","rtmpUrl":"b","width":true}`, `width: it must be a number, not true`},
		{"half a width", startup, `{"streamName":"a","rtmpUrl":"b","width":0.5}`, `width: it must be a whole number, not 0.5`},
		{"huge width", startup, `{"streamName":"a","rtmpUrl":"b","width":1e12}`, `width: it must be a whole number`},
		{"endless fps", startup, `{"streamName":"a","rtmpUrl":"b","fps":"inf"}`, `fps: it must be a number, not "inf"`},
		{"overflowing fps", startup, `{"streamName":"a","rtmpUrl":"b","fps":1e999}`, `fps: it must be a number, not 1e999`},
		{"hexadecimal fps", startup, `{"streamName":"a","rtmpUrl":"b","fps":"0x10"}`, `fps: it must be a number`},
		{
			"perhaps", startup, `{"streamName":"a","rtmpUrl":"b","rtmpTransponderFullUrl":"perhaps"}`,
			`rtmpTransponderFullUrl: it must be true or false, not "perhaps"`,
		},
		{
			"flag is 1", startup, `{"streamName":"a","rtmpUrl":"b","rtmpTransponderFullUrl":1}`,
			`rtmpTransponderFullUrl: it must be true or false, not 1`,
		},
		{"options is a list", startup, `{"streamName":"a","rtmpUrl":"b","options":[]}`, "options: it must be an object, not a list"},
		{
			"loop", startup, `{"streamName":"a","rtmpUrl":"b","options":{"loop":"often"}}`,
			`options.loop: it must be true or false, not "often"`,
		},
		{
			"restore without attempts", startup, `{"streamName":"a","rtmpUrl":"b","options":{"restore":{}}}`,
			`options.restore.attempts: it is missing; it must be a number or "unlimited"`,
		},
		{
			"restore with empty attempts", startup, `{"streamName":"a","rtmpUrl":"b","options":{"restore":{"attempts":""}}}`,
			`options.restore.attempts: it is missing`,
		},
		{
			"restore with no attempts", startup, `{"streamName":"a","rtmpUrl":"b","options":{"restore":{"attempts":null}}}`,
			`options.restore.attempts: it is missing`,
		},
		{
			"restore often", startup, `{"streamName":"a","rtmpUrl":"b","options":{"restore":{"attempts":"often"}}}`,
			`options.restore.attempts: it must be a number, not "often"`,
		},
		{
			"restore a list of times", startup, `{"streamName":"a","rtmpUrl":"b","options":{"restore":{"attempts":[1]}}}`,
			`options.restore.attempts: it must be a number, not a list`,
		},
		{
			"restore is a number", startup, `{"streamName":"a","rtmpUrl":"b","options":{"restore":3}}`,
			`options.restore: it must be an object, not a number`,
		},
		{
			"pause", startup, `{"streamName":"a","rtmpUrl":"b","options":{"restore":{"attempts":1,"firstPauseMs":"1s"}}}`,
			`options.restore.firstPauseMs: it must be a number, not "1s"`,
		},
		{"hold", startup, `{"streamName":"a","rtmpUrl":"b","options":{"holdMs":1.5}}`, `options.holdMs: it must be a whole number, not 1.5`},
		{"codecs", startup, `{"streamName":"a","rtmpUrl":"b","options":{"codecs":"hevc"}}`, `options.codecs: it must be a list of strings`},
		{"no push", "/rest-api/push/terminate", `{}`, "mediaSessionId: it is missing"},
		{"no push, no body", "/rest-api/push/terminate", ``, "mediaSessionId: it is missing"},
		{"find by a list", "/rest-api/push/find", `{"rtmpUrl":[1]}`, "rtmpUrl: it must be a string, not a list"},
		{"published", "/rest-api/stream/find", `{"published":"x"}`, `published: it must be true or false, not "x"`},
		{"ids", "/rest-api/stream/terminate", `{"mediaSessionIds":"x"}`, "mediaSessionIds: it must be a list of strings, not a string"},
		{"an id", "/rest-api/stream/terminate", `{"mediaSessionIds":["x",null]}`, "mediaSessionIds: it must hold strings only, not null"},
		{"every stream", "/rest-api/stream/terminate", `{}`, `say which streams`},
		{"every stream, no body", "/rest-api/stream/terminate", ``, `{"all":true} for every one`},
		{"every stream by empty strings", "/rest-api/stream/terminate", `{"name":"","mediaSessionId":""}`, `say which streams`},
		{"not every stream", "/rest-api/stream/terminate", `{"all":false}`, `say which streams`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pushes := &fakePushes{}
			srv := newServer(t, pushes, newHub(t))
			r := post(t, srv, tt.path, tt.body)
			r.wantStatus(t, http.StatusBadRequest)
			if got := r.message(t); !strings.Contains(got, tt.want) {
				t.Errorf("message = %q, want %q in it", got, tt.want)
			}
			if len(pushes.requests) > 0 {
				t.Errorf("a bad request started a push: %+v", pushes.requests)
			}
		})
	}
}

// TestPushSound changes the sound of a push as clients do.
func TestPushSound(t *testing.T) {
	info := livePush()
	info.Muted, info.SoundEnabled = false, false
	pushes := &fakePushes{list: []transponder.Info{info}}
	srv := newServer(t, pushes, newHub(t))
	for _, tt := range []struct {
		path, body string
		status     int
		check      func(transponder.Info) bool
	}{
		{"mute", `{"mediaSessionId":"` + pushID + `"}`, 200, func(i transponder.Info) bool { return i.Muted }},
		{"mute", `{"mediaSessionId":"` + pushID + `","more":1}`, 200, func(i transponder.Info) bool { return i.Muted }},
		{"unmute", `{"mediaSessionId":"` + pushID + `"}`, 200, func(i transponder.Info) bool { return !i.Muted }},
		{"sound_on", `{"mediaSessionId":"` + pushID + `","soundFile":"a.wav","loop":"true"}`, 200,
			func(i transponder.Info) bool { return i.SoundFile == "a.wav" && i.Options.Loop }},
		{"sound_on", `{"mediaSessionId":"` + pushID + `","soundFile":"b.wav"}`, 200,
			func(i transponder.Info) bool { return i.SoundFile == "b.wav" && !i.Options.Loop }},
		{"sound_off", `{"mediaSessionId":"` + pushID + `"}`, 200, func(i transponder.Info) bool { return !i.SoundEnabled }},
		{"sound_on", `{"mediaSessionId":"` + pushID + `"}`, 400, nil},
		{"sound_on", `{"soundFile":"a.wav"}`, 400, nil},
		{"sound_off", `{}`, 400, nil},
		{"mute", `{"mediaSessionId":"x"}`, 404, nil},
		{"unmute", `{"mediaSessionId":"x"}`, 404, nil},
		{"sound_on", `{"mediaSessionId":"x","soundFile":"a.wav"}`, 404, nil},
		{"sound_off", `{"mediaSessionId":"x"}`, 404, nil},
		{"source", `{"mediaSessionId":"` + pushID + `","streamName":"cam-b"}`, 200, func(i transponder.Info) bool { return i.Active == "cam-b" }},
		{"source", `{"mediaSessionId":"` + pushID + `"}`, 200, func(i transponder.Info) bool { return i.Active == "" }},
		{"source", `{"streamName":"cam-b"}`, 400, nil},
		{"source", `{"mediaSessionId":"x","streamName":"cam-b"}`, 404, nil},
	} {
		r := post(t, srv, "/rest-api/push/"+tt.path, tt.body)
		r.wantStatus(t, tt.status)
		if tt.status == 200 && len(r.body) != 0 {
			t.Errorf("%s %s answers %q, want nothing", tt.path, tt.body, r.body)
		}
		now, _ := pushes.Find(t.Context(), transponder.Filter{})
		if tt.check != nil && !tt.check(now[0]) {
			t.Errorf("%s %s left %+v", tt.path, tt.body, now[0])
		}
	}
}

// TestOutcomes checks the status for each error of the registry, and that a caller is not told internal details.
func TestOutcomes(t *testing.T) {
	tests := []struct {
		err     error
		status  int
		message string
	}{
		{&transponder.RequestError{Field: "rtmpUrl", Reason: "the host does not resolve"}, 400, "rtmpUrl: the host does not resolve"},
		{transponder.ErrStreamNotFound, 404, "Stream not found"},
		{transponder.ErrNotFound, 404, "Transponder not found"},
		{transponder.ErrDuplicate, 409, "the stream is already pushed to this address"},
		{fmt.Errorf("%w: transcoding", transponder.ErrUnsupported), 501, "not supported: transcoding"},
		{fmt.Errorf("%q: %w", "a.wav", soundfile.ErrNotFound), 404, "No such file"},
		{fmt.Errorf("%q %w: it is a picture", "a.wav", soundfile.ErrUnplayable), 400, `soundFile: start: "a.wav" cannot be played: it is a picture`},
		{picture.ErrDisabled, 400, "Transcoding required, but disabled"},
		{&picture.BusyError{Reason: "too much"}, 503, "no transcoding: too much"},
		{fmt.Errorf("%w: it takes 3 pushes", load.ErrFull), 503, "the server is full: it takes 3 pushes"},
		{&access.Full{Of: "pushes", Most: 2}, 429, "the limit of 2 pushes is reached"},
		{transponder.ErrStopping, 503, "the server is stopping"},
		{errors.New("disk /var on fire"), 500, "the server failed to do this; its log says why"},
	}
	for _, tt := range tests {
		t.Run(tt.err.Error(), func(t *testing.T) {
			srv := newServer(t, &fakePushes{err: fmt.Errorf("start: %w", tt.err), list: []transponder.Info{livePush()}}, newHub(t))
			for path, body := range map[string]string{
				"/rest-api/push/startup":   `{"streamName":"name","rtmpUrl":"rtmp://localhost:1935/live"}`,
				"/rest-api/push/terminate": `{"mediaSessionId":"` + pushID + `"}`,
			} {
				r := post(t, srv, path, body)
				r.wantStatus(t, tt.status)
				if got := r.message(t); strings.TrimPrefix(got, "start: ") != tt.message {
					t.Errorf("message = %q, want %q", got, tt.message)
				}
			}
		})
	}
}

func TestFindAndTerminatePush(t *testing.T) {
	srv := newServer(t, &fakePushes{list: []transponder.Info{livePush()}}, newHub(t))
	for body, want := range map[string]int{
		``:                                    http.StatusOK,
		`{}`:                                  http.StatusOK,
		`{"streamName":null,"rtmpUrl":""}`:    http.StatusOK,
		`{"streamName":"name"}`:               http.StatusOK,
		`{"streamName":"rtmp_name"}`:          http.StatusOK,
		`{"mediaSessionId":"` + pushID + `"}`: http.StatusOK,
		`{"streamName":"other"}`:              http.StatusNotFound,
		`{"streamName":"name","rtmpUrl":"rtmp://elsewhere/live"}`: http.StatusNotFound,
	} {
		if got := post(t, srv, "/rest-api/push/find", body); got.StatusCode != want {
			t.Errorf("find %s = %d, want %d", body, got.StatusCode, want)
		}
	}

	done := post(t, srv, "/rest-api/push/terminate", `{"mediaSessionId":"`+pushID+`"}`)
	done.wantStatus(t, http.StatusOK)
	if len(done.body) != 0 {
		t.Errorf("body of terminate = %q, want none", done.body)
	}
	for _, r := range []reply{
		post(t, srv, "/rest-api/push/terminate", `{"mediaSessionId":"`+pushID+`"}`),
		post(t, srv, "/rest-api/push/find", `{}`),
		get(t, srv, "/rest-api/push/find_all"),
		post(t, srv, "/rest-api/push/find_all", `{}`),
	} {
		r.wantStatus(t, http.StatusNotFound)
		if got, want := r.message(t), "Transponder not found"; got != want {
			t.Errorf("message = %q, want %q", got, want)
		}
	}
}

// A client on another machine without a password does not learn what is in the private networks of this server.
func TestReasonsForStrangers(t *testing.T) {
	failed := livePush()
	failed.State, failed.Reason, failed.Detail, failed.Hidden = transponder.Failed, transponder.ReasonHandshake, "no RTMP there", true
	parts := Parts{
		Pushes: &fakePushes{list: []transponder.Info{failed}, over: []transponder.Info{failed}}, Streams: newHub(t), Events: newFakeEvents(0),
	}
	for _, c := range clients {
		want := transponder.ReasonUnreachable
		if c.trusted {
			want = transponder.ReasonHandshake
		}
		for _, path := range []string{"/push/find_all", "/push/history"} {
			body := c.get(t, parts, path)
			var list []pushBody
			if err := json.Unmarshal(body, &list); err != nil || len(list) != 1 || list[0].Reason != string(want) {
				t.Errorf("%s from %s: %s %v, want the reason %s", path, c.name, body, err, want)
			}
		}
	}
}

// client is where a request comes from.
type client struct {
	name, peer, forwarded string
	password              bool // the server wants one, and the client has it
	trusted               bool // the client is no stranger
}

var clients = []client{
	{"this machine", "127.0.0.1:1", "", false, true},
	{"through a proxy on this machine", "127.0.0.1:1", "203.0.113.1", false, false},
	{"elsewhere", "203.0.113.1:1", "", false, false},
	{"elsewhere with a password", "203.0.113.1:1", "", true, true},
}

// get returns what a server of these parts answers.
func (c client) get(t *testing.T, parts Parts, path string) []byte {
	t.Helper()
	cfg := DefaultConfig()
	if c.password {
		cfg.Auth, parts.People = true, usersOf(t, "ann", "secret")
	} else {
		parts.Access = newAccess(auth.Config{Mode: auth.Auto, REST: auth.RESTOpen})
	}
	h, err := New(cfg, parts, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/rest-api"+path, nil)
	r.RemoteAddr, r.Host = c.peer, "localhost"
	if c.password {
		r.SetBasicAuth("ann", "secret")
	}
	if c.forwarded != "" {
		r.Header.Set("X-Forwarded-For", c.forwarded)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Body.Bytes()
}
