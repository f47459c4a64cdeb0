package flv

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"transponder/internal/amf"
	"transponder/internal/media"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func body(tag Tag) []byte { return append(bytes.Clone(tag.Head()), tag.Payload...) }

var (
	avc   = &media.Track{Codec: media.H264, Config: []byte{1, 0x64, 0, 0x28}, Width: 1280, Height: 720}
	aac   = &media.Track{Codec: media.AAC, Config: []byte{0x11, 0x90}, SampleRate: 48000, Channels: 2}
	alaw  = &media.Track{Codec: media.PCMA, SampleRate: 8000, Channels: 1}
	ulaw  = &media.Track{Codec: media.PCMU, SampleRate: 8000, Channels: 2}
	speex = &media.Track{Codec: media.Speex, SampleRate: 16000, Channels: 1}
	mp3   = &media.Track{Codec: media.MP3, SampleRate: 22050, Channels: 2}

	hevc = &media.Track{Codec: media.H265, Config: []byte{1, 2}, Width: 1280, Height: 720}
	av1  = &media.Track{Codec: media.AV1, Config: []byte{0x81, 8}, Width: 1280, Height: 720}
	vp9  = &media.Track{Codec: media.VP9, Config: []byte{1, 0}, Width: 1280, Height: 720}
	opus = &media.Track{Codec: media.Opus, SampleRate: 48000, Channels: 2}
)

// TestFrames holds what is written and read to bytes made by hand from FLV 10.1, E.4.2 and E.4.3, and from Enhanced RTMP v2.
func TestFrames(t *testing.T) {
	data := []byte{0xaa, 0xbb}
	for _, c := range []struct {
		name  string
		frame media.Frame
		hex   string
		video Video
		audio Audio
	}{
		{name: "avc key", frame: media.Frame{Track: avc, Key: true, Data: data}, hex: "17 01 000000 aabb",
			video: Video{Packet: Frame, Codec: media.H264, Key: true, Payload: data}},
		{name: "avc inter, shown later", frame: media.Frame{Track: avc, Delay: 258 * time.Millisecond, Data: data},
			hex: "27 01 000102 aabb", video: Video{Packet: Frame, Codec: media.H264, DelayMS: 258, Payload: data}},
		{name: "delay is of whole milliseconds on the clock",
			frame: media.Frame{Track: avc, Time: 900_000, Delay: 200 * time.Microsecond, Data: data},
			hex:   "27 01 000001 aabb", video: Video{Packet: Frame, Codec: media.H264, DelayMS: 1, Payload: data}},
		{name: "avc shown earlier", frame: media.Frame{Track: avc, Delay: -time.Millisecond, Data: data},
			hex: "27 01 ffffff aabb", video: Video{Packet: Frame, Codec: media.H264, DelayMS: -1, Payload: data}},
		{name: "aac", frame: media.Frame{Track: aac, Key: true, Data: data}, hex: "af 01 aabb",
			audio: Audio{Packet: Frame, Codec: media.AAC, Payload: data}},
		{name: "a-law", frame: media.Frame{Track: alaw, Key: true, Data: data}, hex: "72 aabb",
			audio: Audio{Packet: Frame, Codec: media.PCMA, SampleRate: 8000, Channels: 1, Payload: data}},
		{name: "µ-law stereo", frame: media.Frame{Track: ulaw, Key: true, Data: data}, hex: "83 aabb",
			audio: Audio{Packet: Frame, Codec: media.PCMU, SampleRate: 8000, Channels: 2, Payload: data}},
		{name: "speex", frame: media.Frame{Track: speex, Key: true, Data: data}, hex: "b2 aabb",
			audio: Audio{Packet: Frame, Codec: media.Speex, SampleRate: 16000, Channels: 1, Payload: data}},
		{name: "mp3", frame: media.Frame{Track: mp3, Key: true, Data: data}, hex: "2b aabb",
			audio: Audio{Packet: Frame, Codec: media.MP3, SampleRate: 22050, Channels: 2, Payload: data}},
		{name: "hevc key", frame: media.Frame{Track: hevc, Key: true, Data: data}, hex: "93 68766331 aabb",
			video: Video{Packet: Frame, Codec: media.H265, Key: true, Payload: data}},
		{name: "hevc, shown later", frame: media.Frame{Track: hevc, Delay: 258 * time.Millisecond, Data: data},
			hex: "a1 68766331 000102 aabb", video: Video{Packet: Frame, Codec: media.H265, DelayMS: 258, Payload: data}},
		{name: "av1 key", frame: media.Frame{Track: av1, Key: true, Data: data}, hex: "91 61763031 aabb",
			video: Video{Packet: Frame, Codec: media.AV1, Key: true, Payload: data}},
		{name: "vp9 inter", frame: media.Frame{Track: vp9, Data: data}, hex: "a1 76703039 aabb",
			video: Video{Packet: Frame, Codec: media.VP9, Payload: data}},
		{name: "opus", frame: media.Frame{Track: opus, Key: true, Data: data}, hex: "91 4f707573 aabb",
			audio: Audio{Packet: Frame, Codec: media.Opus, Payload: data}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tag, err := FrameTag(c.frame, 1<<32+7)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := body(tag), unhex(t, c.hex); !bytes.Equal(got, want) || tag.Len() != len(want) {
				t.Errorf("body = %x (%d bytes), want %x", got, tag.Len(), want)
			}
			if tag.Time != 7 {
				t.Errorf("time = %d, want 7", tag.Time)
			}
			if tag.Type == TypeVideo {
				if got, err := ParseVideo(body(tag)); err != nil || !reflect.DeepEqual(got, c.video) {
					t.Errorf("ParseVideo = %+v, %v; want %+v", got, err, c.video)
				}
			} else if got, err := ParseAudio(body(tag)); err != nil || !reflect.DeepEqual(got, c.audio) {
				t.Errorf("ParseAudio = %+v, %v; want %+v", got, err, c.audio)
			}
		})
	}
}

