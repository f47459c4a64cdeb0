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
	// chunkSize is the size of the chunks that are sent. It is the number of FFmpeg, so every server has met it. It is larger than nearly
	// all messages, so most frames are one chunk. SRS complains above 65536.
	chunkSize = 60000

	// ackWindow is after how many bytes the other side shall acknowledge: two seconds of a stream of 400 kbit/s, so that most servers
	// acknowledge something within 5 s. A faster stream gets a few more of these small messages.
	ackWindow = 100_000

	// peerWindow is after how many bytes this side acknowledges until the other side names a number.
	peerWindow = 2_500_000

	// readBuffer is the buffer for chunk headers and small messages; larger payloads are read directly.
	readBuffer = 4 << 10

	// spillBytes is the size at which a batch is written before it is complete. It bounds the memory of a connection.
	spillBytes = 128 << 10

	// maxPending bounds the answers that wait until the connection is writable.
	maxPending = 64 << 10
)

// conn is the part that client and server share: reading and writing messages, and the messages about the connection itself.
//
// Lock order: writing, then pendingMu.
type conn struct {
	rw io.ReadWriter

	chunks   *chunkReader // owned by the reading goroutine
	window   int64        // owned by the reading goroutine; after so many bytes the other side wants an acknowledgement
	ackSent  int64        // owned by the reading goroutine; the value of received in the last acknowledgement
	received atomic.Int64

	writing  sync.Mutex  // held through Write, so that messages are not mixed
	writer   chunkWriter // guarded by writing
	writeErr error       // guarded by writing; after an error the last message on the wire is incomplete

	pendingMu sync.Mutex
	pending   []byte // guarded by pendingMu; answers in chunks, which the next writer sends
	outSize   int    // guarded by pendingMu; the chunk size of new bytes in pending

	acks ackTally               // owned by the reading goroutine
	ping atomic.Pointer[uint32] // sent after the next tags; nil: there is none

	onAck    func(int64)  // may be nil
	onAnswer func(uint32) // may be nil

	begun, sent, acked atomic.Int64 // bytes that Write was called with, that Write took, that were acknowledged
}

func newConn(rw io.ReadWriter) *conn {
	c := &conn{rw: rw, window: peerWindow, writer: chunkWriter{size: defaultChunkSize}, outSize: defaultChunkSize}
	c.chunks = newChunkReader(bufio.NewReaderSize(countingReader{c}, readBuffer))
	return c
}

// countingReader counts the bytes that are read from the connection.
type countingReader struct{ c *conn }

func (r countingReader) Read(b []byte) (int, error) {
	if err := r.c.acknowledge(); err != nil {
		return 0, err
	}
	n, err := r.c.rw.Read(b)
	r.c.received.Add(int64(n))
	return n, err
}

// countingWriter counts the bytes that are written to the connection.
type countingWriter struct{ c *conn }

func (w countingWriter) Write(b []byte) (int, error) {
	w.c.begun.Add(int64(len(b))) // the other side may acknowledge them before Write returns
	n, err := w.c.rw.Write(b)
	w.c.sent.Add(int64(n))
	return n, err
}

// BytesSent returns the bytes written to the connection so far.
func (c *conn) BytesSent() int64 { return c.sent.Load() }

// BytesReceived returns the bytes read from the connection so far.
func (c *conn) BytesReceived() int64 { return c.received.Load() }

// BytesAcked is described at Client.BytesAcked.
func (c *conn) BytesAcked() int64 { return min(c.acked.Load(), c.sent.Load()) }

// next returns the next message that is not about the connection itself, and follows the others.
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

// unreader is a connection that knows how many bytes have arrived and were not read.
type unreader interface{ Unread() int }

// acknowledge sends an acknowledgement if the window is full. While there are bytes to read it sends none: the other side does not wait for it,
// and may have sent everything and closed the connection. Then its kernel would answer the acknowledgement with a reset, and throw away what
// it has not sent yet.
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

// obey follows a protocol or user control message. Set Peer Bandwidth is ignored: TCP already
// limits how much may be sent ahead.
func (c *conn) obey(m Message) error {
	switch m.Type {
	case typeAck, typeWindowAckSize:
		if len(m.Payload) < 4 {
			return nil // the message is too short, and framing does not depend on it
		}
		value := binary.BigEndian.Uint32(m.Payload)
		if m.Type == typeAck {
			c.acked.Store(c.acks.take(value, c.begun.Load()))
			if c.onAck != nil {
				c.onAck(c.acked.Load())
			}
		} else {
			c.window = int64(max(value, 1<<10)) // a smaller window would need an answer to every packet
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

// post sends messages that are not media, in order and in one Write. It does not wait for another goroutine that is writing: that goroutine
// sends them after its own messages. So the goroutine that reads is never delayed by a slow receiver.
func (c *conn) post(messages ...outgoing) error {
	c.pendingMu.Lock()
	for _, m := range messages {
		w := chunkWriter{size: c.outSize} // commands have full headers, so no state is needed
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

// flush sends pending messages, unless another goroutine is writing.
func (c *conn) flush() error {
	for c.hasPending() {
		if !c.writing.TryLock() {
			return nil // the goroutine that holds writing looks again after it unlocked
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

// writePending sends pending messages. The caller holds writing.
func (c *conn) writePending() error {
	c.pendingMu.Lock()
	b := c.pending
	c.pending = nil
	c.writer.size = c.outSize
	c.pendingMu.Unlock()
	return c.write(b)
}

// write writes b to the connection. The caller holds writing.
func (c *conn) write(b []byte) error {
	if c.writeErr != nil {
		return c.writeErr
	}
	_, c.writeErr = countingWriter{c}.Write(b)
	return c.writeErr
}

// writeTags sends tags on a message stream in one Write, or in several if they are large.
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
		w := chunkWriter{size: c.writer.size} // with a full header, as for pending answers
		b, _ = w.appendMessage(b, userControl(eventPingRequest, *ping), nil)
	}
	if len(b) == 0 {
		return nil
	}
	return c.write(b)
}

// scratches are buffers in which batches are put together. They are shared, so that not every connection keeps a buffer of the size of a key
// frame.
var scratches = sync.Pool{New: func() any { return new([]byte) }}

// spill writes a batch that has become large. The caller holds writing.
func (c *conn) spill(b []byte) ([]byte, error) { return b[:0], c.write(b) }
