package hook

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/access"
)

func TestConnectBody(t *testing.T) {
	b := newServer(t)
	h := run(t, b, nil)
	s := h.open(t)
	var members Object
	err := json.Unmarshal([]byte(`{"appKey":"defaultApp","mediaProviders":["WebRTC"],"clientVersion":"2.0","clientOSVersion":"os",
		"clientBrowserVersion":"browser","custom":{"token":"CUSTOM"},"authToken":"SECRET","sipPassword":"SECRET"}`), &members)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Connect(t.Context(), access.Nobody(), Connection{members, "https://studio.example"}); err != nil {
		t.Fatal(err)
	}
	got := b.wait(t, 1)[0]
	if want := "/apps/EchoApp/connect"; got.path != want {
		t.Errorf("path = %s, want %s", got.path, want)
	}
	for name, want := range map[string]string{
		"Accept": "application/json", "Content-Type": "application/json;charset=UTF-8", "User-Agent": "Transponder", "Accept-Encoding": "",
	} {
		if value := got.header.Get(name); value != want {
			t.Errorf("%s: %s, want %s", name, value, want)
		}
	}
	var want any
	if err := json.Unmarshal([]byte(`{"nodeId":"node@192.0.2.10","appKey":"defaultApp","sessionId":"5f0c","useWsTunnel":false,
		"useWsTunnelPacketization2":false,"useBase64BinaryEncoding":false,"mediaProviders":["WebRTC"],"clientVersion":"2.0","clientOSVersion":"os",
		"clientBrowserVersion":"browser","keepAlive":false,"origin":"https://studio.example","clientAddress":"192.0.2.7:5000",
		"custom":{"token":"CUSTOM"}}`), &want); err != nil {
		t.Fatal(err)
	}
	var body any
	_ = json.Unmarshal(got.text, &body)
	if !equal(body, want) {
		t.Errorf("body = %s\nwant %v", got.text, want)
	}
}

// TestReactions is the vendor's table of reactions to errors: the method's type by what the backend has asked for.
func TestReactions(t *testing.T) {
	status := func(code int) func(http.ResponseWriter, received) bool {
		return func(w http.ResponseWriter, r received) bool {
			if r.method == Connect {
				return false
			}
			w.WriteHeader(code)
			return true
		}
	}
	noAnswer := func(w http.ResponseWriter, r received) bool {
		if r.method == Connect {
			return false
		}
		panic(http.ErrAbortHandler)
	}
	tests := []struct {
		name           string
		config         string // restOnError of the method; "": none
		setting        OnError
		answer         func(http.ResponseWriter, received) bool
		refused, ended bool // the direct request; by the event
	}{
		{"log 403", "LOG", Log, status(403), false, false},
		{"fail 403", "FAIL", Log, status(403), true, true},
		{"fail 404", "fail", Log, status(404), true, true},
		{"nothing said", "", Log, status(403), false, false},
		{"nothing said, setting", "", Fail, status(403), true, true},
		{"log before the setting", "LOG", Fail, status(403), false, false},
		{"fail 500", "FAIL", Log, status(500), true, false},
		{"log 500", "LOG", Log, status(500), false, false},
		{"fail without an answer", "FAIL", Log, noAnswer, true, false},
		{"fail redirected", "FAIL", Log, status(302), true, true},
		{"fail, allowed", "FAIL", Log, nil, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newServer(t)
			b.answer = tt.answer
			if tt.config != "" {
				b.config = map[string]any{"publishStream": map[string]string{"restOnError": tt.config}, "StreamStatusEvent": map[string]string{"restOnError": tt.config}}
			}
			h := run(t, b, func(c *Config, _ *App) { c.OnError = tt.setting })
			s := h.connected(t)
			_, err := s.Ask(t.Context(), PublishStream, Stream{Name: "cam"})
			var refused *Refused
			if errors.As(err, &refused) != tt.refused || err != nil && refused.Info != "Restricted access" {
				t.Errorf("publishStream: %v, want refused %v", err, tt.refused)
			}
			ended := make(chan error, 1)
			s.Tell(StreamStatusEvent, Stream{Name: "cam", Status: "PUBLISHING"}, func(err error) { ended <- err })
			b.wait(t, 3)
			h.stop()
			if got := len(ended) == 1; got != tt.ended {
				t.Errorf("ended by the event: %v, want %v", got, tt.ended)
			}
		})
	}
}

