package app

import (
	"crypto/x509"
	"net/http"
	"testing"

	"transponder/internal/testkit"
)

// After a new certificate is loaded, the server has the names in it.
func TestNamesOfTheCertificateAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	authority := testkit.NewAuthority(t)
	certify := func(name string) (certFile, keyFile string) {
		return authority.Write(dir, x509.Certificate{DNSNames: []string{name}})
	}
	certFile, keyFile := certify("one.example")
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
	if _, err := a.Reload(t.Context()); err != nil {
		t.Error(err)
	}
	wantKnown("one.example", false)
	wantKnown("two.example", true)
}
