package rtmpserver

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gortmplib"
	"github.com/bluenviron/gortmplib/pkg/codecs"

	"transponder/internal/flv"
	"transponder/internal/media"
	"transponder/internal/rtmp"
	"transponder/internal/stream"
	"transponder/internal/testkit"
)

// A sequence parameter set of HEVC for 1920x1080, and the beginnings of key frames of AV1 and VP9 for 1920x804.
var (
	hevcSPS = []byte{
		0x42, 0x01, 0x01, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03,
		0x00, 0x78, 0xa0, 0x03, 0xc0, 0x80, 0x10, 0xe5, 0x96, 0x66, 0x69, 0x24, 0xca, 0xe0, 0x10, 0x00,
		0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x01, 0xe0, 0x80,
	}
	av1Key = []byte{0x0a, 11, 0, 0, 0, 66, 167, 191, 228, 96, 13, 0, 64, 0x32, 2, 1, 2}
	vp9Key = []byte{
		0x82, 0x49, 0x83, 0x42, 0x00, 0x77, 0xf0, 0x32, 0x34, 0x30,
		0x38, 0x24, 0x1c, 0x19, 0x40, 0x18, 0x03, 0x40, 0x5f, 0xb4,
	}
)

// hvcC makes a record of parameter sets (ISO/IEC 14496-15, 8.3.3.1).
func hvcC(sets ...[]byte) []byte {
	b := make([]byte, 22)
	b[0], b[21] = 1, 0xff
	b = append(b, byte(len(sets)))
	for _, set := range sets {
		b = append(b, 0x80|set[0]>>1, 0, 1)
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(set))), set...)
	}
	return b
}

func TestIngestEnhanced(t *testing.T) {
	vps := []byte{0x40, 1, 2}
	for _, c := range []struct {
		name        string
		config, key string // heads
		record      []byte
		frame       []byte
		want        media.Track
	}{
		{"hevc", "\x90hvc1", "\x93hvc1", hvcC(vps, hevcSPS), unitOf([]byte{0x26, 1, 9}),
			media.Track{Codec: media.H265, Width: 1920, Height: 1080}},
		{"av1", "\x90av01", "\x91av01", []byte{0x81, 8, 0, 0}, av1Key, media.Track{Codec: media.AV1, Width: 1920, Height: 804}},
		{"vp9", "\x90vp09", "\x91vp09", []byte{1, 0, 0, 0}, vp9Key, media.Track{Codec: media.VP9, Width: 1920, Height: 804}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFeeder(t)
			inter, rest := "\xa1"+c.config[1:], []byte{1, 2}
			if c.name == "hevc" {
				inter, rest = "\xa3hvc1", unitOf([]byte{0x02, 1, 9})
			}
			if err := f.send(flv.TypeVideo, 0, []byte(inter), rest); !errors.Is(err, errBadFrame) {
				t.Errorf("frame before its configuration: %v, want errBadFrame", err)
			}
			for i, m := range []struct {
				head    string
				payload []byte
			}{
				{c.config, c.record}, {c.key, c.frame}, {inter, rest}, {inter, nil}, {c.config, c.record}, {c.key, c.frame},
			} {
				if err := f.send(flv.TypeVideo, uint32(i)*40, []byte(m.head), m.payload); err != nil {
					t.Fatalf("message %d: %v", i, err)
				}
			}
			got := f.frames()
			if len(got) != 3 || !got[0].Key || got[1].Key || !got[2].Key || !bytes.Equal(got[0].Data, c.frame) {
				t.Fatalf("frames %+v", got)
			}
			g := got[0].Track
			if g.Codec != c.want.Codec || g.Width != c.want.Width || g.Height != c.want.Height || !bytes.Equal(g.Config, c.record) {
				t.Errorf("track %+v, want %+v", g, c.want)
			}
			if got[0].Track != got[2].Track {
				t.Error("the track changes without a reason")
			}
			// The same publisher changes to H.264, and back.
			track, _ := media.NewH264Track(sps, pps)
			for _, m := range []struct {
				head    string
				payload []byte
			}{{"\x17\x00\x00\x00\x00", track.Config}, {"\x17\x01\x00\x00\x00", unitOf(idr)}, {c.config, c.record}, {c.key, c.frame}} {
				if err := f.send(flv.TypeVideo, 400, []byte(m.head), m.payload); err != nil {
					t.Fatal(err)
				}
			}
			if got := f.frames(); len(got) != 2 || got[0].Track.Codec != media.H264 || got[1].Track.Codec != c.want.Codec {
				t.Errorf("after a change of codec: %+v", got)
			}
		})
	}
}

