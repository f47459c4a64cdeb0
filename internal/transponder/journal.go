package transponder

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"transponder/internal/state"
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
	Active     string // the stream that is sent, see Info
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
	Active      string `json:"activeStreamName,omitempty"`
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
		SourceName: e.SourceName, Active: e.Active, Target: e.Target, Destination: e.Destination, Address: e.Address, From: e.From.String(), To: e.To.String(),
		Reason: e.Reason, Class: e.Reason.Class(), Detail: e.Detail, Attempt: e.Attempt, BytesAcked: e.BytesAcked,
	}
	if b.Active == b.SourceName {
		b.Active = ""
	}
	if !e.NextRetry.IsZero() {
		b.NextRetryAt = e.NextRetry.UTC().Format(eventTime)
	}
	return json.Marshal(b)
}

// Journal keeps the latest events, so that clients that missed some can read them later. A reader never delays a writer: a reader that is
// too slow misses the oldest events and learns how many. Any goroutine may call the methods.
type Journal struct {
	size int          // of the ring when it is full
	log  state.Logger // keeps the events beyond the process; nil: nothing does

	work chan struct{} // tells write that there are events to be written

	mu        sync.Mutex
	first     uint64            // guarded by mu; the oldest number that was ever in the ring, 0 if there is none
	run       string            // guarded by mu; does not change once events are added
	loaded    uint64            // guarded by mu; the newest number of the process before
	shown     uint64            // guarded by mu; the newest number that readers may see: it is written, if that is possible
	ring      []Event           // guarded by mu; event n is at (n-1) % size
	last      uint64            // guarded by mu; the newest number
	sequences map[string]uint64 // guarded by mu; the newest sequence of each push that is not over
	added     chan struct{}     // guarded by mu; closed and replaced with each event
}

// runDigits is the length of a run's name in digits of base 32: enough to tell apart the few runs that a client remembers.
const runDigits = 12

// newJournal makes a journal that keeps size events, at least one.
func newJournal(size int) *Journal {
	return newKeptJournal(size, nil)
}

// newKeptJournal is newJournal with a log of the events.
func newKeptJournal(size int, log state.Logger) *Journal {
	return &Journal{log: log, work: make(chan struct{}, 1), run: stream.NewID()[:runDigits], size: max(size, 1), sequences: map[string]uint64{}, added: make(chan struct{})}
}

// add numbers an event and keeps it, and returns its number among those of the push. It does not block. The event that ends a push is the last one of that push.
func (j *Journal) add(e Event) (sequence uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.last++
	e.Run, e.Number = j.run, j.last
	e.Sequence = j.sequences[e.ID] + 1
	j.put(e)
	if j.log == nil {
		j.show(j.last)
		return e.Sequence
	}
	select {
	case j.work <- struct{}{}:
	default: // write will see it
	}
	return e.Sequence
}

// slot is where the event with a number lies. The caller holds mu.
func (j *Journal) slot(number uint64) *Event { return &j.ring[(number-1)%uint64(j.size)] }

// oldest returns the number of the oldest event that is kept. The caller holds mu.
func (j *Journal) oldest() uint64 {
	return max(j.first, j.last-min(j.last, uint64(j.size))+1)
}

// put keeps an event that has its numbers. The caller holds mu.
func (j *Journal) put(e Event) {
	if j.first == 0 {
		j.first = e.Number
	}
	j.run, j.last = e.Run, e.Number
	for len(j.ring) < j.size && uint64(len(j.ring)) <= (e.Number-1)%uint64(j.size) {
		j.ring = append(j.ring, Event{})
	}
	*j.slot(e.Number) = e
	if e.To.final() {
		delete(j.sequences, e.ID)
	} else {
		j.sequences[e.ID] = e.Sequence
	}
}

// show lets readers see the events up to a number. The caller holds mu.
func (j *Journal) show(number uint64) {
	j.shown = number
	close(j.added)
	j.added = make(chan struct{})
}

// resume goes on with the sequence of a push that has outlived its process, after the latest number that it is known to have had.
func (j *Journal) resume(id string, sequence uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.sequences[id] = max(j.sequences[id], sequence)
}

// Run returns the name of this run of the server, in letters and digits.
func (j *Journal) Run() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.run
}

// Loaded returns the number of the newest event of the process before, 0 if there is none.
func (j *Journal) Loaded() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.loaded
}

// Last returns the number of the newest event, 0 if there is none. Since continues after that number.
func (j *Journal) Last() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.shown
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
	if after > j.shown {
		after = 0
	}
	if oldest := j.oldest(); after+1 < oldest {
		missed = oldest - 1 - after
		after += missed
	}
	for ; n < len(dst) && after < j.shown; n++ {
		after++
		dst[n] = *j.slot(after)
	}
	return n, missed, j.added
}
