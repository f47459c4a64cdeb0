package rest

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// Config says who may use the API, and from which pages.
type Config struct {
	// What browsers are told about pages of other origins (rest_access_control_allow_origin, _headers and _methods). An
	// empty value sends no such header.
	AllowOrigin  string
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

// DefaultConfig lets everybody in, from every page, as the contract has it.
func DefaultConfig() Config {
	return Config{
		AllowOrigin:  "*",
		AllowHeaders: "content-type,x-requested-with",
		AllowMethods: "GET, POST, OPTIONS",
	}
}

// Validate reports every value that cannot work.
func (c Config) Validate() error {
	_, err := c.headers()
	if c.Auth && c.UsersFile == "" {
		err = errors.Join(err, errors.New("rest_users_file: is needed when disable_rest_auth is false"))
	}
	return err
}

// headers returns what every answer carries.
func (c Config) headers() (http.Header, error) {
	var errs []error
	h := http.Header{}
	add := func(key, name, value string) {
		if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			errs = append(errs, fmt.Errorf("%s: %q is not usable in an HTTP header", key, name+": "+value))
			return
		}
		h.Add(name, value)
	}
	for _, own := range []struct{ key, name, value string }{
		{"rest_access_control_allow_origin", "Access-Control-Allow-Origin", c.AllowOrigin},
		{"rest_access_control_allow_headers", "Access-Control-Allow-Headers", c.AllowHeaders},
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
