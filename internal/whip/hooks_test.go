package whip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"transponder/internal/access"
	"transponder/internal/access/auth"
	"transponder/internal/hook"
	"transponder/internal/rtc"
	"transponder/internal/testkit"
	"transponder/internal/testkit/appserver"
)

// strangers knows nobody: all clients come from elsewhere, without a credential.
func strangers() Access {
	return auth.New(auth.Config{Mode: auth.Closed}, auth.Parts{Leases: access.NewLeases(), Quotas: access.NewQuotas()}, slog.New(slog.DiscardHandler))
}

// TestHooks: the backend of an application is asked who may publish and play, and told what becomes of the streams.
func TestHooks(t *testing.T) {
	b := appserver.Start(t)
	b.Answer = func(c appserver.Call, _ map[string]any) int {
		if custom, _ := c.Body["custom"].(map[string]any); c.Method == hook.Connect && custom["token"] != "ticket" {
			return 403
		}
		return 200
	}
	var pushed []string
	d := openWith(t, DefaultConfig(), rtc.DefaultConfig(), Parts{
		Access: strangers(), Hooks: b.Hooks(t, nil),
		Push: func(_ context.Context, _ *access.Principal, stream, url string) error {
			pushed = append(pushed, stream+" to "+url)
			return nil
		},
	})
	for _, header := range []string{"X-None: 1", bearerOf("wrong"), bearerOf("tpk_unknown")} {
		if res, body := d.do(t, "POST", "/whip/show", offer("H264"), sdpType, header); res.StatusCode != 403 || !strings.Contains(body, "Restricted access") {
			t.Errorf("%s: %s %s, want 403", header, res.Status, body)
		}
	}
	for _, c := range b.Calls() {
		if strings.Contains(fmt.Sprint(c.Body), "tpk_") {
			t.Errorf("the backend gets a stored key: %v", c.Body)
		}
	}
	if got := appserver.Names(b.Calls()); len(got) != 3 {
		t.Fatalf("the backend got %v, want connect three times: nothing follows a refusal", got)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	var at [2]string
	post := func(i int, path string) testkit.Exchange {
		return func(_ context.Context, offer string) (string, error) {
			res, body := d.do(t, "POST", path, offer, sdpType, bearerOf("ticket"))
			if res.StatusCode != 201 {
				return "", fmt.Errorf("%s: %s %s", path, res.Status, body)
			}
			at[i] = res.Header.Get("Location")
			return body, nil
		}
	}
	publisher := testkit.NewPublisher(testkit.DefaultPublisherConfig())
	wg.Go(func() { _ = publisher.Run(ctx, post(0, "/whip/show")) })
	const first = 3
	calls := b.Wait(t, "connect", "connect", "connect", "connect", "publishStream:PENDING", "ConnectionStatusEvent:ESTABLISHED", "StreamStatusEvent:PUBLISHING")[first:]
	for _, c := range calls {
		if c.Text("appKey") != "defaultApp" || c.Text("sessionId") == "" || c.Text("sessionId") != calls[0].Text("sessionId") {
			t.Errorf("%s: %v", c.Method, c.Body)
		}
		if c.Method == hook.PublishStream || c.Method == hook.StreamStatusEvent {
			if c.Text("name") != "show" || c.Body["published"] != true || c.Text("mediaProvider") != "WebRTC" || c.Body["hasVideo"] != true {
				t.Errorf("%s: %v", c.Method, c.Body)
			}
		}
	}
	if src, ok := d.hub.Source("show"); !ok || calls[1].Text("mediaSessionId") != src.Info().ID || src.Info().AppKey != "defaultApp" {
		t.Errorf("the backend is told of %s, and there is %v", calls[1].Text("mediaSessionId"), ok)
	}
	if sdp := calls[1].Text("sdp"); !strings.Contains(sdp, "m=video") {
		t.Errorf("publishStream has no offer: %q", sdp)
	}

	player := testkit.NewPlayer(testkit.PlayerConfig{Video: true})
	wg.Go(func() { _ = player.Run(ctx, post(1, "/whep/show")) })
	player.Wait(t, "pictures", func() bool { return len(player.Frames("video")) > 5 })
	end := func(i int) {
		if res, _ := d.do(t, "DELETE", at[i], "", bearerOf("ticket")); res.StatusCode != 200 {
			t.Errorf("DELETE %s: %s", at[i], res.Status)
		}
	}
	end(1)
	want := append(appserver.Names(b.Calls()[:first]), "connect", "publishStream:PENDING", "ConnectionStatusEvent:ESTABLISHED", "StreamStatusEvent:PUBLISHING",
		"connect", "playStream:PENDING", "ConnectionStatusEvent:ESTABLISHED", "StreamStatusEvent:PLAYING",
		"stopStream:STOPPED", "StreamStatusEvent:STOPPED", "ConnectionStatusEvent:DISCONNECTED")
	got := b.Wait(t, want...) // the hooks of two sessions have no order
	end(0)
	b.Wait(t, append(want, "unPublishStream:UNPUBLISHED", "StreamStatusEvent:UNPUBLISHED", "ConnectionStatusEvent:DISCONNECTED")...)
	if played := got[8]; played.Body["published"] != false || played.Text("name") != "show" {
		t.Errorf("playStream: %v", played.Body)
	}
	if len(pushed) > 0 {
		t.Errorf("pushes that nobody asked for: %v", pushed)
	}
}

// A backend gives the stream another name, and an address to push it to. Only the backend, and whoever it tells, knows the name.
func TestHookRenames(t *testing.T) {
	for _, tt := range []struct {
		name   string
		grants []access.Grant
		want   int
	}{
		{"within what the application has", []access.Grant{{Actions: []access.Action{access.Publish}, Streams: []string{"*"}}}, 201},
		{"beyond it", []access.Grant{{Actions: []access.Action{access.Publish}, Streams: []string{"show*"}}}, 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := appserver.Start(t)
			b.Answer = func(c appserver.Call, answer map[string]any) int {
				switch c.Method {
				case hook.Connect:
					answer["restClientConfig"] = appserver.Rules(hook.PublishStream, map[string]any{"restPolicy": "OVERWRITE", "restOverwrite": "name,rtmpUrl"})
				case hook.PublishStream:
					answer["name"], answer["rtmpUrl"] = "hidden-7", "destination://main"
				}
				return 200
			}
			pushed := make(chan string, 1)
			d := openWith(t, DefaultConfig(), rtc.DefaultConfig(), Parts{
				Access: strangers(), Hooks: b.Hooks(t, func(_ *hook.Config, app *hook.App) { app.Grants = tt.grants }),
				Push: func(_ context.Context, _ *access.Principal, stream, url string) error {
					pushed <- stream + " to " + url
					return errors.New("it is down")
				},
			})
			res, body := d.do(t, "POST", "/whip/show", offer("H264"), sdpType)
			if res.StatusCode != tt.want {
				t.Fatalf("%s %s, want %d", res.Status, body, tt.want)
			}
			_, there := d.hub.Source("hidden-7")
			_, asked := d.hub.Source("show")
			if there != (tt.want == 201) || asked {
				t.Errorf("there is the new name: %v, the old one: %v", there, asked)
			}
			if tt.want != 201 {
				return
			}
			if at := res.Header.Get("Location"); !strings.HasPrefix(at, "/whip/show/") || strings.Contains(body, "hidden-7") {
				t.Errorf("the client learns the name: %s %s", at, body)
			}
			if got := <-pushed; got != "hidden-7 to destination://main" {
				t.Errorf("pushed is %s", got)
			}
		})
	}
}

