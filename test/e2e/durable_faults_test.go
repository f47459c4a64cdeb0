//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"transponder/internal/state"
	"transponder/internal/testkit"
)

// unkept is what the tests read of a push beside push.
type unkept struct {
	push
	Durable *bool `json:"durable"`
}

// find returns the push of a stream.
func (s *server) find(stream string) (found unkept, ok bool) {
	s.t.Helper()
	var all []unkept
	if code := s.post("/push/find", map[string]string{"streamName": stream}, &all); code != http.StatusOK || len(all) == 0 {
		return unkept{}, false
	}
	return all[0], true
}

// ready returns what /health/ready answers.
func (s *server) readiness() (code int, text string) {
	s.t.Helper()
	resp, err := http.Get(strings.TrimSuffix(s.page, "/") + "/health/ready")
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// awaitState waits until the server says that its state is failing or well: in its metrics and in /health/ready, which is 200 always.
func (s *server) awaitState(failing bool, limit time.Duration) {
	s.t.Helper()
	testkit.Eventually(s.t, limit, func() string {
		n := s.metric(s.t, "transponder_state_failing", "")
		code, text := s.readiness()
		if (n == 1) != failing || strings.Contains(text, "the state cannot be written") != failing || code != http.StatusOK {
			return fmt.Sprintf("failing is %v, /health/ready answers %d %q", n, code, text)
		}
		return ""
	})
}

// A database that is damaged costs what was in the damaged part, and no more: the server starts, says what has happened, and makes new pushes that
// outlive it.
func TestLongDamagedState(t *testing.T) {
	receiver := testkit.NewRTMPServer(t, testkit.Script{})
	for _, tt := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		said   string // by /health/ready
	}{
		{"pages", func(t *testing.T, dir string) {
			file := fold(t, dir)
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for at := 2 * 4096; at+4096 <= len(b); at += 2 * 4096 {
				copy(b[at:], bytes.Repeat([]byte("damaged "), 512))
			}
			writeState(t, file, b)
		}, "was damaged when the server started"},
		{"empty", func(t *testing.T, dir string) { writeState(t, fold(t, dir), nil) }, "was damaged when the server started"},
		{"random", func(t *testing.T, dir string) {
			b := make([]byte, 40_000)
			rand.NewChaCha8([32]byte{1}).Read(b)
			writeState(t, fold(t, dir), b)
		}, "was damaged when the server started"},
		{"one record", func(t *testing.T, dir string) {
			db, err := sql.Open("sqlite", fold(t, dir))
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if _, err := db.Exec(`UPDATE record SET value = replace(value, 'rtmp_cam-0', 'rtmp_cam-X') WHERE bucket = 'pushes'`); err != nil {
				t.Fatal(err)
			}
		}, "1 records of the state are damaged"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			s := startServerAt(t, dir, nil)
			_, leave := publish(t, s, "cam-0", testkit.DefaultPublisherConfig())
			_, leave1 := publish(t, s, "cam-1", testkit.DefaultPublisherConfig())
			for _, name := range []string{"cam-0", "cam-1"} {
				if code := s.post("/push/startup", map[string]any{"streamName": name, "rtmpUrl": receiver.URL("live/" + name)}, nil); code != http.StatusOK {
					t.Fatalf("startup answers %d", code)
				}
				s.waitPush(name, "PUBLISHING")
			}
			s.kill()
			leave()
			leave1()
			tt.damage(t, filepath.Join(dir, "state"))

			s = startServerAt(t, dir, nil)
			if code, text := s.readiness(); code != http.StatusOK || !strings.Contains(text, tt.said) {
				t.Errorf("/health/ready answers %d %q", code, text)
			}
			if !strings.Contains(s.log.String(), "damaged") {
				t.Error("the log does not tell of the damage")
			}
			if s.metric(t, "transponder_state_set_aside", "")+s.metric(t, "transponder_state_damaged_records", "") == 0 {
				t.Error("the metrics do not tell of the damage")
			}
			_, has0 := s.find("cam-0")
			_, has1 := s.find("cam-1")
			t.Logf("of two pushes there are after the damage: %t %t", has0, has1)
			if tt.name == "one record" && (has0 || !has1) {
				t.Errorf("the damaged push is there: %t; the other one: %t", has0, has1)
			}
			_, leave = publish(t, s, "fresh", testkit.DefaultPublisherConfig())
			if code := s.post("/push/startup", map[string]any{"streamName": "fresh", "rtmpUrl": receiver.URL("live/fresh")}, nil); code != http.StatusOK {
				t.Fatalf("startup answers %d", code)
			}
			s.waitPush("fresh", "PUBLISHING")
			if p, _ := s.find("fresh"); p.Durable != nil {
				t.Error("the new push is not durable")
			}
			s.kill()
			leave()
			s = startServerAt(t, dir, nil)
			s.waitPush("fresh", "AWAITING")
		})
	}
}

