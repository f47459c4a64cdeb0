// Package mediafile is the folder media_dir as those see it who fill it: what is in it, which of it can be played and shown, and why the
// rest cannot. It takes new files, and removes files.
//
// What is played and shown is opened by soundfile and picture; they are asked about each file here, so that a list never promises
// what a push refuses.
package mediafile

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"transponder/internal/transcode/picture"
	"transponder/internal/transcode/soundfile"
)

const (
	// MaxBytes is the most that an uploaded file may have: nine minutes of stereo at 48 kHz and 16 bit.
	MaxBytes = 100 << 20
	// maxFiles is how many files a list has, and how many the folder may have for another one to be taken.
	maxFiles = 1000
	// maxName is the most bytes that the name of an uploaded file may have.
	maxName = 128
	// maxUploads is how many files are taken at a time.
	maxUploads = 2
	// part begins the name of a file that is being taken. Those that a crash has left are removed after leftover.
	part     = ".upload-"
	leftover = time.Hour
)

var (
	ErrNotFound = errors.New("no such file")
	ErrExists   = errors.New("there is a file with this name")
	ErrName     = errors.New("the name cannot be used")
	ErrContent  = errors.New("the file cannot be used")
	ErrTooLarge = fmt.Errorf("the file is larger than %d MB", MaxBytes>>20)
	ErrMany     = fmt.Errorf("the folder has %d files: remove some", maxFiles)
	ErrBusy     = errors.New("other files are being uploaded: try again")
	ErrDisk     = errors.New("the folder of media takes no files") // the disk is full, or may not be written to
)

// Kind is what a file is for.
type Kind string

// The kinds.
const (
	Sound   Kind = "sound"
	Picture Kind = "picture"
)

// File is one file of the folder.
type File struct {
	Name     string // with slashes, below the folder
	Kind     Kind
	Bytes    int64
	Modified time.Time
	Duration time.Duration // of a sound
	Width    int           // of a picture
	Height   int
	Fault    string // why it can be neither played nor shown; "": it can
}

// Folder is the folder. All methods may be called from any goroutine.
type Folder struct {
	dir     string
	uploads chan struct{} // maxUploads
	placing sync.Mutex    // held from the look whether a name is taken until it is
}

// New returns the Folder of a directory, which need not exist.
func New(dir string) *Folder { return &Folder{dir: dir, uploads: make(chan struct{}, maxUploads)} }

// types are the content types by the end of a name.
var types = map[string]struct {
	kind Kind
	mime string
}{
	".wav":  {Sound, "audio/wav"},
	".png":  {Picture, "image/png"},
	".jpg":  {Picture, "image/jpeg"},
	".jpeg": {Picture, "image/jpeg"},
}

// Type returns the content type of a file.
func Type(name string) string { return types[extension(name)].mime }

func extension(name string) string { return strings.ToLower(path.Ext(name)) }

// List returns the sounds and pictures, sorted by name. It stops at the first thousand; more says that there are others.
func (f *Folder) List(ctx context.Context) (list []File, more bool, err error) {
	root, err := os.OpenRoot(f.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	} else if err != nil {
		return nil, false, ErrDisk
	}
	defer root.Close()
	err = fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil: // a folder that cannot be read: it has nothing that can be played
			return nil
		case name != "." && strings.HasPrefix(entry.Name(), "."):
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case entry.IsDir() || types[extension(name)].kind == "":
			return nil
		case len(list) == maxFiles:
			more = true
			return fs.SkipAll
		}
		if file, ok := inspect(root, name); ok {
			list = append(list, file)
		}
		return nil
	})
	if err != nil {
		return nil, false, err
	}
	slices.SortFunc(list, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	return list, more, nil
}

// inspect returns what a file is. ok is false if it is not a file.
func inspect(root *os.Root, name string) (file File, ok bool) {
	info, err := root.Stat(name) // before Open, which would block on a pipe without a writer
	if err != nil || !info.Mode().IsRegular() {
		return File{}, false
	}
	file = File{Name: name, Kind: types[extension(name)].kind, Bytes: info.Size(), Modified: info.ModTime()}
	open, err := root.Open(name)
	if err != nil {
		file.Fault = "it cannot be read: look at its rights"
		return file, true
	}
	defer open.Close()
	if err := file.read(open); err != nil {
		file.Fault = err.Error()
	}
	return file, true
}

// read looks into the file, for what soundfile and picture need.
func (f *File) read(open *os.File) (err error) {
	switch f.Kind {
	case Sound:
		f.Duration, err = soundfile.Inspect(open, f.Bytes)
	case Picture:
		f.Width, f.Height, err = picture.Inspect(open, f.Bytes)
	}
	return err
}

// Open opens a file for reading. It fails with ErrNotFound.
func (f *Folder) Open(name string) (*os.File, error) {
	if types[extension(name)].kind == "" {
		return nil, ErrNotFound
	}
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return nil, ErrNotFound
	}
	defer root.Close()
	if info, err := root.Stat(name); err != nil || !info.Mode().IsRegular() {
		return nil, ErrNotFound
	}
	open, err := root.Open(name)
	if err != nil {
		return nil, ErrNotFound
	}
	return open, nil
}

