package cluster

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"transponder/internal/access/auth"
	"transponder/internal/media"
	"transponder/internal/rtmp"
	"transponder/internal/rtmpserver"
	"transponder/internal/state"
	"transponder/internal/stream"
	"transponder/internal/testkit"
)

// noOrigins knows no connection.
type noOrigins struct{}

func (noOrigins) Origin(rtmp.Trail, string) (push string, ring bool) { return "", false }

// ownAudio returns the feed of the source.
type ownAudio struct{}

func (ownAudio) Feed(s *stream.Source, _ media.AudioFormat) (*stream.Feed, func(), error) {
	return s.Audio, func() {}, nil
}

// relayNode is a server that plays streams of others.
type relayNode struct {
	hub   *stream.Hub
	relay *Relay
	peer  *wirePeer
	calls atomic.Int64 // of Transcode
}

func newRelayNode(t *testing.T, w *wire, name string, sealer state.Sealer) *relayNode {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	n := &relayNode{hub: stream.NewHub(stream.DefaultConfig(), nil), peer: w.join(name)}
	router := NewRouter(n.peer, sealer, log)
	router.Has(KindStream, func(id string) bool {
		src, ok := n.hub.Source(id)
		return ok && !src.Info().IsRelay()
	})
	n.relay = NewRelay(RelayParts{Router: router, Hub: n.hub, Transcode: func(s *stream.Source, codec media.Codec) (*stream.Feed, func(), error) {
		n.calls.Add(1)
		feed, release, err := s.Rendition("test", nil, func(ctx context.Context, out *stream.Feed) error {
			track := &media.Track{Codec: codec, SampleRate: 48000, Channels: 2, Config: []byte{0x11, 0x90}}
			for ctx.Err() == nil {
				out.Write(media.Frame{Track: track, Time: s.Now(), Key: true, Data: []byte("made")})
				time.Sleep(20 * time.Millisecond) // the pace of sound
			}
			return context.Cause(ctx)
		})
		return feed, release, err
	}}, log)
	n.relay.unused = 300 * time.Millisecond
	cfg := rtmpserver.DefaultConfig()
	cfg.Address = "127.0.0.1:0"
	server, err := rtmpserver.New(cfg, rtmpserver.Parts{
		Hub: n.hub, Audio: ownAudio{}, Origins: noOrigins{}, Access: auth.New(auth.Config{Mode: auth.Closed}, auth.Parts{}, log), Relays: n.relay,
	}, log)
	if err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	n.peer.rtmp = server.Addr().String()
	w.mu.Unlock()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 3)
	go func() { ended <- n.hub.Run(ctx) }()
	go func() { ended <- server.Run(ctx) }()
	go func() { ended <- n.relay.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		for range 3 {
			<-ended
		}
		if n.relay.Pulled() != 0 || n.relay.Sent() != 0 || n.relay.Panics() != 0 {
			t.Errorf("%s: %d streams pulled and %d sent after the end, %d panics", name, n.relay.Pulled(), n.relay.Sent(), n.relay.Panics())
		}
	})
	testkit.Eventually(t, 10*time.Second, func() string {
		n.relay.mu.Lock()
		defer n.relay.mu.Unlock()
		if n.relay.running == nil {
			return "the relay does not run yet"
		}
		return ""
	})
	return n
}

// publisherOf writes pictures and sound to a new source until the test ends.
func publisherOf(t *testing.T, hub *stream.Hub, name string, audio media.Codec, ask func()) *stream.Source {
	t.Helper()
	src, err := hub.Publish(stream.Info{Name: name, ID: "id-" + name, Provider: "WHIP", HasVideo: true, HasAudio: true, AskKeyFrame: ask})
	if err != nil {
		t.Fatal(err)
	}
	src.SetLive()
	video, err := media.NewH264Track([]byte{
		0x67, 0x42, 0xc0, 0x1e, 0xd9, 0x00, 0xa0, 0x2f, 0xf9, 0x61, 0x00, 0x00, 0x03, 0x00, 0x01, 0x00, 0x00, 0x03, 0x00, 0x32, 0x0f, 0x16, 0x2e, 0x48,
	}, []byte{0x68, 0xce, 0x3c, 0x80})
	if err != nil {
		t.Fatal(err)
	}
	sound := &media.Track{Codec: audio, SampleRate: 48000, Channels: 2}
	if audio == media.PCMU {
		sound.SampleRate, sound.Channels = 8000, 1
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for i := range 100_000 {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			kind := byte(0x41)
			if i%25 == 0 {
				kind = 0x65
			}
			src.Video.Write(media.Frame{Track: video, Time: src.Now(), Key: kind == 0x65, Data: []byte{0, 0, 0, 3, kind, 0x88, byte(i)}})
			src.Audio.Write(media.Frame{Track: sound, Time: src.Now(), Key: true, Data: []byte{0xfc, byte(i), 1}})
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-stopped
		src.Close(nil)
	})
	return src
}

