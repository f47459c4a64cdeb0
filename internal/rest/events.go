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
	// maxFollowers is how many clients may follow the events at a time. Each of them holds a connection.
	maxFollowers = 100

	// heartbeat is the longest pause between two messages. Without messages, clients and proxies take the connection for dead.
	heartbeat = 15 * time.Second

	// followTimeout is how long a write to a follower may take.
	followTimeout = 10 * time.Second

	// followBatch is how many events are sent in one write.
	followBatch = 64

	// reconnectMs is how long a browser waits before it reconnects.
	reconnectMs = 2000
)

var (
	errFollowers = refusal{http.StatusServiceUnavailable, fmt.Sprintf("%d clients follow the events already, which is the limit", maxFollowers)}
	errShare     = refusal{http.StatusServiceUnavailable, "too many clients of your address follow the events"}
)

// followers are the open requests of one kind that take long.
type followers struct {
	places      *guard.Places
	full, share error // what a client gets if there is no place, or if its address has its share

	mu      sync.Mutex
	cancels map[*context.CancelCauseFunc]struct{} // guarded by mu
	closed  bool                                  // guarded by mu
}

// enter admits a request from an address. The context ends with the request, or when the server stops. The caller calls release at the end.
func (f *followers) enter(ctx context.Context, from netip.Addr) (_ context.Context, release func(), err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, nil, transponder.ErrStopping
	}
	giveBack, why := f.places.Take(from)
	switch why {
	case guard.WhyFull:
		return nil, nil, f.full
	case guard.WhyShare:
		return nil, nil, f.share
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

// Close ends the requests that follow events, which would not end by themselves, and checks, and admits no more of them. It is called when the HTTP
// server shuts down, by http.Server.RegisterOnShutdown.
func (s *Server) Close() {
	s.followers.close()
	s.checks.running.close()
}

// followPushes sends the events of pushes as they happen, as server-sent events (HTML, 9.2). It begins after the event that the browser
// or the query names, otherwise with the next event.
func (s *Server) followPushes(w http.ResponseWriter, r *http.Request) error {
	f, err := s.newFollower(w, r)
	if err != nil {
		return err
	}
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Type", "text/event-stream")
		return nil
	}
	ctx, release, err := s.followers.enter(r.Context(), s.parts.Shares.Client(r))
	switch {
	case errors.Is(err, errFollowers):
		s.parts.Refusals.Note("events", guard.WhyFull, "peer", r.RemoteAddr)
	case errors.Is(err, errShare):
		s.parts.Refusals.Note("events", guard.WhyShare, "peer", r.RemoteAddr)
	}
	if err != nil {
		return err
	}
	defer release()
	ctx, free := s.lease(ctx)
	defer free()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // otherwise nginx buffers the events
	err = f.run(ctx)
	s.log.Debug("rest follower left", "peer", r.RemoteAddr, "err", err)
	return nil
}

// follower is one request for events.
type follower struct {
	events Events
	w      http.ResponseWriter
	conn   *http.ResponseController
	viewer viewer
	push   string // the only push whose events are sent; "": all pushes
	after  uint64 // number of the last event that was handled
	gap    bool   // the client asked for events of an earlier run of the server

	buf  bytes.Buffer
	sent time.Time // time of the last write
}

func (s *Server) newFollower(w http.ResponseWriter, r *http.Request) (*follower, error) {
	query := r.URL.Query()
	// A browser that reconnects uses the same address, and names the last event that it got in the header.
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		query.Set("after", last)
	}
	f := &follower{events: s.parts.Events, viewer: s.viewer(r.Context()), w: w, conn: http.NewResponseController(w), push: query.Get("mediaSessionId")}
	return f, f.begin(query.Get("after"))
}

// begin sets after to the last event that the client has got. The client names it by its id, or by its number alone, which then is a
// number of this run of the server. If the event is of an earlier run, all events of this run are new to the client.
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

// id returns the id of the event with the number.
func (f *follower) id(number uint64) string {
	return f.events.Run() + "-" + strconv.FormatUint(number, 10)
}

// run sends events until ctx ends or a write fails.
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
			if err := f.tell(e); err != nil {
				return err
			}
		}
		if f.buf.Len() == 0 && time.Since(f.sent) >= heartbeat {
			f.beat()
		}
	}
}

// tell writes an event, if the client asked for that push.
func (f *follower) tell(e transponder.Event) error {
	f.after = e.Number
	e, ok := f.viewer.event(e)
	if !ok || f.push != "" && f.push != e.ID {
		return nil
	}
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	fmt.Fprintf(&f.buf, "id: %s\nevent: push\ndata: %s\n\n", f.id(e.Number), data)
	return nil
}

// miss writes that this many events before the next one are lost; 0: it is not known how many.
func (f *follower) miss(events uint64) {
	fmt.Fprintf(&f.buf, "id: %s\nevent: missed\ndata: {\"missed\":%d}\n\n", f.id(f.after), events)
}

// beat writes a heartbeat with the id of the last event. A browser that reconnects continues after that event.
func (f *follower) beat() { fmt.Fprintf(&f.buf, "id: %s\n: heartbeat\n\n", f.id(f.after)) }

// flush sends what is in buf.
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
