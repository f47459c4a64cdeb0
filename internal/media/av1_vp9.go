package media

import (
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/av1"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/vp9"
)

// unspecified is the value for unknown colours in records of VP9 (ISO/IEC 23091-2).
const unspecified = 2

// VP9Track makes the track of the pictures that begin with a key frame, with a VPCodecConfigurationRecord (VP Codec ISO Media File Format
// Binding, 1.0). The level in the record is undefined. ok is false for any other frame.
func VP9Track(unit []byte) (_ Track, ok bool) {
	var h vp9.Header
	if h.Unmarshal(unit) != nil || h.NonKeyFrame || h.FrameSize == nil || h.ColorConfig == nil {
		return Track{}, false
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
	return Track{Codec: VP9, Config: record, Width: h.Width(), Height: h.Height()}, true
}

// AV1Track makes the track of the pictures that begin with a key frame, with an AV1CodecConfigurationRecord (AV1 Codec ISO Media File Format
// Binding, 2.3). ok is false for a temporal unit without a sequence header.
func AV1Track(unit []byte) (_ Track, ok bool) {
	obu := AV1Sequence(unit)
	var h av1.SequenceHeader
	if obu == nil || h.Unmarshal(obu) != nil || len(h.SeqLevelIdx) == 0 {
		return Track{}, false
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
	return Track{Codec: AV1, Config: append(record, obu...), Width: h.Width(), Height: h.Height()}, true
}

// AV1Sequence returns the sequence header OBU before a key frame in its temporal unit (AV1 specification, 7.5), nil if there is none.
func AV1Sequence(unit []byte) []byte {
	for len(unit) > 0 {
		var header av1.OBUHeader
		var size av1.LEB128
		if header.Unmarshal(unit) != nil || !header.HasSize {
			return nil
		}
		at := 1
		if unit[0]&4 != 0 { // an extension
			at++
		}
		if at >= len(unit) {
			return nil
		}
		n, err := size.Unmarshal(unit[at:])
		if err != nil || int64(size) > int64(len(unit)-at-n) {
			return nil
		}
		end := at + n + int(size)
		switch header.Type {
		case av1.OBUTypeSequenceHeader:
			return unit[:end]
		case obuFrameHeader, obuFrame:
			return nil
		}
		unit = unit[end:]
	}
	return nil
}

// OBU types (AV1 specification, 6.2.2).
const (
	obuFrameHeader av1.OBUType = 3
	obuFrame       av1.OBUType = 6
)

// bit returns a flag at a position of a byte.
func bit(on bool, place uint) byte {
	if on {
		return 1 << place
	}
	return 0
}
