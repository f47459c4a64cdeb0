package app

import (
	"context"
	"log/slog"
	"time"

	"transponder/internal/transponder"
)

// watchdog tells a service manager that the server is alive, in place of a service manager that only sees that the process exists.
type watchdog struct {
	every time.Duration // a third of the time after which the service manager kills a silent server
	pulse func()        // returns when all parts have answered
	ping  func() error  // tells the service manager
	log   *slog.Logger
}

// run asks the parts again and again, and tells the service manager each time that all have answered. It returns when ctx ends. A part that hangs
// keeps the server silent.
func (w *watchdog) run(ctx context.Context) {
	ticker := time.NewTicker(w.every)
	defer ticker.Stop()
	for {
		if !w.ask(ctx) {
			return
		}
		note(w.log, w.ping())
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// ask returns true when all parts have answered, and false when ctx has ended.
func (w *watchdog) ask(ctx context.Context) bool {
	late := time.NewTimer(w.every)
	defer late.Stop()
	answered := make(chan struct{})
	go func() { // nobody waits for it after ctx has ended: if a part hangs, it ends only with the process
		defer close(answered)
		w.pulse()
	}()
	for {
		select {
		case <-answered:
			return true
		case <-late.C:
			w.log.Error("a part of the server does not answer: if that goes on, the service manager restarts the server", "wait", w.every)
		case <-ctx.Done():
			return false
		}
	}
}

// pulse asks each part that a show needs for its figures, and so takes the locks of that part. It asks nothing that waits for a disk, for another
// machine or for room among the connections: a restart would help against none of these, and would end the show.
func (a *App) pulse() {
	a.hub.Sources()
	a.pushes.Find(transponder.Filter{})
	a.ingest.Publishers()
	a.ingest.Stats()
	a.egress.Players()
	a.sdk.Stats()
	a.whip.Restarts()
	a.rtmpStats()
	a.calls.Stats()
	a.audio.Stats()
	a.video.Totals()
}
