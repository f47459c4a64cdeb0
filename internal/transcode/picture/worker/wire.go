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

// ErrProtocol means that the other end sent what no message is.
var ErrProtocol = errors.New("bad message")

// The types of messages.
const (
	typeConfig = 'C' // to the child, the first: a libav.VideoConfig in JSON
	typeReady  = 'R' // from the child: it takes pictures now; the body is a warning, mostly empty
	typeTrack  = 'T' // either way: how the frames that follow are to be read
	typeFrame  = 'F' // either way
	typeKey    = 'K' // to the child: the next picture is to be a key frame
	typeStats  = 'S' // from the child: Stats in JSON
	typeShoot  = 'P' // to the child: the next picture is to be sent as PNG, and not encoded; from the child: that
)

const (
	headerSize = 5
	// maxBody bounds a message: a little more than an access unit may have, and a PNG picture of 4K.
	maxBody = 64 << 20

	trackHead = 1 + 2 + 4 + 4 // codec, rotation, width, height
	frameHead = 8 + 8 + 1     // time, delay, key
)

// Stats are a child's figures.
type Stats struct {
	Skipped int64 // pictures that were left out because it could not keep up
	Damaged int64 // access units that gave nothing
	NeedKey bool  // nothing can be decoded before the next key frame
}

// writer writes messages. It is for one goroutine.
type writer struct {
	w     *bufio.Writer
	track *media.Track // of the last frame
}

func newWriter(w io.Writer) *writer { return &writer{w: bufio.NewWriterSize(w, 64<<10)} }

// message writes a header and the parts of a body, and does not flush.
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

// frame writes a frame, before it its track if that is new, and flushes.
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

// object writes a message whose body is JSON, and flushes.
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

// reader reads messages. It is for one goroutine.
type reader struct {
	r     *bufio.Reader
	track *media.Track // of the frames that come
}

func newReader(r io.Reader) *reader { return &reader{r: bufio.NewReaderSize(r, 64<<10)} }

// next reads a message. Its body is the caller's.
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
