package amf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// ErrInvalid means that the bytes are not an AMF0 value, or that the value exceeds the limits of this package.
var ErrInvalid = errors.New("invalid AMF0")

// The limits of decoding. The deepest values in use, the codec maps of Enhanced RTMP, need three levels and some dozens of values. The number
// of values is limited because a message of one-byte values could take much memory.
const (
	maxDepth  = 16
	maxValues = 4096
)

// Decode reads all values in b. It fails with ErrInvalid, and then also returns the values before the error.
func Decode(b []byte) ([]any, error) {
	d := decoder{rest: b}
	var values []any
	for len(d.rest) > 0 {
		v, err := d.value(0)
		if err != nil {
			return values, err
		}
		values = append(values, v)
	}
	return values, nil
}

// decoder reads values from the front of rest.
type decoder struct {
	rest   []byte
	values int
}

func (d *decoder) value(depth int) (any, error) {
	if d.values++; depth > maxDepth || d.values > maxValues {
		return nil, fmt.Errorf("%w: too deep or too many values", ErrInvalid)
	}
	mark, err := d.take(1)
	if err != nil {
		return nil, err
	}
	switch mark[0] {
	case markNumber:
		return d.number()
	case markBoolean:
		b, err := d.take(1)
		return err == nil && b[0] != 0, err
	case markString:
		return d.short()
	case markObject:
		p, err := d.properties(depth)
		return Object(p), err
	case markNull, markUnsupported:
		return nil, nil
	case markUndefined:
		return Undefined{}, nil
	case markECMAArray:
		if _, err := d.take(4); err != nil { // the count, which some writers get wrong: the end mark decides
			return nil, err
		}
		p, err := d.properties(depth)
		return ECMAArray(p), err
	case markStrictArray:
		return d.strictArray(depth)
	case markDate:
		return d.date()
	case markLongString:
		return d.long()
	case markXML:
		s, err := d.long()
		return XML(s), err
	case markTypedObject:
		class, err := d.short()
		if err != nil {
			return nil, err
		}
		p, err := d.properties(depth)
		return TypedObject{Class: class, Object: p}, err
	default:
		return nil, fmt.Errorf("%w: marker %#x", ErrInvalid, mark[0])
	}
}

// take returns the next n bytes.
func (d *decoder) take(n int) ([]byte, error) {
	if n < 0 || n > len(d.rest) {
		return nil, fmt.Errorf("%w: it ends early", ErrInvalid)
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b, nil
}

func (d *decoder) number() (float64, error) {
	b, err := d.take(8)
	if err != nil {
		return 0, err
	}
	return math.Float64frombits(binary.BigEndian.Uint64(b)), nil
}

func (d *decoder) short() (string, error) {
	n, err := d.take(2)
	if err != nil {
		return "", err
	}
	b, err := d.take(int(binary.BigEndian.Uint16(n)))
	return string(b), err
}

func (d *decoder) long() (string, error) {
	n, err := d.take(4)
	if err != nil {
		return "", err
	}
	b, err := d.take(int(binary.BigEndian.Uint32(n)))
	return string(b), err
}

func (d *decoder) date() (Date, error) {
	ms, err := d.number()
	if err != nil {
		return Date{}, err
	}
	zone, err := d.take(2)
	if err != nil {
		return Date{}, err
	}
	return Date{Milliseconds: ms, ZoneMinutes: int16(binary.BigEndian.Uint16(zone))}, nil
}

func (d *decoder) strictArray(depth int) (StrictArray, error) {
	n, err := d.take(4)
	if err != nil {
		return nil, err
	}
	var a StrictArray // grows with the values that are there, not with the count
	for range binary.BigEndian.Uint32(n) {
		v, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		a = append(a, v)
	}
	return a, nil
}

// properties reads names and values up to the end mark.
func (d *decoder) properties(depth int) ([]Property, error) {
	var list []Property
	for {
		name, err := d.short()
		if err != nil {
			return nil, err
		}
		if name == "" && len(d.rest) > 0 && d.rest[0] == markObjectEnd {
			d.rest = d.rest[1:]
			return list, nil
		}
		v, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, Property{Name: name, Value: v})
	}
}
