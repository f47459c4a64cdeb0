package transponder

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"transponder/internal/load"
	"transponder/internal/media"
	"transponder/internal/stream"
	"transponder/internal/testkit"
	"transponder/internal/transcode/picture"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sameAudio returns the sound of the source itself: the sources of the tests have AAC.
type sameAudio struct{}

func (sameAudio) Check(media.AudioFormat) error { return nil }

func (sameAudio) Feed(s *stream.Source, _ media.AudioFormat) (*stream.Feed, func(), error) {
	return s.Audio, func() {}, nil
}

func (sameAudio) Expect(s *stream.Source, _ media.AudioFormat) *media.Track { return s.Audio.Track() }

// noVideo, noSounds and noStills are parts that refuse everything.
type (
	noVideo  struct{}
	noSounds struct{}
	noStills struct{}
)

func (noVideo) Check() error { return ErrUnsupported }

func (noVideo) Admit(*stream.Source, picture.Profile) error { return ErrUnsupported }

func (noVideo) Feed(*stream.Source, picture.Profile) (*stream.Feed, func(), error) {
	return nil, nil, ErrUnsupported
}

func (noVideo) Stats(*stream.Source, picture.Profile) (picture.Stats, bool) {
	return picture.Stats{}, false
}

func (noSounds) Check(string) error { return ErrUnsupported }

func (noSounds) Open(string, bool) (SoundPlayer, error) { return nil, ErrUnsupported }

func (noStills) Check(string) error { return ErrUnsupported }

func (noStills) Card(string, int, int) (media.Frame, error) { return media.Frame{}, ErrUnsupported }

func (noStills) Frame(string, int, int) (media.Frame, error) { return media.Frame{}, ErrUnsupported }

// testParts returns parts that refuse everything, but for the sound, which passes unchanged.
func testParts(hub *stream.Hub) Parts {
	return Parts{Hub: hub, Audio: sameAudio{}, Video: noVideo{}, Sounds: noSounds{}, Stills: noStills{}}
}

// bench is a hub and a registry that run until the test ends.
type bench struct {
	*Registry
	t     *testing.T
	hub   *stream.Hub
	log   *lockedBuffer
	ended chan Info
	stop  context.CancelFunc
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newBench(t *testing.T, change func(*Config)) *bench {
	t.Helper()
	return newBenchWith(t, change, nil)
}

// newBenchWith is newBench with other parts.
func newBenchWith(t *testing.T, change func(*Config), with func(*Parts)) *bench {
	t.Helper()
	cfg := DefaultConfig()
	cfg.FailedFor = time.Hour
	if change != nil {
		change(&cfg)
	}
	b := &bench{t: t, hub: stream.NewHub(stream.DefaultConfig(), nil), log: &lockedBuffer{}, ended: make(chan Info, 100)}
	parts := testParts(b.hub)
	parts.OnEnd = func(i Info) { b.ended <- i }
	if with != nil {
		with(&parts)
	}
	b.Registry = NewRegistry(cfg, parts, slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- b.Run(ctx) }()
	var hub sync.WaitGroup
	hub.Go(func() { b.hub.Run(ctx) })
	b.stop = func() {
		cancel()
		hub.Wait()
		select {
		case <-ran:
			ran <- nil
		case <-time.After(10 * time.Second):
			t.Error("Run did not end")
		}
	}
	t.Cleanup(b.stop)
	return b
}

// source publishes a live stream.
func (b *bench) source(name string) *source {
	b.t.Helper()
	s := b.pending(name)
	s.SetLive()
	return s
}

// pending publishes a stream whose media has not come yet.
func (b *bench) pending(name string) *source {
	b.t.Helper()
	src, err := b.hub.Publish(stream.Info{Name: name, ID: name, HasVideo: true, HasAudio: true, AskKeyFrame: func() {}})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { src.Close(nil) })
	return &source{Source: src, video: realVideo(b.t), audio: realAudio}
}

// source writes the frames of a stream: 25 pictures a second, every tenth a key frame, and sound with each.
type source struct {
	*stream.Source
	video, audio *media.Track
	n            int
	keyless      bool       // only the first picture is a key frame
	only         media.Kind // what it writes; none: both
	also         func()     // called with each picture's time; nil: nothing
}

