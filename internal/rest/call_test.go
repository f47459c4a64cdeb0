package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"transponder/internal/access"
	"transponder/internal/load"
	"transponder/internal/media"
	"transponder/internal/sip"
	"transponder/internal/sip/dialog"
	"transponder/internal/stream"
	"transponder/internal/transcode/soundfile"
	"transponder/internal/transponder"
)

// fakeCalls keeps what it is asked for, as text, and has calls that do not change.
type fakeCalls struct {
	list []sip.Info
	err  error // what each method but Find returns

	mu       sync.Mutex
	requests []sip.Request // guarded by mu
	asked    []string      // guarded by mu
}

func (c *fakeCalls) Start(_ context.Context, r sip.Request) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests = append(c.requests, r)
	return c.err
}

func (c *fakeCalls) Find(f sip.Filter) []sip.Info {
	return slices.DeleteFunc(slices.Clone(c.list), func(i sip.Info) bool {
		return f.CallID != "" && f.CallID != i.CallID || f.Callee != "" && f.Callee != i.Callee ||
			f.Caller != "" && f.Caller != i.Caller || f.RTMPURL != "" && f.RTMPURL != i.RTMPURL ||
			f.ToStream != "" && f.ToStream != i.StreamName || f.Status != "" && f.Status != i.Status
	})
}

// note keeps what a method was asked for.
func (c *fakeCalls) note(format string, args ...any) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, fmt.Sprintf(format, args...))
	return c.err
}

func (c *fakeCalls) Terminate(id string) error { return c.note("terminate %s", id) }

func (c *fakeCalls) SendDigits(id, keys string, how sip.Digits) error {
	return c.note("digits %s %s %s", id, keys, how)
}

func (c *fakeCalls) InjectSound(id, file string) error  { return c.note("sound %s %s", id, file) }
func (c *fakeCalls) InjectStream(id, name string) error { return c.note("stream %s %s", id, name) }
func (c *fakeCalls) EjectStream(id string) error        { return c.note("eject %s", id) }

// liveCall is a call with a value for each of its fields, the key in its SDP included.
func liveCall() sip.Info {
	return sip.Info{
		CallID: "call-1", Status: dialog.Established, Code: 200, Caller: "1000", Callee: "1001", Visible: "Studio",
		StreamName: "phone", RTMPURL: "rtmp://localhost:1935/live", RTMPStream: "stream1", PushStatus: "PUBLISHING", AppKey: "defaultApp",
		Custom: json.RawMessage(`{"a":1}`), Audio: true, Video: true, AudioCodec: media.PCMU, VideoCodec: media.H264,
		SDP:    "v=0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:hunter2\r\n",
		Target: "1002", HoldForTransfer: true, Injected: "music.wav", Started: pushTime, Answered: pushTime.Add(time.Second),
		PacketsReceived: 500, PacketsLost: 3, PacketsRefused: 2, KeyFrameRequests: 4, Digits: "12#",
	}
}

// failedCall is a page's call that has ended.
func failedCall() sip.Info {
	return sip.Info{
		CallID: "call-2", Incoming: true, Status: dialog.Failed, Reason: dialog.ReasonMediaTimeout, Detail: "no RTP from 10.0.0.7; NAT?",
		Code: 200, Caller: "1001", Callee: "1000", Browser: true, SessionID: "s1", Started: pushTime, Ended: pushTime.Add(time.Minute),
	}
}

func newCallServer(t *testing.T, calls Calls) *httptest.Server {
	t.Helper()
	none := &fakeSessions{}
	return serve(t, DefaultConfig(), Parts{
		Pushes: &fakePushes{}, Streams: newHub(t), Events: newFakeEvents(0), Calls: calls, Connections: none, Players: none,
	})
}

