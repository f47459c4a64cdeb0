package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"transponder/internal/handover"
	"transponder/internal/load"
	"transponder/internal/rest"
)

// drainEvery is how often a server that is drained looks whether its last stream has ended.
const drainEvery = 250 * time.Millisecond

// phase is where a server stands in its life.
type phase string

const (
	serving  phase = "serving"
	draining phase = "draining" // streams may end by themselves, until the limit
	stopping phase = "stopping"
)

// afterPhase are the moves between phases.
var afterPhase = map[phase][]phase{
	serving:  {draining, stopping},
	draining: {draining, serving, stopping},
}

// Why a server is drained, and then stops.
var (
	errSignal    = errors.New("signal")
	errHurry     = errors.New("second signal")
	errSuccessor = errors.New("another process takes over")
	errDrain     = errors.New("drained by request")
)

// errDraining refuses new streams.
var errDraining = fmt.Errorf("%w: it ends soon and takes no new streams", load.ErrFull)

// drainer decides when the server stops. wait owns the phase. Any goroutine may call the other methods.
type drainer struct {
	limit   time.Duration // for signals and for processes that take over
	streams func() int
	refuse  func(error) // new streams; nil: not any more
	log     *slog.Logger

	// Set before wait is called; nil: they never come.
	hurry      <-chan os.Signal
	successors <-chan *handover.Successor
	upgrade    <-chan os.Signal          // start a process that takes over
	start      func(ctx context.Context) // does that
	tell       func(streams int, left time.Duration, why error)

	asked chan func()   // requests for wait
	ended chan struct{} // closed when wait returns

	mu    sync.Mutex
	phase phase     // guarded by mu
	until time.Time // guarded by mu; end of draining
	why   error     // guarded by mu; of draining and stopping
}

func newDrainer(limit time.Duration, streams func() int, refuse func(error), log *slog.Logger) *drainer {
	return &drainer{limit: limit, streams: streams, refuse: refuse, log: log, asked: make(chan func()), ended: make(chan struct{}), phase: serving,
		tell: func(int, time.Duration, error) {}}
}

// now returns the phase, how long draining may still take, and why the server is not serving.
func (d *drainer) now() (p phase, left time.Duration, why error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.phase == draining {
		left = max(time.Until(d.until), 0)
	}
	return d.phase, left, d.why
}

// left returns how long draining may still take, and whether the server is drained.
func (d *drainer) left() (time.Duration, bool) {
	p, left, _ := d.now()
	return left, p == draining
}

// to changes the phase. It returns false for a move that there is not.
func (d *drainer) to(p phase, why error, limit time.Duration) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Contains(afterPhase[d.phase], p) {
		return false
	}
	d.phase, d.why, d.until = p, why, time.Now().Add(limit)
	return true
}

// wait returns when the server is to stop: ctx has ended, or a request or a process that takes over asks for it, and the streams have ended or had
// their time. It returns the process that takes over, nil if there is none. work ends if the server has stopped by itself.
func (d *drainer) wait(ctx, work context.Context) (next *handover.Successor, why error) {
	var children sync.WaitGroup
	defer children.Wait()
	work, cancel := context.WithCancel(work)
	defer cancel()
	defer close(d.ended)
	tick := time.NewTicker(drainEvery)
	defer tick.Stop()
	signalled := ctx.Done()
	for {
		var gone <-chan struct{}
		if next != nil {
			gone = next.Gone()
		}
		select {
		case <-work.Done():
			return next, context.Cause(work)
		case <-signalled:
			signalled = nil
			if next != nil { // whoever does not want to wait says so by a signal
				return d.stop(next, errSignal)
			}
			d.drain(errSignal, d.limit, true)
		case <-d.hurry:
			return d.stop(next, errHurry)
		case next = <-d.successors:
			limit := d.limit
			if p, left, _ := d.now(); p == draining {
				limit = min(limit, left)
			}
			// It is no use to refuse new streams: nobody else takes them now.
			d.drain(errSuccessor, limit, signalled == nil)
		case <-gone:
			next = nil
			if p, left, why := d.now(); p == draining && errors.Is(why, errSuccessor) {
				if signalled == nil {
					d.drain(errSignal, left, true)
				} else {
					d.resume()
				}
			}
		case f := <-d.asked:
			f()
		case <-d.upgrade:
			if d.start != nil {
				children.Go(func() { d.start(work) })
			}
		case <-tick.C:
		}
		p, left, why := d.now()
		if p != draining {
			continue
		}
		n := d.streams()
		if n == 0 || left == 0 {
			return d.stop(next, why)
		}
		d.tell(n, left, why)
		if next != nil {
			_ = next.Wait(n, left) // if it has gone, Gone tells
		}
	}
}

func (d *drainer) stop(next *handover.Successor, why error) (*handover.Successor, error) {
	d.to(stopping, why, 0)
	return next, why
}

// drain gives the streams time to end.
func (d *drainer) drain(why error, limit time.Duration, refuse bool) {
	if !d.to(draining, why, limit) {
		return
	}
	if refuse {
		d.refuse(errDraining)
	}
	if n := d.streams(); n > 0 && limit > 0 {
		d.log.Info("draining", "cause", why, "streams", n, "limit", limit)
	}
}

func (d *drainer) resume() {
	if d.to(serving, nil, 0) {
		d.refuse(nil)
		d.log.Info("draining was taken back")
	}
}

// ask has wait do f.
func (d *drainer) ask(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case d.asked <- func() { f(); close(done) }:
		<-done
		return nil
	case <-d.ended:
		return rest.ErrStopping
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Drain implements rest.Node.
func (d *drainer) Drain(ctx context.Context, limit *time.Duration) (rest.NodeState, error) {
	return d.onRequest(ctx, func() { d.drain(errDrain, *cmp.Or(limit, &d.limit), true) })
}

// Resume implements rest.Node.
func (d *drainer) Resume(ctx context.Context) (rest.NodeState, error) {
	return d.onRequest(ctx, d.resume)
}

// onRequest has wait do f, unless the server stops for another reason than a request.
func (d *drainer) onRequest(ctx context.Context, f func()) (state rest.NodeState, err error) {
	asked := d.ask(ctx, func() {
		if p, _, why := d.now(); p != serving && !errors.Is(why, errDrain) {
			err = rest.ErrStopping
			return
		}
		f()
		state = d.state()
	})
	return state, errors.Join(err, asked)
}

func (d *drainer) state() rest.NodeState {
	p, left, _ := d.now()
	return rest.NodeState{Draining: p == draining, Left: left, Streams: d.streams()}
}
