package rtmpserver

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"transponder/internal/flv"
	"transponder/internal/media"
	"transponder/internal/rtmp"
	"transponder/internal/stream"
)

var (
	sps = []byte{
		0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02, 0x27, 0xe5, 0x84, 0x00,
		0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc6, 0x58,
	}
	pps      = []byte{0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0}
	otherPPS = []byte{0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc8}
	aud      = []byte{0x09, 0xf0}
	idr      = []byte{0x65, 1, 2, 3}
	inter    = []byte{0x41, 1, 2}
)

// unitOf makes an access unit of NAL units.
func unitOf(nalus ...[]byte) []byte {
	var b []byte
	for _, n := range nalus {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(n))), n...)
	}
	return b
}

func TestReadUnit(t *testing.T) {
	filler, sei := []byte{0x0c, 0xff}, []byte{0x06, 5}
	for _, c := range []struct {
		name     string
		in, want []byte
		idr      bool
	}{
		{"slice", unitOf(inter), unitOf(inter), false},
		{"key frame with its message", unitOf(sei, idr), unitOf(sei, idr), true},
		{"delimiter", unitOf(aud, idr), unitOf(idr), true},
		{"all that goes", unitOf(aud, sps, pps, sei, inter, filler, []byte{}), unitOf(sei, inter), false},
		{"parameter sets only", unitOf(sps, pps), []byte{}, false},
		{"nothing", nil, nil, false},
	} {
		if got := readUnit(c.in); !bytes.Equal(got.data, c.want) || got.idr != c.idr {
			t.Errorf("%s: %x, key %v; want %x, key %v", c.name, got.data, got.idr, c.want, c.idr)
		}
	}
	clean := unitOf(idr, inter)
	if got := readUnit(clean); &got.data[0] != &clean[0] {
		t.Error("a clean unit was copied")
	}
}

func FuzzReadUnit(f *testing.F) {
	f.Add(unitOf(aud, sps, pps, idr))
	f.Add(unitOf(inter))
	f.Fuzz(func(t *testing.T, b []byte) {
		u := readUnit(b)
		again := readUnit(u.data)
		if !bytes.Equal(again.data, u.data) || len(again.sps)+len(again.pps) > 0 {
			t.Errorf("%x became %x, then %x", b, u.data, again.data)
		}
	})
}

// feeder gives messages to an ingest and keeps the frames.
type feeder struct {
	t      *testing.T
	in     ingest
	reader *stream.Reader
}

func newFeeder(t *testing.T) *feeder {
	t.Helper()
	src, err := stream.NewHub(stream.DefaultConfig(), nil).Publish(stream.Info{Name: "n", ID: "i", HasVideo: true, HasAudio: true})
	if err != nil {
		t.Fatal(err)
	}
	r := src.NewReader(stream.ReaderConfig{Video: src.Video, Audio: src.Audio})
	t.Cleanup(func() { src.Close(nil) })
	return &feeder{t: t, in: newIngest(src), reader: r}
}

// send gives a message to the ingest.
func (f *feeder) send(kind uint8, ms uint32, head []byte, payload []byte) error {
	_, err := f.in.take(rtmp.Message{Type: kind, Time: ms, Payload: append(bytes.Clone(head), payload...)}, 0)
	return err
}

// sendAt is send with a time of arrival.
func (f *feeder) sendAt(kind uint8, ms uint32, body []byte, now media.Timestamp) error {
	_, err := f.in.take(rtmp.Message{Type: kind, Time: ms, Payload: body}, now)
	return err
}

// frames returns the frames so far.
func (f *feeder) frames() []media.Frame {
	f.t.Helper()
	var got []media.Frame
	for {
		dst := make([]media.Frame, 32)
		n, err := f.reader.TryRead(dst)
		if err != nil {
			f.t.Fatal(err)
		}
		if n == 0 {
			return got
		}
		got = append(got, dst[:n]...)
	}
}

