package state

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// logs collects what a store logs.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logs) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func open(t *testing.T, cfg Config) *Store {
	t.Helper()
	s, _ := openLogged(t, cfg)
	return s
}

func openLogged(t *testing.T, cfg Config) (*Store, *logs) {
	t.Helper()
	var l logs
	s, err := Open(t.Context(), cfg, l.logger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, &l
}

func put(t *testing.T, k Keeper, bucket, key, value string) uint64 {
	t.Helper()
	revision, err := k.Put(t.Context(), bucket, key, []byte(value), Any)
	if err != nil {
		t.Fatalf("put %s/%s: %v", bucket, key, err)
	}
	return revision
}

func keys(t *testing.T, k Keeper, bucket, prefix string) []string {
	t.Helper()
	records, err := k.List(t.Context(), bucket, prefix)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range records {
		names = append(names, r.Key)
	}
	return names
}

// TestKeeper is the contract of a Keeper.
func TestKeeper(t *testing.T) {
	for _, where := range []string{"file", "memory"} {
		t.Run(where, func(t *testing.T) {
			cfg := Config{}
			if where == "file" {
				cfg.Dir = t.TempDir()
			}
			testKeeper(t, open(t, cfg))
		})
	}
}

func testKeeper(t *testing.T, k Keeper) {
	ctx := t.Context()
	want := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	_, err := k.Get(ctx, "users", "anna")
	want("get of nothing", err, ErrNotFound)
	first, err := k.Put(ctx, "users", "anna", []byte(`{"role":"admin"}`), 0)
	want("create", err, nil)
	_, err = k.Put(ctx, "users", "anna", []byte(`{}`), 0)
	want("create what is there", err, ErrConflict)
	second, err := k.Put(ctx, "users", "anna", []byte(`{"role":"viewer"}`), first)
	want("update", err, nil)
	if second <= first {
		t.Errorf("revision %d after %d", second, first)
	}
	_, err = k.Put(ctx, "users", "anna", []byte(`{}`), first)
	want("stale update", err, ErrConflict)
	_, err = k.Put(ctx, "users", "nobody", []byte(`{}`), first)
	want("update of nothing", err, ErrConflict)
	r, err := k.Get(ctx, "users", "anna")
	want("get", err, nil)
	if string(r.Value) != `{"role":"viewer"}` || r.Revision != second || r.Key != "anna" || r.Changed.IsZero() {
		t.Errorf("got %+v", r)
	}
	want("stale delete", k.Delete(ctx, "users", "anna", first), ErrConflict)
	want("delete of nothing", k.Delete(ctx, "users", "nobody", 1), ErrNotFound)
	want("delete of nothing, whatever it is", k.Delete(ctx, "users", "nobody", Any), nil)
	want("delete", k.Delete(ctx, "users", "anna", second), nil)
	_, err = k.Get(ctx, "users", "anna")
	want("get after delete", err, ErrNotFound)
	third, err := k.Put(ctx, "users", "anna", []byte(`{}`), 0)
	want("create anew", err, nil)
	if third <= second+1 {
		t.Errorf("the revision %d of a new record was used before (%d)", third, second)
	}

	for _, key := range []string{"a/1", "a/2", "b/1", "A/1", "a%", "a"} {
		put(t, k, "list", key, `{}`)
	}
	put(t, k, "other", "a/3", `{}`)
	if got, want := keys(t, k, "list", "a/"), []string{"a/1", "a/2"}; !slices.Equal(got, want) {
		t.Errorf("list a/ = %q, want %q", got, want)
	}
	if got, want := keys(t, k, "list", ""), []string{"A/1", "a", "a%", "a/1", "a/2", "b/1"}; !slices.Equal(got, want) {
		t.Errorf("list = %q, want %q", got, want)
	}
	for _, bad := range []struct{ bucket, key, value string }{
		{"", "k", "{}"}, {"b", "k\x00", "{}"}, {"b", strings.Repeat("k", maxKey+1), "{}"}, {"b", "k", "{"}, {"b", "k", `"` + strings.Repeat("x", maxValue) + `"`},
	} {
		if _, err := k.Put(ctx, bad.bucket, bad.key, []byte(bad.value), Any); err == nil {
			t.Errorf("put of %.20q %.20q %.20q was taken", bad.bucket, bad.key, bad.value)
		}
	}
}

func TestReopen(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	put(t, s, "users", "anna", `{"role":"admin"}`)
	last := put(t, s, "users", "bert", `{}`)
	if err := s.Delete(t.Context(), "users", "bert", Any); err != nil {
		t.Fatal(err)
	}
	sealed, err := s.Sealer().Seal("destination/a", []byte("stream key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), "users", "anna"); !errors.Is(err, ErrClosed) {
		t.Errorf("get after close: %v", err)
	}
	if _, err := s.Put(t.Context(), "users", "anna", []byte("{}"), Any); !errors.Is(err, ErrClosed) {
		t.Errorf("put after close: %v", err)
	}

	s = open(t, Config{Dir: dir})
	r, err := s.Get(t.Context(), "users", "anna")
	if err != nil || string(r.Value) != `{"role":"admin"}` {
		t.Errorf("after reopening: %+v, %v", r, err)
	}
	if revision := put(t, s, "users", "bert", `{}`); revision <= last+1 {
		t.Errorf("after reopening the revision is %d, before it was %d and one more", revision, last)
	}
	if secret, err := s.Sealer().Open("destination/a", sealed); err != nil || string(secret) != "stream key" {
		t.Errorf("after reopening the secret is %q, %v", secret, err)
	}
	if st := s.Stats(); !st.Durable || st.Failing || st.Writes == 0 || st.Failures != 0 || st.Damaged != 0 {
		t.Errorf("stats %+v", st)
	}
}

func TestOneServerForAFolder(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	if _, err := Open(t.Context(), Config{Dir: dir}, slog.New(slog.DiscardHandler)); !errors.Is(err, ErrInUse) {
		t.Errorf("a second server: %v", err)
	}
	put(t, s, "users", "anna", `{}`)
	// Another program may read meanwhile.
	other, err := sql.Open("sqlite", filepath.Join(dir, databaseName))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	var n int
	if err := other.QueryRow("SELECT count(*) FROM record WHERE value->>'role' IS NULL").Scan(&n); err != nil || n != 1 {
		t.Errorf("another program reads %d records, %v", n, err)
	}
}

// TestLockIsHandedOn: with a copy of the lock, a process opens the folder as soon as the first has closed its store, and nobody else gets
// between the two.
func TestLockIsHandedOn(t *testing.T) {
	dir, log := t.TempDir(), slog.New(slog.DiscardHandler)
	s := open(t, Config{Dir: dir})
	put(t, s, "users", "anna", `{"role": "admin"}`)
	lock, err := s.Lock()
	if err != nil {
		t.Fatal(err)
	}
	if err := Check(t.Context(), Config{Dir: dir}); err != nil {
		t.Error("check while the folder is in use:", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Config{Dir: dir}, log); !errors.Is(err, ErrInUse) {
		t.Errorf("a stranger between the two: %v", err)
	}
	next := open(t, Config{Dir: dir, Lock: lock})
	if r, err := next.Get(t.Context(), "users", "anna"); err != nil || r.Revision != 1 {
		t.Errorf("the second has %+v, %v", r, err)
	}
	if _, err := Open(t.Context(), Config{Dir: dir}, log); !errors.Is(err, ErrInUse) {
		t.Errorf("a stranger beside the second: %v", err)
	}
	other := filepath.Join(dir, "other")
	if err := os.Mkdir(other, 0o700); err != nil {
		t.Fatal(err)
	}
	lock, err = next.Lock()
	if err != nil {
		t.Fatal(err)
	}
	third := open(t, Config{Dir: other, Lock: lock})
	if _, err := Open(t.Context(), Config{Dir: other}, log); !errors.Is(err, ErrInUse) {
		t.Errorf("the lock of one folder was taken for that of another: %v", err)
	}
	if err := errors.Join(next.Close(), third.Close()); err != nil {
		t.Fatal(err)
	}
	open(t, Config{Dir: dir}) // free again
	if lock, err := open(t, Config{}).Lock(); lock != nil || err != nil {
		t.Errorf("without a folder: %v, %v", lock, err)
	}
}

// TestCheck: it fails for what Open would refuse, and makes nothing.
func TestCheck(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "none")
	if err := errors.Join(Check(t.Context(), Config{}), Check(t.Context(), Config{Dir: empty})); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(empty); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder was made: %v", err)
	}
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	if _, err := s.writer.Exec("PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	if err := Check(t.Context(), Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("a newer database: %v", err)
	}
	key := filepath.Join(dir, "bad")
	if err := os.WriteFile(key, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Check(t.Context(), Config{KeyFile: key}); err == nil || !strings.Contains(err.Error(), "secrets_key_file") {
		t.Errorf("a bad key file: %v", err)
	}
	if err := os.Chmod(filepath.Join(dir, databaseName), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Check(t.Context(), Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a database that all may read: %v", err)
	}
}

func TestModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s := open(t, Config{Dir: dir})
	put(t, s, "users", "anna", `{}`)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, e.Name())
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has the mode %v", e.Name(), info.Mode())
		}
	}
	if want := []string{"key", "lock", "state.db", "state.db-shm", "state.db-wal"}; !slices.Equal(names, want) {
		t.Errorf("files %q, want %q", names, want)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder has the mode %v, %v", info.Mode(), err)
	}
	s.Close()
	for _, name := range []string{"state.db", "key"} {
		path := filepath.Join(dir, name)
		for _, mode := range []os.FileMode{0o640, 0o604, 0o620} {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			if s, err := Open(t.Context(), Config{Dir: dir}, slog.New(slog.DiscardHandler)); err == nil {
				s.Close()
				t.Errorf("%s with the mode %v was taken", name, mode)
			} else if !strings.Contains(err.Error(), "chmod 600 "+path) {
				t.Errorf("%s with the mode %v: the error does not say what to do: %v", name, mode, err)
			}
		}
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if s, err := Open(t.Context(), Config{Dir: dir}, slog.New(slog.DiscardHandler)); err == nil {
		s.Close()
		t.Error("a folder that all may write to was taken")
	}
}

