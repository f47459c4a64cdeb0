package rtc

import (
	"context"
	"log/slog"

	"transponder/internal/media"
	"transponder/internal/panics"
	"transponder/internal/stream"
)

// PrivateStreams makes streams without a public name, as stream.Hub does.
type PrivateStreams interface {
	Private(info stream.Info) (*stream.Source, error)
}

// DuplexParts are the parts of the server that Duplexes work with.
type DuplexParts struct {
	Connector Connector
	Streams   PrivateStreams
	Transcode TranscodeFunc // makes what a client cannot play otherwise, as for an Egress
}

// Duplexes makes the WebRTC side of calls. All methods may be called from any goroutine.
type Duplexes struct {
	cfg   Config
	parts DuplexParts
	log   *slog.Logger

	panics panics.Counter
}

// NewDuplexes makes Duplexes. The owner of the Connector closes it.
func NewDuplexes(cfg Config, parts DuplexParts, log *slog.Logger) *Duplexes {
	return &Duplexes{cfg: cfg, parts: parts, log: log}
}

// Panics returns how many duplexes have ended by a panic.
func (ds *Duplexes) Panics() int64 { return ds.panics.Load() }

// Answer answers a client's offer. The duplex is not connected yet; the caller calls Run. Answer fails with ErrBadOffer,
// ErrNoCommonCodecs or load.ErrFull. It fills in info.HasVideo, HasAudio and AskKeyFrame.
func (ds *Duplexes) Answer(ctx context.Context, offer Offer, terms Terms, info stream.Info) (*Duplex, error) {
	parsed, err := offer.parseCall(terms)
	if err != nil {
		return nil, err
	}
	info.HasVideo, info.HasAudio = parsed.sends(media.Video), parsed.sends(media.Audio)
	d, err := ds.make(info)
	if err != nil {
		return nil, err
	}
	d.agree(parsed)
	return d.start(func(streamID string) (CallSession, string, error) {
		return ds.parts.Connector.AnswerCall(ctx, parsed, streamID, duplexEvents{d.frames, d})
	})
}

// Offer makes an offer for a client that is called; Accept takes the client's answer. The caller calls Run. Offer fails with
// load.ErrFull. It fills in info as Answer does: HasVideo and HasAudio say what was offered.
func (ds *Duplexes) Offer(ctx context.Context, terms Terms, info stream.Info) (*Duplex, error) {
	own := newOwnOffer(terms)
	info.HasVideo, info.HasAudio = terms.has(media.Video), terms.has(media.Audio)
	d, err := ds.make(info)
	if err != nil {
		return nil, err
	}
	d.own = own
	return d.start(func(streamID string) (CallSession, string, error) {
		return ds.parts.Connector.OfferCall(ctx, own, streamID, duplexEvents{d.frames, d})
	})
}

// make makes a duplex without a session.
func (ds *Duplexes) make(info stream.Info) (*Duplex, error) {
	d := &Duplex{
		cfg: ds.cfg, log: ds.log.With("session", info.ID), panics: &ds.panics, answers: make(chan *ParsedOffer, 1),
		connected: make(chan struct{}), closed: make(chan error, 1), restarter: newRestarter(),
	}
	info.AskKeyFrame = d.askKeyFrame
	var err error
	if d.source, err = ds.parts.Streams.Private(info); err != nil {
		return nil, err
	}
	d.frames = NewFrames(d.source, d.log)
	d.out = newPlayout(d.source.Created(), ds.parts.Transcode, duplexPlayout{d})
	return d, nil
}

// start opens the session.
func (d *Duplex) start(open func(streamID string) (CallSession, string, error)) (*Duplex, error) {
	session, sdp, err := open(newStreamID())
	if err != nil {
		d.source.Close(err)
		return nil, err
	}
	d.sdp = sdp
	d.out.outlet = session.Outlet()
	d.session.Store(&session)
	return d, nil
}
