package hook

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"transponder/internal/access"
	"transponder/internal/access/audit"
)

// newClientCertificate makes a certificate of our own, and returns the files and the authorities that a backend needs to know it.
func newClientCertificate(t *testing.T) (certFile, keyFile string, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "transponder"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, content []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	roots = x509.NewCertPool()
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(certificate)
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", secret), roots
}

// TestTLS holds that a backend over HTTPS is verified, and is shown our certificate.
func TestTLS(t *testing.T) {
	certFile, keyFile, known := newClientCertificate(t)
	b := &server{}
	b.Server = httptest.NewUnstartedServer(http.HandlerFunc(b.serve))
	b.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: known}
	b.StartTLS()
	t.Cleanup(b.Close)
	roots := x509.NewCertPool()
	roots.AddCert(b.Certificate())
	for _, tt := range []struct {
		name   string
		change func(*Config)
		want   bool
	}{
		{"as it should be", func(c *Config) { c.Roots, c.CertFile, c.KeyFile = roots, certFile, keyFile }, true},
		{"an unknown backend", func(c *Config) { c.CertFile, c.KeyFile = certFile, keyFile }, false},
		{"without our certificate", func(c *Config) { c.Roots = roots }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := run(t, b, func(c *Config, _ *App) { tt.change(c) })
			_, _, err := h.open(t).Connect(t.Context(), access.Nobody(), Connection{})
			if (err == nil) != tt.want {
				t.Errorf("Connect = %v", err)
			}
		})
	}
}

type recorder struct{ lines []audit.Line }

func (r *recorder) Note(line audit.Line) { r.lines = append(r.lines, line) }

// TestAudit holds that a refusal of the backend is written down, with the id under which the backend has seen the request.
func TestAudit(t *testing.T) {
	b := newServer(t)
	b.answer = func(w http.ResponseWriter, _ received) bool { w.WriteHeader(http.StatusForbidden); return true }
	h := run(t, b, nil)
	var r recorder
	h.parts.Recorder = &r
	if _, _, err := h.open(t).Connect(t.Context(), access.Nobody(), Connection{}); err == nil {
		t.Fatal("let in")
	}
	if len(r.lines) != 1 {
		t.Fatalf("%d lines", len(r.lines))
	}
	got := r.lines[0]
	if got.Do != "hook/connect" || got.OK || got.From != "192.0.2.7" || got.Via != "websocket" || got.Who.App != DefaultApp ||
		got.Request == "" || got.Request != b.received()[0].header.Get("X-Transponder-Request") {
		t.Errorf("the line is %+v", got)
	}
}
