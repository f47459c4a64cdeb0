package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"transponder/internal/state"
	"transponder/internal/transponder"
)

const (
	// keeperTimeout is how long reading or writing one record may take.
	keeperTimeout = 4 * time.Second
	// saveEvery is the least time between two saves of one record.
	saveEvery = time.Second
	// quickSaves are the writes of a claim, its first, after which a save waits only quickly: so that a push that has just gone live is known as one.
	quickSaves = 6
	quickly    = 50 * time.Millisecond
	// saveAgain is the pause after a save that failed.
	saveAgain = 5 * time.Second
	// savers is how many records are saved at the same time. Writes that come together share one sync of the disk.
	savers = 32
	// maxConflicts is how many times in a row a record may change under a write before the write is given up.
	maxConflicts = 8
)

// ClaimsParts are what claims work with.
type ClaimsParts struct {
	Self    Owner
	Members Members
	Gate    Gate
	Salt    []byte // see Salt; nil: Late tells
	// Late reads the salt when it is needed first, because NATS may not be there when the server starts.
	Late func(context.Context) ([]byte, error)

	// Lasting reports whether what the keeper has written outlives this process; nil: it does.
	Lasting func() bool
	// Ask asks a process to release a push; nil: no other process can be asked. It fails with ErrGone if the process has no link to NATS.
	Ask func(ctx context.Context, o Owner, id string) error
	// Here returns how long the publisher of a stream has been at this process, 0 if he is not or sends nothing; nil: it is not known.
	Here func(stream string) time.Duration

	Log *slog.Logger
}

// Claims are the pushes that this process has, and the records of all others. It is a transponder.Keeper. Run writes the saves. Any goroutine
// may call its methods.
type Claims struct {
	codec
	keeper state.Keeper
	parts  ClaimsParts

	wake chan struct{} // tells Run that something is to be saved

	salt atomic.Pointer[[]byte] // nil: not known yet, see ready

	counters claimCounters

	mu     sync.Mutex
	held   map[string]*claim // guarded by mu; by place
	doomed map[string]doomed // guarded by mu; records by place that could not be removed yet
	given  map[string]*claim // guarded by mu; claims that were released, which their records do not say yet
	heads  map[string]headOf // guarded by mu; of all records as they were listed last, by place
}

// NewClaims makes claims over a keeper.
func NewClaims(keeper state.Keeper, sealer state.Sealer, parts ClaimsParts) *Claims {
	c := &Claims{codec: codec{sealer}, keeper: keeper, parts: parts, wake: make(chan struct{}, 1), held: map[string]*claim{}, doomed: map[string]doomed{}, given: map[string]*claim{}}
	if parts.Salt != nil {
		c.salt.Store(&parts.Salt)
	}
	return c
}

// ready makes sure that the salt is known.
func (c *Claims) ready(ctx context.Context) error {
	if c.salt.Load() != nil {
		return nil
	}
	if c.parts.Late == nil {
		return errors.New("the salt of ids is not known")
	}
	ctx, cancel := context.WithTimeout(ctx, keeperTimeout)
	defer cancel()
	salt, err := c.parts.Late(ctx)
	if err == nil {
		c.salt.Store(&salt)
	}
	return err
}

// Claim makes a push this process's. See transponder.Keeper.
func (c *Claims) Claim(ctx context.Context, r transponder.Record) (transponder.Claim, error) {
	var k *claim
	var err error
	if r.ID == "" {
		k, err = c.create(ctx, r)
	} else {
		k, err = c.take(ctx, r.ID)
	}
	c.counters.note(r.ID == "", err)
	return orNil(k, err)
}

func orNil(claim *claim, err error) (transponder.Claim, error) {
	if err != nil {
		return nil, err
	}
	return claim, nil
}

// create claims a new push. The create of its record is the judge between two who want the same push.
func (c *Claims) create(ctx context.Context, r transponder.Record) (*claim, error) {
	if err := c.ready(ctx); err != nil {
		return nil, err
	}
	r.ID = c.newID(r.Stream, r.Key)
	place, err := placeOf(r.ID)
	if err != nil {
		return nil, err
	}
	r.Node, r.Incarnation, r.Epoch = c.parts.Self.Node, c.parts.Self.Incarnation, 1
	k, err := c.hold(place, r)
	if err != nil {
		return nil, err
	}
	r = k.Record()
	if k.revision == 0 {
		err = k.put(ctx, r, 0)
		if errors.Is(err, state.ErrConflict) {
			err = c.replaceOver(ctx, k, r)
		}
	} else {
		err = k.write(ctx, r) // over the record of a push that is over, which may be gone by now
	}
	var full *state.WriteError
	if err != nil && !errors.As(err, &full) {
		k.drop()
		if errors.Is(err, state.ErrConflict) {
			return nil, transponder.ErrDuplicate
		}
		return nil, err
	}
	return k, nil
}

