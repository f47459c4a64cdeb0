package rtmp

import "encoding/binary"

// defaultChunkSize is the size of chunks until the writer announces another one (RTMP 1.0, 5.4.1).
const defaultChunkSize = 128

// extended in the timestamp field means that the timestamp follows in four more bytes (RTMP 1.0, 5.3.1.3).
const extended = 0xffffff

// chunkWriter cuts messages into chunks (RTMP 1.0, 5.3).
//
// Messages of sound and pictures after the first carry the difference in time to the previous one. So streams that last longer than 2^24 ms,
// 4.6 hours, do not need the extended timestamp, which some servers read wrongly in continued chunks.
type chunkWriter struct {
	size int
	last [8]lastHeader // by chunk stream: this package writes only to those below 8
}

// lastHeader contains the fields that the next header of a chunk stream can leave out.
type lastHeader struct {
	used     bool
	streamID uint32
	time     uint32
}

// appendMessage appends a message in chunks. When b is long, spill is called between two chunks: it writes b and returns it empty. With a nil
// spill everything stays in b.
func (w *chunkWriter) appendMessage(b []byte, m outgoing, spill func([]byte) ([]byte, error)) ([]byte, error) {
	b, field := w.appendHeader(b, m)
	room := w.size
	for _, part := range [2][]byte{m.head, m.payload} {
		for len(part) > 0 {
			if room == 0 {
				if spill != nil && len(b) >= spillBytes {
					var err error
					if b, err = spill(b); err != nil {
						return b, err
					}
				}
				b = append(b, 3<<6|byte(m.chunk))
				if field >= extended {
					b = binary.BigEndian.AppendUint32(b, field)
				}
				room = w.size
			}
			n := min(room, len(part))
			b = append(b, part[:n]...)
			part, room = part[n:], room-n
		}
	}
	return b, nil
}

// appendHeader appends the header of the first chunk of a message. It returns the value of the timestamp field, which the other chunks repeat
// if it is extended.
func (w *chunkWriter) appendHeader(b []byte, m outgoing) (header []byte, field uint32) {
	last := &w.last[m.chunk]
	format, field := byte(0), m.time
	// A difference of more than 2^31 means that time went back, which needs a full header.
	if delta := m.time - last.time; last.used && last.streamID == m.streamID && delta < 1<<31 {
		format, field = 1, delta
	}
	if m.chunk == chunkAudio || m.chunk == chunkVideo {
		*last = lastHeader{used: true, streamID: m.streamID, time: m.time}
	}
	size := len(m.head) + len(m.payload)
	b = append(b, format<<6|byte(m.chunk))
	b = appendUint24(b, min(field, extended))
	b = appendUint24(b, uint32(size))
	b = append(b, m.kind)
	if format == 0 {
		b = binary.LittleEndian.AppendUint32(b, m.streamID)
	}
	if field >= extended {
		b = binary.BigEndian.AppendUint32(b, field)
	}
	return b, field
}

func appendUint24(b []byte, v uint32) []byte { return append(b, byte(v>>16), byte(v>>8), byte(v)) }
