package transponder

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"transponder/internal/media"
	"transponder/internal/testkit"
	"transponder/internal/transcode/sound"
	"transponder/internal/transcode/soundfile"
)

// fakeSounds has files in which each packet is the first letter of the file's name. A file has as many packets as its name has letters.
type fakeSounds struct{ open, closed int }

func (s *fakeSounds) Check(name string) error {
	switch {
	case strings.HasSuffix(name, ".txt"):
		return soundfile.ErrUnplayable
	case name == "missing":
		return soundfile.ErrNotFound
	}
	return nil
}

func (s *fakeSounds) Open(name string, loop bool) (SoundPlayer, error) {
	if err := s.Check(name); err != nil {
		return nil, err
	}
	s.open++
	return &fakePlayer{sounds: s, data: []byte(name[:1]), left: len(name), loop: loop}, nil
}

type fakePlayer struct {
	sounds *fakeSounds
	data   []byte
	left   int
	loop   bool
}

func (p *fakePlayer) Replace(f media.Frame) (media.Frame, error) {
	if p.left == 0 && !p.loop {
		return f, io.EOF
	}
	p.left--
	f.Data = p.data
	return f, nil
}

func (p *fakePlayer) Close() { p.sounds.closed++ }

// The receiver of a push gets the sound that was asked for.
func TestVoice(t *testing.T) {
	sounds := &fakeSounds{}
	b := newBench(t, nil)
	b.parts.Sounds = sounds
	server := testkit.NewRTMPServer(t, testkit.Script{})
	s := b.source("s")
	info := b.start(Request{StreamName: "s", URL: server.URL("live"), Options: Options{Action: "sound_on", SoundFile: "xy", Loop: true}})
	if !info.SoundEnabled || info.SoundFile != "xy" || info.Muted {
		t.Errorf("started as %+v", info)
	}
	s.live(t, server)
	packets := func() []testkit.Tag {
		return slices.DeleteFunc(server.Tags(), func(tag testkit.Tag) bool { return tag.Video || tag.Header })
	}
	// next writes sound and returns the packets that the receiver gets, as many as are of interest.
	next := func(n int) string {
		t.Helper()
		server.Wait(t, "what was written before", func() bool { // each picture and then its sound
			tags := server.Tags()
			last := len(tags) - 1
			return last > 0 && !tags[last].Video && tags[last-1].Video && tags[last-1].Data[5] == byte(s.n-1)
		})
		before := len(packets())
		s.write(n, 20)
		server.Wait(t, "sound", func() bool { return len(packets()) == before+n })
		var heard []string
		for _, tag := range packets()[before:] {
			switch silent, _ := sound.Silence(media.Frame{Track: s.audio, Data: []byte{0}}); {
			case bytes.Equal(tag.Data, silent.Data):
				heard = append(heard, "-")
			case len(tag.Data) == 1 && tag.Data[0] >= 'a':
				heard = append(heard, string(tag.Data))
			default:
				heard = append(heard, ".")
			}
		}
		return strings.Join(heard, "")
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		do   func() error
		want string
	}{
		{func() error { return nil }, "xxx"},
		{func() error { return b.SoundOff(info.ID) }, "..."},
		{func() error { return b.SoundOff(info.ID) }, "..."},
		{func() error { return b.Mute(info.ID, true) }, "---"},
		{func() error { return b.Mute(info.ID, true) }, "---"},
		{func() error { return b.SoundOn(info.ID, "abcde", false) }, "---"}, // goes on unheard
		{func() error { return b.Mute(info.ID, false) }, "aa."},
		{func() error { return b.SoundOn(info.ID, "abc", true) }, "aaa"},
		{func() error { return b.SoundOn(info.ID, "bc", false) }, "bb."},
	} {
		do(step.do())
		if got := next(3); got != step.want {
			t.Errorf("heard %q, want %q", got, step.want)
		}
	}
	if now := b.Find(Filter{ID: info.ID})[0]; now.SoundEnabled || now.SoundFile != "" || now.Muted || now.Options.SoundFile != "xy" {
		t.Errorf("at the end %+v", now)
	}

	for name, want := range map[string]error{"missing": soundfile.ErrNotFound, "a.txt": soundfile.ErrUnplayable} {
		if err := b.SoundOn(info.ID, name, false); !errors.Is(err, want) {
			t.Errorf("SoundOn(%q) = %v, want %v", name, err, want)
		}
		if _, err := b.Start(t.Context(), Request{
			StreamName: "s", URL: server.URL("other"), Options: Options{Action: "sound_on", SoundFile: name},
		}); !errors.Is(err, want) {
			t.Errorf("a start with %q = %v, want %v", name, err, want)
		}
	}
	for _, err := range []error{b.Mute("x", true), b.SoundOn("x", "abc", false), b.SoundOff("x")} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("of a push that is not there: %v", err)
		}
	}
	do(b.SoundOn(info.ID, "still playing", true))
	s.Close(nil)
	b.end()
	b.stop()
	if sounds.open != sounds.closed {
		t.Errorf("%d players opened, %d closed", sounds.open, sounds.closed)
	}
	headers := slices.DeleteFunc(server.Tags(), func(tag testkit.Tag) bool { return tag.Video || !tag.Header })
	if len(headers) != 1 {
		t.Errorf("%d sequence headers of sound, want 1", len(headers))
	}
}

