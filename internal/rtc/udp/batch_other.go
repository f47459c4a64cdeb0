//go:build !linux || !(amd64 || arm64)

package udp

import (
	"errors"
	"net/netip"
	"os"
	"time"
)

// batch reads datagrams one at a time. One goroutine may use it.
type batch struct {
	socket *Socket
	buf    *[MaxDatagram]byte
	size   int
	from   netip.AddrPort
}

func newBatch(s *Socket) *batch {
	return &batch{socket: s, buf: s.port.buffers.Get().(*[MaxDatagram]byte)}
}

// read waits for a datagram, or until the socket's deadline, and returns how many came.
func (r *batch) read() (n int, err error) {
	r.size, r.from, err = r.socket.conn.ReadFromUDPAddrPort(r.buf[:])
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	r.from = netip.AddrPortFrom(r.from.Addr().Unmap(), r.from.Port())
	return 1, nil
}

// datagram returns the datagram of the last read and its sender. The bytes are valid until the next read.
func (r *batch) datagram(int) ([]byte, netip.AddrPort) { return r.buf[:r.size], r.from }

// to returns an address that is not valid: these systems do not tell it.
func (r *batch) to(int) netip.Addr { return netip.Addr{} }

// full returns 0: these systems do not tell how many datagrams found the buffer full.
func (r *batch) full() uint32 { return 0 }

// waited returns 0: these systems do not tell how long a datagram was in the kernel.
func (r *batch) waited(int) time.Duration { return 0 }

// take gives the datagram's buffer to the caller and puts another one in its place.
func (r *batch) take(int) *[MaxDatagram]byte {
	b := r.buf
	r.buf = r.socket.port.buffers.Get().(*[MaxDatagram]byte)
	return b
}

// send sends a datagram. It may wait; these kernels have room, or drop the datagram themselves.
func (s *Socket) send(b []byte, _ Source, to netip.AddrPort) bool {
	_, err := s.conn.WriteToUDPAddrPort(b, to)
	return err == nil
}
