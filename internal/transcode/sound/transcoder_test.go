//go:build cgo

package sound

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/flv"
	"transponder/internal/media"
	"transponder/internal/panics"
	"transponder/internal/stream"
	"transponder/internal/transcode/aac"
	"transponder/internal/transcode/libav"
	"transponder/internal/transcode/sound/soundtest"
)

// rig is a source, an Transcoder, and a reader that keeps all that comes out. It belongs into a synctest bubble.
type rig struct {
	t      *testing.T
	audio  *Transcoder
	format media.AudioFormat // to be asked for
	src    *stream.Source
	log    bytes.Buffer

	release func()
	wg      sync.WaitGroup
	mu      sync.Mutex
	frames  []media.Frame // guarded by mu
	err     error         // guarded by mu; why reading ended
}

// codedWithin is how far the AAC may be behind what is on the tape: two frames wait for each other, one is being filled, one
// is in the encoder, and its lead-in is another.
const codedWithin = 5 * 1024 * time.Second / sampleRate

// liveHz is the tone of live sound.
const liveHz = 440

func newRig(t *testing.T, hasAudio bool) *rig {
	t.Helper()
	src, err := stream.NewHub(stream.DefaultConfig(), nil).Publish(stream.Info{Name: "a", ID: "1", HasAudio: hasAudio})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, src: src}
	r.audio = New(DefaultConfig(), slog.New(slog.NewTextHandler(&r.log, nil)))
	return r
}

// fake puts fake codecs in the place of the real ones.
func (r *rig) fake() *fakeEncoder {
	enc := &fakeEncoder{}
	r.audio.newEncoder = func(media.AudioFormat) (Encoder, error) { return enc, nil }
	r.audio.newDecoder = func(*media.Track) (decoder, error) { return &fakeConcealer{}, nil }
	return enc
}

// start asks for sound and reads it.
func (r *rig) start() {
	r.t.Helper()
	feed, release, err := r.audio.Feed(r.src, r.format)
	if err != nil {
		r.t.Fatal(err)
	}
	r.release = release
	reader := r.src.NewReader(stream.ReaderConfig{Audio: feed})
	defer synctest.Wait() // until both read
	r.wg.Go(func() {
		defer reader.Close()
		var batch [8]media.Frame
		for {
			n, err := reader.Read(r.t.Context(), batch[:])
			r.mu.Lock()
			r.frames = append(r.frames, batch[:n]...)
			r.err = err
			r.mu.Unlock()
			if err != nil {
				return
			}
		}
	})
}

// stop gives the rendition back, waits for the reader, and returns what came out.
func (r *rig) stop() []media.Frame {
	r.release()
	r.wg.Wait()
	r.src.Close(nil)
	return r.frames
}

// send writes a packet with the present time, less its length as a microphone needs that long, and lets that length pass.
func (r *rig) send(track *media.Track, packet []byte, d time.Duration) {
	r.src.Audio.Write(media.Frame{Track: track, Time: r.src.Now(), Key: true, Data: packet})
	time.Sleep(d)
}

// sendTone writes fake packets of 20 ms for a time.
func (r *rig) sendTone(d time.Duration) {
	for end := r.src.Now().Add(d); r.src.Now() < end; {
		r.send(fakeTrack, fakePacket(int(toSamples(time.Duration(r.src.Now()))), 960), 20*time.Millisecond)
	}
}

// checkClock holds frames to the count of samples and to one track.
func checkClock(t *testing.T, frames []media.Frame) {
	t.Helper()
	for i, f := range frames {
		want := frames[0].Time.Add(media.Samples(int64(i)*1024, sampleRate))
		if d := f.Time.Sub(want).Abs(); d > time.Nanosecond {
			t.Fatalf("frame %d at %v, want %v", i, time.Duration(f.Time), time.Duration(want))
		}
		if f.Track != frames[0].Track || !f.Key {
			t.Fatalf("frame %d has track %p, key %v; the first has %p", i, f.Track, f.Key, frames[0].Track)
		}
	}
}

// checkReaches wants the last frame's end to be close to a time.
func checkReaches(t *testing.T, frames []media.Frame, want media.Timestamp, within time.Duration) {
	t.Helper()
	if len(frames) == 0 {
		t.Fatal("no frames")
	}
	end := frames[len(frames)-1].Time.Add(media.Samples(1024, sampleRate))
	if end.Sub(want).Abs() > within {
		t.Errorf("AAC ends at %v, want %v", time.Duration(end), time.Duration(want))
	}
}

