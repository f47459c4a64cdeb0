//go:build linux && (amd64 || arm64)

package udp

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
