package leg

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// errAddress means that media must not be sent to an address.
var errAddress = errors.New("media cannot be sent to this address")

// check says why media must not go to an address of a host; nil if it may.
func (s *Legs) check(host string, to netip.AddrPort) error {
	a := to.Addr()
	switch {
	case !to.IsValid() || to.Port() == 0 || a.IsUnspecified():
		return fmt.Errorf("%w: %v names no host or no port", errAddress, to)
	case a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return fmt.Errorf("%w: %v is not one host", errAddress, to)
	case s.ports.isOpen(int(to.Port())) && isLocal(a):
		return fmt.Errorf("%w: %v is a media port of ours", errAddress, to)
	case s.parts.Allowed != nil:
		return s.parts.Allowed(host, to)
	default:
		return nil
	}
}

// isLocal says whether an address is one of this machine.
func isLocal(a netip.Addr) bool {
	if a.IsLoopback() {
		return true
	}
	list, _ := net.InterfaceAddrs() // without the list, only loopback is known
	for _, l := range list {
		if p, err := netip.ParsePrefix(l.String()); err == nil && p.Addr().Unmap() == a {
			return true
		}
	}
	return false
}