// replaceOver writes a new record over the one of a push that is over. It fails with state.ErrConflict if the push there is not over.
func (c *Claims) replaceOver(ctx context.Context, k *claim, r transponder.Record) error {
	last, revision, err := c.read(ctx, k.place)
	switch {
	case errors.Is(err, transponder.ErrNotFound):
		return k.put(ctx, r, 0)
	case err != nil:
		return err
	case !last.Over:
		return state.ErrConflict
	}
	r.Epoch = last.Epoch + 1
	k.set(r, revision)
	return k.put(ctx, r, revision)
}

// hold notes that this process has the push at a place, unless it has it already.
func (c *Claims) hold(place string, r transponder.Record) (*claim, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held[place] != nil {
		return nil, transponder.ErrDuplicate
	}
	k := &claim{claims: c, place: place, turn: make(chan struct{}, 1), record: r, moved: make(chan struct{})}
	if over, ok := c.doomed[place]; ok { // the record of a push that is over is still there, and a process before may know it
		k.revision, k.record.Epoch = over.revision, over.epoch+1
		delete(c.doomed, place)
	}
	delete(c.given, place)
	c.held[place] = k
	return k, nil
}

// take claims a push that is there. Its owner must not live, and if the owner went without a word, it gets the time to notice that.
func (c *Claims) take(ctx context.Context, id string) (*claim, error) {
	place, err := placeOf(id)
	if err != nil {
		return nil, transponder.ErrNotFound
	}
	if c.isOver(id) {
		return nil, transponder.ErrNotFound
	}
	k, err := c.hold(place, transponder.Record{ID: id})
	if err != nil {
		return nil, err
	}
	if err := c.takeOver(ctx, k); err != nil {
		k.drop()
		return nil, err
	}
	return k, nil
}

func (c *Claims) takeOver(ctx context.Context, k *claim) error {
	begun := time.Now()
	var asked Owner
	var since time.Time // from when the patience with that owner counts
	for range maxConflicts {
		r, revision, err := c.read(ctx, k.place)
		switch {
		case err != nil:
			return err
		case r.ID != k.record.ID, r.Over:
			return transponder.ErrNotFound
		case !r.Usable():
			return fmt.Errorf("push %s: %w", r.ID, state.ErrNewer)
		}
		if owner := (Owner{r.Node, r.Incarnation}); owner != (Owner{}) && owner != c.parts.Self {
			if c.parts.Members.Lives(owner) {
				return transponder.ErrDuplicate
			}
			if patience := c.parts.Members.Patience(owner); patience > 0 {
				k.silent = true
				if owner != asked {
					asked, since = owner, begun
					switch err := c.ask(ctx, owner, r.ID); {
					case err == nil:
						continue // the owner has released the push, or still has it
					case errors.Is(err, ErrGone): // cut off, and it ends what its publisher does not feed: the time since he came here counts
						since = begun.Add(-c.here(r.Stream))
					}
				}
				if err := sleep(ctx, patience-time.Since(since)); err != nil {
					return err
				}
			}
		}
		r.Node, r.Incarnation = c.parts.Self.Node, c.parts.Self.Incarnation
		r.Epoch++
		k.set(r, revision)
		err = k.put(ctx, r, revision)
		var full *state.WriteError
		if err == nil || errors.As(err, &full) {
			return nil
		}
		if !errors.Is(err, state.ErrConflict) {
			return err
		}
	}
	return transponder.ErrDuplicate
}

// ask asks an owner who may still run to release a push.
func (c *Claims) ask(ctx context.Context, o Owner, id string) error {
	if c.parts.Ask == nil {
		return errors.New("no process can be asked")
	}
	ctx, cancel := context.WithTimeout(ctx, keeperTimeout)
	defer cancel()
	return c.parts.Ask(ctx, o, id)
}

// here returns how long the publisher of a stream has been at this process.
func (c *Claims) here(stream string) time.Duration {
	if c.parts.Here == nil {
		return 0
	}
	return c.parts.Here(stream)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// read reads the record at a place. It fails with transponder.ErrNotFound.
func (c *Claims) read(ctx context.Context, place string) (transponder.Record, uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, keeperTimeout)
	defer cancel()
	stored, err := c.keeper.Get(ctx, pushesBucket, place)
	if errors.Is(err, state.ErrNotFound) || errors.Is(err, state.ErrDamaged) {
		return transponder.Record{}, 0, transponder.ErrNotFound
	}
	if err != nil {
		return transponder.Record{}, 0, fmt.Errorf("read a push's record: %w", err)
	}
	r, err := c.decode(stored)
	return r, stored.Revision, err
}

