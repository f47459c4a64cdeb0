package rest

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"transponder/internal/access"
	"transponder/internal/access/auth"
	"transponder/internal/cluster"
	"transponder/internal/media"
	"transponder/internal/stream"
	"transponder/internal/transponder"
)

var (
	_ Pushes  = (*cluster.Pushes)(nil)
	_ Streams = (*stream.Hub)(nil)
	_ Events  = (*transponder.Journal)(nil)
)

// fakePushes keeps the requests and answers like a registry in which all streams and addresses are valid.
type fakePushes struct {
	mu       sync.Mutex
	list     []transponder.Info    // guarded by mu
	requests []transponder.Request // guarded by mu
	err      error                 // what Start and Terminate answer
	over     []transponder.Info    // newest first
}

func (p *fakePushes) Start(_ context.Context, req transponder.Request) (transponder.Info, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = append(p.requests, req)
	if p.err != nil {
		return transponder.Info{}, p.err
	}
	info := transponder.Info{
		ID:         pushID,
		SourceName: req.StreamName,
		StreamName: "rtmp_" + req.StreamName,
		Target:     "rtmp://localhost/live/***",
		URL:        req.URL,
		Options:    req.Options,
		Muted:      req.Options.Action == "mute",
		Started:    pushTime,
		Since:      pushTime,
	}
	p.list = append(p.list, info)
	return info, nil
}

// count returns how many pushes were started.
func (p *fakePushes) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.requests)
}

func (p *fakePushes) Find(_ context.Context, f transponder.Filter) ([]transponder.Info, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(p.list), func(i transponder.Info) bool {
		return f.ID != "" && f.ID != i.ID ||
			f.StreamName != "" && f.StreamName != i.SourceName && f.StreamName != i.StreamName ||
			f.URL != "" && f.URL != i.URL
	}), nil
}

func (p *fakePushes) Terminate(_ context.Context, id string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return p.err
	}
	before := len(p.list)
	p.list = slices.DeleteFunc(p.list, func(i transponder.Info) bool { return i.ID == id })
	if len(p.list) == before {
		return transponder.ErrNotFound
	}
	return nil
}

// change applies f to a push.
func (p *fakePushes) change(id string, f func(*transponder.Info)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return p.err
	}
	i := slices.IndexFunc(p.list, func(i transponder.Info) bool { return i.ID == id })
	if i < 0 {
		return transponder.ErrNotFound
	}
	f(&p.list[i])
	return nil
}

func (p *fakePushes) Mute(_ context.Context, id string, on bool) error {
	return p.change(id, func(i *transponder.Info) { i.Muted = on })
}

// SoundOn keeps the name and loop.
func (p *fakePushes) SoundOn(_ context.Context, id, file string, loop bool) error {
	return p.change(id, func(i *transponder.Info) {
		i.SoundEnabled, i.SoundFile, i.Options.Loop = true, file, loop
	})
}

func (p *fakePushes) SoundOff(_ context.Context, id string) error {
	return p.change(id, func(i *transponder.Info) { i.SoundEnabled, i.SoundFile = false, "" })
}

// UseSource keeps the stream.
func (p *fakePushes) UseSource(_ context.Context, id, name string) error {
	return p.change(id, func(i *transponder.Info) { i.Active = name })
}

func (p *fakePushes) History(_ context.Context, n int) ([]*transponder.Info, error) {
	var over []*transponder.Info
	for _, i := range p.over[:min(n, len(p.over))] {
		over = append(over, &i)
	}
	return over, nil
}

// last returns the last request to start a push.
func (p *fakePushes) last(t *testing.T) transponder.Request {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.requests) == 0 {
		t.Fatal("no push was asked for")
	}
	return p.requests[len(p.requests)-1]
}

// fakeEvents is a journal that begins after the number gone, and numbers the events that are added.
type fakeEvents struct {
	gone uint64

	mu    sync.Mutex
	list  []transponder.Event // guarded by mu
	added chan struct{}       // guarded by mu; closed with each event
}

