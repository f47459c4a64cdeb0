package rtc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"transponder/internal/media"
	"transponder/internal/stream"
)

// ErrSourceEnded means that the played stream has ended. It wraps the source's own error, which says why.
var ErrSourceEnded = errors.New("the stream has ended")

// Sources finds live streams by name, as stream.Hub does.
type Sources interface {
	Source(name string) (*stream.Source, bool)
	// Added is closed when the next name is taken.
	Added() <-chan struct{}
}

// Playback is one client that plays a stream.
type Playback struct {
	*playout
	e       *Egress
	src     *stream.Source // the first source
	session Outlet
	answer  string

	restarter restarter

	sources Sources              // to find the next publisher of the name; nil: the playback ends with the source
	changed func(*stream.Source) // told of each source after the first; nil: nobody is
	hold    time.Duration        // how long to wait for the next publisher; 0: it must be there

	awayMu      sync.Mutex
	away        bool          // guarded by awayMu: the publisher has left and may come back
	awayChanged chan struct{} // guarded by awayMu; closed when away changes

	connected chan struct{}
	closed    chan error // gets one value: why the session ended
}

func newPlayback(e *Egress, src *stream.Source) *Playback {
	p := &Playback{
		e: e, src: src, awayChanged: make(chan struct{}), restarter: newRestarter(),
		connected: make(chan struct{}), closed: make(chan error, 1),
	}
	p.playout = newPlayout(src.Created(), e.parts.Transcode, p)
	return p
}

// begun implements playoutEvents.
func (p *Playback) begun() { p.setAway(false) }

// unplayable implements playoutEvents: it ends the playback.
func (p *Playback) unplayable(_ media.Kind, cause error) error { return cause }

// sendEvents takes the events of a playback's session.
type sendEvents struct{ p *Playback }

func (e sendEvents) Connected() { close(e.p.connected) }

func (e sendEvents) WantsKeyFrame() { e.p.wantKeyFrame() }

func (e sendEvents) Closed(cause error) { e.p.closed <- ended(cause) }

// start chooses what is sent, and answers the offer.
func (p *Playback) start(ctx context.Context, offer Offer) error {
	parsed, err := p.choose(ctx, offer)
	if err != nil {
		return err
	}
	p.open(parsed)
	if err := p.join(p.src); err != nil {
		return err
	}
	if parsed.Unbundled {
		p.session, p.answer, err = sendUnbundled(ctx, p.e.parts.Sender, parsed, newStreamID(), sendEvents{p})
	} else {
		p.session, p.answer, err = p.e.parts.Sender.Send(ctx, parsed, newStreamID(), sendEvents{p})
	}
	p.outlet = p.session
	return err
}

// choose chooses codecs: what the source sends if the client takes it, otherwise what it can be transcoded to.
func (p *Playback) choose(ctx context.Context, offer Offer) (*ParsedOffer, error) {
	video, audio := p.tracks(ctx)
	if video == nil && audio == nil {
		return nil, fmt.Errorf("%w: the stream has neither sound nor pictures", ErrNoCommonCodecs)
	}
	var tracks []*media.Track
	if video != nil {
		if sendable(video.Codec) {
			tracks = append(tracks, video)
		}
		for _, codec := range transcodedVideo {
			if video.Codec != codec {
				tracks = append(tracks, &media.Track{Codec: codec})
			}
		}
	}
	if audio != nil {
		tracks = append(tracks, &media.Track{Codec: media.Opus})
	}
	return offer.parsePlay(tracks)
}

// tracks waits for the source's first frames, but no longer than TrackTimeout after the source went live: after that the
// source has shown what it sends. A track that is still unknown is assumed to be what browsers send.
func (p *Playback) tracks(ctx context.Context) (video, audio *media.Track) {
	limit := time.NewTimer(max(0, p.e.cfg.TrackTimeout-p.src.LiveFor()))
	defer limit.Stop()
	begun := func(feed *stream.Feed) bool {
		select {
		case <-feed.Begun():
			return true
		case <-limit.C:
		case <-ctx.Done():
		case <-p.src.Done():
		}
		return false
	}
	if (!p.src.HasVideo() || begun(p.src.Video)) && p.src.HasAudio() {
		begun(p.src.Audio)
	}
	video, audio = p.src.Video.Track(), p.src.Audio.Track()
	if video == nil && p.src.HasVideo() {
		video = &media.Track{Codec: media.H264}
	}
	if audio == nil && p.src.HasAudio() {
		audio = &media.Track{Codec: media.Opus}
	}
	return video, audio
}

// release releases the transcoded feeds and the player's place.
func (p *Playback) release() {
	p.releaseFeeds()
	p.e.players.Add(-1)
}

