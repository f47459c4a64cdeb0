//go:build linux && (amd64 || arm64)

package peer

import (
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"unsafe"
)

// batchSize is how many datagrams one system call takes at most.
const batchSize = 32

// controlSize fits one struct in6_pktinfo with its header.
const controlSize = 40

// batch reads datagrams with recvmmsg, many at a time. It is for one goroutine.
type batch struct {
	raw     syscall.RawConn
	buffers *sync.Pool
	bufs    [batchSize]*[maxDatagram]byte
	names   [batchSize]syscall.RawSockaddrInet6
	iovecs  [batchSize]syscall.Iovec
	control [batchSize][controlSize]byte
	headers [batchSize]mmsghdr
}

// mmsghdr is struct mmsghdr of recvmmsg(2) on 64-bit systems.
type mmsghdr struct {
	header syscall.Msghdr
	size   uint32
	_      [4]byte
}

func newBatch(c *net.UDPConn, buffers *sync.Pool) *batch {
	raw, err := c.SyscallConn()
	if err != nil {
		panic(err) // only a nil conn has none
	}
	r := &batch{raw: raw, buffers: buffers}
	for i := range r.headers {
		r.fill(i)
		h := &r.headers[i].header
		h.Name, h.Iov, h.Iovlen = (*byte)(unsafe.Pointer(&r.names[i])), &r.iovecs[i], 1
		h.Control = &r.control[i][0]
	}
	return r
}

// fill gives the i-th place a buffer.
func (r *batch) fill(i int) {
	r.bufs[i] = r.buffers.Get().(*[maxDatagram]byte)
	r.iovecs[i] = syscall.Iovec{Base: &r.bufs[i][0], Len: maxDatagram}
}

// read waits for datagrams and returns how many came.
func (r *batch) read() (n int, err error) {
	var errno syscall.Errno
	err = r.raw.Read(func(fd uintptr) bool {
		for i := range r.headers {
			h := &r.headers[i].header
			h.Namelen, h.Controllen = uint32(unsafe.Sizeof(r.names[i])), controlSize
		}
		got, _, e := syscall.Syscall6(syscall.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.headers[0])), batchSize,
			syscall.MSG_DONTWAIT, 0, 0)
		if e == syscall.EAGAIN || e == syscall.EINTR {
			return false
		}
		n, errno = int(got), e
		return true
	})
	if err != nil {
		return 0, err
	}
	if errno != 0 {
		return 0, errno
	}
	return n, nil
}

// datagram returns the i-th datagram of the last read and its sender. The bytes are valid until the next read.
func (r *batch) datagram(i int) ([]byte, netip.AddrPort) {
	data := r.bufs[i][:min(r.headers[i].size, maxDatagram)]
	name := &r.names[i]
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&name.Port))[:])
	if name.Family == syscall.AF_INET {
		v4 := (*syscall.RawSockaddrInet4)(unsafe.Pointer(name))
		return data, netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), port)
	}
	return data, netip.AddrPortFrom(netip.AddrFrom16(name.Addr).Unmap(), port)
}

// to returns which of our addresses the i-th datagram came to; not valid if that is not known.
func (r *batch) to(i int) netip.Addr {
	return destination(r.control[i][:min(r.headers[i].header.Controllen, controlSize)])
}

// take hands the i-th datagram's buffer to the caller and puts another one in its place.
func (r *batch) take(i int) *[maxDatagram]byte {
	b := r.bufs[i]
	r.fill(i)
	return b
}
