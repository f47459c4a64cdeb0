//go:build cgo

package libav

import (
	"bytes"
	"errors"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"transponder/internal/media"
	"transponder/internal/transcode/sound/soundtest"
)

// aacStereo is the format of most that is sent.
var aacStereo = media.AudioFormat{Codec: media.AAC, RateBPS: 128_000, SampleRate: SampleRate, Channels: Channels}

// decodeAAC decodes what the encoder made.
func decodeAAC(t *testing.T, config []byte, packets [][]byte) []float32 {
	t.Helper()
	d, err := NewDecoder(&media.Track{Codec: media.AAC, Config: config, SampleRate: SampleRate, Channels: Channels})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	return decodeAll(t, d, packets)
}

func decodeAll(t *testing.T, d interface {
	Decode([]float32, []byte) (int, error)
}, packets [][]byte,
) []float32 {
	t.Helper()
	var all []float32
	pcm := make([]float32, Channels*MaxSamples)
	for i, p := range packets {
		n, err := d.Decode(pcm, p)
		if err != nil {
			t.Fatalf("packet %d: %v", i, err)
		}
		all = append(all, pcm[:Channels*n]...)
	}
	return all
}

func encodeAll(t *testing.T, e *Encoder, pcm []float32) [][]byte {
	t.Helper()
	var packets [][]byte
	size := Channels * e.FrameSize()
	for ; len(pcm) >= size; pcm = pcm[size:] {
		p, err := e.Encode(pcm[:size])
		if err != nil {
			t.Fatal(err)
		}
		if len(p) > 0 {
			packets = append(packets, bytes.Clone(p))
		}
	}
	return packets
}