// TestManyWriters holds that callers who write at the same time share transactions, that none is lost, and that exactly one of those who
// create the same record succeeds.
func TestManyWriters(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir()})
	const writers, each = 64, 20
	var wins [each]int
	var mu sync.Mutex
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				put(t, s, "own", fmt.Sprintf("%d/%d", w, i), fmt.Sprintf(`{"n":%d}`, i))
				if _, err := s.Put(t.Context(), "race", fmt.Sprint(i), []byte("{}"), 0); err == nil {
					mu.Lock()
					wins[i]++
					mu.Unlock()
				} else if !errors.Is(err, ErrConflict) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for i, n := range wins {
		if n != 1 {
			t.Errorf("%d writers have created record %d", n, i)
		}
	}
	if n := len(keys(t, s, "own", "")); n != writers*each {
		t.Errorf("%d records, want %d", n, writers*each)
	}
	revisions := map[uint64]bool{}
	records, err := s.List(t.Context(), "own", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if revisions[r.Revision] {
			t.Fatalf("revision %d was given twice", r.Revision)
		}
		revisions[r.Revision] = true
	}
}

// TestSharedCommit holds that the writes that come while one is written share the next transaction.
func TestSharedCommit(t *testing.T) {
	s := open(t, Config{})
	entered, release := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		s.write(t.Context(), func(context.Context, *transaction) error { close(entered); <-release; return nil })
	})
	<-entered
	const n = 100
	var txs [n]*transaction
	for i := range n {
		wg.Go(func() {
			if err := s.write(t.Context(), func(_ context.Context, tx *transaction) error { txs[i] = tx; return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	waitFor(t, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.waiting) == n })

	// A caller that gives up is taken out of the queue, wherever it stands.
	ctx, cancel := context.WithCancel(t.Context())
	wg.Go(func() {
		err := s.write(ctx, func(context.Context, *transaction) error {
			t.Error("a write that was taken back was written")
			return nil
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("a write that was taken back: %v", err)
		}
	})
	waitFor(t, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.waiting) == n+1 })
	cancel()
	waitFor(t, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.waiting) == n })
	close(release)
	wg.Wait()
	for i := range txs {
		if txs[i] != txs[0] {
			t.Fatalf("write %d has a transaction of its own", i)
		}
	}
}

