//go:build !linux || !(amd64 || arm64)

package peer

import (
	"net"
	"net/netip"
	"sync"
)

// batch reads datagrams one at a time. It is for one goroutine.
type batch struct {
	conn    *net.UDPConn
	buffers *sync.Pool
	buf     *[maxDatagram]byte
	size    int
	from    netip.AddrPort
}

func newBatch(c *net.UDPConn, buffers *sync.Pool) *batch {
	return &batch{conn: c, buffers: buffers, buf: buffers.Get().(*[maxDatagram]byte)}
}

// read waits for a datagram.
func (r *batch) read() (n int, err error) {
	r.size, r.from, err = r.conn.ReadFromUDPAddrPort(r.buf[:])
	if err != nil {
		return 0, err
	}
	r.from = netip.AddrPortFrom(r.from.Addr().Unmap(), r.from.Port())
	return 1, nil
}

// datagram returns the datagram of the last read and its sender. The bytes are valid until the next read.
func (r *batch) datagram(int) ([]byte, netip.AddrPort) { return r.buf[:r.size], r.from }

// to returns which of our addresses the datagram came to: nobody says.
func (r *batch) to(int) netip.Addr { return netip.Addr{} }

// take hands the datagram's buffer to the caller and puts another one in its place.
func (r *batch) take(int) *[maxDatagram]byte {
	b := r.buf
	r.buf = r.buffers.Get().(*[maxDatagram]byte)
	return b
}
