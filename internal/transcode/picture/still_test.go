//go:build cgo

package picture

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"transponder/internal/media"
	"transponder/internal/transcode/libav"
)

// halves is red on the left and transparent on the right.
func halves(width, height int) image.Image {
	m := image.NewNRGBA(image.Rect(10, 10, 10+width, 10+height))
	for y := range height {
		for x := range width / 2 {
			m.Set(10+x, 10+y, color.NRGBA{R: 255, A: 255})
		}
	}
	return m
}

func writePNG(t *testing.T, path string, m image.Image) {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// pixel decodes a frame and returns one pixel of it.
func pixel(t *testing.T, f media.Frame, x, y int) color.RGBA {
	t.Helper()
	sps, pps, err := media.H264ParameterSets(f.Track.Config)
	if err != nil {
		t.Fatal(err)
	}
	start := []byte{0, 0, 0, 1}
	unit := bytes.Join([][]byte{nil, sps[0], pps[0], f.Data[4:]}, start)
	cmd := exec.Command("ffmpeg", "-v", "error", "-f", "h264", "-i", "-", "-f", "rawvideo", "-pix_fmt", "rgba", "-")
	cmd.Stdin = bytes.NewReader(unit)
	out, err := cmd.Output()
	if err != nil || len(out) != 4*f.Track.Width*f.Track.Height {
		t.Fatalf("ffmpeg: %d bytes, %v", len(out), err)
	}
	p := out[4*(y*f.Track.Width+x):]
	return color.RGBA{p[0], p[1], p[2], p[3]}
}

func TestStill(t *testing.T) {
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Skip("no ffmpeg")
	}
	dir := t.TempDir()
	writePNG(t, filepath.Join(dir, "wide.png"), halves(800, 200))
	writePNG(t, filepath.Join(dir, "high.png"), halves(20, 77))
	var b bytes.Buffer
	jpeg.Encode(&b, halves(640, 360), nil)
	if err := os.WriteFile(filepath.Join(dir, "same.jpg"), b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	s := NewStills(dir)
	red, black := color.RGBA{255, 0, 0, 255}, color.RGBA{0, 0, 0, 255}
	tests := []struct {
		name string
		x, y int
		want color.RGBA
	}{
		{"wide.png", 100, 10, black},
		{"wide.png", 100, 180, red},
		{"wide.png", 500, 180, black},
		{"high.png", 100, 180, black},
		{"high.png", 300, 180, red},
		{"high.png", 340, 180, black},
		{"same.jpg", 5, 5, red},
	}
	for _, tt := range tests {
		if err := s.Check(tt.name); err != nil {
			t.Errorf("Check(%s) = %v", tt.name, err)
		}
		f, err := s.Frame(tt.name, 640, 360)
		if err != nil {
			t.Fatal(err)
		}
		if f.Track.Width != 640 || f.Track.Height != 360 || !f.Key || !media.H264IDR(f.Data) {
			t.Fatalf("%s: frame of %dx%d, key %v", tt.name, f.Track.Width, f.Track.Height, f.Key)
		}
		if got := pixel(t, f, tt.x, tt.y); distance(got, tt.want) > 12 {
			t.Errorf("%s at %d,%d is %v, want %v", tt.name, tt.x, tt.y, got, tt.want)
		}
	}
}

func distance(a, b color.RGBA) int {
	d := 0
	for _, pair := range [][2]uint8{{a.R, b.R}, {a.G, b.G}, {a.B, b.B}} {
		d = max(d, int(pair[0])-int(pair[1]), int(pair[1])-int(pair[0]))
	}
	return d
}

func TestStillIsKept(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.png")
	writePNG(t, path, halves(64, 64))
	s := NewStills(dir)
	encoded := 0
	s.encode = func(m *image.NRGBA, width, height int) ([]byte, error) {
		encoded++
		return libav.EncodeStill(m, width, height)
	}
	frame := func(width int) media.Frame {
		t.Helper()
		f, err := s.Frame("a.png", width, 64)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	first := frame(64)
	if again := frame(64); again.Track != first.Track || encoded != 1 {
		t.Errorf("encoded %d times for one file and size", encoded)
	}
	if frame(128); encoded != 2 {
		t.Errorf("encoded %d times for two sizes, want 2", encoded)
	}
	os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour))
	if frame(64); encoded != 3 {
		t.Errorf("encoded %d times after the file changed, want 3", encoded)
	}
	for i := range 2 * maxStills {
		frame(64 + 2*i)
	}
	if len(s.kept) != maxStills {
		t.Errorf("%d stills are kept, want %d", len(s.kept), maxStills)
	}
}

func TestStillRefuses(t *testing.T) {
	outside := t.TempDir()
	writePNG(t, filepath.Join(outside, "secret.png"), halves(64, 64))
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "text.png"), []byte("not a picture"), 0o600)
	os.WriteFile(filepath.Join(dir, "empty.png"), nil, 0o600)
	os.Mkdir(filepath.Join(dir, "folder.png"), 0o700)
	os.Symlink(filepath.Join(outside, "secret.png"), filepath.Join(dir, "link.png"))
	writePNG(t, filepath.Join(dir, "cut.png"), halves(64, 64))
	os.Truncate(filepath.Join(dir, "cut.png"), 60)
	// A header of 60000x60000 pixels, which would be 14 GB.
	os.WriteFile(filepath.Join(dir, "bomb.png"), []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\xea\x60\x00\x00\xea\x60\x08\x06\x00\x00\x00\x2e\xac\x68\x65"), 0o600)
	s := NewStills(dir)
	names := []string{
		"", "missing.png", "text.png", "empty.png", "folder.png", "link.png", "cut.png", "bomb.png",
		filepath.Join(outside, "secret.png"), filepath.Join("..", filepath.Base(outside), "secret.png"),
	}
	for _, name := range names {
		if _, err := s.Frame(name, 64, 64); !errors.Is(err, ErrStill) {
			t.Errorf("Frame(%q) = %v, want ErrStill", name, err)
		}
		if err := s.Check(name); name != "cut.png" && !errors.Is(err, ErrStill) {
			t.Errorf("Check(%q) = %v, want ErrStill", name, err)
		}
	}
	if err := NewStills(filepath.Join(dir, "none")).Check("a.png"); !errors.Is(err, ErrStill) {
		t.Errorf("without the directory: %v, want ErrStill", err)
	}
	writePNG(t, filepath.Join(dir, "good.png"), halves(64, 64))
	for _, size := range [][2]int{{0, 0}, {8, 64}, {-2, 64}} {
		if _, err := s.Frame("good.png", size[0], size[1]); !errors.Is(err, ErrStill) {
			t.Errorf("size %v: %v, want ErrStill", size, err)
		}
	}
}

func BenchmarkStill(b *testing.B) {
	m := image.NewNRGBA(image.Rect(0, 0, 1920, 1080))
	for i := range m.Pix {
		m.Pix[i] = byte(i * i >> 7)
	}
	for _, height := range []int{360, 720, 1080} {
		b.Run(fmt.Sprintf("%dp", height), func(b *testing.B) {
			for b.Loop() {
				if _, err := libav.EncodeStill(m, height*16/9, height); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
