package wcs

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"transponder/internal/access"
	"transponder/internal/access/audit"
	"transponder/internal/media"
	"transponder/internal/rtc"
	"transponder/internal/stream"
	"transponder/internal/transponder"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a server, and fakes of everything it works with.
type world struct {
	hub    *stream.Hub
	ingest *fakeIngest
	egress *fakeEgress
	camera *fakeCamera
	pusher *fakePusher
	srv    *Server
}

func newWorld(tb testing.TB, cfg Config) *world {
	tb.Helper()
	if err := cfg.Validate(); err != nil {
		tb.Fatal(err)
	}
	hub := stream.NewHub(stream.DefaultConfig(), nil)
	w := &world{
		hub:    hub,
		ingest: &fakeIngest{hub: hub, made: map[string]*fakePublication{}},
		egress: &fakeEgress{made: make(chan *fakePlayback, 1000)},
		camera: &fakeCamera{},
		pusher: &fakePusher{},
	}
	w.srv = New(cfg, Parts{
		Publish: w.ingest.publish, Play: w.egress.play, Snapshot: w.camera.snapshot, Streams: hub, Pusher: w.pusher, Access: everybody{},
	}, slog.New(slog.DiscardHandler))
	return w
}

// everybody is an Access that lets everybody do everything.
type everybody struct{}

func (everybody) Credential(string, *http.Request) access.Credential { return access.Credential{} }

func (everybody) Identify(context.Context, access.Credential) (*access.Principal, error) {
	return access.Whole(access.Anonymous), nil
}

func (everybody) Authorize(*access.Principal, access.Credential, access.Action, access.Object) error {
	return nil
}

func (everybody) Record(*access.Principal, access.Credential, audit.Line) {}

func (everybody) Hold(*access.Principal) *access.Lease { return nil }

func (everybody) Take(*access.Principal, access.Action) (func(), error) { return func() {}, nil }

// testConfig never pings by itself, so that a test sees only what it caused.
func testConfig() Config {
	cfg := DefaultConfig()
	cfg.NodeID = "node1"
	cfg.PingInterval = time.Hour
	return cfg
}

// serve makes the server reachable over a real socket.
func (w *world) serve(t *testing.T) (url string) {
	t.Helper()
	hs := httptest.NewServer(w.srv)
	t.Cleanup(func() {
		if err := w.srv.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		hs.Close()
	})
	return "ws" + strings.TrimPrefix(hs.URL, "http")
}

// fakeIngest answers every offer, unless it was told to refuse.
type fakeIngest struct {
	hub *stream.Hub

	mu     sync.Mutex
	refuse error                       // guarded by mu
	panics bool                        // guarded by mu
	offers []rtc.Offer                 // guarded by mu
	made   map[string]*fakePublication // guarded by mu; by media session id
}

func (f *fakeIngest) publish(_ context.Context, offer rtc.Offer, info stream.Info) (Publication, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.offers = append(f.offers, offer)
	switch {
	case f.panics:
		panic("a bug")
	case f.refuse != nil:
		return nil, f.refuse
	}
	info.HasVideo, info.HasAudio = true, true
	src, err := f.hub.Publish(info)
	if err != nil {
		return nil, err
	}
	p := &fakePublication{src: src, die: make(chan error, 1)}
	f.made[info.ID] = p
	return p, nil
}

func (f *fakeIngest) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refuse = err
}

func (f *fakeIngest) publication(id string) *fakePublication {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.made[id]
}

// fakePublication runs until it is told to end, its source is closed or its context ends, as rtc.Publication does.
type fakePublication struct {
	src *stream.Source
	die chan error
}

func (p *fakePublication) Answer() string         { return "v=0\r\nanswer" }
func (p *fakePublication) Source() *stream.Source { return p.src }

func (p *fakePublication) RestartICE(ctx context.Context, offer string) (string, error) {
	return restartFake(ctx, offer)
}

// restartFake answers like rtc.Publication.RestartICE. The offer "wait" is answered when ctx ends.
func restartFake(ctx context.Context, offer string) (string, error) {
	switch offer {
	case "bad":
		return "", rtc.ErrBadOffer
	case "wait":
		<-ctx.Done()
		return "", ctx.Err()
	}
	return "again " + offer, nil
}

func (p *fakePublication) Run(ctx context.Context) error {
	select {
	case err := <-p.die:
		p.src.Close(err)
	case <-ctx.Done():
		p.src.Close(context.Cause(ctx))
	case <-p.src.Done():
	}
	return p.src.Err()
}

// fakeEgress answers every offer to play, unless it was told to refuse.
type fakeEgress struct {
	made chan *fakePlayback

	mu     sync.Mutex
	refuse error         // guarded by mu
	panics bool          // guarded by mu
	hold   chan struct{} // guarded by mu; not nil: answers come when it is closed
	offers []rtc.Offer   // guarded by mu
}

