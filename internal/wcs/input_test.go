package wcs

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"transponder/internal/testkit"
)

// requests are the messages of the SDK with all fields. Each is valid in a session that publishes "mine" as "idmine" and plays it as
// "pmine".
var requests = []struct {
	message string
	data    string
}{
	{"connection", `{"appKey":"defaultApp","mediaProviders":["WebRTC"],"keepAlive":true,"clientVersion":"2.0","clientOSVersion":"x",
		"clientBrowserVersion":"x","msePacketizationVersion":2,"custom":{"a":1},"clientInfo":{},"sipLogin":"3000","sipPort":"5060",
		"sipPassword":"1234","sipAuthenticationName":"3000","sipDomain":"d","sipOutboundProxy":"p","sipProxy":"p","sipRegisterRequired":true}`},
	{"publishStream", `{"mediaSessionId":"new","name":"new","published":true,"hasVideo":true,"hasAudio":true,"status":"PENDING",
		"record":false,"mediaProvider":"WebRTC","sdp":"v=0","custom":{"name":"room"},"bitrate":0,"minBitrate":0,"maxBitrate":0,
		"rtmpUrl":"rtmp://host/app","constraints":{"audio":true},"transport":"UDP","cvoExtension":true,"localMediaInfo":{}}`},
	{"unPublishStream", `{"mediaSessionId":"idmine","name":"mine","published":true,"hasVideo":true,"hasAudio":true,
		"status":"PUBLISHING","record":false}`},
	{"playStream", `{"mediaSessionId":"newp","name":"mine","published":false,"hasVideo":true,"hasAudio":true,"status":"PENDING",
		"record":false,"mediaProvider":"WebRTC","width":"320","height":0,"bitrate":0,"minBitrate":0,"maxBitrate":0,"quality":100,
		"sdp":"v=0","custom":{},"constraints":{},"transport":"TCP","cvoExtension":false}`},
	{"stopStream", `{"mediaSessionId":"pmine","name":"mine","published":false,"hasVideo":true,"hasAudio":true,
		"status":"PLAYING","record":false}`},
	{"availableStream", `{"mediaSessionId":"x","name":"mine"}`},
	{"snapshot", `{"mediaSessionId":"x","name":"mine"}`},
	{"sendStreamEvent", `{"mediaSessionId":"idmine","type":"data","payload":{"a":1}}`},
	{"sendData", `{"operationId":"op","payload":{}}`},
	{"sessionDebug", `{"command":"start"}`},
	{"pushLogs", `{"logs":"10:00:00 INFO x"}`},
	{"submitBugReport", `{"text":"bad"}`},
	{"call", `{"callId":"c","callee":"3001","sdp":"v=0","incoming":false,"hasVideo":true,"hasAudio":true,"status":"PENDING",
		"mediaProvider":"WebRTC","sipSDP":["b=AS:5"],"caller":"3000","custom":{"a":1},"visibleName":"Ann","localMediaInfo":{}}`},
	{"answer", `{"callId":"in","sdp":"v=0","incoming":true,"hasVideo":true,"hasAudio":true,"status":"PENDING","mediaProvider":"WebRTC",
		"sipSDP":["a=x"],"caller":"3000","callee":"3001","custom":{"a":1}}`},
	{"hangup", `{"callId":"c"}`},
	{"hold", `{"callId":"c","holdForTransfer":true}`},
	{"unhold", `{"callId":"c"}`},
	{"sendDtmf", `{"callId":"c","type":"INFO","dtmf":5}`},
	{"transfer", `{"callId":"c","target":"3002"}`},
	{"webRTCMetricsBatch", `{"mediaSessionId":"pmine","metrics":"[]"}`},
	{"connectMediaTransport", `{"authToken":"x"}`},
}

// wrong are values that no field is meant to have.
var wrong = []string{
	`null`, `true`, `0`, `-1e300`, `""`, `{}`, `[]`, `[[[[null]]]]`, `{"mediaSessionId":{"name":[]}}`, `"` + "\u0000\u202e" + `"`,
	`"rtsp://host/x"`, `"../../etc/passwd"`, `"` + strings.Repeat("x", 20_000) + `"`,
}

// variants returns a request with each of its fields missing, wrong and twice, and the request itself twice.
func variants(t *testing.T, message, data string) []string {
	t.Helper()
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(data), &fields); err != nil {
		t.Fatal(err)
	}
	frame := func(members string) string { return `{"message":"` + message + `","data":[{` + members + `}]}` }
	members := func(without string) string {
		var all []string
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			if name != without {
				all = append(all, fmt.Sprintf("%q:%s", name, fields[name]))
			}
		}
		return strings.Join(all, ",")
	}
	whole := members("")
	list := []string{frame(whole), frame(whole), frame("")}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		list = append(list, frame(members(name)), frame(fmt.Sprintf("%s,%q:%s", whole, name, `{"again":1}`)))
		for _, value := range wrong {
			list = append(list, frame(fmt.Sprintf("%q:%s,%s", name, value, strings.TrimPrefix(members(name), ","))))
		}
	}
	return list
}

