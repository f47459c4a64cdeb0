package hook

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
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
	// goneInfo is the info if the server did not come back, so that another one tells the end.
	goneInfo = "The server is gone"
)

// Estates have the owed ends of all servers of a cluster. A server writes its own to the Keeper of Parts.
type Estates interface {
	// Of returns the records of a bucket that a server has left.
	Of(ctx context.Context, node, bucket string) ([]state.Record, error)
	// Replace changes a record that a server has left.
	Replace(ctx context.Context, node, bucket, key string, value []byte) error
	// Drop removes a record that a server has left.
	Drop(ctx context.Context, node, bucket, key string) error
}

// OwedBucket is the bucket of the owed ends.
const OwedBucket = owedBucket

// An owed end is one that a backend has not been told: of a session or a stream of which it was told the beginning. It is kept beyond the process, so
// that the next process can tell it after a crash: backends bill by it. A backend may be told an end twice.
type owed struct {
	Incarnation string `json:"inc"` // of the process that has the session
	App         string `json:"app"`
	Session     string `json:"session"`
	Method      Method `json:"method"`
	Body        string `json:"body"` // of the event that tells the end; sealed
	// Told: another server has told the end. The record stays, so that the server that had the session does not tell it again when it comes back.
	Told bool `json:"told,omitempty"`
}

// debts are the owed ends of all sessions. Without a keeper it keeps nothing.
type debts struct {
	keeper      *state.Bucket[owed] // nil: nothing is kept
	sealer      state.Sealer
	incarnation string // of this process

	mu      sync.Mutex
	telling map[string]bool // guarded by mu; ends of other servers by node and place; true: told
}

func newDebts(keeper state.Keeper, sealer state.Sealer) *debts {
	if keeper == nil {
		return &debts{}
	}
	return &debts{
		keeper: state.NewBucket[owed](keeper, owedBucket, owedVersion), sealer: sealer, incarnation: newRequestID(), telling: map[string]bool{},
	}
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
	_, err = d.keeper.Put(ctx, e.place, owed{Incarnation: d.incarnation, App: s.client.AppKey, Session: s.client.SessionID, Method: e.method, Body: sealed}, state.Any)
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
	ends := testaments{}
	places := map[string]bool{}
	told := h.toldByOthers(reading)
	for _, item := range items {
		o := item.Value
		places[item.Key] = true
		switch {
		case o.Incarnation == h.debts.incarnation:
		case told[item.Key].Told:
			if err := h.debts.keeper.Delete(reading, item.Key, state.Any); err != nil {
				h.log.Debug("an end that another server has told is still kept", "err", err)
			}
		default:
			if e, ok := h.open(item.Key, o); ok {
				e.place, e.ends = item.Key, true
				ends.add(o, e)
			}
		}
	}
	if n := h.tellEnds(ends); n > 0 {
		h.log.Info("backends are told of the ends of sessions that the process before has not told", "sessions", n)
	}
	// The state of this server may be another than before, and then only the other servers know of these.
	lost := map[string]owed{}
	for place, o := range told {
		switch {
		case places[place]:
		case o.Told:
			_ = h.parts.Estates.Drop(reading, h.cfg.NodeID, owedBucket, place) // the next process tries again
		default:
			lost[place] = o
		}
	}
	h.inherit(ctx, h.cfg.NodeID, lost)
}

// toldByOthers returns the owed ends of this server as the cluster has them. Without NATS there are none, and backends may be told twice.
func (h *Hooks) toldByOthers(ctx context.Context) map[string]owed {
	if h.parts.Estates == nil {
		return nil
	}
	all, err := h.left(ctx, h.cfg.NodeID)
	if err != nil {
		h.log.Info("it is not known what other servers have told backends in place of this one: some ends may come twice", "err", err)
	}
	return all
}

// left returns the owed ends that a server has in the cluster, by place.
func (h *Hooks) left(ctx context.Context, node string) (map[string]owed, error) {
	ctx, cancel := context.WithTimeout(ctx, owedTimeout)
	defer cancel()
	records, err := h.parts.Estates.Of(ctx, node, owedBucket)
	all := map[string]owed{}
	for _, r := range records {
		var o struct {
			owed
			Min int `json:"min"`
		}
		if err := json.Unmarshal(r.Value, &o); err == nil && o.Min <= owedVersion { // else a newer version tells it
			all[r.Key] = o.owed
		}
	}
	return all, err
}

