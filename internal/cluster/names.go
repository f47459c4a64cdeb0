package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"transponder/internal/state"
	"transponder/internal/stream"
)

// Names says which process has which stream. It is the stream.Names of a hub.
//
// A name is a record whose key is the hash of the name. The hub takes a name before the publisher gets his answer. If nobody can say who has
// the name, because NATS or the process that has it does not answer, the publisher is let in for now: the name is provisional. Names finds out
// later, and ends the source if another process has the name. Media that comes meanwhile is played here, but a push needs a claim.
type Names struct {
	cluster *Cluster

	mu   sync.Mutex
	all  map[string]*name // guarded by mu; by the name of the stream
	wake chan struct{}    // 1

	conflicts atomic.Int64 // sources that ended because another process has the name
}

// name is one name that this process has, takes or gives back.
type name struct {
	turn chan struct{} // 1; who has put something in may write the record

	// guarded by Names.mu:
	info     stream.Info // of the source that has the name here
	wanted   bool        // a source has it; else it is to be given back
	dirty    bool        // the record names another source of this process
	revision uint64      // of the record; 0: it is not ours, or not yet
	epoch    uint64      // of the record that was written last; 0: none was
	since    time.Time   // when the name was taken here
}

// nameRecord is the record of a name.
type nameRecord struct {
	Version  int    `json:"v"`
	Name     string `json:"name"`
	Source   string `json:"id"` // media session id
	Session  string `json:"session,omitempty"`
	Provider string `json:"provider,omitempty"`
	Owner
	Epoch   uint64 `json:"epoch"`
	Created int64  `json:"created"` // milliseconds since 1970
}

const (
	// takeTimeout is how long a publisher waits at most until it is known who has the name.
	takeTimeout = 4 * time.Second
	// settleEvery is how often names that are provisional, or that could not be given back, are tried again.
	settleEvery = time.Second
	// nameWorkers is how many names are written at once when many must be.
	nameWorkers = 8
)

func newNames(c *Cluster) *Names {
	return &Names{cluster: c, all: map[string]*name{}, wake: make(chan struct{}, 1)}
}

// nameKey is the key of a name: 16 digits of its hash.
func nameKey(s string) string {
	sum := sha256.Sum256([]byte(s))
	return digits.EncodeToString(sum[:10])
}

// Take takes a name for a source that the hub has reserved. It fails with stream.ErrNameInUse.
func (n *Names) Take(ctx context.Context, info stream.Info) error {
	ctx, cancel := context.WithTimeout(ctx, takeTimeout)
	defer cancel()
	n.mu.Lock()
	e := n.all[info.Name]
	if e == nil {
		e = &name{turn: make(chan struct{}, 1)}
		n.all[info.Name] = e
	}
	e.take(info)
	n.mu.Unlock()
	err := n.settle(ctx, e, false)
	if errors.Is(err, stream.ErrNameInUse) {
		n.drop(e)
		return err
	}
	if err != nil { // the name is provisional
		signal(n.wake)
	}
	return nil
}

// Keep notes that another source of this process has a name now, or one that was not asked for.
func (n *Names) Keep(info stream.Info) {
	n.mu.Lock()
	e := n.all[info.Name]
	if e == nil {
		e = &name{turn: make(chan struct{}, 1)}
		n.all[info.Name] = e
	}
	e.take(info)
	n.mu.Unlock()
	signal(n.wake)
}

// take notes that a source has the name. The caller holds Names.mu.
func (e *name) take(info stream.Info) {
	if !e.wanted {
		e.since = time.Now()
	}
	e.info, e.wanted, e.dirty = info, true, e.revision != 0
}

// Free gives the name of a source back, soon.
func (n *Names) Free(info stream.Info) {
	n.mu.Lock()
	if e := n.all[info.Name]; e != nil && e.info.ID == info.ID { // else a newer source has the name
		e.wanted = false
	}
	n.mu.Unlock()
	signal(n.wake)
}

