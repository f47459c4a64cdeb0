package transponder

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"time"
)

// announce writes the first state to the journal.
func (p *push) announce() {
	p.moving.Lock()
	defer p.moving.Unlock()
	now := p.machine.now()
	p.tell(now.State, now)
}

// awaits writes to the journal that the push is back after a restart. before is its state then.
func (p *push) awaits(before State, s pushStatus) {
	p.moving.Lock()
	defer p.moving.Unlock()
	s.State = Awaiting
	if _, err := p.machine.to(s); err != nil {
		p.log.Error("push state", "err", err)
		return
	}
	p.tell(before, s)
}

// move enters a state and records that in the journal.
func (p *push) move(s pushStatus) {
	p.moving.Lock()
	defer p.moving.Unlock()
	before, err := p.machine.to(s)
	if err != nil {
		p.log.Error("push state", "err", err)
		return
	}
	p.tell(before.State, s)
}

// moveFrom is move, but only if the present state is one of states, and only if the state or the reason changes. It reports whether it
// moved.
func (p *push) moveFrom(states []State, s pushStatus) bool {
	p.moving.Lock()
	defer p.moving.Unlock()
	now := p.machine.now()
	if !slices.Contains(states, now.State) || now.State == s.State && now.Reason == s.Reason {
		return false
	}
	if _, err := p.machine.to(s); err != nil {
		p.log.Error("push state", "err", err)
		return false
	}
	p.tell(now.State, s)
	return true
}

// tell records a change of state in the journal. A change of a leg may change the state of its push instead. The caller holds moving.
func (p *push) tell(before State, s pushStatus) {
	if s.State == Live {
		p.known.Store(true)
	}
	if p.front != nil {
		p.front.legs.moved(p)
		return
	}
	_, acked := p.total()
	p.seq.Store(p.journal.add(Event{
		Hidden: p.hidden(), Owner: p.req.By.Identity(), Destination: p.present().target.Destination, Address: p.number(),
		ID: p.id, At: cmp.Or(s.Since, p.machine.now().Since), SourceName: p.req.StreamName, Active: p.source().Info().Name,
		Target: p.present().target.String(),
		From:   before, To: s.State, Reason: s.Reason, Detail: s.Detail, Attempt: int(p.attempts.Load()),
		NextRetry: s.NextTry, BytesAcked: acked,
	}))
	p.save()
}

// tellSource records in the journal that another source is sent, in the state in which the push is.
func (p *push) tellSource() {
	p.moving.Lock()
	defer p.moving.Unlock()
	if now := p.machine.now(); now.State.up() {
		now.Since = time.Now()
		p.tell(now.State, now)
	}
}

// degrade moves between Live and Degraded, or from one reason to another. A push that has not sent anything yet stays in Connecting, with
// the reason if that is the fault of the source. In all other states degrade does nothing.
func (p *push) degrade(reason Reason) {
	if reason.Class() == FromSource && p.moveFrom([]State{Connecting}, pushStatus{State: Connecting, Reason: reason, Detail: details[reason]}) {
		p.log.Info("push waits for its stream's media", "reason", reason)
		return
	}
	state, message := Degraded, "push degraded"
	if reason == ReasonNone {
		state, message = Live, "push recovered"
	}
	if p.moveFrom([]State{Live, Degraded}, pushStatus{State: state, Reason: reason, Detail: details[reason]}) {
		p.log.Info(message, "reason", reason)
	}
}

// drain enters the state Draining with the reason why, unless the push is there already.
func (p *push) drain(why error) {
	reason, detail := explain(why)
	p.moveFrom([]State{Connecting, Live, Degraded, Holding}, pushStatus{State: Draining, Reason: reason, Detail: detail})
}

// finish enters the final state that follows from err, and logs it.
func (p *push) finish(ctx context.Context, err error) {
	reason, detail := explain(err)
	state, level := Failed, slog.LevelWarn
	switch {
	case parked(err):
		p.park(ctx, pushStatus{State: Awaiting, Reason: reason, Detail: detail})
		return
	case reason.Class() == Operator || reason == ReasonExpired || reason == ReasonSourceLost:
		state, level = Ended, slog.LevelInfo
	case reason == ReasonInternal:
		level = slog.LevelError
	}
	p.traces.over(reason, detail)
	p.move(pushStatus{State: state, Reason: reason, Detail: detail})
	p.unresumed(p.machine.now())
	info := p.Info()
	p.log.Log(ctx, level, "push stopped", "reason", reason, "err", printable(err), "attempts", info.Attempts,
		"bytes", info.BytesSent, "video", info.VideoFrames, "audio", info.AudioFrames, "dropped", info.DroppedFrames)
}

// park gives the push up: it goes on later, or in another process.
func (p *push) park(ctx context.Context, s pushStatus) {
	p.traces.over(s.Reason, s.Detail)
	p.move(s)
	p.log.Log(ctx, slog.LevelInfo, "push given up", "reason", s.Reason)
}

// hidden reports whether the reasons of the push would reveal what is in a private network.
// With several addresses it is not known which of them is no secret.
func (p *push) hidden() bool {
	if all := p.legs.list(); all != nil {
		return slices.ContainsFunc(all, (*push).hidden)
	}
	return p.dialer.inside.Load() && (!p.known.Load() || len(p.addresses) > 1)
}
