package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"transponder/internal/stream"
	"transponder/internal/transponder"
)

// Resumer runs pushes. *transponder.Registry is one.
type Resumer interface {
	// Resume takes over what waits of one stream.
	Resume(ctx context.Context, stream string) error
	// Release gives a push up for another process.
	Release(ctx context.Context, id string) error
}

// FailoverParts are what a Failover works with.
type FailoverParts struct {
	Cluster *Cluster
	Claims  *Claims
	Hub     *stream.Hub
	Pushes  Resumer
	Log     *slog.Logger
}

// Failover lets pushes follow their publishers. When a publisher comes to this process, Failover takes over the pushes of the stream that
// nobody has, and asks the processes that have others for them. It looks again when a process has come or gone.
type Failover struct {
	parts FailoverParts

	wake chan struct{} // 1; a look has ended, and perhaps says when to look again

	mu      sync.Mutex
	watched map[*stream.Source]*lookout // guarded by mu

	failed atomic.Int64
}

// lookout is what is known of one stream of this process.
type lookout struct {
	looked int       // how often
	due    time.Time // of the next look; zero: when the members change
	busy   bool
}

const (
	verbRelease = "push.release"
	verbYield   = "push.yield"

	// forgetEvery is how often Failover forgets streams that are gone, at least: it keeps them in memory.
	forgetEvery = 10 * time.Second
	// secondLook is the pause before the second look: a list may miss what was written in the last moments.
	secondLook = time.Second
	// lookFailed is the pause after a look that failed.
	lookFailed = 2 * time.Second
	// lookTimeout is how long one look may take: reading, waiting until the process before has surely noticed, and claiming.
	lookTimeout = 30 * time.Second
	// maxLooks is how many streams are looked after at once. Most of that time is waiting.
	maxLooks = 1000
)

// NewFailover makes a Failover, and lets the other processes ask for pushes. The caller calls Run once.
func NewFailover(parts FailoverParts) *Failover {
	f := &Failover{parts: parts, wake: make(chan struct{}, 1), watched: map[*stream.Source]*lookout{}}
	parts.Cluster.Handle(verbRelease, f.onRelease)
	parts.Cluster.Handle(verbYield, f.onYield)
	return f
}

// AskRelease asks a process to give up a push. It serves as ClaimsParts.Ask.
func (c *Cluster) AskRelease(ctx context.Context, o Owner, id string) error {
	_, err := c.Request(ctx, o, verbRelease, []byte(id))
	return err
}

// onRelease gives up a push that another process may have, because it believes that this one is dead.
func (f *Failover) onRelease(ctx context.Context, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return nil, f.parts.Pushes.Release(ctx, string(body))
}

// wish is a push that another process asks for, because the publisher is there.
type wish struct {
	Stream string `json:"stream"`
	ID     string `json:"id"`
}

// onYield gives up a push if this process has no publisher for it.
func (f *Failover) onYield(ctx context.Context, body []byte) ([]byte, error) {
	var w wish
	if err := json.Unmarshal(body, &w); err != nil {
		return nil, err
	}
	if s, ok := f.parts.Hub.Source(w.Stream); ok && !s.Info().IsRelay() {
		return nil, stream.ErrNameInUse
	}
	return f.onRelease(ctx, []byte(w.ID))
}

// Run takes over pushes until ctx ends.
func (f *Failover) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, maxLooks)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		added, changed := f.parts.Hub.Added(), f.parts.Cluster.Changed()
		due, next := f.due(time.Now())
		for _, s := range due {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			wg.Go(func() {
				defer func() { <-slots }()
				f.look(ctx, s)
				signal(f.wake)
			})
		}
		timer.Reset(time.Until(next))
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-added:
		case <-changed:
			f.again()
		case <-f.wake:
		case <-timer.C:
		}
	}
}

// due returns the streams to look after now, and notes that somebody does. next is when to ask again.
func (f *Failover) due(now time.Time) (due []*stream.Source, next time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	next = now.Add(forgetEvery)
	here := map[*stream.Source]bool{}
	for _, s := range f.parts.Hub.Sources() {
		if s.Info().IsRelay() {
			continue
		}
		here[s] = true
		l := f.watched[s]
		if l == nil {
			l = &lookout{due: now}
			f.watched[s] = l
		}
		switch {
		case l.busy || l.due.IsZero():
		case l.due.After(now):
			next = earlier(next, l.due)
		default:
			l.busy = true
			due = append(due, s)
		}
	}
	for s := range f.watched {
		if !here[s] {
			delete(f.watched, s)
		}
	}
	return due, next
}

// again lets all streams be looked after.
func (f *Failover) again() {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	for _, l := range f.watched {
		l.due = now
	}
}

// look takes over what waits of one stream.
func (f *Failover) look(ctx context.Context, s *stream.Source) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	name := s.Info().Name
	err := f.ask(ctx, name)
	err = errors.Join(err, f.parts.Pushes.Resume(ctx, name))
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.watched[s]
	if l == nil {
		return
	}
	l.busy = false
	l.looked++
	switch {
	case err != nil && ctx.Err() == nil && !errors.Is(err, transponder.ErrIsolated):
		f.failed.Add(1)
		f.parts.Log.Warn("pushes of a publisher who has come here cannot be taken over", "stream", name, "err", err)
		l.due = time.Now().Add(lookFailed)
	case err != nil:
		l.due = time.Now().Add(lookFailed)
	case l.due.After(began): // the members have changed meanwhile
	case l.looked == 1:
		l.due = time.Now().Add(secondLook)
	default:
		l.due = time.Time{}
	}
}

// ask asks the processes that live and have pushes of a stream for these pushes. They keep those that they feed.
func (f *Failover) ask(ctx context.Context, name string) error {
	records, err := f.parts.Claims.List(ctx, name)
	if err != nil {
		return err
	}
	for _, r := range records {
		o := Owner{r.Node, r.Incarnation}
		if o == (Owner{}) || o == f.parts.Cluster.Self() || !f.parts.Cluster.Lives(o) {
			continue
		}
		body, err := json.Marshal(wish{name, r.ID})
		if err != nil {
			return err
		}
		var refused *RequestError
		if _, err := f.parts.Cluster.Request(ctx, o, verbYield, body); err != nil && !errors.As(err, &refused) && !errors.Is(err, ErrGone) {
			return fmt.Errorf("push %s: %w", r.ID, err)
		}
	}
	return nil
}
