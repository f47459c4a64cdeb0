package transponder

import (
	"cmp"
	"context"
	"time"

	"transponder/internal/media"
	"transponder/internal/stream"
	"transponder/internal/transcode/picture"
)

// videoWait is how long a push waits for a source's first picture before it goes on with the sound alone.
const videoWait = 3 * time.Second

// holding says how the stream is read, and what happens when it ends.
func (p *push) holding() holderConfig {
	cfg := holderConfig{
		hub: p.parts.Hub, log: p.log, sound: p.sound, converted: p.converted, changed: p.held, buffer: p.cfg.Buffer,
		silent: p.silent, maxLag: p.cfg.MaxDelay,
	}
	if p.req.transcodes() {
		cfg.pictures = p.pictures
	}
	if o := p.req.Options; o.OnSourceLoss == "hold" {
		cfg.grace = cmp.Or(o.HoldFor, p.cfg.HoldFor)
		if o.Slate != "" {
			cfg.slate = func(w, h int) (media.Frame, error) { return p.parts.Stills.Frame(o.Slate, w, h) }
		}
	}
	return cfg
}

// sound is what is sent of a source's: AAC made of it, or itself where the request allows Opus and the server offers it.
func (p *push) sound(s *stream.Source) (*stream.Feed, func(), error) {
	if track := s.Audio.Track(); p.opus && track != nil && track.Codec == media.Opus {
		return s.Audio, func() {}, nil
	}
	return p.parts.Audio.Feed(s, p.req.Options.Audio)
}

// silent describes the sound that is made of a source's, for silence when there is none.
func (p *push) silent() *media.Track {
	track := *p.parts.Audio.Expect(p.source(), p.req.Options.Audio)
	if track.Codec == media.AAC && track.Config == nil {
		// Without it there is no silence, which players survive.
		track.Config, _ = media.AACConfig(track.SampleRate, track.Channels)
	}
	return &track
}

// pictures is what is sent of a source's: a rendition where the request asks for one, nothing of its own otherwise.
func (p *push) pictures(s *stream.Source) (*stream.Feed, func(), error) {
	return p.parts.Video.Feed(s, p.profile)
}

// converted is a rendition of pictures that the far end does not take as they are.
func (p *push) converted(s *stream.Source) (*stream.Feed, func(), error) {
	if err := p.parts.Video.Admit(s, p.profile); err != nil {
		return nil, nil, err
	}
	p.log.Info("pictures are transcoded", "from", s.Video.Track().Codec)
	return p.parts.Video.Feed(s, p.profile)
}

// transcoder returns the figures of what makes the push's pictures, false where nothing does.
func (p *push) transcoder() (picture.Stats, bool) {
	return p.parts.Video.Stats(p.source(), p.profile)
}

// source is what is read now, or was last.
func (p *push) source() *stream.Source { return p.in.Source() }

// held is told that the stream is gone, and of the source by which it goes on.
func (p *push) held(back *stream.Source) {
	if back != nil {
		p.log.Info("push has its stream back", "provider", back.Info().Provider)
		p.moveFrom([]State{Holding}, Status{State: Live})
		return
	}
	p.log.Info("push holds", "err", p.source().Err())
	p.moveFrom([]State{Live, Degraded}, holdingStatus)
}

var holdingStatus = Status{
	State: Holding, Reason: ReasonSourceLost, Detail: "The stream's publisher is gone. A picture and silence are sent until it returns.",
}

// readError says whether the reader ended because of the stream, the push, or what makes the sound.
func (p *push) readError(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case p.source().Err() != nil:
		return &sourceError{p.source().Err()}
	default:
		return err
	}
}
