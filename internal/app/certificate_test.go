package app

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net/http"
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

// After a new certificate is loaded, the server has the names in it.
func TestNamesOfTheCertificateAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	certify := func(name string) {
		t.Helper()
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{name}}
		der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		keyDER, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
		if err := keep(dir, certFile, cert, keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})); err != nil {
			t.Fatal(err)
		}
	}
	certify("one.example")
	a := runApp(t, "tls_cert_file="+certFile, "tls_key_file="+keyFile)
	wantKnown := func(name string, known bool) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+a.http.Addr().String()+"/config.json", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = name
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := resp.StatusCode == http.StatusOK; got != known {
			t.Errorf("%s is answered %d", name, resp.StatusCode)
		}
	}
	wantKnown("one.example", true)
	wantKnown("two.example", false)
	certify("two.example")
	a.Reload()
	wantKnown("one.example", false)
	wantKnown("two.example", true)
}
