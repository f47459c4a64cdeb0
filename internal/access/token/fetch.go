package token

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"transponder/internal/state"
)

const (
	fetchTimeout = 5 * time.Second
	maxJWKS      = 256 << 10

	minFresh     = 5 * time.Minute // between two fetches, whatever Cache-Control says
	maxFresh     = 24 * time.Hour
	defaultFresh = time.Hour // without Cache-Control

	firstRetry = 30 * time.Second // after a failure; doubled up to minFresh
	askGap     = 30 * time.Second // between fetches that unknown kids cause, for everybody together
	staleLimit = 24 * time.Hour   // keys are used for so long after the address has begun to fail

	maxWaiting = 64 // requests that wait for a fetch; more are refused at once
)

// fetcher gets the keys of token_jwks_url. Its goroutine is run.
type fetcher struct {
	url    string
	client *http.Client
	take   func(ctx context.Context, keys []verifier, text []byte) // uses the keys from now on; text is the JWKS
	log    *slog.Logger

	wanted chan struct{} // somebody has shown an unknown kid

	mu      sync.Mutex
	next    chan struct{} // guarded by mu; closed at the end of the next fetch
	last    time.Time     // guarded by mu; when the last fetch began
	busy    bool          // guarded by mu; a fetch is under way
	waiting int           // guarded by mu
	good    time.Time     // guarded by mu; when a fetch succeeded last
	failing time.Time     // guarded by mu; since when fetches fail; zero: the last one did not
	warned  bool          // guarded by mu; the log says that fetches fail
}

func newFetcher(address string, take func(context.Context, []verifier, []byte), log *slog.Logger) *fetcher {
	return &fetcher{
		url: address, take: take, log: log.With("url", address),
		client: &http.Client{
			Timeout:       fetchTimeout,
			CheckRedirect: sameHost,
			// No proxy of the environment: the keys come from where the settings say, or not at all.
			Transport: &http.Transport{DisableKeepAlives: true, TLSHandshakeTimeout: fetchTimeout, MaxResponseHeaderBytes: 64 << 10},
		},
		wanted: make(chan struct{}, 1),
		next:   make(chan struct{}),
	}
}

// sameHost refuses to follow a redirect to another host, or from https to http.
func sameHost(r *http.Request, via []*http.Request) error {
	first := via[0].URL
	if len(via) > 3 || r.URL.Host != first.Host || r.URL.Scheme != first.Scheme {
		return errors.New("it redirects to another place: write the last address into the settings")
	}
	return nil
}

// remember tells that keys are used which were fetched by an earlier run of the server. It is called before run.
func (f *fetcher) remember(fetched time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.good, f.failing = fetched, fetched
}

// run fetches the keys at once, and again when they are no longer fresh or a token has an unknown kid. It returns when ctx ends.
func (f *fetcher) run(ctx context.Context) {
	pause := firstRetry
	for {
		fresh, err := f.fetch(ctx)
		if ctx.Err() != nil {
			return
		}
		wait := fresh
		if err != nil {
			wait, pause = pause, min(2*pause, minFresh)
		} else {
			pause = firstRetry
		}
		f.note(ctx, err)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-f.wanted:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// fetch gets the keys once. fresh is how long they need not be fetched again.
func (f *fetcher) fetch(ctx context.Context) (fresh time.Duration, err error) {
	f.mu.Lock()
	f.last, f.busy = time.Now(), true
	f.mu.Unlock()
	select {
	case <-f.wanted: // this is the fetch
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url, nil)
	if err != nil {
		return 0, err
	}
	r.Header.Set("Accept", "application/jwk-set+json, application/json")
	answer, err := f.client.Do(r)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err // the address is in the log line already
		}
		return 0, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("the answer is %s", answer.Status)
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxJWKS+1))
	switch {
	case err != nil:
		return 0, err
	case len(text) > maxJWKS:
		return 0, fmt.Errorf("the answer has more than %d bytes", maxJWKS)
	}
	keys, ignored, err := parseJWKS(text, false)
	if err == nil && len(keys) == 0 {
		err = errors.Join(append([]error{errors.New("it has no key that can be used")}, ignored...)...)
	}
	if err != nil {
		return 0, err
	}
	for _, why := range ignored {
		f.log.Debug("key for tokens ignored", "err", why)
	}
	f.take(ctx, keys, text)
	return freshness(answer.Header), nil
}

