package mediafile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// wav is a file of PCM: mono, 8 kHz, 16 bit.
func wav(seconds int) []byte {
	data := make([]byte, seconds*16000)
	b := append([]byte("RIFF"), 0, 0, 0, 0)
	binary.LittleEndian.PutUint32(b[4:], uint32(36+len(data)))
	b = append(b, "WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00data"...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
	return append(b, data...)
}

func shot(t *testing.T, encode func(io.Writer, image.Image) error) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := encode(&b, image.NewGray(image.Rect(0, 0, 64, 36))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func asJPEG(w io.Writer, m image.Image) error { return jpeg.Encode(w, m, nil) }

func names(t *testing.T, f *Folder) string {
	t.Helper()
	list, _, err := f.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, file := range list {
		all = append(all, fmt.Sprintf("%s %s %v %dx%d %q", file.Name, file.Kind, file.Duration, file.Width, file.Height, file.Fault))
	}
	return strings.Join(all, "\n")
}

func TestPut(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "media")
	f := New(dir)
	if got := names(t, f); got != "" {
		t.Errorf("a folder that is not there has %s", got)
	}
	for name, content := range map[string][]byte{"jingle.wav": wav(2), "Käse 1.PNG": shot(t, png.Encode), "away.jpg": shot(t, asJPEG)} {
		put, err := f.Put(name, bytes.NewReader(content), false)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if list, _, err := f.List(t.Context()); err != nil || !slices.Contains(list, put) {
			t.Errorf("%+v is listed as %+v, %v", put, list, err)
		}
		open, err := f.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(open); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s has other bytes than were put: %v", name, err)
		}
		open.Close()
	}
	const want = "Käse 1.PNG picture 0s 64x36 \"\"\naway.jpg picture 0s 64x36 \"\"\njingle.wav sound 2s 0x0 \"\""
	if got := names(t, f); got != want {
		t.Errorf("the folder has\n%s\nwant\n%s", got, want)
	}
	if _, err := f.Put("jingle.wav", bytes.NewReader(wav(1)), false); !errors.Is(err, ErrExists) {
		t.Errorf("a second file of this name: %v", err)
	}
	old, err := f.Open("jingle.wav")
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if file, err := f.Put("jingle.wav", bytes.NewReader(wav(1)), true); err != nil || file.Duration != time.Second {
		t.Errorf("replaced: %+v, %v", file, err)
	}
	if b, err := io.ReadAll(old); err != nil || len(b) != len(wav(2)) {
		t.Errorf("whoever has the old file open reads %d bytes, %v", len(b), err)
	}
	if err := f.Remove("jingle.wav"); err != nil {
		t.Error(err)
	}
	for _, err := range []error{f.Remove("jingle.wav"), f.Remove("../jingle.wav"), f.Remove(".")} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("removed what is not there: %v", err)
		}
	}
}

// What is refused leaves nothing behind.
func TestPutRefused(t *testing.T) {
	dir := t.TempDir()
	f := New(dir)
	good := shot(t, png.Encode)
	cut := &cutReader{bytes.NewReader(wav(2))}
	for _, tt := range []struct {
		name    string
		content io.Reader
		want    error
		says    string
	}{
		{"a.mp3", bytes.NewReader(wav(1)), ErrName, ".wav"},
		{"../a.wav", bytes.NewReader(wav(1)), ErrName, "slash"},
		{`b\a.wav`, bytes.NewReader(wav(1)), ErrName, "slash"},
		{"a/b.wav", bytes.NewReader(wav(1)), ErrName, "slash"},
		{".a.wav", bytes.NewReader(wav(1)), ErrName, "dot"},
		{"a\n.wav", bytes.NewReader(wav(1)), ErrName, "seen"},
		{"\u202eb.wav", bytes.NewReader(wav(1)), ErrName, "seen"},
		{"a\xff.wav", bytes.NewReader(wav(1)), ErrName, ""},
		{strings.Repeat("a", 200) + ".wav", bytes.NewReader(wav(1)), ErrName, "128"},
		{"", bytes.NewReader(wav(1)), ErrName, ""},
		{"a.wav", bytes.NewReader(good), ErrContent, "RIFF"},
		{"a.png", bytes.NewReader(wav(1)), ErrContent, "picture"},
		{"a.png", bytes.NewReader(good[:len(good)-20]), ErrContent, "picture"}, // its header is well
		{"a.png", strings.NewReader("<script>alert(1)</script>"), ErrContent, "picture"},
		{"a.wav", strings.NewReader(""), ErrContent, "RIFF"},
		{"a.wav", cut, io.ErrUnexpectedEOF, ""},
		{"a.wav", io.MultiReader(bytes.NewReader(wav(1)), endless{}), ErrTooLarge, "100 MB"},
	} {
		if _, err := f.Put(tt.name, tt.content, true); !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%q: %v, want %v with %q", tt.name, err, tt.want, tt.says)
		} else if strings.Contains(err.Error(), dir) {
			t.Errorf("%q: the error tells the path: %v", tt.name, err)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("the folder has %v, %v", left, err)
	}
}

type cutReader struct{ r io.Reader }

func (c *cutReader) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

type endless struct{}

