package whip

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"transponder/internal/stream"
)

// Events tell a player whether the stream has a publisher. They are server-sent events, as in the extension of draft-ietf-wish-whep.
// Without them, a viewer would only see that the picture stands still while the server waits for the publisher to return.
const (
	relEvents = "urn:ietf:params:whep:ext:core:server-sent-events"

	eventActive   = "active"
	eventInactive = "inactive"
)

const (
	maxEventStreams = 4                // of a session
	maxEventRequest = 4 << 10          // bytes of the body of a request for an event stream
	eventPause      = 15 * time.Second // longest pause between two lines; proxies take a connection without lines for dead
	eventDeadline   = 10 * time.Second // for writing a line
)

// eventStream is a request of a player for events.
type eventStream struct {
	types []string
	ended chan struct{} // closed when the player deletes the event stream
}

// link returns the value of the header Link, by which a player finds the events of its session.
func link(session string) string {
	return "<" + session + `/events>; rel="` + relEvents + `"; events="` + eventActive + "," + eventInactive + `"`
}

// subscribe makes an event stream with the events that the request names, or with all events.
func (s *Server) subscribe(w http.ResponseWriter, r *http.Request, x *session) {
	known := []string{eventActive, eventInactive}
	wanted := slices.Clone(known)
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEventRequest))
	if err == nil && len(strings.TrimSpace(string(body))) > 0 {
		err = json.Unmarshal(body, &wanted)
	}
	unknown := func(t string) bool { return !slices.Contains(known, t) }
	if err != nil || slices.ContainsFunc(wanted, unknown) {
		problem(w, http.StatusBadRequest, `the body must be a JSON array of event types, of which there are "active" and "inactive"`)
		return
	}
	id := stream.NewID()
	s.mu.Lock()
	full := len(x.events) >= maxEventStreams
	if !full {
		if x.events == nil {
			x.events = map[string]*eventStream{}
		}
		x.events[id] = &eventStream{types: wanted, ended: make(chan struct{})}
	}
	s.mu.Unlock()
	if full {
		problem(w, http.StatusTooManyRequests, "the session has as many event streams as it may have: delete one")
		return
	}
	w.Header().Set("Location", r.URL.EscapedPath()+"/"+url.PathEscape(id))
	w.WriteHeader(http.StatusCreated)
}

// unsubscribe ends an event stream.
func (s *Server) unsubscribe(w http.ResponseWriter, r *http.Request) {
	x, e := s.events(w, r)
	if e == nil {
		return
	}
	s.mu.Lock()
	if x.events[r.PathValue("stream")] == e { // a second request must not close ended again
		delete(x.events, r.PathValue("stream"))
		close(e.ended)
	}
	s.mu.Unlock()
}

// follow sends events until the session, the event stream or the connection ends. It needs no token, since EventSource cannot send
// headers: the address of an event stream is as secret as a token.
func (s *Server) follow(w http.ResponseWriter, r *http.Request) {
	x, e := s.events(w, r)
	if e == nil {
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	control := http.NewResponseController(w)
	send := func(text string) bool {
		_ = control.SetWriteDeadline(time.Now().Add(eventDeadline)) // a connection without deadlines fails at the write below when it breaks
		_, err := io.WriteString(w, text)
		return err == nil && control.Flush() == nil
	}
	pause := time.NewTicker(eventPause)
	defer pause.Stop()
	line := ": events follow\n\n"
	for told := eventInactive; ; { // at first the player is only told that the publisher is there
		away, changed := x.playback.Away()
		now := eventActive
		if away {
			now = eventInactive
		}
		if now != told && slices.Contains(e.types, now) {
			line += "event: " + now + "\ndata: {}\n\n"
		}
		told = now
		if line != "" && !send(line) {
			return
		}
		line = ""
		select {
		case <-changed:
		case <-pause.C:
			line = ":\n\n"
		case <-x.done:
			return
		case <-e.ended:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// events finds the event stream that a request names. If there is none, it answers the request and returns nil.
func (s *Server) events(w http.ResponseWriter, r *http.Request) (*session, *eventStream) {
	x, ok := s.session(w, r)
	if !ok {
		return nil, nil
	}
	s.mu.Lock()
	e := x.events[r.PathValue("stream")]
	s.mu.Unlock()
	if e == nil {
		problem(w, http.StatusNotFound, "no such event stream")
	}
	return x, e
}
