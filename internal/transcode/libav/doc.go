// Package libav is the binding to libopus and to FFmpeg's libavcodec. It decodes sound of any codec to PCM, encodes PCM to AAC-LC,
// G.711, G.722, Speex and Opus, and transcodes pictures of any codec to H.264 and VP8.
//
// PCM is interleaved float32. Decoded PCM is stereo at 48 kHz; PCM to be encoded has the form of the encoder. An OpusDecoder is
// libopus itself, because of its loss concealment and forward error correction. A Decoder decodes any other codec by libavcodec and
// resamples. An Encoder is libavcodec's. A Video decodes, rotates, scales and encodes pictures; its input comes from strangers, so it
// belongs into a process of its own (package worker).
//
// Each of these owns C memory until Close, and only one goroutine may use it at a time. Calls do not block and cannot be cancelled. The
// longest takes a few milliseconds for sound, and some tens of milliseconds for pictures of the usual sizes.
//
// Only this package and package aac use cgo. It uses what FFmpeg 5.1 to 8 have in common, and Go code sees no struct of FFmpeg. Without
// cgo, every constructor fails with ErrDisabled. FFmpeg's own log is off; errors tell what matters.
package libav

import "errors"

const (
	// SampleRate is the rate of decoded PCM, in Hz.
	SampleRate = 48000
	// Channels is the number of channels of decoded PCM.
	Channels = 2

	// MaxOpusSamples is the longest Opus packet, in samples per channel: 120 ms (RFC 6716, 3.2).
	MaxOpusSamples = 5760
	// MaxSamples is the longest packet of any other codec that is decoded, in samples per channel. Packets of G.711 may have
	// any size; half a second is more than any live publisher sends.
	MaxSamples = 24000
)

var (
	// ErrDisabled means that the program was built without cgo, so it has no codecs.
	ErrDisabled = errors.New("built without cgo, so without codecs")
	// ErrUnsupported means that there is no decoder for a track, or no encoder for a format.
	ErrUnsupported = errors.New("no codec for this")
	// ErrClosed means that a decoder or encoder was used after Close.
	ErrClosed = errors.New("codec is closed")
	// ErrPacket means that nothing in a packet can be decoded.
	ErrPacket = errors.New("bad audio packet")
)
