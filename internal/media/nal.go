package media

import (
	"bytes"
	"encoding/binary"
	"errors"
	"iter"
)

// ErrNAL means that bytes are not an access unit in any known form of NAL units.
var ErrNAL = errors.New("not a sequence of NAL units")

// NALForm is how the NAL units of an access unit are separated.
type NALForm uint8

// The forms. Frame.Data has NALLengths4. Some encoders write lengths of one or two bytes, which ISO/IEC 14496-15 allows, or start codes, which
// no container with a decoder configuration record allows.
const (
	NALStartCodes NALForm = 0 // ITU-T H.264, annex B
	NALLengths1   NALForm = 1
	NALLengths2   NALForm = 2
	NALLengths4   NALForm = 4
)

// lengthsOf reads lengthSizeMinusOne. ok is false for 3 bytes, which the standard does not allow.
func lengthsOf(b byte) (form NALForm, ok bool) {
	form = NALForm(b&3 + 1)
	return form, form != 3
}

// NALUnits returns an access unit with 4-byte lengths, and the form of its input. form is the expected form; other forms are detected. Zero
// bytes after the last NAL unit are left out. An access unit that has 4-byte lengths already is not copied. NALUnits fails with ErrNAL.
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

// looksLike reports whether bytes are NAL units with short lengths although no configuration announced such lengths. Other bytes may look
// similar. So no unit may be empty, which excludes longer lengths, and no unit may begin with a set forbidden_zero_bit.
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

// fromLengths reads NAL units whose lengths have that number of bytes.
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

// startCode precedes each NAL unit in annex B. A zero byte may precede the start code; it belongs to no unit.
var startCode = []byte{0, 0, 1}

// hasStartCode reports whether bytes begin with a start code.
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

// startCoded yields the NAL units of bytes that begin with a start code. A NAL unit never ends in a zero byte (ITU-T H.264, 7.4.1), so zero bytes
// at its end belong to the next start code.
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
