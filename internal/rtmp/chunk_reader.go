package rtmp

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"time"
)

// The limits for a publisher. No encoder sends a key frame of 16 MiB. Common programs use fewer than ten chunk streams, or some dozens with one
// for each track, and rarely leave messages unfinished on more than one chunk stream.
const (
	maxMessage      = 16 << 20
	maxChunkStreams = 128
	maxHeld         = 24 << 20 // of unfinished messages, in all chunk streams
)

// maxCommandHeld is the limit for a client that may not publish yet. Such a client sends only commands, of maxCommand bytes at most.
const maxCommandHeld = 256 << 10

// The limits for a server to which a Client publishes. A command that is too long to be read does not end the connection.
const (
	maxAnswer     = 256 << 10
	maxAnswerHeld = 512 << 10
)

// ownHeld is how much each connection may hold beside the budget: more than most key frames need.
const ownHeld = 512 << 10

// firstPart is how much memory is reserved for a message before its bytes come. It is enough for nearly all messages, and little for a
// message that is announced and never sent.
const firstPart = 64 << 10

// chunkReader reads messages from chunks (RTMP 1.0, 5.3).
type chunkReader struct {
	in         *bufio.Reader
	size       int
	streams    map[uint32]*incoming
	maxMessage int
	maxHeld    int

	held   int       // bytes reserved for unfinished messages
	budget *Budget   // shared with other connections; nil: there is none
	oldest time.Time // when the oldest unfinished message began; zero if there is none
}

// incoming is the state of one chunk stream.
type incoming struct {
	kind     uint8
	streamID uint32
	time     uint32 // of the message
	delta    uint32 // added to the time for a message without a timestamp field
	ext      uint32 // extended timestamp of the last header
	extended bool   // the last header had an extended timestamp
	length   int

	since   time.Time // when the unfinished message began; zero if there is none
	payload []byte
}

func newChunkReader(in *bufio.Reader) *chunkReader {
	return &chunkReader{
		in: in, size: defaultChunkSize, streams: map[uint32]*incoming{}, maxMessage: maxCommand, maxHeld: maxCommandHeld,
	}
}

// expectMedia allows messages of the size of frames.
func (r *chunkReader) expectMedia() { r.maxMessage, r.maxHeld = maxMessage, maxHeld }

// expectAnswers sets the limits for a server.
func (r *chunkReader) expectAnswers() { r.maxMessage, r.maxHeld = maxAnswer, maxAnswerHeld }

// release gives back all memory to the budget. Nothing may be read any more.
func (r *chunkReader) release() {
	r.budget.give(shared(r.held))
	r.held, r.streams = 0, map[uint32]*incoming{}
}

// read returns the next complete message. It follows Set Chunk Size and Abort, and returns these messages too.
func (r *chunkReader) read() (Message, error) {
	for {
		s, err := r.readChunk()
		if err != nil {
			return Message{}, err
		}
		if len(s.payload) < s.length {
			continue
		}
		m := Message{Type: s.kind, StreamID: s.streamID, Time: s.time, Payload: s.payload}
		r.forget(s)
		return m, r.obey(m)
	}
}

// obey follows messages that change how chunks are read.
func (r *chunkReader) obey(m Message) error {
	if m.Type != typeSetChunkSize && m.Type != typeAbort {
		return nil
	}
	if len(m.Payload) < 4 {
		return fmt.Errorf("%w: control message of %d bytes", ErrProtocol, len(m.Payload))
	}
	value := binary.BigEndian.Uint32(m.Payload)
	if m.Type == typeAbort {
		if s := r.streams[value]; s != nil {
			r.forget(s)
		}
		return nil
	}
	if value == 0 || value > 1<<31-1 {
		return fmt.Errorf("%w: chunk size %d", ErrProtocol, value)
	}
	r.size = int(min(value, maxMessage))
	return nil
}

// forget drops the message of a chunk stream.
func (r *chunkReader) forget(s *incoming) {
	r.hold(-cap(s.payload))
	wasOldest := s.since.Equal(r.oldest)
	s.payload, s.since = nil, time.Time{}
	if !wasOldest {
		return
	}
	r.oldest = time.Time{}
	for _, other := range r.streams {
		if !other.since.IsZero() && (r.oldest.IsZero() || other.since.Before(r.oldest)) {
			r.oldest = other.since
		}
	}
}

// hold adds n bytes to the bytes in use; n may be negative. It reports whether there is room.
func (r *chunkReader) hold(n int) bool {
	more := shared(r.held+n) - shared(r.held)
	if more > 0 && !r.budget.take(more) {
		return false
	}
	if more < 0 {
		r.budget.give(-more)
	}
	r.held += n
	return true
}

// shared returns how many of held bytes come from the budget. The others belong to the connection alone, so that nobody can end the stream of
// a publisher by using up the budget.
func shared(held int) int { return max(0, held-ownHeld) }