// encodeFrames encodes PCM of a form as live frames, by FFmpeg's encoder.
func encodeFrames(t testing.TB, f media.AudioFormat, pcm []float32) []media.Frame {
	t.Helper()
	enc, err := libav.NewEncoder(f)
	if err != nil {
		t.Fatal(err)
	}
	return soundtest.EncodeFrames(t, enc, f, pcm)
}

// decodeFrames decodes frames of any codec and returns their PCM, which begins at the first frame's time.
func decodeFrames(t *testing.T, frames []media.Frame) []float32 {
	t.Helper()
	if frames[0].Track.Codec == media.Opus {
		dec, err := libav.NewOpusDecoder()
		if err != nil {
			t.Fatal(err)
		}
		return soundtest.DecodeFrames(t, dec, libav.MaxOpusSamples, frames)
	}
	dec, err := libav.NewDecoder(frames[0].Track)
	if err != nil {
		t.Fatal(err)
	}
	return soundtest.DecodeFrames(t, dec, libav.MaxSamples, frames)
}

func TestAudioConfig(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Errorf("default: %v", err)
	}
	err := Config{RateBPS: 1, SampleRate: 2, Channels: 3, Hold: -2, MaxHold: -3, FirstPacket: -1}.Validate()
	for _, want := range []string{"missing", "bit rate", "sample rate", "3 audio channels", "audio hold", "longest", "first audio packet"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("faults %v do not name %q", err, want)
		}
	}
}

func TestAACSourceGivesItself(t *testing.T) {
	r := newRig(t, true)
	defer r.src.Close(nil)
	r.src.Audio.Write(media.Frame{Track: &media.Track{Codec: media.AAC}})
	feed, release, err := r.audio.Feed(r.src, media.AudioFormat{})
	if err != nil || feed != r.src.Audio {
		t.Errorf("got %p, %v, want the source's own %p", feed, err, r.src.Audio)
	}
	release()
	if _, ok := r.audio.SourceStats(r.src); ok {
		t.Error("there is a rendition")
	}
}

func TestClosedSource(t *testing.T) {
	r := newRig(t, true)
	r.src.Close(nil)
	if _, _, err := r.audio.Feed(r.src, media.AudioFormat{}); !errors.Is(err, stream.ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
}

// A publisher whose first packet, when it comes, is AAC is relayed; if it changes to another coding it is encoded.
func TestLateAACIsRelayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, true)
		r.fake()
		r.start()
		time.Sleep(900 * time.Millisecond)
		aac := &media.Track{Codec: media.AAC}
		for i := range 10 {
			r.send(aac, []byte{byte(i)}, 21*time.Millisecond)
		}
		synctest.Wait()
		if len(r.frames) != 10 || r.frames[9].Track != aac || r.frames[9].Data[0] != 9 {
			t.Fatalf("got %d frames, want the ten that were sent", len(r.frames))
		}
		r.sendTone(time.Second)
		frames := r.stop()[10:]
		checkClock(t, frames)
		checkReaches(t, frames, r.src.Now(), 80*time.Millisecond)
		if frames[0].Track == aac || frames[0].Time <= r.frames[9].Time {
			t.Error("what followed the AAC was not encoded after it")
		}
	})
}

// A source that begins with AAC between the call and the rendition's first look is relayed too.
func TestAACInTheMeantime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, false)
		aac := &media.Track{Codec: media.AAC}
		r.send(aac, []byte{1}, time.Millisecond)
		out, release, err := r.src.Rendition("aac", nil, func(ctx context.Context, out *stream.Feed) error {
			return r.audio.render(ctx, r.src, r.audio.want(media.AudioFormat{}), out)
		})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		r.send(aac, []byte{2}, time.Millisecond)
		synctest.Wait()
		if st := out.Stats(); st.Frames != 1 || st.Track != aac {
			t.Errorf("relayed %d frames of %v, want 1 of the source's track", st.Frames, st.Track)
		}
		release()
		r.src.Close(nil)
	})
}

