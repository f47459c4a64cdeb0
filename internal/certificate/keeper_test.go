package certificate

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/testkit"
)

// log is a log that a test reads while it is written.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *log) count(words string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), words)
}

func named(name string, until time.Time) x509.Certificate {
	return x509.Certificate{DNSNames: []string{name}, NotAfter: until}
}

// write writes a file with a time of change that no file before it had.
func write(t *testing.T, file string, content []byte) {
	t.Helper()
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	stamps.Lock()
	defer stamps.Unlock()
	stamps.next = stamps.next.Add(time.Second)
	if err := os.Chtimes(file, stamps.next, stamps.next); err != nil {
		t.Fatal(err)
	}
}

var stamps = struct {
	sync.Mutex
	next time.Time
}{next: time.Unix(1_700_000_000, 0)}

// The files are watched. A pair that cannot be used changes nothing, and the log says so once a minute until it is mended.
func TestFilesAreWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, until := t.TempDir(), time.Now().Add(24*time.Hour)
		a := testkit.NewAuthority(t)
		certFile, keyFile := a.Write(dir, named("one.example", until))
		text := &log{}
		k, err := New(Config{CertFile: certFile, KeyFile: keyFile, ClientAuth: Off}, slog.New(slog.NewTextHandler(text, nil)))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		wg.Go(func() { _ = k.Run(ctx) })
		wantName := func(name string) {
			t.Helper()
			if got := k.Current().Leaf.DNSNames[0]; got != name {
				t.Errorf("the certificate is for %s, want %s", got, name)
			}
		}
		renew := func(name string, until time.Time) {
			t.Helper()
			cert, key := a.Sign(named(name, until))
			write(t, certFile, cert)
			write(t, keyFile, key)
		}
		wantName("one.example")
		renew("two.example", until)
		time.Sleep(lookEvery + time.Second)
		wantName("two.example")

		cert, key := a.Sign(named("three.example", until))
		write(t, certFile, cert) // the key comes later
		time.Sleep(3*remindEvery + lookEvery)
		wantName("two.example")
		if n := text.count("cannot be used"); n < 3 || n > 4 {
			t.Errorf("in three minutes the log has said %d times that the new certificate cannot be used", n)
		}
		write(t, keyFile, key)
		time.Sleep(lookEvery + time.Second)
		wantName("three.example")

		renew("late.example", time.Now().Add(-time.Minute))
		time.Sleep(lookEvery + time.Second)
		wantName("three.example")
		if text.count("has run out") == 0 {
			t.Error("the log says nothing of a new certificate that has run out")
		}
		if err := os.Remove(certFile); err != nil {
			t.Fatal(err)
		}
		time.Sleep(lookEvery + time.Second)
		wantName("three.example")
		if st := k.Stats(); st.Loaded != 2 || st.Refused != 3 || !st.NotAfter["three.example"].Equal(until.Truncate(time.Second)) {
			t.Errorf("stats are %+v", st)
		}
	})
}

// A self-signed certificate that runs out while the server runs is replaced.
func TestSelfSignedIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		cert, key, err := selfSigned(time.Now().Add(2*time.Hour - selfSignedFor)) // an hour of it is for clocks that differ
		if err != nil {
			t.Fatal(err)
		}
		if err := keep(dir, filepath.Join(dir, "self-signed.crt"), cert, filepath.Join(dir, "self-signed.key"), key); err != nil {
			t.Fatal(err)
		}
		k, err := New(Config{Dir: dir, ClientAuth: Off}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		before := k.Current().Leaf
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		wg.Go(func() { _ = k.Run(ctx) })
		time.Sleep(3 * time.Hour)
		if !expired(before, time.Now()) {
			t.Fatalf("the first certificate is still valid: to %v", before.NotAfter)
		}
		if leaf := k.Current().Leaf; expired(leaf, time.Now()) {
			t.Errorf("the certificate has run out on %v", leaf.NotAfter)
		}
	})
}

