package app

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"transponder/internal/state"
)

func TestRequestThatPanics(t *testing.T) {
	tests := []struct {
		name    string
		value   any // of the panic; nil: none
		counted int64
	}{
		{"no panic", nil, 0},
		{"a bug", "boom", 1},
		{"a handler that gives up", http.ErrAbortHandler, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := &App{log: slog.New(slog.DiscardHandler)}
			h := a.safely(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				if tt.value != nil {
					panic(tt.value)
				}
			}))
			defer func() {
				got, want := recover(), any(nil)
				if tt.value != nil {
					want = http.ErrAbortHandler
				}
				if n := a.panics.Load(); got != want || n != tt.counted {
					t.Errorf("net/http sees the panic %v, want %v; %d are counted, want %d", got, want, n, tt.counted)
				}
			}()
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
		})
	}
}

// What is wrong with the state is told by /health/ready, which stays 200.
func TestStateNote(t *testing.T) {
	for _, tt := range []struct {
		name  string
		stats state.Stats
		want  string
	}{
		{"well", state.Stats{Durable: true, Failures: 7}, ""},
		{"failing", state.Stats{Failing: true}, "the state cannot be written: what changes now is lost when the server ends"},
		{"damaged", state.Stats{Damaged: 2}, "2 records of the state are damaged"},
		{"set aside", state.Stats{SetAside: true}, "the database of the state was damaged when the server started, and was set aside"},
		{"both", state.Stats{Failing: true, Damaged: 1}, "the state cannot be written: what changes now is lost when the server ends\n1 records of the state are damaged"},
	} {
		if got := stateNote(tt.stats); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
