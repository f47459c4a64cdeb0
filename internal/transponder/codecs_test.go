package transponder

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"transponder/internal/access/auth"
	"transponder/internal/flv"
	"transponder/internal/media"
	"transponder/internal/rtmp"
	"transponder/internal/rtmpserver"
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
	b.parts.Audio = madeAudio{}
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
func (s slates) Card(string, int, int) (media.Frame, error)  { return s.frame, nil }
func (s slates) Frame(string, int, int) (media.Frame, error) { return s.frame, nil }

// A push that holds moves to a server that takes fewer codecs: the silence changes its codec, and the slate replaces the picture that
// cannot be repeated. When the publisher returns, its stream is transcoded.
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
	b.parts.Audio = madeAudio{}
	b.parts.Stills = slates{grey(t, 90)}
	small := *realVideo(t)
	b.parts.Video = &fakeVideo{track: &small}
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

// runDoor runs an RTMP server of ours, by which publishers come to the hub, until the test ends.
func (b *bench) runDoor() *rtmpserver.Server {
	b.t.Helper()
	cfg := rtmpserver.DefaultConfig()
	cfg.Address = "127.0.0.1:0"
	door, err := rtmpserver.New(cfg, rtmpserver.Parts{
		Hub: b.hub, Audio: sameAudio{}, Origins: b.Registry,
		Access: auth.New(auth.Config{Mode: auth.Open}, auth.Parts{}, slog.New(slog.DiscardHandler)),
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var ran sync.WaitGroup
	ran.Go(func() { door.Run(ctx) })
	b.t.Cleanup(func() {
		cancel()
		ran.Wait()
	})
	return door
}

// publish connects a publisher to a door.
func publish(t *testing.T, door *rtmpserver.Server, name string) *rtmp.Client {
	t.Helper()
	conn, err := net.Dial("tcp", door.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	c := rtmp.NewClient(conn, rtmp.ClientConfig{App: "live", TCURL: "rtmp://h/live", FlashVersion: "test", StreamName: name})
	for _, step := range []func() error{c.Handshake, c.Connect, c.Publish} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// hvcC is a decoder configuration with three parameter sets, the second of which is of 1920x1080 (ISO/IEC 14496-15, 8.3.3.1).
func hvcC(last byte) []byte {
	b := make([]byte, 23)
	b[0], b[21], b[22] = 1, 0xff, 3
	for _, set := range [][]byte{{0x40, 1, 2}, {
		0x42, 0x01, 0x01, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03, 0x00, 0x78, 0xa0, 0x03, 0xc0,
		0x80, 0x10, 0xe5, 0x96, 0x66, 0x69, 0x24, 0xca, 0xe0, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x01, 0xe0, 0x80,
	}, {0x44, 1, last}} {
		b = append(b, 0x80|set[0]>>1, 0, 1, 0, byte(len(set)))
		b = append(b, set...)
	}
	return b
}

// Media in a codec that the request allows and the server takes arrives at the server byte for byte: configurations, also one that changes,
// and frames of all sizes, with their times.
func TestPassThrough(t *testing.T) {
	unit := func(kind byte, size int) []byte { // a NAL unit of HEVC after its length
		b := binary.BigEndian.AppendUint32(nil, uint32(size))
		return append(append(b, kind, 1), bytes.Repeat([]byte{0xa7}, size-2)...)
	}
	av1Key := []byte{0x0a, 11, 0, 0, 0, 66, 167, 191, 228, 96, 13, 0, 64, 0x32, 2, 1, 2} // of 1920x804
	for _, tt := range []struct {
		codec  string
		videos []string // with their heads
	}{
		{"hevc", []string{
			"\x90hvc1" + string(hvcC(9)),
			"\x93hvc1" + string(unit(0x26, 200_000)),
			"\xa1hvc1\x00\x00\x50" + string(unit(0x02, 4000)), // 80 ms until it is shown
			"\xa3hvc1" + string(unit(0x02, 4)),
			"\x90hvc1" + string(hvcC(10)),
			"\x93hvc1" + string(unit(0x26, 5)) + string(unit(0x26, 70_000)),
			"\xa3hvc1" + string(unit(0x02, 128)),
		}},
		{"av1", []string{
			"\x90av01\x81\x08\x00\x00",
			"\x91av01" + string(av1Key) + strings.Repeat("\x00", 100_000),
			"\xa1av01" + strings.Repeat("\x32", 4000),
			"\xa1av01\x32",
			"\x90av01\x81\x09\x00\x00",
			"\x91av01" + string(av1Key),
			"\xa1av01" + strings.Repeat("\x32", 128),
		}},
	} {
		t.Run(tt.codec, func(t *testing.T) {
			t.Parallel()
			server := &farEnd{whole: true}
			t.Cleanup(server.wg.Wait)
			b := newBench(t, func(c *Config) { c.dialTCP = server.dial })
			publisher := publish(t, b.runDoor(), "s")
			tags := []flv.Tag{{Type: flv.TypeAudio, Payload: []byte{0xaf, 0, 0x11, 0x90}}}
			ms := uint32(0)
			for _, v := range tt.videos {
				tags = append(tags, flv.Tag{Type: flv.TypeVideo, Time: ms, Payload: []byte(v)})
				if v[0] != 0x90 { // its frame comes at the same time
					tags = append(tags, flv.Tag{Type: flv.TypeAudio, Time: ms, Payload: []byte{0xaf, 1, byte(ms), 7}})
					ms += 40
				}
			}
			write := func(tags []flv.Tag) {
				t.Helper()
				if err := publisher.WriteTags(tags); err != nil {
					t.Fatal(err)
				}
			}
			write(tags[:4]) // a picture with sound, by which the stream is known when the push begins
			src, _ := b.hub.Source("s")
			b.wait("media", func() bool { return src.Video.Track() != nil && src.Audio.Track() != nil })
			b.start(Request{StreamName: "s", URL: "rtmp://192.0.2.1/live", Options: Options{Codecs: []string{tt.codec}}})
			b.wait("readers", func() bool { return src.Stats().Video.Readers == 1 && src.Stats().Audio.Readers == 1 })
			for i := range tags {
				tags[i].Time += 40
			}
			write(tags)
			arrived := func(kinds ...uint8) []rtmp.Message {
				return slices.DeleteFunc(slices.Clone(server.got()), func(m rtmp.Message) bool { return !slices.Contains(kinds, m.Type) })
			}
			b.wait("all of it", func() bool { return len(arrived(flv.TypeVideo, flv.TypeAudio)) >= len(tags) })
			for _, kind := range []uint8{flv.TypeVideo, flv.TypeAudio} {
				sent := slices.DeleteFunc(slices.Clone(tags), func(tag flv.Tag) bool { return tag.Type != kind })
				got := arrived(kind)
				if len(got) != len(sent) {
					t.Errorf("%d messages of type %d arrive, want %d", len(got), kind, len(sent))
					continue
				}
				for i, m := range got {
					// Their moments of arrival correct the publisher's clock by a little.
					if off := int32(m.Time - (sent[i].Time - 40)); off < -10 || off > 10 {
						t.Errorf("message %d of type %d is of %d ms, want %d", i, kind, m.Time, sent[i].Time-40)
					}
					if !bytes.Equal(m.Payload, sent[i].Payload) {
						t.Errorf("message %d of type %d arrives as %s, sent as %s", i, kind, shortly(m.Payload), shortly(sent[i].Payload))
					}
				}
			}
			b.wait("a live push with all pictures counted", func() bool {
				i := b.Find(Filter{})[0]
				return i.State == Live && i.VideoFrames == 5
			})
		})
	}
}

// shortly shows what a message begins with.
func shortly(b []byte) string {
	return fmt.Sprintf("%x and so on, %d bytes", b[:min(len(b), 40)], len(b))
}