// Waiting returns the records that nobody who lives has. See transponder.Keeper.
func (c *Claims) Waiting(ctx context.Context, stream string) ([]transponder.Record, error) {
	return c.pick(ctx, stream, func(h head) bool { return !c.owned(h.Owner, h.ID) })
}

// owned reports whether somebody who lives has a push.
func (c *Claims) owned(o Owner, id string) bool {
	if o == c.parts.Self {
		return c.has(id)
	}
	return o != (Owner{}) && c.parts.Members.Lives(o)
}

// has reports whether this process has a push.
func (c *Claims) has(id string) bool {
	place, err := placeOf(id)
	if err != nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.held[place] != nil
}

// List returns the records of a stream, of all streams if the name is empty, whoever has them. Records that cannot be read are left out, and
// the log names them.
func (c *Claims) List(ctx context.Context, stream string) ([]transponder.Record, error) {
	return c.pick(ctx, stream, func(head) bool { return true })
}

// pick is List of the records that are wanted. Only these are unsealed.
func (c *Claims) pick(ctx context.Context, stream string, wanted func(head) bool) ([]transponder.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, keeperTimeout)
	defer cancel()
	if err := c.ready(ctx); err != nil {
		return nil, err
	}
	prefix := ""
	if stream != "" {
		prefix = c.StreamHash(stream) + "."
	}
	stored, err := c.keeper.List(ctx, pushesBucket, prefix)
	if err != nil {
		return nil, fmt.Errorf("list the pushes: %w", err)
	}
	var all []transponder.Record
	heads := c.readHeads(stored, stream == "")
	for i, s := range stored {
		h, err := heads[i].head, heads[i].err
		if err == nil && (h.Over || c.isOver(h.ID) || stream != "" && h.Stream != stream || !wanted(h)) { // two streams may share the digits
			continue
		}
		var r transponder.Record
		if err == nil {
			r, err = c.decode(s)
		}
		if err != nil {
			c.parts.Log.Error("record of a push cannot be read", "key", s.Key, "err", err)
			continue
		}
		all = append(all, r)
	}
	return all, nil
}

// readHeads reads the heads of records. Those of all records are remembered until the next time, because most of them do not change.
func (c *Claims) readHeads(stored []state.Record, all bool) []headOf {
	c.mu.Lock()
	before := c.heads
	c.mu.Unlock()
	heads := make([]headOf, len(stored))
	byPlace := make(map[string]headOf, min(len(stored), maxListed))
	for i, s := range stored {
		h, ok := before[s.Key]
		if !ok || h.revision != s.Revision || !h.changed.Equal(s.Changed) {
			h = readHead(s)
		}
		heads[i] = h
		if len(byPlace) < maxListed {
			byPlace[s.Key] = h
		}
	}
	if all {
		c.mu.Lock()
		c.heads = byPlace
		c.mu.Unlock()
	}
	return heads
}

// Find returns the record of a push, whoever has it. It fails with transponder.ErrNotFound.
func (c *Claims) Find(ctx context.Context, id string) (transponder.Record, error) {
	place, err := placeOf(id)
	if err != nil {
		return transponder.Record{}, transponder.ErrNotFound
	}
	r, _, err := c.read(ctx, place)
	if err == nil && (r.ID != id || r.Over || c.isOver(id)) {
		err = transponder.ErrNotFound
	}
	return r, err
}

// Drop ends a push that nobody has. See transponder.Keeper.
func (c *Claims) Drop(ctx context.Context, r transponder.Record) error {
	place, err := placeOf(r.ID)
	if err != nil {
		return transponder.ErrNotFound
	}
	for range maxConflicts {
		now, revision, err := c.read(ctx, place)
		switch {
		case err != nil:
			return err
		case now.ID != r.ID, now.Over:
			return transponder.ErrNotFound
		case c.owned(Owner{now.Node, now.Incarnation}, now.ID):
			return transponder.ErrDuplicate
		}
		if err := c.delete(ctx, place, revision); !errors.Is(err, state.ErrConflict) {
			return err
		}
	}
	return transponder.ErrDuplicate
}

// doomed is the record of a push that is over.
type doomed struct {
	id       string // of the push
	revision uint64
	epoch    uint64
	stone    transponder.Record // what is to stand in the place of the record; without an id: nothing
}

// isOver reports whether a push has ended here, and its record is still to be removed.
func (c *Claims) isOver(id string) bool {
	place, err := placeOf(id)
	if err != nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	d, ok := c.doomed[place]
	return ok && d.id == id
}

// doom notes that the record of a claim that is over is still to be removed.
func (c *Claims) doom(place string, d doomed) {
	c.mu.Lock()
	c.doomed[place] = d
	c.mu.Unlock()
	c.nudge()
}