// TestConnectFailsClosed holds that whatever restOnError says, a client is not let in that the backend has refused.
func TestConnectFailsClosed(t *testing.T) {
	tests := []struct {
		name   string
		letIn  bool
		answer func(http.ResponseWriter, received) bool
		want   bool // let in
	}{
		{"403", false, func(w http.ResponseWriter, _ received) bool { w.WriteHeader(403); return true }, false},
		{"403, rest_backend_down=allow", true, func(w http.ResponseWriter, _ received) bool { w.WriteHeader(403); return true }, false},
		{"302, allow", true, func(w http.ResponseWriter, _ received) bool { w.WriteHeader(302); return true }, false},
		{"500", false, func(w http.ResponseWriter, _ received) bool { w.WriteHeader(500); return true }, false},
		{"500, allow", true, func(w http.ResponseWriter, _ received) bool { w.WriteHeader(500); return true }, true},
		{"no answer", false, func(http.ResponseWriter, received) bool { panic(http.ErrAbortHandler) }, false},
		{"no answer, allow", true, func(http.ResponseWriter, received) bool { panic(http.ErrAbortHandler) }, true},
		{"no JSON", false, func(w http.ResponseWriter, _ received) bool { _, _ = w.Write([]byte("<html>")); return true }, false},
		{"a list", false, func(w http.ResponseWriter, _ received) bool { _, _ = w.Write([]byte("[1]")); return true }, false},
		{"empty", false, func(http.ResponseWriter, received) bool { return true }, true},
		{"empty list of PHP", false, func(w http.ResponseWriter, _ received) bool { _, _ = w.Write([]byte("[]")); return true }, true},
		{"short object", false, func(w http.ResponseWriter, _ received) bool { _, _ = w.Write([]byte(`{"login":"x"}`)); return true }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newServer(t)
			b.answer = tt.answer
			h := run(t, b, func(c *Config, _ *App) { c.LetIn = tt.letIn })
			s := h.open(t)
			p, _, err := s.Connect(t.Context(), access.Nobody(), Connection{})
			var refused *Refused
			if (err == nil) != tt.want || err != nil && !errors.As(err, &refused) {
				t.Fatalf("Connect: %v, want let in %v", err, tt.want)
			}
			if err == nil && (p.Kind != access.Hook || access.Decide(p, access.Publish, access.Object{Stream: "any"}) != nil) {
				t.Errorf("the principal is %v", p)
			}
			s.Close("")
			h.stop()
			// Whom the backend has let in, and who was never established, has failed. Nobody hears more of whom it has refused.
			failed := 0
			for _, r := range b.received() {
				if r.method == ConnectionStatusEvent && strings.Contains(string(r.text), `"status":"FAILED"`) {
					failed++
				}
			}
			if events := len(slices.DeleteFunc(b.methods(), func(m Method) bool { return m == Connect })); events != failed || failed > 0 != tt.want {
				t.Errorf("the backend got %v, %d of them FAILED", b.methods(), failed)
			}
		})
	}
}

