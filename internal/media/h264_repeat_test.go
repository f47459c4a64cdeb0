package media

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// h264Stream is what an encoder made: parameter sets and access units with 4-byte lengths.
type h264Stream struct {
	track *Track
	units [][]byte
}

// encodeH264 has x264 encode moving pictures.
func encodeH264(t testing.TB, options ...string) h264Stream {
	t.Helper()
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Skip("no ffmpeg")
	}
	args := append([]string{
		"-v", "error", "-f", "lavfi", "-i", "testsrc2=size=338x188:rate=25", "-frames:v", "23", "-c:v", "libx264",
		"-preset", "faster", "-g", "10", "-threads", "1",
	}, options...)
	cmd := exec.Command("ffmpeg", append(args, "-x264opts", "aud", "-f", "h264", "-")...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	b, err := cmd.Output()
	if err != nil {
		t.Fatalf("ffmpeg: %v: %s", err, &stderr)
	}
	var s h264Stream
	var sps, pps []byte
	for n := range bytes.SplitSeq(b, []byte{0, 0, 1}) {
		n = bytes.TrimRight(n, "\x00")
		if len(n) == 0 {
			continue // what stands before a start code of four bytes
		}
		switch n[0] & 0x1f {
		case 7:
			sps = n
		case 8:
			pps = n
		case 9:
			s.units = append(s.units, nil)
		default:
			unit := &s.units[len(s.units)-1]
			*unit = binary.BigEndian.AppendUint32(*unit, uint32(len(n)))
			*unit = append(*unit, n...)
		}
	}
	if s.track, err = NewH264Track(sps, pps); err != nil {
		t.Fatal(err)
	}
	return s
}

// pictures decodes access units, strictly, and returns a hash of each picture.
func (s h264Stream) pictures(t *testing.T, units [][]byte) []string {
	t.Helper()
	var b bytes.Buffer
	nalu := func(n []byte) {
		b.Write([]byte{0, 0, 0, 1})
		b.Write(n)
	}
	sps, pps, err := H264ParameterSets(s.track.Config)
	if err != nil {
		t.Fatal(err)
	}
	nalu(sps[0])
	nalu(pps[0])
	for _, unit := range units {
		nalu([]byte{9, 0xf0})
		for len(unit) > 0 {
			size := binary.BigEndian.Uint32(unit)
			nalu(unit[4 : 4+size])
			unit = unit[4+size:]
		}
	}
	cmd := exec.Command("ffmpeg", "-v", "info", "-nostats", "-xerror", "-err_detect", "explode", "-f", "h264", "-i", "-",
		"-vsync", "passthrough", "-f", "framemd5", "-")
	cmd.Stdin = &b
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	text := stderr.String()
	if err != nil || strings.Contains(text, "concealing") || strings.Contains(text, "error") { // it hides what it cannot decode
		t.Errorf("ffmpeg: %v: %s", err, text)
	}
	var sums []string
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, "#") {
			cells := strings.Split(line, ",")
			sums = append(sums, strings.TrimSpace(cells[len(cells)-1]))
		}
	}
	return sums
}

// A decoder shows pictures that are repeated exactly as they were, and takes what comes after.
func TestH264Repeater(t *testing.T) {
	tests := []struct {
		name    string
		options []string
		keep    int // access units before the repeated ones
	}{
		{"baseline", []string{"-profile:v", "baseline"}, 17},
		{"baseline, after the key frame", []string{"-profile:v", "baseline"}, 11},
		{"many slices", []string{"-profile:v", "baseline", "-slices", "4"}, 17},
		{"main", []string{"-profile:v", "main", "-bf", "0"}, 17},
		{"main, after the key frame", []string{"-profile:v", "main", "-bf", "0"}, 11},
		{"CAVLC with weights", []string{"-profile:v", "main", "-bf", "0", "-coder", "0", "-weightp", "2"}, 17},
		{"high", []string{"-profile:v", "high", "-bf", "0", "-refs", "4"}, 17},
		{"the key frame of a stream with B-frames", []string{"-profile:v", "high", "-bf", "3"}, 1},
		{"fixed quantizer", []string{"-profile:v", "high", "-bf", "0", "-qp", "40"}, 17},
		{"intra refresh", []string{"-profile:v", "main", "-bf", "0", "-intra-refresh", "1"}, 17},
		{"grey", []string{"-profile:v", "high", "-bf", "0", "-pix_fmt", "gray"}, 17},
		{"4:4:4", []string{"-profile:v", "high444", "-bf", "0", "-pix_fmt", "yuv444p"}, 17},
		{"10 bits", []string{"-profile:v", "high10", "-bf", "0", "-pix_fmt", "yuv420p10le"}, 17},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := encodeH264(t, tt.options...)
			r, err := NewH264Repeater(s.track.Config)
			if err != nil {
				t.Fatal(err)
			}
			units := slices.Clone(s.units[:tt.keep])
			if err := r.Follow(units[len(units)-1]); err != nil {
				t.Fatal(err)
			}
			const repeats = 40 // more than frame numbers and orders of 4 bits can count
			for range repeats {
				unit, err := r.Next()
				if err != nil {
					t.Fatal(err)
				}
				if len(unit) > 64 {
					t.Errorf("%d bytes to repeat a picture", len(unit))
				}
				units = append(units, unit)
			}
			units = append(units, s.units[0])
			got := s.pictures(t, units)
			if len(got) != len(units) {
				t.Fatalf("%d pictures of %d access units", len(got), len(units))
			}
			for i, sum := range got[tt.keep : tt.keep+repeats] {
				if sum != got[tt.keep-1] {
					t.Fatalf("repetition %d is not like the picture it repeats", i)
				}
			}
			if got[len(got)-1] != got[0] {
				t.Error("the key frame after the repetitions is not what it was")
			}
		})
	}
}

