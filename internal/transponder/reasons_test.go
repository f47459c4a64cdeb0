package transponder

import (
	"context"
	"crypto/tls"
	"net"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"transponder/internal/media"
	"transponder/internal/stream"
	"transponder/internal/testkit"
	"transponder/internal/transcode/picture"
)

// reasonCase leads a push to one reason, with a server that follows a script.
type reasonCase struct {
	script testkit.Script
	login  string               // in the URL
	url    func(string) string  // what becomes of the server's; nil: nothing
	tls    bool                 // the server wants it, with a certificate that nobody trusts
	change func(*Config)        // of the settings
	source func(*source)        // of the stream
	video  *fakeVideo           // nil: no transcoding
	audio  AudioRenditions      // nil: sameAudio
	req    Request              // besides its stream and URL
	size   int                  // of pictures; 0: none are written
	then   func(*bench, string) // once it is live, with the push's id

	again func(*Record) // the server is restarted when the push is live, with the record changed so

	live  bool  // it may be
	state State // in which the reason is told; Starting: Failed
}

var reasonCases = map[Reason]reasonCase{
	ReasonDNS: {
		size: 20, live: true, req: Request{Options: Options{Restore: &Restore{Attempts: 1, FirstPause: minPause}}},
		url:    func(url string) string { return strings.Replace(url, "127.0.0.1", "name.test", 1) },
		change: resolveOnce(nil, &net.DNSError{Err: "no such host", Name: "name.test", IsNotFound: true}),
		script: testkit.Script{At: "media", Do: testkit.HangUp},
	},
	ReasonRefused: {url: func(string) string { return "rtmp://" + nobody() + "/live" }},
	ReasonUnreachable: {
		change: func(c *Config) { c.LocalAddr = netip.MustParseAddr("::1") },
	},
	ReasonTimeout: {
		script: testkit.Script{At: "accept", Do: testkit.StaySilent}, size: 20,
		change: func(c *Config) { c.ConnectTimeout = time.Second },
	},
	ReasonTLS: {url: func(url string) string { return strings.Replace(url, "rtmp:", "rtmps:", 1) }},
	ReasonTLSVerify: {
		tls: true,
	},
	ReasonHandshake:   {script: testkit.Script{At: "accept", Do: testkit.TalkNonsense}, size: 20},
	ReasonProtocol:    {script: testkit.Script{At: "connect", Do: testkit.TalkNonsense}, size: 20},
	ReasonAuth:        {script: testkit.Script{Login: testkit.Login{Scheme: "adobe", User: "u", Password: "p"}}, login: "u:wrong@", size: 20},
	ReasonBadApp:      {script: testkit.Script{At: "connect", Do: testkit.Refuse, Code: "NetConnection.Connect.InvalidApp"}, size: 20},
	ReasonKeyInUse:    {script: testkit.Script{At: "publish", Do: testkit.Refuse, Code: "NetStream.Publish.BadName"}, size: 20},
	ReasonKeyRejected: {script: testkit.Script{At: "publish", Do: testkit.Refuse, Code: "NetStream.Publish.Denied"}, size: 20},
	ReasonPeerClosed:  {script: testkit.Script{At: "media", Do: testkit.HangUp}, size: 20, live: true},
	ReasonPeerStalled: {
		script: testkit.Script{At: "media", Do: testkit.StopReading}, size: 200_000, live: true,
		change: func(c *Config) { c.WriteTimeout = time.Second },
	},
	ReasonPeerSlow: {
		script: testkit.Script{At: "media", Do: testkit.StopReading}, size: 200_000, live: true, state: Degraded,
		change: func(c *Config) { c.WriteTimeout = time.Minute },
	},
	ReasonAddressDown: {
		size: 20, live: true, state: Degraded,
		req: Request{Options: Options{BackupURLs: []string{"rtmp://127.0.0.1:1/live"}, Simultaneous: true}}, // nothing listens there
	},
	ReasonForbidden: {
		size: 20, live: true, req: Request{Options: Options{Restore: &Restore{Attempts: 1, FirstPause: minPause}}},
		url:    func(url string) string { return strings.Replace(url, "127.0.0.1", "name.test", 1) },
		change: resolveOnce([]netip.Addr{netip.MustParseAddr("169.254.169.254")}, nil),
		script: testkit.Script{At: "media", Do: testkit.HangUp},
	},
	ReasonSourceLost: {size: 20, live: true, state: Ended, then: func(b *bench, _ string) {
		if s, ok := b.hub.Source("s"); ok {
			s.Close(nil)
		}
	}},
	ReasonNoMedia:    {state: Connecting},
	ReasonNoKeyFrame: {size: 20, live: true, state: Degraded, source: func(s *source) { s.keyless = true }},
	ReasonNoVideo: {size: 20, live: true, state: Degraded, source: func(s *source) {
		s.only = media.Audio
		s.Video.Expect()
	}},
	ReasonNoAudio: {size: 20, live: true, state: Degraded, source: func(s *source) {
		s.only = media.Video
		s.Audio.Expect()
	}},
	ReasonUnusable: {size: 20, live: true, state: Degraded, source: func(s *source) {
		s.only = media.Video
		s.also = func() { s.Audio.Fault(stream.FaultConfig) }
	}},
	ReasonBFrames: {size: 20, live: true, state: Degraded, source: func(s *source) {
		s.also = func() { s.Video.Fault(stream.FaultOrder) }
	}},
	ReasonCodec: {
		size: 20, source: func(s *source) { s.video = &media.Track{Codec: media.VP8} },
		video: &fakeVideo{disabled: true},
	},
	ReasonTranscoder: {
		size: 20, source: func(s *source) { s.video = &media.Track{Codec: media.VP8} },
		video: &fakeVideo{fail: picture.ErrTranscoder},
	},
	ReasonTooSlow: {
		size: 20, live: true, state: Degraded, req: Request{Height: 180}, video: behind(),
	},
	ReasonNoCapacity: {
		size: 20, source: func(s *source) { s.video = &media.Track{Codec: media.VP8} }, video: &fakeVideo{busy: true},
	},
	ReasonTerminated: {size: 20, live: true, state: Ended, then: func(b *bench, id string) { b.Terminate(context.Background(), id) }},
	ReasonShutdown: {
		size: 20, live: true, state: Ended, then: func(b *bench, _ string) { b.stop() }, change: func(c *Config) { c.ResumeFor = 0 },
	},
	ReasonInternal:  {size: 20, audio: panickyAudio{}},
	ReasonRestarted: {size: 20, live: true, state: Awaiting, again: func(*Record) {}},
	ReasonNodeLost:  {size: 20, live: true, state: Awaiting, again: func(r *Record) { r.Node = "another" }},
	ReasonExpired:   {size: 20, live: true, state: Ended, again: func(*Record) {}, change: func(c *Config) { c.ResumeFor = 10 * time.Millisecond }},
	ReasonMoved:     {size: 20, live: true, state: Awaiting, then: func(b *bench, id string) { b.Release(context.Background(), id) }},
}

