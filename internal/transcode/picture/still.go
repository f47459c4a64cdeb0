package picture

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/draw"
	_ "image/jpeg" // stills are JPEG or PNG files
	_ "image/png"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"transponder/internal/media"
	"transponder/internal/transcode/libav"
)

// ErrStill means that a file cannot be shown as a still picture.
var ErrStill = errors.New("cannot be shown as a still picture")

const (
	// maxStillBytes and maxStillPixels bound the memory that one file can make us allocate. A picture of 8K fits.
	maxStillBytes  = 32 << 20
	maxStillPixels = 7680 * 4320
	// maxStills is how many encoded pictures are kept. More sizes and files than that at a time are encoded again.
	maxStills = 16
)

// Stills encodes PNG and JPEG files of one directory, and cards with a text, as video: one H.264 key frame for each of them and each
// size, which is kept. All methods may be called from any goroutine.
type Stills struct {
	dir    string
	encode func(picture *image.NRGBA, width, height int) ([]byte, error)

	mu   sync.Mutex
	kept []*still // guarded by mu; the most recently used is last
}

// still is one file, or one card, in one size.
type still struct {
	name          string // of the file; "": a card
	text          string // of the card
	modified      time.Time
	size          int64
	width, height int

	frame func() (media.Frame, error) // encodes at the first call; a call meanwhile waits for the result
}

// NewStills returns the Stills of a directory, which need not exist.
func NewStills(dir string) *Stills { return &Stills{dir: dir, encode: libav.EncodeStill} }

// Check fails with ErrStill if the directory has no such file, or if it is not a picture that can be shown.
func (s *Stills) Check(name string) error {
	f, _, err := s.open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return checkStill(f)
}

// Frame returns the file as a key frame of width x height, scaled to fit and centred on black. It fails with ErrStill. The
// first call for a file and size takes 20 to 150 ms.
func (s *Stills) Frame(name string, width, height int) (media.Frame, error) {
	f, info, err := s.open(name)
	if err != nil {
		return media.Frame{}, err
	}
	defer f.Close()
	frame, err := s.frame(&still{name: name, modified: info.ModTime(), size: info.Size(), width: width, height: height,
		frame: sync.OnceValues(func() (media.Frame, error) { return s.make(f, width, height) })})
	if err != nil {
		return media.Frame{}, fmt.Errorf("%q: %w", name, err)
	}
	return frame, nil
}

// Card returns a card with a text as a key frame of width x height, as Frame does. Characters that the font does not have are left out.
func (s *Stills) Card(text string, width, height int) (media.Frame, error) {
	return s.frame(&still{text: text, width: width, height: height, frame: sync.OnceValues(func() (media.Frame, error) {
		picture, err := drawCard(text, width&^1, height&^1)
		if err != nil {
			return media.Frame{}, err
		}
		return s.encoded(picture, width, height)
	})})
}

// frame returns the frame of a still, from those that are kept if it is among them.
func (s *Stills) frame(want *still) (media.Frame, error) {
	k := s.find(want)
	frame, err := k.frame()
	if err != nil {
		s.drop(k)
	}
	return frame, err
}

// find returns the kept still that is the same as want, or else keeps want, in the place of the one that was not used for the longest
// time.
func (s *Stills) find(want *still) *still {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := want
	if i := slices.IndexFunc(s.kept, want.same); i >= 0 {
		found = s.kept[i]
		s.kept = slices.Delete(s.kept, i, i+1)
	} else if len(s.kept) == maxStills {
		s.kept = slices.Delete(s.kept, 0, 1)
	}
	s.kept = append(s.kept, found)
	return found
}

// drop forgets a still.
func (s *Stills) drop(k *still) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = slices.DeleteFunc(s.kept, func(o *still) bool { return o == k })
}

func (k *still) same(o *still) bool {
	return k.name == o.name && k.text == o.text && k.modified.Equal(o.modified) && k.size == o.size && k.width == o.width && k.height == o.height
}

