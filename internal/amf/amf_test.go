package amf

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// cases are written by hand from the AMF0 specification, 2.2 to 2.18; the last is the connect command of its RTMP sibling.
var cases = []struct {
	name  string
	value any
	hex   string
}{
	{"number", 1.5, "00 3ff8000000000000"},
	{"number, transaction id", 4.0, "00 4010000000000000"},
	{"true", true, "01 01"},
	{"false", false, "01 00"},
	{"string", "live", "02 0004 6c697665"},
	{"empty string", "", "02 0000"},
	{"null", nil, "05"},
	{"undefined", Undefined{}, "06"},
	{"empty object", Object(nil), "03 0000 09"},
	{"object in order", Object{{"b", 0.0}, {"a", true}}, "03 0001 62 00 0000000000000000 0001 61 01 01 0000 09"},
	{"object with an empty name", Object{{"", nil}}, "03 0000 05 0000 09"},
	{"nested object", Object{{"o", Object{{"n", nil}}}}, "03 0001 6f 03 0001 6e 05 0000 09 0000 09"},
	{"ecma array", ECMAArray{{"w", "x"}}, "08 00000001 0001 77 02 0001 78 0000 09"},
	{"strict array", StrictArray{nil, "a"}, "0a 00000002 05 02 0001 61"},
	{"date", Date{Milliseconds: 1.5, ZoneMinutes: -60}, "0b 3ff8000000000000 ffc4"},
	{"xml document", XML("<a/>"), "0f 00000004 3c612f3e"},
	{"typed object", TypedObject{Class: "C", Object: Object{{"n", nil}}}, "10 0001 43 0001 6e 05 0000 09"},
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestValues(t *testing.T) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b := unhex(t, c.hex)
			if got := Append(nil, c.value); !bytes.Equal(got, b) {
				t.Errorf("Append = %x, want %x", got, b)
			}
			got, err := Decode(b)
			if want := []any{c.value}; err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("Decode = %#v, %v; want %#v", got, err, want)
			}
			for n := 1; n < len(b); n++ {
				if _, err := Decode(b[:n]); !errors.Is(err, ErrInvalid) {
					t.Errorf("Decode of the first %d bytes: %v, want ErrInvalid", n, err)
				}
			}
		})
	}
}

func TestLongString(t *testing.T) {
	s := strings.Repeat("x", 1<<16)
	b := Append(nil, s)
	if !bytes.HasPrefix(b, []byte{0x0c, 0, 1, 0, 0}) {
		t.Errorf("Append begins with %x, want the long string marker and length", b[:5])
	}
	if got, err := Decode(b); err != nil || got[0] != s {
		t.Errorf("Decode failed or differs: %v", err)
	}
}

func TestDecodeOnly(t *testing.T) {
	for _, c := range []struct {
		name, hex string
		want      []any // nil: ErrInvalid
	}{
		{"nothing", "", []any{}},
		{"unsupported marker reads as null", "0d", []any{nil}},
		{"short string as a long one", "0c 00000001 61", []any{"a"}},
		{"array count that is wrong", "08 000000ff 0001 61 05 0000 09", []any{ECMAArray{{"a", nil}}}},
		{"movie clip", "04", nil},
		{"reference", "07 0000", nil},
		{"amf3", "11 01", nil},
		{"object end alone", "09", nil},
		{"huge strict array", "0a ffffffff 05", nil},
		{"too deep", strings.Repeat("0a 00000001", 18) + "05", nil},
		{"too many", strings.Repeat("05", maxValues+1), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Decode(unhex(t, c.hex))
			if c.want == nil {
				if !errors.Is(err, ErrInvalid) {
					t.Errorf("Decode: %v, want ErrInvalid", err)
				}
				return
			}
			if err != nil || len(got) != len(c.want) || len(got) > 0 && !reflect.DeepEqual(got, c.want) {
				t.Errorf("Decode = %#v, %v; want %#v", got, err, c.want)
			}
		})
	}
}

func TestLookup(t *testing.T) {
	o, ok := AsObject(ECMAArray{{"code", "x"}, {"n", 1.0}})
	if !ok || o.String("code") != "x" || o.String("n") != "" || o.String("none") != "" {
		t.Errorf("AsObject or String do not find what is there: %v", o)
	}
	if _, ok := AsObject("x"); ok {
		t.Error("a string passes for an object")
	}
}

// FuzzDecode holds that no input panics, and that what is decoded stays the same through Append and Decode. The second
// comparison is of bytes, since NaN differs from itself.
func FuzzDecode(f *testing.F) {
	for _, c := range cases {
		f.Add(unhex(f, c.hex))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		values, err := Decode(b)
		if err != nil {
			return
		}
		once := Append(nil, values...)
		again, err := Decode(once)
		if err != nil {
			t.Fatalf("decode what was encoded: %v", err)
		}
		if twice := Append(nil, again...); !bytes.Equal(once, twice) {
			t.Errorf("%x became %x", once, twice)
		}
	})
}
