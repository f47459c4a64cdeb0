package rest

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"transponder/internal/access"
)

// Runtime changes the server while it runs. app.App is one.
type Runtime interface {
	// Reload reads the settings and their files again. If the settings are wrong it changes nothing, and fails with a SettingsError.
	Reload(ctx context.Context) (Reloaded, error)
	// LogLevels returns the levels of the log: first that of all packages, then those of single ones.
	LogLevels() []LogLevel
	// SetLogLevel sets the level of a package, "" for all packages, for a time; 0: until the server ends. nil takes the level back.
	SetLogLevel(pkg string, level *slog.Level, after time.Duration) error
}

// Reloaded is what a reload has done.
type Reloaded struct {
	Changed []string `json:"changed"` // settings that have a new value now
	Restart []string `json:"restart"` // settings whose new value counts after a restart
	Read    []string `json:"read"`    // files that were read again
	Wrong   []string `json:"wrong"`   // files that could not be read, and are as they were
}

// SettingsError means that the settings are wrong, so that a reload has changed nothing.
type SettingsError struct{ Faults []string }

func (e SettingsError) Error() string {
	return "nothing was changed, because the settings are wrong: " + strings.Join(e.Faults, "; ")
}

// LogLevel is one level of the log.
type LogLevel struct {
	Package string // "": all packages that have none of their own
	Level   slog.Level
	Until   time.Time // zero: until the server ends
}

// levelBody is a level in an answer.
type levelBody struct {
	Package string `json:"package,omitempty"`
	Level   string `json:"level"`
	Until   int64  `json:"until,omitempty"`
}

// longestLevel is the longest time for which a level can be set. A log at DEBUG that somebody has forgotten fills the disk.
const longestLevel = 24 * time.Hour

func (s *Server) runtimeRoutes() {
	if s.parts.Runtime == nil {
		return
	}
	s.method("/node/reload", access.Admin, s.reload, http.MethodPost)
	s.method("/node/log", access.Admin, s.logLevels, http.MethodGet)
	s.method("/node/log/set", access.Admin, s.setServerLogLevel, http.MethodPost)
}

func (s *Server) reload(ctx context.Context, _ *fields) (any, error) {
	done, err := s.parts.Runtime.Reload(ctx)
	for _, list := range []*[]string{&done.Changed, &done.Restart, &done.Read, &done.Wrong} {
		if *list == nil {
			*list = []string{}
		}
	}
	return done, err
}

func (s *Server) logLevels(context.Context, *fields) (any, error) {
	all := []levelBody{}
	for _, l := range s.parts.Runtime.LogLevels() {
		b := levelBody{Package: l.Package, Level: l.Level.String()}
		if !l.Until.IsZero() {
			b.Until = l.Until.UnixMilli()
		}
		all = append(all, b)
	}
	return all, nil
}

func (s *Server) setServerLogLevel(ctx context.Context, f *fields) (any, error) {
	var level *slog.Level
	if word := f.text("level"); word != "" {
		level = new(slog.Level)
		if err := level.UnmarshalText([]byte(word)); err != nil {
			f.fail("level", "it must be DEBUG, INFO, WARN or ERROR, not %s", shown([]byte(word)))
		}
	}
	after := time.Duration(f.number("forSeconds") * float64(time.Second))
	if after < 0 || after > longestLevel {
		f.fail("forSeconds", "it must be from 0 to %.0f", longestLevel.Seconds())
	}
	pkg := f.text("package")
	if f.err != nil {
		return nil, f.err
	}
	if err := s.parts.Runtime.SetLogLevel(pkg, level, after); err != nil {
		return nil, refusal{http.StatusBadRequest, err.Error()}
	}
	return s.logLevels(ctx, f)
}
