package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"transponder/internal/stream"
	"transponder/internal/transponder"
)

const (
	// eventsKept is how many events a process has in its memory at least, as many as a journal.
	eventsKept = 8192
	// eventsFor and maxEvents bound what NATS keeps.
	eventsFor = 24 * time.Hour
	maxEvents = 1_000_000
	// eventWrite is how long NATS may take for one event.
	eventWrite = 2 * time.Second
	// eventBatch is how many events are read from the journal at once.
	eventBatch = 64
	// runMember is the member of the stream's metadata that names the run.
	runMember = "run"
)

// Events has the events of the pushes of all servers. Each server adds its own, in their order. All servers number them alike, so a client
// that loses one server goes on at another. Any goroutine may call the methods.
//
// While NATS cannot be reached, events wait in the journal of their server.
type Events struct {
	js       jetstream.JetStream
	name     string // of the cluster
	replicas int
	journal  *transponder.Journal
	log      *slog.Logger

	written, failures atomic.Int64
	skipped           atomic.Int64 // events that the journal had forgotten before NATS took them

	mu    sync.Mutex
	run   string              // guarded by mu; "": not known yet
	ring  []transponder.Event // guarded by mu; by number
	gone  uint64              // guarded by mu; the number before the first in ring
	last  uint64              // guarded by mu
	added chan struct{}       // guarded by mu; closed and replaced with each event
}

// EventsStats are figures of an Events.
type EventsStats struct {
	Written  int64 // events of this server that NATS has taken
	Failures int64 // tries that failed
	Skipped  int64 // events of this server that the others never get: the journal had no room for them until NATS was there
}

// NewEvents makes the events of a cluster. journal has those of this process. replicas is how many NATS servers keep them.
func NewEvents(js jetstream.JetStream, name string, replicas int, journal *transponder.Journal, log *slog.Logger) *Events {
	return &Events{js: js, name: name, replicas: max(replicas, 1), journal: journal, log: log, added: make(chan struct{})}
}

// Stats returns the figures.
func (e *Events) Stats() EventsStats {
	return EventsStats{e.written.Load(), e.failures.Load(), e.skipped.Load()}
}

// Follow adds the events of this process, and reads those of all, until ctx ends. The last events of this process get a moment: stop Follow
// after the pushes.
func (e *Events) Follow(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { e.copy(ctx) })
	wg.Go(func() { e.again(ctx, e.follow) })
	wg.Wait()
	return context.Cause(ctx)
}

// again calls f until ctx ends, with pauses.
func (e *Events) again(ctx context.Context, f func(context.Context) error) {
	for pause := firstEventPause; ctx.Err() == nil; pause = min(2*pause, maxEventPause) {
		began := time.Now()
		err := f(ctx)
		if ctx.Err() != nil {
			return
		}
		e.log.Debug("events of the cluster", "err", err)
		if time.Since(began) > maxEventPause {
			pause = firstEventPause
		}
		wait(ctx, pause/2+rand.N(pause))
	}
}

// The pauses between two tries to reach NATS.
const (
	firstEventPause = time.Second
	maxEventPause   = 30 * time.Second
)

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func (e *Events) streamName() string { return e.name + "_EVENTS" }

// stream returns the stream of the events, and makes it if it is not there.
func (e *Events) stream(ctx context.Context) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second) // R3 may have to elect a leader
	defer cancel()
	s, err := e.js.Stream(ctx, e.streamName())
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		s, err = e.js.CreateStream(ctx, jetstream.StreamConfig{
			Name: e.streamName(), Subjects: []string{e.name + ".event.>"}, Storage: jetstream.FileStorage, MaxAge: eventsFor, MaxMsgs: maxEvents,
			Replicas: e.replicas, Metadata: map[string]string{runMember: stream.NewID()[:12]},
		})
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			s, err = e.js.Stream(ctx, e.streamName()) // another server was first
		}
	}
	if err != nil {
		return nil, fmt.Errorf("stream of events: %w", err)
	}
	return s, nil
}

// plainEvent is an event with all its fields in JSON.
type plainEvent transponder.Event

// sentEvent is an event on its way. States are names, since their numbers may differ in another version.
type sentEvent struct {
	plainEvent
	Run    string `json:",omitempty"` // both are those of the cluster
	Number uint64 `json:",omitempty"`
	From   string
	To     string
}

// states are the states by their names.
var states = sync.OnceValue(func() map[string]transponder.State {
	all := map[string]transponder.State{}
	for s := range transponder.State(64) {
		all[s.String()] = s
	}
	return all
})

