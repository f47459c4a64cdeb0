package rtmpserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"transponder/internal/access"
	"transponder/internal/access/auth"
	"transponder/internal/flv"
	"transponder/internal/hook"
	"transponder/internal/rtmp"
	"transponder/internal/stream"
	"transponder/internal/testkit"
	"transponder/internal/testkit/appserver"
)

// TestParameters: what backends are told of queries.
func TestParameters(t *testing.T) {
	for _, c := range []struct {
		text, want string
		token      bool
	}{
		{"live", `{}`, true},
		{"live?a=b&c=%41+d&e", `{"a":"b","c":"A+d","e":""}`, false},
		{"live?token=T&a=b", `{"a":"b"}`, false},
		{"live?token=T&a=b", `{"a":"b","token":"T"}`, true},
		{"live?token=tpk_x&a=b", `{"a":"b"}`, true},
		{"live?t%6Fken=T&a=b", `{"a":"b"}`, false},
		{"live?a=1&a=2&=3&&", `{"a":"2"}`, false},
		{"live?a=\"\xff", `{"a":"\"\ufffd"}`, false},
	} {
		if got := string(parameters(c.text, c.token)); got != c.want {
			t.Errorf("parameters of %q = %s, want %s", c.text, got, c.want)
		}
	}
	var most map[string]string
	many := "?"
	for i := range 10_000 {
		many += fmt.Sprintf("p%d=x&", i)
	}
	if err := json.Unmarshal(parameters(many, true), &most); err != nil || len(most) != maxParameters {
		t.Errorf("%d parameters, %v; want %d", len(most), err, maxParameters)
	}
}

// runHooked runs a server for strangers whose backend decides. change makes the app.
func runHooked(t *testing.T, b *appserver.Backend, parts Parts, change func(*hook.Config, *hook.App)) (*Server, *stream.Hub) {
	t.Helper()
	hub := stream.NewHub(stream.DefaultConfig(), nil)
	parts.Hub, parts.Audio, parts.Origins = hub, ownAudio{}, noOrigins{}
	if parts.Access == nil {
		parts.Access = auth.New(auth.Config{Mode: auth.Closed}, auth.Parts{}, slog.New(slog.DiscardHandler))
	}
	parts.Hooks = b.Hooks(t, func(cfg *hook.Config, app *hook.App) {
		app.Name, app.Key = hook.RTMPApp, hook.RTMPApp
		if change != nil {
			change(cfg, app)
		}
	})
	return runServerWith(t, parts, nil, slog.New(slog.DiscardHandler)), hub
}

// A program that closes its connection has left, also if it has not read all that was sent to it, which resets the connection.
func TestHasLeft(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, reads := range []bool{true, false} {
		client, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		server, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		if err := server.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := server.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if n, err := client.Read(make([]byte, 1)); n != 1 || err != nil {
			t.Fatal(err)
		}
		if !reads {
			if _, err := server.Write([]byte("more")); err != nil {
				t.Fatal(err)
			}
		}
		if err := client.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := server.Read(make([]byte, 1)); !hasLeft(err) {
			t.Errorf("read everything %v: %v does not count as leaving", reads, err)
		}
	}
}