func (f *fakeEgress) play(ctx context.Context, offer rtc.Offer, src *stream.Source) (Playback, error) {
	f.mu.Lock()
	f.offers = append(f.offers, offer)
	refuse, panics, hold := f.refuse, f.panics, f.hold
	f.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	switch {
	case panics:
		panic("a bug")
	case refuse != nil:
		return nil, refuse
	}
	p := &fakePlayback{src: src, connected: make(chan struct{}), die: make(chan error, 1)}
	f.made <- p
	return p, nil
}

func (f *fakeEgress) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refuse = err
}

// fakePlayback runs until it is told to end, its source ends or its context ends, as rtc.Playback does.
type fakePlayback struct {
	src       *stream.Source
	connected chan struct{}
	die       chan error
	changed   func(*stream.Source) // of Follow

	mu    sync.Mutex
	stats rtc.PlayStats // guarded by mu
}

func (p *fakePlayback) Answer() string { return "v=0\r\nplayed" }

func (p *fakePlayback) Follow(_ rtc.Sources, changed func(*stream.Source)) { p.changed = changed }

func (p *fakePlayback) Connected() <-chan struct{} { return p.connected }

func (p *fakePlayback) RestartICE(ctx context.Context, offer string) (string, error) {
	return restartFake(ctx, offer)
}

func (p *fakePlayback) Stats() rtc.PlayStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stats
}

// sent adds to the figures of what was sent.
func (p *fakePlayback) sent(bytes int64, video *media.Track) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.VideoBytes += bytes
	p.stats.Video = video
}

func (p *fakePlayback) Run(ctx context.Context) error {
	select {
	case err := <-p.die:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-p.src.Done():
		return fmt.Errorf("%w: %w", rtc.ErrSourceEnded, p.src.Err())
	}
}

// fakeCamera makes snapshots.
type fakeCamera struct {
	mu    sync.Mutex
	err   error         // guarded by mu
	size  int           // guarded by mu; of a picture, 3 bytes if 0
	hold  chan struct{} // guarded by mu; not nil: pictures come when it is closed
	taken int           // guarded by mu; begun
}

func (f *fakeCamera) snapshot(ctx context.Context, src *stream.Source) ([]byte, error) {
	f.mu.Lock()
	f.taken++
	err, size, hold := f.err, f.size, f.hold
	f.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	if err != nil {
		return nil, err
	}
	if size > 0 {
		return make([]byte, size), nil
	}
	return []byte("PNG"), nil
}

type fakePusher struct {
	mu       sync.Mutex
	err      error                 // guarded by mu
	requests []transponder.Request // guarded by mu
}

func (f *fakePusher) Start(_ context.Context, req transponder.Request) (transponder.Info, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, req)
	return transponder.Info{ID: "push1", SourceName: req.StreamName, URL: req.URL}, f.err
}

func (f *fakePusher) started() []transponder.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]transponder.Request(nil), f.requests...)
}

// browser is the client of a session.
type browser struct {
	t        *testing.T
	conn     *websocket.Conn
	patience time.Duration // with which next waits; 0: 10 s
}

func dial(t *testing.T, url string) *browser {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	conn.SetReadLimit(-1) // browsers have none
	return &browser{t: t, conn: conn}
}

// dialIn connects and establishes a session.
func dialIn(t *testing.T, url string) *browser {
	t.Helper()
	b := dial(t, url)
	b.hello("")
	return b
}

func (b *browser) raw(frame string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 10*time.Second)
	defer cancel()
	if err := b.conn.Write(ctx, websocket.MessageText, []byte(frame)); err != nil {
		b.t.Fatalf("write %.80s: %v", frame, err)
	}
}

// reply is a message as a browser parses it.
type reply struct {
	Message string           `json:"message"`
	Data    *json.RawMessage `json:"data"`
}

// next checks that the SDK could read the next message, and returns it.
func (b *browser) next() (name, data string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), cmp.Or(b.patience, 10*time.Second))
	defer cancel()
	_, raw, err := b.conn.Read(ctx)
	if err != nil {
		b.t.Fatalf("read: %v", err)
	}
	var r reply
	if err := json.Unmarshal(raw, &r); err != nil || r.Data == nil || !strings.HasPrefix(string(*r.Data), "[") {
		b.t.Fatalf("not a message that the SDK can read: %s", raw)
	}
	return r.Message, string(*r.Data)
}

// want reads the next message, which must have the name, and returns the first element of its data. Messages named in others may come
// before it.
func (b *browser) want(name string, others ...string) map[string]any {
	b.t.Helper()
	got, data := b.next()
	for slices.Contains(others, got) {
		got, data = b.next()
	}
	if got != name {
		b.t.Fatalf("next message = %s %s, want %s", got, data, name)
	}
	var elements []any
	if err := json.Unmarshal([]byte(data), &elements); err != nil {
		b.t.Fatal(err)
	}
	if len(elements) == 0 {
		return nil
	}
	object, _ := elements[0].(map[string]any)
	return object
}

