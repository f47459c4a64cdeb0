package transponder

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"transponder/internal/stream"
)

// Event is one change of the state of a push. It contains no secrets.
type Event struct {
	Run        string // the run of the server: numbers begin again with each run
	Number     uint64 // counts the events of all pushes in this run, from 1
	Sequence   uint64 // counts the events of this push, from 1 without a gap
	ID         string // of the push
	Owner      string // Identity of who has started it
	At         time.Time
	SourceName string
	Target     string // the URL without secrets
	// The name of the destination, if the URL of the request is destination://NAME.
	Destination string
	Address     int // the number of the address, from 1, if the push has several
	From, To    State
	Reason      Reason
	Detail      string
	Attempt     int
	NextRetry   time.Time // zero unless the push waits for its next attempt
	BytesAcked  int64
	Hidden      bool // Reason and Detail tell about a private network: see ForStrangers
}

// eventBody is an event in JSON, the same for REST and for web hooks.
type eventBody struct {
	Run         string `json:"run"`
	Number      uint64 `json:"number"`
	Sequence    uint64 `json:"sequence"`
	ID          string `json:"id"`
	At          string `json:"at"`
	SourceName  string `json:"sourceStreamName"`
	Target      string `json:"target"`
	Destination string `json:"destination,omitempty"`
	Address     int    `json:"address,omitempty"`
	From        string `json:"from"`
	To          string `json:"to"`
	Reason      Reason `json:"reason"`
	Class       Class  `json:"class"`
	Detail      string `json:"info"`
	Attempt     int    `json:"attempt"`
	NextRetryAt string `json:"nextRetryAt,omitempty"`
	BytesAcked  int64  `json:"bytesAcked"`
}

// eventTime is RFC 3339 with exactly three digits of milliseconds.
const eventTime = "2006-01-02T15:04:05.000Z07:00"

// MarshalJSON writes the event as the description of the API defines it. Times are in UTC.
func (e Event) MarshalJSON() ([]byte, error) {
	b := eventBody{
		Run: e.Run, Number: e.Number, Sequence: e.Sequence, ID: e.ID, At: e.At.UTC().Format(eventTime),
		SourceName: e.SourceName, Target: e.Target, Destination: e.Destination, Address: e.Address, From: e.From.String(), To: e.To.String(),
		Reason: e.Reason, Class: e.Reason.Class(), Detail: e.Detail, Attempt: e.Attempt, BytesAcked: e.BytesAcked,
	}
	if !e.NextRetry.IsZero() {
		b.NextRetryAt = e.NextRetry.UTC().Format(eventTime)
	}
	return json.Marshal(b)
}

// Journal keeps the latest events, so that clients that missed some can read them later. A reader never delays a writer: a reader that is
// too slow misses the oldest events and learns how many. Any goroutine may call the methods.
type Journal struct {
	run  string
	size int // of the ring when it is full

	mu        sync.Mutex
	ring      []Event           // guarded by mu; event n is at (n-1) % size
	last      uint64            // guarded by mu; the newest number
	sequences map[string]uint64 // guarded by mu; the newest sequence of each push that is not over
	added     chan struct{}     // guarded by mu; closed and replaced with each event
}

// runDigits is the length of a run's name in digits of base 32: enough to tell apart the few runs that a client remembers.
const runDigits = 12

// newJournal makes a journal that keeps size events, at least one.
func newJournal(size int) *Journal {
	return &Journal{run: stream.NewID()[:runDigits], size: max(size, 1), sequences: map[string]uint64{}, added: make(chan struct{})}
}

// add numbers an event and keeps it, and returns its number among those of the push. It does not block. The event that ends a push is the last one of that push.
func (j *Journal) add(e Event) (sequence uint64) {
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
	return e.Sequence
}

// resume goes on with the sequence of a push that has outlived its process, after the latest number that it is known to have had.
func (j *Journal) resume(id string, sequence uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.sequences[id] = max(j.sequences[id], sequence)
}

// Run returns the name of this run of the server, in letters and digits.
func (j *Journal) Run() string { return j.run }

// Last returns the number of the newest event, 0 if there is none. Since continues after that number.
func (j *Journal) Last() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.last
}

// Since waits until there are events with numbers above after, or until ctx ends. It copies the events that fit to dst, oldest first. missed
// is how many events above after are not kept any more. Events that are there are returned even if ctx has ended.
//
// If no event of this run has had the number after, the number is of an earlier run: then all events that are kept count as new.
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

// read is Since without waiting. added is closed when the next event is added.
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
