package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"transponder/internal/state"
	"transponder/internal/transponder"
)

// sharedBuckets are the buckets of the state that all servers of a cluster have in common.
var sharedBuckets = []string{"users", "sessions", "visits", "keys", "revocations", "used", "signing", "destinations", "apps"}

const (
	// copyBucket holds in the state of this server what all servers share, as this one knew it last.
	copyBucket = "shared"
	// foundedKey is the record that says who has made the shared records, and from what. No other key is without a dot.
	foundedKey = "founded"

	// maxShared is the size of the largest record: NATS counts what it needs itself, too.
	maxShared = maxRecord - 1<<10

	// startTime is how long the start of a server waits for the shared records. Whoever has a copy waits less: an upgrade is a gap in shows.
	startTime     = 10 * time.Second
	startTimeCopy = 2 * time.Second
	// rereadPause is the time between two tries to read the shared records.
	rereadPause = time.Second
	// copyAgain is the time after which records are copied again that the state of this server did not take: its disk may be full.
	copyAgain = 10 * time.Second
)

// SharedParts are what a Shared works with.
type SharedParts struct {
	Cluster *Cluster
	Local   state.Keeper // of this server: the buckets that are not shared, and the copy of those that are
	Log     *slog.Logger
}

// Shared has the records that people have made: users with their sessions, keys, revoked tokens, destinations and applications. It is the
// state.Keeper of one set for all servers, and hands the other buckets to the state of this server.
//
// All records are in memory, where a reader of the bucket's stream keeps them new, so that no question waits for NATS. A change goes to NATS
// first, with the revision that it replaces, and then into the memory. A copy lies in the state of this server: a server that starts without NATS
// knows what it knew last. Any goroutine may call the methods.
type Shared struct {
	parts SharedParts
	store *natsStore
	log   *slog.Logger

	known chan struct{} // closed when the records were read from NATS for the first time

	mu      sync.Mutex
	records map[string]sharedRecord // guarded by mu; by the key in NATS
	made    time.Time               // guarded by mu; when the bucket was made that the records were read from; zero: they come from this server
	passed  uint64                  // guarded by mu; the revision up to which the reader of the stream has come
	copied  bool                    // guarded by mu; the records come from the copy, or from NATS
	news    map[string]bool         // guarded by mu; keys that others have changed, for the followers
	unsaved map[string]bool         // guarded by mu; keys that the copy does not have yet
	follow  map[string][]follower   // guarded by mu; by bucket
	reading bool                    // guarded by mu; what others change comes in

	tell, save chan struct{} // 1; there is something in news, or in unsaved
	copyAgain  time.Duration

	founding founding // owned by read

	refused, rereads atomic.Int64
}

// follower is told which records of a bucket others have changed.
type follower func(ctx context.Context, keys []string)

// sharedRecord is a record, or the note that it was removed: an older write may come in later.
type sharedRecord struct {
	state.Record
	removed bool
}

// NewShared makes a Shared with what this server knew last: the copy, or what the server had before it was one of several. The caller calls Start,
// and Run once.
func NewShared(ctx context.Context, parts SharedParts) *Shared {
	s := &Shared{
		parts: parts, store: parts.Cluster.store, log: parts.Log, known: make(chan struct{}), records: map[string]sharedRecord{}, news: map[string]bool{},
		unsaved: map[string]bool{}, follow: map[string][]follower{}, tell: make(chan struct{}, 1), save: make(chan struct{}, 1),
		copyAgain: copyAgain,
	}
	stored, err := parts.Local.List(ctx, copyBucket, "")
	for _, r := range stored {
		if r.Key == foundedKey {
			s.copied = true
		}
	}
	if s.copied {
		for _, r := range stored {
			s.records[r.Key] = sharedRecord{Record: state.Record{Key: r.Key, Value: r.Value, Changed: r.Changed}}
		}
	} else {
		for _, bucket := range sharedBuckets {
			own, failed := parts.Local.List(ctx, bucket, "")
			err = errors.Join(err, failed)
			for _, r := range own {
				key := sharedKey(bucket, r.Key)
				s.records[key] = sharedRecord{Record: state.Record{Key: key, Value: r.Value, Changed: r.Changed}}
			}
		}
	}
	if err != nil {
		s.log.Error("not all users, keys and destinations of this server could be read", "err", err)
	}
	return s
}

