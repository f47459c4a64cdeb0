package state

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Bucket reads and writes the records of one bucket as values of a type, which must be a struct with tags for JSON.
//
// Each record has the version of its writer in the member v. A newer version of the server may write members that this one does not know: Put
// keeps them. It may also write min, the least version that may use the record: the methods fail with ErrNewer if that is above this version.
type Bucket[T any] struct {
	keeper  Keeper
	name    string
	version int
	known   map[string]bool // members that T has
}

// Item is one record.
type Item[T any] struct {
	Key      string
	Value    T
	Revision uint64
	Changed  time.Time
}

// NewBucket returns a bucket. version is that of the records which this version of the server writes; it begins with 1.
func NewBucket[T any](keeper Keeper, name string, version int) *Bucket[T] {
	b := &Bucket[T]{keeper, name, version, map[string]bool{"v": true, "min": true}}
	t := reflect.TypeFor[T]()
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" {
			name = f.Name
		}
		b.known[name] = true
	}
	return b
}

// Get returns a record. It fails with ErrNotFound, ErrDamaged and ErrNewer.
func (b *Bucket[T]) Get(ctx context.Context, key string) (Item[T], error) {
	r, err := b.keeper.Get(ctx, b.name, key)
	if err != nil {
		return Item[T]{}, err
	}
	return b.item(r)
}

// List returns the records whose keys begin with prefix, by key. It leaves out those that this version must not use. If a record cannot be
// read, the others are returned with the error.
func (b *Bucket[T]) List(ctx context.Context, prefix string) ([]Item[T], error) {
	records, err := b.keeper.List(ctx, b.name, prefix)
	if err != nil {
		return nil, err
	}
	var items []Item[T]
	var errs []error
	for _, r := range records {
		item, err := b.item(r)
		switch {
		case err == nil:
			items = append(items, item)
		case !errors.Is(err, ErrNewer):
			errs = append(errs, err)
		}
	}
	return items, errors.Join(errs...)
}

// Put writes a record. See Keeper. It fails with ErrConflict, ErrNewer and *WriteError.
func (b *Bucket[T]) Put(ctx context.Context, key string, value T, expect uint64) (revision uint64, err error) {
	members, err := membersOf(value)
	if err != nil {
		return 0, err
	}
	members["v"] = json.RawMessage(fmt.Sprint(b.version))
	old, err := b.keeper.Get(ctx, b.name, key)
	switch {
	case err == nil && expect == Any:
		expect = old.Revision // what is kept of the old record must still be true; see below
		revision, err = b.replace(ctx, old, members, expect)
		if errors.Is(err, ErrConflict) { // somebody else has written meanwhile: the later wins
			return b.Put(ctx, key, value, Any)
		}
		return revision, err
	case err == nil:
		return b.replace(ctx, old, members, expect)
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrDamaged):
		return b.put(ctx, key, members, expect)
	}
	return 0, err
}

// replace writes a record in the place of an old one, with the members of the old one that T does not have.
func (b *Bucket[T]) replace(ctx context.Context, old Record, members map[string]json.RawMessage, expect uint64) (uint64, error) {
	if _, err := b.item(old); errors.Is(err, ErrNewer) {
		return 0, err
	}
	var had map[string]json.RawMessage
	if json.Unmarshal(old.Value, &had) == nil {
		for name, member := range had {
			if !b.known[name] {
				members[name] = member
			}
		}
	}
	return b.put(ctx, old.Key, members, expect)
}

func (b *Bucket[T]) put(ctx context.Context, key string, members map[string]json.RawMessage, expect uint64) (uint64, error) {
	value, err := json.Marshal(members)
	if err != nil {
		return 0, err
	}
	return b.keeper.Put(ctx, b.name, key, value, expect)
}

// Delete removes a record. See Keeper.
func (b *Bucket[T]) Delete(ctx context.Context, key string, expect uint64) error {
	return b.keeper.Delete(ctx, b.name, key, expect)
}

func (b *Bucket[T]) item(r Record) (Item[T], error) {
	var version struct {
		Min int `json:"min"`
	}
	item := Item[T]{Key: r.Key, Revision: r.Revision, Changed: r.Changed}
	if err := json.Unmarshal(r.Value, &version); err != nil {
		return Item[T]{}, fmt.Errorf("record %s/%s: %w", b.name, r.Key, err)
	}
	if version.Min > b.version {
		return Item[T]{}, fmt.Errorf("record %s/%s: %w", b.name, r.Key, ErrNewer)
	}
	if err := json.Unmarshal(r.Value, &item.Value); err != nil {
		return Item[T]{}, fmt.Errorf("record %s/%s: %w", b.name, r.Key, err)
	}
	return item, nil
}

func membersOf(value any) (map[string]json.RawMessage, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	var members map[string]json.RawMessage
	return members, json.Unmarshal(text, &members)
}