func newFakeEvents(gone uint64, ids ...string) *fakeEvents {
	j := &fakeEvents{gone: gone, added: make(chan struct{})}
	for _, id := range ids {
		j.add(transponder.Event{ID: id, At: pushTime, SourceName: "name", Target: "rtmp://localhost/live/***", To: transponder.Live})
	}
	return j
}

func (j *fakeEvents) add(e transponder.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	e.Run, e.Number = j.Run(), j.gone+uint64(len(j.list))+1
	e.Sequence = e.Number
	j.list = append(j.list, e)
	close(j.added)
	j.added = make(chan struct{})
}

func (*fakeEvents) Run() string { return "4k1f8r0v2m9a" }

func (j *fakeEvents) Last() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.gone + uint64(len(j.list))
}

func (j *fakeEvents) Since(ctx context.Context, after uint64, dst []transponder.Event) (int, uint64, error) {
	missed := max(after, j.gone) - after
	after += missed
	for {
		j.mu.Lock()
		n, added := copy(dst, j.list[after-j.gone:]), j.added
		j.mu.Unlock()
		if n > 0 {
			return n, missed, nil
		}
		select {
		case <-added:
		case <-ctx.Done():
			return 0, 0, context.Cause(ctx)
		}
	}
}

// fakeSessions has connections and players that do not change.
type fakeSessions struct {
	connections []Connection
	players     []Player
	muted       bool // the sound of every stream

	mu         sync.Mutex
	terminated []string              // guarded by mu; sessions and players
	levels     map[string]slog.Level // guarded by mu; by session
}

func (s *fakeSessions) Connections() []Connection                { return s.connections }
func (s *fakeSessions) Players() []Player                        { return s.players }
func (s *fakeSessions) Muted(*stream.Source) (audio, video bool) { return s.muted, false }

func (s *fakeSessions) Terminate(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.terminated = append(s.terminated, id)
	return slices.ContainsFunc(s.connections, func(c Connection) bool { return c.SessionID == id })
}

func (s *fakeSessions) SetLogLevel(id string, level slog.Level) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.levels == nil {
		s.levels = map[string]slog.Level{}
	}
	s.levels[id] = level
	return slices.ContainsFunc(s.connections, func(c Connection) bool { return c.SessionID == id })
}

func (s *fakeSessions) StopPlayer(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.terminated = append(s.terminated, id)
	return slices.ContainsFunc(s.players, func(p Player) bool { return p.ID == id })
}

// someSessions returns sessions with a connection that plays "cam", and one that waits for its browser.
func someSessions() *fakeSessions {
	return &fakeSessions{
		connections: []Connection{
			{
				SessionID: "s1", AppKey: "defaultApp", ClientVersion: "2.0", ClientOSVersion: "5.0 (X11)",
				ClientBrowserVersion: "Mozilla/5.0", MediaProviders: []string{"WebRTC", "MSE"}, Custom: json.RawMessage(`{"token":"x"}`),
				Connected: true, Address: "192.0.2.7:51000", Origin: "https://pages.example", Created: pushTime, Publishers: 1, Players: 1,
				Calls: 1, SIPLogin: "3000",
			},
			{SessionID: "s2", AppKey: "phone", ClientVersion: "0.5", KeepAlive: true, Address: "192.0.2.8:51001", Created: pushTime},
		},
		players: []Player{{
			ID: "p1", Name: "cam", SessionID: "s1", AppKey: "defaultApp", Provider: "WebRTC", Transport: "UDP", Playing: true,
			HasVideo: true, HasAudio: true, AudioMuted: true, Video: &media.Track{Codec: media.H264, Width: 640, Height: 360},
			Audio: &media.Track{Codec: media.Opus}, VideoRateBPS: 1_500_900, Created: pushTime,
		}},
	}
}

const pushID = "eume87rjk3df1i9u14elffga6t"

var pushTime = time.UnixMilli(1700000000123)

