package app

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
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
