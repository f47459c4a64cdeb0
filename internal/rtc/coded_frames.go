package rtc

import (
	"bytes"
	"encoding/binary"

	"transponder/internal/media"
)

// codedFrames makes frames from the access units of all codecs except H.264. The tracks have the form that Enhanced RTMP needs.
type codedFrames struct {
	track *media.Track // nil before the first key frame
	hevc  hevcFrames
}

// frame returns a unit as a frame without a time. It is not ok if the unit holds no picture, or comes before the first
// usable key frame; then needKey says that a key frame is needed.
func (f *codedFrames) frame(codec media.Codec, unit []byte, key bool) (_ media.Frame, ok, needKey bool) {
	data := unit
	if codec == media.H265 {
		if data = f.hevc.take(unit); data == nil {
			return media.Frame{}, false, false
		}
	}
	if key {
		if t, ok := f.describe(codec, unit); ok && !sameTrack(f.track, t) {
			f.track = &t
		}
	}
	if f.track == nil {
		return media.Frame{}, false, true
	}
	if codec != media.H265 {
		data = bytes.Clone(unit)
	}
	return media.Frame{Track: f.track, Key: key, Data: data}, true, false
}

func sameTrack(a *media.Track, b media.Track) bool {
	return a != nil && a.Codec == b.Codec && a.Width == b.Width && a.Height == b.Height && bytes.Equal(a.Config, b.Config)
}

// describe returns the track that a key frame describes.
func (f *codedFrames) describe(codec media.Codec, unit []byte) (media.Track, bool) {
	switch codec {
	case media.VP8:
		width, height, ok := vp8Size(unit)
		return media.Track{Codec: codec, Width: width, Height: height}, ok
	case media.VP9:
		return media.VP9Track(unit)
	case media.AV1:
		return media.AV1Track(unit)
	case media.H265:
		return f.hevc.sets.Track()
	default:
		return media.Track{}, false
	}
}

// hevcFrames takes the parameter sets out of access units.
type hevcFrames struct{ sets media.H265Sets }

// take keeps the parameter sets of a unit and returns the rest, nil if the rest holds no picture.
func (s *hevcFrames) take(unit []byte) []byte {
	data := make([]byte, 0, len(unit))
	picture := false
	for nal := range media.EachNAL(unit) {
		t := hevcType(nal[0])
		if s.sets.Add(nal) || t == hevcAUD || t == hevcFiller {
			continue
		}
		picture = picture || t < hevcVPS
		data = binary.BigEndian.AppendUint32(data, uint32(len(nal)))
		data = append(data, nal...)
	}
	if !picture {
		return nil
	}
	return data
}
