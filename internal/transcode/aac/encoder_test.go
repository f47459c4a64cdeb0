//go:build cgo

package aac

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"transponder/bench/hearing"
	"transponder/internal/media"
	"transponder/internal/transcode/libav"
	"transponder/internal/transcode/sound/soundtest"
)

const rate = 48000

var stereo128 = media.AudioFormat{Codec: media.AAC, RateBPS: 128_000, SampleRate: rate, Channels: 2}

// coder is what this package's encoder and FFmpeg's have in common.
type coder interface {
	Encode(pcm []float32) ([]byte, error)
	Config() []byte
	Close()
}

func newEncoder(t testing.TB, f media.AudioFormat) *Encoder {
	t.Helper()
	e, err := New(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// encode makes packets of whole frames.
func encode(t testing.TB, e coder, channels int, pcm []float32) (packets [][]byte) {
	t.Helper()
	for frame := range slices.Chunk(pcm, channels*FrameSize) {
		if len(frame) < channels*FrameSize {
			break
		}
		p, err := e.Encode(frame)
		if err != nil {
			t.Fatal(err)
		}
		if len(p) > 0 {
			packets = append(packets, bytes.Clone(p))
		}
	}
	return packets
}

// heard is what FFmpeg's decoder makes of packets, without the encoder's lead: stereo at 48 kHz.
func heard(t testing.TB, e coder, f media.AudioFormat, packets [][]byte) []float32 {
	t.Helper()
	d, err := libav.NewDecoder(&media.Track{Codec: f.Codec, Config: e.Config(), SampleRate: f.SampleRate, Channels: f.Channels})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	pcm := make([]float32, libav.Channels*libav.MaxSamples)
	var all []float32
	for i, p := range packets {
		n, err := d.Decode(pcm, p)
		if err != nil {
			t.Fatalf("packet %d: %v", i, err)
		}
		all = append(all, pcm[:libav.Channels*n]...)
	}
	return all[min(libav.Channels*FrameSize*rate/f.SampleRate, len(all)):]
}

// adts is a file of packets (ISO/IEC 14496-3, 1.A.3.2).
func adts(f media.AudioFormat, packets [][]byte) (file []byte) {
	index := slices.Index([]int{96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000}, f.SampleRate)
	for _, p := range packets {
		n := len(p) + 7
		file = append(file, 0xff, 0xf1, byte(1<<6|index<<2), byte(f.Channels<<6|n>>11), byte(n>>3), byte(n<<5|0x1f), 0xfc)
		file = append(file, p...)
	}
	return file
}

// strict has the ffmpeg command decode packets, and wants it to find nothing wrong.
func strict(t testing.TB, f media.AudioFormat, packets [][]byte) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "ffmpeg", "-v", "warning", "-err_detect", "crccheck+bitstream+buffer+explode", "-xerror", "-f", "aac", "-i", "-", "-f", "null", "-")
	cmd.Stdin = bytes.NewReader(adts(f, packets))
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("ffmpeg: %v\n%s", err, out)
	}
}

// mixed is of everything: music, a loud tone, noise at full scale, strokes, a square wave, next to nothing, and nothing.
func mixed() []float32 {
	noise := rand.New(rand.NewPCG(1, 2))
	pcm := slices.Concat(soundtest.Music(time.Second), soundtest.Tone(440, 1, time.Second/2), soundtest.Click(100*time.Millisecond, time.Second/2))
	for i := range rate {
		var x, y float64
		switch i / (rate / 5) {
		case 0:
			x, y = 2*noise.Float64()-1, 2*noise.Float64()-1
		case 1:
			x = (2*noise.Float64() - 1) * math.Exp(-float64(i%3000)/200)
			y = x * 0.3
		case 2:
			x = math.Copysign(1, math.Sin(float64(i)/50))
			y = -x
		case 3:
			x, y = 1e-4*noise.Float64(), 1e-5*noise.Float64()
		}
		pcm = append(pcm, float32(x), float32(y))
	}
	return pcm
}