func TestCallAnswer(t *testing.T) {
	const want = `[
  {
    "appKey": "defaultApp",
    "sessionId": "",
    "callId": "call-1",
    "parentCallId": null,
    "incoming": false,
    "status": "ESTABLISHED",
    "sipStatus": 200,
    "caller": "1000",
    "callee": "1001",
    "visibleName": "Studio",
    "hasAudio": true,
    "hasVideo": true,
    "sdp": "v=0\r\na=crypto:***\r\n",
    "inviteParameters": null,
    "sipMessageRaw": null,
    "mediaProvider": "SIP",
    "isMsrp": false,
    "target": "1002",
    "holdForTransfer": true,
    "streamName": "phone",
    "rtmpUrl": "rtmp://localhost:1935/live",
    "rtmpStream": "stream1",
    "rtmpStreamStatus": "PUBLISHING",
    "custom": {
      "a": 1
    },
    "reason": "",
    "info": "",
    "injected": "music.wav",
    "digits": "12#",
    "startedAt": 1700000000123,
    "answeredAt": 1700000001123,
    "audioCodec": "PCMU",
    "videoCodec": "H264",
    "packetsReceived": 500,
    "packetsLost": 3,
    "packetsRefused": 2,
    "keyFrameRequests": 4
  },
  {
    "appKey": "",
    "sessionId": "s1",
    "callId": "call-2",
    "parentCallId": null,
    "incoming": true,
    "status": "FAILED",
    "sipStatus": 200,
    "caller": "1001",
    "callee": "1000",
    "visibleName": "",
    "hasAudio": false,
    "hasVideo": false,
    "sdp": null,
    "inviteParameters": null,
    "sipMessageRaw": null,
    "mediaProvider": "WebRTC",
    "isMsrp": false,
    "target": null,
    "holdForTransfer": false,
    "streamName": null,
    "rtmpUrl": null,
    "rtmpStream": null,
    "rtmpStreamStatus": null,
    "custom": null,
    "reason": "media_timeout",
    "info": "no RTP from 10.0.0.7; NAT?",
    "startedAt": 1700000000123,
    "endedAt": 1700000060123,
    "audioCodec": "",
    "videoCodec": "",
    "packetsReceived": 0,
    "packetsLost": 0,
    "packetsRefused": 0,
    "keyFrameRequests": 0
  }
]`
	srv := newCallServer(t, &fakeCalls{list: []sip.Info{liveCall(), failedCall()}})
	for _, r := range []reply{
		get(t, srv, "/rest-api/call/find_all"),
		post(t, srv, "/rest-api/call/find_all", "{}"),
		post(t, srv, "/rest-api/call/find", ""),
	} {
		r.wantStatus(t, http.StatusOK)
		var got bytes.Buffer
		if err := json.Indent(&got, bytes.TrimSpace(r.body), "", "  "); err != nil {
			t.Fatal(err)
		}
		if got.String() != want {
			t.Errorf("calls = %s, want %s", &got, want)
		}
	}
}

func TestFindCalls(t *testing.T) {
	srv := newCallServer(t, &fakeCalls{list: []sip.Info{liveCall(), failedCall()}})
	for body, want := range map[string]int{
		`{"callId":"call-1"}`: 200,
		`{"callId":"call-1","callee":"1001","caller":"1000","status":"ESTABLISHED","toStream":"phone","rtmpUrl":"rtmp://localhost:1935/live"}`: 200,
		`{"callee":1001}`:                         200,
		`{"callee":null,"status":""}`:             200,
		`{"callId":"call-1","status":"FAILED"}`:   404,
		`{"callId":"call-3"}`:                     404,
		`{"caller":"9"}`:                          404,
		`{"toStream":"cam"}`:                      404,
		`{"rtmpUrl":"rtmp://h/a"}`:                404,
		`{"callId":["call-1"]}`:                   400,
		`{"callId":"call-3","empty":true}`:        200,
		`{"callId":"call-1","another":"unknown"}`: 200,
	} {
		if r := post(t, srv, "/rest-api/call/find", body); r.StatusCode != want {
			t.Errorf("find %s = %d %s, want %d", body, r.StatusCode, r.body, want)
		} else if want == 404 && r.message(t) != "Call not found" {
			t.Errorf("find %s says %q", body, r.message(t))
		}
	}
}

