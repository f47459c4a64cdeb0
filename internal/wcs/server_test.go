package wcs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"transponder/internal/rtc"
	"transponder/internal/stream"
	"transponder/internal/testkit"
	"transponder/internal/transponder"
)

func asCloseError(err error, ce *websocket.CloseError) bool { return errors.As(err, ce) }

func TestUpgrade(t *testing.T) {
	tests := []struct {
		name    string
		origins []string
		path    string
		origin  string
		want    int
	}{
		{"root", nil, "/", "", 101},
		{"none", nil, "", "", 101},
		{"a stream's name as path", nil, "/a1b2c3d4", "", 101},
		{"page of the same host", nil, "/", "http://127.0.0.1:3000", 101},
		{"page of this machine", nil, "/", "http://localhost:3000", 101},
		{"foreign page, which may have a token", nil, "/", "http://elsewhere:8081", 101},
		{"any page", []string{"*"}, "/", "http://elsewhere:8081", 101},
		{"named page", []string{"pages.example.com"}, "/", "https://pages.example.com", 101},
		{"page that is not named", []string{"pages.example.com"}, "/", "https://evil.example.com", 403},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := testConfig()
			cfg.Origins = tt.origins
			url := newWorld(t, cfg).serve(t)
			header := http.Header{}
			if tt.origin != "" {
				header.Set("Origin", tt.origin)
			}
			conn, resp, err := websocket.Dial(t.Context(), url+tt.path, &websocket.DialOptions{HTTPHeader: header})
			if err == nil {
				_ = conn.CloseNow()
			}
			if resp == nil || resp.StatusCode != tt.want {
				t.Fatalf("upgrade = %v, %v; want %d", resp, err, tt.want)
			}
		})
	}
}

func TestPlainRequest(t *testing.T) {
	url := newWorld(t, testConfig()).serve(t)
	resp, err := http.Get("http" + strings.TrimPrefix(url, "ws"))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusUpgradeRequired {
		t.Errorf("status = %d, want 426", resp.StatusCode)
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestMaxSessions(t *testing.T) {
	cfg := testConfig()
	cfg.MaxSessions = 1
	w := newWorld(t, cfg)
	url := w.serve(t)
	first := dialIn(t, url)
	_, resp, err := websocket.Dial(t.Context(), url, nil)
	if err == nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Fatalf("second socket = %v, %v; want 503", resp, err)
	}
	_ = first.conn.Close(websocket.StatusNormalClosure, "")
	testkit.Eventually(t, 10*time.Second, func() string {
		conn, _, err := websocket.Dial(t.Context(), url, nil)
		if err != nil {
			return fmt.Sprintf("after the first left: %v", err)
		}
		_ = conn.CloseNow()
		return ""
	})
}

func TestShutdown(t *testing.T) {
	w := newWorld(t, testConfig())
	url := w.serve(t)
	b := dialIn(t, url)
	b.publishLive(w, "id1", "one")
	idle := dial(t, url)

	type closed struct {
		code   websocket.StatusCode
		reason string
	}
	got := make(chan closed, 2)
	for _, c := range []*browser{b, idle} {
		go func() { code, reason := c.wantClosed(); got <- closed{code, reason} }()
	}
	if err := w.srv.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if c := <-got; c.code != websocket.StatusGoingAway || c.reason == "" {
			t.Errorf("closed with %v %q, want 1001 and a reason", c.code, c.reason)
		}
	}
	if _, found := w.hub.Source("one"); found {
		t.Error("the stream outlived the server")
	}
	if st := w.srv.Stats(); st.Sessions != 0 || st.Publishers != 0 {
		t.Errorf("Stats = %+v, want no sessions and publishers", st)
	}
	if _, resp, err := websocket.Dial(t.Context(), url, nil); err == nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("upgrade afterwards = %v, %v; want 503", resp, err)
	}
}

