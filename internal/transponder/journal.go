package transponder

import (
	"context"
	"time"
)

// Event is one step in the life of a push. It holds no secrets.
type Event struct {
	Number     uint64    // over all pushes of this server's run, from 1
	Sequence   uint64    // of this push, from 1 without a gap
	ID         string    // the push
	At         time.Time // when it happened
	SourceName string
	Target     string // as Target.String prints it
	From, To   State
	Reason     Reason
	Detail     string
	Attempt    int
	NextRetry  time.Time // zero unless the push waits to connect anew
	BytesAcked int64
}

// Journal keeps the last events, so that whoever missed some can read them again. Any goroutine may call its methods.
type Journal struct{}

// NewJournal makes a journal of so many events.
func NewJournal(size int) *Journal { return &Journal{} }

// add numbers an event and keeps it.
func (j *Journal) add(e Event) {}

// Since waits until there are events with numbers above after, or ctx ends, and returns as many as fit dst, oldest first.
// missed says how many were kept no longer.
func (j *Journal) Since(ctx context.Context, after uint64, dst []Event) (n int, missed uint64, err error) {
	<-ctx.Done()
	return 0, 0, context.Cause(ctx)
}
