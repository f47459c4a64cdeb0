package flv

import (
	"fmt"

	"transponder/internal/media"
)

// Muxer turns the frames of a source into the tags of one connection. It adds metadata and headers where they are due. Timestamps begin at
// zero and only grow within a track.
//
// Transcoded audio comes a little later than the video of the same time, and is sent in that order: to wait for it would delay every picture.
// Receivers order frames by timestamp.
type Muxer struct {
	// Metadata makes the onMetaData message for a time in milliseconds: MetadataTag or PlayerMetadataTag; nil sends none.
	Metadata func(m Metadata, ms int64) Tag
	// WaitVideoMS is how many milliseconds of sound are held back while the first picture has not come; 0 for sources without pictures. A
	// receiver that gets no video header at first may never look for one, so waiting pays. The wait is bounded, since a camera may be
	// off.
	WaitVideoMS int64
	// Announced returns the track of pictures that are announced and have not come yet, nil if it is unknown. If sound is sent first, the
	// header of that track is sent before it, since some receivers look for headers only in the first second or two. A nil func: unknown.
	Announced func() *media.Track
	// Allowed reports whether a codec of FourCC may be sent; nil: none may. A receiver that does not offer a codec would not show it.
	Allowed func(media.Codec) bool
	// Sound is the track of the sound for metadata that is sent before the first sound; nil: AAC as it is made by default.
	Sound *media.Track
	// FrameRate returns the frame rate of the source for the metadata, 0 while it is unknown. The metadata is sent again when the rate
	// becomes known or changes.
	FrameRate func() float64

	begun        bool
	base         media.Timestamp // the time in the source at which the time of the connection is start
	start        int64           // milliseconds
	firstAudio   media.Timestamp // of the first sound while waiting for video
	heardAudio   bool
	video, audio *media.Track // of the last frame sent
	lastVideo    int64        // milliseconds; of the last tag sent
	lastAudio    int64
	rate         float64 // of the last metadata
	rateAt       int64   // milliseconds; when to look at the rate again
}

// rateEveryMS is how often the frame rate is checked.
const rateEveryMS = 1000

// defaultSound is the format of sound if the request and the settings name no other.
var defaultSound = &media.Track{Codec: media.AAC, SampleRate: 48000, Channels: 2}

// encoderName is the name of this server in onMetaData.
const encoderName = "Transponder"

// Append appends the tags of a frame to tags: none while the connection has not begun, several when headers are due. It fails with
// ErrUnsupported for codecs that plain FLV does not have and Allowed refuses.
func (m *Muxer) Append(tags []Tag, f media.Frame) ([]Tag, error) {
	if c := f.Track.Codec; FourCC(c) != "" && (m.Allowed == nil || !m.Allowed(c)) {
		return tags, fmt.Errorf("%w: %s", ErrUnsupported, c)
	}
	if !m.begun && !m.begin(f) {
		return tags, nil
	}
	if f.Time < m.base {
		return tags, nil // sound from before the first picture
	}
	ms := m.start + f.Time.Sub(m.base).Milliseconds()
	if f.Kind() == media.Audio && m.audio == nil && m.video == nil {
		tags = m.announce(tags, ms)
	}
	if f.Kind() == media.Video {
		ms = max(ms, m.lastVideo+1)
		tags = m.rateHeader(m.videoHeaders(tags, f.Track, ms), ms)
		m.lastVideo = ms
	} else {
		ms = max(ms, m.lastAudio+1)
		tags = m.audioHeaders(tags, f.Track, ms)
		m.lastAudio = ms
	}
	tag, err := FrameTag(f, ms)
	if err != nil {
		return tags, err
	}
	return append(tags, tag), nil
}