// realAudio has the AudioSpecificConfig of AAC-LC, 48 kHz, stereo.
var realAudio = &media.Track{Codec: media.AAC, Config: []byte{0x11, 0x90}, SampleRate: 48000, Channels: 2}

func realVideo(t *testing.T) *media.Track {
	t.Helper()
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	track, err := media.NewH264Track(unhex("6742c01fd9005005bb0110000003001000000303c8f1832480"), unhex("68cb83cb20"))
	if err != nil {
		t.Fatal(err)
	}
	return track
}

// write writes n pictures with their sound.
func (s *source) write(pictures, size int) {
	for range pictures {
		at := media.Timestamp(s.n) * media.Timestamp(40*time.Millisecond)
		data := make([]byte, size)
		copy(data, []byte{0, 0, 0, byte(size - 4), 0x65, byte(s.n)})
		if s.only != media.Audio {
			s.Video.Write(media.Frame{Track: s.video, Time: at, Key: s.n == 0 || s.n%10 == 0 && !s.keyless, Data: data})
		}
		if s.only != media.Video {
			s.Audio.Write(media.Frame{Track: s.audio, Time: at, Key: true, Data: []byte{byte(s.n), 0}}) // two bytes: letters are of sound files
		}
		if s.also != nil {
			s.also()
		}
		s.n++
	}
}

// live writes until the server has media: then the push is live.
func (s *source) live(t *testing.T, server *testkit.RTMPServer) {
	t.Helper()
	server.Wait(t, "media", func() bool {
		s.write(10, 20)
		return len(server.Tags()) > 0
	})
}

func (b *bench) start(req Request) Info {
	b.t.Helper()
	info, err := b.Start(b.t.Context(), req)
	if err != nil {
		b.t.Fatalf("Start(%+v) = %v", req, err)
	}
	return info
}

// saidGoodbye says whether the last call that a server was sent ends the stream.
func saidGoodbye(s *testkit.RTMPServer) bool {
	calls := s.Calls()
	return len(calls) > 0 && strings.HasPrefix(calls[len(calls)-1], "deleteStream")
}

func (b *bench) end() Info {
	b.t.Helper()
	select {
	case i := <-b.ended:
		return i
	case <-time.After(15 * time.Second):
		b.t.Fatalf("no push has ended; there are %+v", b.Find(Filter{}))
		return Info{}
	}
}

// wait waits until condition holds.
func (b *bench) wait(what string, condition func() bool) {
	b.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(15 * time.Second)
	for !condition() {
		select {
		case <-tick.C:
		case <-limit:
			b.t.Fatalf("no %s; there are %+v", what, b.Find(Filter{}))
		}
	}
}

func TestPushToTheEndOfTheStream(t *testing.T) {
	b := newBench(t, nil)
	server := testkit.NewRTMPServer(t, testkit.Script{})
	s := b.source("s")
	info := b.start(Request{StreamName: "s", URL: server.URL("live/?user1&pass1")})
	if info.StreamName != "rtmp_s" || info.SourceName != "s" || info.State != Starting && info.State != Connecting {
		t.Errorf("answer %+v", info)
	}
	server.Wait(t, "publish", func() bool { return slices.Contains(server.Calls(), "publish('rtmp_s')") })
	s.write(50, 20)
	server.Wait(t, "50 pictures", func() bool { return count(server.Tags(), true) == 50 })
	b.wait("count of what was sent", func() bool { return b.Find(Filter{ID: info.ID})[0].VideoFrames == 50 })
	if got := b.Find(Filter{ID: info.ID}); len(got) != 1 || got[0].State != Live || got[0].Width != 1280 ||
		got[0].KeyInterval != 400*time.Millisecond || got[0].BytesSent == 0 || got[0].Attempts != 1 {
		t.Errorf("find says %+v", got)
	}
	s.write(1, 20)
	s.Close(nil) // with a frame still in the queue
	if end := b.end(); end.State != Ended || end.Reason != ReasonSourceLost {
		t.Errorf("ended as %s, %s", end.State, end.Reason)
	}
	want := []string{
		"connect('live/?user1&pass1')", "releaseStream('rtmp_s')", "FCPublish('rtmp_s')", "createStream()", "publish('rtmp_s')",
		"FCUnpublish('rtmp_s')", "deleteStream()",
	}
	server.Wait(t, "goodbye", func() bool { return len(server.Calls()) == len(want) })
	if got := server.Calls(); !slices.Equal(got[:6], want[:6]) || !strings.HasPrefix(got[6], "deleteStream") {
		t.Errorf("commands %q, want %q", got, want)
	}
	checkTags(t, server.Tags(), 51)
	if m := server.Metadata(); len(m) != 1 || m[0]["width"] != 1280.0 || m[0]["height"] != 720.0 || m[0]["audiosamplerate"] != 48000.0 {
		t.Errorf("metadata %v", m)
	}
}

