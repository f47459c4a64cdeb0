package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"transponder/internal/guard"
	"transponder/internal/transponder"
)

const (
	// maxFollowers is how many may follow the events at once: each holds a connection.
	maxFollowers = 100

	// heartbeat is how long a follower hears nothing, so that neither it nor a proxy takes the connection for dead.
	heartbeat = 15 * time.Second

	// followTimeout is how long a follower may take to accept what is sent to it.
	followTimeout = 10 * time.Second

	// followBatch is how many events are sent in one piece.
	followBatch = 64

	// reconnectMs is how long a browser waits before it connects anew.
	reconnectMs = 2000
)

var (
	errFollowers = refusal{http.StatusServiceUnavailable, fmt.Sprintf("%d clients follow the events, and no more may", maxFollowers)}
	errShare     = refusal{http.StatusServiceUnavailable, "as many clients of your address follow the events as may of one address"}
)

// followers are the requests that stay open to follow events.
type followers struct {
	places *guard.Places

	mu      sync.Mutex
	cancels map[*context.CancelCauseFunc]struct{} // guarded by mu
	closed  bool                                  // guarded by mu
}

// enter admits a follower from an address. Its context ends with the request or with the server; leave is to be called.
func (f *followers) enter(ctx context.Context, from netip.Addr) (_ context.Context, leave func(), err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, nil, transponder.ErrStopping
	}
	giveBack, why := f.places.Take(from)
	switch why {
	case guard.WhyFull:
		return nil, nil, errFollowers
	case guard.WhyShare:
		return nil, nil, errShare
	}
	if f.cancels == nil {
		f.cancels = map[*context.CancelCauseFunc]struct{}{}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	f.cancels[&cancel] = struct{}{}
	return ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.cancels, &cancel)
		giveBack()
		cancel(nil)
	}, nil
}

func (f *followers) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for cancel := range f.cancels {
		(*cancel)(transponder.ErrStopping)
	}
}

// Close ends the requests that follow events, which would last for ever, and admits no more. Call it when the HTTP server shuts
// down: http.Server.RegisterOnShutdown does.
func (s *Server) Close() { s.followers.close() }

// followPushes sends the journal's events as they come, as server-sent events (HTML, 9.2), from the one on that the
// browser or the query names, else from now on.
func (s *Server) followPushes(w http.ResponseWriter, r *http.Request) error {
	f, err := s.newFollower(w, r)
	if err != nil {
		return err
	}
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Type", "text/event-stream")
		return nil
	}
	ctx, leave, err := s.followers.enter(r.Context(), s.parts.Shares.Client(r))
	switch {
	case errors.Is(err, errFollowers):
		s.parts.Refusals.Note("events", guard.WhyFull, "peer", r.RemoteAddr)
	case errors.Is(err, errShare):
		s.parts.Refusals.Note("events", guard.WhyShare, "peer", r.RemoteAddr)
	}
	if err != nil {
		return err
	}
	defer leave()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would keep the events back
	err = f.run(ctx)
	s.log.Debug("rest follower left", "peer", r.RemoteAddr, "err", err)
	return nil
}

// follower is one request for events.
type follower struct {
	events Events
	w      http.ResponseWriter
	conn   *http.ResponseController
	push   string // the only push to tell of; "" for all
	after  uint64 // the last number that was dealt with
	gap    bool   // what was asked for begins in an earlier run of the server

	buf  bytes.Buffer
	sent time.Time // when something was sent last
}

func (s *Server) newFollower(w http.ResponseWriter, r *http.Request) (*follower, error) {
	query := r.URL.Query()
	// A browser that connects anew uses the same address again, and says in the header how far it came.
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		query.Set("after", last)
	}
	f := &follower{events: s.parts.Events, w: w, conn: http.NewResponseController(w), push: query.Get("mediaSessionId")}
	return f, f.begin(query.Get("after"))
}

// begin goes to an event that a client has had: its id, or its number alone, which is taken for one of this run as long as it
// can be. An id of an earlier run says that all of this one is new.
func (f *follower) begin(after string) error {
	newest := f.events.Last()
	if after == "" {
		f.after = newest
		return nil
	}
	run, number, isID := strings.Cut(after, "-")
	if !isID {
		run, number = f.events.Run(), after
	}
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil || run == "" {
		return &transponder.RequestError{Field: "after", Reason: "it must be an event's id or number, not " + strconv.Quote(shorten(after))}
	}
	if f.gap = run != f.events.Run() || n > newest; !f.gap {
		f.after = n
	}
	return nil
}

// id is that of the event with a number.
func (f *follower) id(number uint64) string {
	return f.events.Run() + "-" + strconv.FormatUint(number, 10)
}

// run sends until ctx ends or the client takes no more.
func (f *follower) run(ctx context.Context) error {
	fmt.Fprintf(&f.buf, "retry: %d\n", reconnectMs)
	if f.gap {
		f.miss(0)
	} else {
		f.beat()
	}
	events := make([]transponder.Event, followBatch)
	for {
		if err := f.flush(); err != nil {
			return err
		}
		wait, cancel := context.WithDeadline(ctx, f.sent.Add(heartbeat))
		n, missed, _ := f.events.Since(wait, f.after, events) // its only error is the end of wait
		cancel()
		if ctx.Err() != nil {
			f.buf.WriteString(": goodbye\n\n")
			_ = f.flush()
			return context.Cause(ctx)
		}
		if missed > 0 {
			f.after = events[0].Number - 1
			f.miss(missed)
		}
		for _, e := range events[:n] {
			if isStranger(ctx) {
				e = e.ForStrangers()
			}
			if err := f.tell(e); err != nil {
				return err
			}
		}
		if f.buf.Len() == 0 && time.Since(f.sent) >= heartbeat {
			f.beat()
		}
	}
}

// tell writes an event, unless it is of a push that was not asked for.
func (f *follower) tell(e transponder.Event) error {
	f.after = e.Number
	if f.push != "" && f.push != e.ID {
		return nil
	}
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	fmt.Fprintf(&f.buf, "id: %s\nevent: push\ndata: %s\n\n", f.id(e.Number), data)
	return nil
}

// miss says that events before the next one are gone; 0 stands for a number that is not known.
func (f *follower) miss(events uint64) {
	fmt.Fprintf(&f.buf, "id: %s\nevent: missed\ndata: {\"missed\":%d}\n\n", f.id(f.after), events)
}

// beat says nothing but how far it is, so that a browser that connects anew goes on from there.
func (f *follower) beat() { fmt.Fprintf(&f.buf, "id: %s\n: heartbeat\n\n", f.id(f.after)) }

// flush sends what was written.
func (f *follower) flush() error {
	if f.buf.Len() == 0 {
		return nil
	}
	_ = f.conn.SetWriteDeadline(time.Now().Add(followTimeout)) // not every ResponseWriter has deadlines
	_, err := f.buf.WriteTo(f.w)
	f.sent = time.Now()
	if err != nil {
		return err
	}
	return f.conn.Flush()
}
