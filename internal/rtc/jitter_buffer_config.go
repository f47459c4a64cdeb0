package rtc

import (
	"time"

	"transponder/internal/media"
)

// JitterBufferConfig says how one stream is received.
type JitterBufferConfig struct {
	// Codec is the only codec, or with Types the first.
	Codec media.Codec
	// Types has the codec of each payload type that the sender may use. The sender may change the type at any packet. Packets
	// of other types, or of a codec of another kind, only take a sequence number: telephone events and comfort noise share
	// the numbers of the sound. nil: all packets are of Codec.
	Types map[uint8]media.Codec
	// SpropParameterSets is the value of sprop-parameter-sets in the offer, "" if there is none.
	SpropParameterSets string
	// Orientation is the id of the header extension for the rotation of pictures; 0: not used.
	Orientation uint8
	// NACK says that the sender retransmits packets on request.
	NACK bool

	Wait      time.Duration // how long to wait for a missing packet, with NACK
	ShortWait time.Duration // how long to wait without NACK, when a packet can only be out of order
	FirstNACK time.Duration // how long to wait before the first request for a packet: it may only be out of order
	NACKPause time.Duration // between the first two requests for one packet; later pauses are twice as long
	PLIGap    time.Duration // the least time between two requests for a key frame

	// TakeOver is how long the current SSRC must be silent before another one replaces it; 0: another one replaces it at
	// once. An SSRC that nobody has authenticated must wait.
	TakeOver time.Duration
	// Restarted is called, if it is not nil, before the first packet whose RTP time may have nothing to do with the one
	// before: of another SSRC, of sequence numbers that begin anew, or after a pause that Restart has ended.
	Restarted func()
}

// DefaultJitterBufferConfig suits paths with a round trip of up to 300 ms.
func DefaultJitterBufferConfig() JitterBufferConfig {
	return JitterBufferConfig{
		Wait:      500 * time.Millisecond,
		ShortWait: 40 * time.Millisecond,
		FirstNACK: 5 * time.Millisecond,
		NACKPause: 50 * time.Millisecond,
		PLIGap:    500 * time.Millisecond,
		TakeOver:  time.Second,
	}
}
