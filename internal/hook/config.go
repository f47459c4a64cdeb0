package hook

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"transponder/internal/access"
	"transponder/internal/limits"
)

// Config says how hooks are sent.
type Config struct {
	Disabled bool // no hook is sent (disable_rest_requests)

	// Timeout is for one request, with the time that it waits for its turn. 0: MaxTimeout (rest_request_timeout).
	Timeout        time.Duration
	MaxConnections int // to all backends together (rest_max_connections)

	SendHash bool          // Authorization: WCS <HMAC-MD5 of the body> (rest_hook_send_hash)
	Secret   access.Secret // signs the hooks; "": they are not signed (rest_hook_secret_key)

	// OnError is what a refusal does to a request whose method has no restOnError: Log or Fail (rest_on_error). connect always fails.
	OnError OnError
	// LetIn lets clients in whose connect has no answer (rest_backend_down).
	LetIn bool
	// EventRetries is how often an event is sent again that had no answer. The end of a session is sent again at least 3 times
	// (rest_event_retries).
	EventRetries int

	RootsFile string         // PEM file of authorities for the certificates of backends, besides those of the system; "": none (rest_hook_ca_file)
	Roots     *x509.CertPool // those of the system and of RootsFile; nil: those of the system

	CertFile, KeyFile string // PEM files of the certificate that backends are shown; "": none (rest_hook_cert_file, rest_hook_key_file)

	AppsFile string // JSON file of apps that are set there and cannot be changed over REST (apps_file)
	Strict   bool   // a client that names an unknown app is refused (apps_strict)

	KeepAlive         bool          // (keep_alive_streaming_sessions_enabled)
	KeepAliveInterval time.Duration // (streaming_sessions_keep_alive_interval)
	KeepAliveApps     []string      // the apps that get it; none: all that have the method (streaming_sessions_keep_alive_app_keys)

	NodeID string // of this process, in each hook
}

// OnError is what a refusal does.
type OnError string

const (
	Log  OnError = "LOG"  // the request goes on; the log has the refusal
	Fail OnError = "FAIL" // the request is refused
)

// Ranges of the numbers.
var (
	TimeoutRange           = limits.Of(0, 60*time.Second)
	MaxConnectionsRange    = limits.Of(1, 10_000)
	EventRetriesRange      = limits.Of(0, 10)
	KeepAliveIntervalRange = limits.Of(time.Second, time.Hour)
)

// DefaultConfig has the defaults of Web Call Server.
func DefaultConfig() Config {
	return Config{
		Timeout: 15 * time.Second, MaxConnections: 200, OnError: Log,
		KeepAliveInterval: 10 * time.Second, KeepAliveApps: []string{DefaultApp},
	}
}

// Validate reports every value that cannot work. It repeats no secret.
func (c Config) Validate() error {
	errs := []error{
		TimeoutRange.Check("rest_request_timeout:", c.Timeout),
		MaxConnectionsRange.Check("rest_max_connections:", c.MaxConnections),
		EventRetriesRange.Check("rest_event_retries:", c.EventRetries),
		KeepAliveIntervalRange.Check("streaming_sessions_keep_alive_interval:", c.KeepAliveInterval),
	}
	if c.OnError != Log && c.OnError != Fail {
		errs = append(errs, fmt.Errorf("rest_on_error: must be LOG or FAIL, not %q", c.OnError))
	}
	if c.SendHash && c.Secret == "" {
		errs = append(errs, errors.New("rest_hook_send_hash=true needs rest_hook_secret_key"))
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		errs = append(errs, errors.New("rest_hook_cert_file and rest_hook_key_file go together"))
	}
	return errors.Join(errs...)
}

// LogValue keeps the secret out of logs.
func (c Config) LogValue() slog.Value {
	return slog.GroupValue(slog.Bool("disabled", c.Disabled), slog.Bool("signed", c.Secret != ""), slog.Duration("timeout", c.timeout()))
}

func (c Config) timeout() time.Duration {
	if c.Timeout == 0 {
		return TimeoutRange.Max
	}
	return c.Timeout
}