// open opens a file of the directory. os.Root refuses names and links that lead out of the directory.
func (s *Stills) open(name string) (*os.File, os.FileInfo, error) {
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return nil, nil, fmt.Errorf("%q %w: the folder of media cannot be opened", name, ErrStill) // users must not learn its path
	}
	defer root.Close()
	info, err := root.Stat(name) // before Open, which would block on a pipe without a writer
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, fmt.Errorf("%q %w: there is no such file in media_dir", name, ErrStill)
	case err != nil:
		return nil, nil, fmt.Errorf("%q %w: %w", name, ErrStill, err)
	case !info.Mode().IsRegular() || info.Size() > maxStillBytes:
		return nil, nil, fmt.Errorf("%q %w: it is no file of at most %d MB", name, ErrStill, maxStillBytes>>20)
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, nil, fmt.Errorf("%q %w: %w", name, ErrStill, err)
	}
	return f, info, nil
}

// checkStill reads the header of a picture, and goes back to the beginning of the file.
func checkStill(f io.ReadSeeker) error {
	if _, _, err := header(f); err != nil {
		return err
	}
	_, err := f.Seek(0, io.SeekStart)
	return err
}

// header reads the size of a picture from its header.
func header(f io.Reader) (width, height int, err error) {
	c, _, err := image.DecodeConfig(f)
	if err != nil {
		return 0, 0, fmt.Errorf("%w: %w", ErrStill, err)
	}
	if c.Width < 1 || c.Height < 1 || int64(c.Width)*int64(c.Height) > maxStillPixels {
		return 0, 0, fmt.Errorf("%w: %dx%d is too large", ErrStill, c.Width, c.Height)
	}
	return c.Width, c.Height, nil
}

// Inspect returns the size of a picture of size bytes, which it takes from the header. It fails with ErrStill.
func Inspect(f io.ReaderAt, size int64) (width, height int, err error) {
	if size > maxStillBytes {
		return 0, 0, fmt.Errorf("%w: it is larger than %d MB", ErrStill, maxStillBytes>>20)
	}
	return header(io.NewSectionReader(f, 0, size))
}

// Decode decodes a picture that Inspect accepts, and forgets it. It fails with ErrStill.
func Decode(f io.ReaderAt, size int64) error {
	if _, _, err := image.Decode(io.NewSectionReader(f, 0, size)); err != nil {
		return fmt.Errorf("%w: %w", ErrStill, err)
	}
	return nil
}

// make decodes the file in Go, where a bad file cannot damage memory, and encodes it.
func (s *Stills) make(f io.ReadSeeker, width, height int) (media.Frame, error) {
	if err := checkStill(f); err != nil {
		return media.Frame{}, err
	}
	picture, _, err := image.Decode(io.LimitReader(f, maxStillBytes))
	if err != nil {
		return media.Frame{}, fmt.Errorf("%w: %w", ErrStill, err)
	}
	flat := image.NewNRGBA(image.Rectangle{Max: picture.Bounds().Size()})
	draw.Draw(flat, flat.Bounds(), image.Black, image.Point{}, draw.Src)
	draw.Draw(flat, flat.Bounds(), picture, picture.Bounds().Min, draw.Over)
	return s.encoded(flat, width, height)
}

// encoded encodes a picture.
func (s *Stills) encoded(picture *image.NRGBA, width, height int) (media.Frame, error) {
	unit, err := s.encode(picture, width&^1, height&^1)
	if err != nil {
		return media.Frame{}, fmt.Errorf("%w: %w", ErrStill, err)
	}
	return keyFrame(unit)
}

// keyFrame makes a frame of an access unit with start codes and parameter sets.
func keyFrame(unit []byte) (media.Frame, error) {
	var sps, data []byte
	var pps [][]byte
	for n := range bytes.SplitSeq(unit, []byte{0, 0, 1}) {
		n = bytes.TrimRight(n, "\x00") // part of a start code of four bytes; a NAL unit never ends in 0
		if len(n) == 0 {
			continue
		}
		switch n[0] & 0x1f {
		case 7:
			sps = n
		case 8:
			pps = append(pps, n)
		case 5:
			data = append(data, byte(len(n)>>24), byte(len(n)>>16), byte(len(n)>>8), byte(len(n)))
			data = append(data, n...)
		}
	}
	track, err := media.NewH264Track(sps, pps...)
	if err != nil {
		return media.Frame{}, err
	}
	return media.Frame{Track: track, Key: true, Data: data}, nil
}
