package certificate

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
	"golang.org/x/net/idna"
)

const (
	challengeProtocol = acme.ALPNProto                 // RFC 8737
	challengePath     = "/.well-known/acme-challenge/" // RFC 8555, 8.3

	// renewTick is how often the certificates are looked at. The library renews them by itself, 30 days before they run out.
	renewTick = time.Minute

	// The pause after a failed order is firstPause, and doubles up to lastPause. The library itself refuses to order within a minute.
	firstPause = 70 * time.Second
	lastPause  = time.Hour

	// maxWait is how long the library may be told to wait before it asks again: it ends between two questions when the server stops.
	maxWait = 3 * time.Second
)

// authority orders certificates by ACME.
type authority struct {
	cfg     ACME
	log     *slog.Logger
	manager *autocert.Manager
	answer  http.Handler // of challenges by HTTP
	wire    *transport

	checks sync.Map // the paths that the check of port 80 asks for

	mu   sync.Mutex
	have map[string]*tls.Certificate // guarded by mu; by host

	ordered, failed atomic.Int64
}

func newAuthority(cfg ACME, log *slog.Logger) (*authority, error) {
	wire := &transport{base: http.DefaultTransport.(*http.Transport).Clone()}
	if cfg.CAFile != "" {
		pool, err := authorities(cfg.CAFile)
		if err != nil {
			return nil, fmt.Errorf("tls_acme_ca_file: %w", err)
		}
		wire.base.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	a := &authority{cfg: cfg, log: log, wire: wire, have: map[string]*tls.Certificate{}}
	a.manager = &autocert.Manager{
		Prompt: autocert.AcceptTOS, // whoever sets tls_acme_hosts accepts them, as the settings file says
		Cache:  autocert.DirCache(cfg.Dir),
		HostPolicy: func(_ context.Context, host string) error {
			if _, ok := a.host(host); !ok {
				return errors.New("tls_acme_hosts does not name this host")
			}
			return nil
		},
		Email: cfg.Email,
		Client: &acme.Client{
			DirectoryURL: cfg.Directory,
			UserAgent:    "Transponder",
			HTTPClient:   &http.Client{Transport: wire, Timeout: 30 * time.Second},
		},
	}
	if a.manager.Client.DirectoryURL == "" {
		a.manager.Client.DirectoryURL = autocert.DefaultACMEDirectory
	}
	if cfg.KeyID != "" {
		key, err := cfg.hmac()
		if err != nil {
			return nil, err
		}
		a.manager.ExternalAccountBinding = &acme.ExternalAccountBinding{KID: cfg.KeyID, Key: key}
	}
	a.answer = a.manager.HTTPHandler(http.NotFoundHandler()) // from now on HTTP-01 is tried, too
	return a, nil
}

// host returns a name in the form of the settings, and whether certificates are ordered for it.
func (a *authority) host(name string) (string, bool) {
	if host, _, err := net.SplitHostPort(name); err == nil {
		name = host
	}
	name, err := idna.Lookup.ToASCII(strings.TrimSuffix(name, "."))
	if err != nil {
		return "", false
	}
	return name, slices.ContainsFunc(a.cfg.Hosts, func(h string) bool {
		h, err := idna.Lookup.ToASCII(h)
		return err == nil && h == name
	})
}

func isChallenge(hello *tls.ClientHelloInfo) bool {
	return slices.Equal(hello.SupportedProtos, []string{challengeProtocol})
}

// certificate returns the certificate for a handshake, nil for a name that has none yet. A handshake never waits for an order.
func (a *authority) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if isChallenge(hello) {
		return a.manager.GetCertificate(hello)
	}
	name, ok := a.host(hello.ServerName)
	if !ok {
		return nil, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.have[name], nil
}

// first returns the certificate of the first name that has one.
func (a *authority) first() *tls.Certificate {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, host := range a.cfg.Hosts {
		if c := a.have[host]; c != nil {
			return c
		}
	}
	return nil
}

func (a *authority) all() []*tls.Certificate {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Collect(maps.Values(a.have))
}

// run orders and renews the certificates of all names until ctx ends.
func (a *authority) run(ctx context.Context) {
	stop := context.AfterFunc(ctx, a.wire.close)
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, host := range a.cfg.Hosts {
		name, _ := a.host(host)
		wg.Go(func() { a.keep(ctx, name) })
	}
}

// keep keeps a valid certificate for a name.
func (a *authority) keep(ctx context.Context, name string) {
	pause := firstPause
	for {
		wait := renewTick
		if err := a.obtain(name); ctx.Err() != nil {
			return
		} else if err != nil {
			a.failed.Add(1)
			a.log.Error("no certificate from the authority", "host", name, "err", err, "authority", a.wire.said(name), "check", a.check(ctx, name),
				"next", pause)
			wait = pause
			pause = min(2*pause, lastPause)
		} else {
			pause = firstPause
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
	}
}

// obtain takes the present certificate from the library, which orders one if there is none.
func (a *authority) obtain(name string) error {
	c, err := a.manager.GetCertificate(&tls.ClientHelloInfo{ // of a client that accepts ECDSA
		ServerName:       name,
		CipherSuites:     []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
		SupportedCurves:  []tls.CurveID{tls.CurveP256},
		SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256},
	})
	if err != nil {
		return err
	}
	a.mu.Lock()
	old := a.have[name]
	a.have[name] = c
	a.mu.Unlock()
	if old == nil || !bytes.Equal(old.Certificate[0], c.Certificate[0]) {
		a.ordered.Add(1)
		a.log.Info("certificate from the authority", "host", name, "notAfter", c.Leaf.NotAfter)
	}
	return nil
}

// challenges answers the challenges of the authority, and leaves the rest to next.
func (a *authority) challenges(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, challengePath) {
			next.ServeHTTP(w, r)
			return
		}
		if _, ok := a.checks.Load(r.URL.Path); ok {
			_, _ = io.WriteString(w, r.URL.Path)
			return
		}
		a.answer.ServeHTTP(w, r)
	})
}

