package rtmp

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"transponder/internal/flv"
)

const (
	// chunkSize is what our chunks hold: FFmpeg's own number, which every server has met. Larger than nearly all messages,
	// so a frame is one chunk; SRS complains above 65536.
	chunkSize = 60000

	// ackWindow is how many bytes the peer may receive before it acknowledges: two seconds of a 400 kbit/s stream, so that most
	// peers give a sign of life within 5 s. A faster stream gets a few more of these small messages.
	ackWindow = 100_000

	// peerWindow is after how many bytes we acknowledge while the peer has not said so.
	peerWindow = 2_500_000

	// readBuffer holds the chunk headers and small messages; larger payloads are read past it.
	readBuffer = 4 << 10

	// spillBytes is when a batch is written before it is complete. It bounds the memory of a connection.
	spillBytes = 128 << 10

	// maxPending bounds the answers that wait for the connection to be writable.
	maxPending = 64 << 10
)

// conn is what both sides share: messages in and out, and the messages that are about the connection itself.
//
// Lock order: writing, then pendingMu.
type conn struct {
	rw io.ReadWriter

	chunks   *chunkReader // owned by the reading goroutine
	window   int64        // likewise: the peer wants an acknowledgement this often
	ackSent  int64        // likewise: received when we last acknowledged
	received atomic.Int64

	writing  sync.Mutex  // held through Write: messages go out whole
	writer   chunkWriter // guarded by writing
	writeErr error       // guarded by writing; after it the bytes on the wire are cut

	pendingMu sync.Mutex
	pending   []byte // guarded by pendingMu; answers in chunks, sent by whoever writes next
	outSize   int    // guarded by pendingMu; the chunk size of what is put into pending

	acks ackTally               // owned by the reading goroutine
	ping atomic.Pointer[uint32] // goes out behind the next tags; nil: none does

	onAck    func(int64)  // may be nil
	onAnswer func(uint32) // likewise

	begun, sent, acked atomic.Int64 // bytes: of which the writing has begun, handed over, acknowledged
}

func newConn(rw io.ReadWriter) *conn {
	c := &conn{rw: rw, window: peerWindow, writer: chunkWriter{size: defaultChunkSize}, outSize: defaultChunkSize}
	c.chunks = newChunkReader(bufio.NewReaderSize(countingReader{c}, readBuffer))
	return c
}

// countingReader counts what comes from the connection.
type countingReader struct{ c *conn }

func (r countingReader) Read(b []byte) (int, error) {
	if err := r.c.acknowledge(); err != nil {
		return 0, err
	}
	n, err := r.c.rw.Read(b)
	r.c.received.Add(int64(n))
	return n, err
}

// countingWriter counts what goes to the connection.
type countingWriter struct{ c *conn }

func (w countingWriter) Write(b []byte) (int, error) {
	w.c.begun.Add(int64(len(b))) // the peer may acknowledge them before Write returns
	n, err := w.c.rw.Write(b)
	w.c.sent.Add(int64(n))
	return n, err
}

// BytesSent returns the bytes handed to the connection so far.
func (c *conn) BytesSent() int64 { return c.sent.Load() }

// BytesReceived returns the bytes that came from the connection so far.
func (c *conn) BytesReceived() int64 { return c.received.Load() }

// BytesAcked returns the bytes that the peer has acknowledged, as far as it can be understood, and never more than BytesSent. It
// stays 0 with peers that never acknowledge. Whether they count the handshake differs from peer to peer.
func (c *conn) BytesAcked() int64 { return min(c.acked.Load(), c.sent.Load()) }

// next returns the next message that is not about the connection itself.
func (c *conn) next() (Message, error) {
	for {
		m, err := c.chunks.read()
		if err != nil {
			return Message{}, err
		}
		if m.Type > typePeerBandwidth {
			return m, nil
		}
		if err := c.obey(m); err != nil {
			return Message{}, err
		}
	}
}

// unreader is a connection that knows how many bytes have come and have not been read.
type unreader interface{ Unread() int }

// acknowledge tells the peer how much has come, once a window is full. While more is there to be read the peer does not wait to be
// told; it may even have sent all it has and closed the connection. Its kernel would answer the acknowledgement with a reset then, and
// throw away what it has not sent yet.
func (c *conn) acknowledge() error {
	received := c.received.Load()
	if received-c.ackSent < c.window {
		return nil
	}
	if u, ok := c.rw.(unreader); ok && u.Unread() > 0 {
		return nil
	}
	c.ackSent = received
	return c.post(control(typeAck, uint32(received)))
}

