// Package libav is the binding to libopus and to FFmpeg's libavcodec: sound in any coding to PCM, PCM to AAC-LC, G.711
// and Speex, and pictures of any coding to H.264.
//
// PCM is interleaved float32; what was decoded is stereo at 48 kHz, what is to be encoded has the form of its coding. An
// OpusDecoder is libopus itself, for its concealment and its forward error correction; a Decoder is any other coding
// through libavcodec, resampled; an Encoder is libavcodec's. A Video decodes, turns, scales and encodes pictures; as
// what it is fed with comes from strangers, it is for a process of its own. Each owns C memory until Close, and each is
// for one goroutine at a time. No call blocks; none can be cancelled; the longest takes a few milliseconds for sound,
// and for pictures some tens in the usual sizes.
//
// It and package aac are the only ones with cgo. It uses what FFmpeg 5.1 to 8 have in common, and no struct of FFmpeg's is visible to Go.
// Without cgo every constructor fails with ErrDisabled. FFmpeg's own log is silent: what matters comes back as errors.
package libav

import "errors"

const (
	// SampleRate is the rate of decoded PCM, in Hz.
	SampleRate = 48000
	// Channels is the number of channels of decoded PCM.
	Channels = 2

	// MaxOpusSamples is the longest that one Opus packet can be, per channel (RFC 6716, 3.2: 120 ms).
	MaxOpusSamples = 5760
	// MaxSamples is the longest that one packet of any other coding may be, per channel. A publisher may send PCM packets
	// of any size; half a second is far beyond all that stream in real time.
	MaxSamples = 24000
)

var (
	// ErrDisabled means that the program was built without cgo and so without codecs.
	ErrDisabled = errors.New("built without cgo, so without codecs")
	// ErrUnsupported means that there is no decoder for a track, or no encoder for a format.
	ErrUnsupported = errors.New("no codec for this")
	// ErrClosed means that a decoder or encoder was used after Close.
	ErrClosed = errors.New("codec is closed")
	// ErrPacket means that a packet holds nothing that can be decoded.
	ErrPacket = errors.New("bad audio packet")
)
