package cluster

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"transponder/internal/state"
)

// memory is a state.Keeper without a goroutine and a disk, for tests with a clock of their own.
type memory struct {
	mu       sync.Mutex
	records  map[string]state.Record
	revision uint64
	full     bool
}

func newMemory() *memory { return &memory{records: map[string]state.Record{}} }

func (m *memory) fill(full bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.full = full
}

func (m *memory) len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.records)
}

func (m *memory) Get(_ context.Context, bucket, key string) (state.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.records[bucket+"/"+key]
	if !ok {
		return r, state.ErrNotFound
	}
	return r, nil
}

func (m *memory) List(_ context.Context, bucket, prefix string) ([]state.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []state.Record
	for place, r := range m.records {
		if strings.HasPrefix(place, bucket+"/"+prefix) {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(a, b state.Record) int { return strings.Compare(a.Key, b.Key) })
	return found, nil
}

func (m *memory) Put(_ context.Context, bucket, key string, value []byte, expect uint64) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.records[bucket+"/"+key]
	switch {
	case m.full:
		return 0, &state.WriteError{Err: errors.New("no room")}
	case expect != state.Any && expect != now.Revision:
		return 0, state.ErrConflict
	}
	m.revision++
	m.records[bucket+"/"+key] = state.Record{Key: key, Value: slices.Clone(value), Revision: m.revision, Changed: time.Now()}
	return m.revision, nil
}

// put keeps what it gets for ever.
func (m *memory) put(ctx context.Context, bucket, key string, value []byte, expect uint64, _ time.Duration) (uint64, error) {
	return m.Put(ctx, bucket, key, value, expect)
}

func (m *memory) Delete(_ context.Context, bucket, key string, expect uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	now, ok := m.records[bucket+"/"+key]
	switch {
	case m.full:
		return &state.WriteError{Err: errors.New("no room")}
	case !ok && expect != state.Any:
		return state.ErrNotFound
	case expect != state.Any && expect != now.Revision:
		return state.ErrConflict
	}
	delete(m.records, bucket+"/"+key)
	return nil
}

// noSeal seals nothing, but knows the place.
type noSeal struct{}

func (noSeal) Seal(place string, secret []byte) (string, error) {
	return place + ":" + hex.EncodeToString(secret), nil
}

func (noSeal) Open(place, sealed string) ([]byte, error) {
	text, ok := strings.CutPrefix(sealed, place+":")
	if !ok {
		return nil, fmt.Errorf("%w: another place", state.ErrSealed)
	}
	return hex.DecodeString(text)
}

// otherKey cannot open what noSeal has sealed.
type otherKey struct{}

func (otherKey) Seal(place string, secret []byte) (string, error) {
	return "other:" + hex.EncodeToString(secret), nil
}

func (otherKey) Open(_, sealed string) ([]byte, error) {
	text, ok := strings.CutPrefix(sealed, "other:")
	if !ok {
		return nil, state.ErrSealed
	}
	return hex.DecodeString(text)
}
