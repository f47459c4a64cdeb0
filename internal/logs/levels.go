// Package logs says how much the log tells, of the whole program and of single packages, and changes that while the program runs. Nothing runs in
// it but a timer for each level that goes back by itself. What was set is gone when the process ends.
package logs

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Packages are the packages that may have a level of their own: the folders of internal. A level also counts for the folders below them.
var Packages = []string{
	"access", "app", "certificate", "cluster", "destination", "guard", "handover", "hook", "load", "metrics", "panics", "rest", "rtc", "rtmp",
	"rtmpserver", "sip", "state", "stream", "trace", "transcode", "transponder", "wcs", "webui", "whip",
}

// Levels are the levels of one log. Any goroutine may call the methods.
type Levels struct {
	back func(pkg string) // is called when a level has gone back by itself; nil: nobody wants to know

	mu       sync.Mutex
	standard slog.Level         // guarded by mu; of the settings
	chosen   map[string]*choice // guarded by mu; by package; "" is all packages

	view atomic.Pointer[view] // of what mu guards, for the handlers
}

// choice is a level that somebody has set.
type choice struct {
	level slog.Level
	until time.Time   // zero: until the process ends
	timer *time.Timer // nil: it does not go back
}

// view is what a handler needs.
type view struct {
	base, lowest slog.Level
	packages     map[string]slog.Level
}

// New returns the levels of a log that has one level for all packages.
func New(standard slog.Level) *Levels {
	l := &Levels{standard: standard, chosen: map[string]*choice{}}
	l.update()
	return l
}

// OnBack has f called when a level has gone back by itself. It is called before the levels change for the first time.
func (l *Levels) OnBack(f func(pkg string)) { l.back = f }

// Level is one level in a list. Package "" is all packages that have none of their own.
type Level struct {
	Package string
	Level   slog.Level
	Until   time.Time // zero: it does not go back by itself
}

// List returns the levels in force: first that of all packages, then the others by name.
func (l *Levels) List() []Level {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := []Level{{Level: l.standard}}
	for _, pkg := range slices.Sorted(maps.Keys(l.chosen)) {
		c := l.chosen[pkg]
		one := Level{pkg, c.level, c.until}
		if pkg == "" {
			all[0] = one
		} else {
			all = append(all, one)
		}
	}
	return all
}

// Set sets the level of a package, or of all with "". After a time it goes back; 0: it does not.
func (l *Levels) Set(pkg string, level slog.Level, after time.Duration) error {
	if top, _, _ := strings.Cut(pkg, "/"); pkg != "" && !slices.Contains(Packages, top) {
		return fmt.Errorf("there is no package %q with a log; there are %s", pkg, strings.Join(Packages, ", "))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop(pkg)
	c := &choice{level: level}
	if after > 0 {
		c.until = time.Now().Add(after)
		c.timer = time.AfterFunc(after, func() { l.expire(pkg, c) })
	}
	l.chosen[pkg] = c
	l.update()
	return nil
}

// Reset takes a level back that was set.
func (l *Levels) Reset(pkg string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop(pkg)
	l.update()
}

// SetStandard sets the level of the settings.
func (l *Levels) SetStandard(level slog.Level) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.standard = level
	l.update()
}

// Close stops the timers.
func (l *Levels) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for pkg := range l.chosen {
		l.drop(pkg)
	}
	l.update()
}

// drop forgets a choice. mu is held.
func (l *Levels) drop(pkg string) {
	if c := l.chosen[pkg]; c != nil && c.timer != nil {
		c.timer.Stop()
	}
	delete(l.chosen, pkg)
}

// expire takes a choice back, unless another one has replaced it.
func (l *Levels) expire(pkg string, c *choice) {
	l.mu.Lock()
	mine := l.chosen[pkg] == c
	if mine {
		delete(l.chosen, pkg)
		l.update()
	}
	l.mu.Unlock()
	if mine && l.back != nil {
		l.back(pkg)
	}
}

// update makes the view anew. mu is held, or nobody else knows l.
func (l *Levels) update() {
	v := &view{base: l.standard, packages: map[string]slog.Level{}}
	if c := l.chosen[""]; c != nil {
		v.base = c.level
	}
	v.lowest = v.base
	for pkg, c := range l.chosen {
		if pkg != "" {
			v.packages[pkg] = c.level
			v.lowest = min(v.lowest, c.level)
		}
	}
	l.view.Store(v)
}

// level returns the level of the package that a line of the log comes from.
func (v *view) level(pc uintptr) slog.Level {
	frame, _ := runtime.CallersFrames([]uintptr{pc}).Next()
	for pkg := packageOf(frame.Function); pkg != ""; pkg = parent(pkg) {
		if level, ok := v.packages[pkg]; ok {
			return level
		}
	}
	return v.base
}

// packageOf returns the package of a function, as its path below internal; "" for all other packages.
func packageOf(function string) string {
	_, below, ok := strings.Cut(function, "/internal/")
	if !ok {
		return ""
	}
	slash := strings.LastIndexByte(below, '/') + 1
	name, _, _ := strings.Cut(below[slash:], ".")
	return below[:slash] + name
}

// parent returns the folder of a package, "" for one that lies in internal itself.
func parent(pkg string) string {
	slash := strings.LastIndexByte(pkg, '/')
	return pkg[:max(slash, 0)]
}

// Handler returns a handler that gives lines to h if their level is high enough. h itself must refuse none.
func (l *Levels) Handler(h slog.Handler) slog.Handler { return handler{h, l} }

type handler struct {
	slog.Handler
	levels *Levels
}

// Enabled implements slog.Handler. While packages have levels of their own, it lets in what Handle drops.
func (h handler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.levels.view.Load().lowest
}

// Handle implements slog.Handler.
func (h handler) Handle(ctx context.Context, r slog.Record) error {
	v := h.levels.view.Load()
	if len(v.packages) > 0 && ctx.Value(alwaysKey{}) == nil && r.Level < v.level(r.PC) {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{h.Handler.WithAttrs(attrs), h.levels}
}

// WithGroup implements slog.Handler.
func (h handler) WithGroup(name string) slog.Handler {
	return handler{h.Handler.WithGroup(name), h.levels}
}

type alwaysKey struct{}

// Always marks a context: lines with it are written whatever their level. It is for handlers that have levels of their own.
func Always(ctx context.Context) context.Context { return context.WithValue(ctx, alwaysKey{}, true) }