// livePush is a push with a value for each of its fields.
func livePush() transponder.Info {
	return transponder.Info{
		ID: pushID, SourceName: "name", StreamName: "rtmp_name", Target: "rtmp://localhost/live/***", URL: "rtmp://localhost:1935/live?a=1&b=2",
		Options: transponder.Options{
			Action: "sound_on", SoundFile: "sound.wav", Loop: true,
			Restore: &transponder.Restore{
				Attempts: -1, FirstPause: time.Second, Factor: 1.5, MaxPause: 30 * time.Second, Jitter: 0.2, HealthyFor: time.Minute,
			},
			OnSourceLoss: "hold", HoldFor: 90 * time.Second, Slate: "slate.png", Picture: "card", Codecs: []string{"hevc", "opus"},
		},
		Width: 1280, Height: 720, Muted: true, SoundEnabled: true,
		Health: []transponder.Finding{{Code: transponder.FindingKeyInterval, Detail: "There are 8.0 s between key frames."}},
		State:  transponder.Live, Since: pushTime.Add(time.Second), Reason: transponder.ReasonPeerClosed,
		Detail: "the peer closed the connection", Attempts: 2, Started: pushTime,
		Ended: pushTime.Add(time.Minute), NextTry: pushTime.Add(5 * time.Second), NotKept: true,
		BytesSent: 1000, BytesAcked: 900, VideoFrames: 30, AudioFrames: 47, DroppedFrames: 3,
		QueuedBytes: 512, QueuedTime: 40 * time.Millisecond, RateBPS: 2_500_900, KeyInterval: 2 * time.Second,
	}
}

// newHub makes a hub with the live stream "cam", which has sent a key frame and a packet of sound, and the pending "door".
func newHub(t *testing.T) *stream.Hub {
	t.Helper()
	hub := stream.NewHub(stream.DefaultConfig(), nil)
	cam := publish(t, hub, stream.Info{
		Name: "cam", ID: "56141d10-fddc-11e6", SessionID: "s1", AppKey: "defaultApp", Provider: "WebRTC", Transport: "UDP",
		HasVideo: true, HasAudio: true,
	})
	cam.SetLive()
	cam.Video.Write(media.Frame{Track: &media.Track{Codec: media.H264, Width: 640, Height: 360}, Key: true, Data: make([]byte, 10)})
	opus := &media.Track{Codec: media.Opus, SampleRate: 48000, Channels: 2}
	cam.Audio.Write(media.Frame{Track: opus, Key: true, Data: make([]byte, 5)})
	publish(t, hub, stream.Info{Name: "door", ID: "whip-1", SessionID: "whip-1", Provider: "WHIP", Transport: "UDP", HasVideo: true})
	return hub
}

func publish(t *testing.T, hub *stream.Hub, info stream.Info) *stream.Source {
	t.Helper()
	src, err := hub.Publish(info)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close(nil) })
	return src
}

// newServer serves the API with the default settings.
func newServer(t *testing.T, pushes Pushes, streams Streams) *httptest.Server {
	t.Helper()
	return newServerWith(t, DefaultConfig(), pushes, streams)
}

func newServerWith(t *testing.T, cfg Config, pushes Pushes, streams Streams) *httptest.Server {
	t.Helper()
	none := &fakeSessions{}
	parts := Parts{Pushes: pushes, Streams: streams, Events: newFakeEvents(0), Connections: none, Players: none}
	if cfg.Auth {
		parts.People = usersOf(t, "ann", "secret")
	}
	return serve(t, cfg, parts)
}

func serve(t *testing.T, cfg Config, parts Parts) *httptest.Server {
	t.Helper()
	h, err := New(cfg, parts, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	t.Cleanup(func() {
		h.Close()
		srv.Close()
	})
	return srv
}

// localRequest makes a request as a client on this machine sends it.
func localRequest(ctx context.Context, method, path string, body io.Reader) *http.Request {
	r := httptest.NewRequestWithContext(ctx, method, path, body)
	r.RemoteAddr, r.Host = "127.0.0.1:1", "localhost"
	return r
}

// asCaller returns the context of a request of a principal.
func asCaller(ctx context.Context, p *access.Principal) context.Context {
	return context.WithValue(ctx, callerKey{}, &caller{principal: p})
}

// newAccess finds out who sends a request, without users and tokens.
func newAccess(cfg auth.Config) Access {
	return auth.New(cfg, auth.Parts{}, slog.New(slog.DiscardHandler))
}
