package media

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
)

// ErrH265Config means that bytes are not an HEVCDecoderConfigurationRecord that this package can use.
var ErrH265Config = errors.New("not a usable HEVC decoder configuration record")

// H265Sets collects parameter sets from the NAL units of a stream, and keeps the last of each kind. The zero value has none.
type H265Sets struct {
	vps, sps, pps []byte
	changed       bool
}

// Changed reports whether a set was added that the last Track or Load did not contain.
func (s *H265Sets) Changed() bool { return s.changed }

// Add adds a copy of a NAL unit if it is a parameter set, and reports whether it is one.
func (s *H265Sets) Add(nal []byte) bool {
	var set *[]byte
	switch h265.NALUType(nal[0] >> 1 & 0x3f) {
	case h265.NALUType_VPS_NUT:
		set = &s.vps
	case h265.NALUType_SPS_NUT:
		set = &s.sps
	case h265.NALUType_PPS_NUT:
		set = &s.pps
	default:
		return false
	}
	if !bytes.Equal(*set, nal) {
		*set, s.changed = bytes.Clone(nal), true
	}
	return true
}

// Load replaces all sets by the sets of a decoder configuration record.
func (s *H265Sets) Load(record []byte) {
	*s = H265Sets{}
	_ = h265Sets(record, func(nal []byte) { s.Add(nal) }) // ParseH265Config reports the errors
	s.changed = false
}

// ParseH265Config makes a track from the HEVCDecoderConfigurationRecord of a publisher, as ParseH264Config does.
func ParseH265Config(record []byte) (track *Track, form NALForm, err error) {
	if hasStartCode(record) {
		var sets H265Sets
		for nal := range startCoded(record) {
			sets.Add(nal)
		}
		if t, ok := sets.Track(); ok {
			return &t, NALStartCodes, nil
		}
		return nil, NALStartCodes, fmt.Errorf("%w: no parameter sets", ErrH265Config)
	}
	if len(record) <= h265Header || record[0] != 1 {
		return nil, NALLengths4, ErrH265Config
	}
	form, ok := lengthsOf(record[h265Header-1])
	if !ok {
		return nil, NALLengths4, fmt.Errorf("%w: 3-byte NAL unit lengths", ErrH265Config)
	}
	err = h265Sets(record, func(nal []byte) {
		var sps h265.SPS
		if track == nil && h265.NALUType(nal[0]>>1&0x3f) == h265.NALUType_SPS_NUT && sps.Unmarshal(nal) == nil {
			track = &Track{Codec: H265, Config: record, Width: sps.Width(), Height: sps.Height()}
		}
	})
	switch {
	case err != nil:
		return nil, form, err
	case track == nil:
		return nil, form, fmt.Errorf("%w: no readable sequence parameter set", ErrH265Config)
	}
	if form != NALLengths4 {
		track.Config = bytes.Clone(record)
		track.Config[h265Header-1] |= 3
	}
	return track, form, nil
}

// h265Header is the number of bytes before the number of arrays in a record (ISO/IEC 14496-15, 8.3.3.1).
const h265Header = 22

// h265Sets calls f for each NAL unit of a record that has a header.
func h265Sets(record []byte, f func(nal []byte)) error {
	if len(record) <= h265Header {
		return ErrH265Config
	}
	rest := record[h265Header+1:]
	for range record[h265Header] {
		if len(rest) < 3 {
			return ErrH265Config
		}
		sets, after, err := parameterSets(rest[3:], int(binary.BigEndian.Uint16(rest[1:])))
		if err != nil {
			return ErrH265Config
		}
		for _, nal := range sets {
			f(nal)
		}
		rest = after
	}
	return nil
}

// Track makes a track with an HEVCDecoderConfigurationRecord (ISO/IEC 14496-15, 8.3.3.1) from the parameter sets. ok is false while the sets are
// not complete or cannot be read.
func (s *H265Sets) Track() (_ Track, ok bool) {
	var sps h265.SPS
	if s.vps == nil || s.pps == nil || sps.Unmarshal(s.sps) != nil {
		return Track{}, false
	}
	plain := h264.EmulationPreventionRemove(s.sps) // two bytes of header and one before the profile
	const profile = 12
	if len(plain) < 3+profile {
		return Track{}, false
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
		record = append(record, 0x80|set[0]>>1&0x3f, 0, 1)
		record = binary.BigEndian.AppendUint16(record, uint16(len(set)))
		record = append(record, set...)
	}
	s.changed = false
	return Track{Codec: H265, Config: slices.Clip(record), Width: sps.Width(), Height: sps.Height()}, true
}
