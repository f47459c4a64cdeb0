package cluster

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"transponder/internal/limits"
)

// Isolated says what a server does whose link to NATS is lost.
type Isolated string

const (
	// Keep lets the pushes go on that publishers feed. Two servers may push one stream to one address for a while, if the publisher of a
	// server that is cut off goes on while another publisher takes the name elsewhere.
	Keep Isolated = "keep"
	// Stop pauses all pushes until the server is back. Two servers never push at once.
	Stop Isolated = "stop"
)

// Config says how servers find each other.
type Config struct {
	NATS     string // addresses of NATS servers with commas between them; "": this server is alone
	Creds    string // file with the credentials for NATS
	CAFile   string // PEM file with the authorities of the NATS servers' certificates
	Name     string // of the cluster; the names in NATS begin with it
	Node     string // of this server; "": the name that it had before, or the host name
	Replicas int    // of what is kept in NATS; 0: three if NATS is a cluster, else one

	RTMPAddress string // host:port on which other servers read streams of this one; "": found out
	HTTPURL     string // where clients of other servers may be sent; "": nowhere

	Lease    time.Duration // how long a server that has vanished counts as living
	Isolated Isolated
}

// The ranges of a Config's numbers.
var (
	// LeaseRange begins where a renewal can still fail twice before the lease ends.
	LeaseRange    = limits.Of(5*time.Second, 10*time.Minute)
	ReplicasRange = limits.Of(0, 5)
	// stopLease is the shortest lease with Stop: NATS may take 9 s to elect a leader, and that must not pause the pushes.
	stopLease = 16 * time.Second
)

// DefaultConfig is for a server alone.
func DefaultConfig() Config { return Config{Name: "tp", Lease: 6 * time.Second, Isolated: Keep} }

// Validate reports every value that cannot work.
func (c Config) Validate() error {
	errs := []error{LeaseRange.Check("cluster_lease_ms", c.Lease), ReplicasRange.Check("cluster_replicas", c.Replicas)}
	fault := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	if c.Lease%time.Second != 0 {
		fault("cluster_lease_ms must be whole seconds, because NATS counts them so, not %v", c.Lease)
	}
	switch c.Isolated {
	case Keep:
	case Stop:
		if c.NATS != "" && c.Lease < stopLease {
			fault("cluster_isolated=stop needs cluster_lease_ms of at least %d, so that an election in NATS pauses nothing", stopLease.Milliseconds())
		}
	default:
		fault("cluster_isolated must be keep or stop, not %q", c.Isolated)
	}
	if !isWord(c.Name) {
		fault("cluster_name must be 1 to 32 letters, digits, - and _, not %q", c.Name)
	}
	if c.Node != "" && !isWord(c.Node) {
		fault("cluster_node_id must be 1 to 32 letters, digits, - and _, not %q", c.Node)
	}
	if c.RTMPAddress != "" {
		if _, _, err := net.SplitHostPort(c.RTMPAddress); err != nil {
			fault("cluster_rtmp_address must be host:port, not %q", c.RTMPAddress)
		}
	}
	if c.HTTPURL != "" {
		if u, err := url.Parse(c.HTTPURL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			fault("cluster_http_url must be an http or https URL, not %q", c.HTTPURL)
		}
	}
	for _, s := range c.servers() {
		if u, err := url.Parse(s); err != nil || u.Host == "" {
			fault("cluster_nats_url must be addresses like nats://host:4222 with commas between them") // it may hold a password
		}
	}
	return errors.Join(errs...)
}

// servers returns the addresses of the NATS servers.
func (c Config) servers() []string {
	var all []string
	for s := range strings.SplitSeq(c.NATS, ",") {
		s = strings.TrimSpace(s)
		if s != "" && !strings.Contains(s, "://") {
			s = "nats://" + s
		}
		if s != "" {
			all = append(all, s)
		}
	}
	return all
}

// isWord reports whether a text can be a part of a subject of NATS and of a key.
func isWord(s string) bool {
	for _, c := range s {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return s != "" && len(s) <= maxWord
}