func count(tags []testkit.Tag, video bool) int {
	n := 0
	for _, t := range tags {
		if t.Video == video && !t.Header {
			n++
		}
	}
	return n
}

// checkTags checks the tags of one connection: a header before the first frame of each kind, each picture once and in order, from a key frame
// on, at times that only grow.
func checkTags(t *testing.T, tags []testkit.Tag, pictures int) {
	t.Helper()
	last := map[bool]time.Duration{true: -1, false: -1}
	headers := map[bool]int{}
	next := 0
	for _, tag := range tags {
		if tag.Header {
			headers[tag.Video]++
			continue
		}
		if headers[tag.Video] == 0 {
			t.Fatalf("%s comes before its header", tag)
		}
		if tag.Time <= last[tag.Video] {
			t.Errorf("%s after %v", tag, last[tag.Video])
		}
		last[tag.Video] = tag.Time
		if !tag.Video {
			continue
		}
		if next == 0 && (!tag.Key || tag.Time != 0) {
			t.Errorf("the first picture is %s, key frame %v; want a key frame at 0", tag, tag.Key)
		}
		if tag.Data[5] != byte(next) {
			t.Errorf("picture %d where %d is due", tag.Data[5], next)
		}
		next++
	}
	if next != pictures || headers[true] != 1 || headers[false] != 1 {
		t.Errorf("%d pictures, headers %v; want %d and one each", next, headers, pictures)
	}
}

func TestTerminate(t *testing.T) {
	b := newBench(t, nil)
	server := testkit.NewRTMPServer(t, testkit.Script{})
	s := b.source("s")
	req := Request{StreamName: "s", URL: server.URL("live")}
	info := b.start(req)
	s.live(t, server)
	if _, err := b.Start(t.Context(), req); !errors.Is(err, ErrDuplicate) {
		t.Errorf("a second push = %v, want ErrDuplicate", err)
	}
	if err := b.Terminate(t.Context(), info.ID); err != nil {
		t.Fatal(err)
	}
	if left := b.Find(Filter{}); len(left) != 0 {
		t.Errorf("still there after Terminate: %+v", left)
	}
	if err := b.Terminate(t.Context(), info.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("second Terminate = %v, want ErrNotFound", err)
	}
	if end := b.end(); end.State != Ended || end.Reason != ReasonTerminated {
		t.Errorf("ended as %s, %s", end.State, end.Reason)
	}
	server.Wait(t, "goodbye", func() bool { return saidGoodbye(server) })
	b.start(req) // no conflict with what is gone
}