func TestConfigTag(t *testing.T) {
	for _, c := range []struct {
		track *media.Track
		hex   string
	}{
		{avc, "17 00 000000 01640028"},
		{aac, "af 00 1190"},
		{speex, ""},
		{hevc, "90 68766331 0102"},
		{av1, "90 61763031 8108"},
		{vp9, "90 76703039 0100"},
		{&media.Track{Codec: media.VP9}, ""},
		{opus, "90 4f707573 4f70757348656164 01 02 0000 80bb0000 0000 00"},
		{&media.Track{Codec: media.Opus, Config: []byte{5}}, "90 4f707573 05"},
	} {
		tag, ok := ConfigTag(c.track, 5)
		if ok != (c.hex != "") || !bytes.Equal(body(tag), unhex(t, c.hex)) {
			t.Errorf("%s: %x, %v; want %s", c.track.Codec, body(tag), ok, c.hex)
		}
	}
	if _, err := FrameTag(media.Frame{Track: &media.Track{Codec: media.VP8}}, 0); !errors.Is(err, ErrUnsupported) {
		t.Errorf("FrameTag of VP8: %v, want ErrUnsupported", err)
	}
}

// TestParse has the bytes of FLV 10.1 and of Enhanced RTMP v2 that we do not write.
func TestParse(t *testing.T) {
	payload := []byte{0xaa}
	for _, c := range []struct {
		name, hex string
		want      any
		err       error
	}{
		{"avc config", "17 00 000000 aa", Video{Packet: Config, Codec: media.H264, Key: true, Payload: payload}, nil},
		{"avc end of sequence", "17 02 000000", Video{}, nil},
		{"video command", "57 00", Video{}, nil},
		{"nothing", "", Video{}, nil},
		{"short avc", "17 01 00", Video{}, ErrInvalid},
		{"avc packet type", "17 03 000000", Video{}, ErrInvalid},
		{"sorenson", "12 00", Video{}, ErrUnsupported},
		{"hevc by codec id", "1c 01 000010 aa", Video{Packet: Frame, Codec: media.H265, Key: true, DelayMS: 16, Payload: payload}, nil},
		{"ex config", "90 61766331 aa", Video{Packet: Config, Codec: media.H264, Key: true, Payload: payload}, nil},
		{"ex frame", "a1 61766331 fffffe aa", Video{Packet: Frame, Codec: media.H264, DelayMS: -2, Payload: payload}, nil},
		{"ex frame without delay", "93 61766331 aa", Video{Packet: Frame, Codec: media.H264, Key: true, Payload: payload}, nil},
		{"ex end", "92 61766331", Video{}, nil},
		{"ex metadata", "94 61766331 02", Video{}, nil},
		{"ex command", "d0 00", Video{}, nil},
		{"ex modifier, then a frame", "97 02 010203 03 61766331 aa",
			Video{Packet: Frame, Codec: media.H264, Key: true, Payload: payload}, nil},
		{"ex long modifier", "97 ff 0000 01 03 61766331 aa",
			Video{Packet: Frame, Codec: media.H264, Key: true, Payload: payload}, nil},
		{"ex modifier that ends early", "97 02 0102", Video{}, ErrInvalid},
		{"ex the first of one track", "96 03 61766331 00 aa", Video{Packet: Frame, Codec: media.H264, Key: true, Payload: payload}, nil},
		{"ex another of one track", "96 03 61766331 01 aa", Video{}, ErrTrack},
		{"ex the second of two", "96 13 68766331 01 000002 bbbb 00 000001 aa",
			Video{Packet: Frame, Codec: media.H265, Key: true, Payload: payload}, nil},
		{"ex two of two codecs", "96 20 68766331 01 000002 bbbb 61766331 00 000001 aa",
			Video{Packet: Config, Codec: media.H264, Key: true, Payload: payload}, nil},
		{"ex no first of two", "96 13 68766331 01 000002 bbbb 02 000001 aa", Video{}, ErrTrack},
		{"ex multitrack of no kind", "96 33 61766331 00 aa", Video{}, ErrInvalid},
		{"ex multitrack within", "96 06 61766331 00 aa", Video{}, ErrInvalid},
		{"ex multitrack ends early", "96 13 61766331 00 000002 aa", Video{}, ErrInvalid},
		{"ex hevc config", "90 68766331 aa", Video{Packet: Config, Codec: media.H265, Key: true, Payload: payload}, nil},
		{"ex hevc that ends early", "91 68766331 0000", Video{}, ErrInvalid},
		{"ex av1 config", "90 61763031 aa", Video{Packet: Config, Codec: media.AV1, Key: true, Payload: payload}, nil},
		{"ex av1 config of a transport stream", "95 61763031 aa", Video{}, nil},
		{"ex vp9 config", "90 76703039 aa", Video{Packet: Config, Codec: media.VP9, Key: true, Payload: payload}, nil},
		{"ex vp8", "91 76703038 aa", Video{}, ErrUnsupported},
		{"ex without codec", "90 6176", Video{}, ErrInvalid},
		{"ex frame that ends early", "91 61766331 0000", Video{}, ErrInvalid},

		{"no sound", "", Audio{}, nil},
		{"aac config", "af 00 aa", Audio{Packet: Config, Codec: media.AAC, Payload: payload}, nil},
		{"aac empty", "af 01", Audio{}, nil},
		{"aac short", "af", Audio{}, ErrInvalid},
		{"aac packet type", "af 02 aa", Audio{}, ErrInvalid},
		{"a-law empty", "72", Audio{}, nil},
		{"nellymoser", "62 aa", Audio{}, ErrUnsupported},
		{"ex aac config", "90 6d703461 aa", Audio{Packet: Config, Codec: media.AAC, Payload: payload}, nil},
		{"ex aac", "91 6d703461 aa", Audio{Packet: Frame, Codec: media.AAC, Payload: payload}, nil},
		{"ex opus", "91 4f707573 aa", Audio{Packet: Frame, Codec: media.Opus, Payload: payload}, nil},
		{"ex sound end", "92 4f707573", Audio{}, nil},
		{"ex flac", "91 664c6143 aa", Audio{}, ErrUnsupported},
		{"ex the first sound", "95 01 4f707573 00 aa", Audio{Packet: Frame, Codec: media.Opus, Payload: payload}, nil},
		{"ex another sound", "95 01 4f707573 02 aa", Audio{}, ErrTrack},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got any
			var err error
			if _, video := c.want.(Video); video {
				got, err = ParseVideo(unhex(t, c.hex))
			} else {
				got, err = ParseAudio(unhex(t, c.hex))
			}
			if !errors.Is(err, c.err) || !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, %v; want %+v, %v", got, err, c.want, c.err)
			}
		})
	}
}

