package pion

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"transponder/internal/media"
	"transponder/internal/rtc"
	"transponder/internal/stream"
	"transponder/internal/testkit"
)

// theatre is a source and the clients that play it.
type theatre struct {
	t      *testing.T
	hub    *stream.Hub
	source *stream.Source
	egress *rtc.Egress
	asked  chan struct{}        // for key frames
	made   *stream.Source       // has the transcoded feeds
	hold   time.Duration        // of the players
	follow func(*stream.Source) // the players follow spares; nil: they do not
}

func newTheatre(t *testing.T) *theatre {
	t.Helper()
	cfg := stream.DefaultConfig()
	cfg.Takeover, cfg.Standby = stream.TakeoverAlways, true
	th := &theatre{t: t, hub: stream.NewHub(cfg, nil), asked: make(chan struct{}, 100)}
	th.publish("a")
	var err error
	if th.made, err = th.hub.Publish(stream.Info{Name: "made of a", ID: "b"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { th.made.Close(nil) })
	e := newEndpoint(t)
	made := func(_ *stream.Source, codec media.Codec) (*stream.Feed, func(), error) {
		if codec.Kind() == media.Audio {
			return th.made.Audio, func() {}, nil
		}
		return th.made.Video, func() {}, nil
	}
	th.egress = rtc.NewEgress(rtc.DefaultEgressConfig(), rtc.EgressParts{Sender: e, Transcode: made}, slog.New(slog.DiscardHandler))
	return th
}

// publish starts another source with the same name.
func (th *theatre) publish(id string) {
	th.t.Helper()
	th.source = th.another(id)
}

func (th *theatre) another(id string) *stream.Source {
	th.t.Helper()
	source, err := th.hub.Claim(th.t.Context(), stream.Info{Name: "a", ID: id, HasVideo: true, HasAudio: true, AskKeyFrame: func() {
		select {
		case th.asked <- struct{}{}:
		default:
		}
	}})
	if err != nil {
		th.t.Fatal(err)
	}
	th.t.Cleanup(func() { source.Close(nil) })
	return source
}

// repeat writes a frame each 10 ms until the test ends.
func (th *theatre) repeat(feed *stream.Feed, f media.Frame) {
	ctx, cancel := context.WithCancel(th.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		every := time.NewTicker(10 * time.Millisecond)
		defer every.Stop()
		for {
			feed.Write(f)
			f.Time = f.Time.Add(10 * time.Millisecond)
			select {
			case <-every.C:
			case <-ctx.Done():
				return
			}
		}
	})
	th.t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
}

// play plays in the background. end closes the player; ended gets the error of the playback's Run.
func (th *theatre) play(cfg testkit.PlayerConfig) (p *testkit.Player, b *rtc.Playback, end func(), ended chan error) {
	th.t.Helper()
	p = testkit.NewPlayer(cfg)
	ctx, cancel := context.WithCancel(th.t.Context())
	ended = make(chan error, 1)
	begun := make(chan *rtc.Playback, 1)
	gone := make(chan error, 1)
	go func() {
		gone <- p.Run(ctx, func(ctx context.Context, offer string) (string, error) {
			b, err := th.egress.Play(ctx, rtc.Offer{SDP: offer}, th.source)
			if err != nil {
				return "", err
			}
			if th.hold > 0 {
				b.Hold(th.hub, th.hold)
			}
			if th.follow != nil {
				b.Follow(th.hub, th.follow)
			}
			begun <- b
			go func() { ended <- b.Run(context.WithoutCancel(ctx)) }()
			return b.Answer(), nil
		})
	}()
	select {
	case b = <-begun:
	case err := <-gone:
		cancel()
		th.t.Fatal(err)
	}
	var over bool
	end = func() {
		if !over {
			over = true
			cancel()
			<-gone
		}
	}
	th.t.Cleanup(end)
	return p, b, end, ended
}

var (
	h264Config = []byte{1, 0x42, 0xe0, 0x1f, 0xff, 0xe1, 0, 4, 0x67, 0x42, 0xe0, 0x1f, 1, 0, 4, 0x68, 0xce, 0x3c, 0x80}
	h264Track  = &media.Track{Codec: media.H264, Width: 640, Height: 360, Config: h264Config}
	opusTrack  = &media.Track{Codec: media.Opus, SampleRate: 48000, Channels: 2}
)

