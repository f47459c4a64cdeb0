package wcs

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"transponder/internal/load"
	"transponder/internal/media"
	"transponder/internal/rtc"
	"transponder/internal/stream"
	"transponder/internal/testkit"
	"transponder/internal/transcode/picture"
)

func stopFrame(id string) string {
	return `{"message":"stopStream","data":[{"mediaSessionId":"` + id + `","name":"n","published":false,"hasVideo":true,` +
		`"hasAudio":true,"status":"PLAYING","record":false}]}`
}

func TestPlay(t *testing.T) {
	w := newWorld(t, testConfig())
	url := w.serve(t)
	camera := dialIn(t, url)
	camera.publishLive(w, "id1", "one")
	b := dialIn(t, url)
	for range 2 { // the same id once more, as soon as it is free
		b.raw(playFrame("p1", "one", `,"transport":"TCP"`))
		name, data := b.next()
		if want := `["p1","v=0\r\nplayed",true]`; name != "setRemoteSDP" || data != want {
			t.Fatalf("got %s %s, want setRemoteSDP %s", name, data, want)
		}
		b.wantQuiet() // no PLAYING before the media is connected
		p := <-w.egress.made
		p.sent(1, &media.Track{Codec: media.H264, Width: 640, Height: 360})
		close(p.connected)
		d := b.wantStatus("p1", "PLAYING", "")
		for key, value := range map[string]any{
			"nodeId": "node1", "appKey": "defaultApp", "name": "one", "published": false, "hasVideo": true, "hasAudio": true,
			"width": 640.0, "height": 360.0, "videoCodec": "H264", "mediaType": "play", "mediaProvider": "WebRTC", "transport": "TCP",
		} {
			if d[key] != value {
				t.Errorf("%s = %v, want %v", key, d[key], value)
			}
		}
		if d["createDate"].(float64) < 1e12 || d["sessionId"] == "" {
			t.Errorf("createDate %v, sessionId %v", d["createDate"], d["sessionId"])
		}
		if n := w.srv.Stats().Players; n != 1 {
			t.Errorf("Players = %d, want 1", n)
		}
		b.raw(stopFrame("p1"))
		b.wantStatus("p1", "STOPPED", "Stopped by user")
		b.raw(stopFrame("p1")) // over already
		b.wantQuiet()
	}
	camera.wantQuiet()
	if st := w.srv.Stats(); st.Played != 2 || st.PlayFailed != 0 || st.Players != 0 {
		t.Errorf("Stats = %+v, want 2 played, none failed, none left", st)
	}
	if want := (rtc.Offer{SDP: "v=0\r\noffer", TCP: true}); w.egress.offers[0] != want {
		t.Errorf("offer = %+v, want %+v", w.egress.offers[0], want)
	}
}

// Each cause of an end, before and after PLAYING, gives one terminal status and frees the id.
func TestPlayEnds(t *testing.T) {
	w := newWorld(t, testConfig())
	b := dialIn(t, w.serve(t))
	b.publishLive(w, "id1", "one")
	for _, live := range []bool{false, true} {
		for _, tt := range ends {
			t.Run(fmt.Sprintf("live %t, %v", live, tt.err), func(t *testing.T) {
				b.t = t
				b.play("p1", "one")
				b.want("setRemoteSDP")
				p := <-w.egress.made
				if live {
					close(p.connected)
					b.wantStatus("p1", "PLAYING", "")
				}
				p.die <- tt.err
				status := tt.status
				if status == "UNPUBLISHED" {
					status = "STOPPED"
				}
				b.wantStatus("p1", status, tt.info)
				b.raw(stopFrame("p1"))
				b.wantQuiet()
			})
		}
	}
}

