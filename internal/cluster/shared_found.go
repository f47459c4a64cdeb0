package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"transponder/internal/state"
)

const (
	// foundTime is how long making the shared records may take, 100 000 of them.
	foundTime = 2 * time.Minute
	// founderGone is after which time without progress another server makes the shared records.
	founderGone = 30 * time.Second
	// founderTells is after how many records whoever makes them tells that he goes on.
	founderTells = 1000
)

// errFounding means that another server makes the shared records just now.
var errFounding = errors.New("another server of the cluster makes the shared records")

// foundedRecord says who has made the shared records.
type foundedRecord struct {
	Version int    `json:"v"`
	Node    string `json:"node"`
	Process string `json:"process"`
	At      int64  `json:"at"`   // milliseconds since 1970
	Done    bool   `json:"done"` // all are there
}

// founding is what a server has seen of another one that makes the shared records.
type founding struct {
	revision uint64
	since    time.Time
}

// found makes the shared records if there are none: of the copy that this server has, if NATS has lost them, or else of what this server had
// before it was one of several. Of servers that try at the same time one does it. It returns nil when they are there.
func (s *Shared) found(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, foundTime)
	defer cancel()
	for {
		var record foundedRecord
		r, err := s.store.Get(ctx, sharedBucket, foundedKey)
		switch {
		case err == nil:
			if err := json.Unmarshal(r.Value, &record); err != nil {
				return fmt.Errorf("record of the founder: %w", err)
			}
			if record.Done {
				return nil
			}
			if !s.mayFound(record, r.Revision) {
				return errFounding
			}
		case !errors.Is(err, state.ErrNotFound):
			return err
		}
		err = s.fill(ctx, r.Revision)
		if !errors.Is(err, state.ErrConflict) { // another server was faster
			return err
		}
	}
}

// mayFound says whether the server that has begun to make the shared records is gone.
func (s *Shared) mayFound(record foundedRecord, revision uint64) bool {
	if record.Node == s.parts.Cluster.Self().Node {
		return true // it was this process, or the one before
	}
	if s.founding.revision != revision {
		s.founding = founding{revision, time.Now()}
	}
	return time.Since(s.founding.since) > founderGone
}

// fill writes what this server has. expect is the revision of the founder's record, 0 if there is none.
func (s *Shared) fill(ctx context.Context, expect uint64) error {
	self := s.parts.Cluster.Self()
	tell := func(done bool) (err error) {
		value, err := json.Marshal(foundedRecord{1, self.Node, self.Incarnation, time.Now().UnixMilli(), done})
		if err == nil {
			expect, err = s.store.Put(ctx, sharedBucket, foundedKey, value, expect)
		}
		return err
	}
	if err := tell(false); err != nil {
		return err
	}
	s.mu.Lock()
	own, copied := maps.Clone(s.records), s.copied
	s.mu.Unlock()
	delete(own, foundedKey)
	written := 0
	for _, key := range slices.Sorted(maps.Keys(own)) {
		if own[key].removed {
			continue
		}
		if _, err := s.store.Put(ctx, sharedBucket, key, own[key].Value, 0); err != nil && !errors.Is(err, state.ErrConflict) {
			return err
		}
		if written++; written%founderTells == 0 {
			if err := tell(false); err != nil {
				return err
			}
		}
	}
	if err := tell(true); err != nil {
		return err
	}
	switch {
	case copied:
		s.log.Warn("NATS has lost users, keys and destinations of the cluster: this server has written those that it knew", "records", written)
	case written > 0:
		s.log.Info("the cluster had no users, keys and destinations: those of this server are those of the cluster now", "records", written)
	}
	return nil
}
