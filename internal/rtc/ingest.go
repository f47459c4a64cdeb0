package rtc

import (
	"context"

	"transponder/internal/stream"
)

// Ingest makes streams of the hub from offers. It is what the doors use.
type Ingest struct{}

// Publish reserves the name in the hub, answers the offer and returns the publication, not yet connected. It fails with
// the hub's errors (stream.ErrNameInUse, stream.ErrIDInUse, stream.ErrName), ErrBadOffer, ErrNoCommonCodecs or ErrBusy.
// info.HasVideo, HasAudio and AskKeyFrame are filled in here, from the offer.
func (in *Ingest) Publish(ctx context.Context, offer Offer, info stream.Info) (*Publication, error) {
	return nil, ErrBusy
}

// Publication is one publisher's session and its stream.
type Publication struct{}

// Answer returns the SDP answer, all candidates included.
func (p *Publication) Answer() string { return "" }

// Source returns the stream. Its Live channel is closed when DTLS is connected.
func (p *Publication) Source() *stream.Source { return nil }

// Stats returns the session's figures.
func (p *Publication) Stats() SessionStats { return SessionStats{} }

// Run lives as long as the publication: it ends when the peer goes (one of this package's errors), when the source is
// closed by somebody else (the source's error), or when ctx ends (its cause). The source is closed and the session joined
// when it returns, and the error says why.
func (p *Publication) Run(ctx context.Context) error { return nil }
