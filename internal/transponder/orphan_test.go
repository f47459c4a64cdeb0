package transponder

import (
	"errors"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// The record of a push tells what the push itself would tell, and any process can end the push.
func TestOrphan(t *testing.T) {
	keeper := newFakeKeeper()
	b := newKeptBench(t, keeper, nil)
	server := testkit.NewRTMPServer(t, testkit.Script{})
	s := b.source("s")
	hour := time.Hour
	info := b.start(Request{StreamName: "s", URL: server.URL("live/key"), Options: Options{ResumeFor: &hour}})
	s.live(t, server)
	b.wait("record of a live push", func() bool { return keeper.record(t).State == Live.String() })
	keeper.crash()
	b.stop()
	keeper.edit(func(r *Record) { r.Node, r.Incarnation = "gone", "1" })
	record := keeper.record(t)

	b = newKeptBench(t, keeper, nil)
	for title, tt := range map[string]struct {
		lives bool
		state State
		why   Reason
	}{"its server is gone": {false, Awaiting, ReasonNodeLost}, "its server does not answer": {true, Live, ReasonNone}} {
		got, ok := b.Show(record, tt.lives, Filter{URL: info.URL})
		if !ok || got.ID != info.ID || got.State != tt.state || got.Reason != tt.why || got.Node != "gone" || !got.Stale ||
			got.Target != info.Target || got.StreamName != info.StreamName || got.SourceName != "s" || got.Attempts != 1 ||
			*got.Options.ResumeFor != hour || !got.Started.Equal(info.Started.Truncate(time.Millisecond)) {
			t.Errorf("%s: shown %v as %+v", title, ok, got)
		}
	}
	if _, ok := b.Show(record, false, Filter{StreamName: "another"}); ok {
		t.Error("a filter for another stream shows the push")
	}
	if d, ok := b.ResumesFor(record); d != hour || !ok {
		t.Errorf("the push waits %v, %v", d, ok)
	}
	if got := b.Find(Filter{}); len(got) != 0 {
		t.Errorf("to look at a record has made the pushes %+v", got)
	}
	if err := b.EndWaiting(t.Context(), record, false); err != nil {
		t.Fatal(err)
	}
	if end := b.end(); end.ID != info.ID || end.State != Ended || end.Reason != ReasonTerminated || keeper.len() != 0 {
		t.Errorf("%+v has ended; %d records are left", end, keeper.len())
	}
	story := b.storyOf(info.ID)
	if len(story) != 2 || story[0].Reason != ReasonNodeLost || story[0].Sequence != record.Seq+1 || story[1].To != Ended {
		t.Errorf("events: %+v", story)
	}
	if err := b.EndWaiting(t.Context(), record, false); !errors.Is(err, ErrNotFound) {
		t.Errorf("a second end: %v", err)
	}
}

// A push that nobody came back for ends as one, and so does one whose key is lost.
func TestOrphanExpires(t *testing.T) {
	for _, tt := range []struct {
		title  string
		change func(*Record)
		waits  bool // for ever, unless somebody ends it
	}{{"usable", func(*Record) {}, false}, {"key lost", func(r *Record) { r.Secret = nil }, true}} {
		t.Run(tt.title, func(t *testing.T) {
			keeper := newFakeKeeper()
			b := newKeptBench(t, keeper, nil)
			server := testkit.NewRTMPServer(t, testkit.Script{})
			s := b.source("s")
			b.start(Request{StreamName: "s", URL: server.URL("live/key")})
			s.live(t, server)
			b.wait("record of a live push", func() bool { return keeper.record(t).State == Live.String() })
			keeper.crash()
			b.stop()
			keeper.edit(tt.change)
			b = newKeptBench(t, keeper, nil)
			record := keeper.record(t)
			if _, ok := b.ResumesFor(record); ok == tt.waits {
				t.Errorf("it ends by itself: %v, want %v", ok, !tt.waits)
			}
			if got, ok := b.Show(record, false, Filter{ID: record.ID}); !ok || got.State != Awaiting || got.Target != record.Target {
				t.Errorf("shown %v as %+v", ok, got)
			}
			if err := b.EndWaiting(t.Context(), record, true); err != nil {
				t.Fatal(err)
			}
			if end := b.end(); end.Reason != ReasonExpired || keeper.len() != 0 {
				t.Errorf("%+v has ended; %d records are left", end, keeper.len())
			}
		})
	}
}