func TestNoAudio(t *testing.T) {
	for _, tt := range []struct {
		name     string
		hasAudio bool
	}{{"none announced", false}, {"none came", true}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, tt.hasAudio)
				time.Sleep(time.Second)
				began := r.src.Now()
				r.start()
				time.Sleep(10 * time.Second)
				synctest.Wait()
				st, _ := r.audio.SourceStats(r.src)
				quiet := len(r.frames)
				checkReaches(t, r.frames, r.src.Now(), codedWithin)

				r.audio.newDecoder = func(*media.Track) (decoder, error) { return &fakeDecoder{}, nil }
				from := r.src.Now()
				r.sendTone(time.Second)
				to := r.src.Now()
				frames := r.stop()
				checkClock(t, frames)
				if frames[0].Time != began {
					t.Errorf("AAC begins at %v, want %v", time.Duration(frames[0].Time), time.Duration(began))
				}
				if coded := st.FramesOut - st.FramesReused; st.FramesOut != int64(quiet) || coded > settledFrames {
					t.Errorf("%d frames out, %d of them coded, want %d and %d at most", st.FramesOut, coded, quiet, settledFrames)
				}
				pcm := decodeFrames(t, frames)
				if got := soundtest.Level(soundtest.Between(frames, pcm, began, from.Add(-ms(50))), 0, fakeHz); got != 0 {
					t.Errorf("silence has a level of %g", got)
				}
				got := soundtest.Level(soundtest.Between(frames, pcm, from.Add(ms(100)), to.Add(-ms(100))), 0, fakeHz)
				if math.Abs(got-fakeLevel) > 0.02 {
					t.Errorf("tone after silence has a level of %.3f, want %.3f", got, fakeLevel)
				}
				if bend, at := soundtest.Step(pcm); bend > 0.02 {
					t.Errorf("signal bends by %.3f at sample %d", bend, at)
				}
			})
		})
	}
}

// A click is heard when it was made, whatever carried it.
func TestLipSync(t *testing.T) {
	click := soundtest.Click(700*time.Millisecond, 1500*time.Millisecond)
	tests := []struct {
		name    string
		track   *media.Track
		packets [][]byte
		length  time.Duration
	}{
		{"Opus", &media.Track{Codec: media.Opus}, soundtest.Opus(t, click), 20 * time.Millisecond},
		{"Opus 60 ms", &media.Track{Codec: media.Opus}, soundtest.Opus(t, click, "-frame_duration", "60"), 60 * time.Millisecond},
		{"A-law", &media.Track{Codec: media.PCMA}, soundtest.G711(t, click, "alaw"), 20 * time.Millisecond},
		{"mu-law", &media.Track{Codec: media.PCMU}, soundtest.G711(t, click, "mulaw"), 20 * time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, true)
				r.start()
				time.Sleep(55 * time.Millisecond)
				want := r.src.Now().Add(700 * time.Millisecond)
				for _, p := range tt.packets {
					r.send(tt.track, p, tt.length)
				}
				frames := r.stop()
				checkClock(t, frames)
				onset, ok := soundtest.Onset(decodeFrames(t, frames), 0.1)
				got := frames[0].Time.Add(onset)
				if d := got.Sub(want); !ok || d.Abs() > 2*time.Millisecond {
					t.Errorf("click at %v, want %v", time.Duration(got), time.Duration(want))
				} else {
					t.Logf("click is out by %v", d)
				}
			})
		})
	}
}

// formats are what sound can be made into.
var formats = []struct {
	name   string
	format media.AudioFormat
}{
	{"AAC 44100 Hz mono", media.AudioFormat{Codec: media.AAC, RateBPS: 96_000, SampleRate: 44100, Channels: 1}},
	{"AAC 22050 Hz", media.AudioFormat{SampleRate: 22050}},
	{"AAC mono", media.AudioFormat{Codec: media.AAC, Channels: 1}},
	{"A-law", media.AudioFormat{Codec: media.PCMA}},
	{"mu-law", media.AudioFormat{Codec: media.PCMU}},
	{"Speex", media.AudioFormat{Codec: media.Speex}},
}

// phoneFormats are what sound can be made into besides, for phones. FLV has no place for them.
var phoneFormats = []struct {
	name   string
	format media.AudioFormat
}{
	{"G.722", media.AudioFormat{Codec: media.G722}},
	{"Speex 8000 Hz", media.AudioFormat{Codec: media.SpeexNarrow}},
}

