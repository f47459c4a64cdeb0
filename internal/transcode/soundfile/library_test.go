//go:build cgo

package soundfile

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"transponder/internal/media"
	"transponder/internal/panics"
	"transponder/internal/testkit"
	"transponder/internal/transcode/libav"
	"transponder/internal/transcode/sound"
	"transponder/internal/transcode/sound/soundtest"
)

// The tones of these tests, in Hz.
const (
	liveHz = 440
	fileHz = 1000
)

func writeFile(t testing.TB, dir, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// newLibrary returns Library that run until the test ends.
func newLibrary(t testing.TB, dir string, cfg Config) *Library {
	t.Helper()
	l := New(dir, cfg, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancelCause(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = l.Run(ctx) })
	t.Cleanup(func() {
		cancel(io.ErrClosedPipe)
		wg.Wait()
	})
	return l
}

func openPlayer(t testing.TB, l *Library, name string, loop bool) *Player {
	t.Helper()
	p, err := l.Open(name, loop)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// play is Replace as in real time, where the file's packets are ready.
func play(t testing.TB, p *Player, f media.Frame) (media.Frame, error) {
	t.Helper()
	if f.Track != p.track {
		if err := p.follow(f.Track); err != nil {
			return f, err
		}
	}
	need := 2 * len(f.Data)
	testkit.Eventually(t, time.Minute, func() string {
		p.library.mu.Lock()
		defer p.library.mu.Unlock()
		e := p.encoding
		if len(p.rest) < need && e != nil && p.next == nil && e.err == nil && e.after(p.at) >= 0 {
			return "no packets of the file"
		}
		return ""
	})
	return p.Replace(f)
}

// encodeFrames encodes PCM of a form as live frames.
func encodeFrames(t testing.TB, f media.AudioFormat, pcm []float32) []media.Frame {
	t.Helper()
	enc, err := libav.NewEncoder(f)
	if err != nil {
		t.Fatal(err)
	}
	return soundtest.EncodeFrames(t, enc, f, pcm)
}

// decodeFrames decodes frames and returns their PCM, which begins at the first frame's time.
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

// silentFrames are live frames that cost nothing to make.
func silentFrames(t testing.TB, f media.AudioFormat, d time.Duration) []media.Frame {
	t.Helper()
	first := encodeFrames(t, f, make([]float32, 5*f.Channels*1024))[1]
	size := 1024
	if f.Codec != media.AAC {
		size = f.SampleRate / 50
	}
	frames := make([]media.Frame, int(d.Seconds()*float64(f.SampleRate))/size)
	for i := range frames {
		frames[i] = first
		frames[i].Time = media.Timestamp(media.Samples(int64(i*size), f.SampleRate))
	}
	return frames
}

// The live tone, the file's to its end, the live tone again: on the live clock, under the live headers, without a click.
func TestPlayer(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir, "tone.wav", wavBytes(44100, 1, 44100, fileHz))
	l := newLibrary(t, dir, DefaultConfig())
	for _, tt := range soundtest.Forms {
		t.Run(tt.Name, func(t *testing.T) {
			live := encodeFrames(t, tt.Format, soundtest.ToneOf(tt.Format, liveHz, 3*time.Second))
			p := openPlayer(t, l, "tone.wav", false)
			var out []media.Frame
			ended := media.Timestamp(0)
			begin := media.Timestamp(1000 * time.Millisecond)
			for _, f := range live {
				g := f
				if f.Time >= begin && ended == 0 {
					var err error
					if g, err = play(t, p, f); errors.Is(err, io.EOF) {
						ended = f.Time
					} else if err != nil {
						t.Fatal(err)
					}
				}
				if g.Track != f.Track || g.Time != f.Time || !g.Key {
					t.Fatalf("frame at %v becomes one at %v", f.Time, g.Time)
				}
				out = append(out, g)
			}
			if d := ended.Sub(begin); d < 1000*time.Millisecond || d > 1090*time.Millisecond {
				t.Errorf("the file of a second lasts %v", d)
			}
			pcm := decodeFrames(t, out)
			for _, part := range []struct {
				name           string
				from, to, want float64
			}{{"before", 200, 950, liveHz}, {"file", 1080, 1950, fileHz}, {"after", 2200, 2900, liveHz}} {
				window := soundtest.Between(out, pcm, media.Timestamp(time.Duration(part.from)*time.Millisecond), media.Timestamp(time.Duration(part.to)*time.Millisecond))
				for _, hz := range []float64{liveHz, fileHz} {
					got, want := soundtest.Level(window, 0, hz), 0.0
					if hz == part.want {
						want = soundtest.ToneLevel
					}
					if math.Abs(got-want) > 0.06 {
						t.Errorf("%s: %v Hz at %.3f, want %.3f", part.name, hz, got, want)
					}
				}
			}
			if st := l.Stats(); st.Starved > 0 || st.Errors > 0 {
				t.Errorf("%+v", st)
			}
		})
	}
}

// A loop has no gap and no click: through its seam the tone goes on as if there was none.
func TestLoop(t *testing.T) {
	if testing.Short() {
		t.Skip("too long for the race detector: make unit runs it without")
	}
	t.Parallel()
	tests := []struct {
		name         string
		rate, frames int
		format       media.AudioFormat
	}{
		{"1 s", 48000, 48000, soundtest.AACStereo},
		{"0.3 s", 48000, 14400, soundtest.AACStereo},
		{"1 s at 44100 Hz", 44100, 44100, soundtest.AACStereo},
		{"one period", 48000, 48, soundtest.AACStereo},
		{"longer than need be", 8000, 8000 * 6, soundtest.AACStereo},
		{"0.3 s to AAC at 44100 Hz", 44100, 13230, soundtest.Forms[1].Format},
		{"0.3 s to A-law", 44100, 13230, soundtest.Forms[3].Format},
		{"0.3 s to Speex", 16000, 4800, soundtest.Forms[5].Format},
		{"0.3 s to G.722", 44100, 13230, soundtest.Forms[6].Format},
		{"0.3 s to Opus", 44100, 13230, soundtest.Forms[7].Format},
	}
	dir := t.TempDir()
	l := newLibrary(t, dir, DefaultConfig())
	l.loopLength = 5 * time.Second // which is the harder: more of it is stretched away
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			writeFile(t, dir, tt.name+".wav", wavBytes(tt.rate, 1, tt.frames, fileHz))
			live := silentFrames(t, tt.format, 11*time.Second)
			p := openPlayer(t, l, tt.name+".wav", true)
			out := make([]media.Frame, len(live))
			for i, f := range live {
				var err error
				if out[i], err = play(t, p, f); err != nil {
					t.Fatal(err)
				}
			}
			pcm := decodeFrames(t, out)
			pcm = pcm[2*48000/10:]
			// Each 10 ms are as loud as a coder makes a tone, and nowhere is it bent.
			low, high, dips := 1.0, 0.0, 0
			for rest := pcm; len(rest) >= 2*480; rest = rest[2*480:] {
				level := soundtest.Level(rest[:2*480], 0, fileHz)
				low, high = min(low, level), max(high, level)
				if level < 0.8*soundtest.ToneLevel {
					dips++
				}
			}
			bend, at := soundtest.Step(pcm)
			whole := soundtest.ToneLevel * math.Pow(2*math.Pi*fileHz/48000, 2)
			t.Logf("level %.4f to %.4f, bend %.5f at %.3f s of %.5f", low, high, bend, float64(at)/48000, whole)
			if tt.format.Codec == media.Speex { // has a pause of 40 ms, twice
				if dips < 8 || dips > 14 || high > 1.2*soundtest.ToneLevel {
					t.Errorf("%d times 10 ms are lower; level up to %.3f", dips, high)
				}
				return
			}
			coarse := tt.format.Codec != media.AAC // eight bits
			if low < 0.86*soundtest.ToneLevel && !coarse || low < 0.7*soundtest.ToneLevel || high > 1.2*soundtest.ToneLevel {
				t.Errorf("level from %.3f to %.3f", low, high)
			}
			if bend > 1.25*whole && !coarse || bend > 2.5*whole {
				t.Errorf("signal bends by %.5f at %.3f s, the tone by %.5f", bend, float64(at)/48000, whole)
			}
		})
	}
}