// A refusal of publishStream counts if the backend has said so, and an event can end the stream then.
func TestHookRefuses(t *testing.T) {
	for _, tt := range []struct {
		method hook.Method
		want   int
	}{{hook.PublishStream, 403}, {hook.StreamStatusEvent, 201}, {hook.ConnectionStatusEvent, 201}} {
		t.Run(string(tt.method), func(t *testing.T) {
			b := appserver.Start(t)
			b.Answer = func(c appserver.Call, answer map[string]any) int {
				switch {
				case c.Method == hook.Connect:
					answer["restClientConfig"] = appserver.Rules(tt.method, map[string]any{"restOnError": "FAIL"})
				case c.Method == tt.method && c.Text("status") != "DISCONNECTED" && c.Text("status") != "FAILED":
					return 403
				}
				return 200
			}
			d := openWith(t, DefaultConfig(), rtc.DefaultConfig(), Parts{Access: strangers(), Hooks: b.Hooks(t, nil)})
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			status := make(chan int, 1)
			gone := make(chan error, 1)
			go func() {
				gone <- testkit.NewPublisher(testkit.DefaultPublisherConfig()).Run(ctx, func(_ context.Context, offer string) (string, error) {
					res, body := d.do(t, "POST", "/whip/show", offer, sdpType)
					status <- res.StatusCode
					if res.StatusCode != 201 {
						return "", errors.New(body)
					}
					return body, nil
				})
			}()
			if got := <-status; got != tt.want {
				t.Errorf("POST: %d, want %d", got, tt.want)
			}
			testkit.Eventually(t, 5*time.Second, func() string {
				if n := d.hub.Len(); n > 0 {
					return fmt.Sprintf("%d streams", n)
				}
				return ""
			})
			cancel()
			<-gone
		})
	}
}

