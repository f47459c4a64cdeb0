package rtc

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/av1"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/vp9"

	"transponder/internal/media"
)

// codedFrames makes frames of the units of every codec but H.264. Their tracks are as Enhanced RTMP carries them.
type codedFrames struct {
	track *media.Track // nil before the first key frame
	hevc  hevcSets
}

// frame returns a unit as a frame without time. It is not ok where the unit holds no picture, and before the first key frame
// that says what is to come: needKey says that another would help.
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

// describe reads a key frame.
func (f *codedFrames) describe(codec media.Codec, unit []byte) (media.Track, bool) {
	switch codec {
	case media.VP8:
		width, height, ok := vp8Size(unit)
		return media.Track{Codec: codec, Width: width, Height: height}, ok
	case media.VP9:
		return vp9Track(unit)
	case media.AV1:
		return av1Track(av1Sequence(unit))
	case media.H265:
		return f.hevc.track()
	default:
		return media.Track{}, false
	}
}

// unspecified is how the records of VP9 call colours that are not told (ISO/IEC 23091-2).
const unspecified = 2

// vp9Track makes a VPCodecConfigurationRecord (VP Codec ISO Media File Format Binding, 1.0). Its level stays undefined.
func vp9Track(unit []byte) (media.Track, bool) {
	var h vp9.Header
	if h.Unmarshal(unit) != nil || h.NonKeyFrame || h.FrameSize == nil || h.ColorConfig == nil {
		return media.Track{}, false
	}
	c := h.ColorConfig
	subsampling := byte(3) // 4:4:4
	switch {
	case c.SubsamplingX && c.SubsamplingY:
		subsampling = 1
	case c.SubsamplingX:
		subsampling = 2
	}
	record := []byte{1, 0, 0, 0, h.Profile, 0, c.BitDepth<<4 | subsampling<<1 | bit(c.ColorRange, 0), unspecified, unspecified, unspecified, 0, 0}
	return media.Track{Codec: media.VP9, Config: record, Width: h.Width(), Height: h.Height()}, true
}

// av1Track makes an AV1CodecConfigurationRecord (AV1 Codec ISO Media File Format Binding, 2.3) of a sequence header OBU.
func av1Track(obu []byte) (media.Track, bool) {
	var h av1.SequenceHeader
	if obu == nil || h.Unmarshal(obu) != nil || len(h.SeqLevelIdx) == 0 {
		return media.Track{}, false
	}
	c := h.ColorConfig
	tier := len(h.SeqTier) > 0 && h.SeqTier[0]
	record := []byte{
		0x81,
		h.SeqProfile<<5 | h.SeqLevelIdx[0]&0x1f,
		bit(tier, 7) | bit(c.HighBitDepth, 6) | bit(c.TwelveBit, 5) | bit(c.MonoChrome, 4) | bit(c.SubsamplingX, 3) |
			bit(c.SubsamplingY, 2) | byte(c.ChromaSamplePosition)&3,
		0,
	}
	return media.Track{Codec: media.AV1, Config: append(record, obu...), Width: h.Width(), Height: h.Height()}, true
}

// bit is a flag at a place of a byte.
func bit(on bool, place uint) byte {
	if on {
		return 1 << place
	}
	return 0
}

// hevcSets are the parameter sets of a stream of HEVC, the last of each kind.
type hevcSets struct{ vps, sps, pps []byte }

// take keeps a unit's parameter sets and returns the rest of it, nil if that is no picture.
func (s *hevcSets) take(unit []byte) []byte {
	data := make([]byte, 0, len(unit))
	picture := false
	for nal := range NALUnits(unit) {
		switch t := hevcType(nal[0]); t {
		case hevcVPS:
			keep(&s.vps, nal)
		case hevcSPS:
			keep(&s.sps, nal)
		case hevcPPS:
			keep(&s.pps, nal)
		case hevcAUD, hevcFiller:
		default:
			picture = picture || t < hevcVPS
			data = binary.BigEndian.AppendUint32(data, uint32(len(nal)))
			data = append(data, nal...)
		}
	}
	if !picture {
		return nil
	}
	return data
}

func keep(set *[]byte, nal []byte) {
	if !bytes.Equal(*set, nal) {
		*set = bytes.Clone(nal)
	}
}

// track makes an HEVCDecoderConfigurationRecord (ISO/IEC 14496-15, 8.3.3.1) of the parameter sets.
func (s *hevcSets) track() (media.Track, bool) {
	var sps h265.SPS
	if s.vps == nil || s.pps == nil || sps.Unmarshal(s.sps) != nil {
		return media.Track{}, false
	}
	plain := h264.EmulationPreventionRemove(s.sps) // two bytes of header and one before the profile
	const profile = 12
	if len(plain) < 3+profile {
		return media.Track{}, false
	}
	record := append([]byte{1}, plain[3:3+profile]...)
	record = append(record,
		0xf0, 0, // no least segmentation
		0xfc, // parallelism unknown
		0xfc|byte(sps.ChromaFormatIdc),
		0xf8|byte(sps.BitDepthLumaMinus8),
		0xf8|byte(sps.BitDepthChromaMinus8),
		0, 0, // no average rate
		(sps.MaxSubLayersMinus1+1)<<3|bit(sps.TemporalIDNestingFlag, 2)|3, // lengths of 4 bytes
		3)
	for _, set := range [][]byte{s.vps, s.sps, s.pps} {
		record = append(record, 0x80|hevcType(set[0]), 0, 1)
		record = binary.BigEndian.AppendUint16(record, uint16(len(set)))
		record = append(record, set...)
	}
	return media.Track{Codec: media.H265, Config: slices.Clip(record), Width: sps.Width(), Height: sps.Height()}, true
}
