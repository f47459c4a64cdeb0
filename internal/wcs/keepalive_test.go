package wcs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"transponder/internal/rtc"
	"transponder/internal/stream"
	"transponder/internal/testkit"
)

const keep = `,"keepAlive":true,"custom":{"user":"x"}`

// comeBack connects again with a token, and returns the data of getUserData.
func comeBack(t *testing.T, url, token string) (*browser, map[string]any) {
	t.Helper()
	b := dial(t, url)
	b.raw(`{"message":"connection","data":[{"appKey":"defaultApp","authToken":"` + token + `","keepAlive":true}]}`)
	return b, b.want("getUserData")
}

// lost waits until the server knows that the socket of a browser is gone.
func (w *world) lost(t *testing.T) {
	t.Helper()
	testkit.Eventually(t, 10*time.Second, func() string {
		if n := w.srv.Stats().Kept; n != 1 {
			return fmt.Sprintf("%d sessions are kept, want 1", n)
		}
		return ""
	})
}

// A page that closes its socket, or that the user leaves, does not come back: its names are free, and its session is not kept.
func TestSessionEndsWithItsPage(t *testing.T) {
	for _, code := range []websocket.StatusCode{websocket.StatusNormalClosure, websocket.StatusGoingAway, websocket.StatusNoStatusRcvd} {
		t.Run(code.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, testConfig())
				dial, done := w.inBubble(t)
				defer done()
				b, watcher := dial(), dial()
				token := b.hello(keep)
				watcher.hello("")
				b.publishLive(w, "id1", "one")
				watcher.playLive(w, "p1", "one")
				start := time.Now()
				_ = b.conn.Close(code, "")
				watcher.wantStatus("p1", "FAILED", "Stopped by publisher stop")
				synctest.Wait()
				if st := w.srv.Stats(); st.Kept != 0 || st.Publishers != 0 || len(w.srv.Connections()) != 1 {
					t.Errorf("Stats = %+v, want nothing left of the session", st)
				}
				if lasted := time.Since(start); lasted > time.Second {
					t.Errorf("it took %v", lasted)
				}
				late := dial()
				late.raw(`{"message":"connection","data":[{"authToken":"` + token + `"}]}`)
				if _, reason := late.wantClosed(); reason != "unknown authToken" {
					t.Errorf("closed with %q", reason)
				}
			})
		})
	}
}

// A write fails before the reader has reported the close frame.
func TestGoodbyeIsHeardWhileSending(t *testing.T) {
	w := newWorld(t, testConfig())
	url := w.serve(t)
	for range 20 {
		b := dial(t, url)
		b.hello(keep)
		s := w.srv.all()[0]
		stop := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(50 * time.Microsecond):
					s.sendRate("inboundVideoRate", videoRate{})
				}
			}
		})
		_ = b.conn.Close(websocket.StatusNoStatusRcvd, "")
		select {
		case <-s.done:
		case <-time.After(10 * time.Second): // it is kept
			t.Error("the session goes on")
		}
		close(stop)
		wg.Wait()
		if cause := s.over; !closedByPage(cause) {
			t.Fatalf("the session ended by %v", cause)
		}
	}
}

