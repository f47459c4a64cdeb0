package rtmp

import (
	"encoding/binary"

	"transponder/internal/flv"
)

// The message types (RTMP 1.0, 5.4 and 7.1) that package flv does not name.
const (
	typeSetChunkSize  uint8 = 1
	typeAbort         uint8 = 2
	typeAck           uint8 = 3
	typeUserControl   uint8 = 4
	typeWindowAckSize uint8 = 5
	typePeerBandwidth uint8 = 6
	typeDataAMF3      uint8 = 15
	typeCommandAMF3   uint8 = 17
	typeCommand       uint8 = 20
	typeAggregate     uint8 = 22
)

// The events of user control messages (RTMP 1.0, 7.1.7).
const (
	eventStreamBegin  uint16 = 0
	eventStreamEOF    uint16 = 1
	eventPingRequest  uint16 = 6
	eventPingResponse uint16 = 7
)

// The chunk streams for writing. The specification fixes only 2 (5.4); the others are those of common publishers.
const (
	chunkControl = 2
	chunkCommand = 3
	chunkAudio   = 4
	chunkStream  = 5 // data and the commands of a stream
	chunkVideo   = 6
)

// Message is a complete message that was received.
type Message struct {
	Type     uint8
	StreamID uint32
	Time     uint32 // milliseconds, modulo 2^32
	Payload  []byte // the receiver may keep it
}

// outgoing is a message to be written.
type outgoing struct {
	chunk    uint32
	kind     uint8
	streamID uint32
	time     uint32
	head     []byte
	payload  []byte
}

// mediaChunk returns the chunk stream for a type of tag. Sound and pictures have one each: so time does not go back within a chunk stream, and
// differences can be sent.
func mediaChunk(kind uint8) uint32 {
	switch kind {
	case flv.TypeAudio:
		return chunkAudio
	case flv.TypeVideo:
		return chunkVideo
	default:
		return chunkStream
	}
}

// control makes a protocol control message with one 32-bit number.
func control(kind uint8, value uint32) outgoing {
	return outgoing{chunk: chunkControl, kind: kind, payload: binary.BigEndian.AppendUint32(nil, value)}
}

// userControl makes a user control message with one 32-bit number.
func userControl(event uint16, value uint32) outgoing {
	b := binary.BigEndian.AppendUint16(nil, event)
	return outgoing{chunk: chunkControl, kind: typeUserControl, payload: binary.BigEndian.AppendUint32(b, value)}
}
