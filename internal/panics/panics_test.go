package panics

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	broken := errors.New("broken")
	tests := []struct {
		name  string
		f     func() error
		want  string
		isErr error
		count int64
	}{
		{"no error", func() error { return nil }, "", nil, 0},
		{"an error", func() error { return broken }, "broken", broken, 0},
		{"a panic", func() error { panic("boom") }, "panic: boom", Err, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var c Counter
			var log bytes.Buffer
			err := c.Run(slog.New(slog.NewTextHandler(&log, nil)), "session panicked", tt.f)
			if !errors.Is(err, tt.isErr) || err != nil && err.Error() != tt.want {
				t.Errorf("Run = %v, want %q", err, tt.want)
			}
			if n := c.Load(); n != tt.count {
				t.Errorf("%d panics are counted, want %d", n, tt.count)
			}
			for _, part := range []string{`msg="session panicked"`, "panic=boom", "panics_test.go"} {
				if got := strings.Contains(log.String(), part); got != (tt.count > 0) {
					t.Errorf("the log has %q: %v\n%s", part, got, &log)
				}
			}
		})
	}
}
