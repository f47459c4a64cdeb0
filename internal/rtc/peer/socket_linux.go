package peer

import (
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// canShare says that several sockets can have one port, with the kernel spreading peers over them.
const canShare = true

// share lets further sockets of this user bind the same port.
func share(raw syscall.RawConn) error {
	var err error
	if e := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}); e != nil {
		return e
	}
	return err
}

// tellDestination lets reads say which of our addresses a datagram came to.
func tellDestination(raw syscall.RawConn, network string) error {
	var err error
	if e := raw.Control(func(fd uintptr) {
		if network == "udp6" {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
		} else {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		}
	}); e != nil {
		return e
	}
	return err
}

// destination reads that address from a datagram's control message, ip(7) and ipv6(7).
func destination(control []byte) netip.Addr {
	const header = unix.SizeofCmsghdr
	if len(control) < header {
		return netip.Addr{}
	}
	data := control[header:]
	h := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
	switch {
	case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
		return netip.AddrFrom4([4]byte(data[4:8])) // ipi_spec_dst
	case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
		return netip.AddrFrom16([16]byte(data[:16]))
	default:
		return netip.Addr{}
	}
}

// sourceControl makes the control message that lets a datagram leave from that address.
func sourceControl(a netip.Addr) []byte {
	if a.Is4() {
		ip := a.As4()
		return unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: ip})
	}
	return unix.PktInfo6(&unix.Inet6Pktinfo{Addr: a.As16()})
}