// In every format the click is heard when it was made, the tone as loud as it was, silence is silent, and packets follow the
// count of samples.
func TestFormats(t *testing.T) {
	click := soundtest.Opus(t, soundtest.Click(700*time.Millisecond, 1500*time.Millisecond))
	tone := soundtest.Opus(t, soundtest.Tone(440, 0.5, time.Second))
	for _, tt := range slices.Concat(formats, phoneFormats) {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, true)
				r.format = tt.format
				r.start()
				time.Sleep(55 * time.Millisecond)
				want := r.src.Now().Add(700 * time.Millisecond)
				track := &media.Track{Codec: media.Opus}
				for _, p := range click {
					r.send(track, p, 20*time.Millisecond)
				}
				time.Sleep(2 * time.Second)
				from := r.src.Now()
				for _, p := range tone {
					r.send(track, p, 20*time.Millisecond)
				}
				to := r.src.Now()
				frames := r.stop()
				f := r.audio.want(tt.format).make
				size := 1024
				if f.Codec != media.AAC {
					size = f.SampleRate / 50
				}
				for i, g := range frames {
					at := frames[0].Time.Add(media.Samples(int64(i*size), f.SampleRate))
					if g.Time.Sub(at).Abs() > time.Nanosecond || g.Track != frames[0].Track || !g.Key {
						t.Fatalf("frame %d at %v, want %v, and the same track", i, time.Duration(g.Time), time.Duration(at))
					}
				}
				if got := r.audio.Expect(r.src, tt.format); got.Codec != f.Codec || got.SampleRate != f.SampleRate || got.Channels != f.Channels {
					t.Errorf("%+v is expected, want %+v", got, f)
				}
				if got := frames[0].Track; got.Codec != f.Codec || got.SampleRate != f.SampleRate || got.Channels != f.Channels {
					t.Errorf("track %+v, want %+v", got, f)
				}
				pcm := decodeFrames(t, frames)
				onset, ok := soundtest.Onset(pcm, 0.1)
				if d := frames[0].Time.Add(onset).Sub(want); f.SampleRate > 8000 && (!ok || d < -2*time.Millisecond || d > 12*time.Millisecond) {
					t.Errorf("click is out by %v", d)
				}
				quiet := soundtest.Between(frames, pcm, want.Add(ms(1000)), from.Add(-ms(100)))
				if p := peak(quiet); p > 0.001 {
					t.Errorf("silence has a peak of %g", p)
				}
				got := soundtest.Level(soundtest.Between(frames, pcm, from.Add(ms(100)), to.Add(-ms(100))), 0, 440)
				if math.Abs(got-0.5) > 0.06 {
					t.Errorf("tone has a level of %.3f, want 0.5", got)
				}
			})
		})
	}
}

// A tone in each codec of phones is heard in AAC.
func TestPhoneSources(t *testing.T) {
	one := func(frames []media.Frame) []media.Frame { return frames }
	three := func(frames []media.Frame) (joined []media.Frame) {
		for ; len(frames) >= 3; frames = frames[3:] {
			f := frames[0]
			f.Data = JoinSpeex(frames[0].Data, frames[1].Data, frames[2].Data)
			joined = append(joined, f)
		}
		return joined
	}
	for _, tt := range []struct {
		name    string
		codec   media.Codec
		packets func([]media.Frame) []media.Frame
	}{
		{"mu-law", media.PCMU, one}, {"A-law", media.PCMA, one}, {"G.722", media.G722, one},
		{"Speex", media.Speex, one}, {"Speex 8000 Hz", media.SpeexNarrow, one},
		{"Speex, three frames to a packet", media.Speex, three}, {"Speex 8000 Hz, three frames to a packet", media.SpeexNarrow, three},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, true)
				r.start()
				f := complete(media.AudioFormat{Codec: tt.codec})
				tone := tt.packets(encodeFrames(t, f, soundtest.ToneOf(f, liveHz, 2*time.Second)))
				from := r.src.Now()
				for _, p := range tone {
					r.send(p.Track, p.Data, tone[1].Time.Sub(tone[0].Time))
				}
				to := r.src.Now()
				time.Sleep(time.Second)
				frames := r.stop()
				checkClock(t, frames)
				pcm := soundtest.Between(frames, decodeFrames(t, frames), from.Add(ms(200)), to.Add(-ms(200)))
				if got := soundtest.Level(pcm, 0, liveHz); math.Abs(got-0.5) > 0.06 {
					t.Errorf("tone has a level of %.3f, want 0.5", got)
				}
				if bend, _ := soundtest.Step(pcm); bend > 0.02 {
					t.Errorf("the tone has a click: a bend of %.3f", bend)
				}
			})
		})
	}
}

// Another program finds the tone in an FLV file of every format.
func TestFormatsInFLV(t *testing.T) {
	for _, tt := range formats {
		f := New(DefaultConfig(), slog.New(slog.DiscardHandler)).want(tt.format).make
		frames := encodeFrames(t, f, soundtest.ToneOf(f, liveHz, 2*time.Second))
		if got := soundtest.Level(soundtest.Decode(t, flvFile(t, frames))[channels*sampleRate/2:][:channels*sampleRate], 0, liveHz); math.Abs(got-0.5) > 0.06 {
			t.Errorf("%s: tone has a level of %.3f, want 0.5", tt.name, got)
		}
	}
}

