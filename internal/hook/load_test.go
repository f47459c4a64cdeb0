package hook

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/access"
)

// TestThousandConnects lets a thousand pages come at once to a backend that takes 50 ms.
func TestThousandConnects(t *testing.T) {
	b := newServer(t)
	var most, now atomic.Int64
	b.answer = func(http.ResponseWriter, received) bool {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(50 * time.Millisecond) // the backend's work
		return false
	}
	h := run(t, b, nil)
	const pages = 1000
	var refused atomic.Int64
	var wg sync.WaitGroup
	begun := time.Now()
	for range pages {
		wg.Go(func() {
			s, err := h.Open(Client{SessionID: "s", Peer: netip.MustParseAddr("127.0.0.1")})
			if err != nil {
				refused.Add(1)
				return
			}
			if _, _, err := s.Connect(t.Context(), access.Nobody(), Connection{}); err != nil {
				refused.Add(1)
				return
			}
			s.Established(nil)
			s.Close("")
		})
	}
	wg.Wait()
	t.Logf("%d connects took %v, %d at once at most", pages, time.Since(begun).Round(time.Millisecond), most.Load())
	if n := refused.Load(); n > 0 {
		t.Errorf("%d of %d were refused", n, pages)
	}
	if n := most.Load(); n > mostUnderWay {
		t.Errorf("%d requests at once, want at most %d", n, mostUnderWay)
	}
	b.wait(t, 3*pages)
}

// TestGoodbye holds that the end of each session is told when the server stops, and that stopping does not take long.
func TestGoodbye(t *testing.T) {
	b := newServer(t)
	h := run(t, b, nil)
	const pages = 200
	for range pages {
		s := h.connected(t)
		s.Established(nil)
		s.Close("")
	}
	begun := time.Now()
	h.stop()
	if took := time.Since(begun); took > goodbye+time.Second {
		t.Errorf("stopping took %v", took)
	}
	ended := 0
	for _, r := range b.received() {
		if r.body.text("status") == "DISCONNECTED" {
			ended++
		}
	}
	if ended != pages {
		t.Errorf("%d of %d ends were told", ended, pages)
	}
	s := h.open(t) // too late: nothing is sent, nothing blocks
	s.Established(nil)
	s.Close("")
}

// TestGoodbyeToDeadBackend holds that a backend that does not answer does not keep the server from stopping, and that what it missed is counted.
func TestGoodbyeToDeadBackend(t *testing.T) {
	b := newServer(t)
	release := make(chan struct{})
	b.answer = func(_ http.ResponseWriter, r received) bool {
		if r.method != Connect {
			<-release
		}
		return false
	}
	defer close(release)
	h := run(t, b, nil)
	s := h.connected(t)
	s.Established(nil)
	s.Close("")
	begun := time.Now()
	h.stop()
	if took := time.Since(begun); took > goodbye+time.Second {
		t.Errorf("stopping took %v", took)
	}
	if lost := h.Stats()[0].LostEvents; lost != 2 {
		t.Errorf("%d events lost, want 2", lost)
	}
}

// pipeListener gives the backend of a synctest bubble its connections, since real sockets have a time of their own.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

// inBubble runs a backend and a Hooks in a bubble of synctest.
func inBubble(t *testing.T, b *server, change func(*Config, *App)) running {
	t.Helper()
	l := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
	srv := &http.Server{Handler: http.HandlerFunc(b.serve)}
	go srv.Serve(l)
	b.Server = nil
	h := runAt(t, "http://backend.example", change)
	h.client.Transport.(*http.Transport).DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		select {
		case l.conns <- theirs:
			return ours, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-l.done:
			return nil, errors.New("connection refused")
		}
	}
	t.Cleanup(func() { h.stop(); srv.Close(); synctest.Wait() })
	return h
}

func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &server{}
		broken := true
		b.answer = func(w http.ResponseWriter, _ received) bool {
			if broken {
				w.WriteHeader(http.StatusBadGateway)
			}
			return broken
		}
		h := inBubble(t, b, nil)
		connect := func() error {
			_, _, err := h.open(t).Connect(t.Context(), access.Whole(access.Local), Connection{})
			return err
		}
		for range breakAfter + 5 {
			if connect() == nil {
				t.Fatal("a broken backend let somebody in")
			}
		}
		if n := len(b.received()); n != breakAfter {
			t.Errorf("%d requests were sent, want %d", n, breakAfter)
		}
		if got := h.Unreachable(); !slices.Equal(got, []string{DefaultApp}) {
			t.Errorf("unreachable: %v", got)
		}
		time.Sleep(breakFor)
		for range 3 { // one is sent, and has no answer
			_ = connect()
		}
		if n := len(b.received()); n != breakAfter+1 {
			t.Errorf("%d requests were sent, want %d", n, breakAfter+1)
		}
		broken = false
		time.Sleep(breakFor)
		for range 3 {
			if err := connect(); err != nil {
				t.Errorf("the backend works again: %v", err)
			}
		}
		if got := h.Unreachable(); len(got) > 0 {
			t.Errorf("unreachable: %v", got)
		}
	})
}

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &server{}
		release := make(chan struct{})
		b.answer = func(http.ResponseWriter, received) bool { <-release; return true }
		h := inBubble(t, b, nil)
		defer close(release)
		begun := time.Now()
		_, _, err := h.open(t).Connect(t.Context(), nil, Connection{})
		var refused *Refused
		if !errors.As(err, &refused) || time.Since(begun) != 15*time.Second {
			t.Errorf("Connect = %v after %v", err, time.Since(begun))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := h.open(t).Connect(ctx, nil, Connection{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Connect with a limit of its own: %v", err)
		}
	})
}

