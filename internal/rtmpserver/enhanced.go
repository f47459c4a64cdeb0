package rtmpserver

import (
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"

	"transponder/internal/flv"
	"transponder/internal/media"
)

// examine reads from a frame what the message and the configuration do not say. Some publishers mark no key frames, the configurations of
// AV1 and VP9 may lack the picture size, and some publishers send no readable configuration.
func (in *ingest) examine(v *flv.Video) {
	var t media.Track
	var ok bool
	switch v.Codec {
	case media.H265:
		v.Key = v.Key || hevcKey(v.Payload)
		for nal := range media.EachNAL(v.Payload) {
			in.h265.Add(nal)
		}
		if in.h265.Changed() {
			if t, ok := in.h265.Track(); ok {
				in.video = &t
			}
		}
		return
	case media.AV1:
		t, ok = media.AV1Track(v.Payload)
	case media.VP9:
		t, ok = media.VP9Track(v.Payload)
	}
	if !ok {
		return
	}
	v.Key = true
	if old := in.video; old != nil && old.Codec == t.Codec {
		if old.Width == t.Width && old.Height == t.Height {
			return
		}
		t.Config = old.Config // that of the publisher, which says more
	}
	in.video = &t
}

// hevcKey reports whether decoding can start at an access unit, which is so if its first slice belongs to a random access point (ITU-T H.265,
// 7.4.2.2).
func hevcKey(unit []byte) bool {
	for nal := range media.EachNAL(unit) {
		kind := h265.NALUType(nal[0] >> 1 & 0x3f)
		if kind < h265.NALUType_VPS_NUT {
			return kind >= h265.NALUType_BLA_W_LP && kind <= h265.NALUType_CRA_NUT
		}
	}
	return false
}
