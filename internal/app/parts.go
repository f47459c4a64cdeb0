package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// part is a part of the server that runs until the server stops.
type part struct {
	name string
	run  func(ctx context.Context) error // returns soon after ctx ends
}

// errStopped is the cause with which the contexts of the parts end.
var errStopped = errors.New("the server is stopping")

// running is a part that runs.
type running struct {
	part
	cancel context.CancelCauseFunc
	done   chan struct{}
}

// runAll runs the parts until ctx ends or a part ends. Then it stops the parts in reverse order, and waits for each part before it stops the
// next one, so that no part loses another part that it uses. If that takes longer than limit, the error names the part that did not stop. A
// part that ended by itself is an error too.
func runAll(ctx context.Context, log *slog.Logger, parts []part, limit time.Duration) error {
	ended := make(chan error, len(parts))
	started := make([]running, len(parts))
	for i, p := range parts {
		// Detached from ctx, because the parts end in order and not all at once.
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

// errOr returns err, or an error for a part that ended without one.
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
