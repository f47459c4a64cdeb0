package wcs

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

func TestConnectionIsEchoed(t *testing.T) {
	url := newWorld(t, testConfig()).serve(t)
	b := dial(t, url)
	sent := `{"appKey":"defaultApp","mediaProviders":["WebRTC","MSE","WSPlayer"],"keepAlive":true,"clientVersion":"2.0",` +
		`"clientOSVersion":"5.0","msePacketizationVersion":2,"custom":{"login":"x","n":12345678901234567890},` +
		`"clientInfo":{"brands":[{"brand":"a<b","version":"1"}]},"authToken":null,"sipPort":"5060","unknown":[1,2.50]}`
	b.raw(`{"message":"connection","data":[` + sent + `]}`)
	name, data := b.next()
	if name != "getUserData" {
		t.Fatalf("first message = %s, want getUserData", name)
	}
	var want map[string]json.RawMessage
	var got []map[string]json.RawMessage
	if err := json.Unmarshal([]byte(sent), &want); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(data), &got); err != nil || len(got) != 1 {
		t.Fatalf("data = %s, %v", data, err)
	}
	if token := string(got[0]["authToken"]); len(token) < 20 {
		t.Errorf("authToken = %s, want one that cannot be guessed", token)
	}
	delete(got[0], "authToken")
	delete(want, "authToken")
	if len(got[0]) != len(want) {
		t.Errorf("echo has %d members, want %d", len(got[0]), len(want))
	}
	for key, value := range want {
		if escaped := strings.ReplaceAll(string(value), "<", `\u003c`); string(got[0][key]) != escaped {
			t.Errorf("%s = %s, want %s", key, got[0][key], escaped)
		}
	}

	b.raw(`{"message":"connection","data":[{}]}`) // again: not answered
	b.wantQuiet()
}

func TestConnectionVariants(t *testing.T) {
	tests := []struct {
		name, frame string
		then        string // the message after getUserData; "": none
	}{
		{"empty object", `{"message":"connection","data":[{}]}`, ""},
		{"object without array", `{"message":"connection","data":{}}`, ""},
		{"fields of other types", `{"message":"connection","data":[{"appKey":1,"mediaProviders":"WebRTC","custom":null,"clientInfo":7}]}`, ""},
		{"SIP account", `{"message":"connection","data":[{"sipLogin":"3000","sipPassword":"1234"}]}`, "fail"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := dial(t, newWorld(t, testConfig()).serve(t))
			b.raw(tt.frame)
			b.want("getUserData")
			if tt.then != "" {
				b.want(tt.then)
			}
			b.wantQuiet()
		})
	}
}

func TestUnknownTokenIsClosed(t *testing.T) {
	b := dial(t, newWorld(t, testConfig()).serve(t))
	b.raw(`{"message":"connection","data":[{"authToken":"of yesterday","keepAlive":true}]}`)
	if code, reason := b.wantClosed(); code != websocket.StatusPolicyViolation || reason != "unknown authToken" {
		t.Errorf("closed with %v %q", code, reason)
	}
}

