package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/state"
)

// keeper is a state.Logger that counts writes and can fail.
type keeper struct {
	state.Logger
	writes atomic.Int64
	fail   atomic.Bool
}

func (k *keeper) Append(ctx context.Context, log string, keep int, lines ...[]byte) error {
	if k.fail.Load() {
		return errors.New("no room")
	}
	k.writes.Add(1)
	return k.Logger.Append(ctx, log, keep, lines...)
}

// desk is a Log that runs.
type desk struct {
	*Log
	keeper *keeper
	logged *bytes.Buffer
	stop   func()
}

// newDesk starts a Log. It is called within a bubble of synctest, and the caller calls stop.
func newDesk(t *testing.T, cfg Config) *desk {
	t.Helper()
	d := &desk{logged: &bytes.Buffer{}}
	log := slog.New(slog.NewTextHandler(d.logged, nil))
	d.keeper = &keeper{Logger: memory(t)}
	var err error
	if d.Log, err = New(cfg, d.keeper, log); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = d.Run(ctx)
	}()
	d.stop = func() {
		cancel()
		<-ended
	}
	return d
}

// entries returns how many kinds of allowed lines and how many sums the log holds.
func (d *desk) entries() (alike, sums int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.alike), len(d.sums)
}

func (d *desk) find(t *testing.T, q Query) []Line {
	t.Helper()
	lines, err := d.Find(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// memory returns a state that ends with the test.
func memory(t *testing.T) *state.Store {
	t.Helper()
	s, err := state.Memory(t.Context(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func line(do string, ok bool, from string) Line {
	return Line{At: time.Now(), Who: Who{Kind: "user", Subject: "ann"}, From: from, Via: "rest", Do: do, OK: ok}
}

func TestFind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, Config{})
		defer d.stop()
		for i, do := range []string{"login", "push", "user/create", "users", "user/remove", "push"} {
			l := line(do, true, "192.0.2.1")
			l.Object = fmt.Sprint("object", i)
			d.Note(l)
		}
		d.Note(Line{At: time.Now(), Who: Who{Kind: "local"}, Do: "reload", OK: true})
		for _, tt := range []struct {
			q    Query
			want string
		}{
			{Query{}, "reload push user/remove users user/create push login"},
			{Query{Limit: 2}, "reload push"},
			{Query{Before: 3}, "push login"},
			{Query{Do: "user"}, "user/remove user/create"},
			{Query{Do: "push", Limit: 1}, "push"},
			{Query{Who: "local"}, "reload"},
			{Query{Who: "ann", Do: "login"}, "login"},
			{Query{Who: "object4"}, "user/remove"},
			{Query{Who: "192.0.2.1", Limit: 1}, "push"},
			{Query{Who: "nobody"}, ""},
		} {
			var dos []string
			for _, l := range d.find(t, tt.q) {
				dos = append(dos, l.Do)
			}
			if got := strings.Join(dos, " "); got != tt.want {
				t.Errorf("%+v finds %s, want %s", tt.q, got, tt.want)
			}
		}
		if n := d.keeper.writes.Load(); n > 2 {
			t.Errorf("7 lines at once needed %d writes", n)
		}
	})
}

// A stranger who is refused a thousand times is one line for each ten seconds. Refusals of another action are another line.
func TestSums(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, Config{})
		defer d.stop()
		begun := time.Now()
		for i := range 1000 {
			l := line("publish", false, "2001:db8::"+fmt.Sprint(i%10))
			l.Stream = fmt.Sprint("stream", i)
			l.Why = l.Stream + " is not among yours"
			d.Note(l)
		}
		d.Note(line("play", false, "2001:db8::1"))
		d.Note(line("publish", false, "203.0.113.9"))
		if pending := d.find(t, Query{}); len(pending) != 3 || pending[0].ID != 0 {
			t.Errorf("while they are summed: %+v", pending)
		}
		time.Sleep(sumTime + time.Second)
		for range 5 {
			d.Note(line("publish", false, "203.0.113.9"))
		}
		time.Sleep(sumTime + time.Second)
		counts := map[string]int{}
		for _, l := range d.find(t, Query{}) {
			counts[fmt.Sprintf("%s %s %s %d", l.Do, l.From, l.Stream, l.At.Sub(begun)/time.Second)] = l.Count
		}
		want := map[string]int{"publish 2001:db8::0 stream0 0": 1000, "play 2001:db8::1  0": 0, "publish 203.0.113.9  0": 0, "publish 203.0.113.9  11": 5}
		if fmt.Sprint(counts) != fmt.Sprint(want) {
			t.Errorf("the lines are %v, want %v", counts, want)
		}
	})
}

