package transponder

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// tlsServer answers the TLS handshake and closes the connection, until the test ends.
func tlsServer(t *testing.T, cfg *tls.Config) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(10 * time.Second))
				if s := tls.Server(c, cfg); s.Handshake() != nil {
					io.Copy(io.Discard, c) // else the alert may be lost
				}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return "rtmps://" + l.Addr().String() + "/live"
}

// A failed TLS handshake is told apart from a server that does not speak TLS, and each fault of a certificate has its own words.
func TestTLSWords(t *testing.T) {
	a := newAuthority(t)
	named := a.sign("127.0.0.1", time.Now().Add(time.Hour))
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "127.0.0.1"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}, a.cert, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	common := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: a.key}
	for _, tt := range []struct {
		name   string
		server *tls.Config
		skip   bool // take any certificate
		want   Reason
		words  string
	}{
		{"no common version", &tls.Config{Certificates: []tls.Certificate{named}, MaxVersion: tls.VersionTLS11}, true, ReasonTLS, "version of TLS"},
		{"no common cipher", &tls.Config{
			Certificates: []tls.Certificate{named}, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA},
		}, true, ReasonTLS, "cipher"},
		{"wants a certificate", &tls.Config{
			Certificates: []tls.Certificate{named}, MaxVersion: tls.VersionTLS12, ClientAuth: tls.RequireAnyClientCert,
		}, true, ReasonTLS, "certificate from us"},
		{"a Common Name only", &tls.Config{Certificates: []tls.Certificate{common}}, false, ReasonTLSVerify, "Common Name"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, func(c *Config) {
				c.SkipTLSVerify = tt.skip
				c.RootCAs = x509.NewCertPool()
				c.RootCAs.AddCert(a.cert)
			})
			b.source("s")
			b.start(Request{StreamName: "s", URL: tlsServer(t, tt.server)})
			if end := b.end(); end.Reason != tt.want || !strings.Contains(end.Detail, tt.words) {
				t.Errorf("ended as %s, %s (%s), want %s and a word of %q", end.State, end.Reason, end.Detail, tt.want, tt.words)
			}
		})
	}
}
