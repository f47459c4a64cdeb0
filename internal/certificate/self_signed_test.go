package certificate

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestCertificateIsMadeOnceAndKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	first, err := certificate("", "", dir, logger)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "self-signed") {
		t.Errorf("no warning in the log: %q", log.String())
	}
	leaf, err := x509.ParseCertificate(first.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"localhost", "127.0.0.1"} {
		if err := leaf.VerifyHostname(name); err != nil {
			t.Errorf("not valid for %s: %v", name, err)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "self-signed.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v, %v; want only the owner to read it", info.Mode(), err)
	}
	again, err := certificate("", "", dir, logger)
	if err != nil || !bytes.Equal(again.Certificate[0], first.Certificate[0]) {
		t.Errorf("second start has another certificate (%v)", err)
	}
}

func TestCertificateThatRanOutIsReplaced(t *testing.T) {
	dir := t.TempDir()
	cert, key, err := selfSigned(time.Now().Add(-2 * selfSignedFor))
	if err != nil {
		t.Fatal(err)
	}
	if err := keep(dir, filepath.Join(dir, "self-signed.crt"), cert, filepath.Join(dir, "self-signed.key"), key); err != nil {
		t.Fatal(err)
	}
	pair, err := certificate("", "", dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if leaf, _ := x509.ParseCertificate(pair.Certificate[0]); !time.Now().Before(leaf.NotAfter) {
		t.Errorf("still the old certificate, valid to %v", leaf.NotAfter)
	}
}

func TestCertificateOfTheSettings(t *testing.T) {
	dir := t.TempDir()
	cert, key, err := selfSigned(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	if err := keep(dir, certFile, cert, keyFile, key); err != nil {
		t.Fatal(err)
	}
	pair, err := certificate(certFile, keyFile, filepath.Join(dir, "unused"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	want, _ := tls.X509KeyPair(cert, key)
	if !bytes.Equal(pair.Certificate[0], want.Certificate[0]) {
		t.Error("not the certificate of the settings")
	}
	if _, err := certificate(filepath.Join(dir, "none.pem"), keyFile, dir, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a certificate file that is not there is no error")
	}
}