// fold folds the log before writing into the database, as a later checkpoint would, and returns the file.
func fold(t *testing.T, dir string) string {
	t.Helper()
	file := filepath.Join(dir, "state.db")
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		t.Fatal(err)
	}
	return file
}

func writeState(t *testing.T, file string, b []byte) {
	t.Helper()
	for _, suffix := range []string{"-wal", "-shm"} {
		if err := os.Remove(file + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// mountDisk mounts a disk of this size, such as 2m, in a folder.
func mountDisk(t *testing.T, mount, size string) {
	t.Helper()
	if err := syscall.Mount("tmpfs", mount, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("only root may make a disk: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(mount, syscall.MNT_DETACH) })
}

// smallDisk mounts a disk of 2 MB. remount sets flags of the mount.
func smallDisk(t *testing.T) (dir string, remount func(flags uintptr)) {
	t.Helper()
	mount := t.TempDir()
	mountDisk(t, mount, "2m")
	return filepath.Join(mount, "state"), func(flags uintptr) {
		t.Helper()
		if err := syscall.Mount("tmpfs", mount, "tmpfs", syscall.MS_REMOUNT|flags, "size=2m"); err != nil {
			t.Fatal(err)
		}
	}
}

// fill takes all room of a disk, and returns how to give it back.
func fill(t *testing.T, dir string) (empty func()) {
	t.Helper()
	name := filepath.Join(filepath.Dir(dir), "fill")
	f, err := os.Create(name)
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
	return func() {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

// While the disk is full, the pushes that run go on, new ones start and say that they are not durable, and a server starts. When there is room again,
// all of them are durable.
func TestLongFullDisk(t *testing.T) {
	dir, _ := smallDisk(t)
	receiver := testkit.NewRTMPServer(t, testkit.Script{})
	home := t.TempDir()
	s := startServerAt(t, home, nil, "state_dir="+dir)
	start := func(name string) (leave func()) {
		t.Helper()
		_, leave = publish(t, s, name, testkit.DefaultPublisherConfig())
		if code := s.post("/push/startup", map[string]any{"streamName": name, "rtmpUrl": receiver.URL("live/" + name)}, nil); code != http.StatusOK {
			t.Fatalf("startup of %s answers %d", name, code)
		}
		s.waitPush(name, "PUBLISHING")
		return leave
	}
	leave := start("before")
	empty := fill(t, dir)
	frames := s.waitPush("before", "PUBLISHING").VideoFramesSent
	testkit.Eventually(t, 60*time.Second, func() string { // what is left in the files of the database is used up first
		name := fmt.Sprintf("during-%d", rand.IntN(1<<30))
		cfg := testkit.DefaultPublisherConfig()
		_, gone := publish(t, s, name, cfg)
		defer gone()
		var p unkept
		if code := s.post("/push/startup", map[string]any{"streamName": name, "rtmpUrl": receiver.URL("live/" + name)}, &p); code != http.StatusOK {
			t.Fatalf("on a full disk startup answers %d", code)
		}
		s.post("/push/terminate", map[string]string{"mediaSessionId": p.MediaSessionID}, nil)
		if p.Durable == nil {
			return "the disk is not full for the server"
		}
		return ""
	})
	leaveDuring := start("during")
	if p, ok := s.find("during"); !ok || p.Durable == nil || *p.Durable {
		t.Errorf("a push that was started on a full disk says %+v", p)
	}
	if n := s.metric(t, "transponder_pushes_not_durable", ""); n != 1 {
		t.Errorf("%v pushes are not durable, want 1", n)
	}
	s.awaitState(true, 10*time.Second)
	if !strings.Contains(s.log.String(), "the state cannot be written") {
		t.Error("the log does not say that the state cannot be written")
	}
	s.waitFrames("before", frames+60)
	if p, _ := s.find("before"); p.Attempts != 1 || p.Status != "PUBLISHING" {
		t.Errorf("the push of before the disk was full is %+v", p)
	}

	empty()
	testkit.Eventually(t, 20*time.Second, func() string {
		if p, ok := s.find("during"); !ok || p.Durable != nil {
			return fmt.Sprintf("the push is not durable yet: %+v", p)
		}
		return ""
	})
	s.awaitState(false, 10*time.Second)

	fill(t, dir)
	s.kill()
	leave()
	leaveDuring()
	s = startServerAt(t, home, nil, "state_dir="+dir)
	for _, name := range []string{"before", "during"} {
		s.waitPush(name, "AWAITING")
	}
	leave = start("third")
	defer leave()
	_, leave = publish(t, s, "before", testkit.DefaultPublisherConfig())
	defer leave()
	s.waitPush("before", "PUBLISHING")
}

// A server whose state folder can only be read knows its pushes, and they go on. When the folder can be written again, all is durable again.
func TestLongReadOnlyState(t *testing.T) {
	dir, remount := smallDisk(t)
	receiver := testkit.NewRTMPServer(t, testkit.Script{})
	home := t.TempDir()
	s := startServerAt(t, home, nil, "state_dir="+dir)
	_, leave := publish(t, s, "show", testkit.DefaultPublisherConfig())
	var begun push
	if code := s.post("/push/startup", map[string]any{"streamName": "show", "rtmpUrl": receiver.URL("live/key")}, &begun); code != http.StatusOK {
		t.Fatalf("startup answers %d", code)
	}
	s.waitEach([]string{begun.MediaSessionID}, "PUBLISHING", 60) // two seconds: within one, the record has the attempt
	s.kill()
	leave()
	remount(syscall.MS_RDONLY)
	s = startServerAt(t, home, nil, "state_dir="+dir)
	if p := s.waitPush("show", "AWAITING"); p.MediaSessionID != begun.MediaSessionID {
		t.Errorf("the push is %s, want %s", p.MediaSessionID, begun.MediaSessionID)
	}
	s.awaitState(true, time.Second)
	if !strings.Contains(s.log.String(), "the state folder cannot be used") {
		t.Error("the log does not say that the folder cannot be used")
	}
	_, leave = publish(t, s, "show", testkit.DefaultPublisherConfig())
	defer func() { leave() }()
	s.waitPush("show", "PUBLISHING")
	if p, _ := s.find("show"); p.Durable == nil || *p.Durable {
		t.Errorf("the push says %+v", p)
	}
	remount(0)
	testkit.Eventually(t, 30*time.Second, func() string {
		for _, verb := range []string{"mute", "unmute"} { // any change is a write, which finds the folder usable
			s.post("/push/"+verb, map[string]string{"mediaSessionId": begun.MediaSessionID}, nil)
		}
		if p, ok := s.find("show"); !ok || p.Durable != nil {
			return fmt.Sprintf("the push is not durable yet: %+v", p)
		}
		return ""
	})
	s.awaitState(false, 10*time.Second)
	s.kill()
	leave()
	s = startServerAt(t, home, nil, "state_dir="+dir)
	if p := s.waitPush("show", "AWAITING"); p.MediaSessionID != begun.MediaSessionID || p.Attempts < 2 {
		t.Errorf("the push is %+v, want %s with two attempts", p, begun.MediaSessionID)
	}
}

// A record that next year's version has written is used as far as this version may, and keeps what this version does not know: next year's version
// finds it again after a downgrade. A record that this version must not use stays as it is, and can be ended.
func TestLongRecordsOfNextYear(t *testing.T) {
	receiver := testkit.NewRTMPServer(t, testkit.Script{})
	dir := t.TempDir()
	s := startServerAt(t, dir, nil)
	ids := map[string]string{}
	var leave []func()
	for _, name := range []string{"may", "must-not"} {
		_, gone := publish(t, s, name, testkit.DefaultPublisherConfig())
		leave = append(leave, gone)
		var p push
		if code := s.post("/push/startup", map[string]any{"streamName": name, "rtmpUrl": receiver.URL("live/" + name)}, &p); code != http.StatusOK {
			t.Fatalf("startup answers %d", code)
		}
		ids[name] = p.MediaSessionID
		s.waitPush(name, "PUBLISHING")
	}
	s.kill()
	for _, gone := range leave {
		gone()
	}
	editRecords(t, dir, func(r map[string]any) {
		r["v"], r["orbit"] = 9, map[string]any{"of": "next year"}
		r["req"].(map[string]any)["beams"] = 3
		if r["stream"] == "must-not" {
			r["min"] = 9
		}
	})
	s = startServerAt(t, dir, nil)
	if p := s.waitPush("must-not", "AWAITING"); !strings.Contains(p.Info, "newer version") {
		t.Errorf("the push that this version must not use says %q", p.Info)
	}
	for _, name := range []string{"may", "must-not"} {
		_, gone := publish(t, s, name, testkit.DefaultPublisherConfig())
		defer gone()
	}
	if p := s.waitPush("may", "PUBLISHING"); p.MediaSessionID != ids["may"] {
		t.Errorf("the push is %s, want %s", p.MediaSessionID, ids["may"])
	}
	s.waitPush("must-not", "AWAITING")
	s.kill()
	seen := 0
	editRecords(t, dir, func(r map[string]any) {
		seen++
		orbit, _ := r["orbit"].(map[string]any)
		if r["v"] != 9.0 || orbit["of"] != "next year" || r["req"].(map[string]any)["beams"] != 3.0 {
			t.Errorf("after this version a record is %v", r)
		}
	})
	if seen != 2 {
		t.Fatalf("%d records, want 2", seen)
	}
	s = startServerAt(t, dir, nil)
	if code := s.post("/push/terminate", map[string]string{"mediaSessionId": ids["must-not"]}, nil); code != http.StatusOK {
		t.Errorf("terminate answers %d", code)
	}
	s.kill()
	s = startServerAt(t, dir, nil)
	if p, ok := s.find("must-not"); ok {
		t.Errorf("a push that was terminated is back: %+v", p)
	}
}

// editRecords changes the records of pushes in the state folder of a server that does not run.
func editRecords(t *testing.T, dir string, edit func(r map[string]any)) {
	t.Helper()
	ctx := context.Background()
	store, err := state.Open(ctx, state.Config{Dir: filepath.Join(dir, "state")}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	records, err := store.List(ctx, "pushes", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		var members map[string]any
		if err := json.Unmarshal(r.Value, &members); err != nil {
			t.Fatal(err)
		}
		edit(members)
		value, err := json.Marshal(members)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.Put(ctx, "pushes", r.Key, value, r.Revision); err != nil {
			t.Fatal(err)
		}
	}
}