func TestSessionSurvivesItsSocket(t *testing.T) {
	tests := []struct {
		name  string
		leave func(*browser)
	}{
		{"broken off", func(b *browser) { _ = b.conn.Close(websocket.StatusProtocolError, "") }},
		{"socket lost", func(b *browser) { _ = b.conn.CloseNow() }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, testConfig())
			url := w.serve(t)
			camera := dialIn(t, url)
			camera.publishLive(w, "id2", "two")
			b := dial(t, url)
			token := b.hello(keep)
			b.publishLive(w, "id1", "one")
			b.playLive(w, "p1", "two")
			b.playLive(w, "p2", "two")
			id := w.srv.Connections()[1].SessionID
			tt.leave(b)
			w.lost(t)
			if c := w.srv.Connections()[1]; c.SessionID != id || c.Connected || !c.KeepAlive || c.Publishers != 1 || c.Players != 2 {
				t.Errorf("Connection without socket = %+v", c)
			}
			if !w.srv.StopPlayer("p2") { // meanwhile
				t.Error("the player did not survive")
			}
			testkit.Eventually(t, 10*time.Second, func() string {
				if n := len(w.srv.Players()); n != 1 {
					return fmt.Sprintf("%d players, want 1", n)
				}
				return ""
			})

			again, d := comeBack(t, url, token)
			custom, _ := json.Marshal(d["custom"])
			if d["authToken"] != token || string(custom) != `{"user":"x"}` || d["clientVersion"] != "2.0" {
				t.Errorf("getUserData = %v, want what was said at first", d)
			}
			again.wantStatus("p2", "STOPPED", "Stopped by rest /terminate")
			got := map[any]any{}
			for range 2 {
				d := again.want("notifyStreamStatusEvent")
				got[d["mediaSessionId"]] = d["status"]
			}
			if got["id1"] != "PUBLISHING" || got["p1"] != "PLAYING" {
				t.Errorf("told again: %v", got)
			}
			if c := w.srv.Connections()[1]; c.SessionID != id || !c.Connected || c.Address == "" {
				t.Errorf("Connection with its new socket = %+v", c)
			}
			again.raw(eventFrame("id1", "audioMuted", "")) // the session still owns these streams
			again.raw(stopFrame("p1"))
			again.wantStatus("p1", "STOPPED", "Stopped by user")
			again.raw(unpublishFrame("id1"))
			again.wantStatus("id1", "UNPUBLISHED", "Stopped by user")
			again.wantQuiet()
			if st := w.srv.Stats(); st.Kept != 0 || st.Sessions != 2 {
				t.Errorf("Stats = %+v, want none kept and 2 sockets", st)
			}
		})
	}
}

// A browser may be back before the server has noticed that its socket was lost.
func TestSessionMovesToAnotherSocket(t *testing.T) {
	w := newWorld(t, testConfig())
	url := w.serve(t)
	b := dial(t, url)
	token := b.hello(keep)
	b.publishLive(w, "id1", "one")
	for range 3 {
		again, _ := comeBack(t, url, token)
		again.wantStatus("id1", "PUBLISHING", "")
		if code, reason := b.wantClosed(); code != websocket.StatusPolicyViolation || reason != errMoved.Error() {
			t.Errorf("the first socket was closed with %v %q", code, reason)
		}
		again.wantQuiet()
		b = again
	}
	b.raw(unpublishFrame("id1"))
	b.wantStatus("id1", "UNPUBLISHED", "Stopped by user")
}

func TestNobodyReturnsToWhatIsNotKept(t *testing.T) {
	grace := testConfig()
	grace.KeepAliveGrace = 0
	none := testConfig()
	none.MaxKept = 0
	tests := []struct {
		name  string
		cfg   Config
		hello string
		lose  bool
	}{
		{"keepAlive was not asked for", testConfig(), "", false},
		{"keepAlive false", testConfig(), `,"keepAlive":false`, true},
		{"the settings keep none", grace, keep, true},
		{"too many are kept", none, keep, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, tt.cfg)
			url := w.serve(t)
			b := dial(t, url)
			token := b.hello(tt.hello)
			b.publishLive(w, "id1", "one")
			src := w.ingest.publication("id1").src
			if tt.lose {
				_ = b.conn.CloseNow()
				<-src.Done()
				testkit.Eventually(t, 10*time.Second, func() string {
					if n := len(w.srv.Connections()); n != 0 {
						return fmt.Sprintf("%d sessions are left", n)
					}
					return ""
				})
			}
			again := dial(t, url)
			again.raw(`{"message":"connection","data":[{"authToken":"` + token + `","keepAlive":true}]}`)
			if code, reason := again.wantClosed(); code != websocket.StatusPolicyViolation || reason != "unknown authToken" {
				t.Errorf("closed with %v %q", code, reason)
			}
			if !tt.lose {
				b.wantQuiet()
			}
		})
	}
}

