package rtmpserver

import (
	"errors"
	"fmt"
	"time"

	"transponder/internal/limits"
)

// Config holds the settings of the server.
type Config struct {
	Address        string // host:port to listen on; port 0: any free port; "": not by RTMP without TLS
	SecureAddress  string // the same for RTMPS
	MaxConnections int    // further connections are closed at once

	HandshakeTimeout time.Duration // from accepting a connection to its publish or play
	IdleTimeout      time.Duration // without a byte from a publisher; a network may stand still for half a minute and recover
	WriteTimeout     time.Duration // of one write to a player
	PlayWait         time.Duration // how long a player waits for its stream
}

// MaxConnectionsRange is the range of Config.MaxConnections.
var MaxConnectionsRange = limits.Of(1, 1_000_000)

// DefaultConfig listens on the usual port of RTMP. A player may connect some seconds before its publisher, as it happens when one
// command starts both.
func DefaultConfig() Config {
	return Config{
		Address:          ":1935",
		MaxConnections:   2000,
		HandshakeTimeout: 10 * time.Second,
		IdleTimeout:      40 * time.Second,
		WriteTimeout:     10 * time.Second,
		PlayWait:         10 * time.Second,
	}
}

// Validate reports every value that cannot work.
func (c Config) Validate() error {
	var errs []error
	if c.Address == "" && c.SecureAddress == "" {
		errs = append(errs, errors.New("both addresses are empty"))
	}
	errs = append(errs, MaxConnectionsRange.Check("number of connections", c.MaxConnections))
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"handshake timeout", c.HandshakeTimeout},
		{"idle timeout", c.IdleTimeout},
		{"write timeout", c.WriteTimeout},
		{"play wait", c.PlayWait},
	} {
		if d.value <= 0 {
			errs = append(errs, fmt.Errorf("%s %v is not positive", d.name, d.value))
		}
	}
	return errors.Join(errs...)
}
