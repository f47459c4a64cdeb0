package cluster

import (
	"context"
	"maps"
	"slices"
	"time"

	"transponder/internal/state"
)

// listing remembers the records of all pushes for a time after they were listed, so that the next list reads only what has changed. It costs nothing
// while nobody lists: a watch would bring each change of each push to each server. Any goroutine may call the methods.
type listing struct {
	turn chan struct{} // 1; who has put something in may use the rest

	records map[string]state.Record // by key; nil: nothing is remembered
	made    time.Time               // of the bucket
	last    uint64                  // the newest revision that was read
	read    time.Time               // when all records were read last
	known   time.Time               // when the changes were read last
}

const (
	// listedFor is how long after a list only the changes are read. It is less than markerFor: later it is not seen any more that a key was removed.
	listedFor = markerFor / 2
	// readAgain is how often all records are read nevertheless, whatever the clock of NATS did to the marks of keys that were removed.
	readAgain = 5 * time.Minute
	// maxListed is how many records are remembered, of 1 kB each.
	maxListed = 10_000
	// changesAtOnce is how many changes are read with one request.
	changesAtOnce = 500
)

func newListing() listing { return listing{turn: make(chan struct{}, 1)} }

// all is List of all pushes.
func (l *listing) all(ctx context.Context, s *natsStore) ([]state.Record, error) {
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return nil, unreachable(context.Cause(ctx))
	}
	stream, err := s.js.Stream(ctx, s.stream(pushesBucket))
	if err != nil {
		return nil, s.refused(pushesBucket, err)
	}
	now, info := time.Now(), stream.CachedInfo()
	if l.records == nil || !info.Created.Equal(l.made) || info.State.LastSeq < l.last || now.Sub(l.known) > listedFor || now.Sub(l.read) > readAgain {
		all, err := s.list(ctx, pushesBucket, "")
		if err != nil || len(all) > maxListed {
			l.records = nil
			return all, err
		}
		l.records, l.made, l.last, l.read = map[string]state.Record{}, info.Created, 0, now
		for _, r := range all {
			l.records[r.Key], l.last = r, max(l.last, r.Revision)
		}
	} else if err := l.catchUp(ctx, s, info.State.LastSeq); err != nil {
		return nil, err
	}
	l.known = now
	return sorted(slices.Collect(maps.Values(l.records))), nil
}

// catchUp reads what was written after last.
func (l *listing) catchUp(ctx context.Context, s *natsStore, newest uint64) error {
	for more := newest > l.last; more; {
		var found []change
		var err error
		found, more, err = s.direct(ctx, pushesBucket, map[string]any{
			"seq": l.last + 1, "next_by_subj": s.prefix(pushesBucket) + ">", "batch": changesAtOnce,
		})
		if err != nil {
			return err
		}
		for _, c := range found {
			l.last = max(l.last, c.Revision)
			if c.removed {
				delete(l.records, c.Key)
			} else {
				l.records[c.Key] = c.Record
			}
		}
		more = more && len(found) > 0
	}
	return nil
}

// forget frees what is too old to be of use.
func (l *listing) forget(now time.Time) {
	select {
	case l.turn <- struct{}{}:
		if now.Sub(l.known) > listedFor {
			l.records = nil
		}
		<-l.turn
	default: // somebody lists
	}
}