func TestOverwrite(t *testing.T) {
	b := newServer(t)
	b.config = map[string]any{
		"connect":       map[string]string{"restPolicy": "OVERWRITE", "restOverwrite": "custom, keepAlive, sessionId"},
		"publishStream": map[string]string{"restPolicy": "OVERWRITE", "restOverwrite": "name,rtmpUrl,record,maxBitrate,sdp,mediaSessionId"},
		"playStream":    map[string]string{"restPolicy": "NOTIFY", "restOverwrite": "name"},
	}
	b.answer = func(w http.ResponseWriter, r received) bool {
		switch r.method {
		case Connect:
			r.body.set("custom", map[string]string{"seat": "12"})
			r.body.set("keepAlive", true)
			r.body.set("sessionId", "forged")
			r.body.set("restClientConfig", b.config)
		case PublishStream:
			r.body.set("maxBitrate", "2500")
			r.body.set("sdp", "forged")
			r.body.set("mediaSessionId", "forged")
			r.body.set("name", "real")
		case PlayStream:
			r.body.set("name", "real")
		}
		_ = json.NewEncoder(w).Encode(r.body)
		return true
	}
	h := run(t, b, nil)
	s := h.open(t)
	_, members, err := s.Connect(t.Context(), nil, Connection{Members: Object{"custom": json.RawMessage(`"x"`), "keepAlive": json.RawMessage("false")}})
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := json.Marshal(members); string(got) != `{"custom":{"seat":"12"},"keepAlive":false}` {
		t.Errorf("connect: %s", got)
	}
	sent := Stream{MediaSessionID: "m1", Name: "cam", SDP: "v=0", RTMPURL: "rtmp://a.example/live2/KEY"}
	got, err := s.Ask(t.Context(), PublishStream, sent)
	if err != nil {
		t.Fatal(err)
	}
	if got.Name != "real" || got.MaxBitrate != 2500 || got.SDP != "v=0" || got.MediaSessionID != "m1" || got.RTMPURL != sent.RTMPURL {
		t.Errorf("publishStream: %+v", got)
	}
	if url := b.wait(t, 2)[1].body.text("rtmpUrl"); url != "rtmp://a.example/live2/***" {
		t.Errorf("the backend got rtmpUrl %s", url)
	}
	if got, err := s.Ask(t.Context(), PlayStream, sent); err != nil || got.Name != "cam" {
		t.Errorf("playStream with NOTIFY: %q, %v", got.Name, err)
	}
}

func TestOrder(t *testing.T) {
	b := newServer(t)
	h := run(t, b, nil)
	s := h.connected(t)
	s.Established(nil)
	if _, err := s.Ask(t.Context(), PublishStream, Stream{Name: "cam"}); err != nil {
		t.Fatal(err)
	}
	s.Tell(StreamStatusEvent, Stream{Name: "cam", Status: "PUBLISHING"}, nil)
	s.Tell(UnPublishStream, Stream{Name: "cam"}, nil)
	s.Tell(StreamStatusEvent, Stream{Name: "cam", Status: "UNPUBLISHED"}, nil)
	s.Close("bye")
	s.Close("bye")
	s.Tell(StreamStatusEvent, Stream{Name: "late"}, nil)
	h.stop()
	want := []Method{Connect, ConnectionStatusEvent, PublishStream, StreamStatusEvent, UnPublishStream, StreamStatusEvent, ConnectionStatusEvent}
	if got := b.methods(); !slices.Equal(got, want) {
		t.Fatalf("the backend got %v\nwant %v", got, want)
	}
	got := b.received()
	if first, last := got[1].body.text("status"), got[6].body.text("status"); first != "ESTABLISHED" || last != "DISCONNECTED" {
		t.Errorf("statuses of the session: %s, %s", first, last)
	}
}

func TestAskIsCancelled(t *testing.T) {
	b := newServer(t)
	asked, release := make(chan struct{}), make(chan struct{})
	b.answer = func(_ http.ResponseWriter, r received) bool {
		if r.method == PublishStream {
			close(asked)
			<-release
		}
		return false
	}
	defer close(release)
	h := run(t, b, nil)
	s := h.connected(t)
	stopped := errors.New("stopped by user")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() { <-asked; cancel(stopped) }()
	if _, err := s.Ask(ctx, PublishStream, Stream{Name: "cam"}); !errors.Is(err, stopped) {
		t.Errorf("Ask = %v, want %v", err, stopped)
	}
	s.Tell(StreamStatusEvent, Stream{Name: "other", Status: "PLAYING"}, nil)
	b.wait(t, 3)
	if h.backend(DefaultApp).isDown() {
		t.Error("a cancelled request counts as a missing answer")
	}
}