// Every message is sent with each field missing, wrong, huge and twice, before and after the session is established. The server
// answers with messages that the SDK can read, or not at all, and other sessions do not notice.
func TestBadInput(t *testing.T) {
	cfg := testConfig()
	cfg.Rate, cfg.Burst = 1<<20, 1<<20
	cfg.KeepAliveGrace = 100 * time.Millisecond
	w := newWorld(t, cfg)
	w.withMedia()
	w.srv.parts.Phone = openEager
	url := w.serve(t)
	camera, viewer := dialIn(t, url), dialIn(t, url)
	camera.publishLive(w, "idother", "other")
	viewer.playLive(w, "pother", "other")
	go func() { // everything that anybody plays is connected
		for p := range w.egress.made {
			close(p.connected)
		}
	}()
	defer close(w.egress.made)

	for _, r := range requests {
		t.Run(r.message, func(t *testing.T) {
			early := dial(t, url)
			for _, v := range variants(t, r.message, r.data) {
				early.raw(v)
				if r.message == "connection" { // which may have been taken
					early.raw(`{"message":"ping","data":[null]}`)
					early.until("pong")
					_ = early.conn.CloseNow()
					early = dial(t, url)
				}
			}
			early.raw(`{"message":"ping","data":[null]}`)
			if name, data := early.next(); name != "pong" {
				t.Errorf("before the session is established, the answer is %s %s", name, data)
			}
			b := dial(t, url)
			b.hello(sipAccount)
			for i, v := range variants(t, r.message, r.data) {
				if i%10 == 0 { // what the message is about may be gone
					b.raw(publishFrame("idmine", "mine", ""))
					b.raw(`{"message":"ping","data":[null]}`)
					b.until("pong")
					if p := w.ingest.publication("idmine"); p != nil {
						p.src.SetLive()
					}
					b.raw(playFrame("pmine", "mine", ""))
					b.raw(callFrame("c", "3001", ""))
				}
				b.raw(v)
			}
			b.raw(`{"message":"sendData","data":[{"operationId":"last?"}]}`)
			for {
				if data := b.until("DataStatusEvent"); strings.Contains(data, "last?") {
					break
				}
			}
			_ = b.conn.Close(websocket.StatusNormalClosure, "")
			testkit.Eventually(t, 10*time.Second, func() string {
				st := w.srv.Stats()
				if n, p := len(w.srv.Players()), st.Publishers; n != 1 || p != 1 || st.Calls != 0 {
					return fmt.Sprintf("%d players, %d publishers and %d calls are left, want 1, 1 and 0", n, p, st.Calls)
				}
				return ""
			})
		})
	}
	for _, b := range []*browser{camera, viewer} {
		b.raw(`{"message":"sendData","data":[{"operationId":"mine"}]}`)
		if data := b.until("DataStatusEvent"); !strings.Contains(data, "mine") {
			t.Errorf("DataStatusEvent = %s", data)
		}
	}
	if src, found := w.hub.Source("other"); !found || src.Err() != nil {
		t.Error("the stream of somebody else is gone")
	}
	if st := w.srv.Stats(); st.Panics != 0 || st.Slow != 0 || st.Floods != 0 {
		t.Errorf("Stats = %+v, want no panics and nobody cut off", st)
	}
}

// A message about a stream that does not exist yet, or has ended, changes nothing.
func TestOutOfOrder(t *testing.T) {
	w := newWorld(t, testConfig())
	b := dialIn(t, w.serve(t))
	b.raw(stopFrame("p1"))
	b.raw(unpublishFrame("id1"))
	b.raw(eventFrame("id1", "audioMuted", ""))
	b.wantQuiet()
	b.play("p1", "one")
	b.wantStatus("p1", "FAILED", "Session does not exist")
	b.publish("id1", "one")
	b.want("setRemoteSDP")
	b.raw(eventFrame("id1", "videoMuted", "")) // before PUBLISHING
	b.publish("id1", "other")
	b.wantStatus("id1", "FAILED", "MediaSessionId is already in use") // which is about the second alone
	w.ingest.publication("id1").src.SetLive()
	if d := b.wantStatus("id1", "PUBLISHING", ""); fmt.Sprint(d["videoState"]) != "map[muted:true]" {
		t.Errorf("videoState = %v", d["videoState"])
	}
	p := b.playLive(w, "p1", "one")
	b.play("p1", "one")
	b.wantStatus("p1", "FAILED", "MediaSessionId is already in use")
	b.raw(stopFrame("p1"))
	b.raw(stopFrame("p1"))
	b.wantStatus("p1", "STOPPED", "Stopped by user")
	p.sent(1000, nil) // nothing follows the last status
	b.raw(unpublishFrame("id1"))
	b.wantStatus("id1", "UNPUBLISHED", "Stopped by user")
	b.raw(`{"message":"connection","data":[{"keepAlive":true}]}`)
	b.raw(eventFrame("id1", "data", ""))
	b.wantQuiet()
}

// until reads up to the next message with the name, and returns its data.
func (b *browser) until(name string) string {
	b.t.Helper()
	for {
		if got, data := b.next(); got == name {
			return data
		}
	}
}
