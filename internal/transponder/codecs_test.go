package transponder

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"transponder/internal/media"
	"transponder/internal/stream"
	"transponder/internal/testkit"
)

// madeAudio makes AAC of any sound, in name.
type madeAudio struct{ sameAudio }

func (madeAudio) Feed(s *stream.Source, _ media.AudioFormat) (*stream.Feed, func(), error) {
	return s.Rendition("aac", nil, func(ctx context.Context, out *stream.Feed) error {
		in := s.NewReader(stream.ReaderConfig{Audio: s.Audio})
		defer in.Close()
		frames := make([]media.Frame, 16)
		for {
			n, err := in.Read(ctx, frames)
			if err != nil {
				return err
			}
			for _, f := range frames[:n] {
				f.Track = realAudio
				out.Write(f)
			}
		}
	})
}

func (madeAudio) Expect(*stream.Source, media.AudioFormat) *media.Track {
	return &media.Track{Codec: media.AAC, SampleRate: 48000, Channels: 2}
}

var realOpus = &media.Track{Codec: media.Opus, SampleRate: 48000, Channels: 2}

// kinds counts what a server got by codec: "Opus", "vp09", "sound" and "pictures" of plain RTMP; headers are left out.
func kinds(server *testkit.RTMPServer) map[string]int {
	n := map[string]int{}
	for _, tag := range server.Tags() {
		switch {
		case tag.Header:
		case tag.FourCC != "":
			n[tag.FourCC]++
		case tag.Video:
			n["pictures"]++
		default:
			n["sound"]++
		}
	}
	return n
}

// A push that goes on at a server that takes less than the one before sends what that takes, without a break.
func TestMoveToServerWithoutOpus(t *testing.T) {
	b := newBench(t, nil)
	b.audio = madeAudio{}
	second := testkit.NewRTMPServer(t, testkit.Script{})
	first := testkit.NewRTMPServer(t, testkit.Script{FourCC: []string{"Opus"}, At: "media", Do: testkit.AskReconnect, NewURL: second.URL("live")})
	s := b.source("s")
	s.audio = realOpus
	s.write(1, 20) // what the sound is must be known when the push begins
	id := b.start(Request{StreamName: "s", URL: first.URL("live"), Options: Options{Codecs: []string{"opus"}}}).ID
	b.wait("sound at the second", func() bool {
		s.write(1, 20)
		return kinds(second)["sound"] > 10
	})
	if at := kinds(first); at["Opus"] == 0 || at["sound"] > 0 {
		t.Errorf("the first got %v", at)
	}
	if at := kinds(second); at["Opus"] > 0 || at["pictures"] == 0 {
		t.Errorf("the second got %v", at)
	}
	if i := b.Find(Filter{ID: id})[0]; i.State != Live {
		t.Errorf("the push is %s, %s", i.State, i.Reason)
	}
}

// slates are all the same.
type slates struct{ frame media.Frame }

func (slates) Check(string) error                            { return nil }
func (s slates) Frame(string, int, int) (media.Frame, error) { return s.frame, nil }

// Likewise while the stream is gone: the silence is of another codec then, and the slate stands for the picture that cannot be
// repeated. The publisher who returns is transcoded.
func TestHoldAtServerThatTakesLess(t *testing.T) {
	rich := testkit.NewRTMPServer(t, testkit.Script{FourCC: []string{"Opus", "vp09"}})
	plain := testkit.NewRTMPServer(t, testkit.Script{})
	addressOf := func(s *testkit.RTMPServer) string {
		return strings.Split(strings.TrimPrefix(s.URL(""), "rtmp://"), "/")[0]
	}
	var dials atomic.Int32
	b := newBench(t, func(c *Config) {
		c.dialTCP = func(ctx context.Context, _ netip.AddrPort) (net.Conn, error) {
			to := rich
			if dials.Add(1) > 1 {
				to = plain
			}
			return (&net.Dialer{}).DialContext(ctx, "tcp", addressOf(to))
		}
	})
	b.audio = madeAudio{}
	b.UseStills(slates{grey(t, 90)})
	small := *realVideo(t)
	b.UseVideo(&fakeVideo{track: &small})
	s := b.source("s")
	s.audio, s.video = realOpus, &media.Track{Codec: media.VP9, Config: []byte{1, 0, 0, 0, 0, 31, 0x80, 1, 1, 1, 0, 0}, Width: 1280, Height: 720}
	s.write(1, 20)
	id := b.start(Request{StreamName: "s", URL: "rtmp://127.0.0.1/live", Options: Options{
		Codecs: []string{"opus", "vp9"}, OnSourceLoss: "hold", Slate: "a.png", Restore: quickly,
	}}).ID
	s.live(t, rich)
	b.wait("both codecs", func() bool {
		s.write(1, 20)
		return kinds(rich)["Opus"] > 0 && kinds(rich)["vp09"] > 0
	})
	s.Close(nil)
	b.wait("hold", func() bool { return b.Find(Filter{ID: id})[0].State == Holding })
	rich.Kick()
	plain.Wait(t, "a picture and silence", func() bool { return kinds(plain)["pictures"] > 3 && kinds(plain)["sound"] > 10 })
	back := b.source("s")
	back.audio, back.video = realOpus, s.video
	b.wait("return", func() bool {
		back.write(1, 20)
		return b.Find(Filter{ID: id})[0].State == Live
	})
	held := kinds(plain)
	b.wait("the publisher's media", func() bool {
		back.write(1, 20)
		return kinds(plain)["sound"] > held["sound"]+20 && kinds(plain)["pictures"] > held["pictures"]+20
	})
	if got := kinds(plain); got["Opus"] > 0 || got["vp09"] > 0 {
		t.Errorf("the server that takes less got %v", got)
	}
	for _, m := range plain.Metadata() {
		if id := m["audiocodecid"]; id != nil && id != 10.0 {
			t.Errorf("metadata tells of sound %v", id)
		}
	}
}
