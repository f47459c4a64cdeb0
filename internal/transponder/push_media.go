package transponder

import (
	"cmp"
	"context"
	"time"

	"transponder/internal/media"
	"transponder/internal/stream"
	"transponder/internal/transcode/picture"
)

// videoWait is how long a push waits for the first picture of a source before it sends the sound alone.
const videoWait = 3 * time.Second

// holding says how the holder reads the stream, and what it does when the stream ends.
func (p *push) holding() holderConfig {
	cfg := holderConfig{
		hub: p.parts.Hub, log: p.log, sound: p.sound, converted: p.converted, changed: p.sourceChanged, buffer: p.cfg.Buffer,
		silent: p.silent, maxLag: p.cfg.MaxDelay, takes: p.takes, switched: p.sourceSwitched,
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
	if p.req.Options.Picture != "" {
		cfg.standIn = p.standIn
	}
	return cfg
}

// spares returns the sources that the push may send beside its stream's publisher; nil if there can be none.
func (p *push) spares() *spares {
	o := p.req.Options
	if len(o.BackupStreams) == 0 && !p.parts.Hub.StandsBy() {
		return nil
	}
	return newSpares(p.req.names(), cmp.Or(o.BackupAfter, p.cfg.BackupAfter), o.Return == returnManual)
}

// takes reports whether the present server takes pictures of a codec as they are.
func (p *push) takes(c media.Codec) bool {
	p.mu.Lock()
	l := p.link
	p.mu.Unlock()
	return c == media.H264 || l == nil || l.passes(c)
}

// sourceSwitched is called when the push sends another source than before.
func (p *push) sourceSwitched(_ *stream.Source, why SwitchCause) {
	p.switches.Add(1)
	p.switched.note(why)
	p.tellSource()
}

// sound returns the feed of the sound that is sent: AAC, or the Opus of the source if the request allows Opus and the server offers it.
func (p *push) sound(s *stream.Source) (*stream.Feed, func(), error) {
	if track := s.Audio.Track(); p.opus && track != nil && track.Codec == media.Opus {
		return s.Audio, func() {}, nil
	}
	return p.parts.Audio.Feed(s, p.req.Options.Audio)
}

// silent describes the sound that is made of the source's sound. It is needed to send silence when there is no sound.
func (p *push) silent() *media.Track {
	track := *p.parts.Audio.Expect(p.source(), p.req.Options.Audio)
	if track.Codec == media.AAC && track.Config == nil {
		// If this fails there is no silence. Players cope with that.
		track.Config, _ = media.AACConfig(track.SampleRate, track.Channels)
	}
	return &track
}

// pictures returns the feed of the rendition that the request asks for.
func (p *push) pictures(s *stream.Source) (*stream.Feed, func(), error) {
	return p.parts.Video.Feed(s, p.profile)
}

// converted returns the feed of a rendition of pictures that the server does not take as they are.
func (p *push) converted(s *stream.Source) (*stream.Feed, func(), error) {
	if err := p.parts.Video.Admit(s, p.profile); err != nil {
		return nil, nil, err
	}
	p.log.Info("pictures are transcoded", "from", s.Video.Track().Codec)
	return p.parts.Video.Feed(s, p.profile)
}

// transcoder returns the figures of the rendition that is sent, false if the pictures are not transcoded.
func (p *push) transcoder() (picture.Stats, bool) {
	if p.front != nil && p.front.req.transcodes() {
		return p.front.transcoder()
	}
	return p.parts.Video.Stats(p.source(), p.profile)
}

// published returns the source whose figures say how the publisher is doing. For a leg that is the one which its push reads.
func (p *push) published() *stream.Source {
	if p.front != nil {
		return p.front.source()
	}
	return p.source()
}

// source returns the source that is read now, or was read last.
func (p *push) source() *stream.Source { return p.in.Source() }

// sourceChanged is called with nil when the stream is lost and the hold begins, and with the new source when the hold ends.
func (p *push) sourceChanged(back *stream.Source) {
	if back != nil {
		p.log.Info("push has its stream back", "provider", back.Info().Provider)
		if p.req.Options.Simultaneous {
			p.legs.holding(false)
			return
		}
		p.moveFrom([]State{Holding}, pushStatus{State: Live})
		return
	}
	p.log.Info("push holds", "err", p.source().Err())
	if p.req.Options.Simultaneous {
		p.legs.holding(true)
		return
	}
	p.moveFrom([]State{Live, Degraded}, p.held())
}

// holdingStatus is that of a push whose stream has no publisher.
var holdingStatus = pushStatus{
	State: Holding, Reason: ReasonSourceLost, Detail: "The stream's publisher is gone. A picture and silence are sent until it returns.",
}

// held returns the status of a push that holds now.
func (p *push) held() pushStatus {
	if p.source().Err() == nil {
		return pushStatus{
			State: Holding, Reason: ReasonNoMedia, Detail: "The stream's publisher sends nothing. A picture and silence are sent until it does.",
		}
	}
	return holdingStatus
}

// readError returns why reading failed: the end of the push, the end of the stream, or else err, which comes from a rendition.
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