// resolveOnce resolves a name to loopback when the push begins, and to something else after that.
func resolveOnce(addrs []netip.Addr, err error) func(*Config) {
	return func(c *Config) {
		var asked atomic.Int32
		c.Resolve = func(context.Context, string) ([]netip.Addr, error) {
			if asked.Add(1) == 1 {
				return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
			}
			return addrs, err
		}
	}
}

// nobody returns an address at which nothing listens.
func nobody() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// behind is an encoder that reports one more left-out picture each time it is asked.
func behind() *fakeVideo { return &fakeVideo{behind: true} }

// panickyAudio has a bug.
type panickyAudio struct{ sameAudio }

func (panickyAudio) Expect(*stream.Source, media.AudioFormat) *media.Track { panic("a bug") }

// Every reason of the closed list occurs, in find, in the events and in the history. None is there for show, and no push that was not live
// has ever been called live.
func TestEveryReason(t *testing.T) {
	for reason := range classes {
		tt, ok := reasonCases[reason]
		if !ok {
			t.Errorf("no case leads to %s", reason)
			continue
		}
		t.Run(string(reason), func(t *testing.T) {
			t.Parallel()
			leadTo(t, reason, tt)
		})
	}
}

func leadTo(t *testing.T, want Reason, tt reasonCase) {
	keeper := newFakeKeeper()
	b := newKeptBench(t, keeper, tt.change)
	if tt.audio != nil {
		b.parts.Audio = tt.audio
	}
	if tt.video != nil {
		tt.video.track = realVideo(t)
		b.parts.Video = tt.video
	}
	s := b.source("s")
	if tt.source != nil {
		tt.source(s)
	}
	server := testkit.NewRTMPServer(t, tt.script)
	if tt.tls {
		server = testkit.NewRTMPSServer(t, tt.script, selfSigned(t))
	}
	tt.req.StreamName, tt.req.URL = "s", strings.Replace(server.URL("live"), "://", "://"+tt.login, 1)
	if tt.url != nil {
		tt.req.URL = tt.url(tt.req.URL)
	}
	id := b.start(tt.req).ID
	state := tt.state
	if state == Starting {
		state = Failed
	}
	then := tt.then
	if tt.again != nil {
		then = func(*bench, string) {
			keeper.crash()
			keeper.edit(tt.again)
			s.Close(nil)
			b = b.restart(keeper, tt.change)
		}
	}
	var story []Event
	begun := time.Now()
	b.wait(string(want), func() bool {
		story = b.storyOf(id)
		switch {
		case tt.size == 0:
		case !tt.live: // no faster than a camera: after videoWait of sound, a push without pictures is live with the sound
			if due := 10 + int(time.Since(begun)/(40*time.Millisecond)); s.n < due {
				s.write(due-s.n, tt.size)
			}
		case tt.live && !slices.ContainsFunc(story, func(e Event) bool { return e.To == Live }):
			s.write(1, 20)
		default:
			s.write(10, tt.size)
		}
		for _, e := range story {
			if e.To == Live && then != nil {
				then(b, id)
				then = nil
			}
			if e.To == state && e.Reason == want {
				return true
			}
		}
		return false
	})
	for _, e := range story {
		if e.To == Live && !tt.live {
			t.Errorf("the push was %s before it was %s", e.To, state)
		}
	}
	told := b.Find(Filter{ID: id})
	if want == ReasonMoved { // it is another server's
		b.wait("end", func() bool { return len(b.Find(Filter{ID: id})) == 0 })
		return
	}
	if state.final() {
		b.end()
		told = []Info{*b.History(1)[0]}
	}
	if len(told) != 1 || told[0].ID != id || told[0].State == state && (told[0].Reason != want || told[0].Detail == "") {
		t.Errorf("the push is told as %+v", told)
	}
}

// storyOf returns the events of one push.
func (b *bench) storyOf(id string) []Event {
	events := make([]Event, 1000)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	n, _, _ := b.Journal().Since(ended, 0, events)
	var story []Event
	for _, e := range events[:n] {
		if e.ID == id {
			story = append(story, e)
		}
	}
	return story
}

// selfSigned is a certificate for 127.0.0.1 and example.com that is signed by no authority.
func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	return s.TLS.Certificates[0]
}