// A push that fails names the reason, and can be found for a while.
func TestFailures(t *testing.T) {
	nobody := "rtmp://127.0.0.1:" + testkit.FreePort(t) + "/live"
	tests := []struct {
		name   string
		script testkit.Script
		url    string // in place of a server's
		want   Reason
	}{
		{"nobody listens", testkit.Script{}, nobody, ReasonRefused},
		{"accepts and says nothing", testkit.Script{At: "accept", Do: testkit.StaySilent}, "", ReasonTimeout},
		{"is no RTMP server", testkit.Script{At: "accept", Do: testkit.TalkNonsense}, "", ReasonHandshake},
		{"hangs up at once", testkit.Script{At: "accept", Do: testkit.HangUp}, "", ReasonPeerClosed},
		{"refuses the app", testkit.Script{At: "connect", Do: testkit.Refuse, Code: "NetConnection.Connect.InvalidApp"}, "", ReasonBadApp},
		{
			"wants a login",
			testkit.Script{At: "connect", Do: testkit.Refuse, Code: "NetConnection.Connect.Rejected", Description: "[ code=403 need auth; authmod=adobe ]"},
			"", ReasonAuth,
		},
		{"never answers connect", testkit.Script{At: "connect", Do: testkit.StaySilent}, "", ReasonTimeout},
		{"hangs up at connect", testkit.Script{At: "connect", Do: testkit.HangUp}, "", ReasonPeerClosed},
		{"refuses a stream", testkit.Script{At: "createStream", Do: testkit.Refuse, Code: "NetConnection.Call.Failed"}, "", ReasonPeerClosed},
		{"the name is taken", testkit.Script{At: "publish", Do: testkit.Refuse, Code: "NetStream.Publish.BadName"}, "", ReasonKeyInUse},
		{"the key is wrong", testkit.Script{At: "publish", Do: testkit.Refuse, Code: "NetStream.Publish.Denied"}, "", ReasonKeyRejected},
		{"never answers publish", testkit.Script{At: "publish", Do: testkit.StaySilent}, "", ReasonTimeout},
		{"hangs up while live", testkit.Script{At: "media", Do: testkit.HangUp}, "", ReasonPeerClosed},
		{"ends the stream while live", testkit.Script{At: "media", Do: testkit.Refuse, Code: "NetStream.Publish.Idle"}, "", ReasonPeerClosed},
		{"stops taking data", testkit.Script{At: "media", Do: testkit.StopReading}, "", ReasonPeerStalled},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, func(c *Config) {
				if tt.want == ReasonTimeout || tt.want == ReasonPeerStalled {
					c.ConnectTimeout, c.WriteTimeout = time.Second, time.Second
				}
			})
			url := tt.url
			if url == "" {
				url = testkit.NewRTMPServer(t, tt.script).URL("live")
			}
			s := b.source("s")
			info := b.start(Request{StreamName: "s", URL: url})
			end := b.endWhileWriting(s)
			if end.State != Failed || end.Reason != tt.want || end.Detail == "" {
				t.Errorf("ended as %s, %q (%s), want FAILED, %q", end.State, end.Reason, end.Detail, tt.want)
			}
			if found := b.Find(Filter{ID: info.ID}); len(found) != 1 || found[0].Reason != tt.want {
				t.Errorf("find says %+v, want the failed push for a while", found)
			}
			if err := b.Terminate(t.Context(), info.ID); err != nil || len(b.Find(Filter{})) != 0 {
				t.Errorf("a failed push cannot be put away: %v", err)
			}
		})
	}
}

// endWhileWriting writes large pictures, which fill all buffers on the way, until the push ends.
func (b *bench) endWhileWriting(s *source) Info {
	b.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(15 * time.Second)
	for {
		select {
		case i := <-b.ended:
			return i
		case <-tick.C:
			s.write(10, 200_000)
		case <-limit:
			b.t.Fatalf("the push goes on: %+v", b.Find(Filter{}))
		}
	}
}

func TestFailedPushIsForgotten(t *testing.T) {
	b := newBench(t, func(c *Config) { c.FailedFor = time.Nanosecond })
	server := testkit.NewRTMPServer(t, testkit.Script{At: "connect", Do: testkit.HangUp})
	b.source("s")
	b.start(Request{StreamName: "s", URL: server.URL("live")})
	b.end()
	b.wait("end of its being found", func() bool { return len(b.Find(Filter{})) == 0 })
}

func TestFailedPushDoesNotBlockItsAddress(t *testing.T) {
	b := newBench(t, nil)
	server := testkit.NewRTMPServer(t, testkit.Script{At: "connect", Do: testkit.HangUp})
	b.source("s")
	req := Request{StreamName: "s", URL: server.URL("live")}
	b.start(req)
	b.end()
	b.start(req)
	b.end()
	if found := b.Find(Filter{}); len(found) != 2 {
		t.Errorf("%d pushes to be found, want both", len(found))
	}
}