func TestShutdownGivesUpWaiting(t *testing.T) {
	cfg := testConfig()
	cfg.CloseTimeout = 50 * time.Millisecond
	w := newWorld(t, cfg)
	url := w.serve(t)
	dialIn(t, url) // never reads again, so it does not answer the close
	why := errors.New("no time")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if err := w.srv.Shutdown(ctx); !errors.Is(err, why) {
		t.Errorf("Shutdown = %v, want %v", err, why)
	}
}

func TestFloodHurtsNobodyElse(t *testing.T) {
	cfg := testConfig()
	cfg.Rate, cfg.Burst = 1, 200
	w := newWorld(t, cfg)
	url := w.serve(t)
	calm := dialIn(t, url)
	calm.publishLive(w, "id1", "calm")
	wild := dialIn(t, url)
	wild.publishLive(w, "id2", "wild")

	go func() {
		for range 1000 {
			if wild.conn.Write(t.Context(), websocket.MessageText, []byte(`{"message":"pong","data":[null]}`)) != nil {
				return
			}
		}
	}()
	if code, reason := wild.wantClosed(); code != websocket.StatusPolicyViolation || reason != "too many messages" {
		t.Errorf("closed with %v %q, want 1008 and the reason", code, reason)
	}
	testkit.Eventually(t, 10*time.Second, func() string {
		if _, found := w.hub.Source("wild"); found {
			return "the stream outlived its session"
		}
		return ""
	})
	calm.wantQuiet()
	if n := w.srv.Stats().Floods; n != 1 {
		t.Errorf("Floods = %d, want 1", n)
	}
}

func TestBigMessages(t *testing.T) {
	w := newWorld(t, testConfig())
	url := w.serve(t)
	b := dialIn(t, url)
	b.raw(`{"message":"pushLogs","data":[{"logs":"` + strings.Repeat("x", minMessage) + `"}]}`)
	b.wantQuiet()
	go func() {
		_ = b.conn.Write(t.Context(), websocket.MessageText, []byte(strings.Repeat(" ", 600<<10)))
	}()
	b.wantClosed()
}

func TestPanicEndsOneSession(t *testing.T) {
	w := newWorld(t, testConfig())
	url := w.serve(t)
	other := dialIn(t, url)
	b := dialIn(t, url)
	w.ingest.panics = true
	b.publish("id1", "one")
	if code, _ := b.wantClosed(); code != websocket.StatusInternalError {
		t.Errorf("closed with %v, want 1011", code)
	}
	other.wantQuiet()
	if n := w.srv.Stats().Panics; n != 1 {
		t.Errorf("Panics = %d, want 1", n)
	}
}

func TestConnections(t *testing.T) {
	w := newWorld(t, testConfig())
	url := w.serve(t)
	dial(t, url) // has not said who it is
	b := dial(t, url)
	b.raw(`{"message":"connection","data":[{"appKey":"app","mediaProviders":["WebRTC"],"clientVersion":2.0,` +
		`"clientOSVersion":"os","clientBrowserVersion":"br","custom":{"a":[1]}}]}`)
	b.want("getUserData")
	b.publishLive(w, "id1", "one")
	all := w.srv.Connections()
	if len(all) != 1 {
		t.Fatalf("Connections = %+v, want one", all)
	}
	c := all[0]
	if c.SessionID == "" || c.AppKey != "app" || c.ClientVersion != "2.0" || c.ClientOSVersion != "os" ||
		c.ClientBrowserVersion != "br" || len(c.MediaProviders) != 1 || string(c.Custom) != `{"a":[1]}` ||
		c.Address == "" || c.Created.IsZero() || c.Publishers != 1 {
		t.Errorf("Connection = %+v", c)
	}
	src, _ := w.hub.Source("one")
	if got := src.Info(); got.SessionID != c.SessionID || got.AppKey != "app" || got.Provider != "WebRTC" || got.Transport != "UDP" {
		t.Errorf("stream.Info = %+v", got)
	}
}

