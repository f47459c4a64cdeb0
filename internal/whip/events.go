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

// Events tell a player whether the stream has a publisher, by server-sent events as the extension of draft-ietf-wish-whep has them: a
// browser would otherwise see nothing but a picture that stands still while the publisher is waited for.
const (
	relEvents = "urn:ietf:params:whep:ext:core:server-sent-events"

	eventActive   = "active"
	eventInactive = "inactive"
)

const (
	maxEventStreams = 4                // of a session
	maxEventRequest = 4 << 10          // bytes of a request for one
	eventPause      = 15 * time.Second // between two lines, so that no proxy takes the connection for dead
	eventDeadline   = 10 * time.Second // for a line to be written
)

// eventStream is what one player wants to hear.
type eventStream struct {
	types []string
	ended chan struct{} // closed when the player ends it
}

// link is the Link header's value by which a player finds its session's events.
func link(session string) string {
	return "<" + session + `/events>; rel="` + relEvents + `"; events="` + eventActive + "," + eventInactive + `"`
}

// subscribe makes a stream of those events that the request names, or of all.
func (s *Server) subscribe(w http.ResponseWriter, r *http.Request) {
	x, ok := s.session(w, r)
	if !ok {
		return
	}
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

// unsubscribe ends a stream of events.
func (s *Server) unsubscribe(w http.ResponseWriter, r *http.Request) {
	x, e := s.events(w, r)
	if e == nil {
		return
	}
	s.mu.Lock()
	if x.events[r.PathValue("stream")] == e { // it ends once
		delete(x.events, r.PathValue("stream"))
		close(e.ended)
	}
	s.mu.Unlock()
}

// follow sends events until the session, the player or the connection ends. Its address is as secret as a token, which a page could
// not send: EventSource has no headers.
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
		_ = control.SetWriteDeadline(time.Now().Add(eventDeadline)) // what cannot have one fails below when it breaks
		_, err := io.WriteString(w, text)
		return err == nil && control.Flush() == nil
	}
	pause := time.NewTicker(eventPause)
	defer pause.Stop()
	line := ": events follow\n\n"
	for told := eventInactive; ; { // which is no event to begin with
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

// events finds the stream of events that a request names; nil where there is none, which the client is told.
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
