package leg

import (
	"context"
	"errors"
	"sync"
)

// errReads ends a leg whose socket cannot be read.
var errReads = errors.New("a media socket fails")

// Run moves media until ctx ends; it returns the cause. It fails with an error that wraps panics.Err after a panic: the call must end then,
// and other calls go on. Run is called once.
func (l *Leg) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	l.mu.Lock()
	l.cancel = cancel
	if l.failure != nil {
		cancel(l.failure)
	}
	l.mu.Unlock()

	var wg sync.WaitGroup
	for _, t := range l.tracks() {
		wg.Go(func() { l.guard(func() { l.read(t, t.pair.rtp, false) }) })
		wg.Go(func() { l.guard(func() { l.read(t, t.pair.rtcp, true) }) })
	}
	wg.Go(func() { l.guard(func() { l.player.run(ctx, l.events.StreamEnded) }) })
	l.legs.add(l)
	l.guard(func() { l.resolveNames(ctx) })
	l.Close() // the only way out of a read
	wg.Wait()
	l.end()
	return context.Cause(ctx)
}

// end takes the leg off the ticker, and waits until the ticker has done with it.
func (l *Leg) end() {
	l.legs.remove(l)
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	l.beats.Wait()
	l.voice.close()
}

// guard calls f. A panic ends the leg.
func (l *Leg) guard(f func()) {
	defer func() {
		if v := recover(); v != nil {
			l.panicked(v)
		}
	}()
	f()
}

// panicked ends the leg after a panic. It is called from deferred functions, with the recovered value.
func (l *Leg) panicked(value any) {
	l.fail(l.legs.panics.Note(l.log, "media of a call panicked", value))
}

func (l *Leg) fail(cause error) {
	l.mu.Lock()
	cancel := l.cancel
	if cancel == nil {
		l.failure = cause
	}
	l.mu.Unlock()
	if cancel != nil {
		cancel(cause)
	}
}

// unlock unlocks mu, and calls what was to be called without it. After a panic it ends the leg.
func (l *Leg) unlock() {
	v := recover()
	later := l.later
	l.later = nil
	l.mu.Unlock()
	if v != nil {
		l.panicked(v)
		return
	}
	for _, f := range later {
		f()
	}
}
