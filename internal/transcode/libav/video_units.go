//go:build cgo

package libav

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"

	"transponder/internal/media"
)

// These are types of NAL units (H.264, table 7-1).
const (
	unitSlice = 1
	unitIDR   = 5
	unitSPS   = 7
	unitPPS   = 8
)

var startCode = []byte{0, 0, 1}

// eachUnit calls f with the NAL units of a byte stream (H.264, annex B), without start codes.
func eachUnit(b []byte, f func(unit []byte)) {
	at := bytes.Index(b, startCode)
	for at >= 0 {
		b = b[at+len(startCode):]
		at = bytes.Index(b, startCode)
		unit := b
		if at >= 0 {
			unit = b[:at]
		}
		if unit = bytes.TrimRight(unit, "\x00"); len(unit) > 0 {
			f(unit)
		}
	}
}

// h264Units returns the slices of an access unit in a byte stream, each after its length in four bytes.
func h264Units(b []byte) []byte {
	out := make([]byte, 0, len(b)+16)
	eachUnit(b, func(unit []byte) {
		if t := unit[0] & 0x1f; t >= unitSlice && t <= unitIDR {
			out = binary.BigEndian.AppendUint32(out, uint32(len(unit)))
			out = append(out, unit...)
		}
	})
	return out
}

// h264Track returns a track with the parameter sets in a byte stream.
func h264Track(b []byte) (*media.Track, error) {
	var sps []byte
	var pps [][]byte
	eachUnit(b, func(unit []byte) {
		switch unit[0] & 0x1f {
		case unitSPS:
			sps = slices.Clone(unit)
		case unitPPS:
			pps = append(pps, slices.Clone(unit))
		}
	})
	if sps == nil || pps == nil {
		return nil, errors.New("the H.264 encoder gave no parameter sets")
	}
	return media.NewH264Track(sps, pps...)
}