func TestStartRefuses(t *testing.T) {
	b := newBench(t, func(c *Config) { c.MaxPushes = 1 })
	b.source("s")
	const url = "rtmp://127.0.0.1:1/live"
	bad := func(field string) func(error) bool {
		return func(err error) bool {
			var e *RequestError
			return errors.As(err, &e) && e.Field == field
		}
	}
	is := func(want error) func(error) bool {
		return func(err error) bool { return errors.Is(err, want) }
	}
	tests := []struct {
		name string
		req  Request
		want func(error) bool
	}{
		{"no stream", Request{URL: url}, bad("streamName")},
		{"no URL", Request{StreamName: "s"}, bad("rtmpUrl")},
		{"bad URL", Request{StreamName: "s", URL: "http://h"}, bad("rtmpUrl")},
		{"no such host", Request{StreamName: "s", URL: "rtmp://no-such-host.invalid/live"}, bad("rtmpUrl")},
		{"unknown stream", Request{StreamName: "x", URL: url}, is(ErrStreamNotFound)},
		{"a bad URL counts before an unknown stream", Request{StreamName: "x", URL: "h"}, bad("rtmpUrl")},
		{"transcoding", Request{StreamName: "s", URL: url, Height: 720}, is(ErrUnsupported)},
		{"frame rate", Request{StreamName: "s", URL: url, FPS: 25}, is(ErrUnsupported)},
		{"key frame interval", Request{StreamName: "s", URL: url, KeyFrameInterval: 60}, is(ErrUnsupported)},
		{"negative width", Request{StreamName: "s", URL: url, Width: -1}, bad("width, height, keyFrameInterval, fps, options.bitrate")},
		{"tiny", Request{StreamName: "s", URL: url, Height: 2}, bad("width, height, keyFrameInterval, fps, options.bitrate")},
		{"fit without height", Request{StreamName: "s", URL: url, Options: Options{Fit: "letterbox"}}, bad("options.fit")},
		{"unknown fit", Request{StreamName: "s", URL: url, Height: 720, Options: Options{Fit: "crop"}}, bad("options.fit")},
		{"no sounds", Request{StreamName: "s", URL: url, Options: Options{Action: "sound_on", SoundFile: "a.wav"}}, is(ErrUnsupported)},
		{"no sound file", Request{StreamName: "s", URL: url, Options: Options{Action: "sound_on"}}, bad("options.soundFile")},
		{"restore", Request{StreamName: "s", URL: url, Options: Options{Restore: &Restore{Factor: 0.1}}}, bad("options.restore.factor")},
		{"unknown loss", Request{StreamName: "s", URL: url, Options: Options{OnSourceLoss: "cry"}}, bad("options.onSourceLoss")},
		{"long hold", Request{StreamName: "s", URL: url, Options: Options{HoldFor: 48 * time.Hour}}, bad("options.holdMs")},
		{"slate without hold", Request{StreamName: "s", URL: url, Options: Options{Slate: "a.png"}}, bad("options.slate")},
		{"no slates", Request{StreamName: "s", URL: url, Options: Options{Slate: "a.png", OnSourceLoss: "hold"}}, bad("options.slate")},
		{"unknown codec", Request{StreamName: "s", URL: url, Options: Options{Codecs: []string{"opus", "mp3"}}}, bad("options.codecs")},
		{"forbidden", Request{StreamName: "s", URL: "rtmp://169.254.169.254/live"}, bad("rtmpUrl")},
		{"unknown action", Request{StreamName: "s", URL: url, Options: Options{Action: "sing"}}, bad("options.action")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := b.Start(t.Context(), tt.req); !tt.want(err) {
				t.Errorf("Start = %v", err)
			}
		})
	}
	if all := b.Find(Filter{}); len(all) != 0 {
		t.Errorf("refused requests left %+v", all)
	}

	server := testkit.NewRTMPServer(t, testkit.Script{At: "accept", Do: testkit.StaySilent})
	b.start(Request{StreamName: "s", URL: server.URL("live"), Width: 640}) // width alone does nothing
	if _, err := b.Start(t.Context(), Request{StreamName: "s", URL: server.URL("other")}); !errors.Is(err, load.ErrFull) {
		t.Errorf("one push too many = %v, want load.ErrFull", err)
	}
}