// A backend that hangs holds up its own client only, and a client that leaves is forgotten.
func TestHookHangs(t *testing.T) {
	b := appserver.Start(t)
	hang, entered := make(chan struct{}), make(chan struct{}, 1)
	defer close(hang)
	b.Answer = func(c appserver.Call, _ map[string]any) int {
		if c.Method == hook.PublishStream && c.Text("name") == "slow" {
			entered <- struct{}{}
			<-hang
		}
		return 200
	}
	d := openWith(t, DefaultConfig(), rtc.DefaultConfig(), Parts{Access: strangers(), Hooks: b.Hooks(t, nil)})
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		gone <- testkit.NewPublisher(testkit.DefaultPublisherConfig()).Run(ctx, func(ctx context.Context, offer string) (string, error) {
			_, err := d.send(ctx, "POST", "/whip/slow", offer, sdpType)
			return "", err
		})
	}()
	<-entered
	if res, body := d.do(t, "POST", "/whip/quick", offer("H264"), sdpType); res.StatusCode != 201 {
		t.Errorf("another client: %s %s", res.Status, body)
	}
	cancel()
	<-gone
	if _, ok := d.hub.Source("slow"); ok {
		t.Error("there is a stream that the backend has not granted")
	}
}

// When the server closes, it does not wait for a backend that hangs, and no session begins any more.
func TestCloseWhileHookHangs(t *testing.T) {
	b := appserver.Start(t)
	hang, entered := make(chan struct{}), make(chan struct{}, 1)
	defer close(hang)
	b.Answer = func(c appserver.Call, _ map[string]any) int {
		if c.Method == hook.PublishStream {
			entered <- struct{}{}
			<-hang
		}
		return 200
	}
	d := openWith(t, DefaultConfig(), rtc.DefaultConfig(), Parts{Access: strangers(), Hooks: b.Hooks(t, nil)})
	refused := make(chan int, 1)
	go func() {
		res, _ := d.do(t, "POST", "/whip/slow", offer("H264"), sdpType)
		refused <- res.StatusCode
	}()
	<-entered
	d.Close()
	if code := <-refused; code != http.StatusServiceUnavailable {
		t.Errorf("the client whose offer was being answered gets %d", code)
	}
	if res, body := d.do(t, "POST", "/whip/late", offer("H264"), sdpType); res.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, errStopping.Error()) {
		t.Errorf("a client after that: %s %s", res.Status, body)
	}
}

// While the backend is asked about one publisher, another one of the same name is refused, and the backend is not asked about it. A player is not
// concerned. The name is free when the first has left.
func TestHookReservesName(t *testing.T) {
	b := appserver.Start(t)
	hang, entered := make(chan struct{}), make(chan struct{}, 1)
	var asked atomic.Int64
	b.Answer = func(c appserver.Call, answer map[string]any) int {
		switch {
		case c.Method == hook.Connect:
			answer["restClientConfig"] = appserver.Rules(hook.PublishStream, map[string]any{"restPolicy": "OVERWRITE", "restOverwrite": "name"})
		case c.Method == hook.PublishStream && c.Text("name") == "alias":
			answer["name"] = "show"
		case c.Method == hook.PublishStream && asked.Add(1) == 1:
			entered <- struct{}{}
			<-hang
		}
		return 200
	}
	d := openWith(t, DefaultConfig(), rtc.DefaultConfig(), Parts{Access: strangers(), Hooks: b.Hooks(t, nil)})
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		_, err := d.send(ctx, "POST", "/whip/show", offer("H264"), sdpType)
		gone <- err
	}()
	<-entered
	for _, name := range []string{"show", "alias"} { // by the name that the backend gives, too
		if res, body := d.do(t, "POST", "/whip/"+name, offer("H264"), sdpType); res.StatusCode != 409 {
			t.Errorf("a second publisher as %s: %s %s", name, res.Status, body)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the backend was asked %d times about the name", n)
	}
	if res, body := d.do(t, "POST", "/whep/show", strings.Replace(offer("H264"), "sendonly", recvonly, 1), sdpType); res.StatusCode != 404 {
		t.Errorf("a player: %s %s", res.Status, body)
	}
	cancel()
	<-gone
	close(hang)
	testkit.Eventually(t, 10*time.Second, func() string {
		if res, body := d.do(t, "POST", "/whip/show", offer("H264"), sdpType); res.StatusCode != 201 {
			return res.Status + body
		}
		return ""
	})
}