// picture returns a frame of a few NAL units, with its number inside.
func picture(n, size int, key bool) media.Frame {
	kind := byte(0x41)
	if key {
		kind = 0x65
	}
	var data []byte
	for _, long := range []int{20, size, 30} {
		nal := append([]byte{kind, 0x88}, bytes.Repeat([]byte{byte(n), byte(n >> 8), 3}, long/3)...)
		data = append(binary.BigEndian.AppendUint32(data, uint32(len(nal))), nal...)
	}
	return media.Frame{Track: h264Track, Time: media.Timestamp(n) * media.Timestamp(time.Second/30), Key: key, Data: data}
}

// byteStream returns the form in which the player gets a frame: with parameter sets before a key frame.
func byteStream(f media.Frame) []byte {
	var b []byte
	put := func(nal []byte) { b = append(append(b, 0, 0, 0, 1), nal...) }
	if f.Key {
		put(h264Config[8:12])
		put(h264Config[15:])
	}
	for rest := f.Data; len(rest) > 0; {
		n := binary.BigEndian.Uint32(rest)
		put(rest[4 : 4+n])
		rest = rest[4+n:]
	}
	return b
}

// The player gets the frames of the source, byte for byte, over a link that loses one packet in twenty.
func TestPlay(t *testing.T) {
	for _, drop := range []float64{0, 0.05} {
		th := newTheatre(t)
		th.source.Video.Write(picture(0, 100, true))
		th.source.Audio.Write(media.Frame{Track: opusTrack, Key: true, Data: []byte{0xfc, 1}})
		p, b, end, ended := th.play(testkit.PlayerConfig{Video: true, Audio: true, Drop: drop, Seed: 7})
		<-b.Connected()

		// A player that joins gets nothing before a key frame, and a key frame is asked for.
		select {
		case <-th.asked:
		case <-time.After(30 * time.Second):
			t.Fatal("no key frame was asked for")
		}
		var want [][]byte
		const frames = 120
		for n := 1; len(p.Frames("video")) < frames; n++ {
			if n > 20*frames {
				t.Fatalf("loss %v: %d pictures came of %d", drop, len(p.Frames("video")), n)
			}
			size, key := 10+n*n*7%5000, n%30 == 2
			large := n == 32 && drop == 0
			if large {
				size = 100_000 // more than is sent at once
			}
			f := picture(n, size, key)
			th.source.Video.Write(f)
			if n >= 2 {
				want = append(want, byteStream(f))
			}
			// The times of sound waver, as they do when they follow a publisher's reports.
			th.source.Audio.Write(media.Frame{
				Track: opusTrack, Key: true, Data: []byte{0xfc, byte(n)},
				Time: media.Timestamp(time.Duration(n)*20*time.Millisecond + time.Duration(n%5)*time.Millisecond),
			})
			if large {
				time.Sleep(100 * time.Millisecond)
			}
			// Send no faster than a link can carry, and leave time for lost packets: the player asks for them ten times a second.
			time.Sleep(2*time.Millisecond + time.Duration(160*drop)*time.Millisecond)
		}
		first := slices.IndexFunc(want, func(b []byte) bool { return bytes.Equal(b, p.Frames("video")[0].Data) })
		if first < 0 || drop == 0 && first > 0 { // packets that are lost before the first one that arrives are not asked for
			t.Fatalf("loss %v: begins with picture %d", drop, first)
		}
		for i, got := range p.Frames("video") {
			if !bytes.Equal(got.Data, want[first+i]) {
				at := slices.IndexFunc(want, func(b []byte) bool { return bytes.Equal(b, got.Data) })
				t.Fatalf("loss %v: picture %d of %d bytes is number %d, want %d of %d bytes", drop, i, len(got.Data), at, first+i, len(want[first+i]))
			}
			if i > 0 && got.Time-p.Frames("video")[0].Time != uint32(i*3000) {
				t.Errorf("picture %d is at %d", i, got.Time-p.Frames("video")[0].Time)
			}
		}
		if sound := p.Frames("audio"); drop == 0 {
			if len(sound) < frames-10 {
				t.Errorf("%d packets of sound beside %d pictures", len(sound), frames)
			}
			for i := 1; i < len(sound); i++ {
				if sound[i].Time-sound[i-1].Time != 960 {
					t.Errorf("packet %d of sound comes %d samples after the last, want 960", i, sound[i].Time-sound[i-1].Time)
				}
			}
		}
		p.Wait(t, "reports", func() bool { return len(p.Reports("video")) > 0 && len(p.Reports("audio")) > 0 })
		st := b.Stats()
		if st.Video != h264Track || st.Audio != opusTrack || st.Bytes < st.VideoBytes || st.VideoBytes < 100_000 || drop > 0 && st.NACKed == 0 {
			t.Errorf("loss %v: figures %+v", drop, st)
		}
		if err := p.RequestKeyFrame(); err != nil {
			t.Error(err)
		}
		testkit.Eventually(t, 30*time.Second, func() string {
			if b.Stats().PLIs == 0 {
				return "the player's request for a key frame went nowhere"
			}
			return ""
		})
		end()
		if err := <-ended; !errors.Is(err, rtc.ErrClientClosed) {
			t.Errorf("ends with %v, want ErrClientClosed", err)
		}
	}
}