func newEncoder(t testing.TB) *Encoder {
	t.Helper()
	e, err := NewEncoder(aacStereo)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func newOpus(t testing.TB) *OpusDecoder {
	t.Helper()
	d, err := NewOpusDecoder()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

func TestEncoder(t *testing.T) {
	e := newEncoder(t)
	// ISO/IEC 14496-3, 1.6.2.1: object type 2 (AAC-LC), frequency index 3 (48 kHz), two channels.
	if got := e.Config(); !bytes.HasPrefix(got, []byte{0x11, 0x90}) {
		t.Errorf("AudioSpecificConfig = %x, want 1190...", got)
	}
	if e.FrameSize() != 1024 || e.Delay() != 1024 {
		t.Errorf("frame size, delay = %d, %d, want 1024, 1024", e.FrameSize(), e.Delay())
	}
	packets := encodeAll(t, e, soundtest.Tone(1000, 0.5, time.Second))
	var size int
	for _, p := range packets {
		size += len(p)
	}
	if got := float64(size) * 8 * 48000 / 1024 / float64(len(packets)); got > 140_000 {
		t.Errorf("rate = %.0f bit/s, want 128000 at most", got)
	}
	pcm := decodeAAC(t, e.Config(), packets)
	if got := soundtest.Level(pcm[Channels*4096:], 0, 1000); math.Abs(got-0.5) > 0.02 {
		t.Errorf("amplitude of the tone = %.3f, want 0.5", got)
	}
}

func TestEncoderDelay(t *testing.T) {
	e := newEncoder(t)
	at := 300 * time.Millisecond
	pcm := decodeAAC(t, e.Config(), encodeAll(t, e, soundtest.Click(at, time.Second)))
	got, ok := soundtest.Onset(pcm, 0.2)
	got -= media.Samples(int64(e.Delay()), SampleRate)
	if !ok || (got-at).Abs() > time.Millisecond {
		t.Errorf("click at %v, want %v", got, at)
	}
}

// Every form that can be made is decoded as what it was, with packets of the size that it says.
func TestEncoderForms(t *testing.T) {
	for _, f := range []media.AudioFormat{
		{Codec: media.AAC, RateBPS: 64_000, SampleRate: 44100, Channels: 1},
		{Codec: media.AAC, RateBPS: 512_000, SampleRate: 8000, Channels: 2}, // more than a frame can hold
		{Codec: media.PCMA, SampleRate: 8000, Channels: 1},
		{Codec: media.PCMU, SampleRate: 8000, Channels: 2},
		{Codec: media.Speex, SampleRate: 16000, Channels: 1},
		{Codec: media.SpeexNarrow, SampleRate: 8000, Channels: 1},
		{Codec: media.G722, SampleRate: 16000, Channels: 1},
	} {
		if !CanEncode(f.Codec) {
			t.Errorf("no encoder for %v", f.Codec)
			continue
		}
		e, err := NewEncoder(f)
		if err != nil {
			t.Fatal(err)
		}
		var packets [][]byte
		size := e.FrameSize()
		for i := range 2 * f.SampleRate / size {
			pcm := make([]float32, 0, f.Channels*size)
			for k := range size {
				for range f.Channels {
					pcm = append(pcm, float32(0.5*math.Sin(2*math.Pi*1000*float64(i*size+k)/float64(f.SampleRate))))
				}
			}
			p, err := e.Encode(pcm)
			if err != nil {
				t.Fatal(err)
			}
			if len(p) > 0 {
				packets = append(packets, bytes.Clone(p))
			}
		}
		d, err := NewDecoder(&media.Track{Codec: f.Codec, Config: e.Config(), SampleRate: f.SampleRate, Channels: f.Channels})
		if err != nil {
			t.Fatal(err)
		}
		pcm := decodeAll(t, d, packets)
		for c := range Channels {
			if got := soundtest.Level(pcm[Channels*24000:Channels*72000], c, 1000); math.Abs(got-0.5) > 0.06 {
				t.Errorf("%+v: level on channel %d is %.3f, want 0.5", f, c, got)
			}
		}
		if aac := f.Codec == media.AAC; aac != (e.Config() != nil) {
			t.Errorf("%+v has the configuration %x", f, e.Config())
		}
		d.Close()
		e.Close()
	}
}

func TestNewEncoderRefuses(t *testing.T) {
	for _, f := range []media.AudioFormat{
		{}, {Codec: media.MP3, SampleRate: 48000, Channels: 2}, {Codec: media.AAC, SampleRate: 48000}, {Codec: media.PCMA, Channels: 1},
		{Codec: media.AAC, SampleRate: 47999, Channels: 2, RateBPS: 64_000},
	} {
		if e, err := NewEncoder(f); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%+v: made: %t, %v, want ErrUnsupported", f, e != nil, err)
		}
	}
}

func TestEncoderTakesRubbish(t *testing.T) {
	e := newEncoder(t)
	pcm := make([]float32, Channels*1024)
	values := []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), 1e30, -1e30, 0}
	for i := range pcm {
		pcm[i] = values[i%len(values)]
	}
	for range 4 {
		if _, err := e.Encode(pcm); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := e.Encode(pcm[2:]); err == nil {
		t.Error("a short frame was taken")
	}
}

func TestOpusDecoder(t *testing.T) {
	tone, stereo := soundtest.Tone(1000, 0.5, time.Second), soundtest.Tone(1000, 0.5, time.Second)
	for i := 1; i < len(stereo); i += 2 {
		stereo[i] = 0
	}
	tests := []struct {
		name        string
		pcm         []float32
		args        []string
		left, right float64
	}{
		{"stereo", stereo, nil, 0.5, 0},
		{"mono", tone, []string{"-af", "pan=mono|c0=c0"}, 0.5, 0.5},
		{"2.5 ms", tone, []string{"-frame_duration", "2.5"}, 0.5, 0.5},
		{"120 ms", tone, []string{"-frame_duration", "120"}, 0.5, 0.5},
		{"speech", tone, []string{"-af", "pan=mono|c0=c0", "-application", "voip", "-b:a", "16k"}, 0.5, 0.5},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pcm := decodeAll(t, newOpus(t), soundtest.Opus(t, tt.pcm, tt.args...))
			pcm = pcm[Channels*9600 : Channels*43200]
			for c, want := range []float64{tt.left, tt.right} {
				if got := soundtest.Level(pcm, c, 1000); math.Abs(got-want) > 0.06 {
					t.Errorf("amplitude on channel %d = %.3f, want %.3f", c, got, want)
				}
			}
		})
	}
}