// TestForeignEnhanced receives streams from a publisher of another project, which marks no key frames.
func TestForeignEnhanced(t *testing.T) {
	pps, idr, inter := []byte{0x44, 1, 9}, []byte{0x26, 1, 9}, []byte{0x02, 1, 9}
	for _, c := range []struct {
		name          string
		codec         codecs.Codec
		write         func(w *gortmplib.Writer, track *gortmplib.Track, at time.Duration, first bool) error
		want          media.Codec
		width, height int
	}{
		{"hevc", &codecs.H265{VPS: []byte{0x40, 1, 9}, SPS: hevcSPS, PPS: pps},
			func(w *gortmplib.Writer, track *gortmplib.Track, at time.Duration, first bool) error {
				if first {
					return w.WriteH265(track, at, at, [][]byte{idr})
				}
				return w.WriteH265(track, at+40*time.Millisecond, at, [][]byte{inter})
			}, media.H265, 1920, 1080},
		{"av1", &codecs.AV1{},
			func(w *gortmplib.Writer, track *gortmplib.Track, at time.Duration, first bool) error {
				if first {
					return w.WriteAV1(track, at, [][]byte{{8, 0, 0, 0, 66, 167, 191, 228, 96, 13, 0, 64}, {0x30, 1, 2}})
				}
				return w.WriteAV1(track, at, [][]byte{{0x30, 1, 2}})
			}, media.AV1, 1920, 804},
		{"vp9", &codecs.VP9{},
			func(w *gortmplib.Writer, track *gortmplib.Track, at time.Duration, first bool) error {
				if first {
					return w.WriteVP9(track, at, vp9Key)
				}
				return w.WriteVP9(track, at, []byte{0x86, 0})
			}, media.VP9, 1920, 804},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, hub := runServer(t, nil)
			u, err := url.Parse(fmt.Sprintf("rtmp://%s/live/n", s.Addr()))
			if err != nil {
				t.Fatal(err)
			}
			client := &gortmplib.Client{URL: u, Publish: true}
			if err := client.Initialize(t.Context()); err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			src, ok := hub.Source("n")
			if !ok {
				t.Fatal("there is no stream")
			}
			r := src.NewReader(stream.ReaderConfig{Video: src.Video})
			defer r.Close()
			track := &gortmplib.Track{Codec: c.codec}
			w := &gortmplib.Writer{Conn: client, Tracks: []*gortmplib.Track{track}}
			if err := w.Initialize(); err != nil {
				t.Fatal(err)
			}
			for i := range 3 {
				if err := c.write(w, track, time.Duration(i)*40*time.Millisecond, i == 0); err != nil {
					t.Fatal(err)
				}
			}
			var got []media.Frame
			for len(got) < 3 {
				frames := make([]media.Frame, 8)
				n, err := r.Read(t.Context(), frames)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, frames[:n]...)
			}
			g := got[0].Track
			if g.Codec != c.want || g.Width != c.width || g.Height != c.height || len(g.Config) == 0 {
				t.Errorf("track %+v", g)
			}
			if !got[0].Key || got[1].Key || got[2].Key {
				t.Errorf("key frames %v %v %v, want the first only", got[0].Key, got[1].Key, got[2].Key)
			}
		})
	}
}

