//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/pion/webrtc/v4"

	"transponder/internal/testkit"
)

// sdk is a WebSocket that speaks as the Web SDK does, without a browser.
type sdk struct {
	t    *testing.T
	conn *websocket.Conn
}

// message is a frame of the signalling.
type message struct {
	Message string            `json:"message"`
	Data    []json.RawMessage `json:"data"`
}

// status is what the tests read of a stream's status.
type status struct {
	ID     string `json:"mediaSessionId"`
	Status string `json:"status"`
	Info   string `json:"info"`
}

func connect(t *testing.T, s *server) *sdk {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, s.socket, nil)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadLimit(1 << 20)
	t.Cleanup(func() { conn.CloseNow() })
	c := &sdk{t: t, conn: conn}
	c.send("connection", map[string]any{"appKey": "defaultApp", "mediaProviders": []string{"WebRTC"}, "clientVersion": "2.0"})
	c.await("getUserData")
	return c
}

func (c *sdk) send(name string, data any) {
	c.t.Helper()
	b, err := json.Marshal(map[string]any{"message": name, "data": []any{data}})
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(c.t.Context(), 10*time.Second)
	defer cancel()
	if err := c.conn.Write(ctx, websocket.MessageText, b); err != nil {
		c.t.Fatal(err)
	}
}

// await reads until a message of that name comes, and returns its data. Pings are answered.
func (c *sdk) await(name string) []json.RawMessage {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 30*time.Second)
	defer cancel()
	for {
		_, b, err := c.conn.Read(ctx)
		if err != nil {
			c.t.Fatalf("waiting for %s: %v", name, err)
		}
		var m message
		if err := json.Unmarshal(b, &m); err != nil {
			c.t.Fatalf("%s: %v", b, err)
		}
		switch m.Message {
		case name:
			return m.Data
		case "ping":
			c.send("pong", nil)
		}
	}
}

func (c *sdk) status() status {
	c.t.Helper()
	var st status
	if err := json.Unmarshal(c.await("notifyStreamStatusEvent")[0], &st); err != nil {
		c.t.Fatal(err)
	}
	return st
}

func (c *sdk) publish(id, name, offer, rtmpURL string) {
	c.t.Helper()
	c.send("publishStream", map[string]any{
		"mediaSessionId": id, "name": name, "published": true, "hasVideo": true, "hasAudio": true, "status": "PENDING",
		"mediaProvider": "WebRTC", "sdp": offer, "rtmpUrl": rtmpURL,
	})
}

// offerOf makes the offer of a peer that will never connect.
func offerOf(t *testing.T, codecs ...string) string {
	t.Helper()
	var m webrtc.MediaEngine
	for i, mime := range codecs {
		kind, params := webrtc.RTPCodecTypeVideo, webrtc.RTPCodecParameters{
			RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: mime, ClockRate: 90000}, PayloadType: webrtc.PayloadType(96 + i),
		}
		if strings.HasPrefix(mime, "audio/") {
			kind = webrtc.RTPCodecTypeAudio
			params.ClockRate, params.Channels = 48000, 2
		}
		if err := m.RegisterCodec(params, kind); err != nil {
			t.Fatal(err)
		}
	}
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(&m)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	for _, mime := range codecs {
		kind := webrtc.RTPCodecTypeVideo
		if strings.HasPrefix(mime, "audio/") {
			kind = webrtc.RTPCodecTypeAudio
		}
		init := webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly}
		if _, err := pc.AddTransceiverFromKind(kind, init); err != nil {
			t.Fatal(err)
		}
	}
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	return offer.SDP
}

