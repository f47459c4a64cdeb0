package hook

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"
)

// KeepAlive sends StreamKeepAliveEvent in each interval while a stream is on, if the settings and the app ask for it. describe returns the
// stream with its status; it must not block. ended is called once, with ErrKeepAlive, if the backend answers 403. stop ends it, and does not
// wait for a request under way.
func (s *Session) KeepAlive(describe func() Stream, ended func(error)) (stop func()) {
	if s == nil || !s.keepsAlive() {
		return func() {}
	}
	done := make(chan struct{})
	stop = sync.OnceFunc(func() { close(done) })
	s.hooks.start(func(_, stopping context.Context) {
		life, cancel := context.WithCancel(stopping)
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		wg.Go(func() {
			select {
			case <-done:
				cancel()
			case <-life.Done():
			}
		})
		s.keepAlive(life, describe, ended)
	})
	return stop
}

// keepsAlive says whether the settings ask for keep-alive events of the app.
func (s *Session) keepsAlive() bool {
	cfg := s.hooks.cfg
	return cfg.KeepAlive && (len(cfg.KeepAliveApps) == 0 || slices.Contains(cfg.KeepAliveApps, s.client.AppKey))
}

// keepAlive sends the events of one stream, one after another. An interval in which the last event is still under way is skipped.
func (s *Session) keepAlive(ctx context.Context, describe func() Stream, ended func(error)) {
	interval := s.hooks.cfg.KeepAliveInterval
	// Streams that began together, as after a restart, ask at different times.
	if !pause(ctx, time.Duration(rand.Int64N(int64(interval)))) {
		return
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		if err := s.sendKeepAlive(ctx, describe()); err != nil {
			ended(err)
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// sendKeepAlive returns ErrKeepAlive if the stream must end. Web Call Server's pages promise that 403 ends a stream and do not mention
// restOnError, so 403 counts unless the backend has said LOG.
func (s *Session) sendKeepAlive(ctx context.Context, st Stream) error {
	app := s.hooks.app(s.client.AppKey)
	s.mu.Lock()
	r := s.rules[StreamKeepAliveEvent]
	s.mu.Unlock()
	if !app.Sends(StreamKeepAliveEvent) || r.disabled {
		return nil
	}
	_, id, err := s.post(ctx, app, StreamKeepAliveEvent, s.prepare(r, st.object()), true)
	var status statusError
	if ctx.Err() != nil || !errors.As(err, &status) || status != http.StatusForbidden {
		return nil
	}
	if r.onError == Log {
		s.hooks.backend(app.Key).ignore(StreamKeepAliveEvent)
		return nil
	}
	s.hooks.noteRefusal(s.client, s.who(), StreamKeepAliveEvent, st.Name, id, err)
	return &Refused{keepAliveInfo, ErrKeepAlive}
}
