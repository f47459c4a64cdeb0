//go:build cgo

package libav

/*
#cgo noescape tp_video_decoder_send
#cgo nocallback tp_video_decoder_send
#cgo noescape tp_video_decoder_receive
#cgo nocallback tp_video_decoder_receive
#cgo noescape tp_canvas_draw
#cgo nocallback tp_canvas_draw
#include <stdlib.h>
#include "video.h"
*/
import "C"

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"image"
	"math"
	"unsafe"

	"transponder/internal/media"
)

// maxPending is how many decoded pictures may wait.
const maxPending = 32

// videoDecoders names the decoders of libavcodec, which need no special hardware.
var videoDecoders = map[media.Codec]string{
	media.H264: "h264",
	media.H265: "hevc",
	media.VP8:  "vp8",
	media.VP9:  "vp9",
	media.AV1:  "libdav1d",
}

// Video decodes pictures of H.264, HEVC, VP8, VP9 or AV1 and encodes them as H.264 or VP8. It adds no delay: each decoded
// picture can be encoded at once, and its frame comes out at once. Track, codec and size may change at any time.
type Video struct {
	cfg VideoConfig

	track   *media.Track
	decoder *C.tp_video_decoder
	waiting bool // for a key frame
	pending []picture

	canvas   *C.tp_canvas
	drawn    bool // there is a picture on the canvas
	encoding encoding
	encoder  *C.tp_video_encoder
	output   *media.Track
	pace     pace

	stats  VideoStats
	closed bool
}

// picture is a decoded picture.
type picture struct {
	c        C.tp_picture
	rotation int
}

// time returns when the picture is shown.
func (p *picture) time() media.Timestamp { return media.Timestamp(p.c.time) }

// size returns the size of the picture as it is shown, after rotation.
func (p *picture) size() (width, height int) {
	if p.rotation == 90 || p.rotation == 270 {
		return int(p.c.height), int(p.c.width)
	}
	return int(p.c.width), int(p.c.height)
}

// encoding describes the pictures for which an encoder was opened.
type encoding struct {
	width, height int
	matrix        C.int
}

// NewVideo returns a Video.
func NewVideo(cfg VideoConfig) (*Video, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("transcode pictures: %w", err)
	}
	cfg.Codec = cmp.Or(cfg.Codec, media.H264)
	cfg.Preset = cmp.Or(cfg.Preset, defaultPreset)
	cfg.Threads = cmp.Or(cfg.Threads, 1)
	cfg.KeyFrameTime = cmp.Or(cfg.KeyFrameTime, defaultKeyFrameTime)
	cfg.Buffer = cmp.Or(cfg.Buffer, defaultBuffer)
	canvas := C.tp_canvas_new()
	if canvas == nil {
		return nil, errors.New("transcode pictures: no memory")
	}
	return &Video{cfg: cfg, canvas: canvas, pace: newPace(cfg)}, nil
}

// Decode takes one access unit. The decoded pictures wait for Encode: none, one, or several if the source has B-frames. At
// most maxPending wait. If a frame cannot be decoded, Decode counts it and fails with ErrKeyFrame, also for the frames that
// follow, until a key frame comes. It fails with ErrUnsupported for a track of an unknown codec.
func (v *Video) Decode(f media.Frame) error {
	if v.closed {
		return ErrClosed
	}
	if err := v.follow(f.Track); err != nil {
		return err
	}
	if v.waiting && !f.Key {
		v.stats.Damaged++
		return ErrKeyFrame
	}
	if len(f.Data) == 0 {
		return nil
	}
	v.waiting = false
	r := C.tp_video_decoder_send(v.decoder, bytesPtr(f.Data), C.int(len(f.Data)), C.int64_t(f.Time.Add(f.Delay)))
	damaged := v.stats.Damaged
	if bad := v.receive(); r >= 0 {
		r = bad
	}
	switch {
	case r < 0:
		v.stats.Damaged++
		v.waiting = true
		return fmt.Errorf("decode %v picture: %w: %w", f.Track.Codec, ErrKeyFrame, avError(r))
	case v.stats.Damaged > damaged:
		// The frames that follow are tried: an open GOP begins with pictures that cannot be decoded without the GOP before it.
		return ErrKeyFrame
	default:
		return nil
	}
}

// follow opens another decoder if the track needs it.
func (v *Video) follow(t *media.Track) error {
	old := v.track
	if t == old {
		return nil
	}
	if old != nil && v.decoder != nil && t.Codec == old.Codec && bytes.Equal(decoderConfig(t), decoderConfig(old)) {
		v.track = t // only the rotation may differ
		return nil
	}
	name, known := videoDecoders[t.Codec]
	if !known {
		return fmt.Errorf("%w: %v", ErrUnsupported, t.Codec)
	}
	v.drain()
	v.track = t
	cname := C.CString(name)
	defer C.free(unsafe.Pointer(cname))
	config := decoderConfig(t)
	if r := C.tp_video_decoder_new(&v.decoder, cname, bytesPtr(config), C.int(len(config)), MaxPixels); r < 0 {
		v.track = nil
		return fmt.Errorf("open %v decoder: %w: %w", t.Codec, ErrUnsupported, avError(r))
	}
	v.waiting = true
	return nil
}