func TestFind(t *testing.T) {
	b := newBench(t, nil)
	server := testkit.NewRTMPServer(t, testkit.Script{At: "accept", Do: testkit.StaySilent})
	b.source("a")
	b.source("b")
	first := b.start(Request{StreamName: "a", URL: server.URL("live")})
	second := b.start(Request{StreamName: "a", URL: server.URL("live/")[:len(server.URL("live/"))-1] + "2"})
	third := b.start(Request{StreamName: "b", URL: server.URL("live")})
	tests := []struct {
		name   string
		filter Filter
		want   []string
	}{
		{"all, oldest first", Filter{}, []string{first.ID, second.ID, third.ID}},
		{"source's name", Filter{StreamName: "a"}, []string{first.ID, second.ID}},
		{"published name", Filter{StreamName: "rtmp_b"}, []string{third.ID}},
		{"URL", Filter{URL: server.URL("live")}, []string{first.ID, third.ID}},
		{"URL in another spelling", Filter{URL: server.URL("live/")}, []string{first.ID, third.ID}},
		{"both", Filter{StreamName: "a", URL: server.URL("live")}, []string{first.ID}},
		{"id", Filter{ID: second.ID}, []string{second.ID}},
		{"none", Filter{StreamName: "x"}, nil},
		{"an unreadable URL", Filter{URL: "?"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, i := range b.Find(tt.filter) {
				got = append(got, i.ID)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("Find = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestReservedStreamIsWaitedFor(t *testing.T) {
	b := newBench(t, nil)
	server := testkit.NewRTMPServer(t, testkit.Script{})
	s := b.pending("s")
	b.start(Request{StreamName: "s", URL: server.URL("live")})
	if i := b.Find(Filter{})[0]; i.State != Starting {
		t.Errorf("state %s before the stream is live, want STARTING", i.State)
	}
	s.SetLive()
	s.live(t, server)

	gone := b.pending("gone")
	b.start(Request{StreamName: "gone", URL: server.URL("live")})
	gone.Close(nil)
	if end := b.end(); end.State != Ended || end.Reason != ReasonSourceLost || end.Attempts != 0 {
		t.Errorf("a stream that never came ends its push as %s, %s after %d attempts", end.State, end.Reason, end.Attempts)
	}
}

func TestShutdownIsPolite(t *testing.T) {
	b := newBench(t, nil)
	server := testkit.NewRTMPServer(t, testkit.Script{})
	silent := testkit.NewRTMPServer(t, testkit.Script{At: "connect", Do: testkit.StaySilent})
	s := b.source("s")
	b.start(Request{StreamName: "s", URL: server.URL("live")})
	b.start(Request{StreamName: "s", URL: silent.URL("live")})
	s.live(t, server)
	silent.Wait(t, "connect", func() bool { return len(silent.Calls()) > 0 })
	b.stop()
	for range 2 {
		if end := b.end(); end.State != Ended || end.Reason != ReasonShutdown {
			t.Errorf("ended as %s, %s", end.State, end.Reason)
		}
	}
	server.Wait(t, "goodbye", func() bool { return saidGoodbye(server) })
	if _, err := b.Start(t.Context(), Request{StreamName: "s", URL: server.URL("live")}); !errors.Is(err, ErrStopping) {
		t.Errorf("Start after the end = %v, want ErrStopping", err)
	}
}

func TestLocalAddress(t *testing.T) {
	b := newBench(t, func(c *Config) { c.LocalAddr = netip.MustParseAddr("::1") })
	server := testkit.NewRTMPServer(t, testkit.Script{})
	b.source("s")
	b.start(Request{StreamName: "s", URL: server.URL("live")}) // on 127.0.0.1
	if end := b.end(); end.Reason != ReasonUnreachable {
		t.Errorf("from ::1 to 127.0.0.1 ended as %s, want unreachable", end.Reason)
	}

	b = newBench(t, func(c *Config) { c.LocalAddr = netip.MustParseAddr("127.0.0.2") })
	b.source("s")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	b.start(Request{StreamName: "s", URL: "rtmp://" + l.Addr().String() + "/live"})
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if from := conn.RemoteAddr().(*net.TCPAddr).IP.String(); from != "127.0.0.2" {
		t.Errorf("the push comes from %s, want 127.0.0.2", from)
	}
}

// The server gets what the settings and the request say.
func TestWhatServersAreTold(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Config)
		req    Request
		want   map[string]any // of connect; nil: it is not there
		quiet  bool           // there is no metadata
	}{
		{"defaults", nil, Request{}, map[string]any{
			"flashVer": "FMLE/3.0 (compatible; FMSc/1.0)", "capsEx": 1.0, "fourCcList": nil, "videoFourCcInfoMap": nil,
		}, false},
		{"rtmp_flash_ver_subscriber", func(c *Config) { c.FlashVersion = "LNX 1" }, Request{}, map[string]any{"flashVer": "LNX 1"}, false},
		{
			"rtmpFlashVersion", func(c *Config) { c.FlashVersion = "LNX 1" }, Request{FlashVersion: "LNX 76.219.189.0"},
			map[string]any{"flashVer": "LNX 76.219.189.0"}, false,
		},
		{"codecs", nil, Request{Options: Options{Codecs: []string{"hevc", "opus"}}}, map[string]any{"fourCcList": []any{"hvc1", "Opus"}}, false},
		{"rtmp_transponder_send_metadata", func(c *Config) { c.SendMetadata = false }, Request{}, nil, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, tt.change)
			server := testkit.NewRTMPServer(t, testkit.Script{})
			s := b.source("s")
			tt.req.StreamName, tt.req.URL = "s", server.URL("live")
			b.start(tt.req)
			s.live(t, server)
			said := server.Connects()[0]
			for key, want := range tt.want {
				if got := said[key]; !reflect.DeepEqual(got, want) {
					t.Errorf("%s is %v, want %v", key, got, want)
				}
			}
			if quiet := len(server.Metadata()) == 0; quiet != tt.quiet {
				t.Errorf("metadata %v", server.Metadata())
			}
		})
	}
}

// authority signs certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{t: t, key: key, cert: &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(time.Hour),
	}}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, key.Public(), key)
	if err == nil {
		a.cert, err = x509.ParseCertificate(der)
	}
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// sign makes a certificate for a name that is valid until a time.
func (a *authority) sign(name string, until time.Time) tls.Certificate {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{name}, NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: until,
	}, a.cert, a.key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: a.key}
}