// readChunk reads one chunk and returns its chunk stream.
func (r *chunkReader) readChunk() (*incoming, error) {
	format, id, err := r.basicHeader()
	if err != nil {
		return nil, err
	}
	s := r.streams[id]
	if s == nil {
		// A chunk stream begins with a full header, but some encoders begin with a header without the message stream id.
		if format > 1 {
			return nil, fmt.Errorf("%w: chunk stream %d begins with a header of type %d", ErrProtocol, id, format)
		}
		if len(r.streams) >= maxChunkStreams {
			return nil, fmt.Errorf("%w: more than %d chunk streams", ErrProtocol, maxChunkStreams)
		}
		s = &incoming{}
		r.streams[id] = s
	}
	if !s.since.IsZero() && format != 3 {
		return nil, fmt.Errorf("%w: a message begins within another", ErrProtocol)
	}
	if err := r.messageHeader(s, format); err != nil {
		return nil, noEOF(err)
	}
	return s, noEOF(r.readPayload(s))
}

// basicHeader reads the format and the chunk stream id of a chunk (RTMP 1.0, 5.3.1.1).
func (r *chunkReader) basicHeader() (format byte, id uint32, err error) {
	b, err := r.in.ReadByte()
	if err != nil {
		return 0, 0, err // an end between two chunks is io.EOF itself
	}
	format, id = b>>6, uint32(b&0x3f)
	if id > 1 {
		return format, id, nil
	}
	low, err := r.in.ReadByte()
	if err != nil {
		return 0, 0, noEOF(err)
	}
	if id == 0 {
		return format, 64 + uint32(low), nil
	}
	high, err := r.in.ReadByte()
	return format, 64 + uint32(low) + uint32(high)<<8, noEOF(err)
}

// headerSizes are the lengths of the message headers of each format (RTMP 1.0, 5.3.1.2).
var headerSizes = [4]int{11, 7, 3, 0}

// messageHeader reads a message header and, if there is one, the extended timestamp.
func (r *chunkReader) messageHeader(s *incoming, format byte) error {
	var h [11]byte
	if _, err := io.ReadFull(r.in, h[:headerSizes[format]]); err != nil {
		return err
	}
	if format == 3 {
		return r.noHeader(s)
	}
	field := uint24(h[:])
	if s.extended = field == extended; s.extended {
		var ext [4]byte
		if _, err := io.ReadFull(r.in, ext[:]); err != nil {
			return err
		}
		field = binary.BigEndian.Uint32(ext[:])
		s.ext = field
	}
	s.delta = field
	if format == 0 {
		s.time = field
		s.streamID = binary.LittleEndian.Uint32(h[7:])
	} else {
		s.time += field
	}
	if format <= 1 {
		s.length, s.kind = int(uint24(h[3:])), h[6]
		if s.length > r.maxMessage {
			return fmt.Errorf("%w: message of %d bytes", ErrProtocol, s.length)
		}
	}
	return r.begin(s)
}

// noHeader handles a chunk of type 3, which continues a message, or begins a message with the header of the last one. Such a chunk repeats the
// extended timestamp (RTMP 1.0, 5.3.1.3), but not all programs do that: it is skipped only if it is there.
func (r *chunkReader) noHeader(s *incoming) error {
	if s.extended {
		b, err := r.in.Peek(4)
		if err != nil {
			return err
		}
		if v := binary.BigEndian.Uint32(b); v == s.ext || v == s.time {
			r.in.Discard(4) // cannot fail: the bytes are there
		}
	}
	if !s.since.IsZero() {
		return nil
	}
	s.time += s.delta
	return r.begin(s)
}

// begin reserves memory for a message.
func (r *chunkReader) begin(s *incoming) error {
	s.since = time.Now()
	if r.oldest.IsZero() {
		r.oldest = s.since
	}
	return r.reserve(s, min(s.length, firstPart))
}

// reserve gives the payload of s a capacity of n bytes.
func (r *chunkReader) reserve(s *incoming, n int) error {
	if n <= cap(s.payload) {
		return nil
	}
	if r.held+n-cap(s.payload) > r.maxHeld {
		return fmt.Errorf("%w: too many unfinished messages", ErrProtocol)
	}
	if !r.hold(n - cap(s.payload)) {
		return fmt.Errorf("%w: the unfinished messages of all connections take too much memory", ErrNoMemory)
	}
	bigger := make([]byte, len(s.payload), n)
	copy(bigger, s.payload)
	s.payload = bigger
	return nil
}

// readPayload reads the part of the message that is in the chunk.
func (r *chunkReader) readPayload(s *incoming) error {
	for left := min(r.size, s.length-len(s.payload)); left > 0; {
		have := len(s.payload)
		if have == cap(s.payload) {
			if err := r.reserve(s, min(2*have, s.length)); err != nil {
				return err
			}
		}
		n := min(left, cap(s.payload)-have)
		s.payload = s.payload[:have+n]
		if _, err := io.ReadFull(r.in, s.payload[have:]); err != nil {
			return err
		}
		left -= n
	}
	return nil
}

// noEOF replaces io.EOF within a chunk by an error that does not look like an orderly end.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func uint24(b []byte) uint32 { return uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2]) }