func TestPublisherLeavesItsPlayers(t *testing.T) {
	tests := []struct {
		name  string
		leave func(w *world, b *browser)
		told  func(b *browser) // what the publisher is told
	}{
		{"unpublish", func(_ *world, b *browser) { b.raw(unpublishFrame("id1")) },
			func(b *browser) { b.wantStatus("id1", "UNPUBLISHED", "Stopped by user") }},
		{"media lost", func(w *world, _ *browser) { w.ingest.publication("id1").die <- rtc.ErrICEKeepAlive },
			func(b *browser) { b.wantStatus("id1", "FAILED", "Failed by ICE keep alive") }},
		{"peer closed", func(w *world, _ *browser) { w.ingest.publication("id1").die <- rtc.ErrClientClosed },
			func(b *browser) { b.wantStatus("id1", "UNPUBLISHED", "Stopped by user") }},
		{"terminated", func(w *world, _ *browser) { w.ingest.publication("id1").src.Close(stream.ErrTerminated) },
			func(b *browser) { b.wantStatus("id1", "UNPUBLISHED", "Stopped by rest /terminate") }},
		{"socket lost", func(_ *world, b *browser) { _ = b.conn.CloseNow() }, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, testConfig())
			url := w.serve(t)
			b, other := dialIn(t, url), dialIn(t, url)
			b.publishLive(w, "id1", "one")
			b.playLive(w, "own", "one")
			other.playLive(w, "p1", "one")
			other.play("p2", "one") // not connected yet
			other.want("setRemoteSDP")
			tt.leave(w, b)
			if tt.told != nil {
				tt.told(b) // before its players
				b.wantStatus("own", "FAILED", "Stopped by publisher stop")
			}
			got := map[any]bool{}
			for range 2 {
				d := other.want("notifyStreamStatusEvent")
				if d["status"] != "FAILED" || d["info"] != "Stopped by publisher stop" {
					t.Errorf("status = %v %v", d["status"], d["info"])
				}
				got[d["mediaSessionId"]] = true
			}
			if !got["p1"] || !got["p2"] {
				t.Errorf("told of %v, want p1 and p2", got)
			}
			other.play("p1", "one")
			other.wantStatus("p1", "FAILED", "Session does not exist")
			other.wantQuiet()
		})
	}
}

func TestSeveralPlayers(t *testing.T) {
	w := newWorld(t, testConfig())
	url := w.serve(t)
	b := dialIn(t, url)
	b.publishLive(w, "id1", "one")
	for _, id := range []string{"p1", "p2", "p3"} {
		b.playLive(w, id, "one")
	}
	if all := w.srv.Players(); len(all) != 3 || all[0].ID != "p1" || !all[0].Playing || all[0].Name != "one" || all[0].SessionID == "" {
		t.Errorf("Players = %+v, want three", all)
	}
	b.raw(stopFrame("p2"))
	b.wantStatus("p2", "STOPPED", "Stopped by user")
	if !w.srv.StopPlayer("p3") || w.srv.StopPlayer("p2") {
		t.Error("StopPlayer found what is over, or not what plays")
	}
	b.wantStatus("p3", "STOPPED", "Stopped by rest /terminate")
	if c := w.srv.Connections(); len(c) != 1 || c[0].Players != 1 || c[0].Publishers != 1 {
		t.Errorf("Connections = %+v, want one with a publisher and a player", c)
	}
	b.wantQuiet()
}