// The packets of a loop fit together where the loop begins again, also if the encoder changes its windows for an attack there: the second
// round sounds like the first.
func TestLoopOfAttacks(t *testing.T) {
	if testing.Short() {
		t.Skip("too long for the race detector: make unit runs it without")
	}
	t.Parallel()
	dir := t.TempDir()
	l := newLibrary(t, dir, DefaultConfig())
	l.loopLength = time.Second
	live := silentFrames(t, soundtest.AACStereo, 3*time.Second)
	const unit = 47 * 1024 // a second in whole packets
	worst := math.Inf(1)
	for at := range 14 {
		file := wavBytes(48000, 1, 48000, 200)
		attack := wavBytes(48000, 1, 300, 5000)[44:]
		copy(file[44:], make([]byte, len(file)-44))
		copy(file[44+2*(at*1024+300*(at%3)):], attack)
		name := string(rune('a'+at)) + ".wav"
		writeFile(t, dir, name, file)
		p := openPlayer(t, l, name, true)
		var out []media.Frame
		for _, f := range live {
			g, err := play(t, p, f)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, g)
		}
		pcm := decodeFrames(t, out)
		var signal, noise float64
		for i := 1024; i < 20*1024; i++ {
			once, again := float64(pcm[2*i]), float64(pcm[2*(i+unit)])
			signal += once * once
			noise += (once - again) * (once - again)
		}
		worst = min(worst, 10*math.Log10(signal/noise))
	}
	t.Logf("the second time is like the first within %.1f dB at worst", worst)
	if worst < 21 {
		t.Errorf("the second time differs by %.1f dB", worst)
	}
}