func TestMetadata(t *testing.T) {
	tag := MetadataTag(Metadata{Video: avc, Audio: aac, FrameRate: 30, AudioBPS: 128000, Encoder: "Transponder"}, 0)
	got, err := amf.Decode(body(tag))
	want := []any{"@setDataFrame", "onMetaData", amf.ECMAArray{
		{Name: "width", Value: 1280.0}, {Name: "height", Value: 720.0}, {Name: "framerate", Value: 30.0},
		{Name: "videocodecid", Value: 7.0}, {Name: "audiocodecid", Value: 10.0},
		{Name: "audiosamplerate", Value: 48000.0}, {Name: "audiosamplesize", Value: 16.0},
		{Name: "audiochannels", Value: 2.0}, {Name: "audiodatarate", Value: 128.0},
		{Name: "stereo", Value: true}, {Name: "encoder", Value: "Transponder"},
	}}
	if err != nil || tag.Type != TypeData || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	turned := *avc
	turned.Rotation = 90
	ex, err := amf.Decode(body(PlayerMetadataTag(Metadata{Video: &turned}, 0)))
	if o, ok := amf.AsObject(ex[len(ex)-1]); err != nil || !ok {
		t.Errorf("of a picture to be turned: %v, %v", ex, err)
	} else if v, _ := o.Lookup("rotation"); v != 90.0 {
		t.Errorf("rotation %v, want 90", v)
	}
	ex, err = amf.Decode(body(PlayerMetadataTag(Metadata{Video: hevc, Audio: opus}, 0)))
	if o, ok := amf.AsObject(ex[len(ex)-1]); err != nil || !ok {
		t.Errorf("of fourCCs: %v, %v", ex, err)
	} else if v, _ := o.Lookup("videocodecid"); v != float64(0x68766331) {
		t.Errorf("videocodecid %v, want hvc1 as a number", v)
	} else if v, _ := o.Lookup("audiocodecid"); v != float64(0x4f707573) {
		t.Errorf("audiocodecid %v, want Opus as a number", v)
	}
	got, err = amf.Decode(body(PlayerMetadataTag(Metadata{}, 0)))
	if err != nil || !reflect.DeepEqual(got, []any{"onMetaData", amf.ECMAArray(nil)}) {
		t.Errorf("for players: %v, %v", got, err)
	}
}

