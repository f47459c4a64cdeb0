package app

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/load"
	"transponder/internal/rest"
)

// drained is a drainer that runs, in a bubble.
type drained struct {
	*drainer
	streams atomic.Int64
	refused error // the last that was set; owned by wait
	hurry   chan os.Signal
	signal  context.CancelFunc
	fail    context.CancelFunc // the server stops by itself
	begun   time.Time
	ended   chan error
}

func newDrained(t *testing.T, limit time.Duration, streams int64) *drained {
	d := &drained{hurry: make(chan os.Signal, 1), begun: time.Now(), ended: make(chan error, 1)}
	d.streams.Store(streams)
	d.drainer = newDrainer(limit, func() int { return int(d.streams.Load()) }, func(err error) { d.refused = err }, slog.New(slog.DiscardHandler))
	d.drainer.hurry = d.hurry
	var ctx, work context.Context
	ctx, d.signal = context.WithCancel(t.Context())
	work, d.fail = context.WithCancel(t.Context())
	go func() {
		_, why := d.wait(ctx, work)
		d.ended <- why
	}()
	return d
}

// wantEnd checks why and when wait returns.
func (d *drained) wantEnd(t *testing.T, why error, after time.Duration) {
	t.Helper()
	if err := <-d.ended; !errors.Is(err, why) {
		t.Errorf("it ends because of %v, want %v", err, why)
	}
	if got := time.Since(d.begun); got < after || got > after+drainEvery {
		t.Errorf("it ends after %v, want %v", got, after)
	}
	if p, _, _ := d.now(); p != stopping {
		t.Errorf("it is %s at the end", p)
	}
	if _, err := d.Resume(t.Context()); !errors.Is(err, rest.ErrStopping) {
		t.Errorf("taken back after the end: %v", err)
	}
}

// TestDrain: how long streams may go on, and what ends the wait.
func TestDrain(t *testing.T) {
	ptr := func(d time.Duration) *time.Duration { return &d }
	for _, tt := range []struct {
		name  string
		limit time.Duration // of the settings
		do    func(t *testing.T, d *drained)
		why   error
		after time.Duration
	}{
		{"a signal, and no time", 0, func(_ *testing.T, d *drained) { d.signal() }, errSignal, 0},
		{"a signal, and time", time.Minute, func(_ *testing.T, d *drained) { d.signal() }, errSignal, time.Minute},
		{"two signals", time.Minute, func(_ *testing.T, d *drained) {
			d.signal()
			time.Sleep(time.Second)
			d.hurry <- syscall.SIGTERM
		}, errHurry, time.Second},
		{"the last stream ends", time.Minute, func(_ *testing.T, d *drained) {
			d.signal()
			time.Sleep(10 * time.Second)
			d.streams.Store(0)
		}, errSignal, 10 * time.Second},
		{"a request", time.Hour, func(t *testing.T, d *drained) {
			st, err := d.Drain(t.Context(), ptr(time.Minute))
			if err != nil || st != (rest.NodeState{Draining: true, Left: time.Minute, Streams: 2}) {
				t.Errorf("drain: %+v, %v", st, err)
			}
		}, errDrain, time.Minute},
		{"a request without a limit", 2 * time.Minute, func(t *testing.T, d *drained) {
			if _, err := d.Drain(t.Context(), nil); err != nil {
				t.Error(err)
			}
		}, errDrain, 2 * time.Minute},
		{"a request that is changed", 0, func(t *testing.T, d *drained) {
			if _, err := d.Drain(t.Context(), ptr(time.Hour)); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Minute)
			if _, err := d.Drain(t.Context(), ptr(time.Second)); err != nil {
				t.Error(err)
			}
		}, errDrain, time.Minute + time.Second},
		{"taken back, and then a signal", 0, func(t *testing.T, d *drained) {
			if _, err := d.Drain(t.Context(), ptr(time.Minute)); err != nil {
				t.Error(err)
			}
			synctest.Wait()
			if p, left, why := d.now(); p != draining || !errors.Is(why, errDrain) || left != time.Minute || !errors.Is(d.refused, load.ErrFull) {
				t.Errorf("%s because of %v, %v left; new streams: %v", p, why, left, d.refused)
			}
			st, err := d.Resume(t.Context())
			if err != nil || st != (rest.NodeState{Streams: 2}) || d.refused != nil {
				t.Errorf("resume: %+v, %v; new streams: %v", st, err, d.refused)
			}
			time.Sleep(time.Hour)
			d.signal()
		}, errSignal, time.Hour},
		{"a signal cannot be taken back", time.Minute, func(t *testing.T, d *drained) {
			d.signal()
			synctest.Wait()
			if _, err := d.Resume(t.Context()); !errors.Is(err, rest.ErrStopping) {
				t.Errorf("resume: %v", err)
			}
			if _, err := d.Drain(t.Context(), ptr(time.Hour)); !errors.Is(err, rest.ErrStopping) {
				t.Errorf("drain: %v", err)
			}
			if !errors.Is(d.refused, load.ErrFull) {
				t.Errorf("new streams: %v", d.refused)
			}
		}, errSignal, time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDrained(t, tt.limit, 2)
				tt.do(t, d)
				d.wantEnd(t, tt.why, tt.after)
			})
		})
	}
	t.Run("the server stops by itself", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newDrained(t, time.Hour, 2)
			d.signal()
			synctest.Wait()
			d.fail()
			if err := <-d.ended; !errors.Is(err, context.Canceled) {
				t.Errorf("it ends because of %v", err)
			}
		})
	})
}
