// Package state keeps durable records in one SQLite file. It has no idea of what the records mean.
//
// A record is a JSON object under a key in a bucket, with a revision that each write raises. Beside the records there are logs: numbered
// lines of which only the newest stay. Values that are secret are sealed by Keys, whose file lies beside the database.
//
// A Store needs no goroutine. Callers that write at the same time share a transaction: the first of them commits for all. When a write
// returns without an error, the record is on the disk. A write that fails changes nothing, and the next write tries anew, so a full disk
// stops nothing else. A damaged file is set aside, and what can be read of it is taken over. Other programs may read the database while the
// server runs.
package state

import (
	"context"
	"errors"
	"fmt"
	"time"
)

var (
	// ErrNotFound means that there is no such record.
	ErrNotFound = errors.New("no such record")
	// ErrConflict means that the record has another revision than the caller expects, or exists already.
	ErrConflict = errors.New("the record was changed meanwhile")
	// ErrDamaged means that a record is not what was written. Only a fault of the disk does that.
	ErrDamaged = errors.New("the record is damaged")
	// ErrNewer means that a newer version of the server has written the record, and that this version must not use it.
	ErrNewer = errors.New("the record was written by a newer version")
	// ErrInUse means that another process has the folder open.
	ErrInUse = errors.New("another server uses this folder")
	// ErrClosed means that the store was closed.
	ErrClosed = errors.New("the state is closed")
	// ErrAway means that a record which several servers share cannot be changed now. Nothing was changed.
	ErrAway = errors.New("the servers of the cluster share this, and it cannot be changed now, because NATS cannot be reached: try again when it is back")
)

// WriteError means that the disk did not take a write. Nothing was changed.
type WriteError struct{ Err error }

// Error says why.
func (e *WriteError) Error() string { return fmt.Sprintf("the state cannot be written: %v", e.Err) }

// Unwrap returns the cause.
func (e *WriteError) Unwrap() error { return e.Err }

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

// Shared is a Keeper of records that several servers have in common. Get and List are answered from memory. Put and Delete fail with ErrAway if the
// others cannot be reached.
type Shared interface {
	Keeper
	// Follow has f called after others have changed records of a bucket, with their keys. One goroutine makes all the calls. Call Follow before
	// anything runs.
	Follow(bucket string, f func(ctx context.Context, keys []string))
	// Known is closed once this process has seen what the servers share. Until then it has what it knew when it ran last.
	Known() <-chan struct{}
	// Writable returns ErrAway if a change would fail now.
	Writable() error
}

// Any is the revision of a Put or Delete that does not care for the present one.
const Any = ^uint64(0)

// Line is one line of a log.
type Line struct {
	ID    uint64 // grows by one with each line of the log
	At    time.Time
	Value []byte // JSON
}

// Logger keeps logs. *Store is one.
type Logger interface {
	// Append adds lines to a log, and forgets all but the newest keep lines.
	Append(ctx context.Context, log string, keep int, lines ...[]byte) error
	// Lines returns at most limit lines before the line with the number before, newest first. 0 begins with the newest line.
	Lines(ctx context.Context, log string, before uint64, limit int) ([]Line, error)
}

// Sealer seals secrets. *Keys is one.
type Sealer interface {
	// Seal encrypts a secret. context says where it lies, such as "destination/youtube": a sealed secret opens only in its own place.
	Seal(context string, secret []byte) (string, error)
	Open(context, sealed string) ([]byte, error)
}
