package rtmpserver

import (
	"errors"
	"fmt"
	"time"

	"transponder/internal/limits"
)

// Config says where the server listens and how patient it is.
type Config struct {
	Address        string // host:port to listen on; port 0 takes any
	MaxConnections int    // more are closed at once

	HandshakeTimeout time.Duration // from accepting a connection to its publish or play
	IdleTimeout      time.Duration // without a byte from a publisher; a link may stand still for half a minute and go on
	WriteTimeout     time.Duration // for a player to take what one write holds
	PlayWait         time.Duration // that a player waits for its stream to appear
}

// MaxConnectionsRange is the range of Config.MaxConnections.
var MaxConnectionsRange = limits.Of(1, 1_000_000)

// DefaultConfig listens on RTMP's own port. A player may come some seconds before its publisher, as happens when both are
// started by one command.
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
	if c.Address == "" {
		errs = append(errs, errors.New("address is empty"))
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