// firstFrames reads frames of a source until there were some of both kinds.
func firstFrames(t *testing.T, src *stream.Source) (video, audio media.Frame) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r := src.NewReader(stream.ReaderConfig{Video: src.Video, Audio: src.Audio})
	defer r.Close()
	var frames [16]media.Frame
	for video.Track == nil || audio.Track == nil {
		n, err := r.Read(ctx, frames[:])
		if err != nil {
			t.Fatalf("no frames of both kinds: %v", err)
		}
		for _, f := range frames[:n] {
			if f.Kind() == media.Video {
				video = f
			} else {
				audio = f
			}
		}
	}
	return video, audio
}

func TestRelay(t *testing.T) {
	w, sealer := &wire{}, newSealer(t)
	a, b := newRelayNode(t, w, "a", sealer), newRelayNode(t, w, "b", sealer)
	var asked atomic.Int64
	publisherOf(t, a.hub, "cam", media.Opus, func() { asked.Add(1) })

	if _, ok := b.relay.Source("nobody"); ok {
		t.Error("a stream that nobody has was found")
	}
	src, ok := b.relay.Source("cam")
	if !ok {
		t.Fatal("the stream of a was not found on b")
	}
	if i := src.Info(); !i.IsRelay() || !i.HasVideo || !i.HasAudio {
		t.Errorf("the stream on b is %+v, want a relay with pictures and sound", i)
	}
	video, audio := firstFrames(t, src)
	if video.Track.Codec != media.H264 || !bytes.HasPrefix(video.Data, []byte{0, 0, 0, 3}) || audio.Track.Codec != media.Opus || len(audio.Data) != 3 {
		t.Errorf("b has %v %x and %v %x, want the frames of a untouched", video.Track.Codec, video.Data, audio.Track.Codec, audio.Data)
	}
	if a.calls.Load() != 0 {
		t.Error("a has transcoded what RTMP has")
	}
	before := asked.Load()
	testkit.Eventually(t, 20*time.Second, func() string {
		src.RequestKeyFrame() // again, because the key frames that come by themselves satisfy a request
		if asked.Load() == before {
			return "the publisher was not asked for a key frame"
		}
		return ""
	})
	if _, found, _ := a.relay.parts.Router.Locate(t.Context(), KindStream, "cam"); found {
		t.Error("b says that it has the stream of a")
	}
	select { // nobody reads it any more
	case <-src.Done():
	case <-time.After(20 * time.Second):
		t.Fatal("the stream stays on b without a reader")
	}
	if !errors.Is(src.Err(), errUnused) {
		t.Errorf("the stream on b has ended with %v, want %v", src.Err(), errUnused)
	}
}

// A codec that RTMP has not is transcoded by the server that has the stream.
func TestRelayTranscodes(t *testing.T) {
	w, sealer := &wire{}, newSealer(t)
	a, b := newRelayNode(t, w, "a", sealer), newRelayNode(t, w, "b", sealer)
	publisherOf(t, a.hub, "phone", media.PCMU, nil)
	src, ok := b.relay.Source("phone")
	if !ok {
		t.Fatal("the stream of a was not found on b")
	}
	if _, audio := firstFrames(t, src); audio.Track.Codec != media.AAC || a.calls.Load() != 1 {
		t.Errorf("b has %v, and a has transcoded %d times; want AAC, once", audio.Track.Codec, a.calls.Load())
	}
}

// A publisher who moves to the server that plays takes the name from the relay at once. One who moves to a third server is found there.
func TestRelayGivesWay(t *testing.T) {
	w, sealer := &wire{}, newSealer(t)
	a, b, c := newRelayNode(t, w, "a", sealer), newRelayNode(t, w, "b", sealer), newRelayNode(t, w, "c", sealer)
	b.relay.unused = time.Minute
	first := publisherOf(t, a.hub, "cam", media.Opus, nil)
	src, ok := b.relay.Source("cam")
	if !ok {
		t.Fatal("the stream of a was not found on b")
	}
	firstFrames(t, src)
	first.Close(nil)
	publisherOf(t, c.hub, "cam", media.Opus, nil)
	var again *stream.Source
	testkit.Eventually(t, 20*time.Second, func() string {
		if s, ok := b.hub.Source("cam"); ok && s != src {
			again = s
			return ""
		}
		return "the stream was not fetched from c"
	})
	firstFrames(t, again)
	own, err := b.hub.Publish(stream.Info{Name: "cam", ID: "own", Provider: "WHIP"})
	if err != nil {
		t.Fatalf("a publisher on b: %v", err)
	}
	defer own.Close(nil)
	if !errors.Is(again.Err(), stream.ErrReplaced) {
		t.Errorf("the relay has ended with %v, want %v", again.Err(), stream.ErrReplaced)
	}
}

// Strangers do not get in as another server.
func TestRelayKeepsStrangersOut(t *testing.T) {
	w, sealer := &wire{}, newSealer(t)
	b := newRelayNode(t, w, "b", sealer)
	for _, app := range []string{"transponder-relay", "transponder-relay?key=guess", "live"} {
		if _, ok := b.relay.Expects(app); ok {
			t.Errorf("%s: a connection is let in that nobody expects", app)
		}
	}
}
