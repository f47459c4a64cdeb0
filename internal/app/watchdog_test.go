package app

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// The service manager hears of the server three times in the time that it waits. When a part hangs it hears nothing more, and the log says why.
func TestWatchdog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var pings atomic.Int64
		var hang atomic.Bool
		hung := make(chan struct{})
		log := &journal{}
		w := &watchdog{
			every: 10 * time.Second,
			pulse: func() {
				if hang.Load() {
					<-hung
				}
			},
			ping: func() error { pings.Add(1); return nil },
			log:  slog.New(slog.NewTextHandler(log, nil)),
		}
		ended := make(chan struct{})
		go func() { w.run(ctx); close(ended) }()
		time.Sleep(95 * time.Second)
		synctest.Wait()
		if n := pings.Load(); n != 10 {
			t.Errorf("%d pings in 95 s, want 10", n)
		}
		if log.String() != "" {
			t.Errorf("the log of a server that is well: %s", log)
		}
		hang.Store(true)
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := pings.Load(); n != 10 {
			t.Errorf("%d pings while a part hangs, want none", n-10)
		}
		if n := strings.Count(log.String(), "does not answer"); n != 1 {
			t.Errorf("the log names the part that hangs %d times, want once: %s", n, log)
		}
		cancel()
		<-ended // although the part still hangs
		close(hung)
	})
}

// Every part answers while the server has nothing to do.
func TestPulse(t *testing.T) {
	a := runApp(t)
	done := make(chan struct{})
	go func() { a.pulse(); close(done) }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("a part hangs")
	}
}
