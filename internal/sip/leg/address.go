package leg

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"transponder/internal/sip/sdp"
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
	case isBroadcast(a, networks()):
		return fmt.Errorf("%w: %v is all hosts of a network", errAddress, to)
	case s.parts.Allowed != nil:
		return s.parts.Allowed(host, to)
	default:
		return nil
	}
}

// isLocal says whether an address is one of this machine.
func isLocal(a netip.Addr) bool {
	return a.IsLoopback() || slices.ContainsFunc(networks(), func(n netip.Prefix) bool { return n.Addr() == a })
}

// isBroadcast says whether an address means all hosts of a network that this machine is in: each of them would get, and perhaps answer, what
// is sent there.
func isBroadcast(a netip.Addr, networks []netip.Prefix) bool {
	return a.Is4() && slices.ContainsFunc(networks, func(n netip.Prefix) bool {
		return n.Addr().Is4() && n.Bits() < 31 && n.Contains(a) && !n.Contains(a.Next())
	})
}

// networks returns the addresses of this machine with their networks, none if the system does not tell.
func networks() []netip.Prefix {
	list, _ := net.InterfaceAddrs()
	var all []netip.Prefix
	for _, l := range list {
		if n, err := netip.ParsePrefix(l.String()); err == nil {
			all = append(all, netip.PrefixFrom(n.Addr().Unmap(), n.Bits()))
		}
	}
	return all
}

// place is where a phone receives, by an agreement. An address is not valid if the SDP has none, or if media must not go there.
type place struct {
	rtp, rtcp netip.AddrPort
	mux       bool // RTCP goes to the port of RTP
	named     bool // a host name is to be resolved
}

// placeOf returns the place that a flow names.
func (l *Leg) placeOf(f *sdp.Flow) (p place) {
	if f == nil {
		return place{}
	}
	var named bool
	p.mux = f.RTCPPort != 0 && f.RTCPPort == f.Port && f.RTCPAddress == f.Address
	p.rtp, p.named = l.address(f.Address, f.Port)
	p.rtcp = p.rtp
	if !p.mux {
		p.rtcp, named = l.address(f.RTCPAddress, f.RTCPPort)
	}
	p.named = p.named || named
	return p
}

// address returns an address of an SDP; named says that it is a host name.
func (l *Leg) address(host string, port int) (at netip.AddrPort, named bool) {
	a, err := netip.ParseAddr(host)
	if err != nil || port == 0 {
		return netip.AddrPort{}, isName(host)
	}
	return l.allowed(host, netip.AddrPortFrom(a.Unmap().WithZone(""), uint16(port))), false
}

// isName says whether a host is named, and not given by an address.
func isName(host string) bool {
	_, err := netip.ParseAddr(host)
	return err != nil && host != ""
}

// allowed returns an address of a host, or one that is not valid if media must not go there.
func (l *Leg) allowed(host string, to netip.AddrPort) netip.AddrPort {
	if to.Addr().IsUnspecified() { // the old way to say "on hold" (RFC 3264, 8.4)
		return netip.AddrPort{}
	}
	err := l.legs.check(host, to)
	if err == nil && to.Addr().Is4() != l.bind.Unmap().Is4() {
		err = fmt.Errorf("%w: %v is of another family than ours", errAddress, to)
	}
	if err != nil {
		l.log.Warn("nothing is sent to the media address that a phone names", "address", to, "err", err)
		return netip.AddrPort{}
	}
	return to
}
