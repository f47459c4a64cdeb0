package transponder

import (
	"context"
	"sync"
	"time"
)

// HookMarks keep up to which event the events of a journal were posted, beyond the process. So the next process goes on there, and another
// server can.
type HookMarks interface {
	// Load returns the number of the last event of a run such that it and all events before are posted, or given up. ok is false if nothing is known.
	Load(ctx context.Context, run string) (number uint64, ok bool)
	Save(ctx context.Context, run string, number uint64) error
}

const (
	// hookMarkEvery is how often it is looked whether more events are posted. After a crash, those of that time come twice.
	hookMarkEvery = time.Second
	// hookMarkAgain is the pause after a write that failed: a process that has just been started waits for its store. It doubles with each failure, up
	// to hookMarkRest: a store that is away for long must not cost the one that is there a write every moment.
	hookMarkAgain = 100 * time.Millisecond
	hookMarkRest  = 10 * time.Second
	// hookMarkTimeout is how long reading or writing a mark may take.
	hookMarkTimeout = 3 * time.Second
)

// posted is up to which event all are posted.
type posted struct {
	mu      sync.Mutex
	waiting map[uint64]struct{} // guarded by mu; the numbers of events that are not posted yet: at most those in the lanes
	last    uint64              // guarded by mu; the newest event that was taken from the journal
}

// take notes that an event is to be posted.
func (p *posted) take(number uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting == nil {
		p.waiting = map[uint64]struct{}{}
	}
	p.waiting[number] = struct{}{}
	p.last = number
}

// done notes that an event is posted, or given up.
func (p *posted) done(number uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.waiting, number)
}

// begin sets where the posting begins.
func (p *posted) begin(number uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = number
}

// upTo returns the number of the last event such that it and all before are posted.
func (p *posted) upTo() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	number := p.last
	for n := range p.waiting {
		number = min(number, n-1)
	}
	return number
}

// first returns the number of the event after which events are posted: what the process before has not posted comes now.
func (h *Hooks) first(ctx context.Context) uint64 {
	loaded := h.journal.Loaded()
	if h.marks == nil {
		return loaded
	}
	ctx, cancel := context.WithTimeout(ctx, hookMarkTimeout)
	defer cancel()
	if number, ok := h.marks.Load(ctx, h.journal.Run()); ok && number < loaded {
		h.log.Info("push events that the process before has not posted are posted now", "events", loaded-number)
		return number
	}
	return loaded
}

// saveMarks writes how far the posting is, until ctx ends, and then once more.
func (h *Hooks) saveMarks(ctx context.Context) {
	next := time.NewTimer(0)
	defer next.Stop()
	var saved uint64
	ok := false // the first mark says that nothing is posted yet: without it nobody knows where to go on
	again := hookMarkAgain
	for last := false; ; {
		number := h.posted.upTo()
		if !ok || number != saved {
			write, cancel := context.WithTimeout(context.WithoutCancel(ctx), hookMarkTimeout)
			err := h.marks.Save(write, h.journal.Run(), number)
			cancel()
			if err != nil {
				h.log.Debug("how far push events are posted is not kept", "err", err)
			}
			saved, ok = number, err == nil
		}
		if ok {
			again = hookMarkAgain
			next.Reset(hookMarkEvery)
		} else {
			next.Reset(again)
			again = min(2*again, hookMarkRest)
		}
		if last {
			return
		}
		select {
		case <-next.C:
		case <-ctx.Done():
			last = true
		}
	}
}

// Post posts an event of another server that is gone. It returns false if the event is not delivered, and ctx has ended: it is to be posted later.
func (h *Hooks) Post(ctx context.Context, e Event) bool { return h.post(ctx, ctx, e) }

// Missed counts events of a server that is gone which nobody can post any more.
func (h *Hooks) Missed(events int64) { h.dead.Add(events) }