// TestAskWaitsForEvents holds that what a client waits for is sent after the events that were told before, and delays none that come later.
func TestAskWaitsForEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &server{}
		b.answer = func(_ http.ResponseWriter, r received) bool {
			switch r.method {
			case ConnectionStatusEvent:
				time.Sleep(3 * time.Second)
			case PublishStream:
				time.Sleep(5 * time.Second)
			}
			return false
		}
		h := inBubble(t, b, nil)
		s := h.connected(t)
		begun := time.Now()
		s.Established(nil)
		asked := make(chan time.Duration, 1)
		go func() {
			if _, err := s.Ask(t.Context(), PublishStream, Stream{Name: "cam"}); err != nil {
				t.Error(err)
			}
			asked <- time.Since(begun)
		}()
		synctest.Wait()
		if got := b.methods(); slices.Contains(got, PublishStream) {
			t.Errorf("the backend got %v: a request before the event", got)
		}
		time.Sleep(4 * time.Second)
		s.Tell(StreamStatusEvent, Stream{Name: "other"}, nil)
		synctest.Wait()
		want := []Method{Connect, ConnectionStatusEvent, PublishStream, StreamStatusEvent}
		if got := b.methods(); !slices.Equal(got, want) {
			t.Errorf("the backend got %v, want %v: an event waits for a request", got, want)
		}
		if took := <-asked; took != 8*time.Second {
			t.Errorf("the request took %v", took)
		}
	})
}

// TestAskBehindHangingEvent holds that a request has its own limit if the events before it hang.
func TestAskBehindHangingEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &server{}
		b.config = map[string]any{"publishStream": map[string]string{"restOnError": "FAIL"}}
		release := make(chan struct{})
		b.answer = func(_ http.ResponseWriter, r received) bool {
			if r.method == ConnectionStatusEvent {
				<-release
			}
			return false
		}
		h := inBubble(t, b, func(c *Config, _ *App) { c.Timeout = 4 * time.Second; c.EventRetries = 10 })
		defer close(release)
		s := h.connected(t)
		s.Established(nil)
		begun := time.Now()
		_, err := s.Ask(t.Context(), PublishStream, Stream{Name: "cam"})
		var refused *Refused
		if !errors.As(err, &refused) || time.Since(begun) != 4*time.Second {
			t.Errorf("Ask = %v after %v", err, time.Since(begun))
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.queue) != 0 {
			t.Errorf("%d events are in the queue, want none: the client has given up", len(s.queue))
		}
	})
}

// TestRestClientConfig holds what the members of restClientConfig do beside restOnError and restOverwrite.
func TestRestClientConfig(t *testing.T) {
	b := newServer(t)
	b.config = map[string]any{
		"playStream":        map[string]string{"restPolicy": "DISABLE"},
		"snapshot":          map[string]string{"restPolicy": "disabled"},
		"stopStream":        map[string]string{"restPolicy": "DISABLE"},
		"publishStream":     map[string]string{"restExclude": "sdp, custom", "clientExclude": "rtmpUrl,status,mediaSessionId"},
		"StreamStatusEvent": map[string]any{"restExclude": []string{"sdp"}, "restOnError": "whatever"},
		"OnDataEvent":       "nonsense",
	}
	h := run(t, b, nil)
	s := h.connected(t)
	st := Stream{MediaSessionID: "m1", Name: "cam", SDP: "v=0", Custom: json.RawMessage(`{"a":1}`), Status: "PENDING"}
	for _, m := range []Method{PlayStream, Snapshot, PublishStream} {
		if _, err := s.Ask(t.Context(), m, st); err != nil {
			t.Fatal(err)
		}
	}
	s.Tell(StopStream, st, nil)
	s.Tell(StreamStatusEvent, st, nil)
	if err := s.Data(t.Context(), "op", json.RawMessage(`[1]`)); err != nil {
		t.Fatal(err)
	}
	got := b.wait(t, 5)
	want := []Method{Connect, PublishStream, StreamStatusEvent, OnDataEvent, DataStatusEvent}
	if methods := b.methods(); !slices.Equal(methods, want) {
		t.Fatalf("the backend got %v, want %v", methods, want)
	}
	for _, name := range []string{"sdp", "custom"} {
		if _, ok := got[1].body[name]; ok {
			t.Errorf("publishStream has %s", name)
		}
	}
	if _, ok := got[2].body["sdp"]; ok || got[2].body.text("name") != "cam" || got[2].body["custom"] == nil {
		t.Errorf("StreamStatusEvent is %s", got[2].text)
	}
	if string(got[3].body["payload"]) != "[1]" || got[4].body.text("status") != "ACCEPTED" {
		t.Errorf("data: %s, %s", got[3].text, got[4].text)
	}
	if hidden := s.Exclude(PublishStream); !slices.Equal(hidden, []string{"rtmpUrl"}) {
		t.Errorf("the page does not get %v", hidden)
	}
}

