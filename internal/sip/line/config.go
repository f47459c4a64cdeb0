package line

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"transponder/internal/limits"
)

// PortRange is the range of Config.Port and Config.TLSPort.
var PortRange = limits.Of(0, 65535)

// Config says where the messages leave and arrive.
type Config struct {
	Address string // the local IP address; "": all
	Port    int    // of UDP and TCP; 0: any that is free
	TLSPort int    // 0: no TLS server
	// External are the addresses under which the Internet reaches us, at most one for each of IPv4 and IPv6. They stand in Via and Contact
	// instead of the local address.
	External []netip.Addr
	// Listen opens the sockets at the start of Run. Otherwise the first Resolve opens them.
	Listen bool

	TLSInsecure bool           // accepts any certificate: for tests
	Roots       *x509.CertPool // who may sign certificates; nil: whom the system trusts

	Timers Timers
}

// Timers are the times of the protocol. Tests make them short.
type Timers struct {
	T1 time.Duration // the estimate of a round trip: the first pause before a repetition (RFC 3261, 17.1.1.1)
	T2 time.Duration // the longest pause
	T4 time.Duration // how long a message may stay in the network

	Trying time.Duration // after this time we send 100 to an INVITE that has no answer of ours yet
	Alive  time.Duration // the pause between two messages that keep a connection alive
	Finish time.Duration // the limit for a connection, for a handshake, for the rest of a message that has begun, and for writing a message
}

// DefaultConfig returns the settings for the port of SIP and the times of RFC 3261.
func DefaultConfig() Config {
	return Config{Port: 5060, Timers: Timers{
		T1: 500 * time.Millisecond, T2: 4 * time.Second, T4: 5 * time.Second,
		Trying: 200 * time.Millisecond, Alive: 30 * time.Second, Finish: 10 * time.Second,
	}}
}

// Validate reports every fault of the settings.
func (c Config) Validate() error {
	errs := []error{PortRange.Check("sip_port", c.Port), PortRange.Check("sip_tls_port", c.TLSPort)}
	if c.TLSPort != 0 && c.TLSPort == c.Port {
		errs = append(errs, fmt.Errorf("sip_tls_port %d is sip_port, too: give TLS a port of its own", c.TLSPort))
	}
	if _, err := netip.ParseAddr(c.Address); c.Address != "" && err != nil {
		errs = append(errs, fmt.Errorf("local address of SIP %q: %w", c.Address, err))
	}
	for _, d := range []time.Duration{c.Timers.T1, c.Timers.T2, c.Timers.T4, c.Timers.Trying, c.Timers.Alive, c.Timers.Finish} {
		if d <= 0 {
			errs = append(errs, fmt.Errorf("timer of SIP %v is not positive", d))
		}
	}
	return errors.Join(errs...)
}

// timeout is 64 T1, the length of the timers B, F, H, J and L of RFC 3261 and RFC 6026: how long a request waits for a response, and an answered
// request for repetitions.
func (t Timers) timeout() time.Duration { return 64 * t.T1 }