// The last picture of a stream with temporal layers is no reference: the one before it is repeated.
func TestH264RepeaterAfterDisposable(t *testing.T) {
	s := encodeH264(t, "-profile:v", "baseline")
	r, err := NewH264Repeater(s.track.Config)
	if err != nil {
		t.Fatal(err)
	}
	disposable := slices.Clone(s.units[11])
	disposable[4] &^= 0x60
	if err := r.Follow(disposable); !errors.Is(err, ErrH264Repeat) {
		t.Errorf("Follow a picture without a reference = %v, want ErrH264Repeat", err)
	}
	for _, unit := range [][]byte{s.units[10], disposable} {
		if err := r.Follow(unit); err != nil {
			t.Fatal(err)
		}
	}
	if r.frameNum != 1 {
		t.Errorf("frame number %d after a disposable picture, want its own, 1", r.frameNum)
	}
}

func TestH264RepeaterRefuses(t *testing.T) {
	interlaced := encodeH264(t, "-profile:v", "main", "-flags", "+ildct", "-bf", "0")
	if _, err := NewH264Repeater(interlaced.track.Config); !errors.Is(err, ErrH264Repeat) {
		t.Errorf("interlaced: %v, want ErrH264Repeat", err)
	}
	s := encodeH264(t, "-profile:v", "main", "-bf", "2", "-b_strategy", "0")
	r, err := NewH264Repeater(s.track.Config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); !errors.Is(err, ErrH264Repeat) {
		t.Errorf("Next before Follow = %v, want ErrH264Repeat", err)
	}
	disposable := slices.IndexFunc(s.units, func(u []byte) bool { return !H264Reference(u) })
	for _, unit := range [][]byte{nil, {0, 0, 0, 9, 1}, {0, 0, 0, 2, 6, 1}, {0, 0, 0, 1, 0x65}, s.units[disposable]} {
		if err := r.Follow(unit); err == nil {
			t.Errorf("Follow(%.20x) succeeded", unit)
		}
	}
	if !H264IDR(s.units[0]) || H264IDR(s.units[1]) || !H264Reference(s.units[0]) {
		t.Error("IDR and reference pictures are not told apart")
	}
}

func FuzzH264Repeater(f *testing.F) {
	for _, options := range [][]string{{"-profile:v", "baseline"}, {"-profile:v", "high", "-bf", "0"}} {
		s := encodeH264(f, options...)
		f.Add(s.track.Config, s.units[10], s.units[11])
	}
	f.Fuzz(func(t *testing.T, config, reference, last []byte) {
		r, err := NewH264Repeater(config)
		if err != nil {
			return
		}
		r.Follow(reference)
		if r.Follow(last) != nil {
			return
		}
		for range 3 {
			unit, err := r.Next()
			if err != nil {
				t.Fatal(err)
			}
			if int(binary.BigEndian.Uint32(unit)) != len(unit)-4 || bytes.Contains(unit[4:], []byte{0, 0, 1}) {
				t.Fatalf("%x is no access unit", unit)
			}
			h, err := r.readSlice(unit[4:])
			if err != nil || h.pps.id != r.pps.id {
				t.Fatalf("we cannot read our own slice %x: %v", unit, err)
			}
		}
	})
}
