//go:build cgo

package sound

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/media"
	"transponder/internal/transcode/aac"
	"transponder/internal/transcode/libav"
	"transponder/internal/transcode/sound/soundtest"
)

func openAAC(f media.AudioFormat) (Encoder, error) { return libav.NewEncoder(f) }

func newPair(t testing.TB) *pairEncoder {
	t.Helper()
	e, err := newPairEncoder(soundtest.AACStereo, openAAC, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// through codes PCM and returns what is heard of it.
func through(t *testing.T, enc Encoder, pcm []float32) []float32 {
	t.Helper()
	var frames []media.Frame
	track := &media.Track{Codec: media.AAC, Config: enc.Config(), SampleRate: sampleRate, Channels: channels}
	size := channels * enc.FrameSize()
	for n := 0; len(pcm) >= size; pcm, n = pcm[size:], n+1 {
		packet, err := enc.Encode(pcm[:size])
		if err != nil {
			t.Fatal(err)
		}
		if (len(packet) > 0) != (n > 0) {
			t.Fatalf("frame %d gave a packet of %d bytes", n, len(packet))
		}
		if len(packet) > 0 {
			frames = append(frames, media.Frame{Track: track, Data: bytes.Clone(packet)})
		}
	}
	return decodeFrames(t, frames)
}

// once puts the middle of both channels on each of them.
func once(pcm []float32) []float32 {
	out := slices.Clone(pcm)
	for i := 0; i < len(out); i += channels {
		out[i] = (pcm[i] + pcm[i+1]) / 2
		out[i+1] = out[i]
	}
	return out
}

func openDecoder(t *media.Track) (decoder, error) { return libav.NewDecoder(t) }

// changedEncoder changes what another makes.
type changedEncoder struct {
	Encoder
	change func(packet []byte) []byte
	config []byte // nil: as it is
}

func (e *changedEncoder) Encode(pcm []float32) ([]byte, error) {
	p, err := e.Encoder.Encode(pcm)
	if len(p) == 0 {
		return p, err
	}
	return e.change(bytes.Clone(p)), err
}

func (e *changedEncoder) Config() []byte {
	if e.config != nil {
		return e.config
	}
	return e.Encoder.Config()
}

// changed opens encoders whose packets of one channel are changed.
func changed(change func(packet []byte) []byte) func(media.AudioFormat) (Encoder, error) {
	return func(f media.AudioFormat) (Encoder, error) {
		enc, err := libav.NewEncoder(f)
		if err != nil || f.Channels == channels {
			return enc, err
		}
		return &changedEncoder{Encoder: enc, change: change}, nil
	}
}

// filled puts an empty fill element behind the channel (ISO/IEC 14496-3, table 4.11).
func filled(packet []byte) []byte {
	bits := 8 * len(packet)
	for bitsAt(packet, bits-1, 1) == 0 {
		bits--
	}
	out := make([]byte, len(packet)+1)
	put := func(at, bit int) { out[at/8] |= byte(bit << (7 - at%8)) }
	for at := range bits - 3 {
		put(at, bitsAt(packet, at, 1))
	}
	for i, bit := range []int{1, 1, 0, 0, 0, 0, 0, 1, 1, 1} {
		put(bits-3+i, bit)
	}
	return bytes.TrimRight(out, "\x00")
}

// The test at the start passes with these codecs, and makes the encoder use every sequence of windows.
func TestPairsWork(t *testing.T) {
	if err := pairsWork(); err != nil {
		t.Fatal(err)
	}
	var seen [4]int
	err := checkPairs(changed(func(p []byte) []byte {
		seen[bitsAt(p, 16, 2)]++
		return p
	}), openDecoder)
	if err != nil || slices.Contains(seen[:], 0) {
		t.Errorf("windows long, to short, short and to long: %v; %v", seen, err)
	}
}

func TestPairsThatDoNotWork(t *testing.T) {
	for _, tt := range []struct {
		name string
		open func(media.AudioFormat) (Encoder, error)
		want error
	}{
		{"a pair instead of a channel", changed(func(p []byte) []byte { p[0] |= 0x20; return p }), media.ErrAACStereo},
		{"something behind the channel", changed(filled), nil},
		{"another configuration", func(f media.AudioFormat) (Encoder, error) {
			enc, err := libav.NewEncoder(f)
			return &changedEncoder{Encoder: enc, change: bytes.Clone, config: []byte{0x12, byte(f.Channels)}}, err
		}, errPair},
		{"no encoder", func(media.AudioFormat) (Encoder, error) { return nil, errFake }, errFake},
	} {
		if err := checkPairs(tt.open, openDecoder); err == nil || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

// An encoder that fails its test, or that the settings do not want, is not used. The failure is logged once.
func TestAudioEncoders(t *testing.T) {
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	ffmpeg, plain := DefaultConfig(), DefaultConfig()
	ffmpeg.FastAAC = false
	plain.FastAAC, plain.MonoAsStereo = false, false
	works, fails := func() error { return nil }, func() error { return errFake }
	mono := media.AudioFormat{Codec: media.AAC, RateBPS: 64_000, SampleRate: sampleRate, Channels: 1}
	for _, tt := range []struct {
		name   string
		cfg    Config
		checks checks
		form   media.AudioFormat
		want   Encoder
		warn   string
	}{
		{"fast", DefaultConfig(), checks{works, fails}, soundtest.AACStereo, &aac.Encoder{}, ""},
		{"fast mono", DefaultConfig(), checks{works, fails}, mono, &aac.Encoder{}, ""},
		{"fast does not work", DefaultConfig(), checks{fails, works}, soundtest.AACStereo, &pairEncoder{}, "FFmpeg"},
		{"FFmpeg's", ffmpeg, checks{fails, works}, soundtest.AACStereo, &pairEncoder{}, ""},
		{"FFmpeg's mono", ffmpeg, checks{fails, works}, mono, &libav.Encoder{}, ""},
		{"FFmpeg's without pairs", plain, checks{fails, fails}, soundtest.AACStereo, &libav.Encoder{}, ""},
		{"pairs do not work", ffmpeg, checks{works, fails}, soundtest.AACStereo, &libav.Encoder{}, "mono"},
		{"nothing works", DefaultConfig(), checks{fails, fails}, soundtest.AACStereo, &libav.Encoder{}, "mono"},
		{"no AAC", DefaultConfig(), checks{works, works}, media.AudioFormat{Codec: media.PCMA, SampleRate: 8000, Channels: 1}, &libav.Encoder{}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			log.Reset()
			audio := newTranscoder(tt.cfg, logger, tt.checks)
			for range 2 {
				enc, err := audio.newEncoder(tt.form)
				if err != nil {
					t.Fatal(err)
				}
				if got, want := fmt.Sprintf("%T", enc), fmt.Sprintf("%T", tt.want); got != want {
					t.Errorf("got %s, want %s", got, want)
				}
				enc.Close()
			}
			if (tt.warn != "") != (log.Len() > 0) || !strings.Contains(log.String(), tt.warn) {
				t.Errorf("the log says %q, want a warning with %q", log.String(), tt.warn)
			}
		})
	}
}

// A packet that was written as a pair decodes on both channels to the samples of the one channel, to the last bit.
func TestPairIsExact(t *testing.T) {
	sounds := map[string][]float32{
		"music":   soundtest.Music(3 * time.Second),
		"tone":    soundtest.Tone(440, 0.5, time.Second),
		"click":   soundtest.Click(300*time.Millisecond, time.Second),
		"silence": make([]float32, channels*sampleRate),
	}
	for _, f := range []media.AudioFormat{
		{RateBPS: 128_000, SampleRate: 48000}, {RateBPS: 16_000, SampleRate: 48000}, {RateBPS: 512_000, SampleRate: 48000},
		{RateBPS: 96_000, SampleRate: 44100}, {RateBPS: 64_000, SampleRate: 22050}, {RateBPS: 32_000, SampleRate: 8000},
	} {
		for name, pcm := range sounds {
			f.Codec, f.Channels = media.AAC, 1
			enc, err := libav.NewEncoder(f)
			if err != nil {
				t.Fatal(err)
			}
			one := &media.Track{Codec: f.Codec, Config: enc.Config(), SampleRate: f.SampleRate, Channels: 1}
			two := &media.Track{Codec: f.Codec, Config: stereoConfig(enc.Config()), SampleRate: f.SampleRate, Channels: channels}
			var mono, pair []media.Frame
			var more int
			frame := make([]float32, enc.FrameSize())
			for ; len(pcm) >= channels*len(frame); pcm = pcm[channels*len(frame):] {
				for i := range frame {
					frame[i] = pcm[channels*i]
				}
				p, err := enc.Encode(frame)
				if err != nil {
					t.Fatal(err)
				}
				if len(p) == 0 {
					continue
				}
				q, err := media.StereoAAC(nil, p)
				if err != nil {
					t.Fatalf("%s, %+v: %v", name, f, err)
				}
				more = max(more, len(q)-len(p))
				mono, pair = append(mono, media.Frame{Track: one, Data: bytes.Clone(p)}), append(pair, media.Frame{Track: two, Data: q})
			}
			enc.Close()
			got, want := decodeFrames(t, pair), decodeFrames(t, mono)
			if len(got) < 40000 || !slices.Equal(got, want) || !alike(got) {
				t.Errorf("%s, %+v: %d samples are not those of the one channel", name, f, len(got)/channels)
			}
			if more > 12 {
				t.Errorf("%s, %+v: a packet grew by %d bytes", name, f, more)
			}
		}
	}
}

// A change of the encoder is not heard: in every 5 ms around it, what is decoded differs from what went in by no more than
// either encoder makes it differ that codes all of it, and so it is with what there is beside a tone in its spectrum.
func TestPairChangesAreNotHeard(t *testing.T) {
	const wide = 2 * sampleRate // from there on both channels are the same
	tone := soundtest.Tone(1000, 0.3, 8*time.Second)
	for i := range len(tone) / channels {
		tone[channels*i+1] += float32(0.2 * math.Sin(2*math.Pi*375*float64(i)/sampleRate))
	}
	for _, tt := range []struct {
		name string
		pcm  []float32
	}{{"tone", tone}, {"music", soundtest.Music(8 * time.Second)}} {
		t.Run(tt.name, func(t *testing.T) {
			pcm := slices.Clone(tt.pcm)
			copy(pcm[channels*wide:channels*6*sampleRate], once(pcm[channels*wide:channels*6*sampleRate]))
			pair := newPair(t)
			plain, err := openAAC(soundtest.AACStereo)
			if err != nil {
				t.Fatal(err)
			}
			defer plain.Close()
			got, both, one := through(t, pair, pcm), through(t, plain, pcm), through(t, newPair(t), once(pcm))
			if pair.changes != 3 { // it begins with one channel
				t.Fatalf("%d changes, want 3", pair.changes)
			}
			back := wide/1024 + pair.patience // the frame that the encoder of one channel begins with
			for _, change := range []struct {
				name  string
				frame int
			}{{"to one channel", back}, {"to both", 6 * sampleRate / 1024}} {
				from, to := 1024*(change.frame-4), 1024*(change.frame+8)
				a, b, c := apart(pcm, got, from, to), apart(pcm, both, from, to), apart(once(pcm), one, from, to)
				if a > 1.5*max(b, c) {
					t.Errorf("%s: 5 ms differ by %.4f, without a change by %.4f and %.4f", change.name, a, b, c)
				}
				if tt.name == "music" {
					continue
				}
				for _, hz := range []float64{3000, 5000, 7500, 11000, 16000} {
					a, b := loudest(got, from, to, hz), loudest(both, from, to, hz)
					if a > b+0.0003 { // -70 dB
						t.Errorf("%s: %g Hz has a level of %.5f, without a change %.5f", change.name, hz, a, b)
					}
				}
			}
		})
	}
}

// apart returns the greatest difference in 5 ms (root of the mean square) between what went in and what came out.
func apart(in, out []float32, from, to int) float64 {
	const delay, part = 1024, sampleRate / 200
	var worst float64
	for ; from+part <= to; from += part {
		var sum float64
		for i := channels * from; i < channels*(from+part); i++ {
			d := float64(out[i+channels*delay] - in[i])
			sum += d * d
		}
		worst = max(worst, math.Sqrt(sum/(channels*part)))
	}
	return worst
}

// loudest returns the greatest level of a frequency on any channel, in parts of 10 ms that fade in and out.
func loudest(pcm []float32, from, to int, hz float64) float64 {
	const delay, part = 1024, sampleRate / 100
	var worst float64
	for ; from+part <= to; from += part / 2 {
		w := slices.Clone(pcm[channels*(from+delay) : channels*(from+delay+part)])
		for i := range w {
			w[i] *= float32(1 - math.Cos(2*math.Pi*float64(i/channels)/part))
		}
		worst = max(worst, soundtest.Level(w, 0, hz), soundtest.Level(w, 1, hz))
	}
	return worst
}

// Passages that are the same on both channels change the encoder when they are long, and however often they come, seldom.
func TestPairPatience(t *testing.T) {
	music := soundtest.Music(8 * time.Second)
	const second = channels * sampleRate
	for _, tt := range []struct {
		name    string
		pcm     []float32
		changes int64
		mono    bool // at the end
	}{
		{"the same all the time", once(music), 0, true},
		{"never the same", music, 1, false},
		{"the same for two seconds", slices.Concat(music[:second], once(music[:2*second]), music[:second]), 1, false},
		{"the same for four seconds", slices.Concat(music[:second], once(music[:4*second])), 2, true},
		{"the same every other frame", func() []float32 {
			pcm := slices.Clone(music)
			for at := 0; at+2048 <= len(pcm); at += 4096 {
				copy(pcm[at:], once(pcm[at:at+2048]))
			}
			return pcm
		}(), 1, false},
	} {
		e := newPair(t)
		through(t, e, tt.pcm)
		if e.changes != tt.changes || e.one != tt.mono {
			t.Errorf("%s: %d changes, want %d; one channel: %v", tt.name, e.changes, tt.changes, e.one)
		}
	}
}

// A packet that cannot be made a pair is coded anew, is heard where it belongs, and is the last of its kind.
func TestPairMends(t *testing.T) {
	music := once(soundtest.Music(2 * time.Second))
	made, refused := 0, 0
	e, err := newPairEncoder(soundtest.AACStereo, changed(func(p []byte) []byte {
		if made++; made == 40 {
			return []byte{0x07}
		}
		return p
	}), func(error) { refused++ })
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	plain, err := openAAC(soundtest.AACStereo)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	got, want := through(t, e, music), through(t, plain, music)
	if refused != 1 || e.changes != 1 || e.frames != 39 || e.one {
		t.Errorf("%d refused, %d changes, %d packets of one channel; one channel: %v", refused, e.changes, e.frames, e.one)
	}
	a, b := apart(music, got, 1024*30, 1024*60), apart(music, want, 1024*30, 1024*60)
	if len(got) != len(want) || a > 1.5*b {
		t.Errorf("%d samples, want %d; 5 ms differ by %.4f, with both channels by %.4f", len(got), len(want), a, b)
	}
}

// Without a second encoder the first goes on where it can.
func TestPairWithoutEncoder(t *testing.T) {
	music := soundtest.Music(5 * time.Second)
	fail := false
	open := func(f media.AudioFormat) (Encoder, error) {
		if fail {
			return nil, errFake
		}
		return libav.NewEncoder(f)
	}
	e, err := newPairEncoder(soundtest.AACStereo, open, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	through(t, e, music[:channels*sampleRate])
	fail = true
	for frame := range slices.Chunk(once(music)[:channels*4*sampleRate/2048*2048], 2048) {
		if _, err := e.Encode(frame); err != nil {
			t.Fatal(err)
		}
	}
	if e.one || e.changes != 1 {
		t.Errorf("%d changes, one channel: %v", e.changes, e.one)
	}
}

func TestAlike(t *testing.T) {
	nan := float32(math.NaN())
	for _, tt := range []struct {
		pcm  []float32
		want bool
	}{
		{nil, true},
		{[]float32{0.5, 0.5, -1, -1}, true},
		{[]float32{0.5, 0.5, -1, -0.9999}, false},
		{[]float32{nan, nan}, false}, // for the encoder of both channels to deal with
	} {
		if got := alike(tt.pcm); got != tt.want {
			t.Errorf("%v: %v", tt.pcm, got)
		}
	}
}

// A stream that goes from a mono microphone to music and back has one form and one clock, and loses no sound on the way.
func TestMonoAndStereoInTurn(t *testing.T) {
	wide := soundtest.Tone(440, 0.5, 2*time.Second)
	for i := 1; i < len(wide); i += channels {
		wide[i] /= 2
	}
	stereo := soundtest.Opus(t, wide)
	mono := soundtest.Opus(t, soundtest.Tone(440, 0.5, 5*time.Second), "-af", "pan=mono|c0=c0")
	for _, tt := range []struct {
		name        string
		fast        bool
		least, most int64 // packets made of one channel
	}{
		{"fast", true, 300, 330},
		{"FFmpeg's, with patience", false, 150, 210},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := DefaultConfig()
			cfg.FastAAC = tt.fast
			testMonoAndStereo(t, cfg, mono, stereo, tt.least, tt.most)
		})
	}
}

func testMonoAndStereo(t *testing.T, cfg Config, mono, stereo [][]byte, least, most int64) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, true)
		r.audio = New(cfg, slog.New(slog.DiscardHandler))
		r.start()
		track := &media.Track{Codec: media.Opus}
		send := func(packets [][]byte) media.Timestamp {
			for _, p := range packets {
				r.send(track, p, 20*time.Millisecond)
			}
			return r.src.Now()
		}
		first := send(mono[:100])
		second := send(stereo[:100])
		third := send(mono)
		synctest.Wait()
		st, _ := r.audio.SourceStats(r.src)
		frames := r.stop()
		checkClock(t, frames)
		checkReaches(t, frames, r.src.Now(), 80*time.Millisecond)
		if st.Changes != 2 || st.FramesMono < least || st.FramesMono > most || st.FramesMono+st.FramesReused >= st.FramesOut {
			t.Errorf("unexpected counts: %+v", st)
		}
		pcm := decodeFrames(t, frames)
		for _, part := range []struct {
			name     string
			from, to media.Timestamp
			right    float64
		}{
			{"mono", 0, first, 0.5}, {"stereo", first, second, 0.25}, {"mono again", second, third, 0.5},
		} {
			got := soundtest.Between(frames, pcm, part.from.Add(ms(200)), part.to.Add(-ms(100)))
			left, right := soundtest.Level(got, 0, 440), soundtest.Level(got, 1, 440)
			if math.Abs(left-0.5) > 0.04 || math.Abs(right-part.right) > 0.04 {
				t.Errorf("%s: levels %.3f and %.3f, want 0.5 and %.2f", part.name, left, right, part.right)
			}
		}
	})
}

// However often the encoder changes, none is left behind.
func TestPairCloses(t *testing.T) {
	music := soundtest.Music(time.Second)[:2048*40]
	pcm := slices.Concat(music, once(music))
	opened, closed := 0, 0
	e, err := newPairEncoder(soundtest.AACStereo, func(f media.AudioFormat) (Encoder, error) {
		opened++
		enc, err := libav.NewEncoder(f)
		return &closingEncoder{enc, &closed}, err
	}, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	e.patience = 10
	for range 20 {
		for frame := range slices.Chunk(pcm, 2048) {
			if _, err := e.Encode(frame); err != nil {
				t.Fatal(err)
			}
			if opened != closed+1 {
				t.Fatalf("%d encoders opened, %d closed", opened, closed)
			}
		}
	}
	e.Close()
	if e.changes != 40 || opened != 41 || closed != 41 {
		t.Errorf("%d changes, %d encoders opened, %d closed", e.changes, opened, closed)
	}
}

// closingEncoder counts.
type closingEncoder struct {
	Encoder
	closed *int
}

func (e *closingEncoder) Close() {
	*e.closed++
	e.Encoder.Close()
}