func TestOpusDelay(t *testing.T) {
	at := 300 * time.Millisecond
	d := newOpus(t)
	pcm := decodeAll(t, d, soundtest.Opus(t, soundtest.Click(at, time.Second)))
	got, ok := soundtest.Onset(pcm, 0.2)
	got -= media.Samples(int64(d.Delay()), SampleRate)
	if !ok || (got-at).Abs() > time.Millisecond {
		t.Errorf("click at %v, want %v", got, at)
	}
}

func TestOpusLoss(t *testing.T) {
	args := []string{"-af", "pan=mono|c0=c0", "-application", "voip", "-b:a", "24k", "-fec", "1", "-packet_loss", "30"}
	packets := soundtest.Opus(t, soundtest.Tone(400, 0.5, time.Second), args...)
	pcm := make([]float32, Channels*MaxOpusSamples)
	tests := []struct {
		name string
		fill func(d *OpusDecoder) (int, error)
	}{
		{"concealed", func(d *OpusDecoder) (int, error) { return d.Conceal(pcm, 960+119) }},
		{"recovered", func(d *OpusDecoder) (int, error) { return d.Recover(pcm, 960-59, packets[21]) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newOpus(t)
			decodeAll(t, d, packets[:20]) // and number 20 is lost
			n, err := tt.fill(d)
			if err != nil || n != 960 {
				t.Fatalf("got %d samples, %v, want 960", n, err)
			}
			if got := soundtest.Level(pcm[:Channels*n], 0, 400); got < 0.3 {
				t.Errorf("amplitude of the tone in the gap = %.3f, want 0.5", got)
			}
		})
	}
	d := newOpus(t)
	if n, err := d.Conceal(pcm, 119); n != 0 || err != nil {
		t.Errorf("concealing less than 2.5 ms gave %d, %v", n, err)
	}
	if _, err := d.Conceal(pcm[:10], 960); err == nil {
		t.Error("concealing without room gave no error")
	}
}

func TestDecoder(t *testing.T) {
	tone := soundtest.Tone(1000, 0.5, time.Second)
	aacConfig, aac := soundtest.FLV(t, tone, "-c:a", "aac", "-ar", "44100", "-af", "pan=mono|c0=c0")
	_, mp3 := soundtest.FLV(t, tone, "-c:a", "libmp3lame", "-ar", "44100")
	_, speex := soundtest.FLV(t, tone, "-c:a", "libspeex", "-ar", "16000", "-af", "pan=mono|c0=c0", "-b:a", "32k")
	_, joined := soundtest.FLV(t, tone, "-c:a", "libspeex", "-ar", "16000", "-af", "pan=mono|c0=c0", "-b:a", "32k", "-frames_per_packet", "3")
	tests := []struct {
		name    string
		track   media.Track
		packets [][]byte
	}{
		{"G.722", media.Track{Codec: media.G722}, soundtest.G722(t, tone)},
		{"Speex, three frames to a packet", media.Track{Codec: media.Speex}, joined},
		{"A-law", media.Track{Codec: media.PCMA}, soundtest.G711(t, tone, "alaw")},
		{"mu-law", media.Track{Codec: media.PCMU, SampleRate: 8000, Channels: 1}, soundtest.G711(t, tone, "mulaw")},
		{"AAC", media.Track{Codec: media.AAC, Config: aacConfig, SampleRate: 44100, Channels: 1}, aac},
		{"MP3", media.Track{Codec: media.MP3}, mp3},
		{"Speex", media.Track{Codec: media.Speex}, speex},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, err := NewDecoder(&tt.track)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			pcm := decodeAll(t, d, tt.packets)
			if got := len(pcm)/Channels + d.Delay(); got < 46000 || got > 52000 {
				t.Errorf("decoded %d samples of a second", got)
			}
			for c := range Channels {
				if got := soundtest.Level(pcm[Channels*9600:Channels*43200], c, 1000); math.Abs(got-0.5) > 0.05 {
					t.Errorf("amplitude on channel %d = %.3f, want 0.5", c, got)
				}
			}
		})
	}
}