// FuzzParse holds that no input panics and that a frame that was read, written and read again is the same.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"17 01 000000 aabb", "97 02 010203 03 61766331 aa", "a1 68766331 000102 aabb", "91 61763031 aabb", "90 76703039 01",
		"af 01 aabb", "b2 aa", "91 4f707573 aa",
	} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if v, err := ParseVideo(b); err == nil && v.Packet == Frame {
			delay := time.Duration(v.DelayMS) * time.Millisecond
			tag, err := FrameTag(media.Frame{Track: &media.Track{Codec: v.Codec}, Delay: delay, Key: v.Key, Data: v.Payload}, 0)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := ParseVideo(body(tag)); err != nil || !reflect.DeepEqual(again, v) {
				t.Errorf("%+v became %+v, %v", v, again, err)
			}
		}
		if a, err := ParseAudio(b); err == nil && a.Packet == Frame && a.Codec != media.Opus && a.SampleRate != 0 {
			track := &media.Track{Codec: a.Codec, SampleRate: a.SampleRate, Channels: a.Channels}
			tag, err := FrameTag(media.Frame{Track: track, Data: a.Payload}, 0)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := ParseAudio(body(tag)); err != nil || !reflect.DeepEqual(again, a) {
				t.Errorf("%+v became %+v, %v", a, again, err)
			}
		}
	})
}
