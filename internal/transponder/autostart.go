package transponder

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"transponder/internal/stream"
)

// autoPause is how long AutoStart waits before it tries again what could not be started: a name that does not resolve, or as
// many pushes as are allowed.
const autoPause = 10 * time.Second

// AutoStart pushes every stream of the hub to one address, as long as the stream lives. A stream that comes from a push of
// this server's own, because the address leads back here, is not pushed again: it is told by its name, which a push that
// runs publishes. A push that fails is not begun anew, except as its own rules say.
type AutoStart struct {
	url    string
	full   *bool // Request.FullURL
	hub    *stream.Hub
	pushes starter
	log    *slog.Logger

	trouble string // of the last attempt, so that it is logged once; owned by Run
}

type sourceSet map[*stream.Source]bool

// starter starts pushes and knows them: a Registry.
type starter interface {
	Start(ctx context.Context, req Request) (Info, error)
	Find(f Filter) []Info
}

// ValidateAutoStart says whether streams can be pushed to that address at all.
func ValidateAutoStart(url string) error {
	_, err := ParseTarget(url, "stream", Naming{})
	return err
}

// NewAutoStart makes what pushes every stream to url.
func NewAutoStart(url string, hub *stream.Hub, pushes *Registry, log *slog.Logger) *AutoStart {
	a := &AutoStart{url: url, hub: hub, pushes: pushes, log: log}
	if _, err := ParseTarget(url, "stream", Naming{FullURL: true, Parameters: true}); err != nil {
		a.full = new(bool) // streams get names of their own where the address has none, whatever the settings say
	}
	return a
}

// Run starts pushes until ctx ends, and returns why it did. The pushes are the registry's to end.
func (a *AutoStart) Run(ctx context.Context) error {
	settled := sourceSet{}
	for {
		added := a.hub.Added()
		var again <-chan time.Time
		settled, again = a.look(ctx, settled)
		select {
		case <-added:
		case <-again:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// look starts pushes of the streams that are not settled yet. It returns those that are now, without those that have ended,
// and when to look again if something was in the way.
func (a *AutoStart) look(ctx context.Context, before sourceSet) (after sourceSet, again <-chan time.Time) {
	after = sourceSet{}
	for _, s := range a.hub.Sources() {
		// All go to one address: what is in the way of one is in the way of the next.
		if before[s] || again == nil && a.settle(ctx, s) {
			after[s] = true
		} else if again == nil {
			again = time.After(autoPause)
		}
	}
	return after, again
}

// settle starts a push of s where that is to be. It returns false if that is to be tried again.
func (a *AutoStart) settle(ctx context.Context, s *stream.Source) bool {
	name := s.Info().Name
	if a.ours(s) {
		a.log.Info("stream comes from a push of this server, not pushed again", "stream", name)
		return true
	}
	_, err := a.pushes.Start(ctx, Request{StreamName: name, URL: a.url, FullURL: a.full})
	switch {
	case err == nil, errors.Is(err, ErrDuplicate), errors.Is(err, ErrStreamNotFound): // the latter has ended meanwhile
		a.trouble = ""
		return true
	case ctx.Err() != nil || errors.Is(err, ErrStopping):
		return false
	}
	if err.Error() != a.trouble {
		a.trouble = err.Error()
		a.log.Warn("push of every stream could not be started, trying again", "stream", name, "pause", autoPause, "err", err)
	}
	return false
}

// ours says whether s may be what a push of this server publishes. A stranger's stream of that very name is taken for it.
func (a *AutoStart) ours(s *stream.Source) bool {
	if s.Info().Provider != "RTMP" {
		return false
	}
	for _, push := range a.pushes.Find(Filter{}) {
		name, _, _ := strings.Cut(push.StreamName, "?") // as RTMP servers read it
		if strings.Trim(name, "/") == s.Info().Name {
			return true
		}
	}
	return false
}