// TestRetries holds which events are sent again, and when.
func TestRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &server{}
		begun := time.Now()
		var at []time.Duration
		var mu sync.Mutex
		b.answer = func(w http.ResponseWriter, r received) bool {
			if r.method == Connect {
				return false
			}
			mu.Lock()
			defer mu.Unlock()
			at = append(at, time.Since(begun))
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		h := inBubble(t, b, nil)
		s := h.connected(t)
		s.Established(nil) // once
		s.Close("")        // four times
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		want := []time.Duration{0, 0, time.Second, 5 * time.Second, 21 * time.Second}
		if !slices.Equal(at, want) {
			t.Errorf("events were sent at %v, want %v", at, want)
		}
		if lost := h.Stats()[0].LostEvents; lost != 2 {
			t.Errorf("%d events lost, want 2", lost)
		}
	})
}

func TestKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &server{}
		var refuse atomic.Bool
		var code atomic.Int64
		b.answer = func(w http.ResponseWriter, r received) bool {
			if r.method != StreamKeepAliveEvent || !refuse.Load() {
				return false
			}
			w.WriteHeader(int(code.Load()))
			return true
		}
		h := inBubble(t, b, func(c *Config, app *App) {
			c.KeepAlive = true
			app.Methods = append(DefaultMethods(), StreamKeepAliveEvent)
		})
		s := h.connected(t)
		ended := make(chan error, 1)
		stop := s.KeepAlive(func() Stream { return Stream{Name: "cam", Published: true, Status: "PUBLISHING"} }, func(err error) { ended <- err })
		time.Sleep(time.Minute)
		if n := len(b.received()) - 1; n < 5 || n > 7 {
			t.Errorf("%d events in a minute", n)
		}
		refuse.Store(true)
		code.Store(500)
		time.Sleep(time.Minute)
		if len(ended) > 0 {
			t.Errorf("500 ended the stream: %v", <-ended)
		}
		code.Store(403)
		time.Sleep(time.Minute)
		select {
		case err := <-ended:
			var refused *Refused
			if !errors.Is(err, ErrKeepAlive) || !errors.As(err, &refused) || refused.Info != "Terminated by keep-alive" {
				t.Errorf("ended by %v", err)
			}
		default:
			t.Error("403 did not end the stream")
		}
		stop()
		n := len(b.received())
		time.Sleep(time.Minute)
		if more := len(b.received()) - n; more > 0 {
			t.Errorf("%d events after the end", more)
		}
		// A stream that stops itself asks no more.
		stop = s.KeepAlive(func() Stream { return Stream{} }, func(error) { t.Error("ended") })
		stop()
		time.Sleep(time.Minute)
		if more := len(b.received()) - n; more > 0 {
			t.Errorf("%d events after stop", more)
		}
	})
}

// TestFullQueue holds that a session whose backend hangs keeps a bounded number of events, and the last one.
func TestFullQueue(t *testing.T) {
	b := newServer(t)
	release := make(chan struct{})
	b.answer = func(_ http.ResponseWriter, r received) bool {
		if r.method != Connect {
			<-release
		}
		return false
	}
	h := run(t, b, nil)
	s := h.connected(t)
	s.Established(nil)
	b.wait(t, 2)
	for range 2 * maxQueue {
		s.Tell(StreamStatusEvent, Stream{Name: "cam"}, nil)
	}
	s.Close("")
	close(release)
	got := b.wait(t, 2+maxQueue)
	if last := got[len(got)-1].body.text("status"); last != "DISCONNECTED" {
		t.Errorf("the last event is %s", got[len(got)-1].text)
	}
	if lost := h.Stats()[0].LostEvents; lost != maxQueue+1 {
		t.Errorf("%d events lost, want %d", lost, maxQueue+1)
	}
}

