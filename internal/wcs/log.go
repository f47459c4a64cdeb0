package wcs

import (
	"context"
	"log/slog"
	"sync/atomic"

	"transponder/internal/logs"
)

// logLevel is the log level of one session. Until it is set, the level of the server counts.
type logLevel struct{ set atomic.Pointer[slog.Level] }

// logger returns log with that level.
func (l *logLevel) logger(log *slog.Logger) *slog.Logger {
	return slog.New(levelHandler{log.Handler(), l})
}

// levelHandler asks for the level of the session before that of the server.
type levelHandler struct {
	slog.Handler
	level *logLevel
}

// Enabled implements slog.Handler.
func (h levelHandler) Enabled(ctx context.Context, level slog.Level) bool {
	if set := h.level.set.Load(); set != nil {
		return level >= *set
	}
	return h.Handler.Enabled(ctx, level)
}

// Handle implements slog.Handler. The levels of packages do not count for the session.
func (h levelHandler) Handle(ctx context.Context, r slog.Record) error {
	return h.Handler.Handle(logs.Always(ctx), r)
}

// WithAttrs implements slog.Handler.
func (h levelHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return levelHandler{h.Handler.WithAttrs(attrs), h.level}
}

// WithGroup implements slog.Handler.
func (h levelHandler) WithGroup(name string) slog.Handler {
	return levelHandler{h.Handler.WithGroup(name), h.level}
}
