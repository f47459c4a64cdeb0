//go:build linux && (amd64 || arm64)

package udp

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// batchSize limits how many datagrams one system call reads.
const batchSize = 32

// Batch reads datagrams with recvmmsg, many at a time. One goroutine at a time may use it.
type Batch struct {
	buffer  func() []byte // gets a buffer for a datagram; all have the same size
	space   []byte        // of the buffers, if they lie outside of the heap
	bufs    [batchSize][]byte
	names   [batchSize]syscall.RawSockaddrInet6
	iovecs  [batchSize]syscall.Iovec
	control [batchSize][controlSize]byte
	headers [batchSize]mmsghdr

	n      int
	errno  syscall.Errno
	readAt time.Time
}

// mmsghdr is struct mmsghdr of recvmmsg(2) on 64-bit systems.
type mmsghdr struct {
	header syscall.Msghdr
	size   uint32
	_      [4]byte
}

func newBatch(buffer func() []byte) *Batch {
	r := &Batch{buffer: buffer}
	for i := range r.headers {
		r.fill(i)
		h := &r.headers[i].header
		h.Name, h.Iov, h.Iovlen = (*byte)(unsafe.Pointer(&r.names[i])), &r.iovecs[i], 1
		h.Control = &r.control[i][0]
		h.Namelen, h.Controllen = uint32(unsafe.Sizeof(r.names[i])), controlSize
	}
	return r
}

// fill gives the i-th message a buffer.
func (r *Batch) fill(i int) {
	r.bufs[i] = r.buffer()
	r.iovecs[i] = syscall.Iovec{Base: &r.bufs[i][0], Len: uint64(len(r.bufs[i]))}
}

// read waits for datagrams, or until the deadline of the socket. poll is receive.
func (r *Batch) read(_ *net.UDPConn, raw syscall.RawConn, poll func(fd uintptr) bool) error {
	if err := raw.Read(poll); err != nil {
		r.n = 0
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = nil
		}
		return err
	}
	return r.err()
}

// err returns the error of the last read.
func (r *Batch) err() error {
	if r.errno != 0 {
		return r.errno
	}
	return nil
}

// Len returns how many datagrams the last read got.
func (r *Batch) Len() int { return r.n }

// receive reads the datagrams that are there; it returns false if there are none. The call is short and does not block, so
// it bypasses the scheduler's hooks for system calls: these would wake the scheduler's monitor each time.
func (r *Batch) receive(fd uintptr) bool {
	for i := range r.headers[:max(r.n, 1)] { // the last read has written to these
		h := &r.headers[i].header
		h.Namelen, h.Controllen = uint32(unsafe.Sizeof(r.names[i])), controlSize
	}
	r.n = 0
	got, _, errno := syscall.RawSyscall6(syscall.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.headers[0])), batchSize,
		syscall.MSG_DONTWAIT, 0, 0)
	if errno == syscall.EAGAIN || errno == syscall.EINTR {
		return false
	}
	if r.errno = errno; errno == 0 {
		r.n, r.readAt = int(got), time.Now()
	}
	return true
}

// Datagram returns the i-th datagram of the last read and its sender. The bytes are valid until the next read.
func (r *Batch) Datagram(i int) ([]byte, netip.AddrPort) {
	data := r.bufs[i][:min(int(r.headers[i].size), len(r.bufs[i]))]
	name := &r.names[i]
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&name.Port))[:])
	if name.Family == syscall.AF_INET {
		v4 := (*syscall.RawSockaddrInet4)(unsafe.Pointer(name))
		return data, netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), port)
	}
	return data, netip.AddrPortFrom(netip.AddrFrom16(name.Addr).Unmap(), port)
}

func (r *Batch) said(i int) control {
	return parseControl(r.control[i][:min(r.headers[i].header.Controllen, controlSize)])
}

// to returns the address of ours that the i-th datagram came to. It is not valid if unknown.
func (r *Batch) to(i int) netip.Addr { return r.said(i).to }

// full returns how many datagrams found the buffer full since the socket was opened, as the last read tells.
func (r *Batch) full() uint32 {
	if r.n == 0 {
		return 0
	}
	return r.said(r.n - 1).full
}

// waited returns how long the i-th datagram was in the kernel: at most a second, as somebody may set the wall clock meanwhile.
func (r *Batch) waited(i int) time.Duration {
	arrived := r.said(i).arrived
	if arrived.IsZero() {
		return 0
	}
	return min(max(0, r.readAt.Sub(arrived)), time.Second)
}

// take gives the i-th datagram's buffer to the caller and puts another one in its place.
func (r *Batch) take(i int) []byte {
	b := r.bufs[i]
	r.fill(i)
	return b
}

// outgoing holds a datagram that is being sent: sendmsg needs pointers to all of its parts.
type outgoing struct {
	name    syscall.RawSockaddrInet6
	iov     syscall.Iovec
	message syscall.Msghdr
	errno   syscall.Errno
	write   func(fd uintptr)
}

var outgoings = sync.Pool{New: func() any {
	o := &outgoing{}
	o.write = o.writeTo
	return o
}}

func (o *outgoing) writeTo(fd uintptr) {
	_, _, o.errno = syscall.RawSyscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&o.message)), syscall.MSG_DONTWAIT)
}

// send sends a datagram without waiting. It returns false if the kernel has no room or no route.
func send(_ *net.UDPConn, raw syscall.RawConn, b []byte, from Source, to netip.AddrPort) bool {
	o := outgoings.Get().(*outgoing)
	size := uint32(syscall.SizeofSockaddrInet6)
	o.name = syscall.RawSockaddrInet6{}
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&o.name.Port))[:], to.Port())
	if to.Addr().Is4() {
		v4 := (*syscall.RawSockaddrInet4)(unsafe.Pointer(&o.name))
		v4.Family, v4.Addr, size = syscall.AF_INET, to.Addr().As4(), syscall.SizeofSockaddrInet4
	} else {
		o.name.Family, o.name.Addr = syscall.AF_INET6, to.Addr().As16()
	}
	o.iov = syscall.Iovec{Base: unsafe.SliceData(b), Len: uint64(len(b))}
	o.message = syscall.Msghdr{Name: (*byte)(unsafe.Pointer(&o.name)), Namelen: size, Iov: &o.iov, Iovlen: 1}
	if len(from.control) > 0 {
		o.message.Control = &from.control[0]
		o.message.SetControllen(len(from.control))
	}
	err := raw.Control(o.write)
	sent := err == nil && o.errno == 0
	o.iov.Base, o.message.Control = nil, nil // they point to the caller's memory
	outgoings.Put(o)
	return sent
}