// checkName refuses names of new files that are no plain names.
func checkName(name string) error {
	switch {
	case types[extension(name)].kind == "":
		return fmt.Errorf("%w: it must end in .wav, .png, .jpg or .jpeg", ErrName)
	case len(name) > maxName:
		return fmt.Errorf("%w: it has more than %d bytes", ErrName, maxName)
	case strings.HasPrefix(name, "."), strings.ContainsAny(name, `/\`), !utf8.ValidString(name):
		return fmt.Errorf("%w: it must not begin with a dot, and have no slash", ErrName)
	case strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("%w: it has characters that cannot be seen", ErrName)
	}
	return nil
}

// Put takes a new file. Nothing of it is in the folder before all of it is there and can be played or shown. Without replace it fails
// with ErrExists if the name is taken; a push that plays the old file plays it to its end.
func (f *Folder) Put(name string, content io.Reader, replace bool) (File, error) {
	if err := checkName(name); err != nil {
		return File{}, err
	}
	select {
	case f.uploads <- struct{}{}:
		defer func() { <-f.uploads }()
	default:
		return File{}, ErrBusy
	}
	root, err := f.create()
	if err != nil {
		return File{}, err
	}
	defer root.Close()
	if err := f.room(root, name, replace); err != nil {
		return File{}, err
	}
	temporary := part + rand.Text()
	file, err := take(root, temporary, name, content)
	if err == nil {
		err = f.place(root, temporary, name, replace)
	}
	if err != nil {
		_ = root.Remove(temporary)
		return File{}, err
	}
	return file, nil
}

// create opens the folder, and makes it if there is none.
func (f *Folder) create() (*os.Root, error) {
	if err := os.MkdirAll(f.dir, 0o755); err != nil {
		return nil, diskError(err)
	}
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return nil, diskError(err)
	}
	return root, nil
}

// room fails if the folder cannot take a file with a name. It removes what uploads before a crash have left.
func (f *Folder) room(root *os.Root, name string, replace bool) error {
	if _, err := root.Lstat(name); err == nil && !replace {
		return ErrExists
	} else if err == nil {
		return nil // no file more
	}
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return diskError(err)
	}
	files := 0
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), part) {
			files++
			continue
		}
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > leftover {
			_ = root.Remove(e.Name())
		}
	}
	if files >= maxFiles {
		return ErrMany
	}
	return nil
}

// take writes the content to a temporary file, and looks whether it is what the name says.
func take(root *os.Root, temporary, name string, content io.Reader) (File, error) {
	to, err := root.OpenFile(temporary, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return File{}, diskError(err)
	}
	defer to.Close()
	n, err := io.Copy(disk{to}, io.LimitReader(content, MaxBytes+1))
	switch {
	case err != nil:
		return File{}, err
	case n > MaxBytes:
		return File{}, ErrTooLarge
	}
	if err := to.Sync(); err != nil {
		return File{}, diskError(err)
	}
	info, err := to.Stat()
	if err != nil {
		return File{}, diskError(err)
	}
	file := File{Name: name, Kind: types[extension(name)].kind, Bytes: n, Modified: info.ModTime()}
	err = file.read(to)
	if err == nil && file.Kind == Picture {
		err = picture.Decode(to, n) // its header may be all that is well
	}
	if err != nil {
		return File{}, fmt.Errorf("%w: %w", ErrContent, err)
	}
	return file, nil
}

// place gives the temporary file its name. The folder may lie on a file system without hard links, so this process looks first.
func (f *Folder) place(root *os.Root, temporary, name string, replace bool) error {
	f.placing.Lock()
	defer f.placing.Unlock()
	if _, err := root.Lstat(name); err == nil && !replace {
		return ErrExists
	}
	if err := root.Rename(temporary, name); err != nil {
		return diskError(err)
	}
	return nil
}

// Remove removes a file. A push that plays it plays it to its end.
func (f *Folder) Remove(name string) error {
	if types[extension(name)].kind == "" {
		return ErrNotFound
	}
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return ErrNotFound
	}
	defer root.Close()
	if info, err := root.Lstat(name); err != nil || info.IsDir() {
		return ErrNotFound
	}
	if err := root.Remove(name); err != nil {
		return diskError(err)
	}
	return nil
}

// disk is a file whose errors of writing are told from those of the content.
type disk struct{ file *os.File }

func (d disk) Write(b []byte) (int, error) {
	n, err := d.file.Write(b)
	if err != nil {
		err = diskError(err)
	}
	return n, err
}

// diskError hides the path of the folder, which users must not learn.
func diskError(err error) error {
	var why syscall.Errno
	if errors.As(err, &why) {
		return fmt.Errorf("%w: %w", ErrDisk, why)
	}
	return ErrDisk
}
