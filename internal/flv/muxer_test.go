package flv

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"transponder/internal/media"
)

// h264 and aac are tracks as sources have them.
func h264Track(width, height int) *media.Track {
	return &media.Track{Codec: media.H264, Config: []byte{1}, Width: width, Height: height}
}

func aacTrack() *media.Track {
	return &media.Track{Codec: media.AAC, Config: []byte{2}, SampleRate: 48000, Channels: 2}
}

// frame makes a frame at a number of milliseconds.
func frame(track *media.Track, ms float64, key bool) media.Frame {
	return media.Frame{Track: track, Time: media.Timestamp(ms * float64(time.Millisecond)), Key: key, Data: []byte{9}}
}

// describe tells a tag in a few words: what it is and when.
func describe(t Tag) string {
	kind := map[uint8]string{TypeAudio: "audio", TypeVideo: "video", TypeData: "metadata"}[t.Type]
	if head := t.Head(); t.Type != TypeData && head[1] == 0 {
		kind += " header"
	}
	return fmt.Sprintf("%s %d", kind, t.Time)
}

func TestMuxer(t *testing.T) {
	small, large, sound := h264Track(320, 180), h264Track(1280, 720), aacTrack()
	tests := []struct {
		name   string
		video  bool // the source said that it has video
		frames []media.Frame
		want   []string
	}{
		{
			"headers, then frames from zero", true,
			[]media.Frame{frame(small, 1000, true), frame(sound, 1010, true), frame(small, 1033.4, false), frame(sound, 1031.33, true)},
			[]string{"metadata 0", "video header 0", "video 0", "audio header 10", "audio 10", "video 33", "audio 31"},
		},
		{
			"sound from before the first picture is left out", true,
			[]media.Frame{frame(sound, 900, true), frame(small, 1000, true), frame(sound, 999, true), frame(sound, 1001, true)},
			[]string{"metadata 0", "video header 0", "video 0", "audio header 1", "audio 1"},
		},
		{
			"a new picture size has its own header and metadata", true,
			[]media.Frame{frame(small, 0, true), frame(large, 2000, true), frame(large, 2033, false)},
			[]string{"metadata 0", "video header 0", "video 0", "metadata 2000", "video header 2000", "video 2000", "video 2033"},
		},
		{
			"without video sound begins at once", false,
			[]media.Frame{frame(sound, 500, true), frame(sound, 521.33, true)},
			[]string{"metadata 0", "audio header 0", "audio 0", "audio 21"},
		},
		{
			"video that stays away is waited for 3 s, and may come later", true,
			[]media.Frame{
				frame(sound, 0, true), frame(sound, 2999, true), frame(sound, 3000, true), frame(sound, 3021, true), frame(small, 9000, true),
			},
			[]string{"metadata 0", "audio header 0", "audio 0", "audio 21", "metadata 6000", "video header 6000", "video 6000"},
		},
		{
			"timestamps grow even where the source's do not", true,
			[]media.Frame{frame(small, 1000, true), frame(small, 1000.2, false), frame(small, 1000.4, false), frame(small, 1010, false)},
			[]string{"metadata 0", "video header 0", "video 0", "video 1", "video 2", "video 10"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := &Muxer{Metadata: MetadataTag, FrameRate: func() float64 { return 30 }}
			if tt.video {
				m.WaitVideoMS = 3000
			}
			var got []string
			for _, f := range tt.frames {
				tags, err := m.Append(nil, f)
				if err != nil {
					t.Fatal(err)
				}
				for _, tag := range tags {
					got = append(got, describe(tag))
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("tags\n%q, want\n%q", got, tt.want)
			}
		})
	}
}

// A frame rate that becomes known, or another, is told again with the next picture, once.
func TestMuxerTellsRate(t *testing.T) {
	rate := 0.0
	m := &Muxer{FrameRate: func() float64 { return rate }, Metadata: func(d Metadata, ms int64) Tag {
		return Tag{Type: TypeData, Time: uint32(ms), Payload: []byte(strconv.FormatFloat(d.FrameRate, 'f', -1, 64))}
	}}
	track := h264Track(320, 180)
	var got []string
	for ms := 0.0; ms < 10_000; ms += 40 {
		switch ms {
		case 2000:
			rate = 30
		case 5000:
			rate = 29.97
		case 8000:
			rate = 0 // unknown again, as after a pause
		}
		tags, err := m.Append(nil, frame(track, ms, ms == 0))
		if err != nil {
			t.Fatal(err)
		}
		for _, tag := range tags {
			if tag.Type == TypeData {
				got = append(got, fmt.Sprintf("%s at %d", tag.Payload, tag.Time))
			}
		}
	}
	if want := []string{"0 at 0", "30 at 2000", "29.97 at 5000"}; !slices.Equal(got, want) {
		t.Errorf("rates told: %q, want %q", got, want)
	}
}

// The clock is 64 bits wide here and 32 on the wire: a show of 50 days goes on.
func TestMuxerOnLongShows(t *testing.T) {
	track := h264Track(320, 180)
	m := &Muxer{}
	for _, at := range []struct{ ms, want uint64 }{
		{0, 0}, {1<<24 - 1, 1<<24 - 1}, {1 << 24, 1 << 24}, {1 << 31, 1 << 31}, {1<<32 - 1, 1<<32 - 1}, {1<<32 + 5, 5},
	} {
		tags, err := m.Append(nil, media.Frame{Track: track, Time: media.Timestamp(at.ms) * media.Timestamp(time.Millisecond), Key: true})
		if err != nil {
			t.Fatal(err)
		}
		if got := tags[len(tags)-1].Time; uint64(got) != at.want {
			t.Errorf("at %d ms the wire says %d, want %d", at.ms, got, at.want)
		}
	}
}

func TestMuxerWithoutMetadata(t *testing.T) {
	m := &Muxer{}
	tags, err := m.Append(nil, frame(h264Track(320, 180), 0, true))
	if err != nil || len(tags) != 2 || tags[0].Type == TypeData {
		t.Errorf("%d tags, %v; want the header and the frame only", len(tags), err)
	}
}

// Codecs of Enhanced RTMP go only where they are wanted, and are named in the metadata.
func TestMuxerAllowed(t *testing.T) {
	frames := []media.Frame{{Track: hevc, Key: true}, {Track: opus, Key: true}}
	for _, f := range frames {
		for name, allowed := range map[string]func(media.Codec) bool{
			"nothing is allowed": nil,
			"another is allowed": func(c media.Codec) bool { return c == media.AV1 },
		} {
			m := &Muxer{Allowed: allowed}
			if tags, err := m.Append(nil, f); !errors.Is(err, ErrUnsupported) || len(tags) > 0 {
				t.Errorf("%s, %s: %d tags, %v; want ErrUnsupported", f.Track.Codec, name, len(tags), err)
			}
		}
	}
	m := &Muxer{
		Metadata:  MetadataTag,
		FrameRate: func() float64 { return 0 },
		Allowed:   func(c media.Codec) bool { return c == media.H265 || c == media.Opus },
	}
	var got []string
	for _, f := range frames {
		tags, err := m.Append(nil, f)
		if err != nil {
			t.Fatal(err)
		}
		for _, tag := range tags {
			got = append(got, fmt.Sprintf("%d %.5x", tag.Type, tag.Head()))
		}
	}
	want := []string{"18 ", "9 9068766331", "9 9368766331", "18 ", "8 904f707573", "8 914f707573"}
	if !slices.Equal(got, want) {
		t.Errorf("tags %q, want %q", got, want)
	}
}

// Metadata tells the sound before its first frame, and again if that turns out to be another. G.711 and Speex have no header.
func TestMuxerSound(t *testing.T) {
	video := h264Track(320, 180)
	for _, tt := range []struct {
		name   string
		expect *media.Track // nil: not told
		sound  *media.Track
		want   []string // codec id, rate and channels of each metadata, and the heads of the sound's tags
	}{
		{"AAC by default", nil, aacTrack(), []string{"10 48000 2", "af00", "af01"}},
		{"AAC of another form", nil, &media.Track{Codec: media.AAC, Config: []byte{2}, SampleRate: 44100, Channels: 1},
			[]string{"10 48000 2", "10 44100 1", "af00", "af01"}},
		{"A-law, not expected", nil, alaw, []string{"10 48000 2", "7 8000 1", "72"}},
		{"A-law", alaw, alaw, []string{"7 8000 1", "72"}},
		{"mu-law", &media.Track{Codec: media.PCMU, SampleRate: 8000, Channels: 1},
			&media.Track{Codec: media.PCMU, SampleRate: 8000, Channels: 1}, []string{"8 8000 1", "82"}},
		{"Speex", speex, speex, []string{"11 16000 1", "b2"}},
	} {
		var got []string
		m := &Muxer{Sound: tt.expect, FrameRate: func() float64 { return 0 }}
		m.Metadata = func(d Metadata, ms int64) Tag {
			got = append(got, fmt.Sprint(audioID(d.Audio), d.Audio.SampleRate, d.Audio.Channels))
			return MetadataTag(d, ms)
		}
		for _, f := range []media.Frame{frame(video, 0, true), frame(tt.sound, 10, true)} {
			tags, err := m.Append(nil, f)
			if err != nil {
				t.Fatal(err)
			}
			for _, tag := range tags {
				if tag.Type == TypeAudio {
					got = append(got, fmt.Sprintf("%x", tag.Head()))
				}
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// Pictures that are announced have their header at the connection's beginning, though sound goes first; others are late.
func TestAnnounced(t *testing.T) {
	hevc := &media.Track{Codec: media.H265, Config: []byte{1}}
	for _, c := range []struct {
		name      string
		announced *media.Track
		allowed   bool
		header    bool
	}{
		{"none", nil, false, false},
		{"H.264", avc, false, true},
		{"HEVC that is taken", hevc, true, true},
		{"HEVC that is not", hevc, false, false},
	} {
		m := Muxer{
			Announced: func() *media.Track { return c.announced }, Allowed: func(media.Codec) bool { return c.allowed },
			FrameRate: func() float64 { return 0 },
		}
		tags, err := m.Append(nil, media.Frame{Track: aac, Key: true, Data: []byte{1}})
		if err != nil {
			t.Fatal(err)
		}
		if got := tags[0].Type == TypeVideo; got != c.header {
			t.Errorf("%s: the first tag is %d", c.name, tags[0].Type)
		}
		picture := media.Frame{Track: avc, Key: true, Data: []byte{1}}
		if c.announced != nil {
			picture.Track = c.announced
		}
		for at, late := range map[time.Duration]bool{time.Second: false, 1100 * time.Millisecond: !c.header} {
			picture.Time = media.Timestamp(at)
			if got := m.Late(picture); got != late {
				t.Errorf("%s: late after %v is %v", c.name, at, got)
			}
		}
	}
}

// A muxer that goes on with another source sends the headers anew. The time of the connection goes on by the pause, for sound and pictures alike.
func TestMuxerGoesOn(t *testing.T) {
	m := &Muxer{Metadata: PlayerMetadataTag, FrameRate: func() float64 { return 0 }, WaitVideoMS: 1000}
	first, second := h264Track(320, 180), h264Track(640, 360)
	var got []string
	send := func(f media.Frame) {
		t.Helper()
		tags, err := m.Append(nil, f)
		if err != nil {
			t.Fatal(err)
		}
		for _, tag := range tags {
			got = append(got, fmt.Sprintf("%d %x at %d", tag.Type, tag.Head()[:1], tag.Time))
		}
	}
	m.GoOn(3_600_000) // before the first frame
	send(frame(first, 5000, true))
	send(frame(aacTrack(), 5010, true))
	send(frame(first, 5040, false))
	m.GoOn(2000)
	sound := aacTrack()
	send(frame(sound, 7_000_000, true)) // waits for the picture
	send(frame(second, 7_000_100, true))
	send(frame(sound, 7_000_110, true))
	m.GoOn(0)
	send(frame(second, 3, true))
	want := []string{
		"18 00 at 0", "9 17 at 0", "9 17 at 0", "8 af at 10", "8 af at 10", "9 27 at 40",
		"18 00 at 0", "9 17 at 2040", "9 17 at 2040", "8 af at 2050", "8 af at 2050",
		"18 00 at 0", "9 17 at 2051", "9 17 at 2051",
	}
	if !slices.Equal(got, want) {
		t.Errorf("tags\n%q, want\n%q", got, want)
	}
}
