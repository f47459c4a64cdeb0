package token

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Over real sockets: what a fetch takes, and what it refuses.
func TestFetch(t *testing.T) {
	ec := signingKeys()[algES256]
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(jwks(ec.jwk())) }))
	defer elsewhere.Close()
	answers := map[string]http.HandlerFunc{
		"/keys":  func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(jwks(ec.jwk())) },
		"/moved": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/keys", http.StatusFound) },
		"/away": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+"/keys", http.StatusFound)
		},
		"/loop":    func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) },
		"/huge":    func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(bytes.Repeat([]byte(" "), 10<<20)) },
		"/error":   func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusInternalServerError) },
		"/html":    func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") },
		"/secret":  func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(jwks(signingKeys()[algHS256].jwk())) },
		"/none":    func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"keys":[]}`) },
		"/headers": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 1<<20)) },
		"/day": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Cache-Control", "public, max-age=7200")
			_, _ = w.Write(jwks(ec.jwk()))
		},
		"/unzipped": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = io.WriteString(w, "x")
		},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answers[r.URL.Path](w, r) }))
	defer server.Close()
	for _, test := range []struct {
		path, words string
		fresh       time.Duration
	}{
		{"/keys", "", defaultFresh}, {"/moved", "", defaultFresh}, {"/day", "", 2 * time.Hour},
		{"/away", "another place", 0}, {"/loop", "another place", 0}, {"/huge", "more than 262144 bytes", 0}, {"/error", "500", 0}, {"/html", "not JSON", 0},
		{"/secret", "it is a secret", 0}, {"/none", "no key", 0}, {"/headers", "header", 0}, {"/unzipped", "EOF", 0},
	} {
		t.Run(test.path, func(t *testing.T) {
			var taken []verifier
			f := newFetcher(server.URL+test.path, func(_ context.Context, keys []verifier, _ []byte) { taken = keys }, slog.New(slog.DiscardHandler))
			fresh, err := f.fetch(t.Context())
			switch {
			case test.words == "":
				if err != nil || len(taken) != 1 || fresh != test.fresh {
					t.Errorf("fresh for %v, keys %d, %v", fresh, len(taken), err)
				}
			case err == nil || !strings.Contains(err.Error(), test.words) || taken != nil:
				t.Errorf("%v, keys %d; want %q", err, len(taken), test.words)
			}
		})
	}
}

// An address that sends a byte now and then holds the fetch no longer than the limit.
func TestFetchIsSlow(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_, _ = w.Write([]byte(" "))
				_ = http.NewResponseController(w).Flush()
			case <-r.Context().Done():
				return
			}
		}
	}))
	defer server.Close()
	f := newFetcher(server.URL, nil, slog.New(slog.DiscardHandler))
	f.client.Timeout = 200 * time.Millisecond
	if _, err := f.fetch(t.Context()); err == nil {
		t.Error("it ended without an error")
	}
}

func TestFreshness(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"":                          defaultFresh,
		"max-age=10":                minFresh,
		"Max-Age=\"3600\", public":  time.Hour,
		"max-age=99999999":          maxFresh,
		"max-age=-1":                defaultFresh,
		"max-age=999999999999":      defaultFresh,
		"max-age=7200, no-store":    minFresh,
		"s-maxage=1, max-age=86400": maxFresh,
	} {
		if got := freshness(http.Header{"Cache-Control": {header}}); got != want {
			t.Errorf("%q: %v, want %v", header, got, want)
		}
	}
}

// issuerServer stands for an address, without sockets, so that hours pass at once.
type issuerServer struct {
	mu    sync.Mutex
	text  []byte // guarded by mu; nil: it does not answer
	asked int    // guarded by mu
	slow  time.Duration
}

func (s *issuerServer) RoundTrip(r *http.Request) (*http.Response, error) {
	select {
	case <-time.After(s.slow):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if s.text == nil {
		return nil, errors.New("connection refused")
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(s.text)), Request: r}, nil
}

func (s *issuerServer) set(text []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text, s.asked = text, 0
}

func (s *issuerServer) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// withIssuer runs do with Tokens whose keys come from an address.
func withIssuer(t *testing.T, s *issuerServer, do func(t *testing.T, b *bench)) {
	synctest.Test(t, func(t *testing.T) {
		cfg := DefaultConfig()
		cfg.JWKSURL = "https://issuer.example/keys"
		b := newTokens(t, cfg)
		b.fetcher.client.Transport = s
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.Run(ctx) }()
		do(t, b)
		cancel()
		<-done
	})
}

func TestRotation(t *testing.T) {
	ec, ed, rs := signingKeys()[algES256], signingKeys()[algEdDSA], signingKeys()[algRS256]
	tokens := map[string]string{}
	s := &issuerServer{slow: 2 * time.Second, text: jwks(ec.jwk())}
	withIssuer(t, s, func(t *testing.T, b *bench) {
		for _, k := range []signingKey{ec, ed, rs} {
			tokens[k.alg] = k.sign(t, content(set("exp", time.Now().Unix()+10_000)))
		}
		is := func(k signingKey, right bool) {
			t.Helper()
			if _, err := b.Verify(t.Context(), shows(tokens[k.alg])); (err == nil) != right {
				t.Errorf("%s: %v, want right: %v", k.alg, err, right)
			}
		}
		is(ec, true) // waits for the first fetch

		s.set(jwks(ec.jwk(), ed.jwk()))
		is(ed, false) // too soon after the last fetch
		if n := s.count(); n != 0 {
			t.Errorf("asked %d times", n)
		}
		time.Sleep(askGap)
		var wg sync.WaitGroup
		for range 20 { // all wait for one fetch
			wg.Go(func() { is(ed, true) })
		}
		wg.Wait()
		if n := s.count(); n != 1 {
			t.Errorf("asked %d times", n)
		}
		is(ec, true)

		// Whoever makes up kids does not make us ask more often.
		s.set(jwks(ec.jwk(), ed.jwk()))
		for range 600 {
			is(rs, false)
			time.Sleep(time.Second)
		}
		if n := s.count(); n > 21 {
			t.Errorf("asked %d times in about 10 minutes", n)
		}
		// More than wait at a time are refused at once.
		time.Sleep(askGap)
		began := time.Now()
		fast := 0
		var mu sync.Mutex
		for range 2 * maxWaiting {
			wg.Go(func() {
				is(rs, false)
				mu.Lock()
				defer mu.Unlock()
				if time.Since(began) == 0 {
					fast++
				}
			})
		}
		wg.Wait()
		if fast != maxWaiting {
			t.Errorf("%d were refused at once, want %d", fast, maxWaiting)
		}

		// A key that the issuer has taken out is gone with the next fetch.
		s.set(jwks(ed.jwk()))
		time.Sleep(defaultFresh + s.slow + time.Second)
		is(ec, false)
		is(ed, true)
	})
}

func TestIssuerIsDown(t *testing.T) {
	ec := signingKeys()[algES256]
	s := &issuerServer{}
	withIssuer(t, s, func(t *testing.T, b *bench) {
		is := func(right bool) {
			t.Helper()
			if _, err := b.Verify(t.Context(), shows(ec.sign(t, content()))); (err == nil) != right {
				t.Errorf("%v, want right: %v", err, right)
			}
		}
		synctest.Wait()
		is(false)
		if !b.Stats().Stale {
			t.Error("not stale before the first fetch")
		}
		s.set(jwks(ec.jwk()))
		time.Sleep(firstRetry)
		synctest.Wait()
		is(true)
		if b.Stats().Stale || b.Stats().Signers != 1 {
			t.Errorf("%+v", b.Stats())
		}
		s.set(nil)
		time.Sleep(defaultFresh + time.Hour)
		synctest.Wait()
		is(true)
		if !b.Stats().Stale {
			t.Error("not stale")
		}
		if n := s.count(); n < 10 || n > 20 {
			t.Errorf("asked %d times in an hour", n)
		}
		time.Sleep(22 * time.Hour)
		synctest.Wait()
		is(true)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		is(false)
		s.set(jwks(ec.jwk()))
		time.Sleep(minFresh)
		synctest.Wait()
		is(true)
	})
}

// After a restart the keys of before are used while the address does not answer, but no longer than a day, and not for another address.
func TestIssuerIsDownAtTheStart(t *testing.T) {
	ec := signingKeys()[algES256]
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		s := &issuerServer{text: jwks(ec.jwk())}
		start := func(url string, do func(b *bench)) {
			t.Helper()
			cfg := DefaultConfig()
			cfg.JWKSURL = url
			b := newTokensOn(t, m, cfg)
			b.fetcher.client.Transport = s
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- b.Run(ctx) }()
			synctest.Wait()
			do(b)
			cancel()
			<-done
		}
		is := func(b *bench, right bool) {
			t.Helper()
			if _, err := b.Verify(t.Context(), shows(ec.sign(t, content()))); (err == nil) != right {
				t.Errorf("%v, want right: %v", err, right)
			}
		}
		const url = "https://issuer.example/keys"
		start(url, func(b *bench) { is(b, true) })
		s.set(nil)
		time.Sleep(20 * time.Hour)
		start("https://other.example/keys", func(b *bench) { is(b, false) })
		start(url, func(b *bench) {
			is(b, true)
			if !b.Stats().Stale {
				t.Error("not stale")
			}
			time.Sleep(5 * time.Hour)
			synctest.Wait()
			is(b, false)
		})
		start(url, func(b *bench) {
			is(b, false)
			s.set(jwks(ec.jwk()))
			time.Sleep(minFresh)
			synctest.Wait()
			is(b, true)
		})
	})
}
