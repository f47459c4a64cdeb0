package pion

import (
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestCloseConnection: closing waits for the end of the connection, but not for ever.
func TestCloseConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &Endpoint{log: slog.New(slog.DiscardHandler)}
		broken := errors.New("broken")
		var none sync.WaitGroup
		if err := e.closeConnection(func() error { time.Sleep(time.Second); return broken }, &none); err != broken || e.Stuck() != 0 {
			t.Errorf("a connection that closes: %v, %d given up", err, e.Stuck())
		}

		never := make(chan struct{})
		begun := time.Now()
		if err := e.closeConnection(func() error { <-never; return nil }, &none); err != errStuck || time.Since(begun) != closeLimit {
			t.Errorf("a connection that does not close: %v after %v, want it given up after %v", err, time.Since(begun), closeLimit)
		}
		var reading sync.WaitGroup
		reading.Go(func() { <-never })
		if err := e.closeConnection(func() error { return nil }, &reading); err != errStuck || e.Stuck() != 2 {
			t.Errorf("a connection whose reader does not end: %v, %d given up", err, e.Stuck())
		}
		close(never)
	})
}