func encodeEvent(e transponder.Event) ([]byte, error) {
	return json.Marshal(sentEvent{plainEvent: plainEvent(e), From: e.From.String(), To: e.To.String()})
}

func decodeEvent(text []byte) (transponder.Event, error) {
	var s sentEvent
	if err := json.Unmarshal(text, &s); err != nil {
		return transponder.Event{}, err
	}
	e := transponder.Event(s.plainEvent)
	e.From, e.To = states()[s.From], states()[s.To]
	return e, nil
}

// copy adds the events of this process, one after another, until ctx has ended and no event is left, or NATS does not take the last ones.
func (e *Events) copy(ctx context.Context) {
	events := make([]transponder.Event, eventBatch)
	after := e.journal.Last()
	for {
		n, missed, err := e.journal.Since(ctx, after, events)
		if err != nil {
			return
		}
		if missed > 0 {
			e.skipped.Add(int64(missed))
			e.log.Warn("events of pushes are missing in the cluster: NATS was away for too long", "events", missed)
		}
		for _, event := range events[:n] {
			if !e.send(ctx, event) {
				e.log.Warn("events of pushes are missing in the cluster: NATS was away when this server stopped")
				return
			}
			after = event.Number
		}
	}
}

// send adds an event, however long that takes. It gives up when ctx has ended.
func (e *Events) send(ctx context.Context, event transponder.Event) bool {
	text, err := encodeEvent(event)
	if err != nil {
		e.log.Error("an event cannot be sent", "err", err)
		return true
	}
	m := &nats.Msg{Subject: e.name + ".event." + event.ID, Data: text, Header: nats.Header{}}
	m.Header.Set(jetstream.MsgIDHeader, fmt.Sprintf("%s-%d", event.Run, event.Number)) // a try whose answer was lost may have arrived
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), eventWrite)
		_, err := e.js.PublishMsg(limit, m)
		cancel()
		if err == nil {
			e.written.Add(1)
			return true
		}
		e.failures.Add(1)
		if ctx.Err() != nil {
			return false
		}
		wait(ctx, pause)
	}
}

// follow reads the events of all servers until something breaks.
func (e *Events) follow(ctx context.Context) error {
	s, err := e.stream(ctx)
	if err != nil {
		return err
	}
	info := s.CachedInfo()
	from := e.begin(info.Config.Metadata[runMember], info.State.FirstSeq, info.State.LastSeq)
	consumer, err := s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from})
	if err != nil {
		return err
	}
	messages, err := consumer.Messages()
	if err != nil {
		return err
	}
	defer messages.Stop()
	stop := context.AfterFunc(ctx, messages.Stop)
	defer stop()
	for {
		m, err := messages.Next()
		if err != nil {
			return err
		}
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		event, err := decodeEvent(m.Data())
		if err != nil {
			e.log.Warn("an event of the cluster cannot be read", "err", err)
			continue
		}
		e.take(event, meta.Sequence.Stream)
	}
}

// begin returns the number from which the events are to be read. Of another run than before, nothing is known yet.
func (e *Events) begin(run string, first, last uint64) (from uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if run != e.run {
		e.run, e.ring = run, nil
		e.gone = max(first, 1) - 1
		if last > eventsKept {
			e.gone = max(e.gone, last-eventsKept)
		}
		e.last = e.gone
	}
	return e.last + 1
}

// take keeps an event with its number.
func (e *Events) take(event transponder.Event, number uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if number <= e.last {
		return
	}
	event.Run, event.Number = e.run, number
	if len(e.ring) == 2*eventsKept {
		e.gone = e.ring[eventsKept-1].Number
		e.ring = slices.Clone(e.ring[eventsKept:])
	}
	e.ring, e.last = append(e.ring, event), number
	close(e.added)
	e.added = make(chan struct{})
}

// Run returns the name under which the events are numbered.
func (e *Events) Run() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.run
}

// Last returns the number of the newest event.
func (e *Events) Last() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.last
}

// Since waits until there are events with numbers above after, or until ctx ends, and copies those that fit to dst. missed is how many events
// above after are not kept any more. If no event has had the number after, all that are kept count as new.
func (e *Events) Since(ctx context.Context, after uint64, dst []transponder.Event) (n int, missed uint64, err error) {
	for {
		n, missed, added := e.read(after, dst)
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

func (e *Events) read(after uint64, dst []transponder.Event) (n int, missed uint64, added <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if after > e.last {
		after = 0
	}
	if after < e.gone {
		missed = e.gone - after
		after = e.gone
	}
	i := sort.Search(len(e.ring), func(i int) bool { return e.ring[i].Number > after })
	return copy(dst, e.ring[i:]), missed, e.added
}