// decoderConfig returns the configuration of the track for codecs whose access units do not repeat it.
func decoderConfig(t *media.Track) []byte {
	if t.Codec == media.H264 || t.Codec == media.H265 {
		return t.Config
	}
	return nil
}

// drain takes the last pictures of the decoder and closes it.
func (v *Video) drain() {
	if v.decoder == nil {
		return
	}
	C.tp_video_decoder_send(v.decoder, nil, 0, 0)
	v.receive()
	C.tp_video_decoder_free(v.decoder)
	v.decoder = nil
}

// receive takes all pictures that the decoder has ready, except those that it had to invent. It returns the decoder's error.
func (v *Video) receive() C.int {
	for {
		p := picture{rotation: v.track.Rotation}
		r := C.tp_video_decoder_receive(v.decoder, &p.c)
		if r <= 0 {
			return r
		}
		if p.c.damaged != 0 {
			C.tp_picture_free(&p.c)
			v.stats.Damaged++
			continue
		}
		v.keep(p)
	}
}

// keep adds a picture to those that wait.
func (v *Video) keep(p picture) {
	v.stats.Decoded++
	if n := len(v.pending); n > 0 && v.pending[n-1].c.time == p.c.time {
		// If an access unit has several layers, the last one is the best.
		C.tp_picture_free(&v.pending[n-1].c)
		v.pending[n-1] = p
		return
	}
	v.pending = append(v.pending, p)
	if len(v.pending) > maxPending {
		v.Drop()
	}
}

// Pending returns how many decoded pictures wait for Encode.
func (v *Video) Pending() int { return len(v.pending) }

// Drop drops the decoded picture that has waited longest, for a caller that falls behind.
func (v *Video) Drop() {
	if p, ok := v.take(); ok {
		C.tp_picture_free(&p.c)
		v.stats.Dropped++
	}
}

func (v *Video) take() (picture, bool) {
	if len(v.pending) == 0 {
		return picture{}, false
	}
	p := v.pending[0]
	v.pending = v.pending[:copy(v.pending, v.pending[1:])]
	return p, true
}

// Encode encodes the picture that has waited longest and calls each for every access unit: one, or with a constant frame rate
// none or several. each owns their Data; their Track changes only with a key frame. If key is set, the next one is a key
// frame. Encode stops at the first error and returns it.
func (v *Video) Encode(key bool, each func(media.Frame) error) error {
	if v.closed {
		return ErrClosed
	}
	if key {
		v.pace.wantKey = true
	}
	p, ok := v.take()
	if !ok {
		return nil
	}
	defer C.tp_picture_free(&p.c)
	repeats, shown := v.pace.picture(p.time())
	if !shown {
		v.stats.Dropped++
		return nil
	}
	for range repeats {
		if !v.drawn || v.encoder == nil {
			break
		}
		if err := v.encode(each); err != nil {
			return err
		}
	}
	if err := v.draw(&p); err != nil {
		return err
	}
	return v.encode(each)
}

// Snapshot returns the picture that has waited longest, and does not encode it.
func (v *Video) Snapshot() (*image.NRGBA, error) {
	if v.closed {
		return nil, ErrClosed
	}
	p, ok := v.take()
	if !ok {
		return nil, errors.New("no picture waits")
	}
	defer C.tp_picture_free(&p.c)
	as, err := v.paint(&p)
	if err != nil {
		return nil, err
	}
	shot := image.NewNRGBA(image.Rect(0, 0, as.width, as.height))
	if r := C.tp_canvas_rgba(v.canvas, as.matrix, bytesPtr(shot.Pix)); r < 0 {
		return nil, fmt.Errorf("convert a picture: %w", avError(r))
	}
	return shot, nil
}

// draw draws the picture on the canvas and opens another encoder if the picture needs it.
func (v *Video) draw(p *picture) error {
	as, err := v.paint(p)
	if err != nil {
		return err
	}
	return v.prepare(as)
}

// paint draws the picture on the canvas, and returns which encoding it needs.
func (v *Video) paint(p *picture) (encoding, error) {
	width, height := p.size()
	l := C.tp_layout{rotation: C.int(p.rotation)}
	w, h := v.cfg.Size(width, height)
	if w*h > MaxPixels {
		return encoding{}, fmt.Errorf("%w: pictures of %dx%d", ErrUnsupported, w, h)
	}
	left, top, innerWidth, innerHeight := 0, 0, w, h
	if v.cfg.Letterbox {
		left, top, innerWidth, innerHeight = fit(w, h, width, height)
	}
	l.width, l.height, l.left, l.top = C.int(w), C.int(h), C.int(left), C.int(top)
	l.inner_width, l.inner_height = C.int(innerWidth), C.int(innerHeight)
	p.c.matrix = v.matrix(p, w, h)
	v.drawn = false
	if r := C.tp_canvas_draw(v.canvas, &p.c, &l); r < 0 {
		return encoding{}, fmt.Errorf("scale a picture: %w", avError(r))
	}
	v.drawn = true
	return encoding{width: w, height: h, matrix: p.c.matrix}, nil
}

