//go:build cgo

package picture

import (
	"image"
	"strings"
	"testing"
	"unicode/utf8"

	"transponder/internal/media"
)

// inked returns the smallest rectangle around the pixels of the text, and how many pixels it has.
func inked(picture *image.NRGBA) (r image.Rectangle, n int) {
	for y := range picture.Rect.Dy() {
		for x := range picture.Rect.Dx() {
			if p := picture.NRGBAAt(x, y); p.R > 0xc0 && p.G > 0xc0 {
				r = r.Union(image.Rect(x, y, x+1, y+1))
				n++
			}
		}
	}
	return r, n
}

// Whatever the name is, all of its letters that the font has are on the card, and none at its edge.
func TestCard(t *testing.T) {
	const width, height = 640, 360
	for _, tt := range []struct {
		name, text string
		empty      bool
	}{
		{"a name", "Grace Hopper", false},
		{"a number", "+49 30 1234567", false},
		{"Cyrillic", "Юрий Гагарин", false},
		{"a long name", strings.Repeat("Wolfeschlegelsteinhausenbergerdorff ", 5), false},
		{"one long word", strings.Repeat("w", 500), false},
		{"no letters that the font has", "日本語", true},
		{"control characters", "a\x00\x1b\nb", false},
		{"nothing", "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			picture, err := drawCard(tt.text, width, height)
			if err != nil {
				t.Fatal(err)
			}
			r, n := inked(picture)
			if (n == 0) != tt.empty {
				t.Errorf("%d pixels of text", n)
			}
			if n > 0 && (r.Min.X < width/40 || r.Max.X > width-width/40 || r.Min.Y < height/2 || r.Max.Y > height-height/40) {
				t.Errorf("text at %v", r)
			}
		})
	}
	for _, size := range []image.Point{{15, 360}, {640, 2}, {1 << 20, 1 << 20}} {
		if _, err := drawCard("a", size.X, size.Y); err == nil {
			t.Errorf("a card of %v was drawn", size)
		}
	}
}

// A card is encoded once for each text and size.
func TestCardFrame(t *testing.T) {
	s := NewStills(t.TempDir())
	encoded, encode := 0, s.encode
	s.encode = func(p *image.NRGBA, width, height int) ([]byte, error) {
		encoded++
		return encode(p, width, height)
	}
	for _, want := range []int{1, 1} {
		f, err := s.Card("Grace Hopper", 640, 360)
		if err != nil {
			t.Fatal(err)
		}
		if f.Track.Width != 640 || f.Track.Height != 360 || !f.Key || !media.H264IDR(f.Data) || encoded != want {
			t.Errorf("a frame of %dx%d, key %v; %d encoded, want %d", f.Track.Width, f.Track.Height, f.Key, encoded, want)
		}
	}
	if _, err := s.Card("Ada Lovelace", 640, 360); err != nil || encoded != 2 {
		t.Errorf("%v; %d encoded, want 2", err, encoded)
	}
	if _, err := s.Card("Ada Lovelace", 2, 2); err == nil {
		t.Error("a card of 2x2 was made")
	}
}

// FuzzCard draws cards with any text in any size.
func FuzzCard(f *testing.F) {
	f.Add("Grace Hopper", uint16(640), uint16(360))
	f.Add("\xff\u202e𝔘 w", uint16(16), uint16(511))
	f.Fuzz(func(t *testing.T, text string, width, height uint16) {
		w, h := int(width%512), int(height%512)
		picture, err := drawCard(text, w, h)
		if fit := w >= 16 && h >= 16; fit != (err == nil) {
			t.Fatalf("%dx%d: %v", w, h, err)
		}
		if err == nil && picture.Rect.Size() != image.Pt(w, h) {
			t.Fatalf("%v instead of %dx%d", picture.Rect, w, h)
		}
		font, _ := cardFont()
		if shown := legible(font, text); utf8.RuneCountInString(shown) > maxCardText || strings.ContainsAny(shown, "\n\x00") {
			t.Fatalf("%q becomes %q", text, shown)
		}
	})
}