func left(pcm []float32) []float32 {
	out := make([]float32, len(pcm)/2)
	for i := range out {
		out[i] = pcm[2*i]
	}
	return out
}

// Every form that is made is decoded without a fault, keeps its bit rate and the bounds of a packet.
func TestForms(t *testing.T) {
	if testing.Short() {
		t.Skip("too long for the race detector: make unit runs it without")
	}
	pcm := mixed()
	for _, sampleRate := range []int{8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000} {
		for _, channels := range []int{1, 2} {
			for _, rateBPS := range []int{16_000, 64_000, 128_000, 512_000} {
				f := media.AudioFormat{Codec: media.AAC, RateBPS: rateBPS, SampleRate: sampleRate, Channels: channels}
				t.Run(fmt.Sprintf("%d Hz/%d/%d", sampleRate, channels, rateBPS), func(t *testing.T) {
					e := newEncoder(t, f)
					in := pcm
					if channels == 1 {
						in = left(pcm)
					}
					packets := encode(t, e, channels, in)
					most, size := 6144*channels/8, 0
					for i, p := range packets {
						if len(p) > most {
							t.Fatalf("packet %d has %d bytes, of %d that are allowed", i, len(p), most)
						}
						size += len(p)
					}
					// The bits that the reservoir holds at the beginning may be used too.
					if limit := float64(rateBPS)/8*float64(len(packets)*FrameSize)/float64(sampleRate) + float64(most); float64(size) > limit {
						t.Errorf("%d bytes in %d packets, want %.0f at most", size, len(packets), limit)
					}
					if n := len(heard(t, e, f, packets)) / 2; math.Abs(float64(n)-float64((len(packets)-1)*FrameSize*rate/sampleRate)) > 100 {
						t.Errorf("%d packets are decoded to %d samples", len(packets), n)
					}
					strict(t, f, packets)
				})
			}
		}
	}
}

