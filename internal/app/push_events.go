package app

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

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
	log      *slog.Logger

	known map[string]*hook.Session // by push; owned by run
}

// pushOwner is the session whose stream a push sends. It is kept until the backend is told the end of the push, because the push may outlive this process, and
// go on or end while its stream is gone.
type pushOwner struct {
	App     string `json:"app"`
	Session string `json:"session"`
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
	for _, item := range items {
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
			return
		}
		info := src.Info()
		session, _ = p.backends.Open(hook.Client{AppKey: info.AppKey, SessionID: info.SessionID, Door: "push"})
		p.known[e.ID] = session
		if session.Sends(hook.PushStatusEvent) && !isEnd(e) {
			p.keep(ctx, e.ID, pushOwner{info.AppKey, info.SessionID})
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
	text, err := json.Marshal(e.ForStrangers())
	var body hook.Object
	if err != nil || json.Unmarshal(text, &body) != nil {
		return
	}
	body["mediaSessionId"] = body["id"]
	body["status"] = body["to"]
	session.Report(hook.PushStatusEvent, body, done)
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
