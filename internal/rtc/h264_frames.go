package rtc

import (
	"encoding/binary"

	"transponder/internal/media"
)

// h264Frames makes frames from access units of H.264. Parameter sets go into the track, and not into the frame. There is no
// frame before the first key frame with its parameter sets.
type h264Frames struct {
	sets  media.H264Sets
	track *media.Track
}

// frame returns a unit as a frame without a time. It is not ok if the unit holds no picture, or if decoders cannot start
// with it or, after new parameter sets, go on with it; then needKey says that a key frame is needed.
func (f *h264Frames) frame(unit []byte, key bool) (_ media.Frame, ok, needKey bool) {
	size := 0
	picture := false
	for nal := range media.EachNAL(unit) {
		switch t := nal[0] & nalTypeMask; {
		case t == nalSPS, t == nalPPS:
			f.sets.Add(nal)
		case t != nalAUD && t != nalFiller:
			size += 4 + len(nal)
			picture = picture || t >= nalSlice && t <= nalIDR
		}
	}
	if !picture {
		return media.Frame{}, false, false
	}
	if key && (f.sets.Changed() || f.track == nil) {
		f.track, _ = f.sets.Track() // nil without parameter sets
	}
	if f.track == nil || !key && f.sets.Changed() {
		return media.Frame{}, false, true
	}
	data := make([]byte, 0, size)
	for nal := range media.EachNAL(unit) {
		switch nal[0] & nalTypeMask {
		case nalSPS, nalPPS, nalAUD, nalFiller:
		default:
			data = binary.BigEndian.AppendUint32(data, uint32(len(nal)))
			data = append(data, nal...)
		}
	}
	return media.Frame{Track: f.track, Key: key, Data: data}, true, false
}