// Strangers without number need no memory without end, and do not push out what others do.
func TestManyStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, Config{})
		defer d.stop()
		d.Note(line("login", true, "192.0.2.1"))
		for i := range 5 * maxSums {
			d.Note(line("publish", false, fmt.Sprintf("10.0.%d.%d", i/256, i%256)))
		}
		d.mu.Lock()
		n := len(d.sums)
		d.mu.Unlock()
		if n > 2*maxSums {
			t.Errorf("%d sums are kept", n)
		}
		time.Sleep(sumTime + time.Second)
		all := 0
		for before := uint64(0); ; {
			found := d.find(t, Query{Before: before})
			for _, l := range found {
				if !l.OK {
					all += max(l.Count, 1)
				}
				before = l.ID
			}
			if len(found) < MaxFound {
				break
			}
		}
		if dropped := d.Stats().Dropped; all != 5*maxSums || dropped != 0 {
			t.Errorf("the lines tell of %d refusals, and %d were dropped; there were %d", all, dropped, 5*maxSums)
		}
		if len(d.find(t, Query{Do: "login"})) != 1 {
			t.Error("the login was pushed out")
		}
	})
}

// What does not fit is counted, and Note does not wait.
func TestFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := slog.New(slog.DiscardHandler)
		l, err := New(Config{}, memory(t), log) // does not run
		if err != nil {
			t.Fatal(err)
		}
		for range maxQueue + 7 {
			l.Note(line("push/startup", true, ""))
		}
		if got := l.Stats(); got.Dropped != 7 {
			t.Errorf("dropped %d, want 7", got.Dropped)
		}
		var none *Log
		none.Note(line("push/startup", true, ""))
	})
}

// A state without room stops nothing: the lines are counted as failed, the file still has them, and the log complains once a minute.
func TestNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "audit.log")
		d := newDesk(t, Config{File: file})
		d.keeper.fail.Store(true)
		for range 10 {
			d.Note(line("push", true, ""))
			time.Sleep(2 * gatherTime)
		}
		d.keeper.fail.Store(false)
		d.Note(line("reload", true, ""))
		d.stop()
		if got := d.Stats(); got.Failed != 10 || got.Written != 1 {
			t.Errorf("stats = %+v", got)
		}
		if n := strings.Count(d.logged.String(), "are lost"); n != 1 {
			t.Errorf("the log complains %d times: %s", n, d.logged)
		}
		text, _ := os.ReadFile(file)
		if n := bytes.Count(text, []byte("\n")); n != 11 {
			t.Errorf("the file has %d lines", n)
		}
	})
}

