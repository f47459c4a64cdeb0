//go:build !linux || !(amd64 || arm64)

package udp

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// Batch reads datagrams one at a time. One goroutine at a time may use it.
type Batch struct {
	buffer func() []byte
	buf    []byte
	n      int
	size   int
	from   netip.AddrPort
}

func newBatch(buffer func() []byte) *Batch { return &Batch{buffer: buffer, buf: buffer()} }

// receive is not used on these systems.
func (r *Batch) receive(uintptr) bool { return true }

// read waits for a datagram, or until the deadline of the socket.
func (r *Batch) read(conn *net.UDPConn, _ syscall.RawConn, _ func(fd uintptr) bool) (err error) {
	r.n = 0
	r.size, r.from, err = conn.ReadFromUDPAddrPort(r.buf)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	if err != nil {
		return err
	}
	r.n, r.from = 1, netip.AddrPortFrom(r.from.Addr().Unmap(), r.from.Port())
	return nil
}

// Len returns how many datagrams the last read got.
func (r *Batch) Len() int { return r.n }

// Datagram returns the datagram of the last read and its sender. The bytes are valid until the next read.
func (r *Batch) Datagram(int) ([]byte, netip.AddrPort) { return r.buf[:r.size], r.from }

// to returns an address that is not valid: these systems do not tell it.
func (r *Batch) to(int) netip.Addr { return netip.Addr{} }

// full returns 0: these systems do not tell how many datagrams found the buffer full.
func (r *Batch) full() uint32 { return 0 }

// waited returns 0: these systems do not tell how long a datagram was in the kernel.
func (r *Batch) waited(int) time.Duration { return 0 }

// take gives the datagram's buffer to the caller and puts another one in its place.
func (r *Batch) take(int) []byte {
	b := r.buf
	r.buf = r.buffer()
	return b
}

// send sends a datagram. It may wait; these kernels have room, or drop the datagram themselves.
func send(conn *net.UDPConn, _ syscall.RawConn, b []byte, _ Source, to netip.AddrPort) bool {
	_, err := conn.WriteToUDPAddrPort(b, to)
	return err == nil
}