// Ten players of a file that begin at different times share one encoding.
func TestFileIsEncodedOnce(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir, "tone.wav", wavBytes(48000, 2, 4*48000, fileHz))
	l := newLibrary(t, dir, DefaultConfig())
	made := 0
	newEncoder := l.newEncoder
	l.newEncoder = func(f media.AudioFormat) (sound.Encoder, error) { made++; return newEncoder(f) }
	live := silentFrames(t, soundtest.AACStereo, 6*time.Second)
	var want [][]byte
	first := openPlayer(t, l, "tone.wav", false)
	for _, f := range live {
		g, err := play(t, first, f)
		if err != nil {
			break
		}
		want = append(want, g.Data)
	}
	var players []*Player
	for range 10 {
		players = append(players, openPlayer(t, l, "tone.wav", false))
	}
	for i, f := range live {
		for k, p := range players {
			if j := i - 7*k; j >= 0 {
				g, err := play(t, p, f)
				if over := j >= len(want); over != errors.Is(err, io.EOF) || !over && !bytes.Equal(g.Data, want[j]) {
					t.Fatalf("player %d at its packet %d of %d: another packet, %v", k, j, len(want), err)
				}
			}
		}
	}
	st := l.Stats()
	if made != 1 || st.Encoded != int64(len(want)) || st.Files != 1 || st.Players != 11 || st.Starved != 0 {
		t.Errorf("%d encoders: %+v", made, st)
	}
}

