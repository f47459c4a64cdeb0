package app

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"transponder/internal/cluster"
	"transponder/internal/hook"
	"transponder/internal/state"
	"transponder/internal/stream"
	"transponder/internal/transponder"
)

// pushEvents tells backends what happens to the pushes of their streams. It only reads the journal, so that no push waits.
type pushEvents struct {
	journal  *transponder.Journal
	streams  *stream.Hub
	backends *hook.Hooks
	owners   *state.Bucket[pushOwner]
	mirror   *cluster.Mirror // the keeper of owners, which other servers read; nil: this server is alone
	log      *slog.Logger

	known map[string]*hook.Session // by push; owned by run
}

// pushOwner is the session whose stream a push sends. It is kept until the backend is told the end of the push, because the push may outlive this process, and
// go on or end while its stream is gone.
type pushOwner struct {
	App     string `json:"app"`
	Session string `json:"session"`
	Told    bool   `json:"told,omitempty"` // another server has told the end
}

const (
	pushOwners        = "hook-pushes"
	pushOwnersVersion = 1
	pushOwnerTimeout  = time.Second // of a write
	// pushOwnerFor is how long an owner is kept whose push has not changed: the push has ended at another server.
	pushOwnerFor = 30 * 24 * time.Hour
)

// run tells events until ctx has ended and no event is left.
func (p *pushEvents) run(ctx context.Context) error {
	p.known = map[string]*hook.Session{}
	events := make([]transponder.Event, 64)
	after := p.journal.Loaded()
	if p.load(ctx); len(p.known) > 0 {
		after = 0
	}
	for {
		n, missed, err := p.journal.Since(ctx, after, events)
		if err != nil {
			return err
		}
		if missed > 0 && after > 0 { // backends see a gap in the sequence; the ends of pushes may be among what was missed
			clear(p.known)
		}
		for _, e := range events[:n] {
			after = e.Number
			if e.Number <= p.journal.Loaded() { // of the process before: the end of a push may not be told
				if _, ok := p.known[e.ID]; !ok || !isEnd(e) {
					continue
				}
			}
			p.tell(ctx, e)
		}
	}
}

// load reads whose pushes have outlived the process before.
func (p *pushEvents) load(ctx context.Context) {
	items, err := p.owners.List(ctx, "")
	if err != nil {
		p.log.Error("whose backends are told of some pushes cannot be read", "err", err)
	}
	told := p.toldByOthers(ctx)
	for _, item := range items {
		if told[item.Key] {
			p.forget(ctx, item.Key)
			continue
		}
		session, _ := p.backends.Open(hook.Client{AppKey: item.Value.App, SessionID: item.Value.Session, Door: "push"})
		if !session.Sends(hook.PushStatusEvent) || time.Since(item.Changed) > pushOwnerFor {
			p.forget(ctx, item.Key)
			continue
		}
		p.known[item.Key] = session
	}
}

func isEnd(e transponder.Event) bool { return e.To == transponder.Ended || e.To == transponder.Failed }

// tell tells one event. A push belongs to the app that the stream had when the push began: the stream may be gone at the end.
func (p *pushEvents) tell(ctx context.Context, e transponder.Event) {
	session, ok := p.known[e.ID]
	if !ok {
		src, found := p.streams.Source(e.SourceName)
		if !found {
			p.tellEndOf(ctx, e)
			return
		}
		info := src.Info()
		session, _ = p.backends.Open(hook.Client{AppKey: info.AppKey, SessionID: info.SessionID, Door: "push"})
		p.known[e.ID] = session
		if session.Sends(hook.PushStatusEvent) && !isEnd(e) {
			p.keep(ctx, e.ID, pushOwner{App: info.AppKey, Session: info.SessionID})
		}
	}
	if isEnd(e) {
		delete(p.known, e.ID)
	}
	if !session.Sends(hook.PushStatusEvent) {
		return
	}
	var done func(context.Context)
	if isEnd(e) {
		done = func(ctx context.Context) { p.forget(ctx, e.ID) }
	}
	report(session, e, done)
}

