package transponder

import (
	"cmp"
	"time"

	"transponder/internal/media"
	"transponder/internal/stream"
)

const (
	// standInAfter is how long a push waits for pictures that the publisher has announced, before it shows its still. It is shorter than
	// videoWait, for which the sound is held back, so that the connection begins with both.
	standInAfter = 2 * time.Second
	// lookEvery is how often the holder looks whether the stream has pictures.
	lookEvery = 250 * time.Millisecond
	// standInWidth and standInHeight are the size of the still if neither the request nor the stream names one.
	standInWidth, standInHeight = 1280, 720
)

// pictureCard is the value of Options.Picture for a card with the title of the stream, or else its name. Other values are names of files.
const pictureCard = "card"

// standIn is what a holder knows of the still that stands in for pictures. The owner of the holder owns it.
type standIn struct {
	lookedAt  time.Time // when the holder last looked whether the stream has pictures
	pictureAt time.Time // when the last picture of the stream came
	shown     bool      // while pictures are made up: they are the still, and not the last picture before a hold
}

// look shows the still if the stream has no pictures. The still stays until a key frame of the stream comes.
func (h *holder) look() {
	now := time.Now()
	if h.cfg.standIn == nil || h.reader == nil || h.held || now.Sub(h.stand.lookedAt) < lookEvery {
		return
	}
	h.stand.lookedAt = now
	if h.bridge.pictures && h.stand.shown || !h.stand.missing(h.src, now) {
		return
	}
	size := h.bridge.last.Track
	if size == nil {
		size = &media.Track{}
	}
	still, err := h.cfg.standIn(size.Width, size.Height)
	if err != nil {
		h.cfg.standIn = nil
		h.cfg.log.Warn("the picture for a stream without pictures cannot be shown", "err", err)
		return
	}
	h.cfg.log.Info("the stream has no pictures, a still is sent")
	h.stand.shown = true
	h.blind.Store(false)
	h.bridge.show(still, h.made())
}

// missing reports whether a source sends no pictures, and none is to be expected soon.
func (s *standIn) missing(src *stream.Source, now time.Time) bool {
	st := src.Video.Stats()
	switch {
	case st.Frames == 0:
		return !src.HasVideo() || src.LiveFor() >= standInAfter
	case src.HasVideo():
		return st.Missing
	default: // the publisher has taken them back
		return now.Sub(s.pictureAt) >= standInAfter
	}
}

// made returns the time of a frame that is made up now. The frame is as late as the outgoing buffer makes the sound.
func (h *holder) made() media.Timestamp { return h.Now().Add(-h.Buffered().Delay) }

// standInSize returns the size of the still: the size of the pictures before, or of the request, or the default.
func (p *push) standInSize(width, height int) (int, int) {
	switch {
	case width > 0 && height > 0:
		return width, height
	case p.profile.Height > 0 && p.profile.Width > 0:
		return p.profile.Width, p.profile.Height
	case p.profile.Height > 0:
		return even(p.profile.Height * 16 / 9), p.profile.Height
	default:
		return standInWidth, standInHeight
	}
}

// standIn returns the still that stands in for pictures, in the size of the pictures that were sent before, if there were some.
func (p *push) standIn(width, height int) (media.Frame, error) {
	width, height = p.standInSize(width, height)
	if p.req.Options.Picture == pictureCard {
		info := p.source().Info()
		return p.parts.Stills.Card(cmp.Or(info.Title, info.Name), width, height)
	}
	return p.parts.Stills.Frame(p.req.Options.Picture, width, height)
}

// checkStandIn refuses a still that cannot be shown.
func (r *Registry) checkStandIn(req Request) error {
	if name := req.Options.Picture; name != "" && name != pictureCard {
		if err := r.parts.Stills.Check(name); err != nil {
			return &RequestError{"options.picture", err.Error()}
		}
	}
	return nil
}