func TestIngestVideo(t *testing.T) {
	f := newFeeder(t)
	track, err := media.NewH264Track(sps, pps)
	if err != nil {
		t.Fatal(err)
	}
	config, key, next := []byte{0x17, 0, 0, 0, 0}, []byte{0x17, 1, 0, 0, 40}, []byte{0x27, 1, 0xff, 0xff, 0xff}
	if err := f.send(flv.TypeVideo, 0, key, unitOf(idr)); !errors.Is(err, errBadFrame) {
		t.Errorf("frame before its configuration: %v, want errBadFrame", err)
	}
	for i, m := range []struct{ head, payload []byte }{
		{config, track.Config},
		{key, unitOf(idr)},
		{next, unitOf(inter)},
		{config, track.Config},                    // the same again
		{key, unitOf(aud, sps, pps, idr)},         // the same sets again
		{key, unitOf(aud, sps, otherPPS, idr)},    // a new sequence
		{[]byte{0x27, 1, 0, 0, 0}, unitOf(inter)}, // at the time of the one before
	} {
		if err := f.send(flv.TypeVideo, min(uint32(i), 5)*40, m.head, m.payload); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	got := f.frames()
	if len(got) != 5 {
		t.Fatalf("%d frames, want 5", len(got))
	}
	for i, g := range got {
		if want := i != 1 && i != 4; g.Key != want {
			t.Errorf("frame %d: key %v", i, g.Key)
		}
		if i > 0 && g.Time <= got[i-1].Time {
			t.Errorf("frame %d at %v, not after %v", i, g.Time, got[i-1].Time)
		}
	}
	if got[0].Delay != 40*time.Millisecond || got[1].Delay != 0 {
		t.Errorf("delays %v and %v, want 40 ms and 0", got[0].Delay, got[1].Delay)
	}
	if got[0].Track != got[2].Track || got[2].Track == got[3].Track || got[3].Track != got[4].Track {
		t.Error("the track does not change exactly with the parameter sets")
	}
}

func TestIngestAudio(t *testing.T) {
	for _, c := range []struct {
		name           string
		config, packet []byte
		want           media.Track
	}{
		{"aac", []byte{0xaf, 0, 0x11, 0x90}, []byte{0xaf, 1, 7},
			media.Track{Codec: media.AAC, SampleRate: 48000, Channels: 2, Config: []byte{0x11, 0x90}}},
		{"a-law", nil, []byte{0x72, 7}, media.Track{Codec: media.PCMA, SampleRate: 8000, Channels: 1}},
		{"speex", nil, []byte{0xb2, 7}, media.Track{Codec: media.Speex, SampleRate: 16000, Channels: 1}},
		{"mp3 of a rate that FLV cannot say", nil, []byte{0x2f, 0xff, 0xfb, 0x94, 0xc4, 0, 0},
			media.Track{Codec: media.MP3, SampleRate: 48000, Channels: 1}},
		{"opus", append([]byte("\x90OpusOpusHead\x01\x01"), make([]byte, 9)...), []byte("\x91Opus\x07"),
			media.Track{Codec: media.Opus, SampleRate: 48000, Channels: 1}},
		{"opus without a head", nil, []byte("\x91Opus\x07"), media.Track{Codec: media.Opus, SampleRate: 48000, Channels: 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFeeder(t)
			for i, b := range [][]byte{c.config, c.packet, c.config, c.packet} {
				if err := f.send(flv.TypeAudio, uint32(i)*20, nil, b); err != nil {
					t.Fatal(err)
				}
			}
			got := f.frames()
			if len(got) != 2 || got[0].Track != got[1].Track {
				t.Fatalf("%d frames, want 2 of one track", len(got))
			}
			g := got[0].Track
			if g.Codec != c.want.Codec || g.SampleRate != c.want.SampleRate || g.Channels != c.want.Channels ||
				!bytes.Equal(g.Config, c.want.Config) {
				t.Errorf("track %+v, want %+v", g, c.want)
			}
		})
	}
	f := newFeeder(t)
	if err := f.send(flv.TypeAudio, 0, nil, []byte{0xaf, 1, 7}); !errors.Is(err, errBadFrame) {
		t.Errorf("AAC before its configuration: %v, want errBadFrame", err)
	}
	if err := f.send(flv.TypeAudio, 0, nil, []byte{0x62, 7}); !errors.Is(err, errBadFrame) || errors.Is(err, errCodec) {
		t.Errorf("Nellymoser: %v, want errBadFrame: the pictures are still good", err)
	}
	if got := f.in.src.Audio.Stats().Faults; got[stream.FaultConfig] != 1 || got[stream.FaultCodec] != 1 || got.Unusable() != 2 {
		t.Errorf("faults %v", got)
	}
}
