package rtc

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
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
	e      *Egress
	src    *stream.Source // the first source; RTP times follow its clock
	outlet Outlet
	answer string

	sources Sources       // to find the next publisher of the name; nil: the playback ends with the source
	hold    time.Duration // how long to wait for the next publisher

	// These describe the source that plays now. Run owns them once it is called.
	playing      *stream.Source
	shift        time.Duration // from the clock of playing to the clock of src
	joined       bool          // a frame of playing was sent
	video, audio *sendTrack    // nil: not sent
	releases     []func()      // of the transcoded feeds
	reader       *stream.Reader
	spread       *time.Timer // paces the packets of a large frame; nil before the first one

	awayMu      sync.Mutex
	away        bool          // guarded by awayMu: the publisher has left and may come back
	awayChanged chan struct{} // guarded by awayMu; closed when away changes

	connected chan struct{}
	closed    chan error                  // gets one value: why the session ended
	shown     atomic.Pointer[stream.Feed] // the feed of the pictures
	seen      atomic.Pointer[[2]*media.Track]
	dropped   atomic.Int64
}

// sendTrack is one track that is sent.
type sendTrack struct {
	kind  media.Kind
	codec media.Codec
	feed  *stream.Feed
	cut   Packetizer
	clock *RTPClock
}

func newPlayback(e *Egress, src *stream.Source) *Playback {
	return &Playback{
		e: e, src: src, playing: src, awayChanged: make(chan struct{}),
		connected: make(chan struct{}), closed: make(chan error, 1),
	}
}

// sendEvents takes the events of a playback's session.
type sendEvents struct{ p *Playback }

func (e sendEvents) Connected() { close(e.p.connected) }

func (e sendEvents) WantsKeyFrame() {
	if feed := e.p.shown.Load(); feed != nil {
		feed.RequestKeyFrame()
	}
}

func (e sendEvents) Closed(cause error) { e.p.closed <- ended(cause) }

// start chooses what is sent, and answers the offer.
func (p *Playback) start(ctx context.Context, offer Offer) error {
	parsed, err := p.choose(ctx, offer)
	if err != nil {
		return err
	}
	streamID, err := p.open(parsed)
	if err != nil {
		return err
	}
	if parsed.Unbundled {
		p.outlet, p.answer, err = sendUnbundled(ctx, p.e.parts.Sender, parsed, streamID, sendEvents{p})
	} else {
		p.outlet, p.answer, err = p.e.parts.Sender.Send(ctx, parsed, streamID, sendEvents{p})
	}
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

// transcodedVideo are the codecs that pictures can be transcoded to. Browsers must have both (RFC 7742, 5). Some have only
// the second one until they have downloaded the first.
var transcodedVideo = []media.Codec{media.H264, media.VP8}

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

// open gets a feed for each section that is used. It returns the stream's id for the answer.
func (p *Playback) open(offer *ParsedOffer) (streamID string, err error) {
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	for i, s := range offer.Used() {
		origin := binary.BigEndian.Uint32(random[4*(i%2):])
		t := &sendTrack{
			kind: s.Kind, codec: s.Codec, cut: NewPacketizer(PacketizerConfig{Codec: s.Codec}),
			clock: NewRTPClock(s.Codec, origin),
		}
		if err := p.feed(t); err != nil {
			return "", err
		}
		if s.Kind == media.Video {
			p.video = t
		} else {
			p.audio = t
		}
	}
	return fmt.Sprintf("%x", random), nil
}

// release releases the transcoded feeds and the player's place.
func (p *Playback) release() {
	p.releaseFeeds()
	p.e.players.Add(-1)
}

func (p *Playback) releaseFeeds() {
	for _, f := range p.releases {
		f()
	}
	p.releases = nil
}

// Hold lets the playback outlive its source: if the source ends, the playback waits up to limit for another publisher of
// the same name, and goes on with that one. It is called before Run.
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
func (p *Playback) AddCandidate(candidate string) error { return p.outlet.AddCandidate(candidate) }

// Stats returns the playback's figures.
func (p *Playback) Stats() PlayStats {
	st := p.outlet.Stats()
	st.Dropped = p.dropped.Load()
	if seen := p.seen.Load(); seen != nil {
		st.Video, st.Audio = seen[0], seen[1]
	}
	return st
}

// Run plays until the client leaves (one of this package's errors), until the source ends (ErrSourceEnded) and, after Hold,
// no other comes in time, or until ctx ends (its cause). The session is closed and joined when Run returns. Run must be
// called, once.
func (p *Playback) Run(ctx context.Context) error {
	defer p.release()
	cause := p.run(ctx)
	if err := p.outlet.Close(); err != nil {
		p.e.log.Debug("session closed badly", "stream", p.src.Info().Name, "err", err)
	}
	return cause
}

func (p *Playback) run(ctx context.Context) error {
	if err := p.connect(ctx); err != nil {
		return err
	}
	for {
		err := p.play(ctx)
		if !errors.Is(err, ErrSourceEnded) || !p.holds() {
			return err
		}
		p.setAway(true)
		next, err := p.await(ctx, err)
		if err != nil {
			return err
		}
		if err := p.join(next); err != nil && next.Err() == nil { // if next has ended already, play says so
			return err
		}
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
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-gone:
		return fmt.Errorf("%w: %w", ErrSourceEnded, p.src.Err())
	case err := <-p.closed:
		return err
	case <-limit.C:
		return ErrICETimeout
	case <-p.connected:
		return nil
	}
}

// await waits for another source of the same name. It returns ended if none comes in time.
func (p *Playback) await(ctx context.Context, ended error) (*stream.Source, error) {
	p.releaseFeeds()
	limit := time.NewTimer(p.hold)
	defer limit.Stop()
	for {
		added := p.sources.Added()
		if next, ok := p.sources.Source(p.src.Info().Name); ok && next != p.playing {
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

// join goes on with another source, in the codecs that were agreed on. What the new source sends may be unknown yet; it is
// assumed to send what the old one sent, until its first frame tells.
func (p *Playback) join(next *stream.Source) error {
	p.playing, p.shift, p.joined = next, next.Created().Sub(p.src.Created()), false
	for _, t := range []*sendTrack{p.video, p.audio} {
		if t == nil {
			continue
		}
		if err := p.feed(t); err != nil {
			return err
		}
	}
	p.e.log.Info("playback goes on with another publisher", "stream", p.src.Info().Name)
	return nil
}

// feed gives a track its feed of the playing source: the source's own, or a transcoded one if the source's codec is another.
func (p *Playback) feed(t *sendTrack) error {
	t.feed = p.playing.Video
	if t.kind == media.Audio {
		t.feed = p.playing.Audio
	}
	if now := t.feed.Track(); now != nil && now.Codec != t.codec {
		feed, release, err := p.e.parts.Transcode(p.playing, t.codec)
		if err != nil {
			return err
		}
		t.feed = feed
		p.releases = append(p.releases, release)
	}
	if t.kind == media.Video {
		p.shown.Store(t.feed)
	}
	return nil
}
