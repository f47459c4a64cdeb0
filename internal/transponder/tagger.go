package transponder

import (
	"time"

	"transponder/internal/flv"
	"transponder/internal/media"
)

// videoWait is how long sound alone is held back for a source that said it would send pictures. A receiver that has seen
// no video header at first may never look for one, so the wait is worth its while; a camera that is off must not stop a show.
const videoWait = 3 * time.Second

// tagger turns a source's frames into the tags of one connection: metadata and headers where they are due, timestamps that
// begin at zero and only grow within a track.
//
// Audio that is made from the source (AAC) comes a little after the video of the same moment, and is sent so: holding video
// back for it would delay every picture. Receivers order by timestamp.
type tagger struct {
	metadata    bool           // send onMetaData
	expectVideo bool           // the source said that it has video
	frameRate   func() float64 // the source's, 0 while unknown

	begun        bool
	base         media.Timestamp // the stream's time of the connection's zero
	firstAudio   media.Timestamp // seen while waiting for video
	heardAudio   bool
	video, audio *media.Track // of the last frame sent
	lastVideo    int64        // milliseconds; of the last tag sent
	lastAudio    int64
}

// silenceTrack describes the AAC that every rendition makes, for metadata that goes out before its first frame.
var silenceTrack = &media.Track{Codec: media.AAC, SampleRate: 48000, Channels: 2}

// append adds a frame's tags to tags: none while the connection has not begun, several when headers are due.
func (g *tagger) append(tags []flv.Tag, f media.Frame) ([]flv.Tag, error) {
	if !g.begun && !g.begin(f) {
		return tags, nil
	}
	if f.Time < g.base {
		return tags, nil // sound from before the first picture
	}
	ms := f.Time.Sub(g.base).Milliseconds()
	if f.Kind() == media.Video {
		ms = max(ms, g.lastVideo+1)
		tags = g.videoHeaders(tags, f.Track, ms)
		g.lastVideo = ms
	} else {
		ms = max(ms, g.lastAudio+1)
		tags = g.audioHeaders(tags, f.Track, ms)
		g.lastAudio = ms
	}
	tag, err := flv.FrameTag(f, ms)
	if err != nil {
		return tags, err
	}
	return append(tags, tag), nil
}

// begin decides whether f is the first frame to be sent.
func (g *tagger) begin(f media.Frame) bool {
	if f.Kind() == media.Audio && g.expectVideo {
		if !g.heardAudio {
			g.heardAudio, g.firstAudio = true, f.Time
		}
		if f.Time.Sub(g.firstAudio) < videoWait {
			return false
		}
	}
	g.begun, g.base = true, f.Time
	g.lastVideo, g.lastAudio = -1, -1
	return true
}

func (g *tagger) videoHeaders(tags []flv.Tag, t *media.Track, ms int64) []flv.Tag {
	if t == g.video {
		return tags
	}
	g.video = t
	tags = g.appendMetadata(tags, ms)
	return appendConfig(tags, t, ms)
}

func (g *tagger) audioHeaders(tags []flv.Tag, t *media.Track, ms int64) []flv.Tag {
	if t == g.audio {
		return tags
	}
	first := g.audio == nil
	g.audio = t
	if g.video == nil || !first { // with video the first metadata has told already
		tags = g.appendMetadata(tags, ms)
	}
	return appendConfig(tags, t, ms)
}

func appendConfig(tags []flv.Tag, t *media.Track, ms int64) []flv.Tag {
	if tag, ok := flv.ConfigTag(t, ms); ok {
		tags = append(tags, tag)
	}
	return tags
}

func (g *tagger) appendMetadata(tags []flv.Tag, ms int64) []flv.Tag {
	if !g.metadata {
		return tags
	}
	m := flv.Metadata{Video: g.video, Audio: g.audio, FrameRate: g.frameRate(), Encoder: encoder}
	if m.Audio == nil {
		m.Audio = silenceTrack
	}
	tag := flv.MetadataTag(m)
	tag.Time = uint32(ms)
	return append(tags, tag)
}

// encoder is what onMetaData calls us.
const encoder = "Transponder"