func TestPlayRefused(t *testing.T) {
	cfg := testConfig()
	cfg.MaxPlayers = 2
	w := newWorld(t, cfg)
	url := w.serve(t)
	other := dialIn(t, url)
	other.publishLive(w, "idother", "one")
	other.playLive(w, "pother", "one")
	b := dialIn(t, url)
	b.publishLive(w, "idmine", "mine")
	b.playLive(w, "pmine", "one")
	long := strings.Repeat("x", 300)
	const noID = `{"message":"playStream","data":[{%s"name":"one","sdp":"v=0"}]}`
	tests := []struct {
		name, frame string
		refuse      error
		id, info    string
	}{
		{"id null", fmt.Sprintf(noID, `"mediaSessionId":null,`), nil, "", "MediaSessionId is null"},
		{"id missing", fmt.Sprintf(noID, ``), nil, "", "MediaSessionId is null"},
		{"id an object", fmt.Sprintf(noID, `"mediaSessionId":{},`), nil, "", "MediaSessionId is null"},
		{"id too long", playFrame(long, "one", ""), nil, "", "Failed by error"},
		{"own player's id", playFrame("pmine", "one", ""), nil, "pmine", "MediaSessionId is already in use"},
		{"own publisher's id", playFrame("idmine", "one", ""), nil, "idmine", "MediaSessionId is already in use"},
		{"another's player's id", playFrame("pother", "one", ""), nil, "pother", "MediaSessionId is already in use"},
		{"another's publisher's id", playFrame("idother", "one", ""), nil, "idother", "MediaSessionId is already in use"},
		{"no name", playFrame("p1", "", ""), nil, "p1", "Session does not exist"},
		{"unknown name", playFrame("p1", "nobody", ""), nil, "p1", "Session does not exist"},
		{"name an object", `{"message":"playStream","data":[{"mediaSessionId":"p1","name":{}}]}`, nil, "p1", "Session does not exist"},
		{"RTSP", playFrame("p1", "rtsp://camera/1", ""), nil, "p1", "Bad URI"},
		{"file", playFrame("p1", "vod://sample.mp4", ""), nil, "p1", "Bad URI"},
		{"RTMP", playFrame("p1", "rtmp://host/live/x", ""), nil, "p1", "Bad URI"},
		{"MSE", playFrame("p1", "one", `,"mediaProvider":"MSE"`), nil, "p1", "No common codecs"},
		{"WSPlayer", playFrame("p1", "one", `,"mediaProvider":"WSPlayer"`), nil, "p1", "No common codecs"},
		{"codecs", playFrame("p1", "one", ""), rtc.ErrNoCommonCodecs, "p1", "No common codecs"},
		{"bad offer", playFrame("p1", "one", ""), rtc.ErrBadOffer, "p1", "Failed by error"},
		{"busy", playFrame("p1", "one", ""), load.ErrFull, "p1", "Failed by error"},
		{"transcoding disabled", playFrame("p1", "one", ""), picture.ErrDisabled, "p1", "Transcoding required, but disabled"},
		{"no room for transcoding", playFrame("p1", "one", ""), &picture.BusyError{}, "p1", "No available transcoders"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b.t = t
			w.egress.fail(tt.refuse)
			b.raw(tt.frame)
			d := b.wantStatus(tt.id, "FAILED", tt.info)
			if d["published"] != false || d["mediaType"] != "play" {
				t.Errorf("published %v, mediaType %v", d["published"], d["mediaType"])
			}
			b.wantQuiet()
		})
	}
	b.t = t
	w.egress.fail(nil)
	b.playLive(w, "p2", "one")
	b.play("p3", "one")
	b.wantStatus("p3", "FAILED", "Failed by error") // two are enough
	b.raw(stopFrame("p2"))
	b.wantStatus("p2", "STOPPED", "Stopped by user")
	b.playLive(w, "p3", "one")
	b.publish("p3", "three")
	b.wantStatus("p3", "FAILED", "MediaSessionId is already in use")
	b.publish("pother", "three")
	b.wantStatus("pother", "FAILED", "MediaSessionId is already in use")
	b.raw(stopFrame("pother")) // another's
	b.raw(unpublishFrame("p3"))
	b.raw(stopFrame("idmine")) // of the other kind
	b.wantQuiet()
	other.wantQuiet()
}

func TestPlayWithoutPlayFunc(t *testing.T) {
	w := newWorld(t, testConfig())
	w.srv.parts.Play, w.srv.parts.Snapshot = nil, nil
	b := dialIn(t, w.serve(t))
	b.publishLive(w, "id1", "one")
	b.play("p1", "one")
	b.wantStatus("p1", "FAILED", "Failed by error")
	b.play("p1", "two")
	b.wantStatus("p1", "FAILED", "Session does not exist")
	b.raw(`{"message":"snapshot","data":[{"mediaSessionId":"x","name":"one"}]}`)
	if d := b.want("notifyStreamEvent"); d["type"] != "snapshotFailed" {
		t.Errorf("event = %v", d)
	}
}

