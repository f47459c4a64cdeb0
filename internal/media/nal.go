package media

import (
	"bytes"
	"encoding/binary"
	"errors"
	"iter"
)

// ErrNAL means that bytes are no access unit in any form of NAL units that is known.
var ErrNAL = errors.New("not a sequence of NAL units")

// NALForm says how the NAL units of an access unit are kept apart.
type NALForm uint8

// The forms. Frame.Data has NALLengths4. Some encoders write one or two bytes, as ISO/IEC 14496-15 allows, or start codes, which
// no container with a decoder configuration record allows.
const (
	NALStartCodes NALForm = 0 // ITU-T H.264, annex B
	NALLengths1   NALForm = 1
	NALLengths2   NALForm = 2
	NALLengths4   NALForm = 4
)

// lengthsOf reads lengthSizeMinusOne. It is not ok for 3 bytes, which the standard leaves out.
func lengthsOf(b byte) (form NALForm, ok bool) {
	form = NALForm(b&3 + 1)
	return form, form != 3
}

// NALUnits returns an access unit with 4-byte lengths, and the form that it came in. form is what is expected; another is told by
// itself. Zero bytes behind the last NAL unit are left out. A unit with 4-byte lengths is not
// copied. It fails with ErrNAL.
func NALUnits(unit []byte, form NALForm) (data []byte, found NALForm, err error) {
	if form == NALStartCodes {
		if data, ok := fromStartCodes(unit); ok {
			return data, form, nil
		}
		form = NALLengths4
	}
	if data, ok := fromLengths(unit, form); ok {
		return data, form, nil
	}
	if data, ok := fromStartCodes(unit); ok {
		return data, NALStartCodes, nil
	}
	if data, ok := fromLengths(unit, NALLengths4); ok {
		return data, NALLengths4, nil
	}
	for _, short := range []NALForm{NALLengths2, NALLengths1} {
		if looksLike(unit, short) {
			data, _ := fromLengths(unit, short)
			return data, short, nil
		}
	}
	return nil, form, ErrNAL
}

// looksLike says whether bytes are NAL units with short lengths that nothing has announced. Much may look like them, so none may be
// empty, which excludes all that is left of longer lengths, or begin with the bit that is always zero.
func looksLike(unit []byte, form NALForm) bool {
	size := int(form)
	rest := unit
	for len(rest) > size {
		n := nalLength(rest[:size])
		if n == 0 || n > len(rest)-size || rest[size]&0x80 != 0 {
			return false
		}
		rest = rest[size+n:]
	}
	return len(rest) == 0 && len(unit) > 0
}

// fromLengths reads NAL units with lengths of so many bytes.
func fromLengths(unit []byte, form NALForm) ([]byte, bool) {
	size, count := int(form), 0
	rest := unit
	for len(rest) >= size {
		n := nalLength(rest[:size])
		if n > len(rest)-size {
			return nil, false
		}
		rest = rest[size+n:]
		count++
	}
	if !zeros(rest) {
		return nil, false
	}
	unit = unit[:len(unit)-len(rest)]
	if form == NALLengths4 {
		return unit, true
	}
	data := make([]byte, 0, len(unit)+count*(4-size))
	for rest := unit; len(rest) > 0; {
		n := nalLength(rest[:size])
		data = appendNAL(data, rest[size:size+n])
		rest = rest[size+n:]
	}
	return data, true
}

func nalLength(b []byte) (n int) {
	for _, x := range b {
		n = n<<8 | int(x)
	}
	return n
}

func zeros(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}

// startCode is what is before each NAL unit in annex B; the zero byte that may be before it belongs to nothing.
var startCode = []byte{0, 0, 1}

// hasStartCode says whether bytes begin with a start code.
func hasStartCode(b []byte) bool {
	at := bytes.Index(b[:min(len(b), 8)], startCode)
	return at >= 0 && zeros(b[:at])
}

func fromStartCodes(unit []byte) ([]byte, bool) {
	if !hasStartCode(unit) {
		return nil, false
	}
	data := make([]byte, 0, len(unit)+16)
	for nal := range startCoded(unit) {
		data = appendNAL(data, nal)
	}
	return data, true
}

// startCoded yields the NAL units of bytes that begin with a start code. A NAL unit never ends in a zero byte (ITU-T H.264,
// 7.4.1), so those at its end belong to the next start code.
func startCoded(b []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for at := bytes.Index(b, startCode); at >= 0; {
			b = b[at+len(startCode):]
			end := len(b)
			if at = bytes.Index(b, startCode); at >= 0 {
				end = at
			}
			if nal := bytes.TrimRight(b[:end], "\x00"); len(nal) > 0 && !yield(nal) {
				return
			}
		}
	}
}

// EachNAL yields the NAL units of an access unit with 4-byte lengths, and stops where the unit is not well-formed.
func EachNAL(unit []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for len(unit) > 4 {
			n := int(binary.BigEndian.Uint32(unit))
			if n > len(unit)-4 || n > 0 && !yield(unit[4:4+n]) {
				return
			}
			unit = unit[4+n:]
		}
	}
}

func appendNAL(data, nal []byte) []byte {
	data = binary.BigEndian.AppendUint32(data, uint32(len(nal)))
	return append(data, nal...)
}