// flvFile makes an FLV file of sound (FLV 10.1, E.2 and E.3).
func flvFile(t *testing.T, frames []media.Frame) []byte {
	t.Helper()
	mux := &flv.Muxer{}
	b := []byte("FLV\x01\x04\x00\x00\x00\x09\x00\x00\x00\x00")
	for _, f := range frames {
		tags, err := mux.Append(nil, f)
		if err != nil {
			t.Fatal(err)
		}
		for _, tag := range tags {
			n, at := tag.Len(), tag.Time
			b = append(b, tag.Type, byte(n>>16), byte(n>>8), byte(n), byte(at>>16), byte(at>>8), byte(at), byte(at>>24), 0, 0, 0)
			b = append(append(b, tag.Head()...), tag.Payload...)
			b = binary.BigEndian.AppendUint32(b, uint32(n+11))
		}
	}
	return b
}

// Sound that already has the wanted format comes from the source's own feed.
func TestPassing(t *testing.T) {
	stereo := media.Track{Codec: media.AAC, SampleRate: 48000, Channels: 2}
	alaw := media.Track{Codec: media.PCMA, SampleRate: 8000, Channels: 1}
	for _, tt := range []struct {
		name   string
		track  media.Track
		format media.AudioFormat
		change func(*Config)
		want   bool
	}{
		{"AAC", stereo, media.AudioFormat{}, nil, true},
		{"AAC at another rate than the settings'", media.Track{Codec: media.AAC, SampleRate: 44100, Channels: 1}, media.AudioFormat{}, nil, true},
		{"AAC at the rate that is asked for", stereo, media.AudioFormat{SampleRate: 48000, Channels: 2}, nil, true},
		{"AAC at another rate than is asked for", stereo, media.AudioFormat{SampleRate: 44100}, nil, false},
		{"AAC with other channels", stereo, media.AudioFormat{Channels: 1}, nil, false},
		{"AAC with another bit rate", stereo, media.AudioFormat{RateBPS: 64_000}, nil, false},
		{"A-law for AAC", alaw, media.AudioFormat{}, nil, false},
		{"A-law for A-law", alaw, media.AudioFormat{Codec: media.PCMA}, nil, true},
		{"A-law for mu-law", alaw, media.AudioFormat{Codec: media.PCMU}, nil, false},
		{"A-law in stereo", media.Track{Codec: media.PCMA, Channels: 2}, media.AudioFormat{Codec: media.PCMA}, nil, false},
		{"A-law by the settings", alaw, media.AudioFormat{}, func(c *Config) { c.Codec = media.PCMA }, true},
		{"A-law copied", alaw, media.AudioFormat{}, func(c *Config) { c.Copy = true }, true},
		{"A-law copied, but AAC asked for", alaw, media.AudioFormat{Codec: media.AAC}, func(c *Config) { c.Copy = true }, false},
		{"Speex copied", media.Track{Codec: media.Speex, SampleRate: 16000, Channels: 1}, media.AudioFormat{}, func(c *Config) { c.Copy = true }, true},
		{"G.722 for G.722", media.Track{Codec: media.G722, SampleRate: 16000, Channels: 1}, media.AudioFormat{Codec: media.G722}, nil, true},
		{"G.722, which RTMP does not know, copied", media.Track{Codec: media.G722, SampleRate: 16000}, media.AudioFormat{}, func(c *Config) { c.Copy = true }, false},
		{"Speex at 8 kHz, which RTMP does not know, copied", media.Track{Codec: media.SpeexNarrow}, media.AudioFormat{}, func(c *Config) { c.Copy = true }, false},
		{"Opus copied", media.Track{Codec: media.Opus}, media.AudioFormat{}, func(c *Config) { c.Copy = true }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, true)
				if tt.change != nil {
					tt.change(&r.audio.cfg)
				}
				r.src.Audio.Write(media.Frame{Track: &tt.track, Data: []byte{1}})
				feed, release, err := r.audio.Feed(r.src, tt.format)
				if err != nil || (feed == r.src.Audio) != tt.want {
					t.Errorf("passes: %v, %v; want %v", feed == r.src.Audio, err, tt.want)
				}
				synctest.Wait()
				release()
				r.src.Close(nil)
			})
		})
	}
}