// A file of two hours is neither read nor encoded as a whole before it is needed.
func TestLongFile(t *testing.T) {
	dir := t.TempDir()
	size := 2 * 3600 * 48000 * 4
	writeFile(t, dir, "long.wav", wavHeader(wavPCM, 48000, 2, 16, size))
	if err := os.Truncate(filepath.Join(dir, "long.wav"), int64(44+size)); err != nil { // a hole, which takes no room
		t.Fatal(err)
	}
	l := newLibrary(t, dir, DefaultConfig())
	live := silentFrames(t, soundtest.AACStereo, 20*time.Second)
	for _, loop := range []bool{false, true} {
		before, made := heap(), l.Stats().Encoded
		p := openPlayer(t, l, "long.wav", loop)
		for _, f := range live {
			if _, err := play(t, p, f); err != nil {
				t.Fatal(err)
			}
		}
		grown := heap() - before
		st := l.Stats()
		t.Logf("loop %t: %d kB for 20 s of two hours", loop, grown>>10)
		if made = st.Encoded - made; made > (20+chunksAhead+2)*48 || grown > 4<<20 || st.Errors > 0 || st.Starved > 0 {
			t.Errorf("loop %t: %d packets made, %d bytes more, %+v", loop, made, grown, st)
		}
		p.Close()
	}
}

func heap() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// Files that are not played any more are dropped to make room. A file for which there is no room is not played.
func TestCacheIsBounded(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.wav", "b.wav", "c.wav"} {
		writeFile(t, dir, name, wavBytes(48000, 1, 48000*5, fileHz))
	}
	writeFile(t, dir, "long.wav", wavBytes(48000, 1, 48000*20, fileHz))
	cfg := DefaultConfig()
	cfg.MaxBytes = 220 << 10 // two of five seconds
	l := newLibrary(t, dir, cfg)
	live := silentFrames(t, soundtest.AACStereo, 6*time.Second)
	whole := func(name string) error {
		p := openPlayer(t, l, name, false)
		defer p.Close()
		for _, f := range live {
			if _, err := play(t, p, f); err != nil {
				return err
			}
		}
		return nil
	}
	for i, name := range []string{"a.wav", "b.wav", "c.wav", "b.wav", "a.wav"} {
		if err := whole(name); !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		if st := l.Stats(); st.Files > 2 || st.Bytes > cfg.MaxBytes || i > 0 && st.Files != 2 {
			t.Errorf("after %s: %+v", name, st)
		}
	}
	if st := l.Stats(); st.Encoded/236 != 4 {
		t.Errorf("%d packets made, want four files' worth", st.Encoded)
	}
	if err := whole("long.wav"); !errors.Is(err, ErrUnplayable) {
		t.Errorf("a file that is too long: %v", err)
	}
}

// Nobody waits for a file: silence is heard until it is there.
func TestStarvedPlayer(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir, "tone.wav", wavBytes(48000, 1, 4800, fileHz))
	l := New(dir, DefaultConfig(), slog.New(slog.DiscardHandler)) // does not run
	for _, tt := range soundtest.Forms {
		f := encodeFrames(t, tt.Format, soundtest.ToneOf(tt.Format, liveHz, time.Second))[5]
		p := openPlayer(t, l, "tone.wav", true)
		want, _ := sound.Silence(f)
		if got, err := p.Replace(f); err != nil || !bytes.Equal(got.Data, want.Data) {
			t.Errorf("%s: %x, %v, want silence", tt.Name, got.Data, err)
		}
		p.Close()
		if got, err := p.Replace(f); !errors.Is(err, io.EOF) || !bytes.Equal(got.Data, f.Data) {
			t.Errorf("%s, closed: %v, want io.EOF", tt.Name, err)
		}
	}
	if st := l.Stats(); st.Starved != int64(len(soundtest.Forms)) || st.Players != 0 {
		t.Errorf("%+v", st)
	}
}

