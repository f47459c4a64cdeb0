package amf

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Append appends values to b. Strings over 65535 bytes become long strings. Append panics if a value has a type that is not in the list of
// this package, and if the name of a property or class is over 65535 bytes: both are bugs of the caller.
func Append(b []byte, values ...any) []byte {
	for _, v := range values {
		b = appendValue(b, v)
	}
	return b
}

func appendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case float64:
		b = append(b, markNumber)
		return binary.BigEndian.AppendUint64(b, math.Float64bits(v))
	case bool:
		if v {
			return append(b, markBoolean, 1)
		}
		return append(b, markBoolean, 0)
	case string:
		if len(v) > math.MaxUint16 {
			return appendLong(append(b, markLongString), v)
		}
		return appendShort(append(b, markString), v)
	case nil:
		return append(b, markNull)
	case Undefined:
		return append(b, markUndefined)
	case Object:
		return appendProperties(append(b, markObject), v)
	case ECMAArray:
		b = append(b, markECMAArray)
		b = binary.BigEndian.AppendUint32(b, uint32(len(v)))
		return appendProperties(b, v)
	case StrictArray:
		b = append(b, markStrictArray)
		b = binary.BigEndian.AppendUint32(b, uint32(len(v)))
		return Append(b, v...)
	case Date:
		b = append(b, markDate)
		b = binary.BigEndian.AppendUint64(b, math.Float64bits(v.Milliseconds))
		return binary.BigEndian.AppendUint16(b, uint16(v.ZoneMinutes))
	case XML:
		return appendLong(append(b, markXML), string(v))
	case TypedObject:
		b = appendShort(append(b, markTypedObject), v.Class)
		return appendProperties(b, v.Object)
	default:
		panic(fmt.Sprintf("amf: %T is no AMF0 value", v))
	}
}

func appendProperties(b []byte, properties []Property) []byte {
	for _, p := range properties {
		b = appendShort(b, p.Name)
		b = appendValue(b, p.Value)
	}
	return append(b, 0, 0, markObjectEnd)
}

// appendShort appends a string with its 16-bit length.
func appendShort(b []byte, s string) []byte {
	if len(s) > math.MaxUint16 {
		panic("amf: a name is longer than 65535 bytes")
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
	return append(b, s...)
}

// appendLong appends a string with its 32-bit length.
func appendLong(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
	return append(b, s...)
}