// Each format has its own rendition, and one of them only.
func TestOneRenditionPerFormat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, false)
		feeds := map[*stream.Feed]bool{}
		for _, f := range []media.AudioFormat{{}, {Codec: media.AAC}, {Codec: media.PCMA}, {Codec: media.PCMU}, {Codec: media.PCMA}, {Channels: 1}, {}} {
			feed, release, err := r.audio.Feed(r.src, f)
			if err != nil {
				t.Fatal(err)
			}
			defer release()
			feeds[feed] = true
		}
		synctest.Wait()
		if st, ok := r.audio.SourceStats(r.src); len(feeds) != 4 || !ok || st.Renditions != 4 {
			t.Errorf("%d feeds of %d renditions, want 4", len(feeds), st.Renditions)
		}
	})
}

func TestCheckFormat(t *testing.T) {
	a := New(DefaultConfig(), slog.New(slog.DiscardHandler))
	speech := DefaultConfig()
	speech.Codec = media.PCMA
	b := New(speech, slog.New(slog.DiscardHandler))
	for _, tt := range []struct {
		audio  *Transcoder
		format media.AudioFormat
		fault  string
	}{
		{a, media.AudioFormat{}, ""},
		{a, media.AudioFormat{RateBPS: 64_000, SampleRate: 44100, Channels: 1}, ""},
		{a, media.AudioFormat{Codec: media.Speex, SampleRate: 16000, Channels: 1}, ""},
		{a, media.AudioFormat{Codec: media.MP3}, "MPA"},
		{a, media.AudioFormat{Codec: media.H264}, "H264"},
		{a, media.AudioFormat{RateBPS: 1}, "bit rate"},
		{a, media.AudioFormat{SampleRate: 48001}, "sample rate"},
		{a, media.AudioFormat{Channels: 6}, "channels"},
		{a, media.AudioFormat{Codec: media.PCMU, SampleRate: 16000}, "8000 Hz"},
		{a, media.AudioFormat{Codec: media.PCMU, Channels: 2}, "one channel"},
		{b, media.AudioFormat{RateBPS: 64_000}, "bit rate"},
		{b, media.AudioFormat{Codec: media.AAC, RateBPS: 64_000}, ""},
	} {
		err := tt.audio.Check(tt.format)
		if (err == nil) != (tt.fault == "") || err != nil && !strings.Contains(err.Error(), tt.fault) {
			t.Errorf("%+v: %v, want %q", tt.format, err, tt.fault)
		}
		if _, _, feedErr := tt.audio.Feed(mustPublish(t), tt.format); err != nil && feedErr == nil {
			t.Errorf("%+v: Feed takes it", tt.format)
		}
	}
}

func mustPublish(t *testing.T) *stream.Source {
	t.Helper()
	src, err := stream.NewHub(stream.DefaultConfig(), nil).Publish(stream.Info{Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close(nil) })
	return src
}

// Without silent tracks nothing is sent before the first packet, and everything from it on.
func TestNoSilentTrack(t *testing.T) {
	for _, hasAudio := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, hasAudio)
			r.audio.cfg.AddSilence = false
			r.fake()
			r.start()
			time.Sleep(5 * time.Second)
			synctest.Wait()
			if len(r.frames) > 0 {
				t.Fatalf("%d frames of nothing", len(r.frames))
			}
			from := r.src.Now()
			r.sendTone(time.Second)
			time.Sleep(time.Second) // of a muted microphone
			frames := r.stop()
			checkClock(t, frames)
			checkReaches(t, frames, r.src.Now(), DefaultConfig().Hold+codedWithin)
			if frames[0].Time != from {
				t.Errorf("sound begins at %v, want %v", time.Duration(frames[0].Time), time.Duration(from))
			}
		})
	}
}