// report tells a backend one event.
func report(session *hook.Session, e transponder.Event, done func(context.Context)) {
	text, err := json.Marshal(e.ForStrangers())
	var body hook.Object
	if err != nil || json.Unmarshal(text, &body) != nil {
		return
	}
	body["mediaSessionId"] = body["id"]
	body["status"] = body["to"]
	session.Report(hook.PushStatusEvent, body, done)
}

// tellEndOf tells the end of a push that this server did not run: its server is gone, and nobody came back for it.
func (p *pushEvents) tellEndOf(ctx context.Context, e transponder.Event) {
	if p.mirror == nil || !isEnd(e) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, pushOwnerTimeout)
	defer cancel()
	node, r, err := p.mirror.Anywhere(ctx, pushOwners, e.ID)
	switch {
	case errors.Is(err, state.ErrNotFound):
		return
	case err != nil:
		p.log.Warn("a push has ended whose server is gone, and the backend of its application cannot be told: NATS does not say which it is", "push", e.ID, "err", err)
		return
	}
	p.tellLeft(node, r, e)
}

// tellLeft tells the end of a push that another server has run. r is what that server has left.
func (p *pushEvents) tellLeft(node string, r state.Record, e transponder.Event) {
	var owner pushOwner
	if json.Unmarshal(r.Value, &owner) != nil || owner.Told {
		return
	}
	session, _ := p.backends.Open(hook.Client{AppKey: owner.App, SessionID: owner.Session, Door: "push"})
	told := func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pushOwnerTimeout)
		defer cancel()
		owner.Told = true
		text, err := json.Marshal(owner)
		if err == nil {
			err = p.mirror.Replace(ctx, node, pushOwners, e.ID, text)
		}
		if err != nil {
			p.log.Debug("the cluster does not know that the end of a push was told", "push", e.ID, "err", err)
		}
	}
	report(session, e, told)
	p.log.Info("a backend is told of the end of a push of another server", "other", node, "push", e.ID)
}

// toldByOthers returns the pushes of this server whose ends other servers have told.
func (p *pushEvents) toldByOthers(ctx context.Context) map[string]bool {
	told := map[string]bool{}
	if p.mirror == nil {
		return told
	}
	ctx, cancel := context.WithTimeout(ctx, pushOwnerTimeout)
	defer cancel()
	left, err := p.mirror.Of(ctx, p.backends.Node(), pushOwners)
	if err != nil {
		p.log.Debug("it is not known what other servers have told backends in place of this one", "err", err)
	}
	for _, r := range left {
		var owner pushOwner
		if json.Unmarshal(r.Value, &owner) == nil && owner.Told {
			told[r.Key] = true
		}
	}
	return told
}

// estates tells backends what a server that is gone has left untold. It is a cluster.Ends.
type estates struct {
	backends *hook.Hooks
	pushes   *pushEvents
	events   *cluster.Events
}

func (e estates) Buckets() []string { return []string{hook.OwedBucket, pushOwners} }

// Tell begins to tell the ends of sessions and streams, and of the pushes of which that server has written the end. Pushes that go on, or wait for their
// publisher, end later.
func (e estates) Tell(ctx context.Context, node string) (done bool, err error) {
	if done, err = e.backends.TellEnds(ctx, node); err != nil || !done {
		return false, err
	}
	left, err := e.pushes.mirror.Of(ctx, node, pushOwners)
	if err != nil || len(left) == 0 {
		return err == nil, err
	}
	ended := e.events.EndsOf(node)
	for _, r := range left {
		if event, ok := ended[r.Key]; ok {
			e.pushes.tellLeft(node, r, event)
		}
	}
	return true, nil
}

func (p *pushEvents) keep(ctx context.Context, id string, owner pushOwner) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pushOwnerTimeout)
	defer cancel()
	if _, err := p.owners.Put(ctx, id, owner, state.Any); err != nil {
		p.log.Debug("whose backend is told of a push is not kept", "push", id, "err", err)
	}
}

func (p *pushEvents) forget(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pushOwnerTimeout)
	defer cancel()
	if err := p.owners.Delete(ctx, id, state.Any); err != nil {
		p.log.Debug("whose backend is told of a push is not forgotten", "push", id, "err", err)
	}
}