// Each packet of Speex gives all of its frames at once.
func TestJoinedSpeex(t *testing.T) {
	tone := soundtest.Tone(1000, 0.5, time.Second)
	for _, tt := range []struct {
		codec media.Codec
		rate  string
	}{{media.Speex, "16000"}, {media.SpeexNarrow, "8000"}} {
		args := []string{"-c:a", "libspeex", "-ar", tt.rate, "-af", "pan=mono|c0=c0", "-b:a", "15k", "-frames_per_packet", "3", "-f", "ogg"}
		packets := soundtest.Ogg(t, tone, args...)
		d, err := NewDecoder(&media.Track{Codec: tt.codec})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		var all []float32
		pcm := make([]float32, Channels*MaxSamples)
		for i, p := range packets[:len(packets)-1] { // the last one has the rest
			n, err := d.Decode(pcm, p)
			// The first packet fills the resampler.
			if err != nil || n != 2880 && (i > 0 || n < 2700) {
				t.Fatalf("%v: packet %d gives %d samples, %v; want 2880", tt.codec, i, n, err)
			}
			all = append(all, pcm[:Channels*n]...)
		}
		if got := soundtest.Level(all[Channels*9600:Channels*43200], 0, 1000); math.Abs(got-0.5) > 0.05 {
			t.Errorf("%v: amplitude %.3f, want 0.5", tt.codec, got)
		}
	}
}

// Resampled sound begins where Delay says.
func TestDecoderDelay(t *testing.T) {
	at := 300 * time.Millisecond
	d, err := NewDecoder(&media.Track{Codec: media.PCMU})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	pcm := make([]float32, Channels*MaxSamples)
	for i, p := range soundtest.G711(t, soundtest.Click(at, time.Second), "mulaw") {
		delay := d.Delay()
		n, err := d.Decode(pcm, p)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := soundtest.Onset(pcm[:Channels*n], 0.05); ok {
			got += time.Duration(i)*20*time.Millisecond - media.Samples(int64(delay), SampleRate)
			if (got - at).Abs() > time.Millisecond {
				t.Errorf("click at %v, want %v", got, at)
			}
			return
		}
	}
	t.Error("no click")
}

func TestNewDecoderRefuses(t *testing.T) {
	tests := []media.Track{
		{Codec: media.H264},
		{Codec: media.Opus},
		{Codec: media.PCMA, SampleRate: 1 << 30},
		{Codec: media.PCMA, Channels: 100},
		{Codec: media.AAC, Config: []byte{0xff, 0xff, 0xff}},
	}
	for _, tt := range tests {
		if d, err := NewDecoder(&tt); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%+v: got %v, %v, want ErrUnsupported", tt, d, err)
		}
	}
}

func TestClosed(t *testing.T) {
	pcm := make([]float32, Channels*MaxOpusSamples)
	o, e := newOpus(t), newEncoder(t)
	d, err := NewDecoder(&media.Track{Codec: media.PCMA})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		o.Close()
		e.Close()
		d.Close()
	}
	_, err1 := o.Decode(pcm, []byte{1})
	_, err2 := o.Conceal(pcm, 960)
	_, err3 := d.Decode(pcm, []byte{1})
	_, err4 := e.Encode(pcm[:Channels*1024])
	for i, err := range []error{err1, err2, err3, err4} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("call %d after Close: %v, want ErrClosed", i+1, err)
		}
	}
}

