package pion

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"transponder/internal/media"
	"transponder/internal/panics"
	"transponder/internal/rtc"
	"transponder/internal/stream"
	"transponder/internal/testkit"
)

// exchange makes the WebRTC sides of calls, and has a source that stands for the phone.
type exchange struct {
	t        *testing.T
	hub      *stream.Hub
	duplexes *rtc.Duplexes
	made     *stream.Source // has the transcoded feeds
	tcp      bool           // media goes over TCP only
	network  *testkit.Relay // between the caller and us; nil: there is nothing between
}

// through returns SDP of ours as the caller gets it.
func (x *exchange) through(sdp string) (string, error) {
	if x.network == nil {
		return sdp, nil
	}
	return x.network.Answer(sdp)
}

func newExchange(t *testing.T, edit func(*rtc.Config)) *exchange {
	t.Helper()
	cfg := rtc.DefaultConfig()
	if edit != nil {
		edit(&cfg)
	}
	return exchangeOver(t, cfg, newEndpoint(t))
}

func exchangeOver(t *testing.T, cfg rtc.Config, endpoint *Endpoint) *exchange {
	t.Helper()
	x := &exchange{t: t, hub: stream.NewHub(stream.DefaultConfig(), nil)}
	x.made = x.source(stream.Info{})
	parts := rtc.DuplexParts{Connector: endpoint, Streams: x.hub, Transcode: x.transcode}
	x.duplexes = rtc.NewDuplexes(cfg, parts, slog.New(slog.DiscardHandler))
	return x
}

// source makes a source that ends with the test.
func (x *exchange) source(info stream.Info) *stream.Source {
	x.t.Helper()
	s, err := x.hub.Private(info)
	if err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(func() { s.Close(nil) })
	return s
}

var errNoTranscoder = errors.New("no transcoder for VP8 here")

func (x *exchange) transcode(src *stream.Source, codec media.Codec) (*stream.Feed, func(), error) {
	switch {
	case src.Audio.Track().Codec == media.MP3:
		panic("no idea of MP3")
	case codec == media.VP8:
		return nil, nil, errNoTranscoder
	case codec.Kind() == media.Audio:
		return x.made.Audio, func() {}, nil
	default:
		return x.made.Video, func() {}, nil
	}
}

var pcmuTrack = &media.Track{Codec: media.PCMU, SampleRate: 8000, Channels: 1}

// talk writes pictures of H.264, and sound that begins with mark, to a source until the test ends.
func (x *exchange) talk(s *stream.Source, sound *media.Track, mark byte) {
	ctx, cancel := context.WithCancel(x.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		every := time.NewTicker(20 * time.Millisecond)
		defer every.Stop()
		began := s.Now()
		for n := 0; ; n++ {
			f := picture(n, 100+n*97%3000, n%10 == 0)
			f.Time = began.Add(time.Duration(n) * 20 * time.Millisecond)
			s.Video.Write(f)
			s.Audio.Write(media.Frame{Track: sound, Time: f.Time, Key: true, Data: append([]byte{mark}, make([]byte, 159)...)})
			select {
			case <-every.C:
			case <-ctx.Done():
				return
			}
		}
	})
	x.t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
}

