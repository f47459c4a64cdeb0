package rtmp

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/bluenviron/gortmplib"
	"github.com/bluenviron/gortmplib/pkg/codecs"
	"github.com/bluenviron/gortmplib/pkg/message"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"transponder/internal/flv"
	"transponder/internal/media"
)

var (
	sps = []byte{
		0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02, 0x27, 0xe5, 0x84, 0x00,
		0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc6, 0x58,
	}
	pps    = []byte{0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0}
	config = []byte{0x11, 0x90} // AAC-LC, 48 kHz, stereo
)

// connect returns the two ends of a TCP connection, with a deadline that only a broken test meets.
func connect(t testing.TB) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []net.Conn{client, server} {
		c.SetDeadline(time.Now().Add(10 * time.Second))
		t.Cleanup(func() { c.Close() })
	}
	return client, server
}

// during runs f beside the test and fails the test with its error.
func during(t *testing.T, f func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- f() }()
	t.Cleanup(func() {
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func videoTrack(t testing.TB) *media.Track {
	t.Helper()
	track, err := media.NewH264Track(sps, pps)
	if err != nil {
		t.Fatal(err)
	}
	return track
}

func audioTrack() *media.Track {
	return &media.Track{Codec: media.AAC, Config: config, SampleRate: 48000, Channels: 2}
}

// nalu is a NAL unit of a header and as many bytes as asked for.
func nalu(header byte, size int) []byte {
	return append([]byte{header}, bytes.Repeat([]byte{0x55}, size)...)
}

func withLength(nalu []byte) []byte {
	n := len(nalu)
	return append([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, nalu...)
}

// sample is what a foreign peer should have of a stream: lines of kind, time and size.
func sample(t testing.TB) (tags []flv.Tag, want []string) {
	t.Helper()
	video, audio := videoTrack(t), audioTrack()
	tags = append(tags, flv.MetadataTag(flv.Metadata{Video: video, Audio: audio, Encoder: "test"}, 0))
	for _, track := range []*media.Track{video, audio} {
		tag, ok := flv.ConfigTag(track, 0)
		if !ok {
			t.Fatal("no configuration")
		}
		tags = append(tags, tag)
	}
	for i := range 60 { // the foreign reader wants two seconds to find the tracks
		ms := int64(i) * 40
		unit := nalu(0x41, 2000*i) // the later ones are cut into chunks of any size in use
		if i%10 == 0 {
			unit = nalu(0x65, 90_000)
		}
		for _, f := range []media.Frame{
			{Track: video, Time: media.Timestamp(ms) * 1e6, Delay: 80 * time.Millisecond, Key: i%10 == 0, Data: withLength(unit)},
			{Track: audio, Time: media.Timestamp(ms) * 1e6, Key: true, Data: nalu(0x21, 100)},
		} {
			tag, err := flv.FrameTag(f, ms)
			if err != nil {
				t.Fatal(err)
			}
			tags = append(tags, tag)
		}
		want = append(want, fmt.Sprintf("video %d+80 %d", ms, len(unit)), fmt.Sprintf("audio %d 101", ms))
	}
	return tags, want
}

func TestClientToForeignServer(t *testing.T) {
	tags, want := sample(t)
	ours, theirs := connect(t)
	c := NewClient(ours, ClientConfig{App: "live", TCURL: "rtmp://h/live", FlashVersion: "FMLE/3.0", StreamName: "n?key=1"})
	during(t, func() error {
		for _, step := range []func() error{c.Handshake, c.Connect, c.Publish} {
			if err := step(); err != nil {
				return err
			}
		}
		if err := c.WriteTags(tags); err != nil {
			return err
		}
		return c.Unpublish()
	})

	s := &gortmplib.ServerConn{RW: theirs}
	if err := s.Initialize(); err != nil {
		t.Fatal(err)
	}
	if err := s.Accept(); err != nil {
		t.Fatal(err)
	}
	if !s.Publish || s.URL.Path != "/live/n" || s.FlashVer != "FMLE/3.0" {
		t.Errorf("publish %v of %v by %q", s.Publish, s.URL, s.FlashVer)
	}
	got, tracks := readForeign(t, s, len(want))
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if h, ok := tracks[0].Codec.(*codecs.H264); !ok || !bytes.Equal(h.SPS, sps) || !bytes.Equal(h.PPS, pps) {
		t.Errorf("video track is %+v", tracks[0].Codec)
	}
	for _, name := range []string{"FCUnpublish", "deleteStream"} {
		m, err := s.Read()
		if cmd, ok := m.(*message.CommandAMF0); err != nil || !ok || cmd.Name != name {
			t.Errorf("got %v, %v; want %s", m, err, name)
		}
	}
}

// readForeign reads so many frames with gortmplib's reader.
func readForeign(t *testing.T, conn gortmplib.Conn, n int) ([]string, []*gortmplib.Track) {
	t.Helper()
	r := &gortmplib.Reader{Conn: conn}
	if err := r.Initialize(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, track := range r.Tracks() {
		if !track.Codec.IsVideo() {
			r.OnDataMPEG4Audio(track, func(pts time.Duration, au []byte) {
				got = append(got, fmt.Sprintf("audio %d %d", pts.Milliseconds(), len(au)))
			})
			continue
		}
		r.OnDataH264(track, func(pts, dts time.Duration, au [][]byte) {
			if len(au) == 1 { // not the configuration
				got = append(got, fmt.Sprintf("video %d+%d %d", dts.Milliseconds(), (pts-dts).Milliseconds(), len(au[0])))
			}
		})
	}
	for len(got) < n {
		if err := r.Read(); err != nil {
			t.Fatal(err)
		}
	}
	return got, r.Tracks()
}

func foreignClient(t *testing.T, conn net.Conn, publish bool) *gortmplib.Client {
	t.Helper()
	u, err := url.Parse("rtmp://127.0.0.1/live/n")
	if err != nil {
		t.Fatal(err)
	}
	c := &gortmplib.Client{
		URL: u, Publish: publish,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil },
	}
	return c
}

// serveOne takes a connection up to the start of what the client asks for.
func serveOne(s *ServerConn, want Request) error {
	if err := s.Handshake(); err != nil {
		return err
	}
	if who, err := s.Accept(); err != nil || who.App != "live" {
		return fmt.Errorf("connected to %q: %w", who.App, err)
	}
	req, err := s.Next()
	if err != nil {
		return err
	}
	if req != want {
		return fmt.Errorf("request %+v, want %+v", req, want)
	}
	return s.Start()
}

func TestForeignPublisher(t *testing.T) {
	theirs, ours := connect(t)
	during(t, func() error {
		c := foreignClient(t, theirs, true)
		if err := c.Initialize(t.Context()); err != nil {
			return err
		}
		video := &gortmplib.Track{Codec: &codecs.H264{SPS: sps, PPS: pps}}
		audio := &gortmplib.Track{Codec: &codecs.MPEG4Audio{Config: &mpeg4audio.AudioSpecificConfig{
			Type: mpeg4audio.ObjectTypeAACLC, SampleRate: 48000, ChannelConfig: 2,
		}}}
		w := &gortmplib.Writer{Conn: c, Tracks: []*gortmplib.Track{video, audio}}
		if err := w.Initialize(); err != nil {
			return err
		}
		for i := range 5 {
			at := 5*time.Hour + time.Duration(i)*40*time.Millisecond // past the extended timestamp's 2^24 ms
			size := 100_000
			if i == 0 {
				size = 50_000 // in one chunk: this writer repeats an extended timestamp as zeros
			}
			if err := w.WriteH264(video, at+40*time.Millisecond, at, [][]byte{nalu(0x65, size)}); err != nil {
				return err
			}
			if err := w.WriteMPEG4Audio(audio, at, nalu(0x21, 50)); err != nil {
				return err
			}
		}
		return nil
	})

	s := NewServerConn(ours, nil)
	if err := serveOne(s, Request{Verb: Publish, Name: "n"}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for len(got) < 12 {
		m, err := s.ReadMedia()
		if err != nil {
			t.Fatal(err)
		}
		switch m.Type {
		case flv.TypeVideo:
			v, err := flv.ParseVideo(m.Payload)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("video %d %d+%d %v %d", v.Packet, m.Time, v.DelayMS, v.Key, len(v.Payload)))
		case flv.TypeAudio:
			a, err := flv.ParseAudio(m.Payload)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("audio %d %d %d", a.Packet, m.Time, len(a.Payload)))
		}
	}
	record := len(videoTrack(t).Config)
	want := []string{fmt.Sprintf("video 1 0+0 true %d", record), "audio 1 0 2"}
	for i := range 5 {
		ms, size := 18_000_000+40*i, 100_005
		if i == 0 {
			size = 50_005
		}
		want = append(want, fmt.Sprintf("video 2 %d+40 true %d", ms, size), fmt.Sprintf("audio 2 %d 51", ms))
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestForeignPlayer(t *testing.T) {
	tags, want := sample(t)
	theirs, ours := connect(t)
	during(t, func() error {
		s := NewServerConn(ours, nil)
		if err := serveOne(s, Request{Verb: Play, Name: "n"}); err != nil {
			return err
		}
		tags[0] = flv.PlayerMetadataTag(flv.Metadata{Video: videoTrack(t), Audio: audioTrack()}, 0)
		return s.WriteTags(tags)
	})
	c := foreignClient(t, theirs, false)
	if err := c.Initialize(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, _ := readForeign(t, c, len(want)); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}
