//go:build cgo

package libav

/*
#cgo LDFLAGS: -lm
#cgo noescape tp_encoder_encode
#cgo nocallback tp_encoder_encode
#include "audio.h"
*/
import "C"

import (
	"fmt"
	"unsafe"

	"transponder/internal/media"
)

// maxPacket is the largest packet in bytes: 6144 bits for each channel of AAC (ISO/IEC 14496-3, 4.5.3.1), and some headers.
const maxPacket = 2048

// encoders maps codecs to those of libavcodec.
var encoders = map[media.Codec]uint32{
	media.AAC: C.AV_CODEC_ID_AAC, media.PCMA: C.AV_CODEC_ID_PCM_ALAW, media.PCMU: C.AV_CODEC_ID_PCM_MULAW, media.Speex: C.AV_CODEC_ID_SPEEX,
	media.Opus: C.AV_CODEC_ID_OPUS, media.G722: C.AV_CODEC_ID_ADPCM_G722, media.SpeexNarrow: C.AV_CODEC_ID_SPEEX,
}

// CanEncode reports whether there is an encoder for a codec. FFmpeg may have been built without libspeex or libopus.
func CanEncode(c media.Codec) bool {
	id, known := encoders[c]
	return known && C.tp_encoder_known(id) != 0
}

// Encoder encodes sound to AAC-LC, G.711, G.722, Speex or Opus.
type Encoder struct {
	state    *C.tp_encoder
	channels int
	packet   [maxPacket]byte
}

// NewEncoder returns an encoder for a format. All fields of the format are set, except the bit rate of codecs that have only
// one. It fails with ErrUnsupported.
func NewEncoder(f media.AudioFormat) (*Encoder, error) {
	e := &Encoder{channels: f.Channels}
	id, known := encoders[f.Codec]
	if !known || f.Channels < 1 || f.Channels > 2 || f.SampleRate < 8000 || f.SampleRate > 96000 {
		return nil, fmt.Errorf("encode %v with %d channels at %d Hz: %w", f.Codec, f.Channels, f.SampleRate, ErrUnsupported)
	}
	r := C.tp_encoder_new(&e.state, id, C.int(f.SampleRate), C.int(f.Channels), C.int64_t(f.RateBPS))
	if r < 0 {
		return nil, fmt.Errorf("open %v encoder: %w: %w", f.Codec, ErrUnsupported, avError(r))
	}
	return e, nil
}

// FrameSize returns how many samples per channel Encode takes: 1024 for AAC, 20 ms for the others.
func (e *Encoder) FrameSize() int {
	if e.state == nil {
		return 0
	}
	return int(C.tp_encoder_frame_size(e.state))
}

// Delay returns by how many samples the decoded sound is behind the encoded sound, if the first packet is decoded at time 0.
func (e *Encoder) Delay() int {
	if e.state == nil {
		return 0
	}
	return int(C.tp_encoder_delay(e.state))
}

// Config returns a copy of the AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1); nil for codecs that have none.
func (e *Encoder) Config() []byte {
	if e.state == nil {
		return nil
	}
	var config *C.uint8_t
	n := C.tp_encoder_config(e.state, &config)
	if n == 0 {
		return nil
	}
	return C.GoBytes(unsafe.Pointer(config), n)
}

// Encode takes one frame of interleaved PCM and returns the next packet, which is valid until the next call. The first frames
// of AAC give no packet. Samples are clipped to the range from -1 to 1; NaN becomes 0.
func (e *Encoder) Encode(pcm []float32) ([]byte, error) {
	if e.state == nil {
		return nil, ErrClosed
	}
	if len(pcm) != e.channels*e.FrameSize() {
		return nil, fmt.Errorf("encode: %d values are no frame", len(pcm))
	}
	n := C.tp_encoder_encode(e.state, pcmPtr(pcm), bytesPtr(e.packet[:]), maxPacket)
	if n < 0 {
		return nil, fmt.Errorf("encode: %w", avError(n))
	}
	return e.packet[:n], nil
}

// Close frees the encoder. It may be called twice.
func (e *Encoder) Close() {
	C.tp_encoder_free(e.state)
	e.state = nil
}
