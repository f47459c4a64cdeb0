package udp

import (
	"errors"
	"fmt"
	"net/netip"

	"transponder/internal/limits"
)

// Config says where media is received.
type Config struct {
	Port int // 0: any free one

	// Addresses stand in answers in place of the machine's own, for servers behind a 1:1 NAT.
	Addresses []netip.Addr

	// Sockets is how many sockets share the port, each with a buffer in the kernel. With buffers of the kernel's default
	// size, one socket overflowed at 10 streams; at 50 streams, four sockets lost 2 of 282957 packets, and eight lost none.
	Sockets int
	// ReadBuffer is the size in bytes to request for each buffer. Without CAP_NET_ADMIN the kernel grants at most
	// net.core.rmem_max.
	ReadBuffer int
}

// The ranges of a Config's numbers.
var (
	PortRange       = limits.Of(0, 65535)
	SocketsRange    = limits.Of(1, 64)
	ReadBufferRange = limits.Of(0, 1<<30) // 0: the kernel's default
)

// DefaultConfig suits a server on a public address or on a laptop.
func DefaultConfig() Config { return Config{Port: 31001, Sockets: 8, ReadBuffer: 4 << 20} }

// Validate reports every value that cannot work.
func (c Config) Validate() error {
	errs := []error{
		PortRange.Check("media port", c.Port),
		ReadBufferRange.Check("media receive buffer", c.ReadBuffer),
	}
	if !SocketsRange.Contains(c.Sockets) {
		errs = append(errs, fmt.Errorf("%d sockets are not %v", c.Sockets, SocketsRange))
	}
	for _, a := range c.Addresses {
		if !a.IsValid() || a.IsUnspecified() {
			errs = append(errs, fmt.Errorf("media address %v cannot be reached by anybody", a))
		}
	}
	return errors.Join(errs...)
}
