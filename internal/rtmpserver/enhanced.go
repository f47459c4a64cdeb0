package rtmpserver

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/av1"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/vp9"

	"transponder/internal/flv"
	"transponder/internal/media"
)

// configureEnhanced begins a sequence of HEVC, AV1 or VP9. Their configurations are passed on as they came.
func (in *ingest) configureEnhanced(v flv.Video) error {
	if len(v.Payload) == 0 {
		return fmt.Errorf("%w: configuration without a word", errBadFrame)
	}
	t := media.Track{Codec: v.Codec, Config: v.Payload}
	if v.Codec == media.H265 {
		var err error
		if t.Width, t.Height, err = hevcSize(v.Payload); err != nil {
			return err
		}
	}
	if old := in.video; old == nil || old.Codec != t.Codec || !bytes.Equal(old.Config, t.Config) {
		in.video = &t
	}
	return nil
}

// learnSize takes the picture size from a key frame where the configuration does not tell it.
func (in *ingest) learnSize(key []byte) {
	width, height := 0, 0
	switch in.video.Codec {
	case media.AV1:
		width, height = av1Size(key)
	case media.VP9:
		var h vp9.Header
		if h.Unmarshal(key) == nil && !h.NonKeyFrame && h.FrameSize != nil {
			width, height = h.Width(), h.Height()
		}
	}
	if width > 0 && (width != in.video.Width || height != in.video.Height) {
		t := *in.video
		t.Width, t.Height = width, height
		in.video = &t
	}
}

// av1Size reads the sequence header in a temporal unit, 0 without one.
func av1Size(unit []byte) (width, height int) {
	var obus av1.Bitstream
	if obus.Unmarshal(unit) != nil {
		return 0, 0
	}
	for _, obu := range obus {
		var h av1.SequenceHeader
		if av1.OBUType(obu[0]>>3&0x0f) == av1.OBUTypeSequenceHeader && h.Unmarshal(obu) == nil {
			return h.Width(), h.Height()
		}
	}
	return 0, 0
}

// hevcSize reads the picture size from an HEVCDecoderConfigurationRecord (ISO/IEC 14496-15, 8.3.3.1). Like H.264's, only
// records for 4-byte NAL unit lengths are taken.
func hevcSize(record []byte) (width, height int, err error) {
	const header = 22 // bytes before the number of arrays
	if len(record) <= header || record[0] != 1 || record[21]&3 != 3 {
		return 0, 0, fmt.Errorf("%w: unusable HEVC configuration", errBadFrame)
	}
	rest := record[header+1:]
	for range record[header] {
		if len(rest) < 3 {
			return 0, 0, fmt.Errorf("%w: HEVC configuration ends early", errBadFrame)
		}
		kind, n := h265.NALUType(rest[0]&0x3f), binary.BigEndian.Uint16(rest[1:])
		rest = rest[3:]
		for range n {
			if len(rest) < 2 || len(rest)-2 < int(binary.BigEndian.Uint16(rest)) {
				return 0, 0, fmt.Errorf("%w: HEVC configuration ends early", errBadFrame)
			}
			end := 2 + int(binary.BigEndian.Uint16(rest))
			var sps h265.SPS
			if kind == h265.NALUType_SPS_NUT && sps.Unmarshal(rest[2:end]) == nil {
				return sps.Width(), sps.Height(), nil
			}
			rest = rest[end:]
		}
	}
	return 0, 0, fmt.Errorf("%w: HEVC configuration without a sequence parameter set", errBadFrame)
}
