package transponder

import (
	"transponder/internal/stream"
	"transponder/internal/transcode/picture"
)

// VideoRenditions transcodes the pictures of streams; *picture.Transcoder does.
type VideoRenditions interface {
	// Check fails with picture.ErrDisabled if the settings forbid transcoding.
	Check() error
	// Admit reserves what a rendition costs. It fails with *picture.BusyError if the machine has no room, and as Check does.
	Admit(s *stream.Source, p picture.Profile) error
	// Feed returns the feed of a rendition. Callers that ask for the same rendition share it. The caller calls release once, when it no
	// longer needs the feed.
	Feed(s *stream.Source, p picture.Profile) (feed *stream.Feed, release func(), err error)
	// Stats returns the figures of a rendition, false if there is none now.
	Stats(s *stream.Source, p picture.Profile) (picture.Stats, bool)
}

// transcodes reports whether the request asks for other pictures than those of the stream. A width alone does not.
func (r Request) transcodes() bool {
	return r.Height > 0 || r.KeyFrameInterval > 0 || r.FPS > 0 || r.Options.RateBPS > 0
}

// profile returns the profile of the rendition that the request asks for.
func (r Request) profile(keepAspect bool) picture.Profile {
	p := picture.Profile{
		Height: even(r.Height), FPS: r.FPS, KeyFrameInterval: r.KeyFrameInterval, RateBPS: r.Options.RateBPS,
		Letterbox: r.Options.Fit == fitLetterbox,
	}
	switch {
	case p.Letterbox && r.Width == 0:
		p.Width = p.Height * 16 / 9 &^ 1
	case r.Height > 0 && (p.Letterbox || !keepAspect):
		p.Width = even(r.Width)
	}
	return p
}

// even makes a side even. 1 becomes 2, not 0: that is the smallest side, and too small, so it is refused.
func even(side int) int {
	if side == 1 {
		return 2
	}
	return side &^ 1
}

// fitLetterbox is Options.Fit for a canvas that keeps its size.
const fitLetterbox = "letterbox"

// checkPicture refuses sizes and rates that no encoder makes.
func (r *Registry) checkPicture(req Request) error {
	switch {
	case req.Width < 0 || req.Height < 0 || req.KeyFrameInterval < 0 || req.FPS < 0 || req.Options.RateBPS < 0:
		return &RequestError{"width, height, keyFrameInterval, fps, options.bitrate", "none of them may be negative"}
	case req.Options.Fit != "" && req.Options.Fit != fitLetterbox:
		return &RequestError{"options.fit", `it must be "letterbox"`}
	case req.Options.Fit != "" && req.Height == 0:
		return &RequestError{"options.fit", "it needs a height"}
	case !req.transcodes():
		return nil
	}
	if err := req.profile(r.cfg.KeepAspect).Validate(); err != nil {
		return &RequestError{"width, height, keyFrameInterval, fps, options.bitrate", err.Error()}
	}
	return r.parts.Video.Check()
}