func (endless) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// A list shows what a push could play, and says of the rest what is wrong; it shows nothing outside the folder, and nothing that is not media.
func TestList(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	put := func(name string, content []byte) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put(filepath.Join(outside, "secret.wav"), wav(1))
	put(filepath.Join(dir, "shows", "one.wav"), wav(1))
	put(filepath.Join(dir, "bad.wav"), []byte("no sound"))
	put(filepath.Join(dir, "notes.txt"), []byte("x"))
	put(filepath.Join(dir, ".hidden", "a.wav"), wav(1))
	put(filepath.Join(dir, part+"x"), wav(1))
	put(filepath.Join(dir, "folder.wav", "in.wav"), wav(1))
	for from, to := range map[string]string{filepath.Join(outside, "secret.wav"): "link.wav", "shows/one.wav": "same.wav"} {
		if err := os.Symlink(from, filepath.Join(dir, to)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe.wav"), 0o644); err != nil {
		t.Fatal(err)
	}
	f := New(dir)
	const want = `bad.wav sound 0s 0x0 "cannot be played: it is no RIFF WAV file"
folder.wav/in.wav sound 1s 0x0 ""
same.wav sound 1s 0x0 ""
shows/one.wav sound 1s 0x0 ""`
	if got := names(t, f); got != want {
		t.Errorf("the folder has\n%s\nwant\n%s", got, want)
	}
	for _, name := range []string{"link.wav", "pipe.wav", "../secret.wav", "notes.txt", "shows", "", "folder.wav"} {
		if open, err := f.Open(name); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s was opened: %v, %v", name, open, err)
		}
	}
}

// The folder has a bound, a list too, and what a crash has left goes.
func TestFolderIsFull(t *testing.T) {
	dir := t.TempDir()
	f := New(dir)
	for i := range maxFiles {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%04d.wav", i)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	old := filepath.Join(dir, part+"old")
	if err := os.WriteFile(old, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	yesterday := time.Now().Add(-24 * time.Hour)
	if err := os.Chtimes(old, yesterday, yesterday); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Put("x.wav", bytes.NewReader(wav(1)), false); !errors.Is(err, ErrMany) {
		t.Errorf("a file more: %v", err)
	}
	if _, err := os.Stat(old); err == nil {
		t.Error("a file that an upload has left a day ago is still there")
	}
	if _, err := f.Put("0000.wav", bytes.NewReader(wav(1)), true); err != nil {
		t.Errorf("a file in the place of another: %v", err)
	}
	if _, more, err := f.List(t.Context()); more || err != nil {
		t.Errorf("a list of all: more %v, %v", more, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "z.wav"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if list, more, err := f.List(t.Context()); !more || len(list) != maxFiles || err != nil {
		t.Errorf("a list of too many: %d, more %v, %v", len(list), more, err)
	}
}

// Only so many files are taken at a time.
func TestUploadsBounded(t *testing.T) {
	f := New(t.TempDir())
	begun, held := make(chan struct{}), make(chan struct{})
	done := make(chan error)
	for i := range maxUploads {
		go func() {
			_, err := f.Put(fmt.Sprintf("%d.wav", i), io.MultiReader(&gate{begun, held}, bytes.NewReader(wav(1))), false)
			done <- err
		}()
		<-begun
	}
	if _, err := f.Put("more.wav", bytes.NewReader(wav(1)), false); !errors.Is(err, ErrBusy) {
		t.Errorf("one more: %v", err)
	}
	close(held)
	for range maxUploads {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if _, err := f.Put("more.wav", bytes.NewReader(wav(1)), false); err != nil {
		t.Errorf("after them: %v", err)
	}
}

// Of two uploads of one name at the same time, one is refused.
func TestSameName(t *testing.T) {
	f := New(t.TempDir())
	begun, held := make(chan struct{}), make(chan struct{})
	done := make(chan error)
	for range maxUploads {
		go func() {
			_, err := f.Put("one.wav", io.MultiReader(&gate{begun, held}, bytes.NewReader(wav(1))), false)
			done <- err
		}()
		<-begun
	}
	close(held)
	taken := 0
	for range maxUploads {
		if err := <-done; err == nil {
			taken++
		} else if !errors.Is(err, ErrExists) {
			t.Error(err)
		}
	}
	if list, _, err := f.List(t.Context()); taken != 1 || len(list) != 1 || err != nil {
		t.Errorf("%d were taken, and there are %+v, %v", taken, list, err)
	}
	if left, err := os.ReadDir(f.dir); err != nil || len(left) != 1 {
		t.Errorf("the folder has %v, %v", left, err)
	}
}

// gate is an empty reader that says that it is read, and waits.
type gate struct{ begun, held chan struct{} }

func (g *gate) Read([]byte) (int, error) {
	g.begun <- struct{}{}
	<-g.held
	return 0, io.EOF
}

// A disk that takes no bytes is told without the path of the folder.
func TestDiskRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "media")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		_, err := New(dir).Put("a.wav", bytes.NewReader(wav(1)), false)
		if !errors.Is(err, ErrDisk) || strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "not a directory") {
			t.Errorf("%v", err)
		}
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	if _, err := (disk{full}).Write([]byte("x")); !errors.Is(err, ErrDisk) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a full disk: %v", err)
	}
}
