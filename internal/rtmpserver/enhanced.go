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

// examine learns from a frame what the message or the configuration leave out: some publishers never mark a key frame, and
// the configurations of AV1 and VP9 need not tell the picture size.
func (in *ingest) examine(v *flv.Video) {
	width, height := 0, 0
	switch v.Codec {
	case media.H265:
		v.Key = v.Key || hevcKey(v.Payload)
	case media.AV1:
		width, height = av1Size(v.Payload)
		v.Key = v.Key || width > 0
	case media.VP9:
		var h vp9.Header
		if h.Unmarshal(v.Payload) == nil && !h.NonKeyFrame && h.FrameSize != nil {
			v.Key, width, height = true, h.Width(), h.Height()
		}
	}
	if width > 0 && (width != in.video.Width || height != in.video.Height) {
		t := *in.video
		t.Width, t.Height = width, height
		in.video = &t
	}
}

// hevcKey says whether decoding may start at an access unit: whether its first slice is of a random access point (ITU-T
// H.265, 7.4.2.2).
func hevcKey(unit []byte) bool {
	for len(unit) > 0 {
		nal, rest, err := nextNAL(unit)
		if err != nil {
			return false
		}
		if len(nal) > 0 {
			kind := h265.NALUType(nal[0] >> 1 & 0x3f)
			if kind < h265.NALUType_VPS_NUT {
				return kind >= h265.NALUType_BLA_W_LP && kind <= h265.NALUType_CRA_NUT
			}
		}
		unit = rest
	}
	return false
}

// av1Size reads the sequence header that goes before a key frame in its temporal unit, 0 without one.
func av1Size(unit []byte) (width, height int) {
	for range 4 { // at most a delimiter and some metadata are before it
		var obu av1.OBUHeader
		var size av1.LEB128
		if obu.Unmarshal(unit) != nil || !obu.HasSize {
			return 0, 0
		}
		n, err := size.Unmarshal(unit[1:])
		if err != nil || int64(size) > int64(len(unit)-1-n) {
			return 0, 0
		}
		end := 1 + n + int(size)
		if obu.Type == av1.OBUTypeSequenceHeader {
			var h av1.SequenceHeader
			if h.Unmarshal(unit[:end]) != nil {
				return 0, 0
			}
			return h.Width(), h.Height()
		}
		unit = unit[end:]
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
			if kind == h265.NALUType_SPS_NUT {
				var sps h265.SPS
				if err := sps.Unmarshal(rest[2:end]); err != nil {
					return 0, 0, badFrame(err)
				}
				return sps.Width(), sps.Height(), nil
			}
			rest = rest[end:]
		}
	}
	return 0, 0, fmt.Errorf("%w: HEVC configuration without a sequence parameter set", errBadFrame)
}