// check says whether this server itself is reached where the authority looks for it: on port 80 of the name by HTTP, or on port 443 by TLS.
// The check is made from this machine, so it sees no firewall between.
func (a *authority) check(ctx context.Context, name string) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	path := challengePath + "check-" + rand.Text()
	a.checks.Store(path, true)
	defer a.checks.Delete(path)
	return a.checkHTTP(ctx, name, path) + "; " + a.checkTLS(ctx, name)
}

func (a *authority) checkHTTP(ctx context.Context, name, path string) string {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+name+path, nil)
	if err != nil {
		return err.Error()
	}
	resp, err := a.wire.base.RoundTrip(r)
	if err != nil {
		return fmt.Sprintf("port 80 is not reached (%v): forward it to http.port", err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10)); err != nil || string(text) != path {
		return "on port 80 another server answers: forward " + challengePath + " to http.port"
	}
	return "port 80 leads to this server"
}

func (a *authority) checkTLS(ctx context.Context, name string) string {
	d := tls.Dialer{Config: &tls.Config{
		InsecureSkipVerify: true, // it is only asked for whose the certificate is
		ServerName:         name,
		NextProtos:         []string{challengeProtocol, "http/1.1"},
	}}
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(name, "443"))
	if err != nil {
		return fmt.Sprintf("port 443 is not reached (%v): forward it to https.port", err)
	}
	defer conn.Close()
	return "port 443 answers"
}

// transport carries the requests to the authority until close. It notes what the authority says about failed challenges, because the library
// does not tell.
type transport struct {
	base *http.Transport

	mu     sync.Mutex
	closed bool                           // guarded by mu
	cancel map[*context.CancelFunc]func() // guarded by mu; of the requests under way
	detail map[string]string              // guarded by mu; what the authority said last about a failed challenge of a name; of "": about anything else
}

// maxAnswer is how much of an answer of the authority is read. A chain of certificates has some kilobytes.
const maxAnswer = 1 << 20

// RoundTrip implements http.RoundTripper. It reads the whole answer.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil, errors.New("the server is stopping")
	}
	if t.cancel == nil {
		t.cancel = map[*context.CancelFunc]func(){}
	}
	t.cancel[&cancel] = cancel
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.cancel, &cancel)
	}()
	resp, err := t.base.RoundTrip(r.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	resp.Body.Close()
	if err != nil {
		return nil, err
	}
	t.note(body)
	resp.Body = io.NopCloser(bytes.NewReader(body))
	if d, err := time.ParseDuration(resp.Header.Get("Retry-After") + "s"); err == nil && d > maxWait && resp.StatusCode < 300 {
		resp.Header.Set("Retry-After", fmt.Sprint(int(maxWait/time.Second)))
	}
	return resp, nil
}

// badNonce is the refusal after which the library asks again (RFC 8555, 6.5): it is no reason for anything.
const badNonce = "urn:ietf:params:acme:error:badNonce"

// note keeps the reason of a failed challenge, or of a refusal (RFC 8555, 6.7, 7.1.4 and 8).
func (t *transport) note(body []byte) {
	type problem struct {
		Type   string `json:"type"`
		Detail string `json:"detail"`
	}
	var answer struct {
		problem
		Identifier struct {
			Value string `json:"value"`
		} `json:"identifier"`
		Challenges []struct {
			Error problem `json:"error"`
		} `json:"challenges"`
	}
	if json.Unmarshal(body, &answer) != nil || answer.Type == badNonce {
		return
	}
	name, detail := "", answer.Detail
	for _, c := range answer.Challenges {
		if c.Error.Detail != "" {
			name, detail = answer.Identifier.Value, c.Error.Detail
		}
	}
	if detail == "" {
		return
	}
	const most = 300
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.detail == nil {
		t.detail = map[string]string{}
	}
	t.detail[name] = strings.ToValidUTF8(detail[:min(len(detail), most)], "")
}

// said returns the last reason of a name, else the last that was not about a name, and forgets it.
func (t *transport) said(name string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.detail[name]; !ok {
		name = ""
	}
	detail := t.detail[name]
	delete(t.detail, name)
	return detail
}

// close ends the requests under way, and refuses further ones.
func (t *transport) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for _, cancel := range t.cancel {
		cancel()
	}
}
