package rest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/transponder"
)

// eventStream is an open answer with events.
type eventStream struct {
	t      *testing.T
	lines  *bufio.Reader
	cancel context.CancelFunc
}

// follow opens an event stream.
func follow(t *testing.T, srv *httptest.Server, query, lastEventID string) eventStream {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	r := newRequest(t, srv, http.MethodGet, "/rest-api/push/events"+query, "").WithContext(ctx)
	if lastEventID != "" {
		r.Header.Set("Last-Event-ID", lastEventID)
	}
	resp, err := srv.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if ct := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || ct != "text/event-stream" {
		t.Fatalf("answer = %d %s, want 200 text/event-stream", resp.StatusCode, ct)
	}
	return eventStream{t, bufio.NewReader(resp.Body), cancel}
}

// block reads up to the next empty line.
func (s eventStream) block() string {
	s.t.Helper()
	var lines []string
	for {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			s.t.Fatalf("events end with %v after %q", err, lines)
		}
		if line == "\n" {
			return strings.Join(lines, "|")
		}
		lines = append(lines, strings.TrimSuffix(line, "\n"))
	}
}

// fakeRun is the run of fakeEvents.
var fakeRun = new(fakeEvents).Run()

// ofRun completes a block in which the id is only a number.
func ofRun(block string) string { return strings.Replace(block, "id: ", "id: "+fakeRun+"-", 1) }

// want reads blocks and compares them. For the id of a block, only the number is given. For the data of a push, only the id is given; the
// data is checked against the contract.
func (s eventStream) want(blocks ...string) {
	s.t.Helper()
	c, err := loadContract()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, want := range blocks {
		got := s.block()
		if head, data, ok := strings.Cut(got, "event: push|data: "); ok {
			var body map[string]any
			if err := json.Unmarshal([]byte(data), &body); err != nil {
				s.t.Fatalf("data %s: %v", data, err)
			}
			if err := c.doc.Components.Schemas["PushEvent"].Value.VisitJSON(body); err != nil {
				s.t.Errorf("the event %s breaks the contract: %v", data, err)
			}
			got = head + body["id"].(string)
		}
		if want := ofRun(want); got != want {
			s.t.Fatalf("block = %q, want %q", got, want)
		}
	}
}

func TestEvents(t *testing.T) {
	const retry = "retry: 2000|"
	fromAnotherRun := []string{
		retry + `id: 0|event: missed|data: {"missed":0}`, `id: 3|event: missed|data: {"missed":3}`,
		"id: 4|a", "id: 5|a", "id: 6|b", "id: 7|c",
	}
	tests := []struct {
		name, query, last string
		want              []string
	}{
		{"what is new", "", "", []string{retry + "id: 6|: heartbeat", "id: 7|c"}},
		{"after a number", "?after=5", "", []string{retry + "id: 5|: heartbeat", "id: 6|b", "id: 7|c"}},
		{"after an id", "?after=" + fakeRun + "-5", "", []string{retry + "id: 5|: heartbeat", "id: 6|b", "id: 7|c"}},
		{"connected anew", "", fakeRun + "-5", []string{retry + "id: 5|: heartbeat", "id: 6|b", "id: 7|c"}},
		{"connected anew with a number alone", "", "5", []string{retry + "id: 5|: heartbeat", "id: 6|b", "id: 7|c"}},
		{"connected anew at the same address", "?after=2", "5", []string{retry + "id: 5|: heartbeat", "id: 6|b", "id: 7|c"}},
		{
			"all", "?after=0", "",
			[]string{retry + "id: 0|: heartbeat", `id: 3|event: missed|data: {"missed":3}`, "id: 4|a", "id: 5|a", "id: 6|b", "id: 7|c"},
		},
		{"from the oldest", "?after=3", "", []string{retry + "id: 3|: heartbeat", "id: 4|a", "id: 5|a", "id: 6|b", "id: 7|c"}},
		{"of an earlier run, with a number that this one has too", "", "9v2m4k1f8r0a-5", fromAnotherRun},
		{"of an earlier run, with a number that this one has not reached", "", "9v2m4k1f8r0a-900", fromAnotherRun},
		{"with a number alone that this run has not reached", "", "900", fromAnotherRun},
		{"of one push", "?after=3&mediaSessionId=c", "", []string{retry + "id: 3|: heartbeat", "id: 7|c"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			journal := newFakeEvents(3, "a", "a", "b")
			srv := serve(t, DefaultConfig(), Parts{Events: journal})
			events := follow(t, srv, tt.query, tt.last)
			events.want(tt.want[0])
			journal.add(transponder.Event{ID: "c", At: pushTime, From: transponder.Live, To: transponder.Ended})
			events.want(tt.want[1:]...)
		})
	}
}

