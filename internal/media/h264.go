package media

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
)

// ErrH264Config means that bytes are no AVCDecoderConfigurationRecord that we can use.
var ErrH264Config = errors.New("not a usable AVC decoder configuration record")

// NewH264Track makes a track of one sequence and one or more picture parameter sets (NAL units without start code or
// length). It fails if the sequence parameter set cannot be read.
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

// ParseH264Config makes a track of an AVCDecoderConfigurationRecord as a publisher sent it. Only records for 4-byte NAL
// unit lengths are taken, as every RTMP encoder writes them.
func ParseH264Config(record []byte) (*Track, error) {
	if len(record) < 7 || record[0] != 1 {
		return nil, ErrH264Config
	}
	if record[4]&3 != 3 {
		return nil, fmt.Errorf("%w: %d-byte NAL unit lengths", ErrH264Config, record[4]&3+1)
	}
	sps, rest, err := parameterSets(record[6:], int(record[5]&0x1f))
	if err != nil {
		return nil, err
	}
	if len(rest) == 0 {
		return nil, ErrH264Config
	}
	pps, _, err := parameterSets(rest[1:], int(rest[0]))
	if err != nil {
		return nil, err
	}
	if len(sps) == 0 || len(pps) == 0 {
		return nil, fmt.Errorf("%w: no parameter sets", ErrH264Config)
	}
	var p h264.SPS
	if err := p.Unmarshal(sps[0]); err != nil {
		return nil, fmt.Errorf("read H.264 sequence parameter set: %w", err)
	}
	return &Track{Codec: H264, Config: record, Width: p.Width(), Height: p.Height()}, nil
}

// H264ParameterSets returns the sequence and picture parameter sets of a track's Config, as slices of it.
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

// parameterSets reads n units with 2-byte lengths and returns them and what follows.
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
