package trace

import (
	"context"
	"log/slog"
	"sync/atomic"
)

// Current is the trace of work that has one trace after the other, such as a push with its reconnects. The zero value has none. Any goroutine may
// use it.
type Current struct{ id atomic.Pointer[string] }

// Set makes the trace of a span the current one.
func (c *Current) Set(s Span) {
	if id := s.traceID(); id != "" {
		c.id.Store(&id)
	}
}

// Log returns a logger whose lines name the trace that is current when they are written.
func (c *Current) Log(log *slog.Logger) *slog.Logger { return slog.New(handler{log.Handler(), c}) }

type handler struct {
	slog.Handler
	current *Current
}

// Handle implements slog.Handler.
func (h handler) Handle(ctx context.Context, r slog.Record) error {
	if id := h.current.id.Load(); id != nil {
		r = r.Clone()
		r.AddAttrs(slog.String(logKey, *id))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{h.Handler.WithAttrs(attrs), h.current}
}

// WithGroup implements slog.Handler.
func (h handler) WithGroup(name string) slog.Handler {
	return handler{h.Handler.WithGroup(name), h.current}
}