// A publish that comes to nothing says so, in the documented words and in time, and the name is free again.
func TestPublishThatFails(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	c := connect(t, s)

	c.publish("1", "a", offerOf(t, webrtc.MimeTypeH264, webrtc.MimeTypeG722), "")
	if st := c.status(); st != (status{"1", "FAILED", "No common codecs"}) {
		t.Errorf("sound that nobody knows: %+v", st)
	}

	begun := time.Now()
	c.publish("2", "a", offerOf(t, webrtc.MimeTypeH264, webrtc.MimeTypeOpus), "")
	c.await("setRemoteSDP")
	c.publish("3", "a", offerOf(t, webrtc.MimeTypeH264), "")
	if st := c.status(); st != (status{"3", "FAILED", "Stream name is already in use"}) {
		t.Errorf("a name that is taken: %+v", st)
	}
	if st := c.status(); st != (status{"2", "FAILED", "Failed by ICE timeout"}) {
		t.Errorf("a peer that never connects: %+v", st)
	}
	if d := time.Since(begun); d > 15*time.Second {
		t.Errorf("that took %v, want at most 15 s", d)
	}
	if code := s.post("/stream/find_all", struct{}{}, nil); code != http.StatusNotFound {
		t.Errorf("stream/find_all answers %d, want 404", code)
	}
}

// One socket that floods the server is put out; another, and its stream, do not notice.
func TestFlood(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	quiet := connect(t, s)
	flooder := connect(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	junk := []byte(`{"message":"pushLogs","data":[{"logs":"` + strings.Repeat("x", 10_000) + `"}]}`)
	var err error
	begun, sent := time.Now(), 0
	for ; err == nil; sent++ {
		err = flooder.conn.Write(ctx, websocket.MessageText, junk)
	}
	t.Logf("%d messages of 10 kB in %v, then %v", sent, time.Since(begun), err)
	if ctx.Err() != nil {
		t.Fatalf("the flood was not stopped in 30 s: %v", err)
	}
	quiet.send("availableStream", map[string]string{"mediaSessionId": "1", "name": "none"})
	quiet.await("availableStream")
}

// SIGTERM ends a running push as its receiver wishes: FCUnpublish, deleteStream, and only then the connection.
func TestStopIsPolite(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	receiver := testkit.NewRTMPServer(t, testkit.Script{})
	publishWHIP(t, s, "live")
	if code := s.post("/push/startup", map[string]string{"streamName": "live", "rtmpUrl": receiver.URL("live")}, nil); code != http.StatusOK {
		t.Fatalf("push/startup answers %d", code)
	}
	s.waitPush("live", "PUBLISHING")
	s.stop()
	receiver.Wait(t, "goodbye", func() bool {
		calls := receiver.Calls()
		return len(calls) >= 2 && calls[len(calls)-2] == "FCUnpublish('rtmp_live')" && strings.HasPrefix(calls[len(calls)-1], "deleteStream")
	})
}

// No key or password of any address shows in what the server logs, however the push fares.
func TestLogKeepsSecrets(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	receiver := testkit.NewRTMPServer(t, testkit.Script{})
	refusing := testkit.NewRTMPServer(t, testkit.Script{At: "publish", Do: testkit.Refuse, Code: "NetStream.Publish.BadName", Description: "CANARY is taken"})
	publishWHIP(t, s, "secret")
	start := func(url string) int {
		return s.post("/push/startup", map[string]any{
			"streamName": "secret", "rtmpUrl": strings.Replace(url, "://", "://CANARY:CANARY@", 1), "rtmpTransponderFullUrl": true,
		}, nil)
	}
	for url, want := range map[string]int{
		receiver.URL("app/CANARY?t=CANARY"):           http.StatusOK,
		refusing.URL("app/CANARY"):                    http.StatusOK,
		"rtmp://no-such-host.invalid/app/CANARY":      http.StatusBadRequest,
		"rtmp://127.0.0.1:CANARY/app":                 http.StatusBadRequest,
		"rtmp://127.0.0.1:1/app/CANARY?CANARY=CANARY": http.StatusOK,
	} {
		if code := start(url); code != want {
			t.Errorf("%s: push/startup answers %d, want %d", url, code, want)
		}
	}
	receiver.Wait(t, "media", func() bool { return len(receiver.Tags()) > 10 })
	s.stop()
	if log := s.log.String(); strings.Contains(log, "CANARY") {
		for line := range strings.Lines(log) {
			if strings.Contains(line, "CANARY") {
				t.Errorf("the log says %s", line)
			}
		}
	}
}