// A player waits for a publisher that is not connected yet.
func TestPlayBeforeLive(t *testing.T) {
	tests := []struct {
		name         string
		then         func(w *world, b *browser)
		status, info string // of the player; "": it plays
		after        time.Duration
	}{
		{"it comes", func(w *world, b *browser) {
			time.Sleep(3 * time.Second)
			w.ingest.publication("id1").src.SetLive()
		}, "", "", 3 * time.Second},
		{"it does not come", func(*world, *browser) {}, "FAILED", "Publish stream is not ready", DefaultConfig().ReadyTimeout},
		{"it fails", func(w *world, b *browser) {
			time.Sleep(time.Second)
			w.ingest.publication("id1").die <- rtc.ErrICETimeout
			b.wantStatus("id1", "FAILED", "Failed by ICE timeout")
		}, "FAILED", "Stopped by publisher stop", time.Second},
		{"the page stops", func(_ *world, b *browser) {
			time.Sleep(time.Second)
			b.raw(stopFrame("p1"))
		}, "STOPPED", "Stopped by user", time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, testConfig())
				dial, done := w.inBubble(t)
				defer done()
				b := dial()
				b.hello("")
				b.publish("id1", "one")
				b.want("setRemoteSDP")
				start := time.Now()
				b.play("p1", "one")
				b.wantQuiet()
				tt.then(w, b)
				if tt.status != "" {
					b.wantStatus("p1", tt.status, tt.info)
				} else {
					first, _ := b.next() // their order does not matter
					second, _ := b.next()
					if first == second || !strings.Contains(first+second, "setRemoteSDP") {
						t.Errorf("got %s and %s, want PUBLISHING and an answer", first, second)
					}
				}
				if got := time.Since(start); got != tt.after {
					t.Errorf("answered after %v, want %v", got, tt.after)
				}
			})
		})
	}
}

// While an answer is being made, other messages are handled, and stopping the player ends it.
func TestStopWhileAnswering(t *testing.T) {
	w := newWorld(t, testConfig())
	w.egress.hold = make(chan struct{})
	b := dialIn(t, w.serve(t))
	b.publishLive(w, "id1", "one")
	b.play("p1", "one")
	b.play("p1", "one") // twice
	b.wantStatus("p1", "FAILED", "MediaSessionId is already in use")
	b.raw(stopFrame("p1"))
	b.wantStatus("p1", "STOPPED", "Stopped by user")
	b.play("p1", "one")
	b.wantQuiet()
	close(w.egress.hold)
	b.want("setRemoteSDP")
}

func TestPanicOfPlayingEndsOneSession(t *testing.T) {
	w := newWorld(t, testConfig())
	w.egress.panics = true
	url := w.serve(t)
	camera, b := dialIn(t, url), dialIn(t, url)
	camera.publishLive(w, "id1", "one")
	b.play("p1", "one")
	if code, _ := b.wantClosed(); code != websocket.StatusInternalError {
		t.Errorf("closed with %v, want 1011", code)
	}
	camera.wantQuiet()
	testkit.Eventually(t, 10*time.Second, func() string {
		if n := len(w.srv.Players()); n != 0 {
			return fmt.Sprintf("%d players are left", n)
		}
		return ""
	})
}

// wantRate reads the next message, which must be the rate.
func (b *browser) wantRate(name, id string, bps float64) {
	b.t.Helper()
	if d := b.want(name); d["mediaSessionId"] != id || d["videoRate"] != bps || len(d) != 2 {
		b.t.Fatalf("%s = %v, want %s %v", name, d, id, bps)
	}
}

// Rates are sent exactly once a second, beginning with PUBLISHING and PLAYING.
func TestRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testConfig())
		dial, done := w.inBubble(t)
		defer done()
		b := dial()
		b.hello("")
		b.publish("id1", "one")
		b.want("setRemoteSDP")
		src := w.ingest.publication("id1").src
		track := &media.Track{Codec: media.H264, Width: 640, Height: 360}
		src.Video.Write(media.Frame{Track: track, Key: true, Data: make([]byte, 5000)})
		time.Sleep(3 * time.Second)
		b.wantQuiet()
		src.SetLive()
		b.wantStatus("id1", "PUBLISHING", "")
		start := time.Now()
		for i := range 5 {
			src.Video.Write(media.Frame{Track: track, Data: make([]byte, 1000*i)})
			b.wantRate("inboundVideoRate", "id1", float64(8000*i))
			if got, want := time.Since(start), time.Duration(i+1)*time.Second; got != want {
				t.Fatalf("rate %d came after %v, want %v", i, got, want)
			}
		}
		b.raw(unpublishFrame("id1"))
		b.wantStatus("id1", "UNPUBLISHED", "Stopped by user")
		time.Sleep(3 * time.Second)
		b.wantQuiet()
	})
}

