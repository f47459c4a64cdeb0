package transponder

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// keptMarks is a HookMarks in memory.
type keptMarks struct {
	mu     sync.Mutex
	run    string
	number uint64
	saves  int
	away   bool
}

func (m *keptMarks) Load(_ context.Context, run string) (uint64, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.number, m.saves > 0 && m.run == run
}

func (m *keptMarks) Save(_ context.Context, run string, number uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.saves++
	if m.away {
		return errors.New("the store is away")
	}
	m.run, m.number = run, number
	return nil
}

func (m *keptMarks) read() (number uint64, saves int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.number, m.saves
}

// What a process has not posted, the next one posts: also if an event that came later was posted already.
func TestHookMarks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		marks := &keptMarks{}
		journal := newJournal(64)
		journal.mu.Lock()
		journal.run = "run"
		journal.mu.Unlock()
		down := &hookReceiver{answer: func(_ context.Context, e hookEvent, _ int) (int, error) {
			if e.ID == "a" && e.Sequence > 1 {
				return 503, nil
			}
			return 200, nil
		}}
		h, stop := runHooks(t, journal, down, &log, marks)
		for _, id := range []string{"a", "a", "b", "a"} {
			journal.add(Event{ID: id, To: Live})
		}
		time.Sleep(2 * hookMarkEvery)
		if number, saves := marks.read(); number != 1 || saves > 2 {
			t.Errorf("while the events 2 and 4 wait, the mark is %d after %d writes; want 1 after one or two", number, saves)
		}
		time.Sleep(time.Minute) // nothing is written while nothing changes but that events are given up
		journal.add(Event{ID: "a", To: Live})
		stop()
		if st := h.Stats(); st.Delivered != 2 || st.Dead != 2 {
			t.Errorf("stats = %+v, want 2 delivered, 2 given up, and one that waits", st)
		}
		if number, _ := marks.read(); number != 4 {
			t.Errorf("at the end the mark is %d, want 4", number)
		}

		next := newJournal(64)
		next.mu.Lock()
		for n := range uint64(5) {
			next.put(Event{Run: "run", Number: n + 1, Sequence: n + 1, ID: "a", To: Live})
		}
		next.shown, next.loaded = 5, 5
		next.mu.Unlock()
		up := &hookReceiver{answer: func(context.Context, hookEvent, int) (int, error) { return 200, nil }}
		_, stop = runHooks(t, next, up, &log, marks)
		synctest.Wait()
		stop()
		var got []uint64
		for _, e := range up.all() {
			got = append(got, e.Number)
		}
		if !slices.Equal(got, []uint64{5}) {
			t.Errorf("the next process posts the events %v, want 5", got)
		}
		if number, _ := marks.read(); number != 5 {
			t.Errorf("then the mark is %d, want 5", number)
		}
	})
}

// Of a journal that is another one, nothing is known.
func TestHookMarkOfAnotherRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		journal := newJournal(64)
		journal.mu.Lock()
		journal.put(Event{Run: "new", Number: 1, Sequence: 1, ID: "a", To: Live})
		journal.shown, journal.loaded = 1, 1
		journal.mu.Unlock()
		up := &hookReceiver{answer: func(context.Context, hookEvent, int) (int, error) { return 200, nil }}
		_, stop := runHooks(t, journal, up, &log, &keptMarks{run: "old", saves: 1})
		synctest.Wait()
		stop()
		if got := up.all(); len(got) != 0 {
			t.Errorf("posted: %v, want nothing of the process before", got)
		}
	})
}

// A store that is away for an hour is not tried every moment, and has the mark soon after it is back.
func TestHookMarksOfStoreThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		marks := &keptMarks{away: true}
		journal := newJournal(64)
		well := &hookReceiver{answer: func(context.Context, hookEvent, int) (int, error) { return 200, nil }}
		_, stop := runHooks(t, journal, well, new(bytes.Buffer), marks)
		time.Sleep(time.Hour)
		if _, saves := marks.read(); saves < 300 || saves > 400 {
			t.Errorf("%d tries in an hour, want one in 10 s", saves)
		}
		marks.mu.Lock()
		marks.away = false
		marks.mu.Unlock()
		journal.add(Event{ID: "a", To: Live})
		time.Sleep(hookMarkRest + hookMarkEvery)
		if number, _ := marks.read(); number != 1 {
			t.Errorf("the mark is %d, want 1", number)
		}
		stop()
	})
}