// TestFinalAnswers holds that an event is not sent again after the word of the backend.
func TestFinalAnswers(t *testing.T) {
	b := newServer(t)
	b.answer = func(w http.ResponseWriter, r received) bool {
		if r.method == Connect {
			return false
		}
		w.WriteHeader(http.StatusForbidden)
		return true
	}
	h := run(t, b, func(c *Config, _ *App) { c.EventRetries = 5 })
	s := h.connected(t)
	s.Established(nil)
	s.Tell(StreamStatusEvent, Stream{}, nil)
	s.Close("")
	h.stop()
	if got := b.methods(); len(got) != 4 {
		t.Errorf("the backend got %v", got)
	}
}

// TestNilSession holds that doors need no backend.
func TestNilSession(t *testing.T) {
	var s *Session
	p := access.Nobody()
	if got, _, err := s.Connect(t.Context(), p, Connection{}); got != p || err != nil {
		t.Errorf("Connect = %v, %v", got, err)
	}
	if st, err := s.Ask(t.Context(), PublishStream, Stream{Name: "cam"}); st.Name != "cam" || err != nil {
		t.Errorf("Ask = %+v, %v", st, err)
	}
	if err := s.Data(t.Context(), "op", nil); err != nil {
		t.Error(err)
	}
	s.Established(nil)
	s.Tell(StreamStatusEvent, Stream{}, nil)
	s.Report(PushStatusEvent, Object{}, nil)
	s.KeepAlive(nil, nil)()
	s.Close("")
	if s.IgnoresToken() || s.HasBackend() || s.AppKey() != "" || s.Exclude(Connect) != nil {
		t.Error("a session without hooks has a backend")
	}
}

// A token for one application opens no other one, and the backend of the other one is not told of it.
func TestCredentialOfAnotherApp(t *testing.T) {
	for _, tt := range []struct {
		name, app string
		want      bool
	}{
		{"its own", "defaultApp", true},
		{"of no app", "", true},
		{"another one", "beta", false},
		{"nearly the same", "defaultapp", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newServer(t)
			h := run(t, b, func(_ *Config, app *App) { app.Auth = PolicyBoth })
			s := h.open(t)
			p := &access.Principal{Kind: access.Token, Subject: "ann", App: tt.app, Grants: []access.Grant{{Actions: []access.Action{access.Publish}, Streams: []string{"*"}}}}
			_, _, err := s.Connect(t.Context(), p, Connection{})
			var denied *access.Denied
			if (err == nil) != tt.want || err != nil && !errors.As(err, &denied) {
				t.Errorf("Connect: %v, want let in %v", err, tt.want)
			}
			if asked := len(b.methods()) > 0; asked != tt.want {
				t.Errorf("the backend got %v", b.methods())
			}
			s.Close("")
			h.stop()
		})
	}
}