func TestStrangersAskTooOften(t *testing.T) {
	b := newServer(t)
	h := run(t, b, nil)
	refused := 0
	for range connectBurst + 50 {
		if _, _, err := h.open(t).Connect(t.Context(), access.Nobody(), Connection{}); err != nil {
			refused++
		}
	}
	if refused < 20 {
		t.Errorf("%d were refused", refused)
	}
	other := page
	other.Peer = netip.MustParseAddr("198.51.100.1")
	s, _ := h.Open(other)
	if _, _, err := s.Connect(t.Context(), access.Nobody(), Connection{}); err != nil {
		t.Errorf("somebody from elsewhere: %v", err)
	}
}

func TestAnswersAreLimited(t *testing.T) {
	tests := []struct {
		name, answer string
		ok           bool
	}{
		{"object", `{"a":1}`, true},
		{"byte order mark", "\ufeff{}", true},
		{"spaces", " \n", true},
		{"nested", strings.Repeat(`{"a":`, 33) + "1" + strings.Repeat("}", 33), false},
		{"nested as allowed", strings.Repeat(`{"a":`, 32) + "1" + strings.Repeat("}", 32), true},
		{"members", "{" + strings.Repeat(`"a":1,`, 1000) + `"b":1}`, false},
		{"two objects", `{}{}`, false},
		{"text", `ok`, false},
		{"string", `"ok"`, false},
		{"list", `[{}]`, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := parseAnswer([]byte(tt.answer)); (err == nil) != tt.ok {
				t.Errorf("parseAnswer = %v", err)
			}
		})
	}
	b := newServer(t)
	b.answer = func(w http.ResponseWriter, _ received) bool {
		_, _ = w.Write([]byte(`{"a":"` + strings.Repeat("x", maxAnswer) + `"}`))
		return true
	}
	h := run(t, b, nil)
	if _, _, err := h.open(t).Connect(t.Context(), nil, Connection{}); !errors.Is(err, errTooBig) {
		t.Errorf("an answer of 1 MiB: %v", err)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"name":"x","restClientConfig":{"publishStream":{"restOnError":"FAIL","restPolicy":"OVERWRITE","restOverwrite":"name, rtmpUrl"}}}`))
	f.Add([]byte(`{"restClientConfig":{"connect":1,"playStream":{"restOverwrite":["name"],"width":"12","bitrate":-1e99}}}`))
	f.Add([]byte("[]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		answer, err := parseAnswer(text)
		if err != nil {
			return
		}
		for m, r := range parseRules(answer["restClientConfig"]) {
			if r.onError != "" && r.onError != Log && r.onError != Fail {
				t.Errorf("%s: onError %q", m, r.onError)
			}
		}
		all := rule{overwrite: overwritable[PublishStream]}
		sent := Stream{MediaSessionID: "m", Name: "cam", SDP: "v=0"}
		got := sent.with(all.changes(PublishStream, sent.object(), answer))
		if got.MediaSessionID != "m" || got.SDP != "v=0" || got.Name == "" || got.Bitrate < 0 || got.MaxBitrate < 0 {
			t.Errorf("%s made %+v", text, got)
		}
		if _, err := json.Marshal(got.object()); err != nil {
			t.Errorf("%s made a body that cannot be encoded: %v", text, err)
		}
	})
}

func FuzzMaskURL(f *testing.F) {
	for _, u := range []string{
		"rtmp://a.example/live2/KEY", "rtmp://u:KEY@h/app", "rtmp://h/app?k=KEY", "rtmp://h?KEY", "rtmp://u:K/EY@h/a", "rtmp://[::1]:1935/a/KEY", "destination://name",
	} {
		f.Add(u)
	}
	f.Fuzz(func(t *testing.T, u string) {
		masked := maskURL(u)
		if maskURL(masked) != masked {
			t.Errorf("%q is masked %q, then %q", u, masked, maskURL(masked))
		}
	})
}

func TestMaskURL(t *testing.T) {
	for address, want := range map[string]string{
		"":                                  "",
		"rtmp://localhost:1935/live":        "rtmp://localhost:1935/live",
		"rtmps://a.example:443/live2/KEY":   "rtmps://a.example:443/live2/***",
		"rtmp://user:KEY@h/app":             "rtmp://h/app",
		"rtmp://user:K/EY@h/app":            "rtmp://***",
		"rtmp://h/app?key=KEY":              "rtmp://h/app/***",
		"rtmp://h?key=KEY/":                 "rtmp://h/***",
		"rtmp://[2001:db8::1]:1935/app/KEY": "rtmp://[2001:db8::1]:1935/app/***",
		"destination://youtube-main":        "destination://youtube-main",
		"KEY":                               "***",
	} {
		if got := maskURL(address); got != want {
			t.Errorf("maskURL(%q) = %q, want %q", address, got, want)
		}
	}
}
