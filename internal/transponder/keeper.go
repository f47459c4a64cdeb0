package transponder

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"transponder/internal/stream"
)

var (
	// ErrMoved means that another process has the push now.
	ErrMoved = errors.New("another server has taken over the push")
	// ErrIsolated means that this server cannot reach the cluster now, so that nobody can say who has a push.
	ErrIsolated = errors.New("this server cannot reach its cluster")
)

// Record is what is kept of a push beyond its process. Times are milliseconds since 1970.
type Record struct {
	Version int `json:"v"`             // of the form
	Least   int `json:"min,omitempty"` // the least version of a reader that may act on the record

	ID     string          `json:"id"`
	Stream string          `json:"stream"` // name of the source
	Name   string          `json:"name"`   // as published; "" if it is a secret
	Target string          `json:"target"` // without secrets
	Secret []byte          `json:"-"`      // JSON; the keeper seals it. nil if the key to it is lost
	Key    string          `json:"-"`      // of the target: equal for two spellings of one address. For a new record only
	Req    json.RawMessage `json:"req"`    // the request without its secrets, as resolved
	By     string          `json:"by"`     // "rest", "sdk", "auto", "hook"
	Owner  json.RawMessage `json:"principal,omitempty"`

	Node        string `json:"node"` // that has the push, and which of its processes; "": it was released
	Incarnation string `json:"inc"`
	Epoch       uint64 `json:"epoch"` // number of claims so far
	// Over: the push has ended. The record stays for a time, so that a process that is cut off from the others learns that its push is over.
	Over bool `json:"over,omitempty"`

	State  string   `json:"state"`
	Since  int64    `json:"since"`
	Reason Reason   `json:"reason,omitempty"`
	Info   string   `json:"info,omitempty"`
	Begun  int64    `json:"started"`
	Tries  int      `json:"attempts"`
	Ever   bool     `json:"everLive,omitempty"`
	Seq    uint64   `json:"seq"`             // of the last event
	Trace  string   `json:"trace,omitempty"` // of the request; a trace.Link
	Muted  bool     `json:"muted,omitempty"`
	Sound  string   `json:"sound,omitempty"` // file that plays
	Loop   bool     `json:"loop,omitempty"`
	Anchor int64    `json:"anchor,omitempty"` // wall time of the far end's timestamp zero; 0: nothing was sent
	Far    int64    `json:"far,omitempty"`    // ms; last timestamp sent, at the last write
	Sent   int64    `json:"sent,omitempty"`
	Acked  int64    `json:"acked,omitempty"`
	Frames [2]int64 `json:"frames"` // sound, pictures
	Lost   int64    `json:"dropped,omitempty"`
	At     int      `json:"address,omitempty"` // index of the address to which the stream goes, or went last

	More map[string]json.RawMessage `json:"-"` // members that this version does not know; the keeper writes them back

	Changed time.Time `json:"-"` // when the record was last written
}

// recordVersion is the form of the records that this version writes, and the newest that it reads.
const recordVersion = 1

// Usable reports whether this version of the server may act on the record, and can: a newer version may forbid it, and the key to the secrets
// may be lost.
func (r Record) Usable() bool { return r.Least <= recordVersion && r.Secret != nil }

// Keeper keeps pushes beyond this process. cluster.Claims is one, for one node as for many. All methods have deadlines of their own, too.
type Keeper interface {
	// Claim makes a push this process's: a new one, whose record has no id, or one that nobody who lives has. It fails with ErrDuplicate if one
	// who lives has it. It may wait, as long as ctx, until it is sure that nobody has it.
	Claim(ctx context.Context, r Record) (Claim, error)
	// Waiting returns the records of a stream that nobody who lives has; of all streams if the name is empty.
	Waiting(ctx context.Context, stream string) ([]Record, error)
	// Drop ends a push that waits, without a claim. It fails with ErrDuplicate if somebody has it now.
	Drop(ctx context.Context, r Record) error
}

// Claim is the right to run one push.
type Claim interface {
	// Record returns the record as it was claimed.
	Record() Record
	// Kept reports whether the record is written. If not, the push runs all the same, but does not outlive the process.
	Kept() bool
	// Open reports whether media may be written now. It costs one atomic load and one reading of the clock.
	Open() bool
	// Changed returns a channel that is closed when Open or Alone may have changed.
	Changed() <-chan struct{}
	// Alone reports that this process is cut off from the others, and since when. Then the push may only go on with what its publisher sends.
	Alone() (since time.Time, alone bool)
	// Lost returns a channel that is closed when another process has the push.
	Lost() <-chan struct{}
	// Save writes the record some time later, at most once a second. It does not block. Node, Incarnation, Epoch, ID and More are the keeper's.
	Save(r Record)
	// Release gives the push up for later or for another process. It is not over.
	Release(ctx context.Context, r Record) error
	// Forget ends the push: it returns when the record cannot come back.
	Forget(ctx context.Context) error
}

// loose keeps nothing. It is the Keeper of a Registry that has no other.
type loose struct{}

func (loose) Claim(_ context.Context, r Record) (Claim, error) {
	if r.ID == "" {
		r.ID = stream.NewID()
	}
	return &looseClaim{r}, nil
}

func (loose) Waiting(context.Context, string) ([]Record, error) { return nil, nil }

func (loose) Drop(context.Context, Record) error { return ErrNotFound }

type looseClaim struct{ r Record }

func (c *looseClaim) Record() Record                        { return c.r }
func (c *looseClaim) Kept() bool                            { return true }
func (c *looseClaim) Open() bool                            { return true }
func (c *looseClaim) Changed() <-chan struct{}              { return nil }
func (c *looseClaim) Alone() (time.Time, bool)              { return time.Time{}, false }
func (c *looseClaim) Lost() <-chan struct{}                 { return nil }
func (c *looseClaim) Save(Record)                           {}
func (c *looseClaim) Release(context.Context, Record) error { return nil }
func (c *looseClaim) Forget(context.Context) error          { return nil }