func TestKeepAlive(t *testing.T) {
	t.Run("answered", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, DefaultConfig())
			dial, done := w.inBubble(t)
			defer done()
			b := dial()
			start := time.Now()
			b.raw(`{"message":"connection","data":[{}]}`)
			b.want("getUserData")
			for range 100 {
				b.want("ping")
				b.raw(`{"message":"pong","data":[null]}`)
			}
			if got, want := time.Since(start), 500*time.Second; got != want {
				t.Errorf("100 pings took %v, want %v", got, want)
			}
		})
	})
	t.Run("silent", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, DefaultConfig())
			dial, done := w.inBubble(t)
			defer done()
			b := dial()
			start := time.Now()
			b.raw(`{"message":"connection","data":[{}]}`)
			b.want("getUserData")
			for range 10 {
				b.want("ping")
			}
			if _, reason := b.wantClosed(); reason != "no answer to pings" {
				t.Errorf("reason = %q", reason)
			}
			if got, want := time.Since(start), 55*time.Second; got != want {
				t.Errorf("closed after %v, want %v", got, want)
			}
		})
	})
	t.Run("nobody", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, DefaultConfig())
			dial, done := w.inBubble(t)
			defer done()
			b := dial()
			start := time.Now()
			b.raw(`{"message":"pong","data":[null]}`)
			if _, reason := b.wantClosed(); reason != "no connection message in time" {
				t.Errorf("reason = %q", reason)
			}
			if got, want := time.Since(start), 10*time.Second; got != want {
				t.Errorf("closed after %v, want %v", got, want)
			}
		})
	})
}

// A pipe has no buffer, so a browser that does not read blocks the first write of the server.
func TestSlowBrowser(t *testing.T) {
	tests := []struct {
		name  string
		sends int // each wants an answer
		after time.Duration
	}{
		{"takes nothing for too long", 1, DefaultConfig().WriteTimeout + DefaultConfig().CloseTimeout},
		{"queue full", DefaultConfig().MaxQueue + 50, DefaultConfig().CloseTimeout}, // which is how long the write in hand may still take
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := DefaultConfig()
				cfg.PingInterval = time.Hour
				w := newWorld(t, cfg)
				dial, done := w.inBubble(t)
				defer done()
				b := dial()
				b.raw(`{"message":"connection","data":[{}]}`)
				b.want("getUserData")
				b.publishLive(w, "id1", "one")
				start := time.Now()
				for range tt.sends {
					b.raw(`{"message":"ping","data":[null]}`)
				}
				src := w.ingest.publication("id1").src
				<-src.Done()
				if err := w.srv.Shutdown(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got := time.Since(start); got != tt.after {
					t.Errorf("session gone after %v, want %v", got, tt.after)
				}
				if n := w.srv.Stats().Slow; n != 1 {
					t.Errorf("Slow = %d, want 1", n)
				}
			})
		})
	}
}

func TestConfigValidate(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Errorf("the default: %v", err)
	}
	err := Config{Origins: []string{"["}}.Validate()
	for _, want := range []string{
		"ping interval", "connect timeout", "answer timeout", "write timeout", "close timeout", "missed pings",
		"sessions", "publishers", "players", "queued bytes", "ready timeout", "snapshot timeout", "message size", "queued messages", "message rate", "message burst", "origin",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate = %v, want a word on %s", err, want)
		}
	}
}

// The real parts fit into Parts with an adapter of one line at most.
var (
	_ PublishFunc = func(ctx context.Context, o rtc.Offer, i stream.Info) (Publication, error) {
		return new(rtc.Ingest).Publish(ctx, o, i)
	}
	_ PlayFunc = func(ctx context.Context, o rtc.Offer, s *stream.Source) (Playback, error) {
		return new(rtc.Egress).Play(ctx, o, s)
	}
	_ Streams = (*stream.Hub)(nil)
	_ Pusher  = (*transponder.Registry)(nil)
)