// Players come and go at any time, from any goroutine.
func TestManyPlayers(t *testing.T) {
	dir := t.TempDir()
	names := []string{"a.wav", "b.wav", "c.wav"}
	for _, name := range names {
		writeFile(t, dir, name, wavBytes(48000, 1, 48000, fileHz))
	}
	cfg := DefaultConfig()
	cfg.MaxBytes = 1 << 20 // of a loop and a little more
	l := New(dir, cfg, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancelCause(t.Context())
	var running, playing sync.WaitGroup
	running.Go(func() { _ = l.Run(ctx) })
	live := silentFrames(t, soundtest.AACStereo, time.Second)
	for k := range 6 {
		playing.Go(func() {
			for i := range 60 {
				p, err := l.Open(names[(i+k)%len(names)], i%4 == 0)
				if err != nil {
					t.Error(err)
					return
				}
				closed := make(chan struct{})
				for n, f := range live {
					if n == 10*(i%5) {
						go func() { defer close(closed); p.Close() }()
					}
					if _, err := p.Replace(f); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, ErrUnplayable) {
						t.Error(err)
					}
				}
				<-closed
			}
		})
	}
	playing.Wait()
	cancel(io.ErrClosedPipe)
	running.Wait()
	if st := l.Stats(); st.Players != 0 || st.Files != 0 || st.Bytes != 0 {
		t.Errorf("left behind: %+v", st)
	}
}

func TestForms(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir, "tone.wav", wavBytes(48000, 1, 48000, fileHz))
	l := newLibrary(t, dir, DefaultConfig())
	p := openPlayer(t, l, "tone.wav", true)
	live := silentFrames(t, soundtest.AACStereo, time.Second)
	for name, track := range map[string]*media.Track{
		"HE-AAC":          {Codec: media.AAC, Config: []byte{0x2b, 0x92, 0x08, 0x00}},
		"AAC with 960":    {Codec: media.AAC, Config: []byte{0x11, 0x94}},
		"AAC 5.1":         {Codec: media.AAC, Config: []byte{0x11, 0xb0}},
		"AAC with rubble": {Codec: media.AAC, Config: []byte{0xff}},
		"MP3":             {Codec: media.MP3},
	} {
		f := media.Frame{Track: track, Data: []byte{1}}
		if got, err := p.Replace(f); !errors.Is(err, ErrForm) || got.Data[0] != 1 {
			t.Errorf("%s: %v, want ErrForm and the live frame", name, err)
		}
		if _, err := play(t, p, live[0]); err != nil {
			t.Errorf("after %s: %v", name, err)
		}
	}
	// Opus has packets of 20 ms here.
	opus := media.Frame{Track: &media.Track{Codec: media.Opus, SampleRate: 48000, Channels: 2}, Data: []byte{0xf8, 0xff, 0xfe}}
	if _, err := play(t, p, opus); err != nil {
		t.Errorf("Opus of 20 ms: %v", err)
	}
	opus.Data = []byte{0xf0, 0xff, 0xfe}
	if _, err := play(t, p, opus); !errors.Is(err, ErrForm) {
		t.Errorf("Opus of 10 ms: %v, want ErrForm", err)
	}
	// G.711 has packets of any length.
	alaw := &media.Track{Codec: media.PCMA, SampleRate: 8000, Channels: 1}
	for _, n := range []int{80, 160, 240, 1, 1600, 12345} {
		if g, err := play(t, p, media.Frame{Track: alaw, Data: make([]byte, n)}); err != nil || len(g.Data) != n {
			t.Errorf("%d bytes of A-law become %d, %v", n, len(g.Data), err)
		}
	}
}