// drop forgets a name that another process has.
func (n *Names) drop(e *name) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.all[e.info.Name] == e {
		delete(n.all, e.info.Name)
	}
}

// Find returns which process has a stream.
func (n *Names) Find(ctx context.Context, stream string) (Owner, bool, error) {
	n.mu.Lock()
	e := n.all[stream]
	here := e != nil && e.wanted
	n.mu.Unlock()
	if here {
		return n.cluster.Self(), true, nil
	}
	r, err := n.cluster.store.Get(ctx, namesBucket, nameKey(stream))
	if errors.Is(err, state.ErrNotFound) {
		return Owner{}, false, nil
	}
	if err != nil {
		return Owner{}, false, err
	}
	record, err := parseName(r)
	return record.Owner, err == nil, err
}

func parseName(r state.Record) (nameRecord, error) {
	var record nameRecord
	if err := json.Unmarshal(r.Value, &record); err != nil {
		return nameRecord{}, fmt.Errorf("record of a stream's name: %w", err)
	}
	return record, nil
}

// settle makes the record of a name what it should be. late: the source is here already.
func (n *Names) settle(ctx context.Context, e *name, late bool) error {
	select {
	case e.turn <- struct{}{}:
		defer func() { <-e.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	n.mu.Lock()
	info, wanted, dirty, revision, epoch := e.info, e.wanted, e.dirty, e.revision, e.epoch
	had := standing{Late: late, Epoch: epoch, Since: e.since.UnixMilli()}
	n.mu.Unlock()
	var err error
	switch {
	case !wanted && revision == 0:
	case !wanted:
		err = n.cluster.store.Delete(ctx, namesBucket, nameKey(info.Name), revision)
		if errors.Is(err, state.ErrConflict) { // another process has it already
			err = nil
		}
		revision = 0
	case revision != 0 && dirty:
		revision, err = n.put(ctx, info, epoch, revision)
		if errors.Is(err, state.ErrConflict) {
			revision, epoch, err = n.claim(ctx, info, had)
		}
	case revision == 0:
		revision, epoch, err = n.claim(ctx, info, had)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if err == nil {
		e.revision, e.epoch = revision, epoch
		e.dirty = e.dirty && e.info.ID != info.ID
		if !wanted && !e.wanted && n.all[info.Name] == e {
			delete(n.all, info.Name)
		}
	}
	return err
}

// put writes the record of a name.
func (n *Names) put(ctx context.Context, info stream.Info, epoch, expect uint64) (uint64, error) {
	value, err := json.Marshal(nameRecord{
		Version: 1, Name: info.Name, Source: info.ID, Session: info.SessionID, Provider: info.Provider, Owner: n.cluster.Self(),
		Epoch: epoch, Created: time.Now().UnixMilli(),
	})
	if err != nil {
		return 0, err
	}
	return n.cluster.store.Put(ctx, namesBucket, nameKey(info.Name), value, expect)
}

// claim takes a name that is free or whose process does not live, or asks the process that has it. It fails with stream.ErrNameInUse if that
// process keeps it. With any other error nobody knows.
func (n *Names) claim(ctx context.Context, info stream.Info, own standing) (revision, epoch uint64, err error) {
	for range 5 { // each turn needs another process that wrote meanwhile
		first := max(own.Epoch, 1)
		if revision, err = n.put(ctx, info, first, 0); !errors.Is(err, state.ErrConflict) {
			return revision, first, err
		}
		r, err := n.cluster.store.Get(ctx, namesBucket, nameKey(info.Name))
		if errors.Is(err, state.ErrNotFound) {
			continue
		}
		if err != nil {
			return 0, 0, err
		}
		had, err := parseName(r)
		if err == nil && had.Owner != n.cluster.Self() && n.cluster.Lives(had.Owner) {
			if err := n.ask(ctx, had.Owner, info, own); err != nil {
				return 0, 0, err
			}
		}
		epoch = max(had.Epoch, own.Epoch) + 1
		if revision, err = n.put(ctx, info, epoch, r.Revision); !errors.Is(err, state.ErrConflict) {
			return revision, epoch, err
		}
	}
	return 0, 0, stream.ErrNameInUse
}

// run settles what Take could not settle, and gives names back, until ctx ends.
func (n *Names) run(ctx context.Context) {
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
			defer cancel()
			n.each(ctx, n.open(false))
			return
		case <-again.C:
		case <-n.wake:
		}
		n.each(ctx, n.open(n.cluster.conn.IsConnected()))
		if len(n.open(true)) > 0 {
			again.Reset(settleEvery)
		}
	}
}

// open returns the names that are not settled; without provisional only those to give back.
func (n *Names) open(provisional bool) []*name {
	n.mu.Lock()
	defer n.mu.Unlock()
	var open []*name
	for _, e := range n.all {
		if !e.wanted || provisional && (e.dirty || e.revision == 0) {
			open = append(open, e)
		}
	}
	return open
}

// each settles names, some at a time. It ends the sources whose names other processes have.
func (n *Names) each(ctx context.Context, names []*name) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, nameWorkers)
	for _, e := range names {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			ctx, cancel := context.WithTimeout(ctx, takeTimeout)
			defer cancel()
			if err := n.settle(ctx, e, true); errors.Is(err, stream.ErrNameInUse) {
				n.end(e)
			}
		})
	}
	wg.Wait()
}

