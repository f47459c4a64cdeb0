package pion

import (
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestClosePeer: who closes a peer waits for the peer's end, but not for ever.
func TestClosePeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &Endpoint{log: slog.New(slog.DiscardHandler)}
		broken := errors.New("broken")
		var none sync.WaitGroup
		if err := e.closeConnection(func() error { time.Sleep(time.Second); return broken }, &none); err != broken || e.Stuck() != 0 {
			t.Errorf("a peer that closes: %v, %d given up", err, e.Stuck())
		}

		never := make(chan struct{})
		begun := time.Now()
		if err := e.closeConnection(func() error { <-never; return nil }, &none); err != errStuck || time.Since(begun) != closeLimit {
			t.Errorf("a peer that does not close: %v after %v, want it given up after %v", err, time.Since(begun), closeLimit)
		}
		var reading sync.WaitGroup
		reading.Go(func() { <-never })
		if err := e.closeConnection(func() error { return nil }, &reading); err != errStuck || e.Stuck() != 2 {
			t.Errorf("a peer whose reader does not end: %v, %d given up", err, e.Stuck())
		}
		close(never)
	})
}