// When the time for the return is over, everything is as if the session had not been kept.
func TestGraceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testConfig())
		dial, done := w.inBubble(t)
		defer done()
		b, watcher := dial(), dial()
		token := b.hello(keep)
		watcher.hello("")
		b.publishLive(w, "id1", "one")
		start := time.Now()
		_ = b.conn.CloseNow()
		src := w.ingest.publication("id1").src
		<-src.Done()
		if got, want := time.Since(start), DefaultConfig().KeepAliveGrace; got != want {
			t.Errorf("the stream ended after %v, want %v", got, want)
		}
		synctest.Wait()
		if st := w.srv.Stats(); st.Kept != 0 || st.Sessions != 1 || st.Publishers != 0 || len(w.srv.Connections()) != 1 {
			t.Errorf("Stats = %+v, want nothing left of the session", st)
		}
		late := dial()
		late.raw(`{"message":"connection","data":[{"authToken":"` + token + `"}]}`)
		if _, reason := late.wantClosed(); reason != "unknown authToken" {
			t.Errorf("closed with %q", reason)
		}
	})
}

// The time for the return begins again with each loss, and streams continue meanwhile.
func TestGraceBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testConfig())
		dial, done := w.inBubble(t)
		defer done()
		b := dial()
		token := b.hello(keep)
		b.publishLive(w, "id1", "one")
		for range 5 {
			_ = b.conn.CloseNow()
			time.Sleep(DefaultConfig().KeepAliveGrace - 1100*time.Millisecond) // not when a rate is due
			b = dial()
			b.raw(`{"message":"connection","data":[{"authToken":"` + token + `"}]}`)
			b.want("getUserData")
			b.wantStatus("id1", "PUBLISHING", "")
		}
		if n := w.srv.Stats().Published; n != 1 {
			t.Errorf("Published = %d, want 1", n)
		}
	})
}

// radio is a stream of sound from another door, about whose publisher no session is told.
var radio = stream.Info{Name: "radio", ID: "r", HasAudio: true}

func TestSilentBrowserIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, DefaultConfig())
		dial, done := w.inBubble(t)
		defer done()
		b := dial()
		b.hello(keep)
		src, err := w.hub.Publish(radio)
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close(nil)
		src.SetLive()
		b.playLive(w, "p1", radio.Name)
		for range 10 {
			b.want("ping")
		}
		if _, reason := b.wantClosed(); reason != "no answer to pings" {
			t.Errorf("closed with %q", reason)
		}
		synctest.Wait()
		if n, kept := len(w.srv.Players()), w.srv.Stats().Kept; n != 1 || kept != 1 {
			t.Errorf("%d players, %d kept, want 1 and 1", n, kept)
		}
	})
}

// A session that was ended for a cause cannot continue over another socket.
func TestEndedSessionsAreNotKept(t *testing.T) {
	tests := []struct {
		name string
		end  func(w *world, b *browser)
	}{
		{"terminated", func(w *world, _ *browser) { w.srv.Terminate(w.srv.Connections()[0].SessionID) }},
		{"flood", func(_ *world, b *browser) {
			for range 500 {
				if b.conn.Write(b.t.Context(), websocket.MessageText, []byte(`{"message":"pong"}`)) != nil {
					return
				}
			}
		}},
		{"panic", func(w *world, b *browser) {
			w.ingest.panics = true
			b.publish("id2", "two")
		}},
		{"terminated while lost", func(w *world, b *browser) {
			_ = b.conn.CloseNow()
			w.lost(b.t)
			w.srv.Terminate(w.srv.Connections()[0].SessionID)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := testConfig()
			cfg.Rate, cfg.Burst = 1, 300
			w := newWorld(t, cfg)
			b := dial(t, w.serve(t))
			b.hello(keep)
			b.publishLive(w, "id1", "one")
			src := w.ingest.publication("id1").src
			tt.end(w, b)
			<-src.Done()
			testkit.Eventually(t, 10*time.Second, func() string {
				if st := w.srv.Stats(); st.Kept != 0 || len(w.srv.Connections()) != 0 || st.Publishers != 0 {
					return fmt.Sprintf("Stats = %+v, want nothing left", st)
				}
				return ""
			})
			if w.srv.Terminate("nobody") {
				t.Error("Terminate found a session that is not there")
			}
		})
	}
}