// Close frees the memory.
func TestMemory(t *testing.T) {
	cycle := func() {
		pcm := make([]float32, Channels*MaxSamples)
		o, err1 := NewOpusDecoder()
		e, err2 := NewEncoder(aacStereo)
		d, err3 := NewDecoder(&media.Track{Codec: media.PCMA})
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Fatal(err)
		}
		_, _ = o.Conceal(pcm, 960)
		_, _ = d.Decode(pcm, make([]byte, 160))
		_, _ = e.Encode(pcm[:Channels*1024])
		_, _ = NewDecoder(&media.Track{Codec: media.AAC, Config: []byte{0xff, 0xff, 0xff}})
		o.Close()
		e.Close()
		d.Close()
	}
	for range 20 {
		cycle()
	}
	before := resident(t)
	for range 80 {
		cycle()
	}
	// One set takes over a megabyte, so a leak would show as a hundred.
	if grown := resident(t) - before; grown > 30<<20 {
		t.Errorf("80 sets of codecs left %d MB behind", grown>>20)
	}
}

// resident returns the memory that the process has, in bytes.
func resident(t *testing.T) int {
	t.Helper()
	runtime.GC()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(b))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

func FuzzOpusDecoder(f *testing.F) {
	f.Add([]byte{0xfc, 0xff, 0xfe}, []byte{0x08})
	f.Add([]byte{0x03, 0x3f}, []byte{})
	f.Fuzz(func(t *testing.T, first, second []byte) {
		d, err := NewOpusDecoder()
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		pcm := make([]float32, Channels*MaxOpusSamples)
		for _, p := range [][]byte{first, second} {
			check(t, pcm, MaxOpusSamples)(d.Recover(pcm, 960, p))
			check(t, pcm, MaxOpusSamples)(d.Decode(pcm, p))
			check(t, pcm, MaxOpusSamples)(d.Conceal(pcm, 2*960))
		}
	})
}

func FuzzDecoder(f *testing.F) {
	codecs := []media.Codec{media.PCMA, media.PCMU, media.AAC, media.MP3, media.Speex, media.G722, media.SpeexNarrow}
	for i := range codecs {
		f.Add(uint8(i), 0, 0, []byte(nil), []byte{0xff, 0xfb, 0x90, 0x64}, []byte{0x21, 0x10, 0x04})
	}
	f.Add(uint8(2), 48000, 2, []byte{0x11, 0x90}, []byte{0x21, 0x10, 0x04, 0x60, 0x8c, 0x1c}, []byte{0x20})
	f.Fuzz(func(t *testing.T, codec uint8, rate, channels int, config, first, second []byte) {
		d, err := NewDecoder(&media.Track{
			Codec: codecs[int(codec)%len(codecs)], Config: config, SampleRate: rate, Channels: channels,
		})
		if err != nil {
			return
		}
		defer d.Close()
		pcm := make([]float32, Channels*MaxSamples)
		for _, p := range [][]byte{first, second} {
			check(t, pcm, MaxSamples)(d.Decode(pcm, p))
			if d.Delay() < 0 || d.Delay() > MaxSamples {
				t.Fatalf("delay of %d samples", d.Delay())
			}
		}
	})
}

// check holds a decoder to its bounds, and feeds what it made to an encoder now and then.
func check(t *testing.T, pcm []float32, room int) func(int, error) {
	return func(n int, err error) {
		t.Helper()
		if n < 0 || n > room {
			t.Fatalf("%d samples in room for %d", n, room)
		}
		if err != nil && n != 0 {
			t.Fatalf("%d samples beside error %v", n, err)
		}
	}
}

func BenchmarkOpusDecode(b *testing.B) {
	packets := soundtest.Opus(b, soundtest.Music(time.Second))
	d := newOpus(b)
	pcm := make([]float32, Channels*MaxOpusSamples)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := d.Decode(pcm, packets[i%len(packets)]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	pcm := soundtest.Music(time.Second)
	e := newEncoder(b)
	size := Channels * e.FrameSize()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := e.Encode(pcm[i%40*size:][:size]); err != nil {
			b.Fatal(err)
		}
	}
}
