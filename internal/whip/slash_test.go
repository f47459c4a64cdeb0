package whip

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestSlashAtTheEnd(t *testing.T) {
	s := New(Config{}, Parts{}, slog.New(slog.DiscardHandler))
	for path, want := range map[string]int{
		"/whip/a": 204, "/whip/a/": 204, "/whep/a%20b/": 204, "/whip/a%2F/": 204, "/whip/a/id/": 204, "/whip/": 404,
	} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodOptions, path, nil))
		if w.Code != want {
			t.Errorf("OPTIONS %s is answered %d, want %d", path, w.Code, want)
		}
	}
}