func TestRatesAndSizesOfPlayers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testConfig())
		dial, done := w.inBubble(t)
		defer done()
		camera, b := dial(), dial()
		camera.hello("")
		b.hello("")
		src, err := w.hub.Publish(stream.Info{Name: "one", ID: "by another door", HasVideo: true})
		if err != nil {
			t.Fatal(err)
		}
		src.SetLive()
		b.play("p1", "one")
		b.want("setRemoteSDP")
		p := <-w.egress.made
		time.Sleep(3 * time.Second)
		b.wantQuiet()
		close(p.connected)
		b.wantStatus("p1", "PLAYING", "")

		small, large := &media.Track{Codec: media.H264, Width: 320, Height: 240}, &media.Track{Codec: media.H264, Width: 640, Height: 480}
		again := &media.Track{Codec: media.H264, Width: 640, Height: 480}
		start := time.Now()
		for i, step := range []struct {
			bytes int64
			track *media.Track
			want  bool // a resize
		}{{0, nil, false}, {1000, small, true}, {2000, small, false}, {500, large, true}, {0, again, false}, {125000, small, true}} {
			p.sent(step.bytes, step.track)
			b.wantRate("outboundVideoRate", "p1", float64(step.bytes*8))
			if got, want := time.Since(start), time.Duration(i+1)*time.Second; got != want {
				t.Fatalf("rate %d came after %v, want %v", i, got, want)
			}
			if step.want {
				got, _ := json.Marshal(b.want("notifyStreamEvent"))
				want := fmt.Sprintf(`{"mediaSessionId":"p1","payload":{"streamerVideoHeight":%d,"streamerVideoWidth":%d},"type":"resize"}`,
					step.track.Height, step.track.Width)
				if string(got) != want {
					t.Errorf("event = %s, want %s", got, want)
				}
			}
		}
		src.Close(errors.New("gone"))
		b.wantStatus("p1", "FAILED", "Stopped by publisher stop")
		time.Sleep(3 * time.Second)
		b.wantQuiet()
		camera.wantQuiet()
	})
}

// No video rate is sent for a stream without video.
func TestNoRatesOfSound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testConfig())
		dial, done := w.inBubble(t)
		defer done()
		b := dial()
		b.hello("")
		src, err := w.hub.Publish(stream.Info{Name: "radio", ID: "r", HasAudio: true})
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close(nil)
		src.SetLive()
		b.playLive(w, "p1", "radio")
		time.Sleep(5 * time.Second)
		b.wantQuiet()
	})
}

func eventFrame(id, kind, payload string) string {
	return `{"message":"sendStreamEvent","data":[{"mediaSessionId":"` + id + `","type":"` + kind + `"` + payload + `}]}`
}

