//go:build cgo

package libav

/*
#cgo pkg-config: opus
#cgo CFLAGS: -O2 -Wall
#cgo noescape opus_decode_float
#cgo nocallback opus_decode_float
#include <opus.h>
*/
import "C"

import (
	"errors"
	"fmt"
	"unsafe"
)

// opusLookahead is by how much decoded Opus is behind the time of its packets. Encoders, except in restricted low-delay mode,
// look 6.5 ms ahead, and RTP carries the time at which the encoder's input began (the pre-skip of RFC 7845, 4.2).
const opusLookahead = 312

// opusGranule is the unit in which libopus conceals: 2.5 ms.
const opusGranule = 120

// OpusDecoder decodes Opus packets. Mono is written to both channels; mono and stereo packets may alternate.
type OpusDecoder struct {
	state *C.OpusDecoder
}

// NewOpusDecoder returns a decoder.
func NewOpusDecoder() (*OpusDecoder, error) {
	var code C.int
	state := C.opus_decoder_create(SampleRate, Channels, &code)
	if state == nil {
		return nil, fmt.Errorf("open Opus decoder: %w", opusError(code))
	}
	return &OpusDecoder{state: state}, nil
}

// Decode writes the sound of a packet to pcm, which has room for MaxOpusSamples, and returns the samples per channel.
func (d *OpusDecoder) Decode(pcm []float32, packet []byte) (int, error) {
	if len(packet) == 0 {
		return 0, ErrPacket
	}
	return d.decode(pcm, packet, len(pcm)/Channels, false)
}

// Conceal invents sound for lost packets: n samples per channel, rounded down to a multiple of 2.5 ms.
func (d *OpusDecoder) Conceal(pcm []float32, n int) (int, error) {
	n -= n % opusGranule
	if n <= 0 {
		return 0, nil
	}
	return d.decode(pcm, nil, n, false)
}

// Recover makes n samples per channel, rounded to a multiple of 2.5 ms, for the packet lost just before next. If next carries
// a copy of the lost packet (in-band FEC), Recover decodes that; otherwise it works as Conceal. The caller decodes next
// afterwards.
func (d *OpusDecoder) Recover(pcm []float32, n int, next []byte) (int, error) {
	n += opusGranule / 2
	n -= n % opusGranule
	if n <= 0 {
		return 0, nil
	}
	return d.decode(pcm, next, n, true)
}

// Delay returns by how many samples the sound is behind the time of its packet.
func (d *OpusDecoder) Delay() int { return opusLookahead }

// Close frees the decoder. It may be called twice.
func (d *OpusDecoder) Close() {
	if d.state != nil {
		C.opus_decoder_destroy(d.state)
		d.state = nil
	}
}

// decode calls libopus. n is the room in pcm; for a loss it is exactly the number of samples wanted.
func (d *OpusDecoder) decode(pcm []float32, packet []byte, n int, fec bool) (int, error) {
	if d.state == nil {
		return 0, ErrClosed
	}
	if n > len(pcm)/Channels {
		return 0, fmt.Errorf("decode Opus: no room for %d samples", n)
	}
	var useFEC C.int
	if fec {
		useFEC = 1
	}
	data := (*C.uchar)(unsafe.Pointer(unsafe.SliceData(packet)))
	got := C.opus_decode_float(d.state, data, C.opus_int32(len(packet)), (*C.float)(unsafe.SliceData(pcm)), C.int(n), useFEC)
	if got < 0 {
		return 0, fmt.Errorf("decode Opus: %w: %w", ErrPacket, opusError(got))
	}
	return int(got), nil
}

func opusError(code C.int) error { return errors.New(C.GoString(C.opus_strerror(code))) }