// The playback ends with its source, and its error wraps the source's.
func TestPlayEnd(t *testing.T) {
	th := newTheatre(t)
	th.source.Video.Write(picture(0, 100, true))
	th.source.Audio.Write(media.Frame{Track: opusTrack, Key: true, Data: []byte{0xfc, 1}})
	_, b, _, ended := th.play(testkit.PlayerConfig{Video: true, Audio: true})
	<-b.Connected()
	cause := errors.New("that was it")
	th.source.Close(cause)
	if err := <-ended; !errors.Is(err, rtc.ErrSourceEnded) || !errors.Is(err, cause) {
		t.Errorf("ends with %v, want ErrSourceEnded for the source's cause", err)
	}
	if n := th.egress.Players(); n != 0 {
		t.Errorf("%d players at the end", n)
	}
}

// For a player that bundles nothing, pictures and sound leave over a transport each. Both end when one of them does.
func TestPlayApart(t *testing.T) {
	th := newTheatre(t)
	th.source.Video.Write(picture(0, 100, true))
	th.source.Audio.Write(media.Frame{Track: opusTrack, Key: true, Data: []byte{0xfc, 1}})
	ended := make(chan error, 1)
	first, second := testkit.Apart(func(ctx context.Context, offer string) (string, error) {
		b, err := th.egress.Play(ctx, rtc.Offer{SDP: offer}, th.source)
		if err != nil {
			return "", err
		}
		go func() { ended <- b.Run(context.WithoutCancel(ctx)) }()
		return b.Answer(), nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	pictures := testkit.NewPlayer(testkit.PlayerConfig{Video: true})
	sound := testkit.NewPlayer(testkit.PlayerConfig{Audio: true})
	gone := make(chan error, 2)
	leaving, leave := context.WithCancel(ctx)
	go func() { gone <- pictures.Run(leaving, first) }()
	go func() { gone <- sound.Run(ctx, second) }()
	th.repeat(th.source.Audio, media.Frame{Track: opusTrack, Key: true, Data: []byte{0xfc, 2}})
	th.repeat(th.source.Video, picture(1, 100, true))
	pictures.Wait(t, "pictures", func() bool { return len(pictures.Frames("video")) > 10 && len(pictures.Reports("video")) > 0 })
	sound.Wait(t, "sound", func() bool { return len(sound.Frames("audio")) > 10 && len(sound.Reports("audio")) > 0 })
	leave()
	for range 2 {
		if err := <-gone; err != nil && !errors.Is(err, testkit.ErrConnection) {
			t.Error(err)
		}
	}
	if err := <-ended; !errors.Is(err, rtc.ErrClientClosed) {
		t.Errorf("ends with %v, want ErrClientClosed", err)
	}
	if n := th.egress.Players(); n != 0 {
		t.Errorf("%d players at the end", n)
	}
}

// A player keeps its session while the publisher is away, and goes on with the next publisher of the name. Times never go
// back, even if the next one starts before the last frames of the other are over, or sends another codec.
func TestPlayGoesOn(t *testing.T) {
	th := newTheatre(t)
	th.hold = time.Minute
	th.source.Video.Write(picture(0, 100, true))
	th.source.Audio.Write(media.Frame{Track: opusTrack, Key: true, Data: []byte{0xfc, 1}})
	p, b, _, ended := th.play(testkit.PlayerConfig{Video: true, Audio: true})
	<-b.Connected()
	// show writes pictures until one of them is played.
	show := func(n int, at time.Duration) {
		t.Helper()
		want := byteStream(picture(n, 100, true))
		sound := media.Frame{Track: opusTrack, Key: true, Data: []byte{0xfc, byte(n)}}
		p.Wait(t, "picture and sound", func() bool {
			f := picture(n, 100, true)
			f.Time, sound.Time = media.Timestamp(at), media.Timestamp(at)
			th.source.Video.Write(f)
			th.source.Audio.Write(sound)
			at += 20 * time.Millisecond
			time.Sleep(5 * time.Millisecond)
			v, a := p.Frames("video"), p.Frames("audio")
			return len(v) > 0 && len(a) > 0 && bytes.Equal(v[len(v)-1].Data, want) && bytes.Equal(a[len(a)-1].Data, sound.Data)
		})
	}
	<-th.asked
	show(1, time.Second)
	for i, id := range []string{"second", "third"} {
		for len(th.asked) > 0 {
			<-th.asked
		}
		th.source.Close(errors.New("the publisher left"))
		th.publish(id)
		select {
		case <-th.asked: // for the first picture
		case <-time.After(30 * time.Second):
			t.Fatal("no key frame was asked for")
		}
		show(i+2, 0) // the clock of the new source has hardly begun
	}
	if st := b.Stats(); st.Dropped != 0 {
		t.Errorf("figures %+v", st)
	}
	for _, kind := range []string{"video", "audio"} {
		frames := p.Frames(kind)
		for i := 1; i < len(frames); i++ {
			if step := int32(frames[i].Time - frames[i-1].Time); step <= 0 {
				t.Errorf("%s goes from %d to %d", kind, frames[i-1].Time, frames[i].Time)
			}
		}
	}
	th.source.Close(nil)
	th.publish("fourth")
	th.repeat(th.source.Audio, media.Frame{Track: &media.Track{Codec: media.AAC}, Key: true, Data: []byte{1}})
	th.repeat(th.made.Audio, media.Frame{Track: opusTrack, Key: true, Data: []byte{0xfc, 99}})
	p.Wait(t, "sound of the rendition's", func() bool {
		a := p.Frames("audio")
		return bytes.Equal(a[len(a)-1].Data, []byte{0xfc, 99})
	})
	select {
	case err := <-ended:
		t.Errorf("it ended meanwhile: %v", err)
	default:
	}
}

// A player without a hold goes on with the spare of its source, and with the spare of that, and ends with the last of them.
func TestPlayFollowsSpares(t *testing.T) {
	th := newTheatre(t)
	followed := make(chan *stream.Source, 10)
	th.follow = func(s *stream.Source) { followed <- s }
	th.source.Video.Write(picture(0, 100, true))
	p, b, _, ended := th.play(testkit.PlayerConfig{Video: true})
	<-b.Connected()
	for n, id := range []string{"", "second", "third"} {
		if id != "" {
			spare := th.another(id)
			th.source.Close(errors.New("the publisher left"))
			select {
			case s := <-followed:
				if s != spare {
					t.Error("the player follows another source")
				}
			case err := <-ended:
				t.Fatalf("the player ended with %v", err)
			}
			th.source = spare
		}
		f := picture(n+1, 100, true)
		want := byteStream(f)
		f.Time = th.source.Now()
		th.repeat(th.source.Video, f)
		p.Wait(t, "picture of "+th.source.Info().ID, func() bool {
			v := p.Frames("video")
			return len(v) > 0 && bytes.Equal(v[len(v)-1].Data, want)
		})
	}
	frames := p.Frames("video")
	for i := 1; i < len(frames); i++ {
		if step := int32(frames[i].Time - frames[i-1].Time); step <= 0 {
			t.Errorf("time goes from %d to %d", frames[i-1].Time, frames[i].Time)
		}
	}
	th.source.Close(nil)
	th.publish("fourth") // which was no spare
	select {
	case err := <-ended:
		if !errors.Is(err, rtc.ErrSourceEnded) {
			t.Errorf("the player ended with %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("the player has not ended with its last source")
	}
}

// If no publisher comes in time, the session ends.
func TestPlayHeldInVain(t *testing.T) {
	th := newTheatre(t)
	th.hold = 50 * time.Millisecond
	th.source.Video.Write(picture(0, 100, true))
	th.source.Audio.Write(media.Frame{Track: opusTrack, Key: true, Data: []byte{0xfc, 1}})
	p, b, _, ended := th.play(testkit.PlayerConfig{Video: true, Audio: true})
	<-b.Connected()
	<-th.asked
	th.source.Video.Write(picture(1, 100, true))
	th.source.Audio.Write(media.Frame{Track: opusTrack, Key: true, Data: []byte{0xfc, 1}})
	p.Wait(t, "media", func() bool { return len(p.Frames("video")) > 0 && len(p.Frames("audio")) > 0 })
	cause := errors.New("the publisher left")
	th.source.Close(cause)
	select {
	case err := <-ended:
		if !errors.Is(err, rtc.ErrSourceEnded) || !errors.Is(err, cause) {
			t.Errorf("ends with %v, want ErrSourceEnded for the source's cause", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it does not end")
	}
}

// Sound that is not Opus, and pictures with B-frames, are played from a rendition.
func TestPlayRenditions(t *testing.T) {
	th := newTheatre(t)
	th.source.Video.Write(picture(0, 100, true))
	th.source.Audio.Write(media.Frame{Track: &media.Track{Codec: media.AAC}, Key: true, Data: []byte{1}})
	p, b, _, _ := th.play(testkit.PlayerConfig{Video: true, Audio: true})
	<-b.Connected()
	<-th.asked
	th.source.Video.Write(picture(1, 100, true))
	reordered := picture(2, 100, false)
	reordered.Delay = time.Second
	th.source.Video.Write(reordered)
	p.Wait(t, "a picture of the source's and one of the rendition's", func() bool {
		th.made.Video.Write(picture(200, 100, true))
		th.made.Audio.Write(media.Frame{Track: opusTrack, Key: true, Data: []byte{0xfc, 9}})
		time.Sleep(time.Millisecond)
		v := p.Frames("video")
		return len(v) > 1 && bytes.Equal(v[len(v)-1].Data, byteStream(picture(200, 100, true))) && len(p.Frames("audio")) > 0
	})
}

// A browser without H.264 gets VP8.
func TestPlayWithoutH264(t *testing.T) {
	th := newTheatre(t)
	th.source.Video.Write(picture(0, 100, true))
	th.source.Audio.Write(media.Frame{Track: opusTrack, Key: true, Data: []byte{0xfc, 1}})
	p, b, _, _ := th.play(testkit.PlayerConfig{Video: true, MimeType: "video/VP8"})
	<-b.Connected()
	vp8 := media.Frame{Track: &media.Track{Codec: media.VP8, Width: 16, Height: 16}, Key: true, Data: []byte{0x10, 0, 0, 0x9d, 1, 0x2a, 16, 0, 16, 0}}
	th.repeat(th.made.Video, vp8)
	p.Wait(t, "a picture of the rendition's", func() bool { return len(p.Frames("video")) > 0 })
	if got := p.Frames("video")[0].Data; !bytes.Equal(got, vp8.Data) {
		t.Errorf("the player got %x, want %x", got, vp8.Data)
	}
	if st := b.Stats(); st.Video == nil || st.Video.Codec != media.VP8 {
		t.Errorf("Stats tells %+v as the pictures' track", st.Video)
	}
}

// The sound is unknown when the offer is answered, and then it is not Opus, as was assumed.
func TestPlayLateSound(t *testing.T) {
	th := newTheatre(t)
	th.source.Video.Write(picture(0, 100, true))
	p, b, _, _ := th.play(testkit.PlayerConfig{Video: true, Audio: true}) // the answer waits a while for sound
	<-b.Connected()
	<-th.asked
	th.source.Video.Write(picture(1, 100, true))
	th.repeat(th.source.Audio, media.Frame{Track: &media.Track{Codec: media.AAC}, Key: true, Data: []byte{1}})
	th.repeat(th.made.Audio, media.Frame{Track: opusTrack, Key: true, Data: []byte{0xfc, 9}})
	p.Wait(t, "sound of the rendition's", func() bool { return len(p.Frames("audio")) > 0 })
	if got := p.Frames("audio")[0].Data; !bytes.Equal(got, []byte{0xfc, 9}) {
		t.Errorf("the player got %x", got)
	}
}

func TestPlayRefused(t *testing.T) {
	th := newTheatre(t)
	th.source.Audio.Write(media.Frame{Track: opusTrack, Key: true, Data: []byte{0xfc, 1}})
	th.source.Video.Write(picture(0, 100, true))
	for _, tt := range []struct {
		offer string
		want  error
	}{
		{"", rtc.ErrBadOffer},
		{"v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=recvonly\r\na=rtpmap:96 H263/90000\r\n", rtc.ErrNoCommonCodecs},
	} {
		if _, err := th.egress.Play(t.Context(), rtc.Offer{SDP: tt.offer}, th.source); !errors.Is(err, tt.want) {
			t.Errorf("%q: got %v, want %v", tt.offer, err, tt.want)
		}
	}
	if n := th.egress.Players(); n != 0 {
		t.Errorf("%d players of refused offers", n)
	}
}
