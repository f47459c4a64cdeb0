package transponder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// numbers reads once and returns the numbers of the events.
func numbers(t *testing.T, j *Journal, after uint64, room int) (got []uint64, missed uint64) {
	t.Helper()
	dst := make([]Event, room)
	n, missed, err := j.Since(t.Context(), after, dst)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range dst[:n] {
		got = append(got, e.Number)
	}
	return got, missed
}

func TestJournalSince(t *testing.T) {
	j := newJournal(4)
	for range 10 {
		j.add(Event{ID: "a", To: Connecting})
	}
	tests := []struct {
		name   string
		after  uint64
		room   int
		want   []uint64
		missed uint64
	}{
		{"the newest", 9, 8, []uint64{10}, 0},
		{"all that is kept", 6, 8, []uint64{7, 8, 9, 10}, 0},
		{"little room", 6, 2, []uint64{7, 8}, 0},
		{"one too old", 5, 8, []uint64{7, 8, 9, 10}, 1},
		{"from the start", 0, 1, []uint64{7}, 6},
		{"a number of an earlier run", 11, 8, []uint64{7, 8, 9, 10}, 6},
	}
	for _, tt := range tests {
		if got, missed := numbers(t, j, tt.after, tt.room); !slices.Equal(got, tt.want) || missed != tt.missed {
			t.Errorf("%s: since %d = %v with %d missed, want %v with %d", tt.name, tt.after, got, missed, tt.want, tt.missed)
		}
	}
	if got := j.Last(); got != 10 {
		t.Errorf("last = %d, want 10", got)
	}
}

func TestJournalSequences(t *testing.T) {
	j := newJournal(16)
	for _, e := range []Event{
		{ID: "a", To: Connecting}, {ID: "b", To: Connecting}, {ID: "a", To: Live}, {ID: "a", To: Ended}, {ID: "b", To: Failed},
	} {
		j.add(e)
	}
	dst := make([]Event, 16)
	n, _, err := j.Since(t.Context(), 0, dst)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range dst[:n] {
		got = append(got, fmt.Sprintf("%d:%s%d", e.Number, e.ID, e.Sequence))
	}
	if want := []string{"1:a1", "2:b1", "3:a2", "4:a3", "5:b2"}; !slices.Equal(got, want) {
		t.Errorf("events = %v, want %v", got, want)
	}
	if len(j.sequences) != 0 {
		t.Errorf("sequences of pushes that are over are kept: %v", j.sequences)
	}
}

// Two runs of a server have different names, and their events contain these names.
func TestJournalRuns(t *testing.T) {
	one, two := newJournal(1), newJournal(1)
	if one.Run() == two.Run() || len(one.Run()) != runDigits {
		t.Errorf("runs %q and %q, want two of %d digits", one.Run(), two.Run(), runDigits)
	}
	one.add(Event{ID: "a"})
	dst := make([]Event, 1)
	if _, _, err := one.Since(t.Context(), 0, dst); err != nil || dst[0].Run != one.Run() {
		t.Errorf("the event is of the run %q, want %q (%v)", dst[0].Run, one.Run(), err)
	}
}

func TestJournalWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal(4)
		dst := make([]Event, 4)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if n, _, err := j.Since(ctx, 0, dst); n != 0 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("since in an empty journal = %d, %v, want 0 and the end of the context", n, err)
		}
		time.AfterFunc(time.Minute, func() { j.add(Event{ID: "a", To: Live}) })
		begun := time.Now()
		if n, _, err := j.Since(t.Context(), 0, dst); n != 1 || err != nil || time.Since(begun) != time.Minute {
			t.Errorf("since = %d, %v after %v, want one event after a minute", n, err, time.Since(begun))
		}
		if n, _, err := j.Since(ctx, 0, dst); n != 1 || err != nil {
			t.Errorf("since with a context that has ended = %d, %v, want what is there", n, err)
		}
	})
}

// TestJournalReaders: each of many readers at once sees every event once and in order.
func TestJournalReaders(t *testing.T) {
	const events = 1000
	j := newJournal(events)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			dst := make([]Event, 7)
			for after := uint64(0); after < events; {
				n, missed, err := j.Since(t.Context(), after, dst)
				if err != nil || missed != 0 {
					t.Errorf("since %d: %d missed, %v", after, missed, err)
					return
				}
				for _, e := range dst[:n] {
					if after++; e.Number != after {
						t.Errorf("number = %d, want %d", e.Number, after)
						return
					}
				}
			}
		})
	}
	for i := range events {
		j.add(Event{ID: fmt.Sprint(i % 3), To: Connecting})
	}
	wg.Wait()
}

func TestEventJSON(t *testing.T) {
	at := time.Date(2026, 9, 1, 14, 0, 0, 120_400_000, time.FixedZone("", 2*3600))
	e := Event{
		Run: "4k1f8r0v2m9a", Number: 42, Sequence: 7, ID: "eume87rjk3df1i9u14elffga6t", At: at, SourceName: "name", Target: "rtmp://host/live/***",
		From: Live, To: Waiting, Reason: ReasonPeerStalled, Detail: "The server stopped taking data.", Attempt: 3,
		NextRetry: at.Add(5 * time.Second), BytesAcked: 18234511,
	}
	const want = `{"run":"4k1f8r0v2m9a","number":42,"sequence":7,"id":"eume87rjk3df1i9u14elffga6t","at":"2026-09-01T12:00:00.120Z",` +
		`"sourceStreamName":"name","target":"rtmp://host/live/***","from":"PUBLISHING","to":"RECONNECTING",` +
		`"reason":"peer_stalled","class":"transient","info":"The server stopped taking data.","attempt":3,` +
		`"nextRetryAt":"2026-09-01T12:00:05.120Z","bytesAcked":18234511}`
	got, err := json.Marshal(e)
	if err != nil || string(got) != want {
		t.Errorf("event = %s, %v, want %s", got, err, want)
	}
	e.NextRetry = time.Time{}
	if got, _ = json.Marshal(e); strings.Contains(string(got), "nextRetryAt") {
		t.Errorf("event without a next attempt = %s", got)
	}
}

func BenchmarkJournalAdd(b *testing.B) {
	j := newJournal(4096)
	for b.Loop() {
		j.add(Event{ID: "a", To: Live})
	}
}