// faad is what a decoder makes of packets that has nothing in common with FFmpeg's. It leaves the first packet out, and makes stereo of
// mono.
func faad(t *testing.T, f media.AudioFormat, packets [][]byte) []float32 {
	t.Helper()
	command, err := exec.LookPath("faad")
	if err != nil {
		t.Skip("no faad: apt-get install faad")
	}
	file := filepath.Join(t.TempDir(), "a.aac")
	if err := os.WriteFile(file, adts(f, packets), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), command, "-q", "-b", "4", "-f", "2", "-o", file+".raw", file).CombinedOutput(); err != nil {
		t.Fatalf("faad: %v\n%s", err, out)
	}
	raw, err := os.ReadFile(file + ".raw")
	if err != nil {
		t.Fatal(err)
	}
	pcm := make([]float32, len(raw)/4)
	for i := range pcm {
		pcm[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return pcm
}

// Another decoder hears the same samples, where there are bits enough for all bands to have lines.
func TestOtherDecoder(t *testing.T) {
	for _, channels := range []int{1, 2} {
		f := media.AudioFormat{Codec: media.AAC, RateBPS: 192_000 * channels, SampleRate: rate, Channels: channels}
		pcm := mixed()
		if channels == 1 {
			pcm = left(pcm)
		}
		e := newEncoder(t, f)
		packets := encode(t, e, channels, pcm)
		got, want := faad(t, f, packets), heard(t, e, f, packets)
		if len(got) != len(want) {
			t.Fatalf("%d channels: faad gives %d samples, FFmpeg %d", channels, len(got), len(want))
		}
		for i, x := range want {
			if math.Abs(float64(got[i]-x)) > 1e-5 {
				t.Fatalf("%d channels, sample %d: faad gives %v, FFmpeg %v", channels, i/2, got[i], x)
			}
		}
	}
}

// At low bit rates, bands of noise are replaced by noise that the decoder makes. The noise of each decoder is different, but as loud as the
// encoded noise; the other bands are the same in all decoders.
func TestNoise(t *testing.T) {
	if testing.Short() {
		t.Skip("too long for the race detector: make unit runs it without")
	}
	const noiseFrom = 5 // of the bands of hearing.Edges, the first with nothing below 3200 Hz
	for _, channels := range []int{1, 2} {
		f := media.AudioFormat{Codec: media.AAC, RateBPS: 40_000 * channels, SampleRate: rate, Channels: channels}
		pcm := soundtest.Ensemble(2 * time.Second)
		in := pcm
		if channels == 1 {
			in = left(pcm)
			for i := 0; i < len(pcm); i += 2 {
				pcm[i+1] = pcm[i]
			}
		}
		e := newEncoder(t, f)
		packets := encode(t, e, channels, in)
		strict(t, f, packets)
		got, want := faad(t, f, packets), heard(t, e, f, packets)
		same := hearing.SignalToNoise(want, got)
		if slices.Min(same[:noiseFrom]) < 55 {
			t.Errorf("%d channels: what faad gives has %.0f dB beside FFmpeg's", channels, same)
		}
		if same[noiseFrom+2] > 20 {
			t.Errorf("%d channels: no noise, faad gives the same as FFmpeg: %.0f dB", channels, same)
		}
		for _, hz := range []float64{5000, 7000, 9000} {
			sound, one, other := loud(pcm[:len(want)], hz), loud(want, hz), loud(got, hz)
			t.Logf("%d channels, from %v Hz on: FFmpeg %+.1f dB, faad %+.1f dB of what was encoded", channels, hz, one-sound, other-sound)
			if math.Abs(one-other) > 1.5 || math.Abs(one-sound) > 2 {
				t.Errorf("%d channels, from %v Hz on: FFmpeg %.1f dB, faad %.1f, what was encoded %.1f", channels, hz, one, other, sound)
			}
		}
	}
}

// loud is the level of 2 kHz from a frequency on, in dB.
func loud(pcm []float32, hz float64) float64 {
	var power float64
	for f := hz; f < hz+2000; f += 41 {
		for c := range 2 {
			level := soundtest.Level(pcm, c, f)
			power += level * level
		}
	}
	return 10 * math.Log10(power)
}

// Both channels being the same, they stay so to the last bit, and cost one.
func TestSameChannels(t *testing.T) {
	music := soundtest.Music(3 * time.Second)
	for i := 0; i < len(music); i += 2 {
		music[i+1] = music[i]
	}
	e := newEncoder(t, stereo128)
	packets := encode(t, e, 2, music)
	out := heard(t, e, stereo128, packets)
	for i := 0; i < len(out); i += 2 {
		if out[i] != out[i+1] {
			t.Fatalf("sample %d: %v and %v", i/2, out[i], out[i+1])
		}
	}
	if n, changes := e.Mono(); n != int64(len(packets)) || changes != 0 {
		t.Errorf("%d packets of %d were made of one channel, %d changes", n, len(packets), changes)
	}
	one := newEncoder(t, media.AudioFormat{Codec: media.AAC, RateBPS: 128_000, SampleRate: rate, Channels: 1})
	encode(t, one, 1, left(music))
	if n, _ := one.Mono(); n != 0 {
		t.Errorf("%d packets of one channel count as of two", n)
	}
}

// Going from one channel to two and back in the middle of a sound is not heard: the error there is as it is elsewhere.
func TestChangesAreNotHeard(t *testing.T) {
	pcm := soundtest.Tone(440, 0.5, 4*time.Second)
	for i := 0; i < len(pcm); i += 2 {
		if at := i / 2; at/(rate/2)%2 == 1 {
			pcm[i+1] += float32(1e-4 * math.Sin(float64(at)/30))
		}
	}
	e := newEncoder(t, stereo128)
	out := heard(t, e, stereo128, encode(t, e, 2, pcm))
	if _, changes := e.Mono(); changes != 7 {
		t.Fatalf("%d changes, want 7", changes)
	}
	var near, far float64 // the largest errors around changes and elsewhere
	for i := 2 * rate / 10; i < len(out); i++ {
		d := math.Abs(float64(out[i] - pcm[i]))
		if since := (i/2 + 2*FrameSize) % (rate / 2); since < 4*FrameSize {
			near = max(near, d)
		} else {
			far = max(far, d)
		}
	}
	t.Logf("largest error %.4f around changes, %.4f elsewhere", near, far)
	if near > 1.5*far || far > 0.05 {
		t.Errorf("an error of %.4f around changes, %.4f elsewhere", near, far)
	}
}

// Silence takes next to nothing, and is silence.
func TestSilence(t *testing.T) {
	e := newEncoder(t, stereo128)
	packets := encode(t, e, 2, make([]float32, 2*20*FrameSize))
	for i, p := range packets {
		if len(p) > 8 {
			t.Errorf("packet %d of silence has %d bytes", i, len(p))
		}
	}
	if out := heard(t, e, stereo128, packets); slices.ContainsFunc(out, func(x float32) bool { return x != 0 }) {
		t.Error("silence is heard")
	}
}

// The noise before a stroke (pre-echo) is not heard: it is inaudible, or no louder than with FFmpeg's encoder.
func TestBeforeStrokes(t *testing.T) {
	pcm := make([]float32, 2*2*rate)
	noise := rand.New(rand.NewPCG(3, 4))
	var strokes []int
	for at := rate / 3; at < 2*rate-3000; at += 12345 {
		strokes = append(strokes, at)
		for i := range 2000 {
			x := float32(0.8 * (2*noise.Float64() - 1) * math.Exp(-float64(i)/300))
			pcm[2*(at+i)], pcm[2*(at+i)+1] = x, x/2
		}
	}
	before := func(out []float32) float64 {
		var worst float64
		for _, at := range strokes {
			var sum float64
			for _, x := range out[2*(at-960) : 2*(at-60)] { // 20 ms, of which the last is masked by the stroke itself
				sum += float64(x) * float64(x)
			}
			worst = max(worst, math.Sqrt(sum/(2*900)))
		}
		return worst
	}
	e := newEncoder(t, stereo128)
	other, err := libav.NewEncoder(stereo128)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	ours := before(heard(t, e, stereo128, encode(t, e, 2, pcm)))
	theirs := before(heard(t, other, stereo128, encode(t, other, 2, pcm)))
	t.Logf("before strokes: %.2g, FFmpeg's %.2g", ours, theirs)
	if ours > max(1.5*theirs, 0.003) {
		t.Errorf("before strokes there is %.2g, with FFmpeg's encoder %.2g", ours, theirs)
	}
}

// Its noise is as well hidden as that of FFmpeg's encoder with the same bits, or better.
func TestQuality(t *testing.T) {
	if testing.Short() {
		t.Skip("too long for the race detector: make unit runs it without")
	}
	noise := rand.New(rand.NewPCG(5, 6))
	hiss := make([]float32, 2*3*rate)
	for i := range hiss {
		hiss[i] = float32(0.1 * noise.NormFloat64())
	}
	mono := soundtest.Music(5 * time.Second)
	for i := 0; i < len(mono); i += 2 {
		mono[i+1] = mono[i]
	}
	for _, tt := range []struct {
		name    string
		pcm     []float32
		rateBPS int
		worse   float64 // dB that it may be
	}{
		{"music", soundtest.Music(5 * time.Second), 128_000, 1},
		{"music in few bits", soundtest.Music(5 * time.Second), 64_000, 2.5}, // treble that is noise has other noise in its place
		{"music in many bits", soundtest.Music(5 * time.Second), 256_000, 1},
		{"music in mono", mono, 128_000, 1},
		{"noise", hiss, 128_000, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := stereo128
			f.RateBPS = tt.rateBPS
			e := newEncoder(t, f)
			other, err := libav.NewEncoder(f)
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			our, their := encode(t, e, 2, tt.pcm), encode(t, other, 2, tt.pcm)
			ours, theirs := hearing.NoiseToMask(tt.pcm, heard(t, e, f, our)), hearing.NoiseToMask(tt.pcm, heard(t, other, f, their))
			t.Logf("noise to mask %.1f dB with %d bytes, FFmpeg's %.1f dB with %d", ours, len(slices.Concat(our...)), theirs, len(slices.Concat(their...)))
			if ours > max(theirs+tt.worse, -20) {
				t.Errorf("noise to mask is %.1f dB, with FFmpeg's encoder %.1f", ours, theirs)
			}
		})
	}
}

