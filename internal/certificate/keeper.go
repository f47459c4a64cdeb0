package certificate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// lookEvery is how often the files are looked at.
	lookEvery = 10 * time.Second
	// remindEvery is how often the log repeats that the files cannot be used.
	remindEvery = time.Minute
)

// Keeper has the certificates of all TLS ports. New handshakes get the newest one; connections that exist keep theirs. All methods may be
// called from any goroutine.
type Keeper struct {
	cfg  Config
	log  *slog.Logger
	acme *authority // nil: no names are set

	pair    atomic.Pointer[tls.Certificate] // of the files, or self-signed
	clients atomic.Pointer[x509.CertPool]   // who signs the certificates of clients; nil: nobody is asked

	mu   sync.Mutex
	seen [3]stamp // guarded by mu; of the certificate, the key and the authorities, as they were last looked at

	reminded time.Time // owned by Run

	loaded, refused atomic.Int64
}

// stamp tells one version of a file from another.
type stamp struct {
	size  int64
	mtime time.Time
}

// New loads the certificates for a valid configuration. It fails if a file cannot be used.
func New(cfg Config, log *slog.Logger) (*Keeper, error) {
	k := &Keeper{cfg: cfg, log: log}
	k.look() // before loading: a file that changes meanwhile is read again
	if err := k.load(); err != nil {
		return nil, err
	}
	if leaf := k.pair.Load().Leaf; expired(leaf, time.Now()) { // the operator may have no other
		log.Error("the certificate in tls_cert_file has run out", "notAfter", leaf.NotAfter)
	}
	if len(cfg.ACME.Hosts) > 0 {
		var err error
		if k.acme, err = newAuthority(cfg.ACME, log); err != nil {
			return nil, err
		}
	}
	return k, nil
}

// load reads all files. What cannot be read stays as it was.
func (k *Keeper) load() error {
	pair, err := certificate(k.cfg.CertFile, k.cfg.KeyFile, k.cfg.Dir, k.log)
	old := k.pair.Load()
	switch {
	case err != nil:
	case old != nil && k.cfg.CertFile != "" && expired(pair.Leaf, time.Now()):
		err = fmt.Errorf("tls_cert_file: the new certificate has run out on %s", pair.Leaf.NotAfter.Format(time.RFC3339))
	default:
		k.pair.Store(&pair)
	}
	if k.cfg.ClientAuth == Off {
		return err
	}
	pool, bad := authorities(k.cfg.ClientCAFile)
	if bad != nil {
		return errors.Join(err, fmt.Errorf("tls_client_ca_file: %w", bad))
	}
	k.clients.Store(pool)
	return err
}

// authorities returns the certificates in a PEM file.
func authorities(file string) (*x509.CertPool, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("%s has no certificate in the form of PEM", file)
	}
	return pool, nil
}

// Reload reads the files again. If that fails, the certificates stay as they were.
func (k *Keeper) Reload() error {
	k.look()
	if err := k.load(); err != nil {
		k.refused.Add(1)
		return err
	}
	k.loaded.Add(1)
	return nil
}

// look notes the versions of the files, and says whether one is new.
func (k *Keeper) look() (changed bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, name := range []string{k.cfg.CertFile, k.cfg.KeyFile, k.cfg.ClientCAFile} {
		var now stamp
		if info, err := os.Stat(name); name != "" && err == nil {
			now = stamp{info.Size(), info.ModTime()}
		}
		if now != k.seen[i] {
			k.seen[i], changed = now, true
		}
	}
	return changed
}

// Run watches the files, and orders certificates by ACME, until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	if k.acme != nil {
		wg.Go(func() { k.acme.run(ctx) })
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var broken error // why the newest files are not used
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		selfSigned := k.cfg.CertFile == "" && expired(k.pair.Load().Leaf, time.Now())
		if k.look() || selfSigned {
			if broken = k.Reload(); broken == nil {
				k.log.Info("certificate read again", "notAfter", k.pair.Load().Leaf.NotAfter)
			}
			k.reminded = time.Time{}
		}
		k.remind(broken)
	}
}

// remind logs what is wrong with the certificate, at most once in remindEvery. Only Run calls it.
func (k *Keeper) remind(broken error) {
	now := time.Now()
	if now.Sub(k.reminded) < remindEvery {
		return
	}
	switch leaf := k.pair.Load().Leaf; {
	case broken != nil:
		k.log.Warn("the new certificate cannot be used: the old one stays", "err", broken)
	case k.cfg.CertFile != "" && expired(leaf, now):
		k.log.Error("the certificate in tls_cert_file has run out", "notAfter", leaf.NotAfter)
	default:
		return
	}
	k.reminded = now
}

// Certificate returns the certificate for a handshake.
func (k *Keeper) Certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if k.acme != nil {
		if c, err := k.acme.certificate(hello); c != nil || err != nil {
			return c, err
		}
	}
	return k.pair.Load(), nil
}

// Current returns the certificate for ports where clients name no host.
func (k *Keeper) Current() *tls.Certificate {
	if k.acme != nil {
		if c := k.acme.first(); c != nil {
			return c
		}
	}
	return k.pair.Load()
}

// Names returns the names in the certificates.
func (k *Keeper) Names() []string {
	names := append([]string(nil), k.cfg.ACME.Hosts...)
	if leaf := k.pair.Load().Leaf; leaf != nil {
		names = append(names, leaf.DNSNames...)
	}
	return names
}

// ServerConfig returns the configuration of a TLS port. protocols are offered by ALPN. With clients, the port asks for client certificates, if
// the settings say so.
func (k *Keeper) ServerConfig(clients bool, protocols ...string) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: k.Certificate, NextProtos: protocols}
	if k.acme != nil {
		c.NextProtos = append(c.NextProtos, challengeProtocol)
	}
	if !clients || k.cfg.ClientAuth == Off {
		return c
	}
	c.ClientAuth = tls.VerifyClientCertIfGiven
	if k.cfg.ClientAuth == Required {
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	base := c.Clone()
	c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		now := base.Clone()
		now.ClientCAs = k.clients.Load()
		if isChallenge(hello) { // the authority shows no certificate
			now.ClientAuth = tls.NoClientCert
		}
		return now, nil
	}
	return c
}

// Stats returns the figures.
func (k *Keeper) Stats() Stats {
	s := Stats{NotAfter: map[string]time.Time{}, Loaded: k.loaded.Load(), Refused: k.refused.Load()}
	note := func(c *tls.Certificate) {
		if c == nil || c.Leaf == nil {
			return
		}
		name := c.Leaf.Subject.CommonName
		if len(c.Leaf.DNSNames) > 0 {
			name = c.Leaf.DNSNames[0]
		}
		s.NotAfter[name] = c.Leaf.NotAfter
	}
	note(k.pair.Load())
	if k.acme != nil {
		for _, c := range k.acme.all() {
			note(c)
		}
		s.Ordered, s.Failed = k.acme.ordered.Load(), k.acme.failed.Load()
	}
	return s
}

// Challenges answers the challenges of an authority (HTTP-01) and leaves the rest to next.
func (k *Keeper) Challenges(next http.Handler) http.Handler {
	if k.acme == nil {
		return next
	}
	return k.acme.challenges(next)
}