func TestCheck(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	good := wavBytes(8000, 1, 800, fileHz)
	writeFile(t, dir, "good.wav", good)
	writeFile(t, outside, "good.wav", good)
	writeFile(t, dir, "text.wav", []byte("this is no sound, but it is long enough to be one"))
	writeFile(t, dir, "empty.wav", nil)
	for name, to := range map[string]string{"link.wav": outside + "/good.wav", "up.wav": "../" + filepath.Base(outside) + "/good.wav", "in.wav": "good.wav"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	l := New(dir, DefaultConfig(), slog.New(slog.DiscardHandler))
	for name, want := range map[string]error{
		"good.wav": nil, "in.wav": nil, "folder/../good.wav": nil,
		"": ErrNotFound, ".": ErrNotFound, "..": ErrNotFound, "folder": ErrNotFound, "none.wav": ErrNotFound, "a\x00b": ErrNotFound,
		"good.wav\x00": ErrNotFound, "link.wav": ErrNotFound, "up.wav": ErrNotFound, outside + "/good.wav": ErrNotFound,
		dir + "/good.wav": ErrNotFound, "../" + filepath.Base(outside) + "/good.wav": ErrNotFound, strings.Repeat("a", 5000): ErrNotFound,
		"text.wav": ErrUnplayable, "empty.wav": ErrUnplayable,
	} {
		err := l.Check(name)
		if !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", name, err, want)
		}
		if err != nil && !strings.Contains(name, dir) && strings.Contains(err.Error(), dir) {
			t.Errorf("%q tells the directory: %v", name, err)
		}
		if p, openErr := l.Open(name, false); !errors.Is(openErr, want) {
			t.Errorf("open %q: %v, want %v", name, openErr, want)
		} else if p != nil {
			p.Close()
		}
	}
	if err := New(dir+"/none", DefaultConfig(), nil).Check("good.wav"); !errors.Is(err, ErrNotFound) {
		t.Errorf("without a directory: %v", err)
	}
}

func TestConfig(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	err := Config{}.Validate()
	for _, want := range []string{"bit rate", "0 bytes"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("faults %v do not name %q", err, want)
		}
	}
}

// BenchmarkReplace is the cost of one packet of a player: times 47 it is that of a push's second.
func BenchmarkReplace(b *testing.B) {
	dir := b.TempDir()
	writeFile(b, dir, "tone.wav", wavBytes(48000, 2, 48000, fileHz))
	l := newLibrary(b, dir, DefaultConfig())
	live := silentFrames(b, soundtest.AACStereo, time.Second)
	p := openPlayer(b, l, "tone.wav", true)
	for range 2000 {
		if _, err := play(b, p, live[0]); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Replace(live[0]); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSilence is the cost of one packet of a muted push.
func BenchmarkSilence(b *testing.B) {
	f := silentFrames(b, soundtest.AACStereo, time.Second)[0]
	b.ReportAllocs()
	for b.Loop() {
		sound.Silence(f)
	}
}

// BenchmarkCoder is the cost of a second of a file, from 44.1 kHz.
func BenchmarkCoder(b *testing.B) {
	file := wavBytes(44100, 2, 44100, fileHz)
	w, err := parseWAV(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		b.Fatal(err)
	}
	enc, err := libav.NewEncoder(soundtest.AACStereo)
	if err != nil {
		b.Fatal(err)
	}
	defer enc.Close()
	c := newCoder(w, enc, soundtest.AACStereo, loopLength)
	c.packets = math.MaxInt64
	var buf []byte
	for b.Loop() {
		for range 47 {
			if buf, err = c.next(buf[:0]); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// A file at which the encoder panics ends, and so does its player. The next player begins anew.
func TestEncoderPanics(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir, "tone.wav", wavBytes(48000, 2, 4*48000, fileHz))
	l := newLibrary(t, dir, DefaultConfig())
	newEncoder := l.newEncoder
	l.newEncoder = func(media.AudioFormat) (sound.Encoder, error) { panic("a fault") }
	live := silentFrames(t, soundtest.AACStereo, time.Second)[0]
	first := openPlayer(t, l, "tone.wav", false)
	if _, err := play(t, first, live); !errors.Is(err, panics.Err) {
		t.Errorf("the player got %v, want the panic", err)
	}
	if n, failed := l.Panics(), l.Stats().Errors; n != 1 || failed != 1 {
		t.Errorf("%d panics and %d failed files, want one", n, failed)
	}
	l.newEncoder = newEncoder // run of the first encoding has ended
	if _, err := play(t, openPlayer(t, l, "tone.wav", false), live); err != nil {
		t.Errorf("the next player got %v", err)
	}
}