// codecs of the callers. The first of each kind is sent.
func callerCodecs(names ...string) []webrtc.RTPCodecParameters {
	known := map[string]webrtc.RTPCodecParameters{}
	add := func(name, mime string, pt webrtc.PayloadType, rate uint32, channels uint16, format string) {
		c := webrtc.RTPCodecParameters{PayloadType: pt}
		c.MimeType, c.ClockRate, c.Channels, c.SDPFmtpLine = mime, rate, channels, format
		known[name] = c
	}
	add("opus", webrtc.MimeTypeOpus, 111, 48000, 2, "minptime=10;useinbandfec=1")
	add("pcmu", webrtc.MimeTypePCMU, 0, 8000, 0, "")
	add("vp8", webrtc.MimeTypeVP8, 96, 90000, 0, "")
	add("h264", webrtc.MimeTypeH264, 102, 90000, 0, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f")
	add("rtx", webrtc.MimeTypeRTX, 103, 90000, 0, "apt=102")
	var list []webrtc.RTPCodecParameters
	for _, name := range names {
		list = append(list, known[name])
	}
	return list
}

// caller makes a client with these codecs. Its sound begins with 0xfc.
func caller(names ...string) *testkit.Caller {
	cfg := testkit.DefaultPublisherConfig()
	cfg.Codecs = callerCodecs(names...)
	cfg.Opus = [][]byte{append([]byte{0xfc}, make([]byte, 159)...)}
	return testkit.NewCaller(cfg)
}

// run runs a duplex and its caller until the test ends, or until hangUp, after which it returns the errors of both.
func (x *exchange) run(d *rtc.Duplex, gone <-chan error, cancel context.CancelFunc) (hangUp func() (duplex, client error)) {
	ended := make(chan error, 1)
	go func() { ended <- d.Run(context.WithoutCancel(x.t.Context())) }()
	var once sync.Once
	var duplex, client error
	hangUp = func() (error, error) {
		once.Do(func() {
			cancel()
			client = <-gone
			select {
			case duplex = <-ended:
			case <-time.After(2 * DefaultConfig().Expiry): // the goodbye may be lost
				x.t.Error("the duplex does not end")
			}
		})
		return duplex, client
	}
	x.t.Cleanup(func() { hangUp() })
	return hangUp
}

// call makes a caller call, and answers.
func (x *exchange) call(c *testkit.Caller, terms rtc.Terms) (*rtc.Duplex, func() (duplex, client error)) {
	x.t.Helper()
	ctx, cancel := context.WithCancel(x.t.Context())
	gone := make(chan error, 1)
	answered := make(chan *rtc.Duplex, 1)
	go func() {
		gone <- c.Call(ctx, func(ctx context.Context, offer string) (string, error) {
			d, err := x.duplexes.Answer(ctx, rtc.Offer{SDP: candidates.ReplaceAllString(offer, ""), TCP: x.tcp}, terms, stream.Info{ID: "call"})
			if err != nil {
				return "", err
			}
			answered <- d
			return x.through(d.SDP())
		})
	}()
	select {
	case d := <-answered:
		return d, x.run(d, gone, cancel)
	case err := <-gone:
		cancel()
		x.t.Fatal(err)
		return nil, nil
	}
}

// ring makes an offer, which the caller answers.
func (x *exchange) ring(c *testkit.Caller, terms rtc.Terms) (*rtc.Duplex, func() (duplex, client error)) {
	x.t.Helper()
	ctx, cancel := context.WithCancel(x.t.Context())
	d, err := x.duplexes.Offer(ctx, terms, stream.Info{ID: "call"})
	if err != nil {
		cancel()
		x.t.Fatal(err)
	}
	sdp, err := x.through(d.SDP())
	if err != nil {
		cancel()
		x.t.Fatal(err)
	}
	gone := make(chan error, 1)
	go func() {
		gone <- c.Answer(ctx, sdp, func(answer string) error {
			err := d.Accept(candidates.ReplaceAllString(answer, ""))
			if err == nil && d.Codec(media.Audio) == media.CodecNone && d.Codec(media.Video) == media.CodecNone {
				x.t.Error("it is not known at once what was agreed on")
			}
			return err
		})
	}()
	return d, x.run(d, gone, cancel)
}

// candidates matches what pages leave out of their offers and answers: they send them before they know their addresses.
var candidates = regexp.MustCompile(`(?m)^a=(candidate:.*|end-of-candidates)\r\n`)

// Media goes both ways, byte for byte, whether the client offers or we do, in the codecs of the other side.
func TestDuplex(t *testing.T) {
	type open func(*exchange, *testkit.Caller, rtc.Terms) (*rtc.Duplex, func() (duplex, client error))
	for name, open := range map[string]open{"answer": (*exchange).call, "offer": (*exchange).ring} {
		for _, tt := range []struct {
			sound  string
			track  *media.Track
			prefer []media.Codec
		}{
			{"opus", opusTrack, nil},
			{"pcmu", pcmuTrack, []media.Codec{media.PCMU, media.PCMA, media.H264}},
		} {
			t.Run(name+" "+tt.sound, func(t *testing.T) {
				t.Parallel()
				x := newExchange(t, nil)
				phone := x.source(stream.Info{})
				x.talk(phone, tt.track, 1)
				c := caller(tt.sound, "h264", "rtx")
				d, hangUp := open(x, c, rtc.Terms{Prefer: tt.prefer})
				if err := d.Play(phone); err != nil {
					t.Fatal(err)
				}
				x.receives(d, tt.track.Codec)
				x.plays(c, 1)
				if d.Codec(media.Audio) != tt.track.Codec || d.Codec(media.Video) != media.H264 {
					t.Errorf("agreed on %v and %v, want %v and H264", d.Codec(media.Audio), d.Codec(media.Video), tt.track.Codec)
				}
				if st := d.Stats(); st.Sent.Packets == 0 || !st.ICEConnected || st.Sent.Dropped != 0 {
					t.Errorf("figures %+v", st)
				}
				// The page's connection ends without a word, as the connection of a page that is closed does.
				if err, _ := hangUp(); !errors.Is(err, rtc.ErrClientClosed) {
					t.Errorf("Run = %v, want ErrClientClosed", err)
				}
				if err := d.Play(phone); !errors.Is(err, rtc.ErrClientClosed) {
					t.Errorf("Play after the end = %v, want the cause", err)
				}
				if d.Source().Err() == nil {
					t.Error("the source has not ended")
				}
			})
		}
	}
}

// receives checks what comes from the caller: whole pictures, in order, and sound.
func (x *exchange) receives(d *rtc.Duplex, sound media.Codec) {
	x.t.Helper()
	r := d.Source().NewReader(stream.ReaderConfig{Video: d.Source().Video, Audio: d.Source().Audio})
	defer r.Close()
	ctx, cancel := context.WithTimeout(x.t.Context(), 30*time.Second)
	defer cancel()
	units := testkit.SyntheticUnits(30, 2000)
	frames := make([]media.Frame, 8)
	for pictures, sounds, next := 0, 0, int64(-1); pictures < 35 || sounds < 35; {
		n, err := r.Read(ctx, frames)
		if err != nil {
			x.t.Fatalf("after %d pictures and %d packets of sound: %v", pictures, sounds, err)
		}
		for _, f := range frames[:n] {
			if f.Kind() == media.Audio {
				sounds++
				if f.Track.Codec != sound || len(f.Data) != 160 || f.Data[0] != 0xfc {
					x.t.Fatalf("sound is %v, %d bytes", f.Track.Codec, len(f.Data))
				}
				continue
			}
			pictures++
			number, ok := testkit.FrameNumber(f.Data)
			if !ok || next >= 0 && number != next {
				x.t.Fatalf("picture %d came, want %d", number, next)
			}
			next = number + 1
			if !isUnit(f, units) {
				x.t.Fatalf("picture %d is not what was sent: %d bytes", number, len(f.Data))
			}
		}
	}
}

// isUnit says whether the last NAL unit of a frame is the picture of one of the units.
func isUnit(f media.Frame, units []testkit.Unit) bool {
	var last []byte
	for rest := f.Data; len(rest) > 4; {
		n := int(binary.BigEndian.Uint32(rest))
		last, rest = rest[4:4+n], rest[4+n:]
	}
	for _, u := range units {
		if u.Key == f.Key && bytes.Equal(u.NALs[len(u.NALs)-1], last) {
			return true
		}
	}
	return false
}

// plays checks what the caller gets from talk: whole pictures with their parameter sets, and sound with a mark.
func (x *exchange) plays(c *testkit.Caller, mark byte) {
	x.t.Helper()
	from := len(c.Player.Frames("video"))
	c.Player.Wait(x.t, "pictures and sound", func() bool {
		sound := c.Player.Frames("audio")
		return len(c.Player.Frames("video")) >= from+20 && len(sound) >= 20 && sound[len(sound)-1].Data[0] == mark
	})
	sent := map[string]bool{}
	for n := range 3000 {
		sent[string(byteStream(picture(n, 100+n*97%3000, n%10 == 0)))] = true
	}
	for i, f := range c.Player.Frames("video") {
		if !sent[string(f.Data)] {
			x.t.Fatalf("picture %d of %d bytes was not sent", i, len(f.Data))
		}
	}
}

// A caller that gets another network restarts ICE, whoever has made the first offer: media go on both ways, over the new network.
func TestDuplexRestart(t *testing.T) {
	type open func(*exchange, *testkit.Caller, rtc.Terms) (*rtc.Duplex, func() (duplex, client error))
	for name, open := range map[string]open{"answer": (*exchange).call, "offer": (*exchange).ring} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newExchange(t, nil)
			network := func() *testkit.Relay {
				r, err := testkit.NewRelay()
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(r.Close)
				return r
			}
			x.network = network()
			phone := x.source(stream.Info{})
			x.talk(phone, pcmuTrack, 1)
			c := caller("pcmu", "h264", "rtx")
			d, hangUp := open(x, c, rtc.Terms{Prefer: []media.Codec{media.PCMU}})
			if _, err := d.RestartICE(t.Context(), "v=0"); err == nil {
				t.Error("a restart without ICE in the offer has no error")
			}
			if err := d.Play(phone); err != nil {
				t.Fatal(err)
			}
			x.receives(d, media.PCMU)
			x.plays(c, 1)
			x.network.Cut()
			x.network = network()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			err := c.RestartICE(ctx, func(ctx context.Context, offer string) (string, error) {
				answer, err := d.RestartICE(ctx, candidates.ReplaceAllString(offer, ""))
				if err != nil {
					return "", err
				}
				if name == "offer" && strings.Contains(answer, "a=setup:actpass") {
					t.Errorf("the answer is an offer: %s", answer)
				}
				return x.through(answer)
			})
			cancel()
			if err != nil {
				t.Fatal(err)
			}
			x.goesOn(d, c)
			if x.network.Media() == 0 {
				t.Error("nothing came by the new network")
			}
			if err := d.Source().Err(); err != nil {
				t.Errorf("the call has ended: %v", err)
			}
			_, _ = hangUp()
			if _, err := d.RestartICE(t.Context(), c.Offer()); err == nil {
				t.Error("a restart after the end has no error")
			}
		})
	}
}

