package media

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
)

func TestNALUnits(t *testing.T) {
	for _, c := range []struct {
		name, in string
		form     NALForm
		want     string
		found    NALForm
		err      error
	}{
		{"4-byte lengths", "00000002 6588 00000001 41", NALLengths4, "00000002 6588 00000001 41", NALLengths4, nil},
		{"2-byte lengths", "0002 6588 0001 41", NALLengths2, "00000002 6588 00000001 41", NALLengths2, nil},
		{"1-byte lengths", "02 6588 01 41", NALLengths1, "00000002 6588 00000001 41", NALLengths1, nil},
		{"start codes", "000001 6588 00000001 41", NALStartCodes, "00000002 6588 00000001 41", NALStartCodes, nil},
		{"start codes that nothing announced", "00000001 6588 000001 41", NALLengths4, "00000002 6588 00000001 41", NALStartCodes, nil},
		{"lengths where start codes were", "00000002 6588", NALStartCodes, "00000002 6588", NALLengths4, nil},
		{"zero bytes behind lengths", "00000002 6588 00000000 0000", NALLengths4, "00000002 6588 00000000", NALLengths4, nil},
		{"zero bytes around start codes", "0000000001 6588 0000 000001 41 000000", NALStartCodes, "00000002 6588 00000001 41", NALStartCodes, nil},
		{"short lengths that nothing announced", "0002 6588 0001 41", NALLengths4, "00000002 6588 00000001 41", NALLengths2, nil},
		{"nothing", "", NALLengths4, "", NALLengths4, nil},
		{"a length beyond the end", "00000003 6588", NALLengths4, "", NALLengths4, ErrNAL},
		{"bytes behind", "00000002 6588 0102", NALLengths4, "", NALLengths4, ErrNAL},
	} {
		data, found, err := NALUnits(unhex(t, strings.ReplaceAll(c.in, " ", "")), c.form)
		if !bytes.Equal(data, unhex(t, strings.ReplaceAll(c.want, " ", ""))) || found != c.found || !errors.Is(err, c.err) {
			t.Errorf("%s: %x, %d, %v; want %s, %d, %v", c.name, data, found, err, c.want, c.found, c.err)
		}
	}
}

// FuzzNALUnits holds that whatever is read comes out in 4-byte lengths from end to end.
func FuzzNALUnits(f *testing.F) {
	for _, form := range []NALForm{NALStartCodes, NALLengths1, NALLengths2, NALLengths4} {
		f.Add([]byte{0, 0, 0, 1, 0x65, 0, 0, 1, 0x41}, byte(form))
		f.Add([]byte{0, 0, 0, 2, 0x65, 0x88}, byte(form))
	}
	f.Fuzz(func(t *testing.T, unit []byte, form byte) {
		switch NALForm(form) {
		case NALStartCodes, NALLengths1, NALLengths2, NALLengths4:
		default:
			return
		}
		data, _, err := NALUnits(unit, NALForm(form))
		if err != nil {
			return
		}
		for rest := data; len(rest) > 0; {
			if len(rest) < 4 || int(binary.BigEndian.Uint32(rest)) > len(rest)-4 {
				t.Fatalf("%x became %x", unit, data)
			}
			rest = rest[4+binary.BigEndian.Uint32(rest):]
		}
	})
}
