package certificate

import (
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/idna"
)

// Config says where the certificates come from.
type Config struct {
	CertFile, KeyFile string // PEM files; without them the server makes and keeps a self-signed pair
	Dir               string // holds the self-signed pair

	ACME ACME

	ClientAuth   ClientAuth
	ClientCAFile string // PEM file with the authorities that sign the certificates of clients
}

// ACME says for which names the server orders certificates, and where.
type ACME struct {
	Hosts     []string // names of this server, without *
	Email     string   // where the authority writes to
	Directory string   // URL; "": Let's Encrypt
	CAFile    string   // PEM file with more authorities that may have signed the certificate of Directory
	Dir       string   // holds the account and the certificates

	// External account binding (RFC 8555, 7.3.4), for authorities that demand it. KeyHMAC is base64url.
	KeyID   string
	KeyHMAC Secret
}

// Secret is a text that logs do not show.
type Secret string

// String hides the secret.
func (Secret) String() string { return "***" }

// GoString hides the secret.
func (Secret) GoString() string { return "***" }

// LogValue hides the secret.
func (Secret) LogValue() slog.Value { return slog.StringValue("***") }

// MarshalText hides the secret.
func (Secret) MarshalText() ([]byte, error) { return []byte("***"), nil }

// ClientAuth says whether clients are asked for certificates.
type ClientAuth string

const (
	Off      ClientAuth = "off"
	Optional ClientAuth = "optional" // browsers that have certificates ask which one to send
	Required ClientAuth = "required" // no connection without one
)

// DefaultConfig makes a self-signed pair in tls.
func DefaultConfig() Config { return Config{Dir: "tls", ClientAuth: Off} }

// Validate reports every value that cannot work.
func (c Config) Validate() error {
	var errs []error
	if (c.CertFile == "") != (c.KeyFile == "") {
		errs = append(errs, errors.New("tls_cert_file and tls_key_file: set both or none"))
	}
	switch c.ClientAuth {
	case Off:
	case Optional, Required:
		if c.ClientCAFile == "" {
			errs = append(errs, fmt.Errorf("tls_client_ca_file: is needed when tls_client_auth is %s", c.ClientAuth))
		}
	default:
		errs = append(errs, fmt.Errorf("tls_client_auth: must be off, optional or required, not %q", string(c.ClientAuth)))
	}
	return errors.Join(append(errs, c.ACME.validate())...)
}

func (a ACME) validate() error {
	var errs []error
	for _, host := range a.Hosts {
		name, err := idna.Lookup.ToASCII(host)
		if err != nil || !strings.Contains(name, ".") || net.ParseIP(host) != nil {
			errs = append(errs, fmt.Errorf("tls_acme_hosts: %q is not the full name of a host, such as live.example.com", host))
		}
	}
	if a.Directory != "" {
		if u, err := url.Parse(a.Directory); err != nil || u.Scheme != "https" || u.Host == "" {
			errs = append(errs, fmt.Errorf("tls_acme_directory: must be an https URL, not %q", a.Directory))
		}
	}
	if (a.KeyID == "") != (a.KeyHMAC == "") {
		errs = append(errs, errors.New("tls_acme_eab_key_id and tls_acme_eab_hmac_key: set both or none"))
	}
	if _, err := a.hmac(); err != nil {
		errs = append(errs, errors.New("tls_acme_eab_hmac_key: is not base64url, as authorities give it"))
	}
	return errors.Join(errs...)
}

// hmac returns the key of the external account binding. Authorities show it with and without padding.
func (a ACME) hmac() ([]byte, error) {
	return base64.RawURLEncoding.DecodeString(strings.TrimRight(string(a.KeyHMAC), "="))
}

// Stats are the figures of a Keeper at one moment.
type Stats struct {
	NotAfter map[string]time.Time // when a certificate runs out, by the first name in it
	Loaded   int64                // pairs that were loaded from files after the start
	Refused  int64                // changed files that could not be used; the old pair stayed
	Ordered  int64                // certificates that an authority has issued
	Failed   int64                // orders that failed
}

// expired says whether a certificate has run out.
func expired(c *x509.Certificate, now time.Time) bool { return !now.Before(c.NotAfter) }
