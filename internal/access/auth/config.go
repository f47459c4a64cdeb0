package auth

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"transponder/internal/access"
)

// Mode says who needs a credential (the setting access).
type Mode string

// The modes.
const (
	Auto   Mode = "auto"   // everybody except clients on this machine
	Closed Mode = "closed" // everybody
	Open   Mode = "open"   // nobody, as with Web Call Server
)

// RESTAuth says who needs a credential for the REST API, the counts and the metrics (the setting disable_rest_auth).
type RESTAuth string

// The values of RESTAuth, as the setting writes them.
const (
	RESTAsMode RESTAuth = ""      // whoever the mode says
	RESTOpen   RESTAuth = "true"  // nobody
	RESTClosed RESTAuth = "false" // everybody
)

// Config says who needs a credential.
type Config struct {
	Mode Mode
	REST RESTAuth
	// Anonymous are the actions that clients without a credential may do with all streams (anonymous).
	Anonymous []access.Action
	// MetricsAllow are networks whose clients may read the metrics and the counts without a credential (metrics_allow).
	MetricsAllow []netip.Prefix
	// WHIPToken and WHEPToken are tokens that let everybody publish by WHIP, and play by WHEP (whip_token, whep_token). Where one is set,
	// nobody may do so without a credential, whatever the mode. "": there is none.
	WHIPToken, WHEPToken access.Secret
	// CertificateRoles says which roles the holders of client certificates have (tls_client_roles).
	CertificateRoles []CertificateRole
}

// DefaultConfig lets clients on this machine do everything, and others nothing.
func DefaultConfig() Config { return Config{Mode: Auto} }

// Validate reports every value that cannot work.
func (c Config) Validate() error {
	var errs []error
	switch c.Mode {
	case Auto, Closed, Open:
	default:
		errs = append(errs, fmt.Errorf("access: must be auto, closed or open, not %q", c.Mode))
	}
	switch c.REST {
	case RESTAsMode, RESTOpen, RESTClosed:
	default:
		errs = append(errs, fmt.Errorf("disable_rest_auth: must be true or false, or empty, not %q", c.REST))
	}
	if c.Mode == Closed && c.REST == RESTOpen {
		errs = append(errs, errors.New("access=closed demands a credential from everybody, and disable_rest_auth=true from nobody: remove one of them"))
	}
	if err := (access.Grant{Actions: c.Anonymous}).Validate(); err != nil {
		errs = append(errs, fmt.Errorf("anonymous: %w", err))
	}
	if c.Mode == Closed && len(c.Anonymous) > 0 {
		errs = append(errs, errors.New("access=closed demands a credential from everybody: remove it, or the setting anonymous"))
	}
	return errors.Join(errs...)
}

// WithoutCredential says whether a client that is not on this machine may use the REST API without a credential.
func (c Config) WithoutCredential() bool {
	return c.REST == RESTOpen || c.Mode == Open && c.REST != RESTClosed
}

// CertificateRole gives a role to the holders of client certificates.
type CertificateRole struct {
	Name string // the common name of the subject, or, with ://, a pattern of a URI among the alternative names
	Role access.Role
}

// ParseCertificateRole parses an entry of tls_client_roles: CN=ops:admin, or URI=spiffe://example.org/studio/*:viewer.
func ParseCertificateRole(text string) (CertificateRole, error) {
	i := strings.LastIndexByte(text, ':')
	kind, name, ok := strings.Cut(text[:max(i, 0)], "=")
	isURI := kind == "URI"
	if !ok || name == "" || kind != "CN" && !isURI || isURI != strings.Contains(name, "://") {
		return CertificateRole{}, fmt.Errorf("%q must look like CN=ops:admin or URI=spiffe://example.org/studio/*:viewer", text)
	}
	r := CertificateRole{name, access.Role(text[i+1:])}
	return r, r.Role.Validate()
}

// String is the entry of the setting.
func (r CertificateRole) String() string {
	kind := "CN="
	if strings.Contains(r.Name, "://") {
		kind = "URI="
	}
	return kind + r.Name + ":" + string(r.Role)
}

// isRESTDoor says whether disable_rest_auth is about a door.
func isRESTDoor(door string) bool {
	return slices.Contains([]string{"rest", "stat", "metrics", "pages"}, door)
}