// end ends the source of a name that another process has.
func (n *Names) end(e *name) {
	n.mu.Lock()
	info, wanted := e.info, e.wanted
	n.mu.Unlock()
	n.drop(e)
	if !wanted || n.cluster.parts.Hub == nil {
		return
	}
	if s, ok := n.cluster.parts.Hub.Source(info.Name); ok && s.Info().ID == info.ID {
		n.conflicts.Add(1)
		n.cluster.log.Warn("stream ends: another node has its name", "stream", info.Name)
		s.Close(stream.ErrNameInUse)
	}
}

// verify finds out which names are still this process's own, and writes those that are gone.
func (n *Names) verify(ctx context.Context) error {
	n.mu.Lock()
	var held []*name
	for _, e := range n.all {
		if e.revision != 0 {
			held = append(held, e)
		}
	}
	n.mu.Unlock()
	for _, e := range held {
		n.mu.Lock()
		key, revision := nameKey(e.info.Name), e.revision
		n.mu.Unlock()
		r, err := n.cluster.store.Get(ctx, namesBucket, key)
		if err != nil && !errors.Is(err, state.ErrNotFound) {
			return err
		}
		had, parseErr := parseName(r)
		n.mu.Lock()
		switch {
		case e.revision != revision: // it was written meanwhile
		case err == nil && parseErr == nil && had.Owner == n.cluster.Self():
			e.revision = r.Revision
		default:
			e.revision = 0 // run takes it again, or ends the source
		}
		n.mu.Unlock()
	}
	signal(n.wake)
	return nil
}

// fedFor is how old the newest media of a publisher may be that counts as sending.
const fedFor = 2 * time.Second

// source returns the source of this process with a name.
func (n *Names) source(of string) (*stream.Source, bool) {
	if n.cluster.parts.Hub == nil {
		return nil, false
	}
	return n.cluster.parts.Hub.Source(of)
}

// standing returns what this process has to show for a name, nil if it has not got the name.
func (n *Names) standing(of string) (*name, standing) {
	n.mu.Lock()
	defer n.mu.Unlock()
	e := n.all[of]
	if e == nil || !e.wanted {
		return nil, standing{}
	}
	return e, standing{Epoch: e.epoch, Since: e.since.UnixMilli()}
}

// count returns how many names this process has, and how many of these are provisional.
func (n *Names) count() (held, provisional int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.all {
		if e.wanted {
			held++
			if e.revision == 0 {
				provisional++
			}
		}
	}
	return held, provisional
}

