package transponder

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"transponder/internal/destination"
	"transponder/internal/stream"
)

// autoPause is the time until AutoStart tries again after a start failed: a name did not resolve, say, or there were too many pushes.
const autoPause = 10 * time.Second

// autoElsewhere is the time until AutoStart tries again after another server had the push: it ends the push soon, or this one takes it over.
const autoElsewhere = 2 * time.Second

// AutoStart pushes each stream of the hub to one address while the stream lives. If the address leads back to this server, the stream that a
// push publishes here is not pushed again: AutoStart recognizes it by its name. A push that fails is not started again; it reconnects only as
// the settings say.
type AutoStart struct {
	url    string
	full   *bool // Request.FullURL
	hub    *stream.Hub
	pushes starter
	log    *slog.Logger

	trouble string // why the last attempt failed, so that it is logged once; owned by Run
}

type sourceSet map[*stream.Source]bool

// starter starts and finds pushes: a Registry.
type starter interface {
	Start(ctx context.Context, req Request) (Info, error)
	published() []string
}

// ValidateAutoStart fails if no stream can be pushed to that address.
func ValidateAutoStart(url string) error {
	if _, ok := destination.Parse(url); ok {
		return nil
	}
	_, err := parseTarget(url, "stream", naming{})
	return err
}

// NewAutoStart makes an AutoStart that pushes to url.
func NewAutoStart(url string, hub *stream.Hub, pushes *Registry, log *slog.Logger) *AutoStart {
	a := &AutoStart{url: url, hub: hub, pushes: pushes, log: log}
	_, named := destination.Parse(url)
	if _, err := parseTarget(url, "stream", naming{FullURL: true, Parameters: true}); err != nil && !named {
		a.full = new(bool) // each stream is published under its own name if the address has none, whatever the settings say
	}
	return a
}

// Run starts pushes until ctx ends, and returns the cause. The registry ends the pushes.
func (a *AutoStart) Run(ctx context.Context) error {
	handled := sourceSet{}
	for {
		added := a.hub.Added()
		var again <-chan time.Time
		handled, again = a.look(ctx, handled)
		select {
		case <-added:
		case <-again:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// look starts pushes of the streams that are not handled yet. It returns all handled streams that still live, and when to look again if a
// start failed.
func (a *AutoStart) look(ctx context.Context, before sourceSet) (after sourceSet, again <-chan time.Time) {
	after = sourceSet{}
	var pause time.Duration
	for _, s := range a.hub.Sources() {
		switch {
		case before[s]:
			after[s] = true
			continue
		case pause == autoPause: // all pushes go to one address, so this start would fail for the same reason
			continue
		}
		if p := a.handle(ctx, s); p == 0 {
			after[s] = true
		} else {
			pause = max(pause, p)
		}
	}
	if pause > 0 {
		again = time.After(pause)
	}
	return after, again
}

// handle starts a push of s unless s needs none. It returns after which pause the start must be tried again, 0 if it need not.
func (a *AutoStart) handle(ctx context.Context, s *stream.Source) time.Duration {
	name := s.Info().Name
	if s.Info().IsRelay() {
		return 0 // the server that has the publisher pushes it
	}
	if a.ours(s) {
		a.log.Info("stream comes from a push of this server, not pushed again", "stream", name)
		return 0
	}
	_, err := a.pushes.Start(ctx, Request{StreamName: name, URL: a.url, FullURL: a.full, Via: ViaAuto})
	switch {
	case errors.Is(err, errElsewhere):
		return autoElsewhere
	case err == nil, errors.Is(err, ErrDuplicate), errors.Is(err, ErrStreamNotFound): // with ErrStreamNotFound the stream has ended meanwhile
		a.trouble = ""
		return 0
	case ctx.Err() != nil || errors.Is(err, ErrStopping):
		return autoPause
	}
	if err.Error() != a.trouble {
		a.trouble = err.Error()
		a.log.Warn("push of every stream could not be started, trying again", "stream", name, "pause", autoPause, "err", err)
	}
	return autoPause
}

// ours reports whether s may be the output of a push of this server. It cannot tell a stream of somebody else with the same name.
func (a *AutoStart) ours(s *stream.Source) bool {
	if s.Info().Provider != "RTMP" {
		return false
	}
	for _, published := range a.pushes.published() {
		name, _, _ := strings.Cut(published, "?") // as RTMP servers read it
		if strings.Trim(name, "/") == s.Info().Name {
			return true
		}
	}
	return false
}
