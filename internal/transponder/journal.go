package transponder

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"transponder/internal/stream"
)

// Event is one step in the life of a push. It holds no secrets.
type Event struct {
	Run        string    // of the server: others give the same numbers to other events
	Number     uint64    // over all pushes of the run, from 1
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
	Hidden     bool // the reason tells what is there in a private network: see ForStrangers
}

// eventBody is an event as everybody is told of it, whichever way.
type eventBody struct {
	Run         string `json:"run"`
	Number      uint64 `json:"number"`
	Sequence    uint64 `json:"sequence"`
	ID          string `json:"id"`
	At          string `json:"at"`
	SourceName  string `json:"sourceStreamName"`
	Target      string `json:"target"`
	From        string `json:"from"`
	To          string `json:"to"`
	Reason      Reason `json:"reason"`
	Class       Class  `json:"class"`
	Detail      string `json:"info"`
	Attempt     int    `json:"attempt"`
	NextRetryAt string `json:"nextRetryAt,omitempty"`
	BytesAcked  int64  `json:"bytesAcked"`
}

// eventTime is RFC 3339 with milliseconds, always three digits of them.
const eventTime = "2006-01-02T15:04:05.000Z07:00"

// MarshalJSON writes the event as the API's description has it; moments are in UTC.
func (e Event) MarshalJSON() ([]byte, error) {
	b := eventBody{
		Run: e.Run, Number: e.Number, Sequence: e.Sequence, ID: e.ID, At: e.At.UTC().Format(eventTime),
		SourceName: e.SourceName, Target: e.Target, From: e.From.String(), To: e.To.String(),
		Reason: e.Reason, Class: e.Reason.Class(), Detail: e.Detail, Attempt: e.Attempt, BytesAcked: e.BytesAcked,
	}
	if !e.NextRetry.IsZero() {
		b.NextRetryAt = e.NextRetry.UTC().Format(eventTime)
	}
	return json.Marshal(b)
}

// Journal keeps the last events, so that whoever missed some can read them again. Any goroutine may call its methods, and no
// reader holds up a writer: one that is too slow finds the oldest events gone, and is told how many.
type Journal struct {
	run  string
	size int // of the ring once it is full

	mu        sync.Mutex
	ring      []Event           // guarded by mu; number n is at (n-1) % size
	last      uint64            // guarded by mu; the newest number
	sequences map[string]uint64 // guarded by mu; the newest of each push that is not over
	added     chan struct{}     // guarded by mu; closed and replaced with each event
}

// runDigits is how many digits of base 32 tell one run of a server from the few that a client may remember.
const runDigits = 12

// NewJournal makes a journal of so many events, at least one.
func NewJournal(size int) *Journal {
	return &Journal{run: stream.NewID()[:runDigits], size: max(size, 1), sequences: map[string]uint64{}, added: make(chan struct{})}
}

// add numbers an event and keeps it. It does not block. The event that ends a push is its last.
func (j *Journal) add(e Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.last++
	e.Run, e.Number = j.run, j.last
	e.Sequence = j.sequences[e.ID] + 1
	if e.To == Ended || e.To == Failed {
		delete(j.sequences, e.ID)
	} else {
		j.sequences[e.ID] = e.Sequence
	}
	if len(j.ring) < j.size {
		j.ring = append(j.ring, e)
	} else {
		j.ring[(e.Number-1)%uint64(j.size)] = e
	}
	close(j.added)
	j.added = make(chan struct{})
}

// Run names this run of the server, in letters and digits.
func (j *Journal) Run() string { return j.run }

// Last returns the newest event's number, 0 if there is none yet. Since goes on from there with what is new.
func (j *Journal) Last() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.last
}

// Since waits until there are events with numbers above after, or ctx ends, and returns as many as fit dst, oldest first.
// missed says how many were kept no longer. Events that are there are returned even if ctx has ended. A number that was not
// given out yet is of an earlier run of the server: all that is kept is new then.
func (j *Journal) Since(ctx context.Context, after uint64, dst []Event) (n int, missed uint64, err error) {
	for {
		n, missed, added := j.read(after, dst)
		if n > 0 {
			return n, missed, nil
		}
		select {
		case <-added:
		case <-ctx.Done():
			return 0, 0, context.Cause(ctx)
		}
	}
}

// read is Since without waiting. added is closed with the next event.
func (j *Journal) read(after uint64, dst []Event) (n int, missed uint64, added <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	size := uint64(j.size)
	if after > j.last {
		after = 0
	}
	if kept := min(j.last, size); after < j.last-kept {
		missed = j.last - kept - after
		after += missed
	}
	for ; n < len(dst) && after < j.last; n++ {
		dst[n] = j.ring[after%size]
		after++
	}
	return n, missed, j.added
}
