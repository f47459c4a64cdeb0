package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
)

// script is a server of events: each connection gets the next text, and is closed.
type script struct {
	texts []string
	asked []string // Last-Event-ID and query of each connection
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.asked = append(s.asked, r.Header.Get("Last-Event-ID")+" "+r.URL.RawQuery)
	if len(s.texts) == 0 {
		http.Error(w, `{"message":"no"}`, http.StatusForbidden)
		return
	}
	_, _ = fmt.Fprint(w, s.texts[0])
	s.texts = s.texts[1:]
}

func push(id, stream string) string {
	return fmt.Sprintf("id: %s\nevent: push\ndata: {\"sourceStreamName\":%q}\n\n", id, stream)
}

// The events of several connections come as one list, and a reconnect goes on after the last event.
func TestEvents(t *testing.T) {
	s := &script{texts: []string{
		"retry: 1\nid: r-1\n: heartbeat\n\n" + push("r-2", "a"),
		"event: later\ndata: {}\n\nid: r-5\nevent: missed\ndata: {\"missed\":3}\n\n" + push("r-6", "b") + "id: r-7\nevent: push\ndata: {\"cut",
	}}
	srv := httptest.NewServer(s)
	defer srv.Close()
	c, err := New(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	var last error
	for e, err := range c.Events(t.Context(), EventFilter{After: "0", MediaSessionID: "m"}) {
		switch {
		case err != nil:
			last = err
		case e.Push != nil:
			got = append(got, e.ID+" "+e.Push.SourceStreamName)
		case e.Missed != nil:
			got = append(got, fmt.Sprintf("%s missed %d", e.ID, e.Missed.Missed))
		}
	}
	if want := []string{"r-2 a", "r-5 missed 3", "r-6 b"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if Status(last) != http.StatusForbidden {
		t.Errorf("ended with %v, want what the server refused with", last)
	}
	// The event that was cut off is asked for again.
	if want := []string{" after=0&mediaSessionId=m", "r-2 after=0&mediaSessionId=m", "r-6 after=0&mediaSessionId=m"}; !slices.Equal(s.asked, want) {
		t.Errorf("asked %q, want %q", s.asked, want)
	}
}

func TestEventsEnd(t *testing.T) {
	s := &script{texts: []string{push("r-1", "a")}}
	srv := httptest.NewServer(s)
	c, err := New(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	for range c.Events(t.Context(), EventFilter{}) {
		break // with the connection open
	}
	s.texts = []string{push("r-1", "a")} // and then a pause, which is 2 s
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	why := errors.New("enough")
	var last error
	for e, err := range c.Events(ctx, EventFilter{}) {
		if e.Push != nil {
			cancel(why)
		}
		last = err
	}
	if !errors.Is(last, why) {
		t.Errorf("ended with %v, want the cause of the context", last)
	}
	srv.Close()
	for _, err := range c.Events(t.Context(), EventFilter{}) {
		last = err
	}
	var away *UnreachableError
	if !errors.As(last, &away) {
		t.Errorf("%v without a server", last)
	}
}
