package app

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"transponder/internal/config"
	"transponder/internal/logs"
	"transponder/internal/rest"
)

// reloading is what a reload needs of the process.
type reloading struct {
	load   func() (config.Config, error) // reads the settings again; nil: only files are read again
	levels *logs.Levels                  // of the log; nil: they cannot be changed

	mu  sync.Mutex    // one reload at a time
	now config.Config // guarded by mu; the settings in force, with those that need a restart as they were
}

// reloadable are the settings that a reload applies. Each function takes the setting over into the settings in force, and tells the part. All other
// settings need a restart.
var reloadable = map[string]func(a *App, now *config.Config, next config.Config){
	"log_level": func(a *App, now *config.Config, next config.Config) {
		now.Log.Level = next.Log.Level
		if level, err := next.Log.SlogLevel(); err == nil && a.reloading.levels != nil {
			a.reloading.levels.SetStandard(level)
		}
	},
	"max_publishers": func(a *App, now *config.Config, next config.Config) {
		now.Stream.MaxStreams = next.Stream.MaxStreams
		a.hub.SetMaxStreams(now.Stream.MaxStreams)
	},
	"max_players": func(a *App, now *config.Config, next config.Config) {
		now.Egress.MaxPlayers = next.Egress.MaxPlayers
		a.egress.SetMaxPlayers(now.Egress.MaxPlayers)
	},
	"rtmp_push_max": func(a *App, now *config.Config, next config.Config) {
		now.Push.MaxPushes = next.Push.MaxPushes
		a.pushes.SetMaxPushes(now.Push.MaxPushes)
	},
	"http_allowed_hosts": func(a *App, now *config.Config, next config.Config) {
		now.Listen.Names = next.Listen.Names
		a.guard.SetNames(a.names(*now))
	},
	"ws_allowed_origins": func(a *App, now *config.Config, next config.Config) {
		now.WCS.Origins = next.WCS.Origins
		a.sdk.SetOrigins(now.WCS.Origins)
	},
}

// Reload reads the settings and the files that they name again. Settings that can change while the server runs change; if one of the settings is
// wrong, none does, and the error names all faults. A file that cannot be read stays as it was. Any goroutine may call it.
func (a *App) Reload(context.Context) (rest.Reloaded, error) {
	r := &a.reloading
	r.mu.Lock()
	defer r.mu.Unlock()
	var done rest.Reloaded
	if r.load != nil {
		next, err := r.load()
		if err != nil {
			a.noteServer("reload", err, "")
			a.log.Error("the settings are wrong: nothing was changed", "err", err)
			return done, rest.SettingsError{Faults: lines(err)}
		}
		a.apply(next, &done)
	}
	for _, file := range []struct {
		name   string
		reload func() error
	}{
		{"applications", a.apps.Reload},
		{"certificates", a.reloadCertificates},
		{"keys of tokens", a.tokens.Reload},
		{"users and the audit log", a.reloadPeople},
	} {
		if err := file.reload(); err != nil {
			for _, line := range lines(err) {
				done.Wrong = append(done.Wrong, file.name+": "+line)
			}
			continue
		}
		done.Read = append(done.Read, file.name)
	}
	var err error
	if len(done.Wrong) > 0 {
		err = errors.New(strings.Join(done.Wrong, "; "))
	}
	a.noteServer("reload", err, strings.Join(done.Changed, " "))
	if err != nil {
		a.log.Error("not everything was read again: what could not be read is as it was", "err", err, "changed", done.Changed, "restart", done.Restart)
	} else {
		a.log.Info("applications, users, keys for tokens and certificates read again", "changed", done.Changed, "restart", done.Restart)
	}
	return done, nil
}

// apply applies the settings that differ from those in force, and notes the keys of the others. The lock of a.reloading is held.
func (a *App) apply(next config.Config, done *rest.Reloaded) {
	was, will := values(a.reloading.now), values(next)
	for _, key := range slices.Sorted(maps.Keys(will)) {
		switch change := reloadable[key]; {
		case was[key] == will[key]:
		case change == nil:
			done.Restart = append(done.Restart, key)
		default:
			change(a, &a.reloading.now, next)
			done.Changed = append(done.Changed, key)
		}
	}
}

// current returns the settings in force.
func (a *App) current() config.Config {
	a.reloading.mu.Lock()
	defer a.reloading.mu.Unlock()
	return a.reloading.now
}

// values returns the settings as their keys and values.
func values(cfg config.Config) map[string]string {
	all := map[string]string{}
	for _, line := range cfg.Properties() {
		key, value, _ := strings.Cut(line, "=")
		all[key] = value
	}
	return all
}

// lines returns the lines of an error, which joins several faults.
func lines(err error) []string { return strings.Split(err.Error(), "\n") }

// reloadCertificates reads the certificate again, and takes up the names in it.
func (a *App) reloadCertificates() error {
	if a.certificates == nil {
		return nil
	}
	err := a.certificates.Reload()
	a.guard.SetNames(a.names(a.reloading.now))
	return err
}

// LogLevels returns the levels of the log.
func (a *App) LogLevels() []rest.LogLevel {
	var all []rest.LogLevel
	for _, l := range a.reloading.levels.List() {
		all = append(all, rest.LogLevel(l))
	}
	return all
}

// SetLogLevel sets the level of the log for a package, "" for all, until it goes back after a time; 0: until the server ends. Without a level it
// takes back what was set.
func (a *App) SetLogLevel(pkg string, level *slog.Level, after time.Duration) error {
	if level == nil {
		a.reloading.levels.Reset(pkg)
		return nil
	}
	return a.reloading.levels.Set(pkg, *level, after)
}
