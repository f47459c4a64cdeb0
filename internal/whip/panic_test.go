package whip

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"transponder/internal/rtc"
	"transponder/internal/stream"
)

// session of a client whose media panics when fault is closed.
type faulty struct{ fault chan struct{} }

func (faulty) Answer() string                                     { return "the answer" }
func (faulty) AddCandidate(string) error                          { return nil }
func (faulty) RestartICE(context.Context, string) (string, error) { return "", nil }
func (faulty) Source() *stream.Source                             { return nil }
func (faulty) Stats() rtc.SessionStats                            { panic("the figures are broken too") }
func (f faulty) Run(ctx context.Context) error {
	select {
	case <-f.fault:
		panic("a fault")
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// A panic in the media of one session ends that session. The others go on.
func TestPanicEndsOneSession(t *testing.T) {
	media := map[string]faulty{"a": {make(chan struct{})}, "b": {make(chan struct{})}}
	s := New(DefaultConfig(), Parts{Access: everybody(), Publish: func(_ context.Context, _ rtc.Offer, info stream.Info) (Publication, error) {
		return media[info.Name], nil
	}}, slog.New(slog.DiscardHandler))
	send := func(method, path string) *httptest.ResponseRecorder {
		w, r := httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(offer("H264")))
		r.Header.Set("Content-Type", typeSDP)
		s.ServeHTTP(w, r)
		return w
	}
	first, second := send("POST", "/whip/a").Header().Get("Location"), send("POST", "/whip/b").Header().Get("Location")
	s.mu.Lock()
	done, doneToo := s.sessions[strings.TrimPrefix(first, "/whip/a/")].done, s.sessions[strings.TrimPrefix(second, "/whip/b/")].done
	s.mu.Unlock()

	close(media["a"].fault)
	<-done
	if code := send("GET", first).Code; code != http.StatusNotFound {
		t.Errorf("the session that panicked answers %d, want 404", code)
	}
	if code := send("GET", second).Code; code != http.StatusNoContent {
		t.Errorf("the other session answers %d, want 204", code)
	}
	close(media["b"].fault)
	<-doneToo
	s.Close()
	if n := s.Panics(); n != 2 {
		t.Errorf("%d panics are counted, want 2", n)
	}
}