func TestShutdownEndsKeptSessions(t *testing.T) {
	w := newWorld(t, testConfig())
	url := w.serve(t)
	b := dial(t, url)
	b.hello(keep)
	b.publishLive(w, "id1", "one")
	_ = b.conn.CloseNow()
	w.lost(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := w.srv.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	if st := w.srv.Stats(); st.Kept != 0 || st.Publishers != 0 || len(w.srv.Connections()) != 0 {
		t.Errorf("Stats = %+v, want nothing left", st)
	}
}

// Sessions that are kept without a socket take no places of sockets.
func TestKeptSessionsTakeNoSlot(t *testing.T) {
	cfg := testConfig()
	cfg.MaxSessions = 1
	w := newWorld(t, cfg)
	url := w.serve(t)
	b := dial(t, url)
	token := b.hello(keep)
	b.publishLive(w, "id1", "one")
	_ = b.conn.CloseNow()
	w.lost(t)
	again := &browser{t: t}
	testkit.Eventually(t, 10*time.Second, func() string {
		conn, _, err := websocket.Dial(t.Context(), url, nil)
		if err != nil {
			return fmt.Sprintf("while a session is kept: %v", err)
		}
		again.conn = conn
		return ""
	})
	again.raw(`{"message":"connection","data":[{"authToken":"` + token + `"}]}`)
	again.want("getUserData")
	again.wantStatus("id1", "PUBLISHING", "")
	_ = again.conn.CloseNow()
}

// If the socket is lost at any moment, each stream gets one terminal status, which waits for the browser.
func TestLostWhileStarting(t *testing.T) {
	w := newWorld(t, testConfig())
	w.egress.hold = make(chan struct{})
	url := w.serve(t)
	b := dial(t, url)
	token := b.hello(keep)
	b.publishLive(w, "id1", "one")
	b.play("p1", "one")
	b.wantQuiet()
	_ = b.conn.CloseNow()
	w.lost(t)
	w.egress.fail(rtc.ErrNoCommonCodecs)
	w.ingest.publication("id1").die <- rtc.ErrActivity
	close(w.egress.hold)
	testkit.Eventually(t, 10*time.Second, func() string {
		if c := w.srv.Connections()[0]; c.Players+c.Publishers != 0 {
			return fmt.Sprintf("streams are left: %+v", c)
		}
		return ""
	})
	again, _ := comeBack(t, url, token)
	got := map[any]any{}
	for range 2 {
		d := again.want("notifyStreamStatusEvent")
		got[d["mediaSessionId"]] = d["info"]
	}
	if got["id1"] != "Failed by RTP activity" || len(got) != 2 {
		t.Errorf("told: %v", got)
	}
	again.wantQuiet()
}

func TestLogLevelOfOneSession(t *testing.T) {
	var log strings.Builder
	w := newWorld(t, testConfig())
	w.srv.log = slog.New(slog.NewTextHandler(&log, nil))
	url := w.serve(t)
	loud, quiet := dialIn(t, url), dialIn(t, url)
	if w.srv.SetLogLevel("nobody", slog.LevelDebug) || !w.srv.SetLogLevel(w.srv.Connections()[0].SessionID, slog.LevelDebug) {
		t.Error("SetLogLevel found nobody, or not who is there")
	}
	id := w.srv.Connections()[0].SessionID
	for _, b := range []*browser{loud, quiet} {
		b.raw(`{"message":"availableStream","data":[{}]}`)
		b.want("availableStream")
	}
	if err := errors.Join(loud.conn.CloseNow(), quiet.conn.CloseNow()); err != nil {
		t.Fatal(err)
	}
	if err := w.srv.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, "availableStream") {
			lines = append(lines, line)
		}
	}
	if len(lines) != 1 || !strings.Contains(lines[0], "level=DEBUG") || !strings.Contains(lines[0], "session="+id) {
		t.Errorf("log = %q, want one line of one session", lines)
	}
}