// give notes that a claim was released though its record could not be written.
func (c *Claims) give(k *claim) {
	c.mu.Lock()
	if c.held[k.place] == k || c.held[k.place] == nil {
		c.given[k.place] = k
	}
	c.mu.Unlock()
	c.nudge()
}

// handOver writes the records of claims that were released.
func (c *Claims) handOver(ctx context.Context) (failed bool) {
	c.mu.Lock()
	given := maps.Clone(c.given)
	c.mu.Unlock()
	for place, k := range given {
		if err := k.handOver(ctx); err != nil {
			return true
		}
		c.mu.Lock()
		if c.given[place] == k {
			delete(c.given, place)
		}
		c.mu.Unlock()
	}
	return false
}

// nudge makes Run look.
func (c *Claims) nudge() {
	select {
	case c.wake <- struct{}{}:
	default: // it will
	}
}

// bury removes the records of pushes that are over, and returns when to try again.
func (c *Claims) bury(ctx context.Context, now time.Time) (next time.Time) {
	c.mu.Lock()
	all := maps.Clone(c.doomed)
	c.mu.Unlock()
	next = now.Add(time.Hour)
	if c.handOver(ctx) {
		next = now.Add(saveEvery)
	}
	for place, d := range all {
		if err := c.remove(ctx, place, d); err != nil && !errors.Is(err, state.ErrConflict) {
			return now.Add(saveAgain)
		}
		c.mu.Lock()
		if c.doomed[place].revision == d.revision {
			delete(c.doomed, place)
		}
		c.mu.Unlock()
	}
	return next
}

// overFor is how long it is kept that a push is over whose process may be cut off: as long as a process may be cut off and still learn of it.
const overFor = 24 * time.Hour

// expiring is a state.Keeper that can keep a record for some time only. *natsStore is one.
type expiring interface {
	put(ctx context.Context, bucket, key string, value []byte, expect uint64, ttl time.Duration) (uint64, error)
}

// remove removes the record of a push that is over, or puts the note in its place that the push is over.
func (c *Claims) remove(ctx context.Context, place string, d doomed) error {
	keeper, ok := c.keeper.(expiring)
	if !ok || d.stone.ID == "" {
		return c.delete(ctx, place, d.revision)
	}
	value, err := c.encode(d.stone)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, keeperTimeout)
	defer cancel()
	if _, err := keeper.put(ctx, pushesBucket, place, value, d.revision, overFor); err != nil {
		return fmt.Errorf("note that a push is over: %w", err)
	}
	return nil
}

// delete removes a record. That the record is gone already is no error.
func (c *Claims) delete(ctx context.Context, place string, revision uint64) error {
	ctx, cancel := context.WithTimeout(ctx, keeperTimeout)
	defer cancel()
	if err := c.keeper.Delete(ctx, pushesBucket, place, revision); err != nil && !errors.Is(err, state.ErrNotFound) {
		return fmt.Errorf("remove a push's record: %w", err)
	}
	return nil
}

// Verify reads the record of each claim, for a process that may have lost some: it writes again what is gone, and gives up what another process
// has. See claim.settle.
func (c *Claims) Verify(ctx context.Context) error {
	var errs []error
	if salt := c.salt.Load(); salt != nil && c.parts.Late != nil {
		errs = append(errs, keepSalt(ctx, c.keeper, c.sealer, *salt))
	}
	for _, k := range c.all() {
		if err := k.verify(ctx); err != nil && !errors.Is(err, transponder.ErrMoved) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (c *Claims) all() []*claim {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]*claim, 0, len(c.held))
	for _, k := range c.held {
		all = append(all, k)
	}
	return all
}

// Run writes what is to be saved until ctx ends, and then what is left. It returns the cause.
func (c *Claims) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-c.wake:
		case <-timer.C:
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), keeperTimeout)
			defer cancel()
			c.save(last, time.Now().Add(time.Hour))
			return context.Cause(ctx)
		}
		next := c.save(ctx, time.Now())
		if c.ready(ctx) != nil { // all know the salt before a keeper that forgets can lose it
			next = earlier(next, time.Now().Add(saveAgain))
		}
		timer.Reset(time.Until(next))
	}
}

// save writes the records that are due at a time, and returns when the next one is due.
func (c *Claims) save(ctx context.Context, now time.Time) (next time.Time) {
	next = c.bury(ctx, now)
	var wg sync.WaitGroup
	defer wg.Wait()
	places := make(chan struct{}, savers)
	for _, k := range c.all() {
		at, dirty := k.due()
		switch {
		case !dirty:
		case at.After(now):
			next = earlier(next, at)
		default:
			next = earlier(next, now.Add(quickly))
			places <- struct{}{}
			wg.Go(func() {
				k.save(ctx)
				<-places
			})
		}
	}
	return next
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
