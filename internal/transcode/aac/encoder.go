//go:build cgo

package aac

/*
#cgo pkg-config: libavutil
#cgo CFLAGS: -O3 -Wall
#cgo LDFLAGS: -lm
#cgo noescape tp_aac_encode
#cgo nocallback tp_aac_encode
#include "aac.h"
*/
import "C"

import (
	"fmt"
	"unsafe"

	"transponder/internal/media"
	"transponder/internal/transcode/libav"
)

// FrameSize is the number of samples per channel in a packet.
const FrameSize = C.TP_AAC_FRAME

// Encoder encodes AAC-LC. It owns C memory until Close. Only one goroutine may use it at a time.
type Encoder struct {
	state    *C.tp_aac
	config   []byte
	channels int
	packet   [C.TP_AAC_PACKET]byte

	one           bool // the last packet of stereo was encoded from one channel
	same, changes int64
}

// New returns an encoder for a format whose bit rate, sampling rate and channels are set. It fails with libav.ErrUnsupported.
func New(f media.AudioFormat) (*Encoder, error) {
	config, err := media.AACConfig(f.SampleRate, f.Channels)
	if err != nil {
		return nil, err
	}
	e := &Encoder{config: config, channels: f.Channels, one: f.Channels == 2}
	if f.Codec == media.AAC {
		e.state = C.tp_aac_new(C.int(f.SampleRate), C.int(f.Channels), C.int(f.RateBPS))
	}
	if e.state == nil {
		return nil, fmt.Errorf("encode %v with %d channels at %d Hz and %d bit/s: %w",
			f.Codec, f.Channels, f.SampleRate, f.RateBPS, libav.ErrUnsupported)
	}
	return e, nil
}

// FrameSize returns how many samples per channel Encode takes.
func (e *Encoder) FrameSize() int { return FrameSize }

// Delay returns by how many samples the decoded sound is behind the encoded sound, if the first packet is decoded at time 0.
func (e *Encoder) Delay() int { return FrameSize }

// Config returns the AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1).
func (e *Encoder) Config() []byte { return e.config }

// Encode takes one frame of interleaved PCM and returns the packet of the frame before, which is valid until the next call.
// The first call returns no packet. Samples are clipped to the range from -1 to 1; NaN becomes 0.
func (e *Encoder) Encode(pcm []float32) ([]byte, error) {
	if e.state == nil {
		return nil, libav.ErrClosed
	}
	if len(pcm) != e.channels*FrameSize {
		return nil, fmt.Errorf("encode: %d values are no frame", len(pcm))
	}
	var same C.int
	n := C.tp_aac_encode(e.state, (*C.float)(unsafe.SliceData(pcm)), (*C.uint8_t)(&e.packet[0]), &same)
	if n > 0 {
		if one := same != 0; one != e.one {
			e.one = one
			e.changes++
		}
		e.same += int64(same)
	}
	return e.packet[:n], nil
}

// Mono returns how many packets of stereo were encoded from one channel, and how often that began or ended.
func (e *Encoder) Mono() (packets, changes int64) { return e.same, e.changes }

// Close frees the encoder. It may be called twice.
func (e *Encoder) Close() {
	C.tp_aac_free(e.state)
	e.state = nil
}
