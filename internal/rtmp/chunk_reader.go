package rtmp

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"time"
)

// The limits of what a publisher may make us hold. A 16 MiB message is a key frame that no encoder sends; honest peers use
// fewer than ten chunk streams, with a track each some dozens, and rarely leave a message unfinished on more than one.
const (
	maxMessage      = 16 << 20
	maxChunkStreams = 128
	maxHeld         = 24 << 20 // of unfinished messages, in all chunk streams
)

// maxCommandHeld is the limit for a client that has not been granted to publish. It sends commands only, each of which is of maxCommand
// at most.
const maxCommandHeld = 256 << 10

// The limits for a server that we send to. A command that is too long to be looked into ends no push.
const (
	maxAnswer     = 256 << 10
	maxAnswerHeld = 512 << 10
)

// ownHeld is what a peer may hold whatever others do: more than most key frames.
const ownHeld = 512 << 10

// firstPart is how much is reserved for a message before its bytes come: enough for nearly all, and little for a peer that
// only announces.
const firstPart = 64 << 10

// chunkReader puts messages together from chunks (RTMP 1.0, 5.3).
type chunkReader struct {
	in         *bufio.Reader
	size       int
	streams    map[uint32]*incoming
	maxMessage int
	maxHeld    int

	held   int       // bytes reserved for unfinished messages
	budget *Budget   // that they are taken from; nil: of nobody else's
	oldest time.Time // when the oldest unfinished message began; zero if there is none
}

// incoming is the state of one chunk stream.
type incoming struct {
	kind     uint8
	streamID uint32
	time     uint32 // of the message
	delta    uint32 // by which a message without a timestamp field is later
	ext      uint32 // the last header's extended timestamp
	extended bool   // the last header had one
	length   int

	since   time.Time // when the unfinished message began; zero if there is none
	payload []byte
}

func newChunkReader(in *bufio.Reader) *chunkReader {
	return &chunkReader{
		in: in, size: defaultChunkSize, streams: map[uint32]*incoming{}, maxMessage: maxCommand, maxHeld: maxCommandHeld,
	}
}

// expectMedia lets the peer send messages of the size of frames.
func (r *chunkReader) expectMedia() { r.maxMessage, r.maxHeld = maxMessage, maxHeld }

// expectAnswers lets the peer send what servers do.
func (r *chunkReader) expectAnswers() { r.maxMessage, r.maxHeld = maxAnswer, maxAnswerHeld }

// release gives back what is held. Nothing may be read any more.
func (r *chunkReader) release() {
	r.budget.give(shared(r.held))
	r.held, r.streams = 0, map[uint32]*incoming{}
}

// read returns the next whole message. It sees to Set Chunk Size and Abort itself, and returns those too.
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

// obey follows the messages that change how chunks are read.
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

// forget lets go of a chunk stream's message.
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

// hold counts bytes that are held, or are no longer, and says whether there is room for them.
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

// shared is what the budget is asked for of so many bytes: the rest is each peer's own, so that no stranger ends an honest publisher's
// stream by using the budget up.
func shared(held int) int { return max(0, held-ownHeld) }

// readChunk reads one chunk and returns its chunk stream.
func (r *chunkReader) readChunk() (*incoming, error) {
	format, id, err := r.basicHeader()
	if err != nil {
		return nil, err
	}
	s := r.streams[id]
	if s == nil {
		// A chunk stream begins with a full header; some encoders begin with one that leaves the stream id out.
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

// basicHeader reads a chunk's format and chunk stream id (RTMP 1.0, 5.3.1.1).
func (r *chunkReader) basicHeader() (format byte, id uint32, err error) {
	b, err := r.in.ReadByte()
	if err != nil {
		return 0, 0, err // an end between two chunks is a plain io.EOF
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

// noHeader handles a chunk of type 3, which continues a message or begins one like the last. It repeats the extended
// timestamp (RTMP 1.0, 5.3.1.3), but not all writers do so: it is skipped only if it is there.
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

// begin makes room for a message.
func (r *chunkReader) begin(s *incoming) error {
	s.since = time.Now()
	if r.oldest.IsZero() {
		r.oldest = s.since
	}
	return r.reserve(s, min(s.length, firstPart))
}

// reserve lets the payload of s hold n bytes.
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

// readPayload reads the chunk's part of the message.
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

// noEOF turns the end of the bytes within a chunk into an error that is not taken for an orderly end.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func uint24(b []byte) uint32 { return uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2]) }
