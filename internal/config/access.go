package config

import (
	"strings"

	"transponder/internal/access"
	"transponder/internal/access/auth"
)

// whoSettings are the settings of who needs a credential.
func (c *Config) whoSettings() []setting {
	return []setting{
		text("access", (*string)(&c.Access.Mode)),
		actions("anonymous", &c.Access.Anonymous),
		text("disable_rest_auth", (*string)(&c.Access.REST)),
		networks("metrics_allow", &c.Access.MetricsAllow),
		certificateRoles("tls_client_roles", &c.Access.CertificateRoles),
	}
}

// deriveAccess fills in what access has in common with other parts.
func (c *Config) deriveAccess() {
	c.REST.Auth = c.Access.REST == auth.RESTClosed
}

// actions is a list of actions, with commas between them. Validate says which actions there are.
func actions(key string, field *[]access.Action) setting {
	return setting{
		key: key,
		set: func(value string) error {
			var words []string
			_ = list(key, &words).set(value) // takes everything
			*field = nil
			for _, w := range words {
				*field = append(*field, access.Action(w))
			}
			return nil
		},
		get: func() string {
			words := make([]string, len(*field))
			for i, a := range *field {
				words[i] = string(a)
			}
			return strings.Join(words, ",")
		},
	}
}

// certificateRoles is a list of roles of client certificates.
func certificateRoles(key string, field *[]auth.CertificateRole) setting {
	return setting{
		key: key,
		set: func(value string) error {
			var words []string
			_ = list(key, &words).set(value)
			*field = nil
			for _, w := range words {
				r, err := auth.ParseCertificateRole(w)
				if err != nil {
					return err
				}
				*field = append(*field, r)
			}
			return nil
		},
		get: func() string {
			words := make([]string, len(*field))
			for i, r := range *field {
				words[i] = r.String()
			}
			return strings.Join(words, ",")
		},
	}
}
