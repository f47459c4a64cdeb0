package rtc

import (
	"context"
	"errors"
	"time"

	"transponder/internal/media"
)

// Why an offer was refused or a publication ended, besides the hub's own errors. The doors turn these into the words of
// their protocols.
var (
	ErrBadOffer        = errors.New("the offer is not usable SDP")
	ErrNoCommonCodecs  = errors.New("no common codecs")
	ErrPartial         = errors.New("a part of the offer cannot be taken")
	ErrICETimeout      = errors.New("no ICE connection in time")
	ErrICEFailed       = errors.New("ICE failed")
	ErrICEKeepAlive    = errors.New("the peer stopped answering ICE checks")
	ErrDTLS            = errors.New("DTLS handshake failed")
	ErrDTLSFingerprint = errors.New("DTLS certificate does not match the offer's fingerprint")
	ErrActivity        = errors.New("no RTP for too long")
	ErrPeerClosed      = errors.New("the peer closed the connection")
)

// Receiver turns offers into sessions.
type Receiver interface {
	// Name is a word for metrics and logs.
	Name() string

	// Accepts says why this receiver cannot take the offer, nil if it can. Nothing is reserved.
	Accepts(offer *ParsedOffer) error

	// Answer starts a session for an offer and returns the complete answer, all candidates included. Media goes to the
	// sink until Closed is called on it, exactly once. ctx bounds the making of the answer only.
	Answer(ctx context.Context, offer *ParsedOffer, sink Sink) (Session, string, error)

	// Close ends every session and waits for them.
	Close() error
}

// Session is one connected or connecting publisher.
type Session interface {
	// RequestKeyFrame sends a PLI. It does not block.
	RequestKeyFrame()
	// Stats returns the session's figures.
	Stats() SessionStats
	// Close ends the session and waits until the sink will not be called again.
	Close() error
}

// Trickler is a session that takes candidates of the peer after the offer (RFC 8838).
type Trickler interface {
	// AddCandidate takes the value of an a=candidate line.
	AddCandidate(candidate string) error
}

// SessionStats are a session's figures at one moment.
type SessionStats struct {
	JitterBufferStats // the sums of all streams

	RoundTrip    time.Duration // between the two ICE agents; 0 while unknown
	Jitter       time.Duration // of the stream that has more of it (RFC 3550, 6.4.1); 0 while unknown
	ICEConnected bool
	ClockJumps   int64 // how often the sender's RTP clock jumped; filled in by Publication.Stats
}

// Sink takes one publisher's media, in order. Its methods are called from one goroutine at a time and must not block;
// slices are valid during the call only.
type Sink interface {
	// Connected says that DTLS is done and media may come.
	Connected()
	// Video is a whole access unit: NAL units with 4-byte lengths (H.264, HEVC), a temporal unit of OBUs with sizes (AV1), or the
	// coded frame of another codec.
	Video(codec media.Codec, unit []byte, rtpTime uint32, key bool)
	// Rotated says how the pictures that follow are to be turned when shown, in degrees clockwise. Until it does, it is 0.
	Rotated(degrees int)
	// Audio is one packet's payload.
	Audio(codec media.Codec, payload []byte, rtpTime uint32)
	// Clock is a sender report: what the sender's wall clock (NTP format, RFC 3550, 4) was at an RTP time.
	Clock(kind media.Kind, ntp uint64, rtpTime uint32)
	// Lost says that media is missing before what comes next.
	Lost(kind media.Kind)
	// Closed is the last call; cause is one of this package's errors, or context.Canceled after Session.Close.
	Closed(cause error)
}