// goesOn waits for more media, both ways, than can have been on their way. The caller counts packets: what the outage has cost for good would hold up its
// frames for ever.
func (x *exchange) goesOn(d *rtc.Duplex, c *testkit.Caller) {
	x.t.Helper()
	const more = 60
	pictures, sounds := c.Player.Packets("video"), c.Player.Packets("audio")
	c.Player.Wait(x.t, "media after the restart", func() bool {
		return c.Player.Packets("video") >= pictures+more && c.Player.Packets("audio") >= sounds+more
	})
	r := d.Source().NewReader(stream.ReaderConfig{Video: d.Source().Video, Audio: d.Source().Audio})
	defer r.Close()
	ctx, cancel := context.WithTimeout(x.t.Context(), 30*time.Second)
	defer cancel()
	got := map[media.Kind]int{}
	for frames := make([]media.Frame, 8); got[media.Audio] < more || got[media.Video] < more; {
		n, err := r.Read(ctx, frames)
		if err != nil {
			x.t.Fatalf("after the restart came %v: %v", got, err)
		}
		for _, f := range frames[:n] {
			got[f.Kind()]++
		}
	}
}

// A page without a camera answers without pictures: the call has the rest.
func TestDuplexWithoutPictures(t *testing.T) {
	x := newExchange(t, nil)
	phone := x.source(stream.Info{})
	x.talk(phone, opusTrack, 1)
	cfg := testkit.DefaultPublisherConfig()
	cfg.Codecs, cfg.Video = callerCodecs("opus"), false
	c := testkit.NewCaller(cfg)
	d, _ := x.ring(c, rtc.Terms{})
	if err := d.Play(phone); err != nil {
		t.Fatal(err)
	}
	c.Player.Wait(t, "sound", func() bool { return len(c.Player.Frames("audio")) > 10 })
	if d.Codec(media.Audio) != media.Opus || d.Codec(media.Video) != media.CodecNone {
		t.Errorf("agreed on %v and %v, want Opus and nothing", d.Codec(media.Audio), d.Codec(media.Video))
	}
	if s := d.Source(); !s.HasAudio() || s.HasVideo() {
		t.Errorf("the page is to send sound %v, pictures %v, want sound only", s.HasAudio(), s.HasVideo())
	}
}