// TestStartCall starts calls as clients do, with loosely typed and with absent fields.
func TestStartCall(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		want       sip.Request
	}{
		{"least", ``, sip.Request{Audio: true}},
		{
			"the vendor's page", `,"hasAudio":"true","hasVideo":"true","sipLogin":"1000","sipAuthenticationName":"u1000","sipPassword":"hunter2",
				"sipDomain":"sip.example","sipOutboundProxy":"proxy.example","sipPort":"5070","appKey":"defaultApp","sipRegisterRequired":"false",
				"toStream":"phone","rtmpUrl":"rtmp://localhost:1935/live","rtmpStream":"stream1","visibleName":"Studio"`,
			sip.Request{
				Audio: true, Video: true, AppKey: "defaultApp", ToStream: "phone", RTMPURL: "rtmp://localhost:1935/live", RTMPStream: "stream1",
				VisibleName: "Studio", Account: sip.Account{
					Login: "1000", AuthName: "u1000", Password: "hunter2", Domain: "sip.example", OutboundProxy: "proxy.example", Port: 5070,
				},
			},
		},
		{
			"our members", `,"sipTransport":"tls","sipProxy":"second.example","sipRegisterRequired":true,"hasAudio":false,"hasVideo":true,
				"picture":"card","custom":[1,{"a":null}]`,
			sip.Request{
				Video: true, Picture: "card", Custom: json.RawMessage(`[1,{"a":null}]`),
				Account: sip.Account{OutboundProxy: "second.example", Transport: "tls", Register: true},
			},
		},
		{
			"two proxies", `,"sipOutboundProxy":"first.example;transport=tcp","sipProxy":"second.example"`,
			sip.Request{Audio: true, Account: sip.Account{OutboundProxy: "first.example;transport=tcp"}},
		},
		{"picture among the options", `,"picture":"card","options":{"picture":"logo.png","x":1}`, sip.Request{Audio: true, Picture: "logo.png"}},
		{
			"nothing as empty strings", `,"sipPort":"","hasAudio":"","hasVideo":"","sipRegisterRequired":"","options":null,"custom":null`,
			sip.Request{Audio: true},
		},
		{"port 0 and unknown members", `,"sipPort":"0","sipContactParams":"x","record":{}`, sip.Request{Audio: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			calls := &fakeCalls{}
			r := post(t, newCallServer(t, calls), "/rest-api/call/startup", `{"callId":"call-1","callee":"1001"`+tt.body+`}`)
			r.wantStatus(t, http.StatusOK)
			if len(r.body) > 0 {
				t.Errorf("body = %q, want none", r.body)
			}
			tt.want.CallID, tt.want.Callee, tt.want.By = "call-1", "1001", access.Whole(access.Local)
			if len(calls.requests) != 1 || !reflect.DeepEqual(calls.requests[0], tt.want) {
				t.Errorf("requests = %#v, want %#v", calls.requests, tt.want)
			}
		})
	}
}

// TestCallMethods checks what the other methods ask for, and that they answer without a body.
func TestCallMethods(t *testing.T) {
	for _, tt := range []struct{ path, body, want string }{
		{"terminate", `{"callId":"c"}`, "terminate c"},
		{"send_dtmf", `{"callId":"c","dtmf":"12#"}`, "digits c 12# "},
		{"send_dtmf", `{"callId":"c","dtmf":5,"type":"RFC2833"}`, "digits c 5 RFC2833"},
		{"send_dtmf", `{"callId":"c","dtmf":"1","type":"INFO"}`, "digits c 1 INFO"},
		{"send_dtmf", `{"callId":"c","dtmf":"1","type":"INFO_RELAY"}`, "digits c 1 INFO_RELAY"},
		{"inject_sound", `{"callId":"c","fileName":"a.wav"}`, "sound c a.wav"},
		{"inject_stream/startup", `{"callId":"c","streamName":"cam"}`, "stream c cam"},
		{"inject_stream", `{"callId":"c","streamName":"cam"}`, "stream c cam"},
		{"inject_stream/terminate", `{"callId":"c"}`, "eject c"},
	} {
		calls := &fakeCalls{}
		r := post(t, newCallServer(t, calls), "/rest-api/call/"+tt.path, tt.body)
		r.wantStatus(t, http.StatusOK)
		if len(r.body) > 0 || !slices.Equal(calls.asked, []string{tt.want}) {
			t.Errorf("%s %s asks for %q and answers %q, want %q and nothing", tt.path, tt.body, calls.asked, r.body, tt.want)
		}
	}
}

