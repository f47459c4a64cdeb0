package udp

import (
	"errors"
	"fmt"
	"net/netip"

	"transponder/internal/limits"
)

// Config says where peers are received.
type Config struct {
	Port int // 0: any free one

	// Addresses are told to peers in place of the machine's own, for servers behind a 1:1 NAT.
	Addresses []netip.Addr

	// Sockets is how many sockets share the port, each with its own buffer in the kernel. One buffer of the kernel's
	// default size overflows at ten streams, four of them lost 2 of 282957 packets at fifty, eight lost none.
	Sockets int
	// ReadBuffer is what is asked of the kernel for each socket; without CAP_NET_ADMIN it grants no more than net.core.rmem_max.
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
			errs = append(errs, fmt.Errorf("address %v cannot be told to a peer", a))
		}
	}
	return errors.Join(errs...)
}
