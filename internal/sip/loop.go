package sip

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"transponder/internal/sip/dialog"
)

// run carries the call until the last message, and joins the other goroutines of the call.
func (k *call) run(ctx context.Context) {
	defer close(k.gone)
	defer k.calls.forget(k)
	defer k.lease.Release()
	children, stop := context.WithCancelCause(ctx)
	k.stop = stop
	err := k.calls.panics.Run(k.log, "call panicked", func() error { return k.live(ctx, children) })
	if err != nil {
		_ = k.calls.panics.Run(k.log, "end of a call panicked", func() error { k.giveUp(ctx); return nil })
	}
	stop(errEnded)
	k.children.Wait()
}

// giveUp ends a call that panicked. The phone is told, so that it does not believe in a call that nobody carries.
func (k *call) giveUp(ctx context.Context) {
	now := time.Now()
	k.conclude(now, dialog.StatusChanged{Status: dialog.Failed, Reason: dialog.ReasonTransport, Info: "an internal error"})
	if k.dialog != nil {
		k.dialog.End(now, dialog.ReasonTransport, "an internal error")
		k.carryOut(ctx, now)
	}
}

// errEnded is the cause with which the media of a call ends.
var errEnded = errors.New("the call has ended")

// live is the loop of run. children is the context of the goroutines of the call.
func (k *call) live(ctx, children context.Context) error {
	defer func() { // a panic is caught above: nobody waits for a call whose loop has ended
		if !isClosed(k.quiet) {
			close(k.quiet)
		}
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	streamEnded, rightsEnded := k.source.Done(), k.lease.Done()
	k.begin(children, time.Now())
	for {
		k.carryOut(ctx, time.Now())
		if k.over() && !isClosed(k.quiet) {
			close(k.quiet)
		}
		if k.final && (k.dialog == nil || k.dialog.Gone()) {
			return nil
		}
		timer.Stop()
		if at := k.deadline(); !at.IsZero() {
			timer.Reset(time.Until(at))
		}
		select {
		case f := <-k.inbox:
			f(time.Now())
		case p := <-k.prepared:
			k.dial(children, time.Now(), p)
		case e := <-k.ends:
			k.end(time.Now(), e)
		case <-streamEnded: // by us, or because somebody has terminated the stream or taken its name over
			streamEnded = nil
			k.end(time.Now(), ending{dialog.ReasonHungUp, fmt.Sprintf("the stream has ended: %v", k.source.Err())})
		case <-rightsEnded:
			rightsEnded = nil
			k.end(time.Now(), ending{dialog.ReasonHungUp, k.lease.Err().Error()})
		case <-timer.C:
			k.tick(time.Now())
		case <-ctx.Done():
			k.conclude(time.Now(), dialog.StatusChanged{Status: dialog.Finish, Reason: dialog.ReasonHungUp, Info: context.Cause(ctx).Error()})
			return nil
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// over reports whether the peer knows that the call has ended.
func (k *call) over() bool { return k.final && (k.dialog == nil || k.dialog.Over()) }

// deadline returns when tick is due, the zero time if never.
func (k *call) deadline() time.Time {
	first := time.Time{}
	if k.dialog != nil {
		first = k.dialog.Deadline()
	}
	for _, at := range []time.Time{k.longest, k.transfer} {
		if !at.IsZero() && !k.final && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

func (k *call) tick(now time.Time) {
	if k.dialog != nil {
		k.dialog.Tick(now)
	}
	if !k.longest.IsZero() && !now.Before(k.longest) {
		k.longest = time.Time{}
		k.end(now, ending{dialog.ReasonHungUp, fmt.Sprintf("the call has lasted %v", k.calls.cfg.MaxDuration)})
	}
	if !k.transfer.IsZero() && !now.Before(k.transfer) {
		k.transfer = time.Time{}
		k.phone.tell(func(ev PhoneEvents) { ev.Transferring(k.id, 408) })
	}
}

// end hangs up, cancels or refuses. Only the first end of a call has an effect.
func (k *call) end(now time.Time, e ending) {
	if k.dialog != nil {
		k.dialog.End(now, e.reason, e.info)
		return
	}
	status := dialog.Failed
	if e.reason == dialog.ReasonCancelled || e.reason == dialog.ReasonHungUp {
		status = dialog.Finish
	}
	k.conclude(now, dialog.StatusChanged{Status: status, Reason: e.reason, Info: e.info})
}

// conclude ends everything but the signalling. Only the first conclude of a call has an effect.
func (k *call) conclude(now time.Time, s dialog.StatusChanged) {
	if k.final {
		return
	}
	k.final = true
	k.stop(errEnded)
	stats, had := k.record.close()
	if had {
		k.calls.totals.add(stats, k.record.informed())
	}
	if k.page.media != nil {
		_ = k.page.media.Play(nil) // it fails only if the page has gone
	}
	k.source.Close(fmt.Errorf("the call ended: %s", cmp.Or(s.Info, string(s.Reason))))
	k.ways.close()
	k.calls.conclude(k, now, s)
	var lasted time.Duration
	if i := k.record.snapshot(); !i.Answered.IsZero() {
		lasted = now.Sub(i.Answered)
	}
	k.log.Info("call ended", "status", s.Status, "reason", s.Reason, "info", s.Info, "lasted", lasted.Round(time.Millisecond),
		"packets", stats.Audio.Packets+stats.Video.Packets)
	k.phone.tell(func(ev PhoneEvents) { ev.Status(k.id, s.Status, s.Info) })
	close(k.done)
}