// Media goes both ways over TCP, too.
func TestDuplexTCP(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.TCP = true
	x := exchangeOver(t, rtc.DefaultConfig(), endpointWith(t, cfg))
	x.tcp = true
	phone := x.source(stream.Info{})
	x.talk(phone, opusTrack, 1)
	c := caller("opus", "h264", "rtx")
	d, _ := x.call(c, rtc.Terms{})
	if strings.Contains(d.SDP(), " udp ") || !strings.Contains(d.SDP(), " tcp ") {
		t.Errorf("the answer has other candidates than TCP:\n%s", d.SDP())
	}
	if err := d.Play(phone); err != nil {
		t.Fatal(err)
	}
	x.receives(d, media.Opus)
	x.plays(c, 1)
}

// A page that answers without candidates is connected as soon as its checks come: pion by itself waits a second for better
// addresses. The machine may be busy, so one of three tries counts.
func TestDuplexConnectsAtOnce(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Expiry = 5 * time.Second // a goodbye that comes before DTLS is done is lost
	x := exchangeOver(t, rtc.DefaultConfig(), endpointWith(t, cfg))
	var took time.Duration
	for range 3 {
		asked := time.Now()
		d, hangUp := x.ring(caller("opus", "h264", "rtx"), rtc.Terms{})
		<-d.Connected()
		took = time.Since(asked)
		hangUp()
		if took < 900*time.Millisecond {
			return
		}
	}
	t.Errorf("it takes %v to connect", took)
}

