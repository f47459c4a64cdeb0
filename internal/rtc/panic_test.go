package rtc

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"

	"transponder/internal/panics"
	"transponder/internal/stream"
)

// brokenSession panics when it is asked for its figures.
type brokenSession struct {
	fakeReceiver
	closedWith error // the source's, when the session is closed
	source     *stream.Source
}

func (*brokenSession) Stats() SessionStats { panic("a fault") }
func (s *brokenSession) Close() error {
	s.closedWith = s.source.Err()
	return s.fakeReceiver.Close()
}

// TestRunPanics: a publication and a playback that panic leave nothing behind, so that the door only has to recover.
func TestRunPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, hub := newTestIngest(DefaultConfig())
		src, err := hub.Publish(stream.Info{Name: "n", ID: "1"})
		if err != nil {
			t.Fatal(err)
		}
		broken := &brokenSession{source: src}
		p := &Publication{in: in, source: src, sink: &sink{Frames: NewFrames(src, in.log)}}
		var session Session = broken
		p.session.Store(&session)
		in.published[p] = struct{}{}
		mustPanic(t, p.Run) // nobody connects, and so the figures are asked for
		if !errors.Is(broken.closedWith, panics.Err) || broken.closed != 1 || len(in.published) > 0 {
			t.Errorf("the source ended with %v, the session was closed %d times, %d publications are left", broken.closedWith, broken.closed, len(in.published))
		}
	})
	outlet := &fakeOutlet{}
	e := &Egress{log: slog.New(slog.DiscardHandler)}
	e.players.Store(1)
	played := &Playback{e: e, session: outlet, playout: &playout{}} // without a source
	mustPanic(t, played.Run)
	if n := e.players.Load(); outlet.closed != 1 || n != 0 {
		t.Errorf("the session was closed %d times, %d players are left", outlet.closed, n)
	}
}

func mustPanic(t *testing.T, run func(context.Context) error) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	_ = run(t.Context())
}
