package sound

import (
	"context"
	"errors"
	"time"
)

// errDue ends a wait for packets: the gap must be filled now.
var errDue = errors.New("audio is due")

// alarm is a context that ends with errDue at a set time. Setting another time before that costs no wake-up and no memory; a
// new context is made only after the alarm went off.
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

// set makes the alarm go off after d.
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

// unset stops the alarm until set is called.
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
