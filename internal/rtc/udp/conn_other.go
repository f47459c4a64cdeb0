//go:build !linux || !(amd64 || arm64)

package udp

func newBatchOutside(size int) *Batch {
	return newBatch(func() []byte { return make([]byte, size) })
}

func (r *Batch) free() {}

// Read waits for a datagram. The caller gives the batch back with Batches.Put. An error other than net.ErrClosed is about one datagram;
// reading can go on after it.
func (c *Conn) Read() (*Batch, error) {
	b := c.batches.get()
	if err := b.read(c.conn, c.raw, nil); err != nil {
		c.batches.Put(b)
		return nil, err
	}
	return b, nil
}

func (c *Conn) receive(uintptr) bool { return true }