func TestBadCallRequest(t *testing.T) {
	for _, tt := range []struct{ path, body, want string }{
		{"startup", ``, "callId: it is missing"},
		{"startup", `{"callee":"1001"}`, "callId: it is missing"},
		{"startup", `{"callId":"c","callee":""}`, "callee: it is missing"},
		{"startup", `{"callId":{},"callee":"1001"}`, "callId: it must be a string"},
		{"startup", `{"callId":"c","callee":"1001","sipPort":"many"}`, `sipPort: it must be a number, not "many"`},
		{"startup", `{"callId":"c","callee":"1001","hasVideo":"1"}`, "hasVideo: it must be true or false"},
		{"startup", `{"callId":"c","callee":"1001","sipPassword":["hunter2"]}`, "sipPassword: it must be a string, not a list"},
		{"startup", `{"callId":"c","callee":"1001","options":[]}`, "options: it must be an object"},
		{"startup", `{"callId":"c","callee":"1001","options":{"picture":{}}}`, "options.picture: it must be a string"},
		{"startup", `{"callId":"c","callee":"1001","custom":"` + strings.Repeat("x", maxCustom) + `"}`, "custom: it is longer than 8192 bytes"},
		{"terminate", `{}`, "callId: it is missing"},
		{"send_dtmf", `{"callId":"c"}`, "dtmf: it is missing"},
		{"send_dtmf", `{"callId":"c","dtmf":"1","type":"SMOKE"}`, `type: it must be RFC2833, INFO or INFO_RELAY, not "SMOKE"`},
		{"inject_sound", `{"callId":"c"}`, "fileName: it is missing"},
		{"inject_stream/startup", `{"callId":"c"}`, "streamName: it is missing"},
		{"inject_stream/terminate", `{}`, "callId: it is missing"},
	} {
		calls := &fakeCalls{}
		r := post(t, newCallServer(t, calls), "/rest-api/call/"+tt.path, tt.body)
		r.wantStatus(t, http.StatusBadRequest)
		if got := r.message(t); !strings.Contains(got, tt.want) || strings.Contains(got, "hunter2") {
			t.Errorf("%s %.80s: message = %q, want %q in it", tt.path, tt.body, got, tt.want)
		}
		if len(calls.requests)+len(calls.asked) > 0 {
			t.Errorf("%s %.80s: a bad request asked for %v %q", tt.path, tt.body, calls.requests, calls.asked)
		}
	}
}

// TestCallOutcomes checks the status for each error of calls.
func TestCallOutcomes(t *testing.T) {
	for _, tt := range []struct {
		err     error
		status  int
		message string
	}{
		{&sip.RequestError{Field: "callee", Reason: "it has a space"}, 400, "callee: it has a space"},
		{&transponder.RequestError{Field: "rtmpUrl", Reason: "the host does not resolve"}, 400, "rtmpUrl: the host does not resolve"},
		{stream.ErrName, 400, "toStream: start: bad stream name"},
		{sip.ErrPolicy, 403, "start: the settings do not allow this callee"},
		{sip.ErrNoCall, 404, "Call not found"},
		{sip.ErrNoStream, 404, "Stream not found"},
		{sip.ErrNoFile, 404, "No such file"},
		{soundfile.ErrNotFound, 404, "No such file"},
		{sip.ErrCallID, 409, "start: another call has this id"},
		{sip.ErrPushed, 409, "start: another call is published to this address under this name"},
		{sip.ErrState, 409, "start: the call is not in a state for this"},
		{stream.ErrNameInUse, 409, "start: stream name is already in use"},
		{transponder.ErrDuplicate, 409, "start: the stream is already pushed to this address"},
		{sip.ErrOff, 501, "start: SIP is switched off"},
		{sip.ErrTooMany, 503, "start: too many calls"},
		{load.ErrFull, 503, "start: the server is full"},
		{sip.ErrStopping, 503, "the server is stopping"},
		{errors.New("disk /var on fire"), 500, "the server failed to do this; its log says why"},
	} {
		t.Run(tt.err.Error(), func(t *testing.T) {
			srv := newCallServer(t, &fakeCalls{err: fmt.Errorf("start: %w", tt.err)})
			for path, body := range map[string]string{
				"startup":                 `{"callId":"c","callee":"1001"}`,
				"terminate":               `{"callId":"c"}`,
				"send_dtmf":               `{"callId":"c","dtmf":"1"}`,
				"inject_sound":            `{"callId":"c","fileName":"a.wav"}`,
				"inject_stream/startup":   `{"callId":"c","streamName":"cam"}`,
				"inject_stream/terminate": `{"callId":"c"}`,
			} {
				r := post(t, srv, "/rest-api/call/"+path, body)
				r.wantStatus(t, tt.status)
				if got := r.message(t); got != tt.message {
					t.Errorf("%s: message = %q, want %q", path, got, tt.message)
				}
				if got := r.Header.Get("Retry-After"); (got != "") != (tt.status == 503) {
					t.Errorf("%s: Retry-After = %q with %d", path, got, tt.status)
				}
			}
		})
	}
	srv := newCallServer(t, &fakeCalls{err: fmt.Errorf("%q %w: it is a picture", "a.png", soundfile.ErrUnplayable)})
	r := post(t, srv, "/rest-api/call/inject_sound", `{"callId":"c","fileName":"a.png"}`)
	r.wantStatus(t, http.StatusBadRequest)
	if got := r.message(t); got != `fileName: "a.png" cannot be played: it is a picture` {
		t.Errorf("message = %q", got)
	}
}

