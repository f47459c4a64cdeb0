package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
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

// HeirParts are what an Heir works with.
type HeirParts struct {
	Cluster Company
	Keeper  state.Keeper // of the cluster
	Events  *Events
	Hooks   Poster
	Log     *slog.Logger
}

// Heir posts the events of servers that are gone, which these have written and not posted. The first of the living servers does that for all.
// Two servers that do not agree which is the first may both post an event: its numbers tell.
type Heir struct {
	parts HeirParts

	gone map[string]time.Time // owned by Run; since when nodes are seen to be gone
}

const (
	heirTick = 2 * time.Second
	// heirAfter is how long a node must be gone. One that is restarted posts its events itself.
	heirAfter = 10 * time.Second
	// heirForgets is when the mark of a node that does not come back is removed. NATS keeps no events for that long.
	heirForgets = 2 * eventsFor
)

// NewHeir makes an Heir. The caller calls Run once.
func NewHeir(parts HeirParts) *Heir { return &Heir{parts: parts, gone: map[string]time.Time{}} }

// Run posts until ctx ends.
func (h *Heir) Run(ctx context.Context) error {
	tick := time.NewTicker(heirTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
			if err := h.look(ctx, time.Now()); err != nil && ctx.Err() == nil {
				h.parts.Log.Debug("events of servers that are gone", "err", err)
			}
		}
	}
}

// look posts for each node that has been gone for long enough.
func (h *Heir) look(ctx context.Context, now time.Time) error {
	nodes := h.parts.Cluster.Nodes()
	if !h.parts.Cluster.Known() || len(nodes) == 0 || nodes[0].Owner != h.parts.Cluster.Self() {
		clear(h.gone)
		return nil
	}
	lives := map[string]bool{}
	for _, n := range nodes {
		lives[n.Node] = true
	}
	marks, err := h.parts.Keeper.List(ctx, metaBucket, hookPrefix)
	if err != nil {
		return err
	}
	for _, r := range marks {
		node := strings.TrimPrefix(r.Key, hookPrefix)
		if lives[node] {
			delete(h.gone, node)
			continue
		}
		since, known := h.gone[node]
		switch {
		case !known:
			h.gone[node] = now
		case now.Sub(r.Changed) > heirForgets && !r.Changed.IsZero():
			_ = h.parts.Keeper.Delete(ctx, metaBucket, r.Key, r.Revision) // it is tried again
		case now.Sub(since) >= heirAfter:
			if err := h.inherit(ctx, node, r); err != nil {
				return err
			}
		}
	}
	return nil
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