func TestBadEvents(t *testing.T) {
	srv := newServer(t, &fakePushes{}, newHub(t))
	for query, want := range map[string]string{
		"events?after=x":                           `after: it must be an event's id or number, not "x"`,
		"events?after=-1":                          `after: it must be an event's id or number, not "-1"`,
		"events?after=1.5":                         `after: it must be an event's id or number, not "1.5"`,
		"events?after=4k1f8r0v2m9a-":               `after: it must be an event's id or number, not "4k1f8r0v2m9a-"`,
		"events?after=4k1f8r0v2m9a-1-2":            `after: it must be an event's id or number, not "4k1f8r0v2m9a-1-2"`,
		"history?limit=x":                          `limit: it must be a whole number, not "x"`,
		"history?limit=0":                          `limit: it must be at least 1`,
		"history?limit=" + strings.Repeat("9", 99): `limit: it must be a whole number, not "` + strings.Repeat("9", maxToken) + `…"`,
	} {
		r := get(t, srv, "/rest-api/push/"+query)
		r.wantStatus(t, http.StatusBadRequest)
		if got := r.message(t); got != want {
			t.Errorf("message of %s = %q, want %q", query, got, want)
		}
	}
}

// TestFollowers checks how many clients may follow, that a client that leaves makes room, and that Close ends all.
func TestFollowers(t *testing.T) {
	h, err := New(DefaultConfig(), Parts{Events: newFakeEvents(0)}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	defer srv.Close()
	events := follow(t, srv, "", "")
	events.want("retry: 2000|id: 0|: heartbeat")
	var leaves []func()
	for range maxFollowers - 1 {
		_, leave, err := h.followers.enter(t.Context(), netip.Addr{})
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, leave)
	}
	full := get(t, srv, "/rest-api/push/events")
	full.wantStatus(t, http.StatusServiceUnavailable)
	if got := full.message(t); !strings.HasPrefix(got, "100 clients follow") {
		t.Errorf("message = %q", got)
	}
	for _, leave := range leaves {
		leave()
	}
	follow(t, srv, "", "").want("retry: 2000|id: 0|: heartbeat")

	h.Close()
	h.Close()
	events.want(": goodbye")
	if _, err := events.lines.ReadByte(); err == nil {
		t.Error("events go on after Close")
	}
	get(t, srv, "/rest-api/push/events").wantStatus(t, http.StatusServiceUnavailable)
}

// slowClient is a connection whose client reads a number of writes and then nothing more.
type slowClient struct {
	*httptest.ResponseRecorder
	takes    int
	pieces   []string
	times    []time.Duration
	begun    time.Time
	deadline time.Time
}

func (c *slowClient) Write(p []byte) (int, error) {
	if len(c.pieces) == c.takes {
		time.Sleep(time.Until(c.deadline)) // of the bubble's time
		return 0, os.ErrDeadlineExceeded
	}
	c.pieces = append(c.pieces, strings.ReplaceAll(string(p), "\n", "|"))
	c.times = append(c.times, time.Since(c.begun))
	return len(p), nil
}