// A push tells an rtmps server the name in the address. It accepts only a valid certificate for that name from a known authority, and has a
// text for each fault of a certificate.
func TestTLS(t *testing.T) {
	const name = "live.name.test"
	ours, theirs := newAuthority(t), newAuthority(t)
	soon := time.Now().Add(time.Hour)
	trust := func(c *Config) {
		c.RootCAs = x509.NewCertPool()
		c.RootCAs.AddCert(ours.cert)
		c.Resolve = func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		}
	}
	skip := func(c *Config) { c.SkipTLSVerify = true }
	hasty := func(c *Config) {
		trust(c)
		c.ConnectTimeout = time.Second
	}
	silent := testkit.Script{At: "accept", Do: testkit.StaySilent}
	tests := []struct {
		title  string
		server *testkit.RTMPServer
		host   string // "": 127.0.0.1
		change func(*Config)
		want   Reason // "": live
		detail string // a part of it
		asked  string // for by name
	}{
		{"right", testkit.NewRTMPSServer(t, testkit.Script{}, ours.sign(name, soon)), name, trust, "", "", name},
		{"right, name with a final dot", testkit.NewRTMPSServer(t, testkit.Script{}, ours.sign(name, soon)), name + ".", trust, "", "", name},
		{"unverified, by address", testkit.NewRTMPSServer(t, testkit.Script{}, theirs.sign(name, soon)), "", skip, "", "", ""},
		{
			"expired", testkit.NewRTMPSServer(t, testkit.Script{}, ours.sign(name, time.Now().Add(-time.Hour))), name, trust,
			ReasonTLSVerify, "expired", name,
		},
		{
			"of another", testkit.NewRTMPSServer(t, testkit.Script{}, ours.sign("other.test", soon)), name, trust,
			ReasonTLSVerify, "another name", name,
		},
		{
			"of a stranger", testkit.NewRTMPSServer(t, testkit.Script{}, theirs.sign(name, soon)), name, trust,
			ReasonTLSVerify, "trusted", name,
		},
		{"no TLS there", testkit.NewRTMPServer(t, testkit.Script{}), name, trust, ReasonTLS, "rtmps://", ""},
		{"no answer", testkit.NewRTMPServer(t, silent), name, hasty, ReasonTimeout, "in time", ""},
	}
	for _, tt := range tests {
		t.Run(tt.title, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, tt.change)
			s := b.source("s")
			_, address, _ := strings.Cut(tt.server.URL("live"), "://")
			if tt.host != "" {
				address = strings.Replace(address, "127.0.0.1", tt.host, 1)
			}
			b.start(Request{StreamName: "s", URL: "rtmps://" + address})
			if tt.want == "" {
				s.live(t, tt.server)
				s.Close(nil)
				tt.server.Wait(t, "goodbye", func() bool {
					return saidGoodbye(tt.server)
				})
			} else if end := b.end(); end.State != Failed || end.Reason != tt.want || !strings.Contains(end.Detail, tt.detail) {
				t.Errorf("ended as %s, %s (%s), want %s", end.State, end.Reason, end.Detail, tt.want)
			}
			if names := tt.server.ServerNames(); len(names) > 0 && (len(names) != 1 || names[0] != tt.asked) || len(names) == 0 && tt.asked != "" {
				t.Errorf("asked for as %q, want %q", names, tt.asked)
			}
		})
	}
}

