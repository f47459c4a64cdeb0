package transponder

import (
	"slices"
	"strings"
	"testing"
	"time"

	"transponder/internal/media"
	"transponder/internal/testkit"
)

// A push that was live when its process died goes on with all that it was: id, options, mute, counters and the sequence of its events. The far
// end's time only grows.
func TestResume(t *testing.T) {
	keeper := newFakeKeeper()
	b := newKeptBench(t, keeper, nil)
	first := testkit.NewRTMPServer(t, testkit.Script{})
	s := b.source("s")
	info := b.start(Request{
		StreamName: "s", URL: first.URL("live/secret?key=k"), Via: ViaREST, FlashVersion: "test 1",
		Options: Options{Restore: &Restore{Attempts: 7}, Codecs: []string{"hevc"}, Audio: media.AudioFormat{Codec: media.AAC, Channels: 2}},
	})
	s.live(t, first)
	if err := b.Mute(info.ID, true); err != nil {
		t.Fatal(err)
	}
	b.wait("record of a live push", func() bool { r := keeper.record(t); return r.Ever && r.Muted && r.Anchor != 0 })
	keeper.edit(func(r *Record) { r.Anchor -= 60_000 }) // it began a minute ago
	before := keeper.record(t)

	keeper.crash()
	s.Close(nil)
	b = b.restart(keeper, nil)
	back := b.Find(Filter{ID: info.ID})
	if len(back) != 1 || back[0].State != Awaiting || back[0].Reason != ReasonRestarted || !back[0].Muted || back[0].SourceName != "s" ||
		back[0].URL != info.URL || back[0].Target != info.Target || back[0].Options.Restore.Attempts != 7 || back[0].Attempts != 1 ||
		back[0].StreamName != info.StreamName || back[0].Options.Audio.Channels != 2 || back[0].BytesSent < before.Sent || back[0].Started.UnixMilli() != info.Started.UnixMilli() {
		t.Fatalf("after the restart there is %+v", back)
	}
	if _, err := b.Start(t.Context(), Request{StreamName: "s", URL: info.URL}); err == nil {
		t.Error("the same push can be started a second time")
	}
}

// The sequence of a push's events has no gap over a restart.
func TestResumeSequence(t *testing.T) {
	keeper := newFakeKeeper()
	b := newKeptBench(t, keeper, nil)
	server := testkit.NewRTMPServer(t, testkit.Script{})
	s := b.source("s")
	id := b.start(Request{StreamName: "s", URL: server.URL("live")}).ID
	s.live(t, server)
	b.wait("record of a live push", func() bool { return keeper.record(t).State == Live.String() })
	last := b.storyOf(id)[len(b.storyOf(id))-1].Sequence
	keeper.crash()
	s.Close(nil)
	keeper.edit(func(r *Record) { r.Anchor -= 60_000 }) // the frames of this test are ahead of the clock
	b = b.restart(keeper, nil)
	tags := len(server.Tags())
	far := server.Tags()[tags-1].Time
	s = b.source("s")
	b.wait("live again", func() bool {
		s.write(10, 20)
		return b.Find(Filter{ID: id})[0].State == Live
	})
	server.Wait(t, "media after the restart", func() bool { return len(server.Tags()) > tags })
	story := b.storyOf(id)
	if story[0].Sequence != last+1 || story[0].From != Live || story[0].To != Awaiting || story[0].Reason != ReasonRestarted {
		t.Errorf("after event %d comes %+v", last, story[0])
	}
	var states []State
	for i, e := range story {
		states = append(states, e.To)
		if e.Sequence != last+1+uint64(i) {
			t.Errorf("event %d has the sequence %d, want %d", i, e.Sequence, last+1+uint64(i))
		}
	}
	if want := []State{Awaiting, Starting, Connecting, Live}; !slices.Equal(states, want) {
		t.Errorf("states %v, want %v", states, want)
	}
	for _, tag := range server.Tags()[tags:] {
		if tag.Time <= far {
			t.Fatalf("after %v the far end gets the time %v", far, tag.Time)
		}
	}
	info := b.Find(Filter{ID: id})[0]
	if info.Attempts != 2 {
		t.Errorf("%d attempts, want 2", info.Attempts)
	}
	if st := b.ResumeStats(); st.Live != 1 || st.Took <= 0 {
		t.Errorf("counted %+v", st)
	}
	if err := b.Terminate(t.Context(), id); err != nil || keeper.len() != 0 {
		t.Errorf("terminate: %v, %d records are left", err, keeper.len())
	}
}

// A server that is told to stop says goodbye, and the push waits; a push that is not to outlive its process ends as ever.
func TestStopKeepsPushes(t *testing.T) {
	keeper := newFakeKeeper()
	b := newKeptBench(t, keeper, nil)
	server := testkit.NewRTMPServer(t, testkit.Script{})
	s := b.source("s")
	kept := b.start(Request{StreamName: "s", URL: server.URL("live")}).ID
	none := time.Duration(0)
	b.start(Request{StreamName: "s", URL: server.URL("other"), Options: Options{ResumeFor: &none}})
	b.start(Request{StreamName: "s", URL: server.URL("auto"), Via: ViaAuto})
	b.wait("three that are live", func() bool {
		s.write(10, 20)
		return len(b.Find(Filter{})) == 3 && !slices.ContainsFunc(b.Find(Filter{}), func(i Info) bool { return i.State != Live })
	})
	b.stop()
	for range 2 {
		if end := b.end(); end.Reason != ReasonShutdown || end.ID == kept {
			t.Errorf("ended: %+v", end)
		}
	}
	if n := len(slices.DeleteFunc(server.Calls(), func(c string) bool { return !strings.HasPrefix(c, "FCUnpublish") })); n != 3 {
		t.Errorf("%d goodbyes, want 3", n)
	}
	if r := keeper.record(t); r.ID != kept || r.Node != "" || r.State != Awaiting.String() || r.Reason != ReasonShutdown {
		t.Errorf("record %+v", r)
	}
	b = b.restart(keeper, nil)
	if back := b.Find(Filter{}); len(back) != 1 || back[0].ID != kept || back[0].State != Awaiting {
		t.Errorf("after the restart: %+v", back)
	}
}

