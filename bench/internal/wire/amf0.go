package wire

import (
	"encoding/binary"
	"errors"
	"math"
)

// AMF0 markers.
const (
	amfNumber     = 0x00
	amfBool       = 0x01
	amfString     = 0x02
	amfObject     = 0x03
	amfNull       = 0x05
	amfUndefined  = 0x06
	amfECMAArray  = 0x08
	amfObjectEnd  = 0x09
	amfArray      = 0x0a
	amfDate       = 0x0b
	amfLongString = 0x0c
)

const amfMaxDepth = 16

var errAMF = errors.New("bad AMF0")

// Object is an AMF0 object or ECMA array.
type Object map[string]any

// Pair keeps an object's order when it is written.
type Pair struct {
	Key   string
	Value any
}

// decodeAMF reads values until b ends: float64, bool, string, Object, []any
// or nil.
func decodeAMF(b []byte) ([]any, error) {
	var out []any
	for len(b) > 0 {
		v, rest, err := decodeValue(b, 0)
		if err != nil {
			return out, err
		}
		out, b = append(out, v), rest
	}
	return out, nil
}

func decodeValue(b []byte, depth int) (any, []byte, error) {
	if len(b) == 0 || depth > amfMaxDepth {
		return nil, nil, errAMF
	}
	kind, b := b[0], b[1:]
	switch kind {
	case amfNumber:
		if len(b) < 8 {
			return nil, nil, errAMF
		}
		return math.Float64frombits(binary.BigEndian.Uint64(b)), b[8:], nil
	case amfBool:
		if len(b) < 1 {
			return nil, nil, errAMF
		}
		return b[0] != 0, b[1:], nil
	case amfString:
		return decodeString(b, 2)
	case amfLongString:
		return decodeString(b, 4)
	case amfNull, amfUndefined:
		return nil, b, nil
	case amfObject:
		return decodeObject(b, depth)
	case amfECMAArray:
		if len(b) < 4 {
			return nil, nil, errAMF
		}
		return decodeObject(b[4:], depth)
	case amfArray:
		if len(b) < 4 {
			return nil, nil, errAMF
		}
		n := binary.BigEndian.Uint32(b)
		b = b[4:]
		var list []any
		for range n {
			v, rest, err := decodeValue(b, depth+1)
			if err != nil {
				return nil, nil, err
			}
			list, b = append(list, v), rest
		}
		return list, b, nil
	case amfDate:
		if len(b) < 10 {
			return nil, nil, errAMF
		}
		return math.Float64frombits(binary.BigEndian.Uint64(b)), b[10:], nil
	}
	return nil, nil, errAMF
}

func decodeString(b []byte, lenBytes int) (any, []byte, error) {
	if len(b) < lenBytes {
		return nil, nil, errAMF
	}
	n := 0
	for _, c := range b[:lenBytes] {
		n = n<<8 | int(c)
	}
	b = b[lenBytes:]
	if len(b) < n {
		return nil, nil, errAMF
	}
	return string(b[:n]), b[n:], nil
}

func decodeObject(b []byte, depth int) (any, []byte, error) {
	obj := Object{}
	for {
		key, rest, err := decodeString(b, 2)
		if err != nil {
			return nil, nil, err
		}
		b = rest
		if key == "" && len(b) > 0 && b[0] == amfObjectEnd {
			return obj, b[1:], nil
		}
		v, rest, err := decodeValue(b, depth+1)
		if err != nil {
			return nil, nil, err
		}
		obj[key.(string)], b = v, rest
	}
}

// appendAMF writes values: float64, string, bool, nil or []Pair.
func appendAMF(b []byte, values ...any) []byte {
	for _, v := range values {
		switch v := v.(type) {
		case float64:
			b = binary.BigEndian.AppendUint64(append(b, amfNumber), math.Float64bits(v))
		case bool:
			n := byte(0)
			if v {
				n = 1
			}
			b = append(b, amfBool, n)
		case string:
			b = append(b, amfString, byte(len(v)>>8), byte(len(v)))
			b = append(b, v...)
		case nil:
			b = append(b, amfNull)
		case []Pair:
			b = append(b, amfObject)
			for _, p := range v {
				b = append(b, byte(len(p.Key)>>8), byte(len(p.Key)))
				b = append(b, p.Key...)
				b = appendAMF(b, p.Value)
			}
			b = append(b, 0, 0, amfObjectEnd)
		default:
			panic("cannot write this AMF0 value")
		}
	}
	return b
}
