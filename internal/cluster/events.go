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
	"strings"
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
// While NATS cannot be reached, events wait in the journal of their server. A server that ends before NATS has taken all of them goes on after
// its restart where it was, as far as its journal reaches. NATS itself tells how far that is: by the number of the last event of this server.
type Events struct {
	parts   EventsParts
	journal Journal
	log     *slog.Logger

	written, failures, received atomic.Int64
	lost                        atomic.Int64  // events that the journal had forgotten before NATS took them
	sent                        atomic.Uint64 // the number in the journal of the last event that NATS has taken
	sending                     atomic.Int64  // when the event came about that is being sent, in ns since 1970; 0: none is

	mu    sync.Mutex
	run   string        // guarded by mu; "": not known yet
	ring  []sharedEvent // guarded by mu; by number
	gone  uint64        // guarded by mu; the number before the first in ring
	last  uint64        // guarded by mu
	added chan struct{} // guarded by mu; closed and replaced with each event
}

// Journal has the events of this process. *transponder.Journal is one.
type Journal interface {
	Run() string
	Loaded() uint64
	Last() uint64
	Since(ctx context.Context, after uint64, dst []transponder.Event) (n int, missed uint64, err error)
	// Kept reports whether the events outlive the process.
	Kept() bool
}

// EventsParts are what Events work with.
type EventsParts struct {
	JetStream jetstream.JetStream
	Name      string // of the cluster
	Node      string // this one
	// Replicas returns how many NATS servers are to keep the events. It is asked when NATS is there.
	Replicas func() int
	Journal  Journal // of this process
	Log      *slog.Logger
}

// Origin is where an event has come about: the node, and the numbers in the journal there. A version that did not send them leaves the run empty.
type Origin struct {
	Node   string
	Run    string
	Number uint64
}

// sharedEvent is an event of any server.
type sharedEvent struct {
	transponder.Event
	origin Origin
}

// EventsStats are figures of an Events.
type EventsStats struct {
	Written  int64         // events of this server that NATS has taken
	Failures int64         // tries that failed
	Lost     int64         // events of this server that the others never get: the journal had no room for them until NATS was there
	Received int64         // events of all servers
	Waiting  int64         // events of this server that NATS has not taken yet
	Lag      time.Duration // the age of the oldest of these
}

// NewEvents makes the events of a cluster.
func NewEvents(parts EventsParts) *Events {
	e := &Events{parts: parts, journal: parts.Journal, log: parts.Log, added: make(chan struct{})}
	e.sent.Store(parts.Journal.Last())
	return e
}

// Stats returns the figures.
func (e *Events) Stats() EventsStats {
	s := EventsStats{
		Written: e.written.Load(), Failures: e.failures.Load(), Lost: e.lost.Load(), Received: e.received.Load(),
		Waiting: max(0, int64(e.journal.Last())-int64(e.sent.Load())),
	}
	if at := e.sending.Load(); at != 0 {
		s.Lag = max(0, time.Since(time.Unix(0, at)))
	}
	return s
}

// Follow adds the events of this process, and reads those of all, until ctx ends. The last events of this process get a moment: stop Follow
// after the pushes.
func (e *Events) Follow(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { e.copy(ctx) })
	wg.Go(func() { again(ctx, e.log, "events of the cluster", e.follow) })
	wg.Wait()
	return context.Cause(ctx)
}

