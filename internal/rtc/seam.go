package rtc

import (
	"context"
	"errors"
	"time"

	"transponder/internal/media"
)

// Reasons for which an offer is refused or a session ends, besides the hub's own errors. The doors translate them for their
// protocols.
var (
	ErrBadOffer        = errors.New("the offer is not usable SDP")
	ErrBadAnswer       = errors.New("the answer is not usable SDP")
	ErrNoCommonCodecs  = errors.New("no common codecs")
	ErrPartial         = errors.New("a section of the offer cannot be used")
	ErrICETimeout      = errors.New("no ICE connection in time")
	ErrICEFailed       = errors.New("ICE failed")
	ErrICEKeepAlive    = errors.New("the client stopped answering ICE checks")
	ErrDTLS            = errors.New("DTLS handshake failed")
	ErrDTLSFingerprint = errors.New("DTLS certificate does not match the fingerprint in the client's SDP")
	ErrActivity        = errors.New("no RTP for too long")
	ErrClientClosed    = errors.New("the client closed the connection")
)

// Receiver answers the offers of clients that send. All methods may be called from any goroutine.
type Receiver interface {
	// Name returns the receiver's name in metrics and logs.
	Name() string

	// Accepts says why this receiver cannot take the offer, nil if it can. Nothing is reserved.
	Accepts(offer *ParsedOffer) error

	// Answer starts a session for an offer and returns the complete answer, all candidates included. The session calls the
	// sink until its last call, Closed, which comes exactly once. ctx bounds the making of the answer only.
	Answer(ctx context.Context, offer *ParsedOffer, sink Sink) (Session, string, error)

	// Close ends every session and waits for them.
	Close() error
}

// Session is one client that sends. It is connecting or connected.
type Session interface {
	// RequestKeyFrame asks the client for a key frame, by a PLI. It does not block.
	RequestKeyFrame()
	// Stats returns the session's figures.
	Stats() SessionStats
	// Close ends the session and waits until the sink will not be called again.
	Close() error
}

// Connector opens sessions with media both ways over one transport, for calls. All methods may be called from any goroutine.
type Connector interface {
	// AnswerCall starts a session for a client's offer, and returns it with the complete answer. streamID names what is sent:
	// the client plays tracks of one stream together. The session calls events until the last call, Closed. ctx bounds the
	// making of the answer only.
	AnswerCall(ctx context.Context, offer *ParsedOffer, streamID string, events CallEvents) (CallSession, string, error)
	// OfferCall starts a session with an offer of ours, in the same way, and returns the complete offer. It fills in MID and
	// Sent of the offer's sections.
	OfferCall(ctx context.Context, own *OwnOffer, streamID string, events CallEvents) (CallSession, string, error)
}

// CallEvents takes the media that a client sends in a call, and what it wants.
type CallEvents interface {
	Sink
	// WantsKeyFrame reports that the client cannot go on without a key frame. Any goroutine may call it, beside calls of the
	// sink.
	WantsKeyFrame()
}

// CallSession is one client that sends and receives.
type CallSession interface {
	Session
	// Outlet returns the half that sends.
	Outlet() MediaOutlet
	// Accept takes the client's answer to an offer of ours. It is called once.
	Accept(answer *ParsedOffer) error
}

// Trickler is a session that takes candidates of the client after the offer (trickle ICE, RFC 8838).
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
	ClockJumps   int64 // how often the sender's RTP clock jumped; filled in by Publication.Stats and Duplex.Stats
}

// MediaSink takes the media of one session, in order. Its methods are called by one goroutine at a time and must not block.
// Slices are valid during the call only.
type MediaSink interface {
	// Video takes a whole access unit: NAL units with 4-byte lengths (H.264, HEVC), a temporal unit of OBUs with sizes
	// (AV1), or the coded frame of another codec.
	Video(codec media.Codec, unit []byte, rtpTime uint32, key bool)
	// Rotated sets the rotation of the pictures that follow, in degrees clockwise. Before the first call it is 0.
	Rotated(degrees int)
	// Audio takes the payload of one packet.
	Audio(codec media.Codec, payload []byte, rtpTime uint32)
	// Clock takes a sender report: the sender's wall clock, as an NTP timestamp (RFC 3550, 4), at an RTP time.
	Clock(kind media.Kind, ntp uint64, rtpTime uint32)
	// Lost reports that media is missing before the next call.
	Lost(kind media.Kind)
}

// ICEObserver is a Sink that wants to know when ICE has found a way to the client, before DTLS begins.
type ICEObserver interface{ ICEConnected() }

// NoteICE tells a sink that wants to know that ICE has found a way. It may be called several times.
func NoteICE(sink Sink) {
	if o, ok := sink.(ICEObserver); ok {
		o.ICEConnected()
	}
}

// Sink takes the media of one WebRTC session, and learns when the session begins and ends.
type Sink interface {
	MediaSink
	// Connected reports the end of the DTLS handshake: media may come now.
	Connected()
	// Closed is the last call; cause is one of this package's errors, or context.Canceled after Session.Close.
	Closed(cause error)
}