// begin decides whether f is the first frame to send.
func (m *Muxer) begin(f media.Frame) bool {
	if f.Kind() == media.Audio {
		if !m.heardAudio {
			m.heardAudio, m.firstAudio = true, f.Time
		}
		if f.Time.Sub(m.firstAudio).Milliseconds() < m.WaitVideoMS {
			return false
		}
	}
	// Connections that begin at different frames of a source give a frame times that differ by the same number of milliseconds.
	m.begun, m.base = true, f.Time.WholeMS()
	m.lastVideo, m.lastAudio = m.start-1, m.start-1
	return true
}

// GoOn makes the next frame the first one of another source, so many milliseconds after the last frame of the source before. The connection begins once more, but
// its time goes on.
func (m *Muxer) GoOn(afterMS int64) {
	if m.begun {
		m.start = max(m.lastVideo, m.lastAudio) + max(1, afterMS)
	}
	m.begun, m.heardAudio = false, false
	m.video, m.audio = nil, nil
}

// announce writes the headers of pictures that have not come yet.
func (m *Muxer) announce(tags []Tag, ms int64) []Tag {
	if m.Announced == nil {
		return tags
	}
	t := m.Announced()
	if t == nil || t.Codec != media.H264 && (FourCC(t.Codec) == "" || m.Allowed == nil || !m.Allowed(t.Codec)) {
		return tags
	}
	return m.videoHeaders(tags, t, ms)
}

// lateAfterMS is how long after the beginning of a connection a header can still be sent. Receivers that look for headers only at the
// beginning look for about two seconds.
const lateAfterMS = 1000

// Late reports whether f is the first frame of its kind on a connection that began so long ago that receivers may not look for the header
// any more. A new connection would begin with both kinds.
func (m *Muxer) Late(f media.Frame) bool {
	if !m.begun || f.Time.Sub(m.base).Milliseconds() <= lateAfterMS {
		return false
	}
	if f.Kind() == media.Video {
		return m.video == nil
	}
	return m.audio == nil
}

func (m *Muxer) videoHeaders(tags []Tag, t *media.Track, ms int64) []Tag {
	if t == m.video {
		return tags
	}
	m.video = t
	return appendConfig(m.appendMetadata(tags, ms), t, ms)
}

// rateHeader appends the metadata again if the frame rate has changed.
func (m *Muxer) rateHeader(tags []Tag, ms int64) []Tag {
	if m.Metadata == nil || ms < m.rateAt {
		return tags
	}
	m.rateAt = ms + rateEveryMS
	if rate := m.FrameRate(); rate == 0 || rate == m.rate {
		return tags
	}
	return m.appendMetadata(tags, ms)
}

func (m *Muxer) audioHeaders(tags []Tag, t *media.Track, ms int64) []Tag {
	if t == m.audio {
		return tags
	}
	first := m.audio == nil
	m.audio = t
	if m.video == nil || !first || !sameSound(t, m.sound()) { // else the first metadata contains the same
		tags = m.appendMetadata(tags, ms)
	}
	return appendConfig(tags, t, ms)
}

// sound returns the track of the sound for metadata that is sent before the first sound.
func (m *Muxer) sound() *media.Track {
	if m.Sound != nil {
		return m.Sound
	}
	return defaultSound
}

// sameSound reports whether metadata describes both tracks in the same way.
func sameSound(a, b *media.Track) bool {
	return a.Codec == b.Codec && a.SampleRate == b.SampleRate && a.Channels == b.Channels
}

func appendConfig(tags []Tag, t *media.Track, ms int64) []Tag {
	if tag, ok := ConfigTag(t, ms); ok {
		tags = append(tags, tag)
	}
	return tags
}

func (m *Muxer) appendMetadata(tags []Tag, ms int64) []Tag {
	if m.Metadata == nil {
		return tags
	}
	data := Metadata{Video: m.video, Audio: m.audio, FrameRate: m.FrameRate(), Encoder: encoderName}
	if data.Audio == nil {
		data.Audio = m.sound()
	}
	m.rate = data.FrameRate
	return append(tags, m.Metadata(data, ms))
}