// The sound that was asked for lasts over a new connection: silence, or a file, which continues where it was. When the push is over nothing can
// be played any more, although the push can still be found.
func TestVoiceOverConnections(t *testing.T) {
	sounds := &fakeSounds{}
	b := newBench(t, nil)
	b.parts.Sounds = sounds
	s := b.source("s")
	tests := []struct {
		name   string
		change func(id string) error
		want   []byte
	}{
		{"muted", func(id string) error { return b.Mute(id, true) }, nil},
		{"file", func(id string) error { return b.SoundOn(id, "jingle", true) }, []byte("j")},
	}
	for _, tt := range tests {
		server := testkit.NewRTMPServer(t, testkit.Script{})
		info := b.start(Request{StreamName: "s", URL: server.URL(tt.name), Options: Options{Restore: quickly}})
		s.live(t, server)
		if err := tt.change(info.ID); err != nil {
			t.Fatal(err)
		}
		server.Kick()
		server.Wait(t, "second publish", func() bool { return countCalls(server, "publish('rtmp_s')") == 2 })
		begun := len(server.Tags())
		server.Wait(t, "sound", func() bool {
			s.write(10, 20)
			return len(server.Tags()) > begun+40
		})
		want := tt.want
		if want == nil {
			silent, _ := sound.Silence(media.Frame{Track: s.audio, Data: []byte{0}})
			want = silent.Data
		}
		for _, tag := range server.Tags()[begun:] {
			if !tag.Video && !tag.Header && !bytes.Equal(tag.Data, want) {
				t.Fatalf("%s: %x is sent after the connection was lost, want %x", tt.name, tag.Data, want)
			}
		}
		if now := b.Find(Filter{ID: info.ID})[0]; now.State != Live || now.Muted != (tt.want == nil) || now.SoundEnabled != (tt.want != nil) {
			t.Errorf("%s: %+v", tt.name, now)
		}
		if err := b.Terminate(t.Context(), info.ID); err != nil {
			t.Fatal(err)
		}
	}

	refused := testkit.NewRTMPServer(t, testkit.Script{At: "publish", Do: testkit.Refuse})
	info := b.start(Request{StreamName: "s", URL: refused.URL("live")})
	b.wait("failure", func() bool { return b.Find(Filter{ID: info.ID})[0].State == Failed })
	b.wait("end of all playing", func() bool { return errors.Is(b.SoundOn(info.ID, "jingle", true), ErrNotFound) })
	if now := b.Find(Filter{ID: info.ID})[0]; now.SoundEnabled {
		t.Error("a push that has failed plays")
	}
	if sounds.open != sounds.closed {
		t.Errorf("%d players opened, %d closed", sounds.open, sounds.closed)
	}
}

// Muted sound whose codec has no known silence is not sent. Sound that passes as Opus cannot be replaced by a file.
func TestVoiceOfOtherCodecs(t *testing.T) {
	v := &voice{}
	v.mute(true)
	mp3 := media.Frame{Track: &media.Track{Codec: media.MP3}, Data: []byte{1}}
	picture := media.Frame{Track: &media.Track{Codec: media.H264}, Data: []byte{2}}
	frames := []media.Frame{mp3, picture, mp3}
	if n := v.apply(frames); n != 1 || frames[0].Track != picture.Track {
		t.Errorf("%d frames are left, want the picture", n)
	}
	v.mute(false)
	v.apply([]media.Frame{{Track: &media.Track{Codec: media.Opus}, Data: []byte{0xf8}}})
	if err := v.play("a", false, &fakePlayer{}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("a file in the place of Opus = %v, want ErrUnsupported", err)
	}
}
