package soundfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"transponder/internal/transcode/sound/soundtest"
)

// wavBytes makes a WAV file of 16-bit PCM with a tone on all channels.
func wavBytes(rate, channels, frames int, hz float64) []byte {
	b := wavHeader(wavPCM, rate, channels, 16, 2*channels*frames)
	for i := range frames {
		x := int16(math.Round(32767 * soundtest.ToneLevel * math.Sin(2*math.Pi*hz*float64(i)/float64(rate))))
		for range channels {
			b = binary.LittleEndian.AppendUint16(b, uint16(x))
		}
	}
	return b
}

func wavHeader(coding, rate, channels, bits, size int) []byte {
	b := append([]byte("RIFF"), 0, 0, 0, 0)
	b = append(b, "WAVEfmt "...)
	b = binary.LittleEndian.AppendUint32(b, 16)
	b = binary.LittleEndian.AppendUint16(b, uint16(coding))
	b = binary.LittleEndian.AppendUint16(b, uint16(channels))
	b = binary.LittleEndian.AppendUint32(b, uint32(rate))
	b = binary.LittleEndian.AppendUint32(b, uint32(rate*channels*bits/8))
	b = binary.LittleEndian.AppendUint16(b, uint16(channels*bits/8))
	b = binary.LittleEndian.AppendUint16(b, uint16(bits))
	b = append(b, "data"...)
	b = binary.LittleEndian.AppendUint32(b, uint32(size))
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-8+size))
	return b
}

// readWAV reads a file's first n samples in so many channels.
func readWAV(t *testing.T, b []byte, channels, n int) []float32 {
	t.Helper()
	w, err := parseWAV(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	r := w.reader(channels, false)
	var pcm []float32
	for len(pcm) < channels*n {
		if pcm, err = r.read(pcm, n-len(pcm)/channels); err != nil {
			t.Fatal(err)
		}
	}
	return pcm
}

// Files that another program wrote hold the tone that it was told to write, in every coding.
func TestWAVCodings(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		coding string
		rate   string
		layout string
		args   []string
	}{
		{"pcm_u8", "48000", "mono", nil}, {"pcm_s16le", "48000", "stereo", nil}, {"pcm_s24le", "48000", "stereo", nil},
		{"pcm_s32le", "48000", "mono", nil}, {"pcm_f32le", "48000", "stereo", nil}, {"pcm_f64le", "48000", "mono", nil},
		{"pcm_alaw", "48000", "mono", nil}, {"pcm_mulaw", "48000", "stereo", nil},
		{"pcm_s16le", "48000", "5.1", nil}, {"pcm_s24le", "48000", "7.1", nil},
		{"pcm_s16le", "48000", "stereo", []string{"-rf64", "always"}},
		{"pcm_s16le", "48000", "stereo", []string{"-write_bext", "1", "-metadata", "title=odd"}},
	} {
		t.Run(strings.Join(append([]string{tt.coding, tt.layout}, tt.args...), " "), func(t *testing.T) {
			path := filepath.Join(dir, "a.wav")
			args := []string{"-y", "-v", "error", "-f", "lavfi", "-i", "sine=frequency=1000:sample_rate=48000:duration=1",
				"-af", "volume=4,aformat=channel_layouts=mono,pan=" + tt.layout + "|" + everyChannel(tt.layout), "-c:a", tt.coding, "-ar", tt.rate}
			cmd := exec.CommandContext(t.Context(), "ffmpeg", append(append(args, tt.args...), path)...)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			b := readFile(t, path)
			for _, channels := range []int{1, 2} {
				pcm := readWAV(t, b, channels, 48000)
				if channels == 1 {
					pcm = spread(pcm)
				}
				for c := range 2 {
					if got := soundtest.Level(pcm, c, 1000); math.Abs(got-0.5) > 0.01 {
						t.Errorf("level in channel %d of %d is %.4f, want 0.5", c, channels, got)
					}
				}
			}
		})
	}
}