// Muted microphone, loss, DTX: the clock goes on, the sound comes back, nothing clicks.
func TestGaps(t *testing.T) {
	packets := soundtest.Opus(t, soundtest.Tone(500, 0.5, 3*time.Second))
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, true)
		r.start()
		track := &media.Track{Codec: media.Opus}
		for i, p := range packets {
			muted, lost := i >= 50 && i < 100, i > 100 && i%10 == 0
			if muted || lost {
				time.Sleep(20 * time.Millisecond)
				continue
			}
			if i == 40 {
				p = []byte{0xff} // a code 3 packet without its frame count
			}
			r.send(track, p, 20*time.Millisecond)
		}
		synctest.Wait()
		st, _ := r.audio.SourceStats(r.src)
		frames := r.stop()
		checkClock(t, frames)
		tooMany := st.DecodeErrors > 1 || st.Silence > 48000 || st.Trimmed > 1024+312 // the first packet is older than the output
		if tooMany || st.DecodeErrors < 1 || st.Silence < 40000 || st.Concealed < 6*960 {
			t.Errorf("unexpected counts: %+v", st)
		}
		pcm := decodeFrames(t, frames)
		for _, part := range []struct {
			name      string
			from, to  time.Duration
			low, high float64
		}{
			{"before", ms(100), ms(700), 0.45, 0.55},
			{"muted", ms(1200), ms(1950), 0, 0.001},
			{"after", ms(2100), ms(2800), 0.42, 0.55},
		} {
			got := soundtest.Level(soundtest.Between(frames, pcm, media.Timestamp(part.from), media.Timestamp(part.to)), 0, 500)
			if got < part.low || got > part.high {
				t.Errorf("%s: level %.4f, want %.3f to %.3f", part.name, got, part.low, part.high)
			}
		}
		if bend, at := soundtest.Step(pcm); bend > 0.08 {
			t.Errorf("signal bends by %.3f at sample %d", bend, at)
		}
	})
}

// While nothing comes the output stays within the hold, and a source whose packets come late lengthens it.
func TestHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, true)
		r.fake()
		r.start()
		r.sendTone(time.Second)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		checkReaches(t, r.frames, r.src.Now(), DefaultConfig().Hold+codedWithin)

		bursts := func() Stats { // packets of 400 ms at once
			for range 20 {
				now := r.src.Now()
				for i := range 20 {
					at := now.Add(-ms(400 - 20*float64(i)))
					data := fakePacket(int(toSamples(time.Duration(at))), 960)
					r.src.Audio.Write(media.Frame{Track: fakeTrack, Time: at, Data: data})
				}
				time.Sleep(400 * time.Millisecond)
			}
			synctest.Wait()
			st, _ := r.audio.SourceStats(r.src)
			return st
		}
		before, after := bursts(), bursts()
		checkClock(t, r.stop())
		if after.Trimmed != before.Trimmed || after.Hold < 400*time.Millisecond {
			t.Errorf("hold of %v still loses sound: %d samples trimmed, then %d", after.Hold, before.Trimmed, after.Trimmed)
		}
	})
}

func TestEncoderFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, false)
		r.fake().fail = true
		r.audio.newEncoder = func(media.AudioFormat) (Encoder, error) { return &failingEncoder{}, nil }
		r.start()
		time.Sleep(10 * time.Second)
		r.stop()
		if !errors.Is(r.err, errFake) {
			t.Errorf("readers got %v, want the encoder's error", r.err)
		}
	})
}

// failingEncoder fails at once.
type failingEncoder struct{ fakeEncoder }

func (*failingEncoder) Encode([]float32) ([]byte, error) { return nil, errFake }

// An encoder that panics ends its rendition, and nothing else.
func TestEncoderPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, false)
		r.fake()
		r.audio.newEncoder = func(media.AudioFormat) (Encoder, error) { return &panickingEncoder{}, nil }
		r.start()
		time.Sleep(10 * time.Second)
		r.stop()
		if !errors.Is(r.err, panics.Err) || r.audio.Panics() != 1 || r.audio.Stats().Renditions != 0 {
			t.Errorf("readers got %v; %d panics, %+v", r.err, r.audio.Panics(), r.audio.Stats())
		}
	})
}

// panickingEncoder panics at once.
type panickingEncoder struct{ fakeEncoder }

func (*panickingEncoder) Encode([]float32) ([]byte, error) { panic("a fault") }

// All users share one encoder, which ends with the last of them or with the source, and is counted.
func TestOneEncoder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, true)
		made := 0
		r.audio.newEncoder = func(media.AudioFormat) (Encoder, error) { made++; return &fakeEncoder{}, nil }
		r.audio.newDecoder = func(*media.Track) (decoder, error) { return &fakeConcealer{}, nil }
		r.start()
		r.sendTone(time.Second)
		feed1, release1, err1 := r.audio.Feed(r.src, media.AudioFormat{})
		feed2, release2, err2 := r.audio.Feed(r.src, media.AudioFormat{})
		if err := errors.Join(err1, err2); err != nil || feed1 != feed2 || made != 1 {
			t.Errorf("feeds %p and %p of %d encoders: %v", feed1, feed2, made, err)
		}
		if st := r.audio.Stats(); st.Renditions != 1 || st.PacketsIn != 50 {
			t.Errorf("live: %+v", st)
		}
		release1()
		release2()
		r.src.Close(context.DeadlineExceeded)
		r.wg.Wait()
		if !errors.Is(r.err, context.DeadlineExceeded) {
			t.Errorf("readers got %v, want the source's cause", r.err)
		}
		if st := r.audio.Stats(); st.Renditions != 0 || st.PacketsIn != 50 || st.FramesOut < 40 {
			t.Errorf("ended: %+v", st)
		}
		if log := r.log.String(); strings.Count(log, "stream=a") != 2 {
			t.Errorf("want one line for the beginning and one for the end, got:\n%s", log)
		}
	})
}

