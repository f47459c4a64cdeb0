package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"transponder/internal/state"
	"transponder/internal/transponder"
)

// hookPrefix is that of the keys in metaBucket under which nodes write how far they have posted their events.
const hookPrefix = "hooks."

// hookMark says up to which event of a journal all are posted.
type hookMark struct {
	Version int    `json:"v"`
	Run     string `json:"run"`
	Number  uint64 `json:"number"`
}

// HookMarks keep how far a node has posted its events. It is a transponder.HookMarks.
type HookMarks struct {
	Node   string
	Local  state.Keeper // of this machine
	Shared state.Keeper // of the cluster; nil: this server is alone
	Log    *slog.Logger
}

// Load returns the newest of the two marks: another server may have posted for this one while it was away.
func (m HookMarks) Load(ctx context.Context, run string) (number uint64, ok bool) {
	for _, k := range []state.Keeper{m.Local, m.Shared} {
		if k == nil {
			continue
		}
		mark, _, err := readHookMark(ctx, k, hookPrefix+m.Node)
		switch {
		case err != nil && !errors.Is(err, state.ErrNotFound):
			m.Log.Warn("it is not known how far push events were posted: some may come twice", "err", err)
		case err == nil && mark.Run == run:
			number, ok = max(number, mark.Number), true
		}
	}
	return number, ok
}

// Save writes both marks. It fails if one was not written.
func (m HookMarks) Save(ctx context.Context, run string, number uint64) error {
	value, err := json.Marshal(hookMark{1, run, number})
	if err != nil {
		return err
	}
	_, err = m.Local.Put(ctx, metaBucket, hookPrefix+m.Node, value, state.Any)
	if m.Shared != nil {
		_, shared := m.Shared.Put(ctx, metaBucket, hookPrefix+m.Node, value, state.Any)
		err = errors.Join(err, shared)
	}
	return err
}

func readHookMark(ctx context.Context, k state.Keeper, key string) (mark hookMark, revision uint64, err error) {
	r, err := k.Get(ctx, metaBucket, key)
	if err != nil {
		return mark, 0, err
	}
	return mark, r.Revision, json.Unmarshal(r.Value, &mark)
}

// Poster posts events. *transponder.Hooks is one.
type Poster interface {
	// Post returns false if the event is to be posted later, because ctx has ended.
	Post(ctx context.Context, e transponder.Event) bool
	// Missed counts events that cannot be posted any more.
	Missed(events int64)
}

// Ends tells backends the ends of what they know of a server.
type Ends interface {
	// Tell begins to tell what a server that is gone has left untold, and does not wait for backends. done: nothing is left. It is called again and
	// again until then.
	Tell(ctx context.Context, node string) (done bool, err error)
	// Buckets are the buckets of the mirror in which that lies.
	Buckets() []string
}

// HeirParts are what an Heir works with.
type HeirParts struct {
	Cluster Company
	Keeper  state.Keeper // of the cluster
	Events  *Events
	Hooks   Poster // nil: events are not posted
	Log     *slog.Logger

	Mirror *Mirror
	Ends   Ends // nil: no ends are told
	// EndsAfter is how long a server must be gone before its ends are told: a server that is only cut off from NATS looks as if it were gone.
	EndsAfter time.Duration
}

// Heir does what servers that are gone have left undone: it posts the events that these have written and not posted, and has the ends told that backends
// have not heard. The first of the living servers does that for all. Two servers that do not agree which is the first may both do it: the numbers of
// an event tell.
type Heir struct {
	parts HeirParts

	gone map[string]time.Time // owned by Run; since when nodes are seen to be gone
	told map[string]bool      // owned by Run; nodes that are gone and whose ends are told
}

const (
	heirTick = 2 * time.Second
	// heirAfter is how long a node must be gone. One that is restarted posts its events itself.
	heirAfter = 10 * time.Second
	// heirForgets is when the mark of a node that does not come back is removed. NATS keeps no events for that long.
	heirForgets = 2 * eventsFor
)

// NewHeir makes an Heir. The caller calls Run once.
func NewHeir(parts HeirParts) *Heir {
	return &Heir{parts: parts, gone: map[string]time.Time{}, told: map[string]bool{}}
}

// Run does that until ctx ends.
func (h *Heir) Run(ctx context.Context) error {
	tick := time.NewTicker(heirTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
			if err := h.look(ctx, time.Now()); err != nil && ctx.Err() == nil {
				h.parts.Log.Debug("what servers that are gone have left", "err", err)
			}
		}
	}
}