// TestHooks has FFmpeg publish and play. The backend sees the parameters of the connection in connect, and those of the stream in publishStream.
func TestHooks(t *testing.T) {
	t.Parallel()
	b := appserver.Start(t)
	b.Answer = func(c appserver.Call, _ map[string]any) int {
		if custom, _ := c.Body["custom"].(map[string]any); c.Method == hook.Connect && custom["pass"] != "word" {
			return 403
		}
		return 200
	}
	s, hub := runHooked(t, b, Parts{}, nil)
	address := func(app string) string { return "rtmp://" + s.Addr().String() + "/" + app + "/show" }
	send := func(url string) *exec.Cmd {
		return exec.CommandContext(t.Context(), "ffmpeg", append(strings.Fields("-v error -re "+testSources+"-t 3 -c:v libx264 -preset ultrafast -g 25 -c:a aac -f flv"), url)...)
	}
	if out, err := send(address("live?pass=wrong") + "?quality=high").CombinedOutput(); err == nil || !strings.Contains(string(out), "Restricted access") {
		t.Errorf("a stranger: %v, %s", err, out)
	}
	if n := len(hub.Sources()); n > 0 {
		t.Fatalf("%d streams of strangers", n)
	}
	b.Wait(t, "connect")

	publishing := send(address("live?pass=word&appName=x") + "?quality=high&token=ours")
	if err := publishing.Start(); err != nil {
		t.Fatal(err)
	}
	play := exec.CommandContext(t.Context(), "ffprobe", "-v", "error", "-read_intervals", "%+1", "-show_entries", "packet=codec_type", address("live?pass=word"))
	if out, err := play.CombinedOutput(); err != nil || !strings.Contains(string(out), "codec_type=video") {
		t.Errorf("playing: %v, %s", err, out)
	}
	if err := publishing.Wait(); err != nil {
		t.Errorf("publishing: %v", err)
	}
	var published, played []appserver.Call
	// Programs close the connection so soon after they unpublish that the server may see either first.
	names := func(calls []appserver.Call) string {
		return fmt.Sprint(appserver.Names(slices.DeleteFunc(slices.Clone(calls), func(c appserver.Call) bool {
			return c.Method == hook.UnPublishStream || c.Method == hook.StopStream
		})))
	}
	testkit.Eventually(t, 10*time.Second, func() string {
		published, played = nil, nil
		first, ended := "", 0
		for _, c := range b.Calls()[1:] {
			if c.Method == hook.PublishStream {
				first = c.Text("sessionId")
			}
			if c.Text("status") == "DISCONNECTED" {
				ended++
			}
		}
		for _, c := range b.Calls()[1:] {
			if c.Text("sessionId") == first {
				published = append(published, c)
			} else {
				played = append(played, c)
			}
		}
		if ended != 2 {
			return fmt.Sprintf("%s %s", names(published), names(played))
		}
		return ""
	})
	if got, want := names(published), "[connect ConnectionStatusEvent:ESTABLISHED publishStream:NEW StreamStatusEvent:PUBLISHING "+
		"StreamStatusEvent:UNPUBLISHED ConnectionStatusEvent:DISCONNECTED]"; got != want {
		t.Errorf("of the publisher: %s\nwant %s", got, want)
	}
	if got, want := names(played), "[connect ConnectionStatusEvent:ESTABLISHED playStream:NEW StreamStatusEvent:PLAYING "+
		"StreamStatusEvent:STOPPED ConnectionStatusEvent:DISCONNECTED]"; got != want {
		t.Errorf("of the player: %s\nwant %s", got, want)
	}
	connect, ask := published[0], published[2]
	if id := connect.Text("sessionId"); connect.Text("appKey") != "flashStreamingApp" || !strings.HasPrefix(id, "/127.0.0.1:") || !strings.HasSuffix(id, "/"+s.Addr().String()) {
		t.Errorf("connect: %v", connect.Body)
	}
	if got := fmt.Sprint(connect.Body["custom"]); got != "map[appName:x pass:word]" {
		t.Errorf("custom of connect is %s", got)
	}
	if got := fmt.Sprint(ask.Body["custom"]); got != "map[quality:high token:ours]" {
		t.Errorf("custom of publishStream is %s", got)
	}
	if login := connect.Text("login"); len(login) != 20 || strings.Trim(login, "abcdefghijklmnopqrstuvwxyz") != "" || login == played[0].Text("login") {
		t.Errorf("login of connect is %q", login)
	}
	if ask.Text("name") != "show" || ask.Text("mediaProvider") != "Flash" || ask.Body["published"] != true || ask.Text("mediaSessionId") == "" {
		t.Errorf("publishStream: %v", ask.Body)
	}
}

// A publisher learns Publish.Start only after the backend has said yes, and never before a refusal.
func TestHookBeforeStart(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		method hook.Method
		name   string
		want   string // "": granted
	}{
		{"", "show", ""},
		{hook.Connect, "show", "NetConnection.Connect.Rejected"},
		{hook.PublishStream, "show", "NetStream.Publish.BadName"},
		{hook.PublishStream, "ignored", ""}, // restOnError is LOG
	} {
		b := appserver.Start(t)
		b.Answer = func(c appserver.Call, answer map[string]any) int {
			if c.Method == hook.Connect && tt.name == "show" {
				answer["restClientConfig"] = appserver.Rules(hook.PublishStream, map[string]any{"restOnError": "FAIL"})
			}
			if c.Method == tt.method {
				return 403
			}
			return 200
		}
		s, hub := runHooked(t, b, Parts{}, nil)
		_, _, err := publisher(t, s, tt.name)
		var refused *rtmp.StatusError
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s, %s: %v", tt.method, tt.name, err)
		case tt.want != "" && (!errors.As(err, &refused) || refused.Code != tt.want || refused.Description != "Restricted access"):
			t.Errorf("%s: %v, want %s", tt.method, err, tt.want)
		}
		if n := len(hub.Sources()); (n == 1) != (tt.want == "") {
			t.Errorf("%s: %d streams", tt.method, n)
		}
	}
}

