package flv

import (
	"fmt"

	"transponder/internal/media"
)

// Muxer turns a source's frames into the tags of one connection: metadata and headers where they are due, timestamps that
// begin at zero and only grow within a track.
//
// Audio that is made from the source comes a little after the video of the same moment, and is sent so: holding video back
// for it would delay every picture. Receivers order by timestamp.
type Muxer struct {
	// Metadata makes the onMetaData message, MetadataTag or PlayerMetadataTag; nil sends none.
	Metadata func(Metadata) Tag
	// WaitVideoMS is how many milliseconds of sound are held back for a first picture to come; 0 for sources without. A receiver that has seen
	// no video header at first may never look for one, so the wait is worth its while; a camera that is off must not stop a
	// show.
	WaitVideoMS int64
	// Announced returns the track of pictures that are to come and of which none has, nil if none is known. Where sound goes first, the
	// header of that track goes before it: some receivers look for headers in the first second or two only. nil: none is known.
	Announced func() *media.Track
	// Allowed says which of the codecs that FourCC knows may be sent; nil: none. A receiver that has not said that it takes
	// them would not show them.
	Allowed func(media.Codec) bool
	// Sound describes the sound for metadata that goes out before its first frame; nil: the AAC that is made by default.
	Sound *media.Track
	// FrameRate returns the source's frame rate for the metadata, 0 while it is unknown. When it becomes known, or another, the
	// metadata goes out again.
	FrameRate func() float64

	begun        bool
	base         media.Timestamp // the stream's time of the connection's zero
	firstAudio   media.Timestamp // seen while waiting for video
	heardAudio   bool
	video, audio *media.Track // of the last frame sent
	lastVideo    int64        // milliseconds; of the last tag sent
	lastAudio    int64
	rate         float64 // of the last metadata
	rateAt       int64   // milliseconds; when to look at the rate again
}

// rateEveryMS is how often the frame rate is looked at.
const rateEveryMS = 1000

// defaultSound is what is made of a stream's sound unless something else is asked for.
var defaultSound = &media.Track{Codec: media.AAC, SampleRate: 48000, Channels: 2}

// encoderName is what onMetaData calls us.
const encoderName = "Transponder"

// Append adds a frame's tags to tags: none while the connection has not begun, several when headers are due. It fails with
// ErrUnsupported for codecs that plain FLV does not have and that are not Allowed.
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
	ms := f.Time.Sub(m.base).Milliseconds()
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

// begin decides whether f is the first frame to be sent.
func (m *Muxer) begin(f media.Frame) bool {
	if f.Kind() == media.Audio {
		if !m.heardAudio {
			m.heardAudio, m.firstAudio = true, f.Time
		}
		if f.Time.Sub(m.firstAudio).Milliseconds() < m.WaitVideoMS {
			return false
		}
	}
	m.begun, m.base = true, f.Time
	m.lastVideo, m.lastAudio = -1, -1
	return true
}

// announce writes the headers of pictures that are to come.
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

// lateAfterMS is how long after the beginning of a connection a header can still be sent. Receivers that look for headers at the
// beginning do so for about two seconds.
const lateAfterMS = 1000

// Late says that f is the first of its kind, on a connection that has begun so long ago that receivers may not look for its header
// any more. A new connection would have both.
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

// rateHeader adds the metadata again if they had another frame rate.
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
	if m.video == nil || !first || !sameSound(t, m.sound()) { // else the first metadata has told already
		tags = m.appendMetadata(tags, ms)
	}
	return appendConfig(tags, t, ms)
}

// sound is what metadata says of the sound that is to come.
func (m *Muxer) sound() *media.Track {
	if m.Sound != nil {
		return m.Sound
	}
	return defaultSound
}

// sameSound says whether metadata describes both alike.
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
	tag := m.Metadata(data)
	tag.Time = uint32(ms)
	return append(tags, tag)
}