// look does what is to be done for each node that has been gone for long enough.
func (h *Heir) look(ctx context.Context, now time.Time) error {
	nodes := h.parts.Cluster.Nodes()
	if !h.parts.Cluster.Known() || len(nodes) == 0 || nodes[0].Owner != h.parts.Cluster.Self() {
		clear(h.gone)
		clear(h.told)
		return nil
	}
	for _, n := range nodes {
		delete(h.gone, n.Node)
		delete(h.told, n.Node)
	}
	lives := func(node string) bool { return slices.ContainsFunc(nodes, func(n Node) bool { return n.Node == node }) }
	var errs []error
	if h.parts.Hooks != nil {
		errs = append(errs, h.post(ctx, now, lives))
	}
	if h.parts.Ends != nil {
		errs = append(errs, h.tell(ctx, now, lives))
	}
	return errors.Join(errs...)
}

// since returns for how long a node has been seen to be gone.
func (h *Heir) since(node string, now time.Time) time.Duration {
	if _, known := h.gone[node]; !known {
		h.gone[node] = now
	}
	return now.Sub(h.gone[node])
}

// post posts the events of the nodes that are gone.
func (h *Heir) post(ctx context.Context, now time.Time, lives func(string) bool) error {
	marks, err := h.parts.Keeper.List(ctx, metaBucket, hookPrefix)
	if err != nil {
		return err
	}
	for _, r := range marks {
		node := strings.TrimPrefix(r.Key, hookPrefix)
		if lives(node) {
			continue
		}
		gone := h.since(node, now)
		switch {
		case gone > 0 && isForgotten(r, now):
			_ = h.parts.Keeper.Delete(ctx, metaBucket, r.Key, r.Revision) // it is tried again
		case gone >= heirAfter:
			if err := h.inherit(ctx, node, r); err != nil {
				return err
			}
		}
	}
	return nil
}

// tell has the ends told of the nodes that are gone.
func (h *Heir) tell(ctx context.Context, now time.Time, lives func(string) bool) error {
	marks, err := h.parts.Mirror.debtors(ctx)
	if err != nil {
		return err
	}
	for _, r := range marks {
		if lives(r.Key) {
			continue
		}
		gone := h.since(r.Key, now)
		switch {
		case h.told[r.Key] && isForgotten(r, now):
			if err := h.parts.Mirror.forget(ctx, r, h.parts.Ends.Buckets()); err != nil {
				return err
			}
		case !h.told[r.Key] && gone >= h.parts.EndsAfter:
			if h.told[r.Key], err = h.parts.Ends.Tell(ctx, r.Key); err != nil {
				return err
			}
			if h.told[r.Key] { // what is left for the node to see when it comes back is kept from now on
				if err := h.parts.Mirror.touch(ctx, r); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// isForgotten says whether what a node has left is so old that it is removed.
func isForgotten(r state.Record, now time.Time) bool {
	return now.Sub(r.Changed) > heirForgets && !r.Changed.IsZero()
}

// inherit posts the events of a node after its mark, and moves the mark. It stops when somebody else moves it.
func (h *Heir) inherit(ctx context.Context, node string, r state.Record) error {
	var mark hookMark
	if err := json.Unmarshal(r.Value, &mark); err != nil {
		return err
	}
	revision := r.Revision
	for _, e := range h.parts.Events.of(node, mark.Run, mark.Number) {
		if !h.parts.Hooks.Post(ctx, e) {
			return context.Cause(ctx)
		}
		if missed := e.Number - mark.Number - 1; missed > 0 {
			h.parts.Hooks.Missed(int64(missed))
			h.parts.Log.Warn("push events of a server that is gone cannot be delivered: they are too old", "other", node, "events", missed)
		}
		mark.Number = e.Number
		value, err := json.Marshal(mark)
		if err != nil {
			return err
		}
		if revision, err = h.parts.Keeper.Put(ctx, metaBucket, r.Key, value, revision); err != nil {
			return err
		}
		h.parts.Log.Info("event of a server that is gone posted", "other", node, "push", e.ID, "event", e.Number)
	}
	return nil
}

// of returns the events of a node after a number of its journal, with their numbers there.
func (e *Events) of(node, run string, after uint64) []transponder.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	var found []transponder.Event
	for _, r := range e.ring {
		if r.origin.Node == node && r.origin.Run == run && r.origin.Number > after {
			event := r.Event
			event.Run, event.Number = run, r.origin.Number
			found = append(found, event)
			after = r.origin.Number // a repeated one is left out
		}
	}
	return found
}

// EndsOf returns the newest events in which pushes have ended at a node, with their numbers there.
func (e *Events) EndsOf(node string) map[string]transponder.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	ends := map[string]transponder.Event{}
	for _, r := range e.ring {
		if r.origin.Node == node && (r.To == transponder.Ended || r.To == transponder.Failed) {
			event := r.Event
			event.Run, event.Number = r.origin.Run, r.origin.Number
			ends[r.ID] = event
		}
	}
	return ends
}
