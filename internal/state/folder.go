package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// folder is a folder that this process alone may write to.
type folder struct {
	path     string
	lock     *os.File
	readOnly bool // as far as the lock could tell when the folder was opened
}

// openFolder makes the folder if there is none, and locks it. The lock ends with the process, however the process ends. inherited is the lock of
// this folder, or of another one, or nil.
func openFolder(path string, inherited *os.File) (*folder, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, &unusableError{err}
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o002 != 0 {
		return nil, fmt.Errorf("all users of this machine may write to the folder: chmod o-w %s", path)
	}
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	readOnly := errors.Is(err, syscall.EROFS)
	if readOnly { // who can only read may lock it all the same
		lock, err = os.Open(filepath.Join(path, "lock"))
	}
	if err != nil {
		return nil, &unusableError{err}
	}
	if sameFile(lock, inherited) { // whose lock this process has a share in
		lock.Close()
		return &folder{path, inherited, readOnly}, nil
	}
	if inherited != nil {
		inherited.Close()
	}
	if err := lockSoon(lock); err != nil {
		lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: stop it, or give this one another with --set state_dir=FOLDER", ErrInUse)
		}
		return nil, err
	}
	return &folder{path, lock, readOnly}, nil
}

// lockPatience is how long a lock may outlive its owner: a program that the owner has started keeps a copy of the descriptor until it is executed.
const lockPatience = 300 * time.Millisecond

// lockSoon locks a file. It fails with EWOULDBLOCK if another one has the lock, and keeps it.
func lockSoon(f *os.File) error {
	for deadline := time.Now().Add(lockPatience); ; time.Sleep(5 * time.Millisecond) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) || time.Now().After(deadline) {
			return err
		}
	}
}

func (f *folder) close() {
	if f != nil {
		f.lock.Close()
	}
}

// sameFile reports whether two open files are one. b may be nil.
func sameFile(a, b *os.File) bool {
	if b == nil {
		return false
	}
	ia, errA := a.Stat()
	ib, errB := b.Stat()
	return errA == nil && errB == nil && os.SameFile(ia, ib)
}

// copyOf returns a copy of the descriptor. A lock ends when the last copy is closed, in whatever process.
func copyOf(f *os.File) (*os.File, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd int
	var inner error
	if err := raw.Control(func(old uintptr) { fd, inner = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return nil, err
	}
	if inner != nil {
		return nil, inner
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// prepareFile makes an empty file that its user alone may read, or checks that an existing one and the files beside it are so.
func prepareFile(path string) error {
	for _, p := range []string{path, path + "-wal", path + "-shm"} {
		if err := checkMode(p, 0o077); err != nil {
			return err
		}
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		if _, statErr := os.Stat(path); statErr == nil && !errors.Is(err, syscall.EROFS) {
			return err // it is there, and this user may not read it
		}
		return &unusableError{err}
	}
	file.Close()
	return syncFolder(filepath.Dir(path))
}

// checkMode fails if a file has a bit of wide among its permissions. A file that does not exist is good.
func checkMode(path string, wide fs.FileMode) error {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Perm()&wide != 0 {
		return fmt.Errorf("%s has the mode %#o, so that other users may read secrets in it: chmod 600 %[1]s", path, info.Mode().Perm())
	}
	return nil
}

// syncFolder makes the names of new files durable.
func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) { // some file systems cannot
		return &unusableError{err}
	}
	return nil
}

// unusableError means that the folder, or a file in it, cannot be made.
type unusableError struct{ err error }

func (e *unusableError) Error() string { return e.err.Error() }

func (e *unusableError) Unwrap() error { return e.err }

// unusable reports whether the server can start without the folder, because the folder has no room or cannot be made.
func unusable(err error) bool {
	if _, ok := errors.AsType[*unusableError](err); ok {
		return true
	}
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return false
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PROTOCOL:
		return true
	}
	return false
}