// obey follows a protocol or user control message. What the peer lets us send (Set Peer Bandwidth) is left to TCP.
func (c *conn) obey(m Message) error {
	switch m.Type {
	case typeAck, typeWindowAckSize:
		if len(m.Payload) < 4 {
			return nil // it says nothing, and framing does not depend on it
		}
		value := binary.BigEndian.Uint32(m.Payload)
		if m.Type == typeAck {
			c.acked.Store(c.acks.take(value, c.begun.Load()))
			if c.onAck != nil {
				c.onAck(c.acked.Load())
			}
		} else {
			c.window = int64(max(value, 1<<10)) // a smaller one would have us answer every packet
		}
	case typeUserControl:
		if len(m.Payload) < 6 {
			return nil
		}
		switch value := binary.BigEndian.Uint32(m.Payload[2:]); binary.BigEndian.Uint16(m.Payload) {
		case eventPingRequest:
			return c.post(userControl(eventPingResponse, value))
		case eventPingResponse:
			if c.onAnswer != nil {
				c.onAnswer(value)
			}
		}
	}
	return nil
}

// post sends messages that are not media, in order and in one Write. It does not wait for a goroutine that is writing:
// that one sends them after its own, so that a reader is never held up by a slow peer.
func (c *conn) post(messages ...outgoing) error {
	c.pendingMu.Lock()
	for _, m := range messages {
		w := chunkWriter{size: c.outSize} // commands have full headers: nothing to remember
		c.pending, _ = w.appendMessage(c.pending, m, nil)
		if m.kind == typeSetChunkSize {
			c.outSize = int(binary.BigEndian.Uint32(m.payload))
		}
	}
	full := len(c.pending) > maxPending
	c.pendingMu.Unlock()
	if full {
		return fmt.Errorf("%w: the peer asks faster than it takes answers", ErrProtocol)
	}
	return c.flush()
}

// flush sends what is pending, unless another goroutine is writing.
func (c *conn) flush() error {
	for c.hasPending() {
		if !c.writing.TryLock() {
			return nil // its holder looks again after it let go
		}
		err := c.writePending()
		c.writing.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *conn) hasPending() bool {
	c.pendingMu.Lock()
	defer c.pendingMu.Unlock()
	return len(c.pending) > 0
}

// writePending sends what is pending. The caller holds writing.
func (c *conn) writePending() error {
	c.pendingMu.Lock()
	b := c.pending
	c.pending = nil
	c.writer.size = c.outSize
	c.pendingMu.Unlock()
	return c.write(b)
}

// write hands b to the connection. The caller holds writing.
func (c *conn) write(b []byte) error {
	if c.writeErr != nil {
		return c.writeErr
	}
	_, c.writeErr = countingWriter{c}.Write(b)
	return c.writeErr
}

// writeTags sends tags on a message stream in one Write, or in several when they are large.
func (c *conn) writeTags(streamID uint32, tags []flv.Tag) error {
	if err := c.writeTagsOnly(streamID, tags); err != nil {
		return err
	}
	return c.flush()
}

func (c *conn) writeTagsOnly(streamID uint32, tags []flv.Tag) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	scratch := scratches.Get().(*[]byte)
	defer scratches.Put(scratch)
	b := (*scratch)[:0]
	defer func() { *scratch = b }()
	var err error
	for i := range tags {
		t := &tags[i]
		if len(b) >= spillBytes {
			if b, err = c.spill(b); err != nil {
				return err
			}
		}
		m := outgoing{
			chunk: mediaChunk(t.Type), kind: t.Type, streamID: streamID,
			time: t.Time, head: t.Head(), payload: t.Payload,
		}
		if b, err = c.writer.appendMessage(b, m, c.spill); err != nil {
			return err
		}
	}
	if ping := c.ping.Swap(nil); ping != nil {
		w := chunkWriter{size: c.writer.size} // with a full header, as pending answers have
		b, _ = w.appendMessage(b, userControl(eventPingRequest, *ping), nil)
	}
	if len(b) == 0 {
		return nil
	}
	return c.write(b)
}

// scratches are the buffers that batches are written from. They are shared, so that not every connection keeps one of a key
// frame's size.
var scratches = sync.Pool{New: func() any { return new([]byte) }}

// spill writes a batch that has become large. The caller holds writing.
func (c *conn) spill(b []byte) ([]byte, error) { return b[:0], c.write(b) }