func TestReplies(t *testing.T) {
	w := newWorld(t, testConfig())
	url := w.serve(t)
	other := dialIn(t, url)
	other.publishLive(w, "idlive", "live")
	other.publish("idwait", "waiting")
	other.want("setRemoteSDP")

	play := func(id, name, provider string) string {
		return fmt.Sprintf(`{"message":"playStream","data":[{"mediaSessionId":%s,"name":"%s","published":false,"hasVideo":true,`+
			`"width":"320","height":0,"mediaProvider":"%s","sdp":"v=0","status":"PENDING"}]}`, id, name, provider)
	}
	const none = ""
	tests := []struct{ name, send, want string }{
		{"ping", `{"message":"ping","data":[null]}`, `pong []`},
		{"pong without data", `{"message":"pong"}`, none},
		{"available", `{"message":"availableStream","data":[{"mediaSessionId":"p1","name":"live"}]}`,
			`availableStream [{"id":"p1","status":"true"}]`},
		{"not available", `{"message":"availableStream","data":[{"mediaSessionId":"p1","name":"nope"}]}`,
			`availableStream [{"id":"p1","status":"false","info":"Stream not found"}]`},
		{"not yet available", `{"message":"availableStream","data":[{"mediaSessionId":"p1","name":"waiting"}]}`,
			`availableStream [{"id":"p1","status":"false","info":"Publish stream is not ready"}]`},
		{"snapshot", `{"message":"snapshot","data":[{"mediaSessionId":"p1","name":"live"}]}`,
			`notifyStreamEvent [{"mediaSessionId":"p1","type":"snapshotCompleted","payload":{"snapshot":"UE5H"}}]`},
		{"snapshot too early", `{"message":"snapshot","data":[{"mediaSessionId":"p1","name":"waiting"}]}`,
			`notifyStreamEvent [{"mediaSessionId":"p1","type":"snapshotFailed","payload":{"info":"Publish stream is not ready"}}]`},
		{"snapshot of nothing", `{"message":"snapshot","data":[{"mediaSessionId":"p1","name":"nope"}]}`,
			`notifyStreamEvent [{"mediaSessionId":"p1","type":"snapshotFailed","payload":{"info":"Stream not found"}}]`},
		{"send data", `{"message":"sendData","data":[{"operationId":"op","payload":{"a":1},"status":5}]}`,
			`DataStatusEvent [{"operationId":"op","status":"ACCEPTED"}]`},
		{"send data without id", `{"message":"sendData","data":[{"payload":1}]}`, none},
		{"stream event of nobody", `{"message":"sendStreamEvent","data":[{"mediaSessionId":"x","type":"data","payload":{}}]}`, none},
		{"call", `{"message":"call","data":[{"callId":"c1","callee":"3001","sdp":"v=0"}]}`, `finish [{"callId":"c1","status":"FAILED"}]`},
		{"answer", `{"message":"answer","data":[{"callId":"c1","sdp":"v=0"}]}`, `finish [{"callId":"c1","status":"FAILED"}]`},
		{"hangup", `{"message":"hangup","data":[{"callId":"c1"}]}`, `finish [{"callId":"c1","status":"FINISH"}]`},
		{"hold", `{"message":"hold","data":[{"callId":"c1","holdForTransfer":true}]}`,
			`fail [{"apiMethod":"hold","id":"c1","status":"FAILED","info":"SIP is not available on this server"}]`},
		{"dtmf", `{"message":"sendDtmf","data":[{"callId":"c1","type":"INFO","dtmf":5}]}`,
			`fail [{"apiMethod":"sendDtmf","id":"c1","status":"FAILED","info":"SIP is not available on this server"}]`},
		{"unpublish of nothing", `{"message":"unPublishStream","data":[{"mediaSessionId":"x","name":"live"}]}`, none},
		{"unpublish of another's", `{"message":"unPublishStream","data":[{"mediaSessionId":"idlive","name":"live"}]}`, none},
		{"stop of nothing", `{"message":"stopStream","data":[{"mediaSessionId":"x"}]}`, none},
		{"logs", `{"message":"pushLogs","data":[{"logs":"10:00:00 INFO x\n"}]}`, none},
		{"bug report", `{"message":"submitBugReport","data":[{"text":"bad","type":"x"}]}`, none},
		{"debug", `{"message":"sessionDebug","data":[{"command":"start"}]}`, none},
		{"metrics", `{"message":"webRTCMetricsBatch","data":[{}]}`, none},
		{"media socket", `{"message":"connectMediaTransport","data":[{"authToken":"x"}]}`, none},
		{"unknown", `{"message":"getVersion","data":[{}]}`, none},
		{"play of nothing", play(`"p1"`, "nope", "WebRTC"), `p1 FAILED Session does not exist`},
		{"play of an address", play(`"p1"`, "rtsp://host/live", "WebRTC"), `p1 FAILED Bad URI`},
		{"play of a file", play(`"p1"`, "vod://sample.mp4", "WebRTC"), `p1 FAILED Bad URI`},
		{"play by MSE", play(`"p1"`, "live", "MSE"), `p1 FAILED No common codecs`},
		{"play without id", play(`null`, "live", "WebRTC"), ` FAILED MediaSessionId is null`},
	}
	b := dialIn(t, url)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b.t = t
			b.raw(tt.send)
			if tt.want != none {
				name, data := b.next()
				got := name + " " + data
				if name == "notifyStreamStatusEvent" {
					var d []streamInfo
					if err := json.Unmarshal([]byte(data), &d); err != nil {
						t.Fatal(err)
					}
					got = d[0].MediaSessionID + " " + d[0].Status + " " + d[0].Info
				}
				if got != tt.want {
					t.Errorf("got  %s\nwant %s", got, tt.want)
				}
			}
			b.wantQuiet()
		})
	}
	b.t = t
	other.wantQuiet()
}

// hostile are frames that no SDK sends. Each may only have an effect on itself.
var hostile = []string{
	``, ` `, `hello`, `{`, `}`, `[]`, `null`, `0`, `"x"`, `{}`, `{"message":null}`, `{"message":{}}`, `{"message":[],"data":[]}`,
	`{"message":"publishStream"}`, `{"message":"publishStream","data":null}`, `{"message":"publishStream","data":[]}`,
	`{"message":"publishStream","data":[null]}`, `{"message":"publishStream","data":[7]}`, `{"message":"publishStream","data":"x"}`,
	`{"message":"publishStream","data":[[[[{}]]]]}`, `{"message":"unPublishStream","data":[{"mediaSessionId":{}}]}`,
	`{"message":"sendStreamEvent","data":[{"mediaSessionId":1e999,"type":[]}]}`, `{"message":"pong","data":[1e999]}`,
	`{"message":"sendData","data":[{"operationId":null}]}`, `{"message":5,"data":[{}]}`, "{\"message\":\"\xff\xfe\",\"data\":[]}",
	`{"message":"` + strings.Repeat("m", 5000) + `","data":[]}`, `{"message":"x","data":` + strings.Repeat("[", 20000),
	strings.Repeat(`{"message":`, 20000), `{"message":"pong","data":[null]}{"message":"pong"}`,
}