func (c *slowClient) SetWriteDeadline(at time.Time) error {
	c.deadline = at
	return nil
}

// followSlowly runs the handler in the bubble of the test until the client or ctx ends it, and returns the time of the end.
func followSlowly(ctx context.Context, t *testing.T, journal Events, query string, takes int) (*slowClient, time.Duration) {
	t.Helper()
	h, err := New(DefaultConfig(), Parts{Events: journal}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	c := &slowClient{ResponseRecorder: httptest.NewRecorder(), takes: takes, begun: time.Now()}
	h.ServeHTTP(c, localRequest(ctx, http.MethodGet, "/rest-api/push/events"+query, nil))
	if len(h.followers.cancels) != 0 {
		t.Error("a follower that left still counts")
	}
	return c, time.Since(c.begun)
}

func TestSlowFollower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, took := followSlowly(t.Context(), t, newFakeEvents(0), "", 2)
		if want := 2*heartbeat + followTimeout; took != want {
			t.Errorf("a client that takes no more was held for %v, want %v", took, want)
		}
	})
}

// TestHeartbeats checks that a follower gets heartbeats, with the number of the last event, while all events are of other pushes.
func TestHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		journal := newFakeEvents(0)
		ctx, cancel := context.WithTimeoutCause(t.Context(), 40*time.Second, errors.New("the client left"))
		defer cancel()
		go func() {
			for range 40 {
				time.Sleep(time.Second)
				journal.add(transponder.Event{ID: "other"})
			}
		}()
		c, _ := followSlowly(ctx, t, journal, "?mediaSessionId=mine", 99)
		want := []struct {
			piece string
			at    time.Duration
		}{
			{"retry: 2000|id: 0|: heartbeat||", 0},
			{"id: 15|: heartbeat||", 15 * time.Second},
			{"id: 30|: heartbeat||", 30 * time.Second},
			{": goodbye||", 40 * time.Second},
		}
		if len(c.pieces) != len(want) {
			t.Fatalf("pieces = %q at %v", c.pieces, c.times)
		}
		for i, w := range want {
			// At the very moment of a heartbeat an event may or may not have been read.
			if got := strings.Replace(strings.Replace(c.pieces[i], "-14", "-15", 1), "-29", "-30", 1); got != ofRun(w.piece) || c.times[i] != w.at {
				t.Errorf("piece %d = %q at %v, want %q at %v", i, c.pieces[i], c.times[i], w.piece, w.at)
			}
		}
	})
}

func TestHistory(t *testing.T) {
	over := livePush()
	over.State, over.Ended, over.NextTry = transponder.Ended, pushTime.Add(time.Hour), time.Time{}
	other := over
	other.ID = "0123456789abcdefghijklmnop"
	srv := serve(t, DefaultConfig(), Parts{Pushes: &fakePushes{over: []transponder.Info{over, other}}})
	for query, want := range map[string]int{"": 2, "?limit=1": 1, "?limit=99999999999": 2} {
		r := get(t, srv, "/rest-api/push/history"+query)
		r.wantStatus(t, http.StatusOK)
		var list []map[string]any
		if err := json.Unmarshal(r.body, &list); err != nil || len(list) != want {
			t.Fatalf("history%s = %s, want %d pushes", query, r.body, want)
		}
		if list[0]["mediaSessionId"] != pushID || list[0]["endedAt"] != float64(over.Ended.UnixMilli()) || list[0]["nextRetryAt"] != nil {
			t.Errorf("history%s begins with %v", query, list[0])
		}
	}
	none := get(t, newServer(t, &fakePushes{}, newHub(t)), "/rest-api/push/history")
	none.wantStatus(t, http.StatusOK)
	if got := strings.TrimSpace(string(none.body)); got != "[]" {
		t.Errorf("empty history = %s, want []", got)
	}
}
