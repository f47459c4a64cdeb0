package rest

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"transponder/internal/guard"
)

// Config says who may use the API, and from which pages.
type Config struct {
	// AllowOrigin names the origins of pages on other hosts that may use the API (rest_access_control_allow_origin), with commas
	// between them; * stands for any.
	AllowOrigin string
	// What the browsers of such pages are told (rest_access_control_allow_headers and _methods). An empty value sends no such header.
	AllowHeaders string
	AllowMethods string
	// Headers are further ones for every answer (rest_access_control_headers): "Name: value;Name: value".
	Headers string

	// Auth asks for a name and a password by HTTP Basic (disable_rest_auth=false).
	Auth bool
	// UsersFile holds a line "name:bcrypt hash" for each user (rest_users_file), as "htpasswd -B" writes them.
	UsersFile string

	// NodeID names this server in what is said of streams; empty leaves it out.
	NodeID string
}

// DefaultConfig lets everybody in, but for pages of other hosts.
func DefaultConfig() Config {
	return Config{
		AllowHeaders: "content-type,x-requested-with",
		AllowMethods: "GET, POST, OPTIONS",
	}
}

// Validate reports every value that cannot work.
func (c Config) Validate() error {
	_, err := c.headers()
	if _, bad := c.origins(); bad != nil {
		err = errors.Join(err, bad)
	}
	if c.Auth && c.UsersFile == "" {
		err = errors.Join(err, errors.New("rest_users_file: is needed when disable_rest_auth is false"))
	}
	return err
}

// allowOrigin is the header that tells a browser whether a page may read an answer.
const allowOrigin = "Access-Control-Allow-Origin"

// origins are those of pages on other hosts that may use the API. The operator may name one among the further headers, too.
func (c Config) origins() (guard.Origins, error) {
	h, _ := c.headers()
	named, err := guard.ParseOrigins(strings.Join(append(h.Values(allowOrigin), c.AllowOrigin), ","))
	if err != nil {
		return guard.Origins{}, fmt.Errorf("rest_access_control_allow_origin: %w", err)
	}
	return named, nil
}

// headers returns what every answer carries.
func (c Config) headers() (http.Header, error) {
	var errs []error
	h := http.Header{}
	allowed := c.AllowHeaders
	if c.Auth && allowed != "" && !strings.Contains(strings.ToLower(allowed), "authorization") {
		allowed += ",authorization" // a page that may ask may log in
	}
	add := func(key, name, value string) {
		if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			errs = append(errs, fmt.Errorf("%s: %q is not usable in an HTTP header", key, name+": "+value))
			return
		}
		h.Add(name, value)
	}
	for _, own := range []struct{ key, name, value string }{
		{"rest_access_control_allow_headers", "Access-Control-Allow-Headers", allowed},
		{"rest_access_control_allow_methods", "Access-Control-Allow-Methods", c.AllowMethods},
	} {
		if own.value != "" {
			add(own.key, own.name, own.value)
		}
	}
	for line := range strings.SplitSeq(c.Headers, ";") {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			errs = append(errs, fmt.Errorf("rest_access_control_headers: %q is not \"Name: value\"", line))
			continue
		}
		add("rest_access_control_headers", strings.TrimSpace(name), strings.TrimSpace(value))
	}
	return h, errors.Join(errs...)
}

// access decides which pages may use the API, and tells their browsers.
type access struct {
	door    string
	guard   *guard.Guard
	origins guard.Origins
	headers http.Header // of every answer, but for allowOrigin
}

func (c Config) access(door string, g *guard.Guard) (access, error) {
	headers, err := c.headers()
	if err != nil {
		return access{}, err
	}
	origins, err := c.origins()
	headers.Del(allowOrigin)
	return access{door, g, origins, headers}, err
}

// check refuses a request of a page that may not ask, and writes the headers of every answer. Where a password is asked for, any
// name of the server will do: a page under a stolen name has no password.
func (a access) check(w http.ResponseWriter, r *http.Request, password bool) error {
	h := w.Header()
	for name, values := range a.headers {
		h[name] = slices.Clone(values)
	}
	h.Set("Cache-Control", "no-store") // answers repeat the caller's stream keys
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin") // no page gets at an answer as if it were a picture or a script
	h.Add("Vary", "Origin")
	if !password {
		if err := a.guard.Host(a.door, r); err != nil {
			return refusal{http.StatusForbidden, err.Error()}
		}
	}
	if err := a.guard.Page(a.door, r, a.origins); err != nil {
		return refusal{http.StatusForbidden, err.Error()}
	}
	if origin := a.origins.Allow(r); origin != "" {
		h.Set(allowOrigin, origin)
	}
	return nil
}

// WarnIfOpen says so, loudly, when anybody who reaches addr may use the API: it listens beyond this machine and asks for no
// password. Call it once for each listener.
func (c Config) WarnIfOpen(addr net.Addr, log *slog.Logger) {
	if c.Auth || isLoopback(addr) {
		return
	}
	log.Warn("the REST API is open to everybody who reaches this address: set disable_rest_auth=false and rest_users_file",
		"addr", addr.String())
}

func isLoopback(addr net.Addr) bool {
	ap, err := netip.ParseAddrPort(addr.String())
	return err == nil && ap.Addr().Unmap().IsLoopback()
}
