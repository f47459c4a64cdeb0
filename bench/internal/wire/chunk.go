// Package wire is the receiving half of an RTMP server: enough to accept
// publishers of every kind and to hand on their messages.
package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
)

// Message types.
const (
	TypeSetChunkSize  = 1
	TypeAbort         = 2
	TypeAck           = 3
	TypeUserControl   = 4
	TypeWindowAckSize = 5
	TypePeerBandwidth = 6
	TypeAudio         = 8
	TypeVideo         = 9
	TypeDataAMF3      = 15
	TypeCommandAMF3   = 17
	TypeDataAMF0      = 18
	TypeCommandAMF0   = 20
)

const (
	maxMessage       = 16 << 20
	maxChunkSize     = 1 << 24
	noTimestamp      = 0xffffff // the timestamp is in the extended field
	defaultChunkSize = 128
	outChunkSize     = 4096
	ackWindow        = 2500000
)

// Message is one RTMP message. Payload is only valid until the next one is
// read.
type Message struct {
	Type      uint8
	StreamID  uint32
	Timestamp uint32
	Payload   []byte
}

// chunkStream is the state of one chunk stream between two chunks.
type chunkStream struct {
	msg      Message
	delta    uint32
	length   int
	extended bool
	got      int
}

type conn struct {
	net      net.Conn
	r        *bufio.Reader
	streams  map[uint32]*chunkStream
	chunk    int
	read     uint64
	acked    uint64
	window   uint64
	outChunk int
	out      []byte
}

func newConn(c net.Conn) *conn {
	return &conn{
		net: c, r: bufio.NewReaderSize(c, 64<<10), streams: map[uint32]*chunkStream{},
		chunk: defaultChunkSize, outChunk: defaultChunkSize, window: ackWindow,
	}
}

func (c *conn) handshake() error {
	const size = 1536
	var c0c1 [1 + size]byte
	if _, err := io.ReadFull(c.r, c0c1[:]); err != nil {
		return err
	}
	if c0c1[0] != 3 {
		return fmt.Errorf("version %d", c0c1[0])
	}
	reply := make([]byte, 1+size, 1+2*size)
	reply[0] = 3
	reply = append(reply, c0c1[1:]...)
	if _, err := c.net.Write(reply); err != nil {
		return err
	}
	_, err := io.CopyN(io.Discard, c.r, size)
	return err
}

// readMessage returns the next whole message. It handles messages of the
// chunk layer itself.
func (c *conn) readMessage() (Message, error) {
	for {
		cs, err := c.readChunk()
		if err != nil {
			return Message{}, err
		}
		if c.read-c.acked >= c.window {
			c.acked = c.read
			if err := c.write(2, TypeAck, 0, binary.BigEndian.AppendUint32(nil, uint32(c.read))); err != nil {
				return Message{}, err
			}
		}
		if cs == nil {
			continue
		}
		m := cs.msg
		switch m.Type {
		case TypeSetChunkSize:
			if len(m.Payload) < 4 {
				return m, errors.New("short chunk size")
			}
			n := binary.BigEndian.Uint32(m.Payload) & 0x7fffffff
			if n < 1 || n > maxChunkSize {
				return m, fmt.Errorf("chunk size %d", n)
			}
			c.chunk = int(n)
		case TypeWindowAckSize:
			if len(m.Payload) >= 4 {
				if n := binary.BigEndian.Uint32(m.Payload); n > 0 {
					c.window = uint64(n)
				}
			}
		case TypeAbort, TypeAck, TypePeerBandwidth:
		default:
			return m, nil
		}
	}
}

// readChunk reads one chunk, and returns its stream if it ended a message.
func (c *conn) readChunk() (*chunkStream, error) {
	first, err := c.byte()
	if err != nil {
		return nil, err
	}
	format, id := first>>6, uint32(first&0x3f)
	switch id {
	case 0:
		b, err := c.byte()
		if err != nil {
			return nil, err
		}
		id = 64 + uint32(b)
	case 1:
		b, err := c.bytes(2)
		if err != nil {
			return nil, err
		}
		id = 64 + uint32(b[0]) + uint32(b[1])<<8
	}
	cs := c.streams[id]
	if cs == nil {
		if format == 3 {
			return nil, errors.New("chunk of an unknown message")
		}
		cs = &chunkStream{}
		c.streams[id] = cs
	}
	fresh := cs.got == 0
	if format < 3 {
		b, err := c.bytes([3]int{11, 7, 3}[format])
		if err != nil {
			return nil, err
		}
		stamp := uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2])
		if format < 2 {
			cs.length = int(b[3])<<16 | int(b[4])<<8 | int(b[5])
			cs.msg.Type = b[6]
		}
		if format == 0 {
			cs.msg.StreamID = binary.LittleEndian.Uint32(b[7:])
		}
		if cs.extended = stamp == noTimestamp; cs.extended {
			if stamp, err = c.uint32(); err != nil {
				return nil, err
			}
		}
		if format == 0 {
			cs.msg.Timestamp = stamp
		} else {
			cs.msg.Timestamp += stamp
		}
		cs.delta = stamp
	} else {
		if cs.extended {
			if _, err := c.uint32(); err != nil {
				return nil, err
			}
		}
		if fresh {
			cs.msg.Timestamp += cs.delta
		}
	}
	if cs.length > maxMessage {
		return nil, fmt.Errorf("message of %d bytes", cs.length)
	}
	if fresh {
		if cap(cs.msg.Payload) < cs.length {
			cs.msg.Payload = make([]byte, cs.length, cs.length+cs.length/2)
		}
		cs.msg.Payload = cs.msg.Payload[:cs.length]
	}
	n := min(c.chunk, cs.length-cs.got)
	if n < 0 {
		return nil, errors.New("message shrank")
	}
	if _, err := io.ReadFull(c.r, cs.msg.Payload[cs.got:cs.got+n]); err != nil {
		return nil, err
	}
	c.read += uint64(n)
	cs.got += n
	if cs.got < cs.length {
		return nil, nil
	}
	cs.got = 0
	return cs, nil
}

func (c *conn) byte() (byte, error) {
	b, err := c.r.ReadByte()
	c.read++
	return b, err
}

// bytes returns the next n bytes, valid until the next read.
func (c *conn) bytes(n int) ([]byte, error) {
	b, err := c.r.Peek(n)
	if err != nil {
		return nil, err
	}
	c.read += uint64(n)
	_, err = c.r.Discard(n)
	return b, err
}

func (c *conn) uint32() (uint32, error) {
	b, err := c.bytes(4)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint32(b), nil
}

// write sends one message; all of ours are small and carry no time.
func (c *conn) write(chunkStreamID uint8, kind uint8, streamID uint32, payload []byte) error {
	n := len(payload)
	b := append(c.out[:0], chunkStreamID, 0, 0, 0, byte(n>>16), byte(n>>8), byte(n), kind)
	b = binary.LittleEndian.AppendUint32(b, streamID)
	for first := true; first || len(payload) > 0; first = false {
		if !first {
			b = append(b, 3<<6|chunkStreamID)
		}
		part := payload[:min(len(payload), c.outChunk)]
		b = append(b, part...)
		payload = payload[len(part):]
	}
	c.out = b
	_, err := c.net.Write(b)
	return err
}
