package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// part is something that runs as long as the server does.
type part struct {
	name string
	run  func(ctx context.Context) error // ends soon after ctx does
}

// errStopped is what parts are told when the server goes down.
var errStopped = errors.New("the server is stopping")

// running is a part that was started.
type running struct {
	part
	cancel context.CancelCauseFunc
	done   chan struct{}
}

// runAll runs the parts until ctx ends or one of them does, then stops them in reverse, each joined before the next is told,
// so that nothing loses what it stands on. All of that may take up to limit; what is not gone by then is named in the
// error. A part that ended by itself is an error too.
func runAll(ctx context.Context, log *slog.Logger, parts []part, limit time.Duration) error {
	ended := make(chan error, len(parts))
	started := make([]running, len(parts))
	for i, p := range parts {
		// Detached: the parts end in order, not all at the signal.
		partCtx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
		r := running{part: p, cancel: cancel, done: make(chan struct{})}
		started[i] = r
		go func() {
			defer close(r.done)
			if err := r.run(partCtx); partCtx.Err() == nil {
				ended <- fmt.Errorf("%s ended: %w", r.name, errOr(err))
			}
		}()
	}
	var err error
	select {
	case <-ctx.Done():
		log.Info("stopping", "cause", context.Cause(ctx))
	case err = <-ended:
		log.Error("stopping", "err", err)
	}
	return errors.Join(err, stopAll(started, limit))
}

// errOr gives a part that ended without an error one.
func errOr(err error) error {
	if err == nil {
		return errors.New("without an error")
	}
	return err
}

func stopAll(started []running, limit time.Duration) error {
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	for i := len(started) - 1; i >= 0; i-- {
		started[i].cancel(errStopped)
		select {
		case <-started[i].done:
		case <-timeout.C:
			for _, r := range started[:i] {
				r.cancel(errStopped)
			}
			return fmt.Errorf("%s did not stop within %v", started[i].name, limit)
		}
	}
	return nil
}