// One source after another is played, and nothing in between; RTP times only grow.
func TestDuplexPlaysAnother(t *testing.T) {
	t.Parallel()
	x := newExchange(t, nil)
	first, second := x.source(stream.Info{}), x.source(stream.Info{})
	x.talk(first, opusTrack, 1)
	x.talk(second, opusTrack, 2)
	c := caller("opus", "h264", "rtx")
	d, _ := x.call(c, rtc.Terms{})
	<-d.Connected()
	for _, step := range []struct {
		src  *stream.Source
		mark byte
	}{{first, 1}, {nil, 0}, {second, 2}, {first, 1}} {
		if err := d.Play(step.src); err != nil {
			t.Fatal(err)
		}
		if step.src != nil {
			x.plays(c, step.mark)
			continue
		}
		waitUntil(t, "silence", func() bool {
			before := d.Stats().Sent.Packets
			time.Sleep(100 * time.Millisecond)
			return d.Stats().Sent.Packets == before
		})
	}
	first.Close(nil) // the call goes on
	if err := d.Play(second); err != nil {
		t.Fatal(err)
	}
	x.plays(c, 2)
	for _, kind := range []string{"audio", "video"} {
		frames := c.Player.Frames(kind)
		for i := 1; i < len(frames); i++ {
			if int32(frames[i].Time-frames[i-1].Time) <= 0 {
				t.Fatalf("%s: RTP time %d after %d", kind, frames[i].Time, frames[i-1].Time)
			}
		}
	}
}

