package rtc

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/pion/logging"
)

// PionLog writes pion's log to slog, for debugging only. Pion's warnings and errors tell of a client's misbehaviour, or
// belong to a normal end of a session, and the doors log the end of each session.
type PionLog struct{ Log *slog.Logger }

// NewLogger implements logging.LoggerFactory.
func (f PionLog) NewLogger(scope string) logging.LeveledLogger {
	return scopeLog{f.Log.With("scope", scope)}
}

type scopeLog struct{ log *slog.Logger }

func (l scopeLog) say(level slog.Level, format string, args ...any) {
	if ctx := context.Background(); l.log.Enabled(ctx, level) {
		if len(args) > 0 {
			format = fmt.Sprintf(format, args...)
		}
		l.log.Log(ctx, level, "pion", "says", format)
	}
}

// trace is a level below debug.
const trace = slog.LevelDebug - 4

func (l scopeLog) Trace(msg string)             { l.say(trace, msg) }
func (l scopeLog) Tracef(f string, args ...any) { l.say(trace, f, args...) }
func (l scopeLog) Debug(msg string)             { l.say(trace, msg) }
func (l scopeLog) Debugf(f string, args ...any) { l.say(trace, f, args...) }
func (l scopeLog) Info(msg string)              { l.say(trace, msg) }
func (l scopeLog) Infof(f string, args ...any)  { l.say(trace, f, args...) }
func (l scopeLog) Warn(msg string)              { l.say(slog.LevelDebug, msg) }
func (l scopeLog) Warnf(f string, args ...any)  { l.say(slog.LevelDebug, f, args...) }
func (l scopeLog) Error(msg string)             { l.say(slog.LevelDebug, msg) }
func (l scopeLog) Errorf(f string, args ...any) { l.say(slog.LevelDebug, f, args...) }