// isShared says whether all servers have a bucket in common.
func isShared(bucket string) bool { return slices.Contains(sharedBuckets, bucket) }

// sharedKey makes a key of NATS from any bucket and key. NATS takes letters, digits and -/_=. in keys.
func sharedKey(bucket, key string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	var b strings.Builder
	b.WriteString(bucket)
	b.WriteByte('.')
	for i := range len(key) {
		if strings.IndexByte(plain, key[i]) >= 0 {
			b.WriteByte(key[i])
		} else {
			fmt.Fprintf(&b, "=%02X", key[i])
		}
	}
	return b.String()
}

// parseShared is the reverse of sharedKey.
func parseShared(key string) (bucket, name string, ok bool) {
	bucket, text, ok := strings.Cut(key, ".")
	if !ok || !isShared(bucket) {
		return "", "", false
	}
	var b []byte
	for i := 0; i < len(text); i++ {
		if text[i] != '=' {
			b = append(b, text[i])
			continue
		}
		var c byte
		if len(text) < i+3 {
			return "", "", false
		}
		if _, err := fmt.Sscanf(text[i+1:i+3], "%02X", &c); err != nil {
			return "", "", false
		}
		b = append(b, c)
		i += 2
	}
	return bucket, string(b), true
}

// Get returns a record from the memory.
func (s *Shared) Get(ctx context.Context, bucket, key string) (state.Record, error) {
	if !isShared(bucket) {
		return s.parts.Local.Get(ctx, bucket, key)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.records[sharedKey(bucket, key)]
	if !ok || r.removed {
		return state.Record{}, state.ErrNotFound
	}
	r.Key = key
	return r.Record, nil
}

// List returns records from the memory.
func (s *Shared) List(ctx context.Context, bucket, prefix string) ([]state.Record, error) {
	if !isShared(bucket) {
		return s.parts.Local.List(ctx, bucket, prefix)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []state.Record
	for key, r := range s.records {
		if !strings.HasPrefix(key, bucket+".") || r.removed {
			continue
		}
		if _, name, ok := parseShared(key); ok && strings.HasPrefix(name, prefix) {
			r.Key = name
			all = append(all, r.Record)
		}
	}
	return sorted(all), nil
}

// Put writes a record for all servers.
func (s *Shared) Put(ctx context.Context, bucket, key string, value []byte, expect uint64) (revision uint64, err error) {
	if !isShared(bucket) {
		return s.parts.Local.Put(ctx, bucket, key, value, expect)
	}
	if len(value) > maxShared {
		return 0, fmt.Errorf("record %s/%s: %d bytes are more than %d, which servers of a cluster can share", bucket, key, len(value), maxShared)
	}
	err = s.change(ctx, sharedKey(bucket, key), func(name string) (sharedRecord, error) {
		revision, err = s.store.Put(ctx, sharedBucket, name, value, expect)
		return sharedRecord{Record: state.Record{Key: name, Value: value, Revision: revision, Changed: time.Now()}}, err
	})
	if err != nil {
		return 0, err
	}
	return revision, nil
}

// Delete removes a record for all servers.
func (s *Shared) Delete(ctx context.Context, bucket, key string, expect uint64) error {
	if !isShared(bucket) {
		return s.parts.Local.Delete(ctx, bucket, key, expect)
	}
	return s.change(ctx, sharedKey(bucket, key), func(name string) (sharedRecord, error) {
		revision, err := s.store.remove(ctx, sharedBucket, name, expect)
		return sharedRecord{Record: state.Record{Key: name, Revision: revision}, removed: true}, err
	})
}

// change does a write, and takes its result into the memory. After a conflict the memory has what is there now, so that a caller who reads it tries with
// the right revision.
func (s *Shared) change(ctx context.Context, key string, write func(key string) (sharedRecord, error)) error {
	if err := s.Writable(); err != nil {
		s.refused.Add(1)
		return err
	}
	r, err := write(key)
	switch {
	case err == nil:
		s.take(r, byUs)
	case errors.Is(err, state.ErrConflict):
		if !s.catchUp(ctx, key) {
			s.refused.Add(1)
			return state.ErrAway
		}
	case errors.Is(err, transponder.ErrIsolated):
		s.refused.Add(1)
		s.log.Warn("a change of what the servers share was refused", "err", err)
		return state.ErrAway
	}
	return err
}

// catchUp reads a record that others have changed. It returns false if NATS does not have what this process has read there: then NATS has lost its
// records, and they must be read again before anything can be changed.
func (s *Shared) catchUp(ctx context.Context, key string) bool {
	now, removed, err := s.store.newest(ctx, sharedBucket, key)
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return false
	}
	if err == nil {
		s.take(sharedRecord{now, removed}, byOthers)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, ok := s.records[key]; ok && !r.removed && r.Revision > now.Revision {
		signal(s.parts.Cluster.reread)
		return false
	}
	return true
}

// origin says where a record comes from.
type origin int

const (
	byUs     origin = iota // this process has written it, and knows
	byOthers               // it was read when a write had met it
	inOrder                // the reader of the bucket's stream has come to it: nothing older comes any more
)

// take takes a record into the memory, unless that has a newer one.
func (s *Shared) take(r sharedRecord, from origin) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if from != inOrder && r.Revision <= s.passed {
		return // the reader has come to it already, or to what came after it
	}
	if from == inOrder {
		s.passed = r.Revision
	}
	if old, had := s.records[r.Key]; !had || old.Revision < r.Revision {
		s.records[r.Key] = r
		s.note(r.Key, from == byUs)
	}
	if from == inOrder && s.records[r.Key].removed && s.records[r.Key].Revision == r.Revision {
		delete(s.records, r.Key)
	}
}

// note tells the followers and the copy of a change. The caller holds mu.
func (s *Shared) note(key string, own bool) {
	s.unsaved[key] = true
	signal(s.save)
	if !own {
		s.news[key] = true
		signal(s.tell)
	}
}

// Follow has f called after others have changed records of a bucket.
func (s *Shared) Follow(bucket string, f func(ctx context.Context, keys []string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.follow[bucket] = append(s.follow[bucket], f)
}

// Known is closed once this process has seen what the servers share.
func (s *Shared) Known() <-chan struct{} { return s.known }

// isKnown says whether Known is closed.
func (s *Shared) isKnown() bool {
	select {
	case <-s.known:
		return true
	default:
		return false
	}
}

// Writable returns state.ErrAway if a change would fail now.
func (s *Shared) Writable() error {
	if !s.isKnown() || !s.store.conn.IsConnected() {
		return state.ErrAway
	}
	return nil
}

// SharedStats are figures of a Shared.
type SharedStats struct {
	Records int
	Stale   bool  // what others change does not come in
	Refused int64 // changes
	Rereads int64 // of all records
}

// Stats returns the figures.
func (s *Shared) Stats() SharedStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return SharedStats{len(s.records), !s.reading, s.refused.Load(), s.rereads.Load()}
}

// Start reads the shared records, if NATS answers soon. It tells the followers nothing.
func (s *Shared) Start(ctx context.Context) {
	s.mu.Lock()
	limit := startTime
	if s.copied {
		limit = startTimeCopy
	}
	s.mu.Unlock()
	err := errors.New("there is no link to NATS")
	if s.store.conn.IsConnected() {
		select {
		case <-s.parts.Cluster.reread: // that there is a link is no news
		default:
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
		err = s.read(ctx, cancel)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reading = false
	if !s.isKnown() {
		s.log.Warn("users, keys and destinations of the cluster could not be read: those that this server knew last are valid, and nobody can change them until NATS is there",
			"records", len(s.records), "err", err)
	}
	clear(s.news)
}

// Run keeps the records new until ctx ends.
func (s *Shared) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { s.readOn(ctx) })
	wg.Go(func() { s.tellNews(ctx) })
	wg.Go(func() { s.saveAll(ctx) })
	wg.Wait()
	return context.Cause(ctx)
}

// readOn reads the records anew when the link or the bucket has changed, or something broke.
func (s *Shared) readOn(ctx context.Context) {
	said := ""
	for ctx.Err() == nil {
		reading, cancel := context.WithCancelCause(ctx)
		var wg sync.WaitGroup
		wg.Go(func() {
			select {
			case <-s.parts.Cluster.reread:
				cancel(errRewatch)
			case <-reading.Done():
			}
		})
		err := s.read(reading, nil)
		if cause := context.Cause(reading); cause != nil {
			err = cause
		}
		again := errors.Is(err, errRewatch)
		cancel(nil)
		wg.Wait()
		s.mu.Lock()
		s.reading = false
		s.mu.Unlock()
		if ctx.Err() != nil {
			return
		}
		s.rereads.Add(1)
		if text := err.Error(); text != said && s.store.conn.IsConnected() {
			said = text
			s.log.Info("users, keys and destinations of the cluster are read again", "err", err)
		}
		if !again {
			s.pause(ctx)
		}
	}
}

// pause waits until it makes sense to read again.
func (s *Shared) pause(ctx context.Context) {
	t := time.NewTimer(rereadPause)
	defer t.Stop()
	select {
	case <-s.parts.Cluster.reread:
	case <-t.C:
	case <-ctx.Done():
	}
}

// read reads all records and then each change, until ctx ends or something breaks. complete is called when all are there; it may be nil.
func (s *Shared) read(ctx context.Context, complete func()) error {
	if !s.store.conn.IsConnected() {
		return transponder.ErrIsolated
	}
	limit, cancel := context.WithTimeout(ctx, makeTimeout)
	defer cancel()
	if _, err := s.store.ensure(limit, metaBucket); err != nil {
		return err
	}
	if err := admit(limit, s.store, s.parts.Cluster.Sealer()); err != nil {
		return err
	}
	if _, err := s.store.ensure(limit, sharedBucket); err != nil {
		return err
	}
	if err := s.found(ctx); err != nil {
		return err
	}
	limit, cancel = context.WithTimeout(ctx, makeTimeout)
	defer cancel()
	stream, err := s.store.js.Stream(limit, s.store.stream(sharedBucket))
	if err != nil {
		return err
	}
	made := stream.CachedInfo().Created
	all := map[string]sharedRecord{} // nil once all are read
	reading, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	late := time.AfterFunc(listTimeout, func() { stop(errors.New("NATS does not send all records")) })
	defer late.Stop()
	err = readLog(reading, stream, 1, func(m jetstream.Msg, number uint64) {
		key := strings.TrimPrefix(m.Subject(), s.store.prefix(sharedBucket))
		r := sharedRecord{state.Record{Key: key, Value: bytes.Clone(m.Data()), Revision: number}, removed(m.Headers())}
		meta, err := m.Metadata()
		if err != nil {
			stop(err)
			return
		}
		r.Changed = meta.Timestamp
		if all == nil {
			s.take(r, inOrder)
			return
		}
		if all[key] = r; r.removed {
			delete(all, key)
		}
		if meta.NumPending == 0 && late.Stop() {
			s.replace(all, made, number)
			all = nil
			if complete != nil {
				complete()
			}
		}
	})
	if cause := context.Cause(reading); cause != nil {
		return cause
	}
	return err
}

// replace makes the records those that were read from NATS up to a number. What this process has written meanwhile stays.
func (s *Shared) replace(all map[string]sharedRecord, made time.Time, last uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, old := range s.records {
		if made.Equal(s.made) && old.Revision > last {
			all[key] = old
		}
	}
	for key := range s.records {
		if _, ok := all[key]; !ok {
			s.note(key, false)
		}
	}
	for key, r := range all {
		old, had := s.records[key]
		if !had || old.removed || old.Revision != r.Revision || !bytes.Equal(old.Value, r.Value) {
			s.note(key, false)
		}
	}
	s.sayJoined(all)
	s.records, s.made, s.passed, s.copied, s.reading = all, made, last, true, true
	if !s.isKnown() {
		close(s.known)
	}
}

// sayJoined logs that the users of this server give way to those of the cluster. The caller holds mu.
func (s *Shared) sayJoined(all map[string]sharedRecord) {
	if s.copied || len(s.records) == 0 {
		return
	}
	aside := 0
	for key, r := range s.records {
		if now, ok := all[key]; !ok || !bytes.Equal(now.Value, r.Value) {
			aside++
		}
	}
	if aside > 0 {
		s.log.Warn("this server has joined a cluster that has users, keys and destinations of its own: those of this server stay in its state, and are not used while it is in the cluster",
			"records", aside)
	}
}

// tellNews tells the followers what others have changed.
func (s *Shared) tellNews(ctx context.Context) {
	for {
		select {
		case <-s.tell:
		case <-ctx.Done():
			return
		}
		s.mu.Lock()
		keys := map[string][]string{}
		for key := range s.news {
			if bucket, name, ok := parseShared(key); ok {
				keys[bucket] = append(keys[bucket], name)
			}
		}
		clear(s.news)
		follow := maps.Clone(s.follow)
		s.mu.Unlock()
		for _, bucket := range sharedBuckets { // users first, since the rest depends on them
			if len(keys[bucket]) == 0 {
				continue
			}
			for _, f := range follow[bucket] {
				f(ctx, keys[bucket])
			}
		}
	}
}

// saveAll keeps the copy. What the state did not take is tried again.
func (s *Shared) saveAll(ctx context.Context) {
	again := time.NewTimer(0)
	again.Stop()
	defer again.Stop()
	for said := false; ; {
		select {
		case <-s.save:
		case <-again.C:
		case <-ctx.Done():
			limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), keeperTimeout)
			s.saveOnce(limit)
			cancel()
			return
		}
		failed := s.saveOnce(ctx)
		if failed > 0 {
			again.Reset(s.copyAgain)
			if !said && ctx.Err() == nil {
				s.log.Warn("not all that the servers of the cluster share could be copied to the state of this one: what is missing is unknown here after a start without NATS",
					"records", failed)
			}
		}
		said = failed > 0
	}
}

// saveOnce writes to the copy what it does not have, and returns how many records the state did not take.
func (s *Shared) saveOnce(ctx context.Context) (failed int) {
	if !s.isKnown() {
		return 0
	}
	s.mu.Lock()
	write := make(map[string]sharedRecord, len(s.unsaved))
	for key := range s.unsaved {
		write[key] = s.records[key]
	}
	clear(s.unsaved)
	s.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(write)) {
		r := write[key]
		var err error
		if r.Value == nil || r.removed {
			err = s.parts.Local.Delete(ctx, copyBucket, key, state.Any)
		} else {
			_, err = s.parts.Local.Put(ctx, copyBucket, key, r.Value, state.Any)
		}
		if err != nil {
			failed++
			s.mu.Lock()
			s.unsaved[key] = true
			s.mu.Unlock()
		}
	}
	return failed
}

var _ state.Shared = (*Shared)(nil)