// waitFor waits until a condition of other goroutines holds.
func waitFor(t *testing.T, holds func() bool) {
	t.Helper()
	for !holds() {
		if t.Context().Err() != nil {
			t.Fatal("it does not come")
		}
		syscall.Select(0, nil, nil, nil, &syscall.Timeval{Usec: 1000})
	}
}

func TestQueueIsBounded(t *testing.T) {
	s := open(t, Config{})
	entered, release := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		s.write(t.Context(), func(context.Context, *transaction) error { close(entered); <-release; return nil })
	})
	<-entered
	s.mu.Lock()
	s.waiting = make([]*write, maxWaiting)
	s.mu.Unlock()
	_, err := s.Put(t.Context(), "users", "anna", []byte("{}"), Any)
	if full, ok := errors.AsType[*WriteError](err); !ok || !errors.Is(full, errBusy) {
		t.Errorf("a write beyond the bound: %v", err)
	}
	if s.Stats().Failures != 1 {
		t.Errorf("stats %+v", s.Stats())
	}
	s.mu.Lock()
	s.waiting = nil
	s.mu.Unlock()
	close(release)
	wg.Wait()
}

func TestLog(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	ctx := t.Context()
	for i := range 25 {
		var lines [][]byte
		for j := range 4 {
			lines = append(lines, fmt.Appendf(nil, `{"n":%d}`, 4*i+j))
		}
		if err := s.Append(ctx, "audit", 10, lines...); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Append(ctx, "other", 10, []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	numbers := func(before uint64, limit int) (found []string) {
		t.Helper()
		lines, err := s.Lines(ctx, "audit", before, limit)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range lines {
			found = append(found, fmt.Sprintf("%d:%s", l.ID, l.Value))
			if l.At.IsZero() {
				t.Error("a line has no time")
			}
		}
		return found
	}
	if got, want := numbers(0, 2), []string{`100:{"n":99}`, `99:{"n":98}`}; !slices.Equal(got, want) {
		t.Errorf("newest lines %q, want %q", got, want)
	}
	if got, want := numbers(93, 100), []string{`92:{"n":91}`, `91:{"n":90}`}; !slices.Equal(got, want) {
		t.Errorf("oldest lines %q, want %q", got, want)
	}
	s.Close()
	s = open(t, Config{Dir: dir})
	if err := s.Append(ctx, "audit", 10, []byte(`{"n":100}`)); err != nil {
		t.Fatal(err)
	}
	if got, want := numbers(0, 1), []string{`101:{"n":100}`}; !slices.Equal(got, want) {
		t.Errorf("after reopening %q, want %q", got, want)
	}
	if err := s.Append(ctx, "audit", 10, []byte(`{"n":`)); err == nil {
		t.Error("a line that is not JSON was taken")
	}
}

// TestFull holds that a write to a full disk changes nothing, that reads go on, and that writes succeed when there is room again.
func TestFull(t *testing.T) {
	s, l := openLogged(t, Config{Dir: t.TempDir()})
	put(t, s, "users", "anna", `{}`)
	var pages int
	if err := s.writer.QueryRow("PRAGMA page_count").Scan(&pages); err != nil {
		t.Fatal(err)
	}
	limit := func(n int) {
		if _, err := s.writer.Exec(fmt.Sprintf("PRAGMA max_page_count = %d", n)); err != nil {
			t.Fatal(err)
		}
	}
	limit(pages)
	large := []byte(`"` + strings.Repeat("x", 100_000) + `"`)
	for range 3 {
		_, err := s.Put(t.Context(), "users", "bert", large, Any)
		if _, ok := errors.AsType[*WriteError](err); !ok {
			t.Fatalf("put to a full disk: %v", err)
		}
	}
	if got := keys(t, s, "users", ""); !slices.Equal(got, []string{"anna"}) {
		t.Errorf("records %q", got)
	}
	if st := s.Stats(); !st.Failing || st.Failures != 3 {
		t.Errorf("stats %+v", st)
	}
	limit(1 << 20)
	if _, err := s.Put(t.Context(), "users", "bert", large, Any); err != nil {
		t.Errorf("put when there is room again: %v", err)
	}
	if st := s.Stats(); st.Failing {
		t.Errorf("stats %+v", st)
	}
	if n := strings.Count(l.String(), "cannot be written"); n != 1 || !strings.Contains(l.String(), "can be written again") {
		t.Errorf("the log says %d times that the state cannot be written:\n%s", n, l)
	}
}

// TestFullDisk does the same with a real disk that is full, and starts on it.
func TestFullDisk(t *testing.T) {
	mount := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(mount, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", mount, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("only root may make a small disk: %v", err)
	}
	defer syscall.Unmount(mount, syscall.MNT_DETACH)
	fill := func() {
		t.Helper()
		f, err := os.OpenFile(filepath.Join(mount, "fill"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for err == nil {
			_, err = f.Write(make([]byte, 4096))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(mount, "state")
	s := open(t, Config{Dir: dir})
	put(t, s, "users", "anna", `{}`)
	fill()
	refused := 0
	for i := range 200 {
		if _, err := s.Put(t.Context(), "users", fmt.Sprint(i), []byte(`"`+strings.Repeat("x", 2000)+`"`), Any); err != nil {
			refused++
		}
	}
	if refused == 0 {
		t.Fatal("the disk is not full")
	}
	stored := keys(t, s, "users", "")
	if len(stored) != 201-refused {
		t.Errorf("%d records, %d writes were refused", len(stored), refused)
	}
	fill()
	s.Close()
	fill()

	s, l := openLogged(t, Config{Dir: dir})
	if got := keys(t, s, "users", ""); !slices.Equal(got, stored) {
		t.Errorf("started on a full disk there are %d records, want %d:\n%s", len(got), len(stored), l)
	}
	s.Close()
	if err := os.Remove(filepath.Join(mount, "fill")); err != nil {
		t.Fatal(err)
	}
	s = open(t, Config{Dir: dir})
	put(t, s, "users", "bert", `{}`)

	// The first start of all.
	fill()
	s, l = openLogged(t, Config{Dir: filepath.Join(mount, "first")})
	put(t, s, "users", "bert", `{}`)
	if st := s.Stats(); !st.Failing || !strings.Contains(l.String(), "nothing that changes now outlives") {
		t.Errorf("the first start on a full disk: %+v\n%s", st, l)
	}
	if _, err := s.Sealer().Seal("a", []byte("b")); err != nil {
		t.Error(err)
	}
}

// TestDamage breaks the file in many ways: the store must open each time, and must never give a record that was not written.
func TestDamage(t *testing.T) {
	master := filepath.Join(t.TempDir(), "master")
	s := open(t, Config{Dir: master})
	written := map[string]string{}
	for i := range 200 {
		key := fmt.Sprintf("k%03d", i)
		written[key] = fmt.Sprintf(`{"n":%d,"fill":"%s"}`, i, strings.Repeat("x", i))
		put(t, s, "b", key, written[key])
	}
	s.Close()
	whole, err := os.ReadFile(filepath.Join(master, databaseName))
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	type breakage struct {
		name string
		do   func([]byte) []byte
	}
	breakages := []breakage{
		{"empty", func([]byte) []byte { return nil }},
		{"no database", func([]byte) []byte { return bytes.Repeat([]byte("garbage "), 1000) }},
		{"header", func(b []byte) []byte { b[3] ^= 1; return b }},
	}
	rounds := 20
	if testing.Short() {
		rounds = 5
	}
	for range rounds {
		breakages = append(breakages,
			breakage{"cut", func(b []byte) []byte { return b[:random.IntN(len(b))] }},
			breakage{"bit", func(b []byte) []byte { b[random.IntN(len(b))] ^= 1 << random.IntN(8); return b }},
			breakage{"page", func(b []byte) []byte {
				at := 4096 * (1 + random.IntN(len(b)/4096-1))
				clear(b[at : at+4096])
				return b
			}},
		)
	}
	kept, aside := 0, 0
	for i, br := range breakages {
		dir := filepath.Join(t.TempDir(), "state")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, databaseName), br.do(slices.Clone(whole)), 0o600); err != nil {
			t.Fatal(err)
		}
		var l logs
		s, err := Open(t.Context(), Config{Dir: dir}, l.logger())
		if err != nil {
			t.Errorf("%d %s: %v", i, br.name, err)
			continue
		}
		records, err := s.List(t.Context(), "b", "")
		if err != nil {
			t.Errorf("%d %s: %v", i, br.name, err)
		}
		for _, r := range records {
			if string(r.Value) != written[r.Key] {
				t.Errorf("%d %s: record %q is %q", i, br.name, r.Key, r.Value)
			}
		}
		if lost := len(written) - len(records); lost > 0 && br.name != "empty" && l.String() == "" {
			t.Errorf("%d %s: %d records are lost without a word", i, br.name, lost)
		}
		kept += len(records)
		if strings.Contains(l.String(), "was set aside") {
			aside++
			if found, _ := filepath.Glob(filepath.Join(dir, databaseName+".damaged-*")); len(found) == 0 {
				t.Errorf("%d %s: nothing was set aside", i, br.name)
			}
		}
		put(t, s, "b", "new", `{}`)
		s.Close()
		s, err = Open(t.Context(), Config{Dir: dir}, l.logger())
		if err != nil {
			t.Errorf("%d %s: opened again: %v", i, br.name, err)
			continue
		}
		if _, err := s.Get(t.Context(), "b", "new"); err != nil {
			t.Errorf("%d %s: what was written after the damage: %v", i, br.name, err)
		}
		s.Close()
	}
	t.Logf("%d of %d damaged files were set aside; %.0f %% of the records were kept", aside, len(breakages), 100*float64(kept)/float64(len(breakages)*len(written)))
	if aside == 0 || kept < len(written)*len(breakages)/4 {
		t.Error("too few were set aside, or too little was kept")
	}
}

func TestDamagedRecord(t *testing.T) {
	s, l := openLogged(t, Config{Dir: t.TempDir()})
	put(t, s, "users", "anna", `{"role":"viewer"}`)
	put(t, s, "users", "bert", `{}`)
	if _, err := s.writer.Exec(`UPDATE record SET value = '{"role":"admin!"}' WHERE key = 'anna'`); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), "users", "anna"); !errors.Is(err, ErrDamaged) {
		t.Errorf("get: %v", err)
	}
	if got := keys(t, s, "users", ""); !slices.Equal(got, []string{"bert"}) {
		t.Errorf("list %q", got)
	}
	if n := strings.Count(l.String(), "is damaged"); n != 1 || s.Stats().Damaged != 1 {
		t.Errorf("logged %d times, stats %+v", n, s.Stats())
	}
	if _, err := s.Put(t.Context(), "users", "anna", []byte(`{}`), 0); err != nil {
		t.Errorf("a damaged record cannot be made anew: %v", err)
	}
	if s.Stats().Damaged != 0 {
		t.Errorf("stats %+v", s.Stats())
	}
}

func TestNewerSchema(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	if _, err := s.writer.Exec("PRAGMA user_version = 2"); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if _, err := Open(t.Context(), Config{Dir: dir}, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("a file of a newer version: %v", err)
	}
}

func BenchmarkPut(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s, err := Open(b.Context(), Config{Dir: b.TempDir()}, slog.New(slog.DiscardHandler))
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			value := []byte(`{"fill":"` + strings.Repeat("x", 590) + `"}`)
			b.SetParallelism(max(1, writers/2))
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := s.Put(b.Context(), "b", fmt.Sprint(rand.IntN(1000)), value, Any); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

func BenchmarkGet(b *testing.B) {
	s, err := Open(b.Context(), Config{Dir: b.TempDir()}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Put(b.Context(), "b", "k", []byte(`{"fill":"`+strings.Repeat("x", 590)+`"}`), Any); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := s.Get(b.Context(), "b", "k"); err != nil {
			b.Fatal(err)
		}
	}
}

// A program that is being started has a copy of the lock for a moment after its owner has closed it.
func TestLockOfProgramThatStarts(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		first, err := openFolder(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := copyOf(first.lock)
		if err != nil {
			t.Fatal(err)
		}
		first.close()
		time.AfterFunc(lockPatience/2, func() { theirs.Close() })
		second, err := openFolder(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer second.close()
		begun := time.Now()
		if _, err := openFolder(dir, nil); !errors.Is(err, ErrInUse) || time.Since(begun) > 2*lockPatience {
			t.Errorf("a folder that is in use: %v after %v", err, time.Since(begun))
		}
	})
}