// A server without SIP has the methods, and says why it does not serve them.
func TestCallsOff(t *testing.T) {
	srv := newCallServer(t, nil)
	for path, methods := range map[string][]string{
		"/call/startup": {"POST"}, "/call/find": {"POST"}, "/call/find_all": {"GET", "POST"}, "/call/terminate": {"POST"},
		"/call/send_dtmf": {"POST"}, "/call/inject_sound": {"POST"}, "/call/inject_stream": {"POST"},
		"/call/inject_stream/startup": {"POST"}, "/call/inject_stream/terminate": {"POST"},
	} {
		for _, method := range methods {
			r := send(t, srv, newRequest(t, srv, method, "/rest-api"+path, ""))
			r.wantStatus(t, http.StatusNotImplemented)
			if got := r.message(t); got != sip.ErrOff.Error() {
				t.Errorf("%s %s says %q", method, path, got)
			}
		}
		if r := send(t, srv, newRequest(t, srv, http.MethodDelete, "/rest-api"+path, "")); r.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("DELETE %s = %d, want 405", path, r.StatusCode)
		}
	}
	send(t, srv, newRequest(t, srv, http.MethodPost, "/rest-api/call/dance", "")).wantStatus(t, http.StatusNotFound)
}

// TestCallsForStrangers checks that a client on another machine without a password learns neither the SDP of a phone nor what answers in
// the private networks of this server, and that no client sees keys.
func TestCallsForStrangers(t *testing.T) {
	parts := Parts{Calls: &fakeCalls{list: []sip.Info{liveCall(), failedCall()}}}
	for _, c := range clients {
		body := c.get(t, parts, "/call/find_all")
		var list []callBody
		if err := json.Unmarshal(body, &list); err != nil || len(list) != 2 {
			t.Fatalf("from %s: %s %v, want two calls", c.name, body, err)
		}
		if told := list[0].SDP != nil; told != c.trusted {
			t.Errorf("from %s: the SDP is shown: %v, want %v", c.name, told, c.trusted)
		}
		if told := list[1].Info != ""; told != c.trusted {
			t.Errorf("from %s: info = %q, is shown: %v, want %v", c.name, list[1].Info, told, c.trusted)
		}
		if bytes.Contains(body, []byte("hunter2")) {
			t.Errorf("from %s: %s shows a key", c.name, body)
		}
	}
}

// Pages of other hosts can use the methods of calls no more than those of pushes.
func TestCallsOfForeignPages(t *testing.T) {
	calls := &fakeCalls{}
	srv := newCallServer(t, calls)
	r := newRequest(t, srv, http.MethodPost, "/rest-api/call/startup", `{"callId":"c","callee":"0900"}`)
	r.Header.Set("Content-Type", "text/plain") // for which a browser asks nobody first
	r.Header.Set("Origin", "https://evil.example")
	send(t, srv, r).wantStatus(t, http.StatusForbidden)
	if len(calls.requests) > 0 {
		t.Error("a page of another host has made a call")
	}
}
