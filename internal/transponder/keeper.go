package transponder

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

var (
	// ErrMoved means that another process has the push now.
	ErrMoved = errors.New("another server has taken over the push")
	// ErrNotKept means that a push cannot be kept: it runs, but does not outlive the process.
	ErrNotKept = errors.New("the push is not kept")
	// ErrIsolated means that this server cannot reach the cluster now, so that nobody can say who has a push.
	ErrIsolated = errors.New("this server cannot reach its cluster")
)

// Record is what is kept of a push beyond its process. Times are milliseconds since 1970.
type Record struct {
	Version int `json:"v"`   // of the form, 1
	Least   int `json:"min"` // the least version of a reader that may act on the record

	ID     string          `json:"id"`
	Stream string          `json:"stream"` // name of the source
	Name   string          `json:"name"`   // as published
	Target string          `json:"target"` // without secrets
	URL    string          `json:"-"`      // as in the request; the keeper seals it
	Key    string          `json:"-"`      // of the target: equal for two spellings of one address
	Req    json.RawMessage `json:"req"`    // the request without its URL, as resolved
	By     string          `json:"by"`     // "rest", "sdk", "auto"

	Epoch  uint64          `json:"epoch"` // number of claims so far
	State  string          `json:"state"`
	Since  int64           `json:"since"`
	Reason Reason          `json:"reason,omitempty"`
	Info   string          `json:"info,omitempty"`
	Begun  int64           `json:"started"`
	Tries  int             `json:"attempts"`
	Ever   bool            `json:"everLive,omitempty"`
	Seq    uint64          `json:"seq"` // of the last event
	Muted  bool            `json:"muted,omitempty"`
	Sound  string          `json:"sound,omitempty"`
	Loop   bool            `json:"loop,omitempty"`
	Anchor int64           `json:"anchor,omitempty"` // wall time of the far end's timestamp zero
	Far    int64           `json:"far,omitempty"`    // ms; last timestamp sent, at the last write
	Sent   int64           `json:"sent,omitempty"`
	Acked  int64           `json:"acked,omitempty"`
	Frames [2]int64        `json:"frames"`
	Lost   int64           `json:"dropped,omitempty"`
	More   json.RawMessage `json:"-"` // members that this version does not know; written back

	Changed time.Time `json:"-"` // of the last write
}

// Keeper keeps pushes beyond this process. cluster.Claims is one, for one node as for many. All methods have deadlines of their own, too.
type Keeper interface {
	// Claim makes a push this process's: a new one, or one that nobody who lives has. It fails with ErrDuplicate if one who lives has it, and
	// with ErrNotKept if the record cannot be written; the push may run all the same then.
	Claim(ctx context.Context, r Record) (Claim, error)
	// Waiting returns the records of a stream that nobody who lives has; of all streams if the name is empty.
	Waiting(ctx context.Context, stream string) ([]Record, error)
}

// Claim is the right to run one push.
type Claim interface {
	// Open reports whether media may be written now. It costs one atomic load and one reading of the clock.
	Open() bool
	// Changed returns a channel that is closed when Open may have changed, or when the claim is lost: see Err.
	Changed() <-chan struct{}
	// Err is ErrMoved once another process has the push.
	Err() error
	// Save writes the record some time later, at most once a second. It does not block.
	Save(r Record)
	// Release gives the push up for later or for another process. It is not over.
	Release(ctx context.Context, r Record) error
	// Forget ends the push: it returns when the record cannot come back.
	Forget(ctx context.Context) error
}