// wantStatus reads the next message, which must be the status.
func (b *browser) wantStatus(id, status, info string) map[string]any {
	b.t.Helper()
	d := b.want("notifyStreamStatusEvent")
	gotInfo, _ := d["info"].(string)
	if d["mediaSessionId"] != id || d["status"] != status || gotInfo != info {
		b.t.Fatalf("status = %v %v %q, want %s %s %q", d["mediaSessionId"], d["status"], gotInfo, id, status, info)
	}
	return d
}

// wantQuiet checks that no message is waiting, except those named in others: the answer to a new request is the next message.
func (b *browser) wantQuiet(others ...string) {
	b.t.Helper()
	b.raw(`{"message":"sendData","data":[{"operationId":"quiet?","payload":{}}]}`)
	if d := b.want("DataStatusEvent", others...); d["operationId"] != "quiet?" || d["status"] != "ACCEPTED" {
		b.t.Fatalf("DataStatusEvent = %v", d)
	}
}

// wantClosed reads until the server closes, and returns its code and reason.
func (b *browser) wantClosed() (websocket.StatusCode, string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 30*time.Second)
	defer cancel()
	for {
		_, _, err := b.conn.Read(ctx)
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			b.t.Fatal("the server did not close the socket")
		}
		var ce websocket.CloseError
		if ok := asCloseError(err, &ce); ok {
			return ce.Code, ce.Reason
		}
		return websocket.CloseStatus(err), ""
	}
}

func (b *browser) publish(id, name string) {
	b.t.Helper()
	b.raw(publishFrame(id, name, ""))
}

// publishFrame is a publishStream as the SDK sends it; more holds members that begin with a comma.
func publishFrame(id, name, more string) string {
	return `{"message":"publishStream","data":[{"mediaSessionId":"` + id + `","name":"` + name + `","published":true,` +
		`"hasVideo":true,"hasAudio":true,"status":"PENDING","record":false,"mediaProvider":"WebRTC","sdp":"v=0\r\noffer",` +
		`"bitrate":0,"minBitrate":0,"maxBitrate":0` + more + `}]}`
}

// publishLive publishes and connects the media.
func (b *browser) publishLive(w *world, id, name string) {
	b.t.Helper()
	b.publish(id, name)
	b.want("setRemoteSDP")
	w.ingest.publication(id).src.SetLive()
	b.wantStatus(id, "PUBLISHING", "")
}

// play asks to play a stream.
func (b *browser) play(id, name string) {
	b.t.Helper()
	b.raw(playFrame(id, name, ""))
}

// playFrame is a playStream as the SDK sends it; more holds members that begin with a comma.
func playFrame(id, name, more string) string {
	return `{"message":"playStream","data":[{"mediaSessionId":"` + id + `","name":"` + name + `","published":false,` +
		`"hasVideo":true,"hasAudio":true,"status":"PENDING","record":false,"mediaProvider":"WebRTC","width":0,"height":"0",` +
		`"bitrate":0,"minBitrate":0,"maxBitrate":0,"quality":0,"sdp":"v=0\r\noffer"` + more + `}]}`
}

// playLive plays and connects the media.
func (b *browser) playLive(w *world, id, name string) *fakePlayback {
	b.t.Helper()
	b.play(id, name)
	b.want("setRemoteSDP")
	p := <-w.egress.made
	close(p.connected)
	b.wantStatus(id, "PLAYING", "")
	return p
}

// pipes is a listener whose connections are pipes, so that a test can run in a bubble of synthetic time.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-p.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// inBubble serves the world over pipes; dial makes a browser, and done ends everything.
func (w *world) inBubble(t *testing.T) (dial func() *browser, done func()) {
	t.Helper()
	ln := newPipes()
	hs := &http.Server{Handler: w.srv}
	served := make(chan struct{})
	go func() { defer close(served); _ = hs.Serve(ln) }()
	tr := &http.Transport{DialContext: ln.dial}
	var all []*browser
	dial = func() *browser {
		t.Helper()
		conn, _, err := websocket.Dial(t.Context(), "ws://pipe/", &websocket.DialOptions{HTTPClient: &http.Client{Transport: tr}})
		if err != nil {
			t.Fatal(err)
		}
		conn.SetReadLimit(-1)
		b := &browser{t: t, conn: conn}
		all = append(all, b)
		return b
	}
	return dial, func() {
		for _, b := range all {
			_ = b.conn.CloseNow()
		}
		_ = w.srv.Shutdown(t.Context())
		tr.CloseIdleConnections()
		_ = hs.Close()
		<-served
	}
}

// hello establishes a session and returns its token; more holds members that begin with a comma.
func (b *browser) hello(more string) (token string) {
	b.t.Helper()
	b.raw(`{"message":"connection","data":[{"appKey":"defaultApp","mediaProviders":["WebRTC"],"clientVersion":"2.0"` + more + `}]}`)
	token, _ = b.want("getUserData")["authToken"].(string)
	return token
}