// The file is private, has a JSON object in each line whatever clients send, and is opened again when it was moved away.
func TestFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		file := filepath.Join(dir, "audit.log")
		d := newDesk(t, Config{File: file})
		hostile := "a\n{\"do\":\"fake\"}\u2028\x00\xff\u202e" + strings.Repeat("x", 2*maxText)
		l := line("push", true, "192.0.2.1")
		l.Stream, l.Origin, l.Object = hostile, hostile, hostile
		d.Note(l)
		d.Note(line("login", false, "192.0.2.1"))
		d.find(t, Query{}) // has it written
		if err := os.Rename(file, filepath.Join(dir, "old")); err != nil {
			t.Fatal(err)
		}
		if err := d.Reload(); err != nil {
			t.Fatal(err)
		}
		if err := d.Reload(); err != nil { // twice at once
			t.Fatal(err)
		}
		synctest.Wait()
		d.Note(line("reload", true, ""))
		d.stop()
		for name, want := range map[string][]string{"old": {"push"}, "audit.log": {"reload", "login"}} {
			path := filepath.Join(dir, name)
			info, err := os.Stat(path)
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Fatalf("%v, %v", info, err)
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var dos []string
			for l := range strings.Lines(string(text)) {
				var got Line
				if err := json.Unmarshal([]byte(l), &got); err != nil || len(got.Stream) > maxText+4 {
					t.Errorf("%s: %q: %v", name, l, err)
				}
				dos = append(dos, got.Do)
			}
			slices.Sort(dos)
			slices.Sort(want)
			if !slices.Equal(dos, want) {
				t.Errorf("%s has %v, want %v", name, dos, want)
			}
		}
		if _, err := New(Config{File: filepath.Join(dir, "missing", "x")}, d.keeper, slog.New(slog.DiscardHandler)); err == nil {
			t.Error("a file that cannot be opened is no error")
		}
		if err := d.Reload(); err != nil {
			t.Errorf("after the end: %v", err)
		}
	})
}

// Lines that come before the end are written, and nobody waits for a Log that has ended.
func TestEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, Config{})
		for range 1000 {
			d.Note(line("push/startup", true, ""))
		}
		d.Note(line("push", false, ""))
		d.stop()
		if got := d.Stats(); got.Written != 1001 || got.Dropped != 0 {
			t.Errorf("stats = %+v", got)
		}
		if n := len(d.find(t, Query{Limit: 5})); n != 5 {
			t.Errorf("found %d lines", n)
		}
	})
}

// Whoever is allowed an action asks for it without end. That pushes nothing out of the log, and is not lost either. What changes something has
// a line of its own each time.
func TestManyTimesAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, Config{})
		defer d.stop()
		before := line("user/remove", true, "192.0.2.7")
		d.Note(before)
		const asked = 2 * keep
		for i := range asked {
			l := line("play", true, "192.0.2.9")
			l.Stream = fmt.Sprint("acme/", i)
			d.Note(l)
			if i%1000 == 0 {
				time.Sleep(gatherTime)
			}
		}
		d.Note(line("play", true, "192.0.2.10")) // somebody else
		time.Sleep(2 * sumTime)
		synctest.Wait()
		if got := d.find(t, Query{Do: "user"}); len(got) != 1 {
			t.Error("the line before is pushed out")
		}
		lines, sum := d.find(t, Query{Do: "play", Who: "192.0.2.9"}), 0
		for _, l := range lines {
			sum += max(1, l.Count)
		}
		if len(lines) > 2*(maxAlike+1) || len(lines) < maxAlike || sum != asked {
			t.Errorf("%d lines of %d times, want %d", len(lines), sum, asked)
		}
		if got := d.find(t, Query{Do: "play", Who: "192.0.2.10"}); len(got) != 1 || got[0].Count != 0 {
			t.Errorf("somebody else: %+v", got)
		}
		for range 2 * maxAlike {
			d.Note(line("user/create", true, "192.0.2.7"))
		}
		time.Sleep(sumTime)
		if got := d.find(t, Query{Do: "user/create"}); len(got) != 2*maxAlike {
			t.Errorf("%d lines of changes", len(got))
		}
		if d.Stats().Dropped != 0 {
			t.Errorf("%d lines dropped", d.Stats().Dropped)
		}
	})
}

// Clients whose number has no bound, such as those who make new tokens, need no memory without bound.
func TestManyClientsAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, Config{})
		defer d.stop()
		for i := range 5 * maxSums {
			l := line("play", true, "192.0.2.9")
			l.Who.ID = fmt.Sprint(i)
			d.Note(l)
		}
		if alike, sums := d.entries(); alike > maxSums || sums > 2*maxSums {
			t.Errorf("%d and %d entries", alike, sums)
		}
		time.Sleep(sumTime)
		synctest.Wait()
		d.Note(line("play", true, "192.0.2.9"))
		if alike, _ := d.entries(); alike != 1 {
			t.Errorf("%d entries are left", alike)
		}
	})
}
