package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// silence is how long a connection may send nothing. The server sends something each 15 seconds.
	silence = 45 * time.Second

	// lastPause is the longest pause before a reconnect. The first is what the server asks for, or firstPause.
	firstPause = 2 * time.Second
	lastPause  = 30 * time.Second

	// maxEvent bounds one line of the stream.
	maxEvent = 1 << 20
)

// EventFilter says which events to follow. The zero value is all events from now on.
type EventFilter struct {
	After          string // begin after the event with this id, or with this number in this run of the server; "0": with the oldest that is kept
	MediaSessionID string // only the events of this push
}

// Event is one of Push and Missed.
type Event struct {
	ID     string        // for EventFilter.After
	Push   *PushEvent    // nil: it is no step of a push
	Missed *MissedEvents // events before the next one are lost, because the client was away for too long
}

// Events follows the events of pushes, until ctx ends or the loop is left. When the connection breaks, it reconnects and goes on after the last
// event. It ends with an error, which is the last value, if the server refuses, if there is no server at the beginning, or when ctx ends.
func (c *Client) Events(ctx context.Context, f EventFilter) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		s := subscription{client: c, filter: f, yield: yield, retry: firstPause}
		if err := s.follow(ctx); err != nil {
			yield(Event{}, err)
		}
	}
}

// errLeft means that the loop over the events was left.
var errLeft = errors.New("the loop was left")

// subscription is one loop over events.
type subscription struct {
	client *Client
	filter EventFilter
	yield  func(Event, error) bool

	last      string // id of the last message
	retry     time.Duration
	connected bool // at least once
	progress  bool // since the last failure
}

// follow returns nil if the loop was left.
func (s *subscription) follow(ctx context.Context) error {
	pause := s.retry
	for {
		err := s.connect(ctx)
		var answered *Error
		switch {
		case errors.Is(err, errLeft):
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.As(err, &answered) && answered.Status < 500, !s.connected:
			return err
		}
		if s.progress {
			pause, s.progress = s.retry, false
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
		pause = min(2*pause, lastPause)
	}
}

// connect reads one connection to its end.
func (s *subscription) connect(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	alive := time.AfterFunc(silence, func() { cancel(errors.New("the server is silent")) })
	defer alive.Stop()
	header := http.Header{"Accept": {"text/event-stream"}}
	query := url.Values{"after": {s.filter.After}, "mediaSessionId": {s.filter.MediaSessionID}}
	if s.last != "" {
		header.Set("Last-Event-ID", s.last)
	}
	got, err := s.client.send(ctx, http.MethodGet, prefix+"/push/events", query, nil, header)
	if err != nil {
		return err
	}
	defer got.Body.Close()
	s.connected = true
	return s.read(got.Body, func() { alive.Reset(silence) })
}

// read reads messages (HTML, 9.2.6). heard is called for each line.
func (s *subscription) read(from io.Reader, heard func()) error {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, maxEvent)
	var id, kind, data string
	for lines.Scan() {
		heard()
		key, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case lines.Text() == "": // the message is complete
			if id != "" {
				s.last, s.progress = id, true
			}
			if data != "" {
				if err := s.dispatch(kind, data); err != nil {
					return err
				}
			}
			kind, data = "", ""
		case key == "id":
			id = value
		case key == "event":
			kind = value
		case key == "data":
			data = strings.TrimPrefix(data+"\n"+value, "\n")
		case key == "retry":
			if ms, err := strconv.Atoi(value); err == nil {
				s.retry = min(time.Duration(ms)*time.Millisecond, lastPause)
			}
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return io.ErrUnexpectedEOF
}

// dispatch gives one message to the loop. Kinds that a later server may have are left out.
func (s *subscription) dispatch(kind, data string) error {
	e := Event{ID: s.last}
	var to any
	switch kind {
	case "push":
		e.Push = &PushEvent{}
		to = e.Push
	case "missed":
		e.Missed = &MissedEvents{}
		to = e.Missed
	default:
		return nil
	}
	if err := json.Unmarshal([]byte(data), to); err != nil {
		return fmt.Errorf("an event is no JSON: %w", err)
	}
	if !s.yield(e, nil) {
		return errLeft
	}
	return nil
}
