package udp

import (
	"encoding/binary"
	"net/netip"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// canShare says that several sockets can share a port. The kernel spreads clients over them.
const canShare = true

// share lets further sockets of this user bind the same port.
func share(raw syscall.RawConn) error { return setOption(raw, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) }

// force gives a socket a buffer larger than net.core.rmem_max. It needs CAP_NET_ADMIN.
func force(raw syscall.RawConn, size int) error {
	return setOption(raw, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, size)
}

// granted returns the size of a socket's buffer. The kernel reports twice that size (socket(7)).
func granted(raw syscall.RawConn) (size int) {
	_ = raw.Control(func(fd uintptr) { size, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF) })
	return size / 2
}

// tellMore lets reads tell the address that a datagram came to, the time when it came, and how many datagrams found the
// buffer full.
func tellMore(raw syscall.RawConn, network string) error {
	// A kernel may lack these two. Then the times of reading are used, and losses show only in the streams.
	_ = setOption(raw, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	_ = setOption(raw, unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1)
	if network == "udp6" {
		return setOption(raw, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	}
	return setOption(raw, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
}

func setOption(raw syscall.RawConn, level, option, value int) error {
	var err error
	if e := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, option, value) }); e != nil {
		return e
	}
	return err
}

// controlSize is the space for what tellMore asks for: a struct in6_pktinfo, a struct timespec and a counter, each with a
// header.
const controlSize = 40 + 32 + 24

// control is what the kernel said about a datagram.
type control struct {
	to      netip.Addr // not valid if unknown
	arrived time.Time  // zero if unknown
	full    uint32     // datagrams before this one that the socket had no room for
}

// parseControl reads the control messages of a datagram: ip(7), ipv6(7) and socket(7).
func parseControl(b []byte) control {
	const header = unix.SizeofCmsghdr
	var c control
	for len(b) >= header {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
		n := int(h.Len)
		if n < header || n > len(b) {
			break
		}
		data := b[header:n]
		switch {
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			c.to = netip.AddrFrom4([4]byte(data[4:8])) // ipi_spec_dst
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			c.to = netip.AddrFrom16([16]byte(data[:16]))
		case h.Level == unix.SOL_SOCKET && h.Type == unix.SO_TIMESTAMPNS && len(data) >= 16:
			c.arrived = time.Unix(int64(binary.NativeEndian.Uint64(data)), int64(binary.NativeEndian.Uint64(data[8:])))
		case h.Level == unix.SOL_SOCKET && h.Type == unix.SO_RXQ_OVFL && len(data) >= 4:
			c.full = binary.NativeEndian.Uint32(data)
		}
		b = b[min(len(b), (n+7)&^7):]
	}
	return c
}

// sourceControl makes the control message that sends a datagram from an address.
func sourceControl(a netip.Addr) []byte {
	if a.Is4() {
		ip := a.As4()
		return unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: ip})
	}
	return unix.PktInfo6(&unix.Inet6Pktinfo{Addr: a.As16()})
}