func everyChannel(layout string) string {
	n := map[string]int{"mono": 1, "stereo": 2, "5.1": 6, "7.1": 8}[layout]
	var parts []string
	for i := range n {
		parts = append(parts, "c"+string(rune('0'+i))+"=c0")
	}
	return strings.Join(parts, "|")
}

func spread(mono []float32) []float32 {
	var out []float32
	for _, x := range mono {
		out = append(out, x, x)
	}
	return out
}

// The values of single samples, by hand.
func TestWAVSamples(t *testing.T) {
	for _, tt := range []struct {
		name         string
		coding, bits int
		data         []byte
		want         float32
	}{
		{"8 bits, middle", wavPCM, 8, []byte{0x80}, 0},
		{"8 bits, lowest", wavPCM, 8, []byte{0}, -1},
		{"16 bits", wavPCM, 16, []byte{0x00, 0xc0}, -0.5},
		{"24 bits", wavPCM, 24, []byte{0, 0, 0x40}, 0.5},
		{"20 bits in 24", wavPCM, 20, []byte{0, 0, 0x40}, 0.5},
		{"32 bits", wavPCM, 32, []byte{0, 0, 0, 0x80}, -1},
		{"float", wavFloat, 32, []byte{0, 0, 0x80, 0x3e}, 0.25},
		{"float beyond full scale", wavFloat, 32, []byte{0, 0, 0, 0x41}, 1},
		{"no number", wavFloat, 32, []byte{0, 0, 0xc0, 0x7f}, 0},
		{"endless", wavFloat, 64, []byte{0, 0, 0, 0, 0, 0, 0xf0, 0xff}, -1},
		{"A-law silence", wavALaw, 8, []byte{0xd5}, 8.0 / 32768},
		{"A-law loudest", wavALaw, 8, []byte{0xaa}, 32256.0 / 32768},
		{"mu-law silence", wavMuLaw, 8, []byte{0xff}, 0},
		{"mu-law loudest", wavMuLaw, 8, []byte{0x80}, 32124.0 / 32768},
	} {
		header := wavHeader(tt.coding, 8000, 1, tt.bits, len(tt.data))
		binary.LittleEndian.PutUint16(header[32:], uint16(len(tt.data)))
		if got := readWAV(t, append(header, tt.data...), 1, 1)[0]; got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestParseWAV(t *testing.T) {
	plain := wavBytes(8000, 1, 100, 1000)
	edit := func(change func([]byte) []byte) []byte { return change(bytes.Clone(plain)) }
	insert := func(b []byte, at int, what string) []byte {
		return append(append(bytes.Clone(b[:at]), what...), b[at:]...)
	}
	set := func(at int, what string) []byte {
		return edit(func(b []byte) []byte { copy(b[at:], what); return b })
	}
	extensible := func(subtype string) []byte {
		b := set(16, "\x28\x00\x00\x00\xfe\xff")
		return insert(b, 36, "\x16\x00\x10\x00\x00\x00\x00\x00"+subtype)
	}
	for _, tt := range []struct {
		name   string
		file   []byte
		frames int64
		fault  string
	}{
		{"plain", plain, 100, ""},
		{"chunk of odd size before the format", insert(plain, 12, "junk\x03\x00\x00\x00abc\x00"), 100, ""},
		{"data before the format", edit(func(b []byte) []byte {
			return append(append(append(bytes.Clone(b[:12]), b[36:]...), b[12:36]...), 0)
		}), 100, ""},
		{"chunk after the samples", append(bytes.Clone(plain), "LIST\x02\x00\x00\x00ab"...), 100, ""},
		{"cut off", plain[:144], 50, ""},
		{"size unknown", set(40, "\xff\xff\xff\xff"), 100, ""},
		{"larger than the file", set(40, "\xf0\xff\xff\xff"), 100, ""},
		{"still being written", edit(func(b []byte) []byte { clear(b[4:8]); clear(b[40:44]); return b }), 100, ""},
		{"RF64", insert(edit(func(b []byte) []byte { copy(b, "RF64"); copy(b[40:], "\xff\xff\xff\xff"); return b }), 12,
			"ds64\x1c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x78\x00\x00\x00\x00\x00\x00\x00"+strings.Repeat("\x00", 12)), 60, ""},
		{"extensible", extensible("\x01\x00" + wavSubtype), 100, ""},
		{"extensible with ADPCM", extensible("\x02\x00" + wavSubtype), 0, "coding (2"},
		{"extensible with something else", extensible("\x01\x00" + strings.Repeat("x", 14)), 0, "unknown"},
		{"nothing", nil, 0, "no RIFF"},
		{"text", []byte("hello, this is a text file"), 0, "no RIFF"},
		{"AVI", set(8, "AVI "), 0, "no RIFF"},
		{"header only", plain[:12], 0, "what its samples are"},
		{"no samples", set(40, "\x00\x00\x00\x00"), 0, "no samples"},
		{"no data", plain[:36], 0, "no samples"},
		{"MP3 inside", set(20, "\x55\x00"), 0, "coding (85"},
		{"no channels", set(22, "\x00\x00"), 0, "0 channels"},
		{"9 channels", set(22, "\x09\x00"), 0, "9 channels"},
		{"slow", set(24, "\x00\x10\x00\x00"), 0, "4096 Hz"},
		{"fast", set(24, "\x00\x00\x04\x00"), 0, "262144 Hz"},
		{"0 bits", set(34, "\x00\x00"), 0, "0 bits"},
		{"64 bits", set(34, "\x40\x00"), 0, "64 bits"},
		{"other packing", set(32, "\x04\x00"), 0, "packed"},
		{"short format", set(16, "\x08\x00\x00\x00"), 0, "too short"},
		{"many empty chunks", append(plain[:12:12], bytes.Repeat([]byte("junk\x00\x00\x00\x00"), 2*maxWAVChunks)...), 0, "samples are"},
	} {
		w, err := parseWAV(bytes.NewReader(tt.file), int64(len(tt.file)))
		switch {
		case tt.fault == "" && (err != nil || w.frames != tt.frames):
			t.Errorf("%s: %+v, %v; want %d samples", tt.name, w, err, tt.frames)
		case tt.fault != "" && (err == nil || !strings.Contains(err.Error(), tt.fault)):
			t.Errorf("%s: %v, want an error with %q", tt.name, err, tt.fault)
		}
	}
}

// brokenFile fails like a broken disk, with words that tell where it is.
type brokenFile struct{}

func (brokenFile) ReadAt([]byte, int64) (int, error) {
	return 0, errors.New("read /srv/secret: input/output error")
}

func TestBrokenWAV(t *testing.T) {
	if _, err := parseWAV(brokenFile{}, 1000); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}

// The samples of any file are within full scale, and never more than the file has.
func FuzzWAV(f *testing.F) {
	f.Add(wavBytes(8000, 1, 10, 1000))
	f.Add(wavBytes(192000, 8, 3, 1000))
	f.Add(append(wavHeader(wavFloat, 44100, 2, 64, 32), make([]byte, 32)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		w, err := parseWAV(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		if w.frames < 1 || w.begin+w.frames*int64(w.size*w.channels) > int64(len(b)) {
			t.Fatalf("%d samples of a file of %d bytes", w.frames, len(b))
		}
		for _, channels := range []int{1, 2} {
			r := w.reader(channels, true)
			pcm, err := r.read(nil, 1000)
			if err != nil {
				t.Fatal(err)
			}
			if pcm, err = r.read(pcm, 10); err != nil {
				t.Fatal(err)
			}
			for _, x := range pcm {
				if !(x >= -1.0001 && x <= 1.0001) {
					t.Fatalf("a sample of %v", x)
				}
			}
		}
	})
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
