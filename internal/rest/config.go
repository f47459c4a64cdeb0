package rest

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"transponder/internal/guard"
)

// Config says who may use the API, and which pages.
type Config struct {
	// AllowOrigin lists, separated by commas, the origins of pages on other hosts that may use the API
	// (rest_access_control_allow_origin). * means every origin.
	AllowOrigin string
	// Values of the CORS headers for such pages (rest_access_control_allow_headers and _methods). Empty: the header is not sent.
	AllowHeaders string
	AllowMethods string
	// Headers are additional headers of every answer (rest_access_control_headers): "Name: value;Name: value".
	Headers string

	// Auth asks for a name and a password by HTTP Basic (disable_rest_auth=false).
	Auth bool
	// LoginOverHTTP lets people log in without TLS from other machines (login_over_http).
	LoginOverHTTP bool
	// HTTPSPort is where people can log in otherwise; 0: nowhere.
	HTTPSPort int

	// NodeID names this server in answers about streams and connections. Empty: it is left out.
	NodeID string
}

// DefaultConfig admits everybody, except pages of other hosts.
func DefaultConfig() Config {
	return Config{
		AllowHeaders: "content-type,x-requested-with",
		AllowMethods: "GET, POST, OPTIONS",
	}
}

// Validate reports every value that cannot work.
func (c Config) Validate() error {
	_, err := c.headers()
	if _, bad := c.Origins(); bad != nil {
		err = errors.Join(err, bad)
	}
	return err
}

// allowOrigin is the header that tells a browser whether a page may read an answer.
const allowOrigin = "Access-Control-Allow-Origin"

// Origins returns the origins of pages on other hosts that may use the API. The operator may also give one in Headers.
func (c Config) Origins() (guard.Origins, error) {
	h, _ := c.headers()
	named, err := guard.ParseOrigins(strings.Join(append(h.Values(allowOrigin), c.AllowOrigin), ","))
	if err != nil {
		return guard.Origins{}, fmt.Errorf("rest_access_control_allow_origin: %w", err)
	}
	return named, nil
}

// headers returns the headers of every answer.
func (c Config) headers() (http.Header, error) {
	var errs []error
	h := http.Header{}
	allowed := c.AllowHeaders
	if c.Auth && allowed != "" && !strings.Contains(strings.ToLower(allowed), "authorization") {
		allowed += ",authorization" // a page that may use the API may log in
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

// pageRules decides which pages may use the API, and tells their browsers.
type pageRules struct {
	door    string
	guard   *guard.Guard
	origins guard.Origins
	headers http.Header // of every answer, without allowOrigin
}

func (c Config) pageRules(door string, g *guard.Guard) (pageRules, error) {
	headers, err := c.headers()
	if err != nil {
		return pageRules{}, err
	}
	origins, err := c.Origins()
	headers.Del(allowOrigin)
	return pageRules{door, g, origins, headers}, err
}

// check refuses the requests of pages that may not use the API, and sets the headers that every answer has. A request with a bearer token may
// come from any page: no browser adds such a token by itself.
func (a pageRules) check(w http.ResponseWriter, r *http.Request) error {
	h := w.Header()
	for name, values := range a.headers {
		h[name] = slices.Clone(values)
	}
	h.Set("Cache-Control", "no-store") // answers repeat the stream keys of the caller
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin") // no page can load an answer as a picture or a script
	h.Add("Vary", "Origin")
	if !guard.HasBearer(r) {
		if err := a.guard.Page(a.door, r, a.origins); err != nil {
			return refusal{http.StatusForbidden, err.Error()}
		}
	}
	if origin := a.origins.Allow(r); origin != "" {
		h.Set(allowOrigin, origin)
	}
	return nil
}
