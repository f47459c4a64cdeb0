package rtc

import (
	"context"
	"time"

	"transponder/internal/media"
)

// Sender answers the offers of clients that play. All methods may be called from any goroutine.
type Sender interface {
	// Send starts a session for an offer to receive, and returns it with the complete answer. streamID names what is sent:
	// the client plays tracks of one stream together. ctx bounds the making of the answer only.
	Send(ctx context.Context, offer *ParsedOffer, streamID string, events SendEvents) (Outlet, string, error)
}

// SendEvents takes the events of a session that sends. Its methods may be called from any goroutine, and must not block.
type SendEvents interface {
	// Connected reports the end of the DTLS handshake.
	Connected()
	// WantsKeyFrame reports that the client cannot go on without a key frame.
	WantsKeyFrame()
	// Closed is the last call, once; cause is one of this package's errors, or context.Canceled after Outlet.Close.
	Closed(cause error)
}

// MediaOutlet takes the media that a session sends. Write and Report are for one goroutine.
type MediaOutlet interface {
	// Write sends packets of one RTP time. last marks the end of the frame.
	Write(kind media.Kind, payloads [][]byte, rtpTime uint32, last bool) error
	// Report sends a sender report: a wall clock time, and the RTP time of the same moment.
	Report(kind media.Kind, wall time.Time, rtpTime uint32)
	// Stats returns the figures of what is sent; Video, Audio and Dropped are zero.
	Stats() PlayStats
}

// Outlet is a session that sends.
type Outlet interface {
	MediaOutlet
	// AddCandidate takes the value of an a=candidate line that the offer did not have.
	AddCandidate(candidate string) error
	// Close ends the session and waits until the events will not be called again.
	Close() error
}

// PlayStats are the figures of a session that sends at one moment.
type PlayStats struct {
	Packets, Bytes int64 // RTP sent, without retransmissions
	VideoBytes     int64
	NACKed         int64 // packets that the client asked for again
	PLIs           int64 // key frames that the client asked for
	Lost           int64 // packets that the client reported as lost

	Video, Audio *media.Track // that are sent; nil before the first frame
	Dropped      int64        // frames that could not be sent in the codec that was agreed on
}