func TestStreamEvents(t *testing.T) {
	w := newWorld(t, testConfig())
	url := w.serve(t)
	camera, b, other := dialIn(t, url), dialIn(t, url), dialIn(t, url)
	camera.publishLive(w, "id1", "one")
	other.publishLive(w, "id2", "two")
	other.playLive(w, "p2", "two")
	camera.playLive(w, "own", "one")
	b.playLive(w, "p1", "one")
	b.play("pending", "one")
	b.want("setRemoteSDP")
	pending := <-w.egress.made

	const none = ""
	tests := []struct{ name, frame, kind, payload string }{
		{"data", eventFrame("id1", "data", `,"payload":{"count":23,"t":"<&>"}`), "data", `{"count":23,"t":"<&>"}`},
		{"data that is no object", eventFrame("id1", "data", `,"payload":[1,2.50]`), "data", `[1,2.50]`},
		{"data without payload", eventFrame("id1", "data", ``), "data", none},
		{"null", eventFrame("id1", "data", `,"payload":null`), "data", none},
		{"audio muted", eventFrame("id1", "audioMuted", ``), "audioMuted", none},
		{"audio unmuted", eventFrame("id1", "audioUnmuted", ``), "audioUnmuted", none},
		{"video muted", eventFrame("id1", "videoMuted", ``), "videoMuted", none},
		{"video unmuted", eventFrame("id1", "videoUnmuted", ``), "videoUnmuted", none},
		{"video muted once more", eventFrame("id1", "videoMuted", ``), "videoMuted", none},
		{"of the server's own", eventFrame("id1", "resize", `,"payload":{"streamerVideoWidth":1,"streamerVideoHeight":1}`), none, none},
		{"that breaks pages", eventFrame("id1", "notEnoughBandwidth", ``), none, none},
		{"unknown type", eventFrame("id1", "wave", ``), none, none},
		{"no type", `{"message":"sendStreamEvent","data":[{"mediaSessionId":"id1"}]}`, none, none},
		{"another's stream", eventFrame("id2", "data", `,"payload":{}`), none, none},
		{"a player", eventFrame("own", "audioMuted", ``), none, none},
		{"unknown stream", eventFrame("nobody", "data", ``), none, none},
		{"too big", eventFrame("id1", "data", `,"payload":"`+strings.Repeat("x", maxPayload)+`"`), none, none},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b.t, camera.t = t, t
			camera.raw(tt.frame)
			for _, to := range []struct {
				b  *browser
				id string
			}{{b, "p1"}, {camera, "own"}} {
				if tt.kind == none {
					to.b.wantQuiet()
					continue
				}
				want := `[{"mediaSessionId":"` + to.id + `","type":"` + tt.kind + `"}]`
				if tt.payload != none {
					want = strings.TrimSuffix(want, "}]") + `,"payload":` + tt.payload + `}]`
				}
				name, data := to.b.next()
				plain := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(data)
				if name != "notifyStreamEvent" || plain != want {
					t.Errorf("got %s %s, want %s", name, plain, want)
				}
			}
		})
	}
	b.t, camera.t = t, t
	close(pending.connected)
	d := b.wantStatus("pending", "PLAYING", "")
	if got := fmt.Sprint(d["audioState"], d["videoState"]); got != "map[muted:false] map[muted:true]" {
		t.Errorf("audioState, videoState = %s", got)
	}
	src, _ := w.hub.Source("one")
	if audio, video := w.srv.Muted(src); audio || !video {
		t.Errorf("Muted = %t, %t, want the video alone", audio, video)
	}
	players := w.srv.Players()
	if i := slices.IndexFunc(players, func(p Player) bool { return p.ID == "p1" }); i < 0 || players[i].AudioMuted || !players[i].VideoMuted {
		t.Errorf("Players = %+v, want the video muted", players)
	}
	other.wantQuiet()
}

// A player that goes on with the spare of its stream belongs to that publisher from then on, and its page is told nothing.
func TestPlayerFollowsSpare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testConfig())
		dial, done := w.inBubble(t)
		defer done()
		first, second, viewer := dial(), dial(), dial()
		for _, x := range []*browser{first, second, viewer} {
			x.hello("")
		}
		first.publishLive(w, "id1", "one")
		second.publishLive(w, "id2", "other")
		playback := viewer.playLive(w, "p1", "one")
		playback.changed(w.ingest.publication("id2").src)
		viewer.wantQuiet()
		first.raw(eventFrame("id1", "data", `,"payload":{"a":1}`))
		synctest.Wait()
		viewer.wantQuiet()
		second.raw(eventFrame("id2", "audioMuted", ""))
		if d := viewer.want("notifyStreamEvent"); d["mediaSessionId"] != "p1" || d["type"] != "audioMuted" {
			t.Errorf("event = %v", d)
		}
		if players := w.srv.Players(); len(players) != 1 || !players[0].AudioMuted || players[0].Name != "one" {
			t.Errorf("Players = %+v, want the sound of the new publisher muted", players)
		}
	})
}

// A publisher that sends many events causes a player that does not read to be disconnected, and nobody else.
func TestEventsToSlowPlayer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		cfg.Burst, cfg.Rate = 1<<20, 1<<20
		cfg.MaxQueueBytes = 8 * maxPayload
		w := newWorld(t, cfg)
		dial, done := w.inBubble(t)
		defer done()
		camera, b, deaf := dial(), dial(), dial()
		for _, x := range []*browser{camera, b, deaf} {
			x.hello("")
		}
		camera.publishLive(w, "id1", "one")
		b.playLive(w, "p1", "one")
		deaf.playLive(w, "p2", "one")
		for range cfg.MaxQueueBytes/maxPayload + 10 {
			camera.raw(eventFrame("id1", "data", `,"payload":"`+strings.Repeat("x", maxPayload-2)+`"`))
			if d := b.want("notifyStreamEvent"); d["mediaSessionId"] != "p1" {
				t.Fatalf("event = %v", d)
			}
		}
		synctest.Wait()
		if n := w.srv.Stats().Slow; n != 1 {
			t.Errorf("Slow = %d, want 1", n)
		}
		b.wantQuiet()
		camera.wantQuiet()
	})
}
