package media

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
)

// ErrH264Config means that bytes are not an AVCDecoderConfigurationRecord that this package can use.
var ErrH264Config = errors.New("not a usable AVC decoder configuration record")

// NewH264Track makes a track from one sequence parameter set and one or more picture parameter sets (NAL units without start code or length).
// It fails if the sequence parameter set cannot be read.
func NewH264Track(sps []byte, pps ...[]byte) (*Track, error) {
	var p h264.SPS
	if err := p.Unmarshal(sps); err != nil {
		return nil, fmt.Errorf("read H.264 sequence parameter set: %w", err)
	}
	if len(sps) > math.MaxUint16 || len(pps) > math.MaxUint8 ||
		slices.ContainsFunc(pps, func(b []byte) bool { return len(b) > math.MaxUint16 }) {
		return nil, fmt.Errorf("%w: parameter sets are too large or too many", ErrH264Config)
	}
	return &Track{Codec: H264, Config: avcConfig(sps, pps), Width: p.Width(), Height: p.Height()}, nil
}

// avcConfig writes an AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1). sps has at least four bytes.
func avcConfig(sps []byte, pps [][]byte) []byte {
	b := []byte{1, sps[1], sps[2], sps[3], 0xff, 0xe1} // version, profile, compatibility, level; 4-byte lengths; one SPS
	b = binary.BigEndian.AppendUint16(b, uint16(len(sps)))
	b = append(b, sps...)
	b = append(b, byte(len(pps)))
	for _, p := range pps {
		b = binary.BigEndian.AppendUint16(b, uint16(len(p)))
		b = append(b, p...)
	}
	return b
}

// ParseH264Config makes a track from the AVCDecoderConfigurationRecord of a publisher. It also returns the size of the lengths of the
// publisher's NAL units, even if it fails. The record in the track is for 4-byte lengths, as in Frame.Data. Parameter sets after start codes
// are accepted too, since some encoders send them.
func ParseH264Config(record []byte) (track *Track, form NALForm, err error) {
	if hasStartCode(record) {
		var sets H264Sets
		for nal := range startCoded(record) {
			sets.Add(nal)
		}
		track, err = sets.Track()
		return track, NALStartCodes, err
	}
	if len(record) < 7 || record[0] != 1 {
		return nil, NALLengths4, ErrH264Config
	}
	form, ok := lengthsOf(record[4])
	if !ok {
		return nil, NALLengths4, fmt.Errorf("%w: 3-byte NAL unit lengths", ErrH264Config)
	}
	sps, pps, err := H264ParameterSets(record)
	if err != nil {
		return nil, form, err
	}
	if len(sps) == 0 || len(pps) == 0 {
		return nil, form, fmt.Errorf("%w: no parameter sets", ErrH264Config)
	}
	var p h264.SPS
	if err := p.Unmarshal(sps[0]); err != nil {
		return nil, form, fmt.Errorf("read H.264 sequence parameter set: %w", err)
	}
	if form != NALLengths4 {
		record = bytes.Clone(record)
		record[4] |= 3
	}
	return &Track{Codec: H264, Config: record, Width: p.Width(), Height: p.Height()}, form, nil
}

// H264ParameterSets returns the sequence and picture parameter sets in a Track.Config, as slices of it.
func H264ParameterSets(config []byte) (sps, pps [][]byte, err error) {
	if len(config) < 7 {
		return nil, nil, ErrH264Config
	}
	sps, rest, err := parameterSets(config[6:], int(config[5]&0x1f))
	if err != nil {
		return nil, nil, err
	}
	if len(rest) == 0 {
		return nil, nil, ErrH264Config
	}
	pps, _, err = parameterSets(rest[1:], int(rest[0]))
	return sps, pps, err
}

// parameterSets reads n units with 2-byte lengths and returns the units and the rest.
func parameterSets(b []byte, n int) (sets [][]byte, rest []byte, err error) {
	for range n {
		if len(b) < 2 {
			return nil, nil, ErrH264Config
		}
		size := int(binary.BigEndian.Uint16(b))
		if size == 0 || len(b) < 2+size {
			return nil, nil, ErrH264Config
		}
		sets = append(sets, b[2:2+size])
		b = b[2+size:]
	}
	return sets, b, nil
}

// H264Sets collects parameter sets from the NAL units of a stream. The zero value has none.
type H264Sets struct {
	sps     []byte
	pps     [][]byte
	changed bool
}

// Changed reports whether a set was added that the last Track or Load did not contain.
func (s *H264Sets) Changed() bool { return s.changed }

// Load replaces all sets by the sets of a decoder configuration record.
func (s *H264Sets) Load(record []byte) {
	*s = H264Sets{}
	sps, pps, err := H264ParameterSets(record)
	if err != nil || len(sps) == 0 {
		return
	}
	s.setSPS(sps[0])
	for _, nal := range pps {
		s.setPPS(nal)
	}
	s.changed = false
}

// Add adds a copy of a NAL unit if it is a parameter set.
func (s *H264Sets) Add(nal []byte) {
	switch h264.NALUType(nal[0] & 0x1f) {
	case h264.NALUTypeSPS:
		s.setSPS(nal)
	case h264.NALUTypePPS:
		s.setPPS(nal)
	}
}

// Track makes a track from the sets. It fails while the sets are not complete or cannot be read.
func (s *H264Sets) Track() (*Track, error) {
	if s.sps == nil || len(s.pps) == 0 {
		return nil, fmt.Errorf("%w: no parameter sets", ErrH264Config)
	}
	track, err := NewH264Track(s.sps, s.pps...)
	if err == nil {
		s.changed = false
	}
	return track, err
}

// setSPS sets the sequence parameter set. A different one invalidates the picture parameter sets, which refer to the old one.
func (s *H264Sets) setSPS(nal []byte) {
	if !bytes.Equal(nal, s.sps) {
		s.sps, s.pps, s.changed = bytes.Clone(nal), nil, true
	}
}

// maxPPS is how many picture parameter sets are kept: encoders use one to three.
const maxPPS = 16

// setPPS adds a picture parameter set, or replaces the one with the same id.
func (s *H264Sets) setPPS(nal []byte) {
	id := ppsID(nal)
	at := slices.IndexFunc(s.pps, func(p []byte) bool { return ppsID(p) == id })
	switch {
	case at >= 0 && bytes.Equal(s.pps[at], nal):
		return
	case at >= 0:
		s.pps[at] = bytes.Clone(nal)
	case len(s.pps) < maxPPS:
		s.pps = append(s.pps, bytes.Clone(nal))
	default:
		return
	}
	s.changed = true
}

// ppsID reads pic_parameter_set_id (ITU-T H.264, 7.3.2.2), an Exp-Golomb number of up to 15 bits.
func ppsID(nal []byte) int {
	var bits uint32
	for i := 1; i < 5; i++ {
		bits <<= 8
		if i < len(nal) {
			bits |= uint32(nal[i])
		}
	}
	zeros := 0
	for bits&(1<<31) == 0 && zeros < 15 {
		bits <<= 1
		zeros++
	}
	return int(bits>>(31-zeros)) - 1
}
