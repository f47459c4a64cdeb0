package media

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"
)

// bitString makes bytes of ones and zeros; blanks are for the reader.
func bitString(s string) []byte {
	var w bitWriter
	for _, c := range s {
		if c != ' ' {
			w.bits(uint32(c-'0'), 1)
		}
	}
	w.align(0)
	return w.b
}

// stereoPackets are packets of mono, in the order of ISO/IEC 14496-3, tables 4.4, 4.50 and 4.6, and the stereo to be made of them.
// The codes of sections, scale factors and spectrum are of no matter here, so they are any bits.
var stereoPackets = []struct{ name, mono, stereo string }{
	{
		"no band",
		"000 0000 10001100  0 00 0 000000 0  000  111",
		"001 0000 1  0 00 0 000000 0  10  10001100 000  10001100 000  111",
	},
	{
		"long window",
		"000 0101 01010101  0 01 1 000111 0  1011000111011100101  111",
		"001 0101 1  0 01 1 000111 0  10  01010101 1011000111011100101  01010101 0000 00111 000  111",
	},
	{
		"all the bands there are",
		"000 0000 11111111  0 00 0 110001 0  10110001110111001011  111",
		"001 0000 1  0 00 0 110001 0  10  11111111 10110001110111001011  11111111 0000 11111 10010 000  111",
	},
	{
		"a section whose length needs a second zero",
		"000 0000 11111111  0 00 0 011111 0  1011  111",
		"001 0000 1  0 00 0 011111 0  10  11111111 1011  11111111 0000 11111 00000 000  111",
	},
	{
		"short windows in one group",
		"000 0000 10000000  0 10 0 0101 1111111  10101  111",
		"001 0000 1  0 10 0 0101 1111111  10  10000000 10101  10000000 0000 101 000  111",
	},
	{
		"short windows in three groups",
		"000 0000 10000000  0 10 1 1110 1101011  10101010101  111",
		"001 0000 1  0 10 1 1110 1101011  10  10000000 10101010101  10000000 0000 111 111 000 0000 111 111 000 0000 111 111 000 000  111",
	},
}

func TestStereoAAC(t *testing.T) {
	for _, tt := range stereoPackets {
		got, err := StereoAAC([]byte{1, 2, 3}, bitString(tt.mono))
		if want := append([]byte{1, 2, 3}, bitString(tt.stereo)...); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %x, %v, want %x", tt.name, got, err, want)
		}
	}
	for _, tt := range []struct{ name, mono string }{
		{"nothing", ""},
		{"too short", "000 0000 00000000 111"},
		{"no end", "00000000 00000000 00000000 00000000"},
		{"another element at the end", "000 0000 10001100  0 00 0 000000 0  000  110"},
		{"a pair of channels", "001 0000 10001100  0 00 0 000000 0  000  111"},
		{"a reserved bit", "000 0000 10001100  1 00 0 000000 0  000  111"},
		{"prediction", "000 0000 10001100  0 00 0 000000 1  000  111"},
		{"an end within the channel's head", "000 0000 10001100  0 10 0 0000 1111111  00 111"},
	} {
		if got, err := StereoAAC(nil, bitString(tt.mono)); !errors.Is(err, ErrAACStereo) || len(got) > 0 {
			t.Errorf("%s: %x, %v, want ErrAACStereo", tt.name, got, err)
		}
	}
}

// The silence that is sent in the place of a stream's sound is made the same way.
func TestStereoAACOfSilence(t *testing.T) {
	mono, _, err := SilentAAC([]byte{0x11, 0x88})
	if err != nil {
		t.Fatal(err)
	}
	got, err := StereoAAC(nil, mono)
	if want := "210014608c1c"; err != nil || hex.EncodeToString(got) != want {
		t.Errorf("%x, %v, want %s", got, err, want)
	}
}

// Whatever is taken has all of the channel's bits in it, and a side of the right length.
func FuzzStereoAAC(f *testing.F) {
	for _, tt := range stereoPackets {
		f.Add(bitString(tt.mono))
	}
	f.Fuzz(func(t *testing.T, mono []byte) {
		stereo, err := StereoAAC(nil, mono)
		if err != nil {
			return
		}
		if back := middle(t, stereo); !bytes.Equal(back, mono) {
			t.Errorf("%x became %x, whose middle is %x", mono, stereo, back)
		}
	})
}

// middle undoes StereoAAC, reading what StereoAAC wrote from both ends.
func middle(t *testing.T, stereo []byte) []byte {
	t.Helper()
	end := 8 * len(stereo)
	for bitsOf(stereo, end-1, 1) == 0 {
		end--
	}
	infoBits, groups, lengthBits := 11, 1, 5
	bands := int(bitsOf(stereo, 12, 6))
	if bitsOf(stereo, 9, 2) == eightShort {
		infoBits, lengthBits = 15, 3
		bands = int(bitsOf(stereo, 12, 4))
		for i := range 7 {
			groups += 1 - int(bitsOf(stereo, 16+i, 1))
		}
	}
	side := 8 + 3 + 3 // gain, three flags and the end
	if bands > 0 {
		side += groups * (4 + lengthBits*(1+bands/(1<<lengthBits-1)))
	}
	if bitsOf(stereo, 0, 3) != elementCPE || bitsOf(stereo, 7, 1) != 1 || bitsOf(stereo, 8+infoBits, 2) != 2 {
		t.Fatalf("%x does not begin as a pair of middle and side does", stereo)
	}
	at := end - side
	if gain := bitsOf(stereo, 10+infoBits, 8); bitsOf(stereo, at, 8) != gain {
		t.Fatalf("%x: the side's gain is %d, want %d", stereo, bitsOf(stereo, at, 8), gain)
	}
	at += 8
	for range groups {
		for left := bands; bands > 0; {
			if left == bands {
				if book := bitsOf(stereo, at, 4); book != 0 {
					t.Fatalf("%x: the side has a section of codebook %d", stereo, book)
				}
				at += 4
			}
			n := int(bitsOf(stereo, at, lengthBits))
			at += lengthBits
			if left -= n; n < 1<<lengthBits-1 {
				if left != 0 {
					t.Fatalf("%x: the side lacks %d bands", stereo, left)
				}
				break
			}
		}
	}
	var w bitWriter
	w.bits(elementSCE, 3)
	w.copy(stereo, 3, 7)
	w.copy(stereo, 10+infoBits, 18+infoBits)
	w.copy(stereo, 8, 8+infoBits)
	w.copy(stereo, 18+infoBits, end-side)
	w.bits(elementEnd, 3)
	w.align(0)
	return w.b
}

func BenchmarkStereoAAC(b *testing.B) {
	mono := bytes.Repeat([]byte{0x55}, 342) // a frame at 128 kbit/s
	copy(mono, bitString("000 0000 10000000 0 00 0 110001 0"))
	mono[len(mono)-1] = 0x1c
	out := make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := StereoAAC(out, mono); err != nil {
			b.Fatal(err)
		}
	}
}