// note ends the wait of those who asked for the fetch, and writes down how it ended.
func (f *fetcher) note(ctx context.Context, err error) {
	f.mu.Lock()
	now := time.Now()
	warn, recovered, tooOld := err != nil && !f.warned, err == nil && f.warned, false
	f.warned = err != nil
	switch {
	case err == nil:
		f.good, f.failing = now, time.Time{}
	case f.failing.IsZero():
		f.failing = now
	case now.Sub(f.failing) > staleLimit && !f.good.IsZero():
		tooOld, f.good = true, time.Time{}
	}
	f.busy = false
	close(f.next)
	f.next = make(chan struct{})
	f.mu.Unlock()
	switch {
	case tooOld:
		f.take(ctx, nil, nil)
		f.log.Error("the keys for tokens are too old: tokens that they have signed are refused from now on", "after", staleLimit, "err", err)
	case warn:
		f.log.Warn("the keys for tokens cannot be fetched: those known before are used for a day", "err", err)
	case recovered:
		f.log.Info("the keys for tokens are fetched again")
	}
}

// ask has the keys fetched because a token has an unknown kid, and waits for the end of it. It returns false at once if the last fetch is
// not long ago: whoever makes up kids must not make us ask the address again and again.
func (f *fetcher) ask(ctx context.Context) bool {
	f.mu.Lock()
	if f.waiting >= maxWaiting || !f.busy && time.Since(f.last) < askGap {
		f.mu.Unlock()
		return false
	}
	next := f.next
	if !f.busy {
		select {
		case f.wanted <- struct{}{}:
		default:
		}
	}
	f.waiting++
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.waiting--
	}()
	timeout := time.NewTimer(fetchTimeout + time.Second)
	defer timeout.Stop()
	select {
	case <-next:
		return true
	case <-timeout.C:
	case <-ctx.Done():
	}
	return false
}

// freshness returns how long an answer need not be fetched again.
func freshness(h http.Header) time.Duration {
	fresh := defaultFresh
	for directive := range strings.SplitSeq(strings.ToLower(strings.Join(h.Values("Cache-Control"), ",")), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch name {
		case "no-store", "no-cache":
			return minFresh
		case "max-age":
			if n, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31); err == nil {
				fresh = time.Duration(n) * time.Second
			}
		}
	}
	return min(max(fresh, minFresh), maxFresh)
}

// stale says whether the keys are used though they can no longer be fetched.
func (f *fetcher) stale() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.failing.IsZero()
}

// fetchedRecord is what an address has answered, as the state has it: the address may not answer when the server starts again.
type fetchedRecord struct {
	URL  string          `json:"url"`
	At   time.Time       `json:"at"`
	Keys json.RawMessage `json:"keys"` // the JWKS
}

const fetchedKey = "current"

// takeRemote uses keys that were fetched, and keeps them for the next start. Without keys it forgets the old ones.
func (t *Tokens) takeRemote(ctx context.Context, keys []verifier, text []byte) {
	t.ring.set(&t.ring.remote, keys)
	if keys == nil {
		return // the record is too old as well
	}
	record := fetchedRecord{URL: t.cfg.JWKSURL, At: time.Now().Round(0), Keys: text}
	if _, err := t.buckets.fetched.Put(ctx, fetchedKey, record, state.Any); err != nil {
		t.log.Warn("keys for tokens not stored", "err", err)
	}
}

// loadRemote uses the keys that an earlier run has fetched, if they are not too old.
func (t *Tokens) loadRemote(ctx context.Context) error {
	r, err := t.buckets.fetched.Get(ctx, fetchedKey)
	switch {
	case errors.Is(err, state.ErrNotFound):
		return nil
	case err != nil:
		return err
	case r.Value.URL != t.cfg.JWKSURL, time.Since(r.Value.At) > staleLimit:
		return nil
	}
	keys, _, err := parseJWKS(r.Value.Keys, false)
	if err != nil {
		return err
	}
	t.ring.set(&t.ring.remote, keys)
	t.fetcher.remember(r.Value.At)
	return nil
}