func waitUntil(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !condition(); {
		if time.Now().After(deadline) {
			t.Fatalf("no %s in 30 s", what)
		}
		time.Sleep(time.Millisecond) // the browser's side has the processor
	}
}

// A client whose codec cannot be made of what is played gets what is left. A client whose sound differs gets it transcoded.
func TestDuplexTranscodes(t *testing.T) {
	t.Parallel()
	x := newExchange(t, nil)
	phone := x.source(stream.Info{})
	x.talk(phone, pcmuTrack, 1)
	x.talk(x.made, opusTrack, 2)
	c := caller("opus", "vp8")
	d, _ := x.call(c, rtc.Terms{})
	if err := d.Play(phone); err != nil {
		t.Fatal(err)
	}
	c.Player.Wait(t, "sound", func() bool { return len(c.Player.Frames("audio")) > 15 })
	if got := c.Player.Frames("audio")[10].Data[0]; got != 2 {
		t.Errorf("the sound begins with %d, want the transcoded sound", got)
	}
	if n := len(c.Player.Frames("video")); n != 0 {
		t.Errorf("%d pictures came, and VP8 cannot be made", n)
	}
}

// The client's wish for a key frame reaches whoever is played, and ours reaches the client.
func TestDuplexKeyFrames(t *testing.T) {
	t.Parallel()
	x := newExchange(t, nil)
	asked := make(chan struct{}, 100)
	phone := x.source(stream.Info{AskKeyFrame: func() { asked <- struct{}{} }})
	x.talk(phone, opusTrack, 1)
	c := caller("opus", "h264", "rtx")
	d, _ := x.call(c, rtc.Terms{})
	if err := d.Play(phone); err != nil {
		t.Fatal(err)
	}
	x.plays(c, 1)
	<-asked // for the first picture
	time.Sleep(stream.DefaultConfig().KeyFrameGap)
	if err := c.Player.RequestKeyFrame(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-asked:
	case <-time.After(30 * time.Second):
		t.Error("the phone was not asked for a key frame")
	}
	before := c.PLIs()
	d.Source().RequestKeyFrame()
	waitUntil(t, "PLI", func() bool { return c.PLIs() > before })
}

// Answers that do not fit the offer end the duplex, and both Accept and Run say why.
func TestDuplexBadAnswer(t *testing.T) {
	x := newExchange(t, nil)
	for name, tt := range map[string]struct {
		edit func(string) string
		want error
		says string
	}{
		"no SDP":        {func(string) string { return "hello" }, rtc.ErrBadAnswer, "0 m-lines"},
		"fewer m-lines": {func(s string) string { return s[:strings.Index(s, "m=video")] }, rtc.ErrBadAnswer, "1 sections"},
		"refused": {func(s string) string {
			return strings.NewReplacer("m=audio 9", "m=audio 0", "m=video 9", "m=video 0").Replace(s)
		}, rtc.ErrBadAnswer, "no section"},
		"another MID": {func(s string) string { return strings.Replace(s, "a=mid:1", "a=mid:x", 1) }, rtc.ErrBadAnswer, "a=mid:x"},
		"no common codec": {func(s string) string {
			return strings.NewReplacer("H264/90000", "H999/90000").Replace(s)
		}, rtc.ErrNoCommonCodecs, "video needs H264 or VP8"},
		"another payload type": {func(s string) string {
			return strings.NewReplacer("SAVPF 111", "SAVPF 99", ":111 ", ":99 ").Replace(s)
		}, rtc.ErrBadAnswer, "opus has payload type 99"},
		"no fingerprint": {func(s string) string { return strings.ReplaceAll(s, "a=fingerprint", "a=f") }, rtc.ErrBadAnswer, "fingerprint"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			d, err := x.duplexes.Offer(ctx, rtc.Terms{}, stream.Info{})
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- d.Run(ctx) }()
			var refused error
			client, leave := context.WithCancel(ctx)
			_ = caller("opus", "h264", "rtx").Answer(client, d.SDP(), func(answer string) error {
				refused = d.Accept(tt.edit(answer))
				leave()
				return refused
			})
			if !errors.Is(refused, tt.want) || !strings.Contains(refused.Error(), tt.says) {
				t.Errorf("Accept = %v, want %v that says %q", refused, tt.want, tt.says)
			}
			if err := <-ended; err != refused {
				t.Errorf("Run = %v, want what Accept returned", err)
			}
			if err := d.Accept(""); err != refused {
				t.Errorf("Accept after the end = %v, want the cause", err)
			}
		})
	}
}

