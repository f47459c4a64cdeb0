//go:build cgo

package libav

/*
#cgo noescape tp_encoder_encode
#cgo nocallback tp_encoder_encode
#include "audio.h"
*/
import "C"

import (
	"fmt"
	"unsafe"
)

// maxPacket is more than an AAC frame can take: 6144 bits a channel (ISO/IEC 14496-3, 4.5.3.1) and some headers.
const maxPacket = 2048

// Encoder makes AAC-LC, 48 kHz stereo.
type Encoder struct {
	state  *C.tp_encoder
	packet [maxPacket]byte
}

// NewEncoder makes an encoder for a bit rate in bit/s.
func NewEncoder(rateBPS int) (*Encoder, error) {
	e := &Encoder{}
	if r := C.tp_encoder_new(&e.state, C.int64_t(rateBPS)); r < 0 {
		return nil, fmt.Errorf("open AAC encoder: %w", avError(r))
	}
	return e, nil
}

// FrameSize returns how many samples per channel Encode takes: 1024.
func (e *Encoder) FrameSize() int {
	if e.state == nil {
		return 0
	}
	return int(C.tp_encoder_frame_size(e.state))
}

// Delay returns by how many samples decoded sound trails what was encoded, if the first packet is decoded at time 0.
func (e *Encoder) Delay() int {
	if e.state == nil {
		return 0
	}
	return int(C.tp_encoder_delay(e.state))
}

// Config returns a copy of the AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1).
func (e *Encoder) Config() []byte {
	if e.state == nil {
		return nil
	}
	var config *C.uint8_t
	n := C.tp_encoder_config(e.state, &config)
	return C.GoBytes(unsafe.Pointer(config), n)
}

// Encode takes exactly one frame of PCM and returns the next packet, valid until the next call; the first frames give
// none. Samples are clipped to ±1, and what is no number becomes 0.
func (e *Encoder) Encode(pcm []float32) ([]byte, error) {
	if e.state == nil {
		return nil, ErrClosed
	}
	if len(pcm) != Channels*e.FrameSize() {
		return nil, fmt.Errorf("encode AAC: %d values are no frame", len(pcm))
	}
	n := C.tp_encoder_encode(e.state, pcmPtr(pcm), bytesPtr(e.packet[:]), maxPacket)
	if n < 0 {
		return nil, fmt.Errorf("encode AAC: %w", avError(n))
	}
	return e.packet[:n], nil
}

// Close frees the encoder. Closing twice is harmless.
func (e *Encoder) Close() {
	C.tp_encoder_free(e.state)
	e.state = nil
}
