package worker

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"transponder/internal/media"
)

// ErrProtocol means that the other process sent an invalid message.
var ErrProtocol = errors.New("bad message")

// These are the types of messages.
const (
	typeConfig = 'C' // to the child, first of all: a libav.VideoConfig in JSON
	typeReady  = 'R' // from the child: it is ready for frames; the body is a warning, mostly empty
	typeTrack  = 'T' // both ways: the track of the frames that follow
	typeFrame  = 'F' // both ways
	typeKey    = 'K' // to the child: make the next picture a key frame
	typeStats  = 'S' // from the child: Stats in JSON
	typeShoot  = 'P' // to the child: send the next picture as a file of the Format in the body instead of encoding it; from the child: that file
)

const (
	headerSize = 5
	// maxBody bounds the body of a message: a little more than the largest access unit or PNG of 4K.
	maxBody = 64 << 20

	trackHead = 1 + 2 + 4 + 4 // codec, rotation, width, height
	frameHead = 8 + 8 + 1     // time, delay, key
)

// Stats are the figures of a child since its start.
type Stats struct {
	Dropped int64 // pictures that were not encoded because the child could not keep up
	Damaged int64 // access units that could not be decoded
	NeedKey bool  // decoding can go on only at a key frame
}

// writer writes messages. One goroutine uses it.
type writer struct {
	w     *bufio.Writer
	track *media.Track // of the last frame
}

func newWriter(w io.Writer) *writer { return &writer{w: bufio.NewWriterSize(w, 64<<10)} }

// message writes a header and the parts of a body. It does not flush.
func (w *writer) message(kind byte, parts ...[]byte) error {
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	if size > maxBody {
		return fmt.Errorf("%w: %d bytes are too long", ErrProtocol, size)
	}
	var head [headerSize]byte
	head[0] = kind
	binary.BigEndian.PutUint32(head[1:], uint32(size))
	if _, err := w.w.Write(head[:]); err != nil {
		return err
	}
	for _, p := range parts {
		if _, err := w.w.Write(p); err != nil {
			return err
		}
	}
	return nil
}

// frame writes a frame, after its track if that is new, and flushes.
func (w *writer) frame(f media.Frame) error {
	if f.Track != w.track {
		var head [trackHead]byte
		head[0] = byte(f.Track.Codec)
		binary.BigEndian.PutUint16(head[1:], uint16(f.Track.Rotation))
		binary.BigEndian.PutUint32(head[3:], uint32(f.Track.Width))
		binary.BigEndian.PutUint32(head[7:], uint32(f.Track.Height))
		if err := w.message(typeTrack, head[:], f.Track.Config); err != nil {
			return err
		}
		w.track = f.Track
	}
	var head [frameHead]byte
	binary.BigEndian.PutUint64(head[0:], uint64(f.Time))
	binary.BigEndian.PutUint64(head[8:], uint64(f.Delay))
	if f.Key {
		head[16] = 1
	}
	if err := w.message(typeFrame, head[:], f.Data); err != nil {
		return err
	}
	return w.w.Flush()
}

// object writes a message with a JSON body, and flushes.
func (w *writer) object(kind byte, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := w.message(kind, body); err != nil {
		return err
	}
	return w.w.Flush()
}

// reader reads messages. One goroutine uses it.
type reader struct {
	r     *bufio.Reader
	track *media.Track // of the frames that come
}

func newReader(r io.Reader) *reader { return &reader{r: bufio.NewReaderSize(r, 64<<10)} }

// next reads a message. The caller owns the body.
func (r *reader) next() (kind byte, body []byte, err error) {
	var head [headerSize]byte
	if _, err := io.ReadFull(r.r, head[:]); err != nil {
		return 0, nil, err
	}
	size := binary.BigEndian.Uint32(head[1:])
	if size > maxBody {
		return 0, nil, fmt.Errorf("%w: one of %d bytes", ErrProtocol, size)
	}
	body = make([]byte, size)
	if _, err := io.ReadFull(r.r, body); err != nil {
		return 0, nil, fmt.Errorf("%w: it ends early: %w", ErrProtocol, err)
	}
	return head[0], body, nil
}

// setTrack reads a track.
func (r *reader) setTrack(body []byte) error {
	if len(body) < trackHead {
		return fmt.Errorf("%w: short track", ErrProtocol)
	}
	t := &media.Track{
		Codec:    media.Codec(body[0]),
		Rotation: int(binary.BigEndian.Uint16(body[1:])),
		Width:    int(binary.BigEndian.Uint32(body[3:])),
		Height:   int(binary.BigEndian.Uint32(body[7:])),
	}
	if t.Codec.Kind() != media.Video {
		return fmt.Errorf("%w: track of no picture", ErrProtocol)
	}
	if len(body) > trackHead {
		t.Config = body[trackHead:]
	}
	r.track = t
	return nil
}

// frame reads a frame of the last track.
func (r *reader) frame(body []byte) (media.Frame, error) {
	if len(body) < frameHead || r.track == nil {
		return media.Frame{}, fmt.Errorf("%w: short frame, or one without a track", ErrProtocol)
	}
	return media.Frame{
		Track: r.track,
		Time:  media.Timestamp(binary.BigEndian.Uint64(body)),
		Delay: time.Duration(binary.BigEndian.Uint64(body[8:])),
		Key:   body[16]&1 != 0,
		Data:  body[frameHead:],
	}, nil
}