// nameQuestion is what the process that has a name is asked by another one, to which a publisher of that name has come.
type nameQuestion struct {
	Name       string     `json:"name"`
	Session    string     `json:"session,omitempty"`
	App        string     `json:"app,omitempty"`
	Provider   string     `json:"provider,omitempty"`
	Credential string     `json:"credential,omitempty"`
	Address    netip.Addr `json:"address,omitzero"`
	Identity   string     `json:"identity,omitempty"`
	Replace    bool       `json:"replace,omitempty"`
	Insists    bool       `json:"insists,omitempty"`
	standing
}

// standing is what a process has to show for a name that it asks for.
type standing struct {
	Late  bool   `json:"late,omitempty"`  // the publisher was let in already
	Fed   bool   `json:"fed,omitempty"`   // and sends
	Epoch uint64 `json:"epoch,omitempty"` // of the record that this process had; 0: it had none
	Since int64  `json:"since,omitempty"` // when it took the name; milliseconds since 1970
}

// before reports whether a process with a standing keeps the name, and not one with another. The newer record is the true one. Two records of one
// epoch exist if NATS has forgotten the first; then whoever came first has the name.
func (s standing) before(other standing) bool {
	return s.Fed && (s.Epoch > other.Epoch || s.Epoch == other.Epoch && s.Epoch > 0 && s.Since < other.Since)
}

// The answers to a question.
const (
	answerYours = "yours"
	answerMine  = "mine"
)

// askPlace is what questions are sealed for: they hold credentials.
const askPlace = "cluster/stream.ask"

// ask asks the process that has a name to give it up. It fails with stream.ErrNameInUse if the process keeps it.
func (n *Names) ask(ctx context.Context, to Owner, info stream.Info, own standing) error {
	if s, ok := n.source(info.Name); ok && own.Late {
		own.Fed = s.IsLive() && time.Since(s.LastMedia()) < fedFor
	}
	text, err := json.Marshal(nameQuestion{
		Name: info.Name, Session: info.SessionID, App: info.AppKey, Provider: info.Provider, Credential: info.Publisher.Credential,
		Address: info.Publisher.Address, Identity: info.Publisher.Identity, Replace: info.Publisher.Replace, Insists: info.Publisher.Insists, standing: own,
	})
	if err != nil {
		return err
	}
	sealed, err := n.cluster.parts.Sealer.Seal(askPlace, text)
	if err != nil {
		return err
	}
	answer, err := n.cluster.Request(ctx, to, verbName, []byte(sealed))
	switch {
	case err != nil:
		return err
	case string(answer) == answerYours:
		return nil
	case string(answer) == answerMine:
		return stream.ErrNameInUse
	}
	return fmt.Errorf("node %s does not understand the question for a name", to.Node)
}

// verbName is the verb of questions for a name.
const verbName = "stream.ask"

// answer says whether another process may have a name.
func (n *Names) answer(ctx context.Context, sealed []byte) ([]byte, error) {
	text, err := n.cluster.parts.Sealer.Open(askPlace, string(sealed))
	var q nameQuestion
	if err == nil {
		err = json.Unmarshal(text, &q)
	}
	if err != nil {
		return nil, fmt.Errorf("question for a name: %w", err)
	}
	if n.cluster.parts.Hub == nil {
		return []byte(answerYours), nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	switch e, own := n.standing(q.Name); {
	case q.Late && e != nil && q.before(own):
		n.end(e)
	case q.Late:
		err = n.cluster.parts.Hub.YieldDead(q.Name)
	default:
		err = n.cluster.parts.Hub.Yield(ctx, stream.Info{
			Name: q.Name, SessionID: q.Session, AppKey: q.App, Provider: q.Provider,
			Publisher: stream.Publisher{Credential: q.Credential, Address: q.Address, Identity: q.Identity, Replace: q.Replace, Insists: q.Insists},
		})
	}
	if err != nil {
		return []byte(answerMine), nil
	}
	return []byte(answerYours), nil
}
