package state

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// soon lets the next write try the folder again at once.
func soon(s *Store) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retried = time.Time{}
}

// A store whose folder cannot be made works in memory. Once the folder can be made, all that was written meanwhile lies there, and the key of
// the secrets.
func TestFolderThatComesLater(t *testing.T) {
	parent := filepath.Join(t.TempDir(), "parent")
	if err := os.WriteFile(parent, nil, 0o600); err != nil { // no folder can be made in a file
		t.Fatal(err)
	}
	cfg := Config{Dir: filepath.Join(parent, "state")}
	s, l := openLogged(t, cfg)
	sealed, err := s.Sealer().Seal("a", []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, "users", "anna", `{"key":"`+sealed+`"}`)
	if err := s.Append(t.Context(), "audit", 10, []byte(`{"n":1}`), []byte(`{"n":2}`)); err != nil {
		t.Fatal(err)
	}
	soon(s)
	put(t, s, "users", "bert", `{}`)
	if st := s.Stats(); st.Durable || !st.Failing {
		t.Errorf("without a folder: %+v", st)
	}

	if err := os.Remove(parent); err != nil {
		t.Fatal(err)
	}
	put(t, s, "users", "carl", `{}`)
	if s.Stats().Durable {
		t.Error("the folder was tried again before its time")
	}
	soon(s)
	revision := put(t, s, "users", "dora", `{}`)
	if st := s.Stats(); !st.Durable || st.Failing || st.Bytes == 0 {
		t.Errorf("with the folder: %+v\n%s", st, l)
	}
	for _, line := range []string{"cannot be used: nothing that changes now", "can be used again", "can be written again"} {
		if n := strings.Count(l.String(), line); n != 1 {
			t.Errorf("the log says %d times that the state %s:\n%s", n, line, l)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = open(t, cfg)
	if got := keys(t, s, "users", ""); !slices.Equal(got, []string{"anna", "bert", "carl", "dora"}) {
		t.Errorf("after a restart there are %q", got)
	}
	if r, err := s.Get(t.Context(), "users", "dora"); err != nil || r.Revision != revision {
		t.Errorf("revision %d, %v; want %d", r.Revision, err, revision)
	}
	if secret, err := s.Sealer().Open("a", sealed); err != nil || string(secret) != "secret" {
		t.Errorf("the secret of before: %q, %v", secret, err)
	}
	if lines, err := s.Lines(t.Context(), "audit", 0, 10); err != nil || len(lines) != 2 || lines[0].ID != 2 {
		t.Errorf("lines %v, %v", lines, err)
	}
}

// A folder that can only be read gives its records all the same, also those that lie in the log before writing. What changes is in memory until the
// folder can be written.
func TestReadOnlyFolder(t *testing.T) {
	mount := t.TempDir()
	if err := syscall.Mount("tmpfs", mount, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("only root may make a disk: %v", err)
	}
	defer syscall.Unmount(mount, syscall.MNT_DETACH)
	remount := func(flags uintptr) {
		t.Helper()
		if err := syscall.Mount("tmpfs", mount, "tmpfs", syscall.MS_REMOUNT|flags, "size=4m"); err != nil {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(mount, "state")
	s := open(t, Config{Dir: dir})
	sealed, err := s.Sealer().Seal("a", []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, "users", "anna", `{}`)
	killed := filepath.Join(mount, "killed") // as a kill leaves it: not folded
	if err := os.CopyFS(killed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{databaseName, databaseName + "-wal", databaseName + "-shm", "key", "lock"} {
		if err := os.Chmod(filepath.Join(killed, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()

	for _, dir := range []string{dir, killed} {
		remount(syscall.MS_RDONLY)
		s, l := openLogged(t, Config{Dir: dir})
		if got := keys(t, s, "users", ""); !slices.Equal(got, []string{"anna"}) {
			t.Errorf("of a folder that can only be read come %q:\n%s", got, l)
		}
		if secret, err := s.Sealer().Open("a", sealed); err != nil || string(secret) != "secret" {
			t.Errorf("the secret: %q, %v", secret, err)
		}
		put(t, s, "users", "bert", `{}`)
		if st := s.Stats(); st.Durable || !st.Failing || s.Dir() != "" {
			t.Errorf("read only: %+v, folder %q", st, s.Dir())
		}
		if _, err := Open(t.Context(), Config{Dir: dir}, l.logger()); err == nil {
			t.Error("two stores have a folder that can only be read")
		}
		soon(s)
		put(t, s, "users", "carl", `{}`)
		remount(0)
		soon(s)
		if err := s.Delete(t.Context(), "users", "bert", Any); err != nil {
			t.Error(err)
		}
		if st := s.Stats(); !st.Durable || st.Failing {
			t.Errorf("when it can be written again: %+v\n%s", st, l)
		}
		s.Close()
		s = open(t, Config{Dir: dir})
		if got := keys(t, s, "users", ""); !slices.Equal(got, []string{"anna", "carl"}) {
			t.Errorf("after a restart there are %q", got)
		}
		s.Close()
	}
}

// Records that cannot be read in a folder that cannot be written stay as they are: nothing is written over them.
func TestReadOnlyAndDamaged(t *testing.T) {
	mount := t.TempDir()
	if err := syscall.Mount("tmpfs", mount, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("only root may make a disk: %v", err)
	}
	defer syscall.Unmount(mount, syscall.MNT_DETACH)
	dir := filepath.Join(mount, "state")
	s := open(t, Config{Dir: dir})
	put(t, s, "users", "anna", `{}`)
	s.Close()
	rubbish := []byte(strings.Repeat("rubbish ", 1000))
	if err := os.WriteFile(filepath.Join(dir, databaseName), rubbish, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", mount, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, "size=4m"); err != nil {
		t.Fatal(err)
	}
	s, l := openLogged(t, Config{Dir: dir})
	if !strings.Contains(l.String(), "leaves them as they are") {
		t.Errorf("the log says:\n%s", l)
	}
	if err := syscall.Mount("tmpfs", mount, "tmpfs", syscall.MS_REMOUNT, "size=4m"); err != nil {
		t.Fatal(err)
	}
	soon(s)
	put(t, s, "users", "bert", `{}`)
	if got, err := os.ReadFile(filepath.Join(dir, databaseName)); err != nil || string(got) != string(rubbish) || s.Stats().Durable {
		t.Errorf("%d bytes in the place of %d, %v; %+v", len(got), len(rubbish), err, s.Stats())
	}
}

// A store that is opened for the first time on a full disk lies in its folder once there is room.
func TestFullAtTheFirstStart(t *testing.T) {
	mount := t.TempDir()
	if err := syscall.Mount("tmpfs", mount, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("only root may make a disk: %v", err)
	}
	defer syscall.Unmount(mount, syscall.MNT_DETACH)
	dir, fill := filepath.Join(mount, "state"), filepath.Join(mount, "fill")
	f, err := os.Create(fill)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	f.Close()
	s, l := openLogged(t, Config{Dir: dir})
	sealed, err := s.Sealer().Seal("a", []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, "users", "anna", `{}`)
	soon(s)
	put(t, s, "users", "bert", `{}`)
	if st := s.Stats(); st.Durable || !st.Failing {
		t.Errorf("on a full disk: %+v", st)
	}
	if err := os.Remove(fill); err != nil {
		t.Fatal(err)
	}
	soon(s)
	put(t, s, "users", "carl", `{}`)
	if st := s.Stats(); !st.Durable || st.Failing || st.SetAside {
		t.Errorf("when there is room: %+v\n%s", st, l)
	}
	s.Close()
	s = open(t, Config{Dir: dir})
	if got := keys(t, s, "users", ""); !slices.Equal(got, []string{"anna", "bert", "carl"}) || s.Stats().SetAside {
		t.Errorf("after a restart there are %q, %+v", got, s.Stats())
	}
	if secret, err := s.Sealer().Open("a", sealed); err != nil || string(secret) != "secret" {
		t.Errorf("the secret: %q, %v", secret, err)
	}
}