// Follow lets the playback go on with the spare of its source, which gets the name when the source ends. The goroutine of Run calls changed with the
// new source. Follow is called before Run.
func (p *Playback) Follow(sources Sources, changed func(*stream.Source)) {
	p.sources, p.changed = sources, changed
}

// Hold lets the playback outlive its source: if the source ends, the playback waits up to limit for another publisher of
// the same name, and goes on with that one. A spare has the name already, so it is found with any limit. Hold is called before Run.
func (p *Playback) Hold(sources Sources, limit time.Duration) { p.sources, p.hold = sources, limit }

// Away says whether the publisher has left and the playback waits for the next one. The channel is closed when that changes.
func (p *Playback) Away() (away bool, changed <-chan struct{}) {
	p.awayMu.Lock()
	defer p.awayMu.Unlock()
	return p.away, p.awayChanged
}

func (p *Playback) setAway(away bool) {
	p.awayMu.Lock()
	defer p.awayMu.Unlock()
	if p.away != away {
		p.away = away
		close(p.awayChanged)
		p.awayChanged = make(chan struct{})
	}
}

// holds says whether the playback goes on when its source ends.
func (p *Playback) holds() bool { return p.sources != nil && p.hold > 0 }

// Answer returns the SDP answer, all candidates included.
func (p *Playback) Answer() string { return p.answer }

// Connected is closed at the end of the DTLS handshake, before the first packet is sent.
func (p *Playback) Connected() <-chan struct{} { return p.connected }

// AddCandidate takes a candidate of the client that the offer did not have: the value of an a=candidate line.
func (p *Playback) AddCandidate(candidate string) error { return p.session.AddCandidate(candidate) }

// RestartICE does for a player what Publication.RestartICE does for a publisher.
func (p *Playback) RestartICE(ctx context.Context, offer string) (answer string, err error) {
	return p.restarter.restart(ctx, p.session, p.answer, offer)
}

// Run plays until the client leaves (one of this package's errors), until the source ends (ErrSourceEnded) and, after Hold,
// no other comes in time, or until ctx ends (its cause). The session is closed and joined when Run returns, or panics. Run
// must be called, once.
func (p *Playback) Run(ctx context.Context) error {
	defer p.release()
	defer func() {
		if err := p.session.Close(); err != nil {
			p.e.log.Debug("session closed badly", "stream", p.src.Info().Name, "err", err)
		}
	}()
	return p.run(ctx)
}

func (p *Playback) run(ctx context.Context) error {
	if err := p.connect(ctx); err != nil {
		return err
	}
	for {
		err := p.play(ctx, p.closed)
		if !errors.Is(err, ErrSourceEnded) {
			return err
		}
		next, err := p.next(ctx, err)
		if err != nil {
			return err
		}
		if p.changed != nil {
			p.changed(next)
		}
		if err := p.join(next); err != nil && next.Err() == nil { // if next has ended already, play says so
			return err
		}
		p.e.log.Info("playback goes on with another publisher", "stream", p.src.Info().Name)
	}
}

// connect waits until the client is connected.
func (p *Playback) connect(ctx context.Context) error {
	limit := time.NewTimer(p.e.cfg.ConnectTimeout)
	defer limit.Stop()
	gone := p.src.Done()
	if p.holds() {
		gone = nil
	}
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-gone:
			if _, ok := p.spare(); !ok {
				return fmt.Errorf("%w: %w", ErrSourceEnded, p.src.Err())
			}
			gone = nil
		case err := <-p.closed:
			return err
		case <-limit.C:
			return ErrICETimeout
		case <-p.connected:
			return nil
		}
	}
}

// spare returns the source that was the spare of the present source, and has the name now.
func (p *Playback) spare() (*stream.Source, bool) {
	if p.sources == nil {
		return nil, false
	}
	next, ok := p.sources.Source(p.src.Info().Name)
	return next, ok && next != p.source && next.WasSpare()
}

// next returns the source with which the playback goes on, or ended if it ends.
func (p *Playback) next(ctx context.Context, ended error) (*stream.Source, error) {
	if next, ok := p.spare(); ok {
		p.releaseFeeds()
		return next, nil
	}
	if !p.holds() {
		return nil, ended
	}
	p.setAway(true)
	return p.await(ctx, ended)
}

// await waits for another source of the same name. It returns ended if none comes in time.
func (p *Playback) await(ctx context.Context, ended error) (*stream.Source, error) {
	p.releaseFeeds()
	limit := time.NewTimer(p.hold)
	defer limit.Stop()
	for {
		added := p.sources.Added()
		if next, ok := p.sources.Source(p.src.Info().Name); ok && next != p.source {
			return next, nil
		}
		select {
		case <-added:
		case <-limit.C:
			return nil, ended
		case err := <-p.closed:
			return nil, err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}