func TestUndecodableTrack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, true)
		r.start()
		for i := range 100 { // the track changes all the time
			r.send(&media.Track{Codec: media.Speex, Channels: 9 + i%2}, []byte{1}, 20*time.Millisecond)
		}
		synctest.Wait()
		st, _ := r.audio.SourceStats(r.src)
		frames := r.stop()
		checkClock(t, frames)
		checkReaches(t, frames, r.src.Now(), 200*time.Millisecond)
		if st.DecodeErrors != 100 {
			t.Errorf("%d errors counted, want 100", st.DecodeErrors)
		}
		if n := strings.Count(r.log.String(), "cannot be decoded"); n != 2 {
			t.Errorf("%d warnings in two seconds, want 2", n)
		}
	})
}

// newPath is the way from Opus packets to AAC frames, as in a rendition but for the waiting.
func newPath(tb testing.TB, packets [][]byte, enc Encoder) (packet func(i int), end func()) {
	tb.Helper()
	src, err := stream.NewHub(stream.DefaultConfig(), nil).Publish(stream.Info{Name: "a"})
	if err != nil {
		tb.Fatal(err)
	}
	pack := newPackager(enc, soundtest.AACStereo, src.Audio, 0)
	open := func(*media.Track) (decoder, error) { return libav.NewOpusDecoder() }
	a := newAligner(newTape(0, enc.FrameSize(), pack.frame), open)
	track := &media.Track{Codec: media.Opus}
	return func(i int) {
			at := media.Timestamp(time.Duration(i) * 20 * time.Millisecond)
			if err := a.packet(media.Frame{Track: track, Time: at, Data: packets[i%len(packets)]}, at); err != nil {
				tb.Fatal(err)
			}
		}, func() {
			a.close()
			src.Close(nil)
		}
}

// paths are the sounds that cost differently: both channels, one for both, and none.
var paths = []struct {
	name string
	pcm  func() []float32
	args []string
}{
	{"stereo", func() []float32 { return soundtest.Music(2 * time.Second) }, nil},
	{"mono", func() []float32 { return soundtest.Music(2 * time.Second) }, []string{"-af", "pan=mono|c0=.5*c0+.5*c1"}},
	{"silence", func() []float32 { return make([]float32, channels*2*sampleRate) }, []string{"-af", "pan=mono|c0=c0"}},
}

// pathEncoders are those that make AAC, by what stands behind a path's name.
var pathEncoders = []struct {
	name string
	open func(tb testing.TB) Encoder
}{
	{"", func(tb testing.TB) Encoder {
		e, err := aac.New(soundtest.AACStereo)
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(e.Close)
		return e
	}},
	{" by FFmpeg", func(tb testing.TB) Encoder { return newPair(tb) }},
}

func TestPathAllocations(t *testing.T) {
	for _, tt := range paths {
		for _, enc := range pathEncoders {
			packet, end := newPath(t, soundtest.Opus(t, tt.pcm(), tt.args...), enc.open(t))
			i := 0
			for ; i < 10; i++ {
				packet(i)
			}
			// A packet makes 0.94 frames, each of which owns its bytes.
			if got := testing.AllocsPerRun(200, func() { packet(i); i++ }); got > 1 {
				t.Errorf("%s%s: %v allocations a packet, want 1 at most", tt.name, enc.name, got)
			}
			end()
		}
	}
}

// BenchmarkPath is the cost of one packet of 20 ms: times 50 it is that of a stream's second.
func BenchmarkPath(b *testing.B) {
	for _, enc := range pathEncoders {
		for _, tt := range paths {
			b.Run(tt.name+enc.name, func(b *testing.B) {
				packet, end := newPath(b, soundtest.Opus(b, tt.pcm(), tt.args...), enc.open(b))
				defer end()
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					packet(i)
				}
			})
		}
	}
}
