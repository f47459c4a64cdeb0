package hook

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"transponder/internal/state"
)

const (
	owedBucket  = "hook-owed"
	owedVersion = 1
	// owedTimeout is how long a write to the state may hold up the events of a session.
	owedTimeout = time.Second
	// owedRetries is how often an end is sent again after a crash: for two minutes and a half, because the backend may have been down as well.
	owedRetries = 10
	// crashInfo is the info of a stream, or a session, whose process has died.
	crashInfo = "The server was restarted"
)

// An owed end is one that a backend has not been told: of a session or a stream of which it was told the beginning. It is kept beyond the process, so
// that the next process can tell it after a crash: backends bill by it. A backend may be told an end twice.
type owed struct {
	Incarnation string `json:"inc"` // of the process that has the session
	App         string `json:"app"`
	Session     string `json:"session"`
	Method      Method `json:"method"`
	Body        string `json:"body"` // of the event that tells the end; sealed
}

// debts are the owed ends of all sessions. Without a keeper it keeps nothing.
type debts struct {
	keeper      *state.Bucket[owed] // nil: nothing is kept
	sealer      state.Sealer
	incarnation string // of this process
}

func newDebts(keeper state.Keeper, sealer state.Sealer) debts {
	if keeper == nil {
		return debts{}
	}
	return debts{state.NewBucket[owed](keeper, owedBucket, owedVersion), sealer, newRequestID()}
}

// mark says what an event begins or ends. It reads the body before members are left out that the backend does not want.
func (e *event) mark(session string, body Object) {
	id := ""
	switch status := word(body["status"]); {
	case e.method == StreamStatusEvent && (status == StatusPublishing || status == StatusPlaying), e.method == ConnectionStatusEvent && status == "ESTABLISHED":
		e.begins = true
	case e.method == StreamStatusEvent, e.method == ConnectionStatusEvent:
		e.ends = true
	default:
		return
	}
	if e.method == StreamStatusEvent {
		id = word(body["mediaSessionId"])
	}
	sum := sha256.Sum256([]byte(session + "\x00" + id)) // clients choose their ids
	e.place = fmt.Sprintf("%x", sum[:16])
}

// crashed returns the body of the event that tells the end after a crash, made of the one that tells the beginning.
func (e *event) crashed() Object {
	body := maps.Clone(e.body)
	delete(body, "sdp") // it is long, and of no use any more
	status := StatusFailed
	if e.method == ConnectionStatusEvent {
		status = "DISCONNECTED"
	}
	if _, wanted := body["status"]; wanted {
		body.set("status", status)
	}
	body.set("info", crashInfo)
	return body
}

// owe keeps the end of what an event begins.
func (s *Session) owe(ctx context.Context, e event) error {
	d := s.hooks.debts
	text, err := json.Marshal(e.crashed())
	if err != nil {
		return err
	}
	sealed, err := d.sealer.Seal(owedBucket+"/"+e.place, text)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, owedTimeout)
	defer cancel()
	_, err = d.keeper.Put(ctx, e.place, owed{d.incarnation, s.client.AppKey, s.client.SessionID, e.method, sealed}, state.Any)
	return err
}

// settle keeps or forgets the end of what an event begins or ends. told: the backend has been told of the event, or never will be.
func (s *Session) settle(ctx context.Context, e event, told bool) {
	if told && e.done != nil {
		e.done(ctx)
	}
	var err error
	_, owes := s.owing[e.place]
	switch {
	case s.hooks.debts.keeper == nil:
		return
	case e.begins && !told && !owes:
		if err = s.owe(ctx, e); err == nil {
			if s.owing == nil {
				s.owing = map[string]struct{}{}
			}
			s.owing[e.place] = struct{}{}
		}
	case e.ends && told && owes:
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), owedTimeout)
		defer cancel()
		err = s.hooks.debts.keeper.Delete(ctx, e.place, state.Any)
		delete(s.owing, e.place)
	}
	if err != nil {
		s.hooks.log.Debug("what a backend is to be told after a crash is not kept", "session", s.client.SessionID, "err", err)
	}
}

// tellOwed tells the ends that the processes before have not told.
func (h *Hooks) tellOwed(ctx context.Context) {
	if h.debts.keeper == nil {
		return
	}
	reading, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	items, err := h.debts.keeper.List(reading, "")
	if err != nil {
		h.log.Error("some ends that backends were to be told cannot be read", "err", err)
	}
	sessions := map[string][]event{} // streams before their session
	clients := map[string]Client{}
	for _, item := range items {
		o := item.Value
		if o.Incarnation == h.debts.incarnation {
			continue
		}
		e := event{method: o.Method, place: item.Key, ends: true, retries: max(owedRetries, h.cfg.EventRetries)}
		text, err := h.debts.sealer.Open(owedBucket+"/"+item.Key, o.Body)
		if err == nil {
			err = json.Unmarshal(text, &e.body)
		}
		if err != nil {
			h.log.Error("an end that a backend was to be told cannot be read", "app", o.App, "session", o.Session, "err", err)
			continue
		}
		if clients[o.Session] = (Client{AppKey: o.App, SessionID: o.Session}); e.method == ConnectionStatusEvent {
			sessions[o.Session] = append(sessions[o.Session], e)
		} else {
			sessions[o.Session] = append([]event{e}, sessions[o.Session]...)
		}
	}
	if len(sessions) > 0 {
		h.log.Info("backends are told of the ends of sessions that the process before has not told", "sessions", len(sessions))
	}
	for id, events := range sessions {
		s := &Session{hooks: h, client: clients[id], owing: map[string]struct{}{}}
		for _, e := range events {
			s.owing[e.place] = struct{}{}
		}
		h.start(func(ctx, stopping context.Context) {
			for _, e := range events {
				s.deliver(ctx, stopping, e)
			}
		})
	}
}