// No band starves: each has a signal-to-noise ratio above a floor of its own, and bass has the highest. TestQuality cannot see that: the
// mask that it measures by lies only 3 dB below what is there in the bass.
func TestNoBandStarves(t *testing.T) {
	if testing.Short() {
		t.Skip("too long for the race detector: make unit runs it without")
	}
	pcm := soundtest.Ensemble(2 * time.Second)
	mono := slices.Clone(pcm)
	for i := 0; i < len(mono); i += 2 {
		mono[i+1] = mono[i]
	}
	for _, tt := range []struct {
		name    string
		pcm     []float32
		rateBPS int
		floor   []float64 // dB, of the bands of hearing.Edges; where bits are few, treble has none
	}{
		{"stereo", pcm, 64_000, []float64{26, 19, 16, 13, 9.5, 5}},
		{"stereo", pcm, 96_000, []float64{27, 20.5, 18, 15, 11.5, 9, 7}},
		{"stereo", pcm, 128_000, []float64{27.5, 21, 18, 15, 11.5, 9, 7, 5.5, 4, 2.5, 2}},
		{"mono", mono, 64_000, []float64{26, 22, 19.5, 16.5, 13, 10.5, 9, 7.5, 6}},
		{"mono", mono, 96_000, []float64{27, 23, 21.5, 19, 15.5, 13, 11.5, 10, 9, 8.5, 8.5}},
		{"mono", mono, 128_000, []float64{29, 26.5, 25, 22.5, 19.5, 17.5, 16, 14.5, 14, 13.5, 13.5}},
	} {
		t.Run(fmt.Sprintf("%s/%d", tt.name, tt.rateBPS), func(t *testing.T) {
			f := stereo128
			f.RateBPS = tt.rateBPS
			e := newEncoder(t, f)
			other, err := libav.NewEncoder(f)
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			ours := hearing.SignalToNoise(tt.pcm, heard(t, e, f, encode(t, e, 2, tt.pcm)))
			theirs := hearing.SignalToNoise(tt.pcm, heard(t, other, f, encode(t, other, 2, tt.pcm)))
			t.Logf("ours     %5.1f dB", ours)
			t.Logf("FFmpeg's %5.1f dB", theirs)
			for b, floor := range tt.floor {
				if ours[b] < floor {
					t.Errorf("%v to %v Hz: %.1f dB, want %v", hearing.Edges[b], hearing.Edges[b+1], ours[b], floor)
				}
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	for _, f := range []media.AudioFormat{
		{},
		{Codec: media.AAC, RateBPS: 128_000, SampleRate: rate, Channels: 3},
		{Codec: media.AAC, RateBPS: 128_000, SampleRate: rate},
		{Codec: media.AAC, RateBPS: 128_000, SampleRate: 96000, Channels: 2},
		{Codec: media.AAC, RateBPS: 128_000, SampleRate: 47999, Channels: 2},
		{Codec: media.AAC, RateBPS: 8_000, SampleRate: rate, Channels: 2},
		{Codec: media.AAC, RateBPS: -1, SampleRate: rate, Channels: 2},
		{Codec: media.Opus, RateBPS: 128_000, SampleRate: rate, Channels: 2},
	} {
		if e, err := New(f); err == nil {
			e.Close()
			t.Errorf("%+v: no error", f)
		} else if f.Channels == 2 && f.SampleRate == rate && !errors.Is(err, libav.ErrUnsupported) {
			t.Errorf("%+v: %v, want ErrUnsupported", f, err)
		}
	}
	e := newEncoder(t, stereo128)
	if _, err := e.Encode(make([]float32, FrameSize)); err == nil {
		t.Error("half a frame is taken")
	}
	e.Close()
	e.Close()
	if _, err := e.Encode(make([]float32, 2*FrameSize)); !errors.Is(err, libav.ErrClosed) {
		t.Errorf("closed: %v, want ErrClosed", err)
	}
}

// A packet costs no memory of Go's.
func TestEncodeAllocates(t *testing.T) {
	e := newEncoder(t, stereo128)
	frame := soundtest.Music(time.Second)[:2*FrameSize]
	if n := testing.AllocsPerRun(100, func() { _, _ = e.Encode(frame) }); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

// FuzzEncode gives it what no decoder should make, among it what is not a number, in any form, and wants packets that are decoded and
// keep their bounds.
func FuzzEncode(f *testing.F) {
	f.Add(int32(128_000), uint8(0), false, []byte{0, 0, 0x80, 0x7f, 0, 0, 0xc0, 0xff, 0, 0, 0, 0x3f})
	f.Add(int32(16_000), uint8(8), true, bytes.Repeat([]byte{0x3f, 0x80, 0x12, 0xbf}, 50))
	f.Add(int32(512_000), uint8(4), false, []byte{1, 0, 0, 0, 0, 0, 0x80, 0x3f, 0xff, 0xff, 0x7f, 0xff})
	f.Fuzz(func(t *testing.T, rateBPS int32, index uint8, mono bool, samples []byte) {
		rates := []int{8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000}
		form := media.AudioFormat{Codec: media.AAC, RateBPS: int(rateBPS), SampleRate: rates[int(index)%len(rates)], Channels: 2}
		if mono {
			form.Channels = 1
		}
		e, err := New(form)
		if err != nil {
			return
		}
		defer e.Close()
		pcm := make([]float32, 6*form.Channels*FrameSize)
		for i := range pcm {
			if k := 4 * i; len(samples) >= 4 && (i/(2*FrameSize)%2 == 0 || k < len(samples)) { // whole frames of it, and single strokes
				pcm[i] = math.Float32frombits(binary.LittleEndian.Uint32(samples[k%(len(samples)-3):]))
			}
		}
		packets := encode(t, e, form.Channels, pcm)
		for _, p := range packets {
			if len(p) > 6144*form.Channels/8 {
				t.Fatalf("%+v: a packet of %d bytes", form, len(p))
			}
		}
		for _, x := range heard(t, e, form, packets) {
			if !(math.Abs(float64(x)) < 100) {
				t.Fatalf("%+v: %v is heard", form, x)
			}
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	music := soundtest.Music(2 * time.Second)
	mono := slices.Clone(music)
	for i := 0; i < len(mono); i += 2 {
		mono[i+1] = mono[i]
	}
	for _, bb := range []struct {
		name string
		pcm  []float32
		open func() (coder, error)
	}{
		{"stereo", music, func() (coder, error) { return New(stereo128) }},
		{"mono", mono, func() (coder, error) { return New(stereo128) }},
		{"FFmpeg's/stereo", music, func() (coder, error) { return libav.NewEncoder(stereo128) }},
	} {
		b.Run(bb.name, func(b *testing.B) {
			e, err := bb.open()
			if err != nil {
				b.Fatal(err)
			}
			defer e.Close()
			frames := slices.Collect(slices.Chunk(bb.pcm[:2*FrameSize*(len(bb.pcm)/(2*FrameSize))], 2*FrameSize))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := e.Encode(frames[i%len(frames)]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