// A panic of one duplex, here of the transcoder, ends that one and leaves the others.
func TestDuplexPanic(t *testing.T) {
	x := newExchange(t, nil)
	phone := x.source(stream.Info{})
	x.talk(phone, opusTrack, 1)
	other := caller("opus", "h264", "rtx")
	d, _ := x.call(other, rtc.Terms{})
	if err := d.Play(phone); err != nil {
		t.Fatal(err)
	}
	broken := x.source(stream.Info{})
	broken.Audio.Write(media.Frame{Track: &media.Track{Codec: media.MP3}, Key: true, Data: []byte{1}})
	unlucky, hangUp := x.call(caller("opus", "h264", "rtx"), rtc.Terms{})
	if err := unlucky.Play(broken); err != nil {
		t.Fatal(err)
	}
	<-unlucky.Source().Done()
	if err, _ := hangUp(); !errors.Is(err, panics.Err) || x.duplexes.Panics() != 1 {
		t.Errorf("Run = %v with %d panics counted, want a panic", err, x.duplexes.Panics())
	}
	x.plays(other, 1)
}

// A duplex does not wait for ever: not for the connection, and not for media.
func TestDuplexTimeouts(t *testing.T) {
	t.Run("connection", func(t *testing.T) {
		x := newExchange(t, func(c *rtc.Config) { c.ConnectTimeout = 50 * time.Millisecond })
		d, err := x.duplexes.Offer(t.Context(), rtc.Terms{}, stream.Info{})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- d.Run(t.Context()) }()
		time.Sleep(100 * time.Millisecond)
		select {
		case err := <-ended:
			t.Fatalf("Run = %v while the phone rings", err)
		default:
		}
		ctx, leave := context.WithCancel(t.Context())
		_ = caller("opus", "h264", "rtx").Answer(ctx, d.SDP(), func(answer string) error {
			leave() // and never connects
			return d.Accept(answer)
		})
		if err := <-ended; !errors.Is(err, rtc.ErrICETimeout) && !errors.Is(err, rtc.ErrDTLS) {
			t.Errorf("Run = %v, want ErrICETimeout", err)
		}
	})
	t.Run("media", func(t *testing.T) {
		t.Parallel()
		x := newExchange(t, func(c *rtc.Config) { c.ActivityTimeout = 300 * time.Millisecond })
		cfg := testkit.DefaultPublisherConfig()
		cfg.Frames, cfg.Audio = 5, false
		d, hangUp := x.call(testkit.NewCaller(cfg), rtc.Terms{})
		<-d.Source().Done()
		if err, _ := hangUp(); !errors.Is(err, rtc.ErrActivity) {
			t.Errorf("Run = %v, want ErrActivity", err)
		}
	})
	t.Run("the caller of Run", func(t *testing.T) {
		x := newExchange(t, nil)
		d, err := x.duplexes.Offer(t.Context(), rtc.Terms{}, stream.Info{})
		if err != nil {
			t.Fatal(err)
		}
		busy := errors.New("busy")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(busy)
		if err := d.Run(ctx); err != busy {
			t.Errorf("Run = %v, want %v", err, busy)
		}
		if x.hub.Len() != 1 { // the transcoded one
			t.Errorf("%d streams are left", x.hub.Len())
		}
	})
}