// again calls f until ctx ends, with pauses. what is what f works for.
func again(ctx context.Context, log *slog.Logger, what string, f func(context.Context) error) {
	for pause := firstEventPause; ctx.Err() == nil; pause = min(2*pause, maxEventPause) {
		began := time.Now()
		err := f(ctx)
		if ctx.Err() != nil {
			return
		}
		log.Debug(what, "err", err)
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

func (e *Events) streamName() string { return e.parts.Name + "_EVENTS" }

// stream returns the stream of the events, and makes it if it is not there.
func (e *Events) stream(ctx context.Context) (jetstream.Stream, error) {
	return openLog(ctx, e.parts.JetStream, jetstream.StreamConfig{
		Name: e.streamName(), Subjects: []string{e.parts.Name + ".event.>"}, Storage: jetstream.FileStorage, MaxAge: eventsFor, MaxMsgs: maxEvents,
		Metadata: map[string]string{runMember: stream.NewID()[:12]},
	}, e.parts.Replicas)
}

// plainEvent is an event with all its fields in JSON.
type plainEvent transponder.Event

// sentEvent is an event on its way. States are names, since their numbers may differ in another version. Run and Number are those of the journal
// of the server that sends it.
type sentEvent struct {
	plainEvent
	From string
	To   string
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
	var after uint64
	var since time.Time // events before are not sent
	known := false
	again(ctx, e.log, "events of the cluster", func(ctx context.Context) (err error) {
		if after, since, err = e.begun(ctx); err != nil {
			return err
		}
		known = true
		e.sent.Store(after)
		events := make([]transponder.Event, eventBatch)
		for {
			n, missed, err := e.journal.Since(ctx, after, events)
			if err != nil {
				return err
			}
			if missed > 0 {
				e.lost.Add(int64(missed))
				e.log.Warn("events of pushes are missing in the cluster: NATS was away for too long", "events", missed)
			}
			for _, event := range events[:n] {
				if !event.At.Before(since) && !e.send(ctx, event) {
					return context.Cause(ctx)
				}
				after = event.Number
				e.sent.Store(after)
			}
		}
	})
	last := e.journal.Last()
	if !known || last <= after {
		return
	}
	if e.journal.Kept() {
		e.log.Warn("events of pushes are not in the cluster yet, because NATS is away: this server sends them when it is started again", "events", last-after)
		return
	}
	e.log.Warn("events of pushes are missing in the cluster: NATS was away when this server stopped", "events", last-after)
}

// begun returns the number of the event in the journal after which the events are to be sent, and from when they must be. It asks NATS for
// the last event of this server.
func (e *Events) begun(ctx context.Context) (after uint64, since time.Time, err error) {
	s, err := e.stream(ctx)
	if err != nil {
		return 0, since, err
	}
	last, found, err := e.lastSent(ctx, s)
	switch {
	case err != nil:
		return 0, since, err
	case found && last.Run == e.journal.Run():
		return last.Number, since, nil
	case !found && time.Since(s.CachedInfo().Created) > eventsFor:
		return 0, time.Now().Add(-eventsFor), nil // what was sent is so old that NATS has dropped it
	}
	// The stream or the journal is new. Events of before this process were told by another cluster, or by nobody.
	return e.journal.Loaded(), since, nil
}

// lastSent returns the last event of this server that NATS has taken.
func (e *Events) lastSent(ctx context.Context, s jetstream.Stream) (last transponder.Event, found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, eventWrite)
	defer cancel()
	m, err := s.GetLastMsgForSubject(ctx, e.subject(">"))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return last, false, nil
	}
	if err != nil {
		return last, false, err
	}
	last, err = decodeEvent(m.Data)
	return last, true, err
}

// subject is that of the events of this server about a push.
func (e *Events) subject(push string) string {
	return e.parts.Name + ".event." + e.parts.Node + "." + push
}

// originOf returns where an event comes from that has come under a subject.
func originOf(subject string, event transponder.Event) Origin {
	o := Origin{Run: event.Run, Number: event.Number}
	if words := strings.Split(subject, "."); len(words) == 4 {
		o.Node = words[2]
	}
	return o
}

// repeatWithin is how long NATS knows which messages it has. A try that is repeated later might be taken twice.
const repeatWithin = time.Minute

// send adds an event, however long that takes. It gives up when ctx has ended.
func (e *Events) send(ctx context.Context, event transponder.Event) bool {
	text, err := encodeEvent(event)
	if err != nil {
		e.lost.Add(1)
		e.log.Error("an event cannot be sent", "err", err)
		return true
	}
	e.sending.Store(event.At.UnixNano())
	defer e.sending.Store(0)
	m := &nats.Msg{Subject: e.subject(event.ID), Data: text, Header: nats.Header{}}
	m.Header.Set(jetstream.MsgIDHeader, fmt.Sprintf("%s-%d", event.Run, event.Number)) // a try whose answer was lost may have arrived
	began := time.Now()
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		if e.try(ctx, m, event, time.Since(began) > repeatWithin) {
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

// try sends an event once; late: if NATS does not have it.
func (e *Events) try(ctx context.Context, m *nats.Msg, event transponder.Event, late bool) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), eventWrite)
	defer cancel()
	if late {
		s, err := e.parts.JetStream.Stream(ctx, e.streamName())
		if err != nil {
			return false
		}
		last, found, err := e.lastSent(ctx, s)
		if err != nil {
			return false
		}
		if found && last.Run == event.Run && last.Number >= event.Number {
			return true
		}
	}
	_, err := e.parts.JetStream.PublishMsg(ctx, m)
	return err == nil
}

// follow reads the events of all servers until something breaks.
func (e *Events) follow(ctx context.Context) error {
	s, err := e.stream(ctx)
	if err != nil {
		return err
	}
	info := s.CachedInfo()
	from := e.begin(info.Config.Metadata[runMember], info.State.FirstSeq, info.State.LastSeq)
	return readLog(ctx, s, from, func(m jetstream.Msg, number uint64) {
		event, err := decodeEvent(m.Data())
		if err != nil {
			e.log.Warn("an event of the cluster cannot be read", "err", err)
			return
		}
		e.received.Add(1)
		e.take(event, originOf(m.Subject(), event), number)
	})
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
func (e *Events) take(event transponder.Event, origin Origin, number uint64) {
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
	e.ring, e.last = append(e.ring, sharedEvent{event, origin}), number
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
	for ; n < len(dst) && i < len(e.ring); n, i = n+1, i+1 {
		dst[n] = e.ring[i].Event
	}
	return n, missed, e.added
}
