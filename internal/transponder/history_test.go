package transponder

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// overAt is a push that has failed so many seconds after a fixed time.
func overAt(id string, second int, target string) Info {
	at := time.Unix(1_700_000_000+int64(second), 0)
	return Info{ID: id, SourceName: "cam", Target: target, State: Failed, Started: at, Ended: at}
}

// A push that something starts again and again does not push the others out of the history, neither in memory nor in the log.
func TestRepeatsPushNothingOut(t *testing.T) {
	store := openState(t, t.TempDir())
	t.Cleanup(func() { store.Close() })
	var told int
	parts := Parts{Log: store, Sealer: store.Sealer(), OnPast: func(string, []byte) { told++ }}
	r := NewRegistry(DefaultConfig(), parts, slog.New(slog.DiscardHandler))
	end := func(i Info) {
		repeat := r.history.isRepeat(&i)
		if len(r.history.past) < 300 { // the rest would only take time
			r.keepOver(t.Context(), i, repeat)
		}
		r.history.add(&i, repeat)
	}
	for n := range 50 {
		end(overAt(fmt.Sprintf("other-%02d", n), n, fmt.Sprintf("rtmp://other-%d/***", n)))
	}
	const storm = 2 * historySize
	for n := range storm {
		end(overAt(fmt.Sprintf("storm-%05d", n), 100+n, "rtmp://storm/***"))
		if n > 3*mostAlike {
			r.parts.Log = nil
		}
	}
	end(overAt("last", 100+storm, "rtmp://other/***"))
	if told != 50+mostAlike {
		t.Errorf("the cluster is told of %d, want %d", told, 50+mostAlike)
	}
	all := r.History(2 * historySize)
	if len(all) != 50+mostAlike+repeatsSize+1 || all[0].ID != "last" || all[1].ID != fmt.Sprintf("storm-%05d", storm-1) || all[len(all)-1].ID != "other-00" {
		t.Errorf("%d are kept, from %s over %s to %s", len(all), all[0].ID, all[1].ID, all[len(all)-1].ID)
	}
	if i := overAt("tomorrow", int(alikeFor/time.Second)+storm, "rtmp://storm/***"); r.history.isRepeat(&i) {
		t.Error("a day later it still counts as a repeat")
	}

	again := NewRegistry(DefaultConfig(), parts, slog.New(slog.DiscardHandler))
	if err := again.loadPast(t.Context()); err != nil {
		t.Fatal(err)
	}
	again.wg.Wait()
	if all := again.History(historySize); len(all) != 50+3*mostAlike+2 || all[len(all)-1].ID != "other-00" || len(again.history.past) != 50+mostAlike {
		t.Errorf("after a restart %d are known, %d of them no repeats", len(all), len(again.history.past))
	}
}

// A long history does not delay the start: the newest pushes are there at once, the others soon.
func TestLongPast(t *testing.T) {
	store := openState(t, t.TempDir())
	t.Cleanup(func() { store.Close() })
	r := NewRegistry(DefaultConfig(), Parts{Log: store, Sealer: store.Sealer()}, slog.New(slog.DiscardHandler))
	const n = 3*atOnce + 7
	var lines [][]byte
	for n := range n {
		line, err := r.encodeInfo(overAt(fmt.Sprintf("%05d", n), n, fmt.Sprint(n)))
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	if err := store.Append(t.Context(), overLog, historySize, lines...); err != nil {
		t.Fatal(err)
	}
	if err := r.loadPast(t.Context()); err != nil {
		t.Fatal(err)
	}
	if now := r.History(atOnce); len(now) != atOnce || now[0].ID != fmt.Sprintf("%05d", n-1) {
		t.Errorf("%d are there at once, the newest is %s", len(now), now[0].ID)
	}
	testkit.Eventually(t, time.Minute, func() string {
		if got := len(r.History(historySize)); got != n {
			return fmt.Sprintf("%d are known, want %d", got, n)
		}
		return ""
	})
	for at, i := range r.History(n) {
		if want := fmt.Sprintf("%05d", n-1-at); i.ID != want {
			t.Fatalf("at %d is %s, want %s", at, i.ID, want)
		}
	}
}