// matrix returns the coefficients that turn the colours of the picture into RGB. If the stream does not name them, they are
// what players assume for the size of the picture. A source that changes its size keeps the coefficients of its first size,
// as browsers do that adapt to a link.
func (v *Video) matrix(p *picture, width, height int) C.int {
	switch {
	case p.c.matrix != C.AVCOL_SPC_UNSPECIFIED:
		return p.c.matrix
	case v.encoder != nil && v.encoding.width == width && v.encoding.height == height:
		return v.encoding.matrix
	case max(p.c.width, p.c.height) >= 1280 || min(p.c.width, p.c.height) > 576:
		return C.AVCOL_SPC_BT709
	default:
		return C.AVCOL_SPC_SMPTE170M
	}
}

// prepare opens an encoder for the canvas.
func (v *Video) prepare(as encoding) error {
	if v.encoder != nil && v.encoding == as {
		return nil
	}
	C.tp_video_encoder_free(v.encoder)
	v.encoder = nil
	var claimed float64
	if v.decoder != nil {
		claimed = float64(C.tp_video_decoder_rate(v.decoder))
	}
	num, den := v.pace.begin(claimed)
	rate, buffer := v.rate(as)
	preset := C.CString(v.cfg.Preset)
	defer C.free(unsafe.Pointer(preset))
	var vp8 C.int
	if v.cfg.Codec == media.VP8 {
		vp8 = 1
	}
	r := C.tp_video_encoder_new(&v.encoder, &C.tp_encoding{
		width: C.int(as.width), height: C.int(as.height), matrix: as.matrix, vp8: vp8,
		rate_num: C.int(num), rate_den: C.int(den),
		rate_bps: rate, buffer: buffer, quality: C.int(v.cfg.Quality), threads: C.int(v.cfg.Threads), preset: preset,
	})
	if r < 0 {
		return fmt.Errorf("open %v encoder for %dx%d: %w", v.cfg.Codec, as.width, as.height, avError(r))
	}
	output, err := v.outputTrack(as)
	if err != nil {
		C.tp_video_encoder_free(v.encoder)
		v.encoder = nil
		return err
	}
	v.encoding, v.output = as, output
	return nil
}

// outputTrack returns the track of the encoder's frames.
func (v *Video) outputTrack(as encoding) (*media.Track, error) {
	if v.cfg.Codec == media.VP8 {
		return &media.Track{Codec: media.VP8, Width: as.width, Height: as.height}, nil
	}
	var config *C.uint8_t
	n := C.tp_video_encoder_config(v.encoder, &config)
	return h264Track(C.GoBytes(unsafe.Pointer(config), n))
}

// rate returns the bit rate and the buffer size to ask the encoder for. The encoder divides the bit rate by the frame rate
// for which it was opened. If pictures come more slowly or faster, it is given more or less accordingly. libavcodec keeps the
// size of the buffer, in bits, in 32 bits.
func (v *Video) rate(as encoding) (rate, buffer C.int64_t) {
	fps := v.pace.fps()
	bps := v.cfg.RateBPS
	if bps == 0 {
		bps = DefaultRateBPS(as.width, as.height, fps)
	}
	return C.int64_t(float64(bps) * v.pace.nominal / fps), C.int64_t(min(float64(bps)*v.cfg.Buffer.Seconds(), math.MaxInt32))
}

// encode encodes the canvas.
func (v *Video) encode(each func(media.Frame) error) error {
	at, key := v.pace.next()
	var forced C.int
	if key {
		forced = 1
	}
	rate, buffer := v.rate(v.encoding)
	var data *C.uint8_t
	n := C.tp_video_encoder_encode(v.encoder, v.canvas, forced, rate, buffer, &data)
	if n < 0 {
		return fmt.Errorf("encode a picture: %w", avError(n))
	}
	v.stats.Encoded++
	unit := unsafe.Slice((*byte)(unsafe.Pointer(data)), int(n))
	if v.cfg.Codec == media.VP8 {
		unit = bytes.Clone(unit)
	} else {
		unit = h264Units(unit)
	}
	return each(media.Frame{Track: v.output, Time: at, Key: key, Data: unit})
}

// Stats returns the counts since the start.
func (v *Video) Stats() VideoStats { return v.stats }

// Close frees everything. It may be called twice.
func (v *Video) Close() {
	if v.closed {
		return
	}
	v.closed = true
	for i := range v.pending {
		C.tp_picture_free(&v.pending[i].c)
	}
	v.pending = nil
	C.tp_video_decoder_free(v.decoder)
	C.tp_canvas_free(v.canvas)
	C.tp_video_encoder_free(v.encoder)
	v.decoder, v.canvas, v.encoder = nil, nil, nil
}