// TellEnds begins to tell the ends that a server has left which is gone. It does not wait for backends. done: nothing is left.
func (h *Hooks) TellEnds(ctx context.Context, node string) (done bool, err error) {
	left, err := h.left(ctx, node)
	if err != nil {
		return false, err
	}
	done = true
	for place, o := range left {
		key := node + " " + place
		h.debts.mu.Lock()
		told, begun := h.debts.telling[key]
		if o.Told { // only now: a list that was read before would look as if nobody had begun
			delete(h.debts.telling, key)
		}
		h.debts.mu.Unlock()
		if told && !o.Told {
			h.told(ctx, node, place, o)
		}
		if o.Told || begun {
			delete(left, place)
		}
		done = done && o.Told
	}
	if n := h.inherit(ctx, node, left); n > 0 {
		h.log.Info("backends are told of the ends of sessions that a server has left which is gone", "other", node, "sessions", n)
	}
	return done, nil
}

// inherit tells ends that a server has left, and returns of how many sessions.
func (h *Hooks) inherit(ctx context.Context, node string, left map[string]owed) (sessions int) {
	ends := testaments{}
	for _, place := range slices.Sorted(maps.Keys(left)) {
		o := left[place]
		if o.Told {
			continue
		}
		e, ok := h.open(place, o)
		if !ok { // nobody can read it
			h.told(ctx, node, place, o)
			continue
		}
		if _, wanted := e.body["info"]; wanted && node != h.cfg.NodeID {
			e.body.set("info", goneInfo)
		}
		e.done = func(ctx context.Context) { h.told(ctx, node, place, o) }
		h.debts.mu.Lock()
		h.debts.telling[node+" "+place] = false
		h.debts.mu.Unlock()
		ends.add(o, e)
	}
	return h.tellEnds(ends)
}

// told keeps for the server that has left an end, and for those that look after what it has left, that the end was told.
func (h *Hooks) told(ctx context.Context, node, place string, o owed) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), owedTimeout)
	defer cancel()
	var err error
	if node == h.cfg.NodeID {
		err = h.parts.Estates.Drop(ctx, node, owedBucket, place)
	} else {
		var value []byte
		if value, err = json.Marshal(owed{Incarnation: o.Incarnation, App: o.App, Session: o.Session, Method: o.Method, Told: true}); err == nil {
			err = h.parts.Estates.Replace(ctx, node, owedBucket, place, value)
		}
	}
	h.debts.mu.Lock()
	h.debts.telling[node+" "+place] = true
	h.debts.mu.Unlock()
	if err == nil {
		return
	}
	h.log.Debug("the cluster does not know yet that a backend was told an end", "other", node, "session", o.Session, "err", err)
}

// open returns the event that tells an owed end.
func (h *Hooks) open(place string, o owed) (e event, ok bool) {
	e = event{method: o.Method, retries: max(owedRetries, h.cfg.EventRetries)}
	text, err := h.debts.sealer.Open(owedBucket+"/"+place, o.Body)
	if err == nil {
		err = json.Unmarshal(text, &e.body)
	}
	if err != nil {
		h.log.Error("an end that a backend was to be told cannot be read", "app", o.App, "session", o.Session, "err", err)
	}
	return e, err == nil
}

// testament has the ends of one session: those of its streams first.
type testament struct {
	client Client
	ends   []event
}

type testaments map[string]*testament // by session

func (t testaments) add(o owed, e event) {
	s := t[o.Session]
	if s == nil {
		s = &testament{client: Client{AppKey: o.App, SessionID: o.Session}}
		t[o.Session] = s
	}
	if e.method == ConnectionStatusEvent {
		s.ends = append(s.ends, e)
	} else {
		s.ends = slices.Insert(s.ends, 0, e)
	}
}

// tellEnds tells the ends of sessions, each of them in order, and returns how many sessions there are.
func (h *Hooks) tellEnds(all testaments) int {
	for _, t := range all {
		s := &Session{hooks: h, client: t.client, owing: map[string]struct{}{}}
		for _, e := range t.ends {
			s.owing[e.place] = struct{}{}
		}
		h.start(func(ctx, stopping context.Context) {
			for _, e := range t.ends {
				s.deliver(ctx, stopping, e)
			}
		})
	}
	return len(all)
}