// Nothing that is printed in the life of a push, failures included, contains the keys and passwords of its addresses.
func TestLogKeepsSecrets(t *testing.T) {
	b := newBench(t, func(c *Config) { c.FullURL = true })
	friendly := testkit.NewRTMPServer(t, testkit.Script{})
	taken := testkit.NewRTMPServer(t, testkit.Script{At: "publish", Do: testkit.Refuse, Code: "NetStream.Publish.BadName", Description: "CANARY is taken"})
	s := b.source("s")
	with := func(server *testkit.RTMPServer, path string) string {
		return strings.Replace(server.URL(path), "://", "://CANARY:CANARY@", 1)
	}
	b.start(Request{StreamName: "s", URL: with(friendly, "app/inst/CANARY?t=CANARY")})
	b.start(Request{StreamName: "s", URL: with(taken, "app/CANARY")})
	b.end()
	s.live(t, friendly)
	for _, i := range b.Find(Filter{}) {
		if strings.Contains(i.Detail, "CANARY") {
			t.Errorf("detail %q", i.Detail)
		}
	}
	b.stop()
	if log := b.log.String(); strings.Contains(log, "CANARY") || !strings.Contains(log, "push live") {
		t.Errorf("log:\n%s", log)
	}
}

// Pushes that have ended leave nothing behind: TestMain counts the goroutines, this test the pushes and their history.
func TestManyComeAndGo(t *testing.T) {
	b := newBench(t, nil)
	server := testkit.NewRTMPServer(t, testkit.Script{})
	s := b.source("s")
	before := runtime.NumGoroutine()
	for range 100 {
		info := b.start(Request{StreamName: "s", URL: server.URL("live")})
		s.write(10, 20)
		if err := b.Terminate(t.Context(), info.ID); err != nil {
			t.Fatal(err)
		}
		b.end()
	}
	if left := b.Find(Filter{}); len(left) != 0 {
		t.Errorf("left: %+v", left)
	}
	if past := b.History(1000); len(past) != 100 || past[0].Started.Before(past[99].Started) {
		t.Errorf("%d in the history, want 100, the newest first", len(past))
	}
	b.wait("goroutines' end", func() bool { return runtime.NumGoroutine() <= before })
	if readers := s.Stats().Video.Readers; readers != 0 {
		t.Errorf("%d readers are left", readers)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	b := newBench(t, nil)
	for n := range historySize {
		b.history.past = append(b.history.past, &Info{ID: fmt.Sprintf("%05d", n), Ended: time.Unix(int64(n), 0)})
	}
	b.source("s")
	server := testkit.NewRTMPServer(t, testkit.Script{At: "accept", Do: testkit.HangUp})
	info := b.start(Request{StreamName: "s", URL: server.URL("live")})
	b.end()
	if past := b.History(2 * historySize); len(past) != historySize || past[0].ID != info.ID {
		t.Errorf("%d in the history, the newest %q", len(past), past[0].ID)
	}
	if past := b.History(1); len(past) != 1 || past[0].ID != info.ID {
		t.Errorf("the last one is %+v", past)
	}
	if past := b.History(-1); len(past) != 0 {
		t.Errorf("%d of fewer than none", len(past))
	}
}