// A new handshake gets the new certificate, and a connection that exists goes on.
func TestReloadKeepsConnections(t *testing.T) {
	dir := t.TempDir()
	a := testkit.NewAuthority(t)
	certFile, keyFile := a.Write(dir, named("one.example", time.Time{}))
	k, err := New(Config{CertFile: certFile, KeyFile: keyFile, ClientAuth: Off}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	addr := echo(t, k.ServerConfig(true))
	before := dial(t, addr, &tls.Config{RootCAs: a.Pool(), ServerName: "one.example"})
	a.Write(dir, named("two.example", time.Time{}))
	if err := k.Reload(); err != nil {
		t.Fatal(err)
	}
	if err := talk(dial(t, addr, &tls.Config{RootCAs: a.Pool(), ServerName: "two.example"})); err != nil {
		t.Errorf("the new certificate: %v", err)
	}
	if err := talk(before); err != nil {
		t.Errorf("the connection from before: %v", err)
	}
}

func TestClientCertificates(t *testing.T) {
	dir := t.TempDir()
	a, others := testkit.NewAuthority(t), testkit.NewAuthority(t)
	certFile, keyFile := a.Write(dir, named("one.example", time.Time{}))
	caFile := filepath.Join(dir, "ca.pem")
	write(t, caFile, a.PEM)
	for _, auth := range []ClientAuth{Off, Optional, Required} {
		k, err := New(Config{CertFile: certFile, KeyFile: keyFile, ClientAuth: auth, ClientCAFile: caFile}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		addr := echo(t, k.ServerConfig(true))
		client := tls.Config{RootCAs: a.Pool(), ServerName: "one.example"}
		try := func(certificates ...tls.Certificate) error {
			c := client.Clone()
			c.Certificates = certificates
			conn, err := tls.Dial("tcp", addr, c)
			if err != nil {
				return err
			}
			defer conn.Close()
			return talk(conn)
		}
		if err := try(a.Client("ops")); err != nil {
			t.Errorf("%s: a client with a certificate is refused: %v", auth, err)
		}
		if err := try(); (err == nil) == (auth == Required) {
			t.Errorf("%s: a client without a certificate: %v", auth, err)
		}
		if err := try(others.Client("ops")); (err == nil) != (auth == Off) {
			t.Errorf("%s: a client with a certificate of another authority: %v", auth, err)
		}
		if auth == Off {
			continue
		}
		write(t, caFile, others.PEM) // the authority has changed
		if err := k.Reload(); err != nil {
			t.Fatal(err)
		}
		if err := try(others.Client("ops")); err != nil {
			t.Errorf("%s: a client of the new authority is refused: %v", auth, err)
		}
		write(t, caFile, []byte("nonsense"))
		if err := k.Reload(); err == nil {
			t.Errorf("%s: a file without certificates is no error", auth)
		}
		if err := try(others.Client("ops")); err != nil {
			t.Errorf("%s: after a broken file: %v", auth, err)
		}
		write(t, caFile, a.PEM)
	}
	k, err := New(Config{CertFile: certFile, KeyFile: keyFile, ClientAuth: Required, ClientCAFile: caFile}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := talk(dial(t, echo(t, k.ServerConfig(false)), &tls.Config{RootCAs: a.Pool(), ServerName: "one.example"})); err != nil {
		t.Errorf("RTMPS asks for certificates: %v", err)
	}
}

// echo serves TLS connections, and sends back what they send.
func echo(t *testing.T, cfg *tls.Config) (addr string) {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { l.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			wg.Go(func() {
				defer c.Close()
				b := make([]byte, 5)
				for {
					if _, err := c.Read(b); err != nil {
						return
					}
					if _, err := c.Write(b); err != nil {
						return
					}
				}
			})
		}
	})
	return l.Addr().String()
}

func dial(t *testing.T, addr string, cfg *tls.Config) net.Conn {
	t.Helper()
	c, err := tls.Dial("tcp", addr, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// talk sends something over a connection and reads it back: with TLS 1.3, a client learns by reading only that its certificate is refused.
func talk(c net.Conn) error {
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write([]byte("hello")); err != nil {
		return err
	}
	_, err := c.Read(make([]byte, 5))
	return err
}

func TestValidate(t *testing.T) {
	tests := []struct {
		name, fault string
		change      func(*Config)
	}{
		{"half a pair", "tls_key_file", func(c *Config) { c.CertFile = "x" }},
		{"no authority for clients", "tls_client_ca_file", func(c *Config) { c.ClientAuth = Required }},
		{"a word", "tls_client_auth", func(c *Config) { c.ClientAuth = "yes" }},
		{"one word for a host", "tls_acme_hosts", func(c *Config) { c.ACME.Hosts = []string{"live"} }},
		{"an address for a host", "tls_acme_hosts", func(c *Config) { c.ACME.Hosts = []string{"192.0.2.1"} }},
		{"all hosts below a name", "tls_acme_hosts", func(c *Config) { c.ACME.Hosts = []string{"*.example.com"} }},
		{"a host with a port", "tls_acme_hosts", func(c *Config) { c.ACME.Hosts = []string{"live.example.com:443"} }},
		{"a directory without TLS", "tls_acme_directory", func(c *Config) { c.ACME.Directory = "http://ca.example/dir" }},
		{"half a binding", "tls_acme_eab_hmac_key", func(c *Config) { c.ACME.KeyID = "1" }},
		{"a key in base64", "base64url", func(c *Config) { c.ACME.KeyID, c.ACME.KeyHMAC = "1", "a+/=" }},
	}
	for _, tt := range tests {
		c := DefaultConfig()
		tt.change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), tt.fault) {
			t.Errorf("%s: %v, want %s named", tt.name, err, tt.fault)
		}
	}
	c := DefaultConfig()
	c.ACME = ACME{Hosts: []string{"live.example.com", "bücher.example"}, KeyID: "1", KeyHMAC: "aGVsbG8="}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}