// TestForeignPlayer plays HEVC to a player of another project, which offers to take it.
func TestForeignPlayer(t *testing.T) {
	s, hub := runServer(t, nil)
	src, err := hub.Publish(stream.Info{Name: "n", ID: "i", HasVideo: true})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close(nil)
	src.SetLive()
	client := foreignPlayer(t, s)
	testkit.Eventually(t, 10*time.Second, func() string { // whoever comes later gets the newest pictures only
		if src.Video.Stats().Readers == 0 {
			return "nobody reads the stream"
		}
		return ""
	})
	track := &media.Track{Codec: media.H265, Config: hvcC([]byte{0x40, 1, 9}, hevcSPS, []byte{0x44, 1, 9})}
	idr := []byte{0x26, 1, 9}
	for i := range 60 { // the foreign reader wants two seconds to find the tracks
		src.Video.Write(media.Frame{
			Track: track, Time: media.Timestamp(i) * media.Timestamp(40*time.Millisecond), Delay: 80 * time.Millisecond,
			Key: true, Data: unitOf(idr),
		})
	}
	r := &gortmplib.Reader{Conn: client}
	if err := r.Initialize(); err != nil {
		t.Fatal(err)
	}
	tracks := r.Tracks()
	if len(tracks) != 1 {
		t.Fatalf("%d tracks, want 1", len(tracks))
	}
	codec, ok := tracks[0].Codec.(*codecs.H265)
	if !ok || !bytes.Equal(codec.SPS, hevcSPS) {
		t.Fatalf("the player sees %+v", tracks[0].Codec)
	}
	frames := 0
	r.OnDataH265(tracks[0], func(pts, dts time.Duration, au [][]byte) {
		if pts != dts+80*time.Millisecond || len(au) != 1 || !bytes.Equal(au[0], idr) {
			t.Errorf("frame %x, shown %v after it is decoded", au, pts-dts)
		}
		frames++
	})
	for frames < 5 {
		if err := r.Read(); err != nil {
			t.Fatal(err)
		}
	}
}

// FuzzIngest checks that no video message panics.
func FuzzIngest(f *testing.F) {
	f.Add(append([]byte("\x90hvc1"), hvcC(hevcSPS)...))
	f.Add(append([]byte("\x91av01"), av1Key...))
	f.Add(append([]byte("\x91vp09"), vp9Key...))
	f.Add(append([]byte("\x17\x01\x00\x00\x00"), unitOf(sps, pps, idr)...))
	f.Fuzz(func(t *testing.T, message []byte) {
		src, err := stream.NewHub(stream.DefaultConfig(), nil).Publish(stream.Info{Name: "n", ID: "i", HasVideo: true})
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close(nil)
		for _, codec := range []media.Codec{media.H264, media.H265, media.AV1, media.VP9} {
			in := newIngest(src)
			in.video = &media.Track{Codec: codec}
			_, _ = in.take(rtmp.Message{Type: flv.TypeVideo, Payload: message}, 0)
		}
	})
}

// TestPlayEnhanced plays HEVC to a client that has offered to take it, and not to one that has not.
func TestPlayEnhanced(t *testing.T) {
	s, hub := runServer(t, nil)
	src, err := hub.Publish(stream.Info{Name: "n", ID: "i", HasVideo: true})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close(nil)
	src.SetLive()
	track := &media.Track{Codec: media.H265, Config: hvcC(hevcSPS), Width: 1920, Height: 1080}
	write := func() {
		src.Video.Write(media.Frame{Track: track, Time: src.Now(), Key: true, Data: unitOf([]byte{0x26, 1, 9})})
	}
	write()
	for _, c := range []struct {
		name  string
		offer []string
		want  string // in what the server sends
	}{
		{"offered", []string{"hvc1"}, "\x93hvc1"},
		{"not offered", nil, "NoSupportedTrackFound"},
		{"another is offered", []string{"av01"}, "NoSupportedTrackFound"},
	} {
		t.Run(c.name, func(t *testing.T) {
			player := playRaw(t, s, "n", c.offer...)
			var got []byte
			b := make([]byte, 4096)
			testkit.Eventually(t, 10*time.Second, func() string {
				write()
				n, err := player.Read(b)
				if got = append(got, b[:n]...); err != nil {
					t.Fatalf("read: %v, after %q", err, got)
				}
				if !strings.Contains(string(got), c.want) {
					return "the server does not send " + c.want
				}
				return ""
			})
		})
	}
}
