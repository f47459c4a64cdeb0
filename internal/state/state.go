// Package state keeps durable records in one SQLite file. It has no idea of what the records mean. A record is a value under a key in a
// bucket, with a revision that each write raises. Values that are secret can be sealed with a key that lies beside the file.
package state

import (
	"context"
	"errors"
	"time"
)

var (
	// ErrNotFound means that there is no such record.
	ErrNotFound = errors.New("no such record")
	// ErrConflict means that the record has another revision than the caller expects, or exists already.
	ErrConflict = errors.New("the record was changed meanwhile")
)

// Record is one record.
type Record struct {
	Key      string
	Value    []byte // JSON
	Revision uint64 // grows with each write to the bucket
	Changed  time.Time
}

// Keeper keeps records. *Store is one; a cluster may have another.
type Keeper interface {
	Get(ctx context.Context, bucket, key string) (Record, error)
	// List returns the records of a bucket whose keys begin with prefix, by key.
	List(ctx context.Context, bucket, prefix string) ([]Record, error)
	// Put writes a record. expect is the revision that the record must have now, 0 if it must not exist, Any if that does not matter.
	Put(ctx context.Context, bucket, key string, value []byte, expect uint64) (revision uint64, err error)
	// Delete removes a record. expect is as in Put. A record that does not exist is no error with Any.
	Delete(ctx context.Context, bucket, key string, expect uint64) error
}

// Any is the revision of a Put or Delete that does not care for the present one.
const Any = ^uint64(0)

// Sealer seals secrets.
type Sealer interface {
	// Seal encrypts a secret. context says where it lies, such as "destination/youtube": a sealed secret opens only in its own place.
	Seal(context string, secret []byte) (string, error)
	Open(context, sealed string) ([]byte, error)
}
