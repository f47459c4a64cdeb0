//go:build linux && (amd64 || arm64)

package udp

import "golang.org/x/sys/unix"

// newBatchOutside makes a batch whose buffers lie outside of the heap. A page takes memory once it is written to. free frees them.
func newBatchOutside(size int) *Batch {
	space, err := unix.Mmap(-1, 0, batchSize*size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return newBatch(func() []byte { return make([]byte, size) })
	}
	_ = unix.Madvise(space, unix.MADV_NOHUGEPAGE) // a huge page would take 2 MB at once; without the advice only memory is lost
	rest := space
	b := newBatch(func() (buf []byte) {
		buf, rest = rest[:size:size], rest[size:]
		return buf
	})
	b.space = space
	return b
}

// free frees the buffers of newBatchOutside.
func (r *Batch) free() {
	if r.space != nil {
		_ = unix.Munmap(r.space) // fails only for what is no mapping
		r.space = nil
	}
}

// Read waits for datagrams. The caller gives the batch back with Batches.Put. An error other than net.ErrClosed is about one datagram;
// reading can go on after it.
func (c *Conn) Read() (*Batch, error) {
	err := c.raw.Read(c.poll)
	b := c.batch
	c.batch = nil
	if err == nil {
		if err = b.err(); err == nil {
			return b, nil
		}
	}
	if b != nil {
		c.batches.Put(b)
	}
	return nil, err
}

// receive reads the datagrams that are there into a batch; it returns false if there are none.
func (c *Conn) receive(fd uintptr) bool {
	b := c.batches.get()
	if !b.receive(fd) {
		c.batches.Put(b)
		return false
	}
	c.batch = b
	return true
}