// An app that demands a token of ours, and asks its backend too: without a valid token the backend is not even asked.
func TestTokenAndHook(t *testing.T) {
	t.Parallel()
	b := appserver.Start(t)
	tickets := tokens{
		"a.b.c": {Kind: access.Token, Subject: "a", App: "shop", Grants: may("acme/*", access.Publish)},
		"d.e.f": {Kind: access.Token, Subject: "d", App: "other", Grants: may("*", access.Publish)},
	}
	s, hub := runHooked(t, b, Parts{Access: auth.New(auth.Config{Mode: auth.Closed}, auth.Parts{Tokens: tickets}, slog.New(slog.DiscardHandler))},
		func(_ *hook.Config, app *hook.App) { app.Name, app.Key, app.Auth = "shop", "shop", hook.PolicyBoth })
	publish := func(key string) error {
		nc := dial(t, s)
		c := rtmp.NewClient(nc, rtmp.ClientConfig{App: "live?appKey=shop", TCURL: "rtmp://h/live?appKey=shop", FlashVersion: "test", StreamName: key})
		for _, step := range []func() error{c.Handshake, c.Connect, c.Publish} {
			if err := step(); err != nil {
				return err
			}
		}
		return nil
	}
	for key, want := range map[string]string{"acme/x": "a valid token", "acme/x?token=x": "a valid token", "acme/x?token=d.e.f": `not for "shop"`} {
		if err := publish(key); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", key, err, want)
		}
	}
	if n := len(b.Calls()); n > 0 {
		t.Errorf("strangers make the server ask the backend: %v", appserver.Names(b.Calls()))
	}
	if err := publish("beta/x?token=a.b.c"); err == nil || !strings.Contains(err.Error(), "not among") {
		t.Errorf("a stream of others: %v", err)
	}
	if err := publish("acme/x?token=a.b.c&q=1"); err != nil {
		t.Errorf("with a token: %v", err)
	}
	for _, c := range b.Calls() {
		if text := fmt.Sprint(c.Body); strings.Contains(text, "a.b.c") {
			t.Errorf("the backend gets the token: %s", text)
		}
	}
	if src, ok := hub.Source("acme/x"); !ok || src.Info().AppKey != "shop" {
		t.Error("there is no stream of the app")
	}
}

// The backend gives a stream another name, asks for a push of it, and ends it by the answer to an event.
func TestHookRenamesAndEnds(t *testing.T) {
	t.Parallel()
	b := appserver.Start(t)
	end := make(chan struct{})
	b.Answer = func(c appserver.Call, answer map[string]any) int {
		switch {
		case c.Method == hook.Connect:
			answer["restClientConfig"] = map[string]any{
				"publishStream":     map[string]any{"restPolicy": "OVERWRITE", "restOverwrite": "name,rtmpUrl"},
				"StreamStatusEvent": map[string]any{"restOnError": "FAIL"},
			}
		case c.Method == hook.PublishStream:
			answer["name"], answer["rtmpUrl"] = "hidden-7", "destination://main"
		case c.Method == hook.StreamStatusEvent && c.Text("status") == "PUBLISHING":
			<-end
			return 403
		}
		return 200
	}
	pushed := make(chan string, 1)
	s, hub := runHooked(t, b, Parts{Push: func(_ context.Context, _ *access.Principal, stream, url string) error {
		pushed <- stream + " to " + url
		return errors.New("it is down")
	}}, nil)
	c, _, err := publisher(t, s, "show")
	if err != nil {
		t.Fatal(err)
	}
	if got := <-pushed; got != "hidden-7 to destination://main" {
		t.Errorf("pushed is %s", got)
	}
	src, ok := hub.Source("hidden-7")
	if _, old := hub.Source("show"); !ok || old {
		t.Fatalf("the new name is there: %v, the old one: %v", ok, old)
	}
	if err := c.WriteTags([]flv.Tag{{Type: flv.TypeAudio, Payload: []byte{0xaf, 1, 0}}}); err != nil {
		t.Errorf("the stream that goes on: %v", err)
	}
	close(end)
	var refused *hook.Refused
	select {
	case <-src.Done():
		if !errors.As(src.Err(), &refused) {
			t.Errorf("the stream ended with %v", src.Err())
		}
	case <-time.After(10 * time.Second):
		t.Error("the stream goes on though its backend has refused it")
	}
}

// While the backend is asked about one publisher, another one of the same name is refused, and the backend is not asked about it.
func TestHookReservesName(t *testing.T) {
	t.Parallel()
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
	s, hub := runHooked(t, b, Parts{}, nil)
	first := make(chan error, 1)
	go func() {
		_, _, err := publisher(t, s, "show")
		first <- err
	}()
	<-entered
	for _, name := range []string{"show", "alias"} {
		_, _, err := publisher(t, s, name)
		var refused *rtmp.StatusError
		if !errors.As(err, &refused) || refused.Code != "NetStream.Publish.BadName" || !strings.Contains(refused.Description, "in use") {
			t.Errorf("a second publisher as %s: %v", name, err)
		}
	}
	if n := asked.Load(); n != 1 || len(hub.Sources()) > 0 {
		t.Errorf("the backend was asked %d times, and there are %d streams", n, len(hub.Sources()))
	}
	close(hang)
	if err := <-first; err != nil || len(hub.Sources()) != 1 {
		t.Errorf("the first publisher: %v, %d streams", err, len(hub.Sources()))
	}
}