// A resumed push insists: the far end may still believe in the connection of the process before.
func TestResumeInsists(t *testing.T) {
	p := retryPolicy{Restore: Restore{Attempts: 0}}
	if pause, again := p.next(loss{reason: ReasonKeyInUse, insist: true}, 0); !again || pause != insistPause {
		t.Errorf("a name in use after a restart: again %v after %v", again, pause)
	}
	if _, again := p.next(loss{reason: ReasonForbidden, insist: true}, 0); again {
		t.Error("a forbidden address is tried again")
	}
}

// A push that the setting of another server has made goes on where its publisher is: the setting is the same here, and finds that the stream is
// pushed already.
func TestResumeOfAnotherServersSetting(t *testing.T) {
	keeper := newFakeKeeper()
	b := newKeptBench(t, keeper, nil)
	server := testkit.NewRTMPServer(t, testkit.Script{})
	s := b.source("s")
	id := b.start(Request{StreamName: "s", URL: server.URL("auto"), Via: ViaAuto}).ID
	s.live(t, server)
	b.wait("record of a live push", func() bool { return keeper.record(t).State == Live.String() })
	keeper.edit(func(r *Record) { r.Node, r.Incarnation, r.Anchor = "gone", "1", r.Anchor-60_000 })
	keeper.crash()
	b.stop()
	b = newKeptBench(t, keeper, nil)
	s = b.source("s")
	if err := b.Resume(t.Context(), "s"); err != nil {
		t.Fatal(err)
	}
	b.wait("live again", func() bool {
		s.write(10, 20)
		found := b.Find(Filter{ID: id})
		return len(found) == 1 && found[0].State == Live
	})
}

// A server of a cluster leaves alone what only a newer version may touch, however often it looks.
func TestResumeLeavesAlone(t *testing.T) {
	keeper := newFakeKeeper()
	b := newKeptBench(t, keeper, nil)
	server := testkit.NewRTMPServer(t, testkit.Script{})
	s := b.source("s")
	b.start(Request{StreamName: "s", URL: server.URL("live")})
	s.live(t, server)
	keeper.crash()
	b.stop()
	keeper.edit(func(r *Record) { r.Node, r.Incarnation, r.Least = "gone", "1", 99 })
	b = newKeptBench(t, keeper, nil)
	b.source("s")
	for range 3 {
		if err := b.Resume(t.Context(), "s"); err != nil {
			t.Fatal(err)
		}
	}
	if found := b.Find(Filter{}); len(found) != 0 || keeper.len() != 1 {
		t.Errorf("%d records; pushes %+v", keeper.len(), found)
	}
}

// What cannot go on ends, and what this version must not touch stays.
func TestResumeNot(t *testing.T) {
	tests := []struct {
		title  string
		change func(*Record)
		outage time.Duration
		state  State
		detail string
		left   int // records
	}{
		{"too long an outage", func(*Record) {}, 2 * time.Hour, Ended, "in time", 0},
		{"made by the setting", func(r *Record) { r.By = ViaAuto }, 0, Ended, "in time", 0},
		{"of a newer version", func(r *Record) { r.Least = 2 }, 0, Awaiting, "newer version", 1},
		{"key lost", func(r *Record) { r.Secret = nil }, 0, Awaiting, "key to the address", 1},
		{"nonsense", func(r *Record) { r.Secret = []byte(`{"address":"x"}`) }, 0, Ended, "in time", 0},
	}
	for _, tt := range tests {
		t.Run(tt.title, func(t *testing.T) {
			keeper := newFakeKeeper()
			b := newKeptBench(t, keeper, nil)
			b.source("s")
			server := testkit.NewRTMPServer(t, testkit.Script{})
			info := b.start(Request{StreamName: "s", URL: server.URL("live/key")})
			keeper.edit(tt.change)
			keeper.crash()
			b.stop()
			b = newKeptBench(t, keeper, nil)
			if err := b.Restore(t.Context(), tt.outage); err != nil {
				t.Fatal(err)
			}
			if tt.state == Ended {
				if end := b.end(); end.ID != info.ID || end.State != Ended || end.Reason != ReasonExpired || !strings.Contains(end.Detail, tt.detail) {
					t.Errorf("ended: %+v", end)
				}
			} else {
				s := b.source("s") // which changes nothing
				s.write(1, 20)
				found := b.Find(Filter{})
				if len(found) != 1 || found[0].State != Awaiting || !strings.Contains(found[0].Detail, tt.detail) || found[0].Target != info.Target || found[0].ID != info.ID {
					t.Errorf("found %+v", found)
				}
				if keeper.len() != tt.left {
					t.Errorf("%d records", keeper.len())
				}
				if err := b.Terminate(t.Context(), info.ID); err != nil {
					t.Error(err)
				}
			}
			if keeper.len() != 0 {
				t.Error("the record is still there")
			}
		})
	}
}
