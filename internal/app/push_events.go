package app

import (
	"context"
	"encoding/json"

	"transponder/internal/hook"
	"transponder/internal/stream"
	"transponder/internal/transponder"
)

// pushEvents tells backends what happens to the pushes of their streams. It only reads the journal, so that no push waits.
type pushEvents struct {
	journal  *transponder.Journal
	streams  *stream.Hub
	backends *hook.Hooks

	known map[string]*hook.Session // by push; owned by run
}

// run tells events until ctx has ended and no event is left.
func (p *pushEvents) run(ctx context.Context) error {
	p.known = map[string]*hook.Session{}
	events := make([]transponder.Event, 64)
	after := p.journal.Loaded()
	for {
		n, missed, err := p.journal.Since(ctx, after, events)
		if err != nil {
			return err
		}
		if missed > 0 { // backends see a gap in the sequence; the ends of pushes may be among what was missed
			clear(p.known)
		}
		for _, e := range events[:n] {
			p.tell(e)
			after = e.Number
		}
	}
}

// tell tells one event. A push belongs to the app that the stream had when the push began: the stream may be gone at the end.
func (p *pushEvents) tell(e transponder.Event) {
	session, ok := p.known[e.ID]
	if !ok {
		if src, found := p.streams.Source(e.SourceName); found {
			info := src.Info()
			session, _ = p.backends.Open(hook.Client{AppKey: info.AppKey, SessionID: info.SessionID, Door: "push"})
		}
		p.known[e.ID] = session
	}
	if e.To == transponder.Ended || e.To == transponder.Failed {
		delete(p.known, e.ID)
	}
	if !session.HasBackend() {
		return
	}
	text, err := json.Marshal(e.ForStrangers())
	var body hook.Object
	if err != nil || json.Unmarshal(text, &body) != nil {
		return
	}
	body["mediaSessionId"] = body["id"]
	body["status"] = body["to"]
	session.Report(hook.PushStatusEvent, body)
}