func TestHostileFramesCostNothing(t *testing.T) {
	w := newWorld(t, testConfig())
	url := w.serve(t)
	early := dial(t, url)
	b := dialIn(t, url)
	b.publishLive(w, "id1", "one")
	for _, frame := range hostile {
		if len(frame) <= maxGreeting { // see TestLongGreeting
			early.raw(frame)
		}
		b.raw(frame)
	}
	early.raw(publishFrame("id2", "two", "")) // before its time
	if err := b.conn.Write(t.Context(), websocket.MessageBinary, []byte{0, 1, 2}); err != nil {
		t.Fatal(err)
	}
	b.wantQuiet("inboundVideoRate") // which comes every second
	early.raw(`{"message":"connection","data":[{"custom":"` + strings.Repeat("x", maxConnection) + `"}]}`)
	early.raw(`{"message":"connection","data":[{"custom":"` + strings.Repeat("x", maxCustom) + `"}]}`)
	early.raw(`{"message":"connection","data":[{}]}`)
	early.want("getUserData")
	early.wantQuiet()
	if _, found := w.hub.Source("two"); found {
		t.Error("a stream was published before the session was established")
	}
	if st := w.srv.Stats(); st.Panics != 0 || st.Ignored == 0 {
		t.Errorf("Stats = %+v, want no panics and some ignored", st)
	}
}

// FuzzMessage checks that no frame makes the server panic or send what the SDK cannot read.
func FuzzMessage(f *testing.F) {
	for _, frame := range hostile {
		f.Add([]byte(frame))
	}
	for _, frame := range []string{
		publishFrame("id1", "one", `,"rtmpUrl":"rtmp://h/app"`), publishFrame("id1", "", `,"transport":"TCP","bitrate":"12"`),
		`{"message":"unPublishStream","data":[{"mediaSessionId":"known","name":"known"}]}`,
		`{"message":"sendStreamEvent","data":[{"mediaSessionId":"known","type":"audioMuted"}]}`,
		`{"message":"sendStreamEvent","data":[{"mediaSessionId":"known","type":"data","payload":{"a":[1]}}]}`,
		`{"message":"stopStream","data":[{"mediaSessionId":"played","name":"known"}]}`, playFrame("x", "rtsp://known", ""),
		`{"message":"playStream","data":[{"mediaSessionId":"x","name":"known","mediaProvider":"WebRTC"}]}`,
		`{"message":"availableStream","data":[{"mediaSessionId":"x","name":"known"}]}`,
		`{"message":"snapshot","data":[{"mediaSessionId":"x","name":"known"}]}`,
		callFrame("x", "3001", `,"sipSDP":["b=AS:1"]`), callFrame("c", "", ""), answerFrame("in", "v=0", `,"sipSDP":["a=x"]`), about("hangup", "c", ""),
		about("hold", "c", `,"holdForTransfer":true`), about("unhold", "in", ""), about("transfer", "c", `,"target":"3002"`),
		about("sendDtmf", "c", `,"dtmf":"1,#","type":"INFO"`), `{"message":"call","data":[{"callId":1}]}`, `{"message":"connection","data":[{"authToken":true}]}`,
		`{"message":"connection","data":[{"custom":{"token":"tpk_x"}}]}`, `{"message":"connection","data":[{"custom":"a.b.c","authToken":"a.b.c"}]}`,
		publishFrame("id2", "two", `,"custom":{"token":"x"}`), playFrame("p2", "known", `,"custom":"tpk_x"`),
	} {
		f.Add([]byte(frame))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		w := newWorld(t, testConfig())
		w.withMedia()
		w.srv.parts.Phone = openEager
		for _, established := range []bool{false, true} {
			k := newSocket(w.srv, nil, nil, "peer", "", w.srv.newVisit(httptest.NewRequest("GET", "/", nil)))
			k.welcome = func() {}
			ctx, cancel := context.WithCancelCause(t.Context())
			k.cancel = cancel
			if established {
				k.handle(ctx, []byte(`{"message":"connection","data":[{"sipLogin":"3000"}]}`))
				k.handle(ctx, []byte(callFrame("c", "3001", "")))
				k.handle(ctx, []byte(publishFrame("known", "known", "")))
				k.handle(ctx, []byte(playFrame("played", "known", "")))
			}
			k.handle(ctx, raw)
			k.handle(ctx, raw)
			cancel(errGone)
			k.work.Wait()
			if s := k.session.Load(); s != nil {
				s.end(errGone)
				s.streams.wg.Wait()
			}
			for m, ok := k.out.next(); ok; m, ok = k.out.next() {
				var r reply
				if err := json.Unmarshal(m.frame, &r); err != nil || r.Message == "" || r.Data == nil || (*r.Data)[0] != '[' {
					t.Errorf("sent %s, which the SDK cannot read", m.frame)
				}
			}
		}
		if left := w.hub.Sources(); len(left) != 0 || w.srv.Stats().Calls != 0 {
			t.Errorf("%d streams and %d calls outlived their session", len(left), w.srv.Stats().Calls)
		}
	})
}
