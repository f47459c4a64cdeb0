package sound

import (
	"context"
	"errors"
	"time"
)

// errDue is the cause that ends a wait for packets: it is time to make something up.
var errDue = errors.New("audio is due")

// alarm is a context that ends with errDue at a time that can be put off. Putting it off costs no wake-up and no memory;
// only after it went off is a new context made.
type alarm struct {
	parent context.Context
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
}

func newAlarm(parent context.Context) *alarm {
	a := &alarm{parent: parent}
	a.unset()
	return a
}

// set lets the alarm go off after d.
func (a *alarm) set(d time.Duration) {
	if a.timer != nil && a.timer.Stop() {
		a.timer.Reset(d)
		return
	}
	a.stop()
	ctx, cancel := context.WithCancelCause(a.parent)
	a.ctx, a.cancel = ctx, cancel
	a.timer = time.AfterFunc(d, func() { cancel(errDue) })
}

// unset lets it not go off.
func (a *alarm) unset() {
	a.stop()
	a.ctx, a.cancel = context.WithCancelCause(a.parent)
	a.timer = nil
}

func (a *alarm) stop() {
	if a.timer != nil {
		a.timer.Stop()
	}
	if a.cancel != nil {
		a.cancel(nil)
	}
}
