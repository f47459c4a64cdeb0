//go:build cgo

package libav

/*
#cgo noescape tp_decoder_decode
#cgo nocallback tp_decoder_decode
#include "audio.h"
*/
import "C"

import (
	"cmp"
	"fmt"

	"transponder/internal/media"
)

// decoders maps codecs to those of libavcodec, with the form of tracks that do not tell theirs: by RFC 3551 for G.711 and
// G.722, by FLV for Speex.
var decoders = map[media.Codec]struct {
	id             uint32
	rate, channels int
}{
	media.PCMA:  {C.AV_CODEC_ID_PCM_ALAW, 8000, 1},
	media.PCMU:  {C.AV_CODEC_ID_PCM_MULAW, 8000, 1},
	media.AAC:   {C.AV_CODEC_ID_AAC, 44100, 2},
	media.MP3:   {C.AV_CODEC_ID_MP3, 44100, 2},
	media.Speex: {C.AV_CODEC_ID_SPEEX, 16000, 1},
	media.G722:  {C.AV_CODEC_ID_ADPCM_G722, 16000, 1},

	media.SpeexNarrow: {C.AV_CODEC_ID_SPEEX, 8000, 1},
}

// Decoder decodes the sound of any codec but Opus.
type Decoder struct {
	state *C.tp_decoder
}

// NewDecoder returns a decoder for the packets of a track. It fails with ErrUnsupported for unknown codecs, and for tracks
// whose form or configuration is not valid.
func NewDecoder(t *media.Track) (*Decoder, error) {
	as, known := decoders[t.Codec]
	if !known {
		return nil, fmt.Errorf("%w: %v", ErrUnsupported, t.Codec)
	}
	rate, channels := cmp.Or(t.SampleRate, as.rate), cmp.Or(t.Channels, as.channels)
	if rate < 4000 || rate > 192000 || channels < 1 || channels > 8 {
		return nil, fmt.Errorf("%w: %v with %d channels at %d Hz", ErrUnsupported, t.Codec, channels, rate)
	}
	d := &Decoder{}
	r := C.tp_decoder_new(&d.state, as.id, C.int(rate), C.int(channels), bytesPtr(t.Config), C.int(len(t.Config)))
	if r < 0 {
		return nil, fmt.Errorf("open %v decoder: %w: %w", t.Codec, ErrUnsupported, avError(r))
	}
	return d, nil
}

// Decode writes the sound of a packet to pcm, which has room for MaxSamples, and returns the samples per channel. The first
// packets may give fewer samples than they last, or none; the rest comes with later packets, see Delay.
func (d *Decoder) Decode(pcm []float32, packet []byte) (int, error) {
	if d.state == nil {
		return 0, ErrClosed
	}
	if len(packet) == 0 || len(pcm) < Channels {
		return 0, ErrPacket
	}
	n := C.tp_decoder_decode(d.state, bytesPtr(packet), C.int(len(packet)), pcmPtr(pcm), C.int(len(pcm)/Channels))
	if n < 0 {
		return 0, fmt.Errorf("decode audio: %w: %w", ErrPacket, avError(n))
	}
	return int(n), nil
}

// Delay returns by how many samples the sound of the next packet begins before the time of that packet.
func (d *Decoder) Delay() int {
	if d.state == nil {
		return 0
	}
	return int(C.tp_decoder_delay(d.state))
}

// Close frees the decoder. It may be called twice.
func (d *Decoder) Close() {
	C.tp_decoder_free(d.state)
	d.state = nil
}
