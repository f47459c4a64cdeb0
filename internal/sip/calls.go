package sip

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"transponder/internal/panics"
	"transponder/internal/sip/dialog"
	"transponder/internal/sip/leg"
	"transponder/internal/sip/line"
)

const (
	// foundFor is how long an ended call is still found. Pages ask every 3 s and stop at the first answer without the call, so each sees the
	// final status.
	foundFor = 10 * time.Second
	// hangUpLimit is how long the end of the server waits for the answers to BYE and CANCEL.
	hangUpLimit = 1500 * time.Millisecond
	// unregisterLimit is how long the end of the server waits for registrars after that.
	unregisterLimit = time.Second
)

// Calls makes, takes and holds calls. The methods may be used from any goroutine.
type Calls struct {
	cfg    Config
	parts  Parts
	policy policy
	log    *slog.Logger

	line       signalling
	legs       mediaPorts
	peers      peers
	registrars registrars

	arrivals chan arrival // taken by Run
	panics   panics.Counter
	totals   totals

	mu       sync.Mutex                // nothing that may wait is called while it is held
	live     []*call                   // guarded by mu; not ended, oldest first
	ended    []*call                   // guarded by mu; for foundFor, oldest first
	pushed   map[string]*call          // guarded by mu; by the address of the push of the request
	byKey    map[dialog.Key]*call      // guarded by mu; until the last message
	accounts map[Account]*registration // guarded by mu; of calls without a page
	contacts map[string]*registration  // guarded by mu; by the random user of the contact
	phones   map[*Phone]struct{}       // guarded by mu
	rate     rate                      // guarded by mu
	stopping bool                      // guarded by mu
	wg       sync.WaitGroup            // of calls and registrations; added to under mu while stopping is false
}

// New makes a Calls for a valid config. It opens nothing. The owner calls Run once.
func New(cfg Config, parts Parts, log *slog.Logger) (*Calls, error) {
	p, err := newPolicy(cfg)
	if err != nil {
		return nil, err
	}
	cfg.UserAgent = cmp.Or(cfg.UserAgent, "Transponder")
	cfg.Line.Listen = cfg.Listens()
	c := &Calls{
		cfg: cfg, parts: parts, policy: p, log: log,
		pushed: map[string]*call{}, byKey: map[dialog.Key]*call{}, accounts: map[Account]*registration{},
		contacts: map[string]*registration{}, phones: map[*Phone]struct{}{},
		rate: rate{limit: cfg.CallsPerMinute}, arrivals: make(chan arrival, maxArrivals),
	}
	c.line = line.New(cfg.Line, line.Parts{
		Allowed: p.host, Welcome: c.welcome, Incoming: c.incoming, Certificate: parts.Certificate, Sockets: parts.Sockets, Panics: &c.panics,
	}, log)
	c.legs = legs{leg.New(cfg.Leg, leg.Parts{Allowed: p.host, Transcode: parts.Transcode}, log)}
	return c, nil
}

// Run carries calls until ctx ends, or until the messages or the media fail. Then it hangs up all calls and removes all registrations. It
// returns when the peers have answered, at the latest after 2.5 s.
func (c *Calls) Run(ctx context.Context) error {
	own, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	failed := make(chan error, 2)
	var wg sync.WaitGroup
	for _, part := range []struct {
		name string
		run  func(context.Context) error
	}{{"SIP messages", c.line.Run}, {"media of calls", c.legs.Run}} {
		wg.Go(func() {
			if err := part.run(own); own.Err() == nil {
				failed <- fmt.Errorf("%s ended: %w", part.name, err)
			}
		})
	}
	c.registerServer(own)
	err := c.takeCalls(ctx, failed)
	c.stop()
	cancel(err)
	wg.Wait()
	return err
}

// takeCalls takes incoming calls until ctx ends or a part has failed.
func (c *Calls) takeCalls(ctx context.Context, failed <-chan error) error {
	for {
		select {
		case a := <-c.arrivals:
			_ = c.panics.Run(c.log, "incoming call panicked", func() error { c.invited(context.WithoutCancel(ctx), a); return nil })
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-failed:
			return err
		}
	}
}

// stop ends all calls, then all registrations.
func (c *Calls) stop() {
	c.mu.Lock()
	c.stopping = true
	var calls []*call
	for _, k := range c.byKey {
		calls = append(calls, k)
	}
	calls = append(calls, c.live...)
	var registrations []*registration
	for _, g := range c.contacts {
		registrations = append(registrations, g)
	}
	c.mu.Unlock()
	for _, k := range calls {
		k.leave("the server is stopping")
	}
	await(calls, func(k *call) <-chan struct{} { return k.quiet }, hangUpLimit)
	for _, g := range registrations {
		g.remove()
	}
	await(registrations, func(g *registration) <-chan struct{} { return g.gone }, unregisterLimit)
	for _, k := range calls {
		k.kill(ErrStopping)
	}
	for _, g := range registrations {
		g.kill(ErrStopping)
	}
	c.wg.Wait()
}

// await waits until all channels are closed, at most for limit.
func await[T any](all []T, done func(T) <-chan struct{}, limit time.Duration) {
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	for _, one := range all {
		select {
		case <-done(one):
		case <-timeout.C:
			return
		}
	}
}

// random returns 16 random hexadecimal digits: 64 bits, as tags need them (RFC 3261, 19.3, asks for 32 at least).
func random() string {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
