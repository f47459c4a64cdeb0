package transponder

import (
	"context"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"transponder/internal/access"
	"transponder/internal/media"
	"transponder/internal/state"
	"transponder/internal/testkit"
)

// openState opens a state folder. The caller closes it before it is opened again.
func openState(t *testing.T, dir string) *state.Store {
	t.Helper()
	s, err := state.Open(t.Context(), state.Config{Dir: dir}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Events and pushes that are over survive a restart: run, number and sequence go on, and what is secret is sealed.
func TestPastSurvives(t *testing.T) {
	keeper, dir := newFakeKeeper(), t.TempDir()
	store := openState(t, dir)
	with := func(s *state.Store) func(*Parts) {
		return func(p *Parts) { p.Keeper, p.Log, p.Sealer = keeper, s, s.Sealer() }
	}
	b := newBenchWith(t, nil, with(store))
	server := testkit.NewRTMPServer(t, testkit.Script{})
	s := b.source("s")
	full := true
	ann := &access.Principal{Kind: access.User, Subject: "ann", Grants: access.Administrator.Grants(nil)}
	request := Request{
		By: ann, StreamName: "s", URL: server.URL("live/CANARY"), FullURL: &full, FlashVersion: "FMLE/3.0", Options: Options{Action: "mute", Audio: media.AudioFormat{RateBPS: 96_000}},
	}
	over := b.start(request)
	kept := b.start(Request{StreamName: "s", URL: server.URL("other")})
	s.live(t, server)
	if err := b.Terminate(t.Context(), over.ID); err != nil {
		t.Fatal(err)
	}
	b.wait("record of a live push", func() bool { return keeper.record(t).State == Live.String() })
	b.wait("all events", func() bool { return len(b.storyOf(kept.ID)) >= 3 })
	run := b.Journal().Run()
	lines, err := store.Lines(t.Context(), overLog, 0, 10)
	if err != nil || len(lines) != 1 || strings.Contains(string(lines[0].Value), "CANARY") {
		t.Errorf("the log of what is over holds %+v, %v", lines, err)
	}
	keeper.crash()
	b.stop()
	last, story := b.Journal().Last(), b.storyOf(kept.ID)
	store.Close()

	store = openState(t, dir)
	t.Cleanup(func() { store.Close() })
	b = newBenchWith(t, nil, with(store))
	if err := b.Restore(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if past := b.History(10); len(past) != 1 || past[0].ID != over.ID || past[0].URL != over.URL || past[0].StreamName != "CANARY" ||
		past[0].State != Ended || past[0].Reason != ReasonTerminated || past[0].Options.Action != "mute" || !past[0].Started.Equal(over.Started) {
		t.Errorf("history %+v", past)
	}
	request.Via = ViaREST
	if again, err := b.History(10)[0].Again(ann); err != nil || !reflect.DeepEqual(again, request) {
		t.Errorf("the request to start it again is %+v, %v, want %+v", again, err, request)
	}
	if by := b.History(10)[0].By; by != (Starter{access.User, "ann", ViaREST}) {
		t.Errorf("it was started by %+v", by)
	}
	if b.Journal().Run() != run {
		t.Errorf("the run is %s after %s", b.Journal().Run(), run)
	}
	events := make([]Event, 10)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	n, missed, err := b.Journal().Since(ctx, last, events)
	if err != nil || missed != 0 || n == 0 || events[0].Number != last+1 || events[0].ID != kept.ID || events[0].To != Awaiting ||
		events[0].Sequence != story[len(story)-1].Sequence+1 {
		t.Errorf("after event %d: %d missed, %+v, %v", last, missed, events[:n], err)
	}
	if again := b.storyOf(kept.ID); len(again) < len(story) || again[0].Number != story[0].Number || again[0].To != story[0].To || !again[0].At.Equal(story[0].At) {
		t.Errorf("the events of before are %+v, want %+v", again, story)
	}
}
