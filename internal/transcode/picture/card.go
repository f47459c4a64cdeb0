package picture

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// The colours of a card. Light on dark is pleasant on a large screen, and the contrast of the text is 13:1.
var (
	cardGround = image.NewUniform(color.NRGBA{0x1f, 0x29, 0x37, 0xff})
	cardText   = image.NewUniform(color.NRGBA{0xf3, 0xf4, 0xf6, 0xff})
	cardBars   = image.NewUniform(color.NRGBA{0x60, 0xa5, 0xfa, 0xff})
)

const (
	// maxCardText limits the letters of a card. A longer text would be too small to read.
	maxCardText = 80
	// maxCardLines is how many lines of text fit below the bars.
	maxCardLines = 3
)

// cardFont is the font of cards. It has Latin, Greek and Cyrillic letters.
var cardFont = sync.OnceValues(func() (*opentype.Font, error) { return opentype.Parse(gobold.TTF) })

// drawCard draws bars that stand for sound, and below them a text. The text may have any length and any characters: legible shortens it.
func drawCard(text string, width, height int) (*image.NRGBA, error) {
	if width < 16 || height < 16 || int64(width)*int64(height) > maxStillPixels {
		return nil, fmt.Errorf("%w: a card of %dx%d", ErrStill, width, height)
	}
	picture := image.NewNRGBA(image.Rect(0, 0, width, height))
	draw.Draw(picture, picture.Bounds(), cardGround, image.Point{}, draw.Src)
	drawBars(picture)
	font, err := cardFont()
	if err != nil {
		return nil, err
	}
	return picture, drawText(picture, font, legible(font, text))
}

// drawBars draws what stands for sound: bars of different heights, in the middle of the upper half.
func drawBars(picture *image.NRGBA) {
	size := picture.Bounds().Size()
	unit := min(size.X, size.Y) / 48
	heights := []int{4, 8, 12, 7, 10, 5, 3}
	left, middle := size.X/2-(2*len(heights)-1)*unit/2, size.Y*3/8
	for i, h := range heights {
		at := left + 2*i*unit
		draw.Draw(picture, image.Rect(at, middle-h*unit/2, at+unit, middle+h*unit/2), cardBars, image.Point{}, draw.Src)
	}
}

// legible returns the letters of a text that the font has, and no more than fit on a card.
func legible(f *opentype.Font, text string) string {
	var buffer sfnt.Buffer
	kept := strings.Map(func(r rune) rune {
		i, err := f.GlyphIndex(&buffer, r)
		if err != nil || i == 0 && r != ' ' || r == utf8.RuneError || !unicode.IsGraphic(r) { // fonts have glyphs for U+0000 and the like
			return -1
		}
		return r
	}, strings.Join(strings.Fields(text), " "))
	letters := []rune(strings.TrimSpace(kept))
	if len(letters) > maxCardText {
		letters = append(letters[:maxCardText-1], '…')
	}
	return string(letters)
}

// drawText draws a text below the middle. It makes the letters smaller until maxCardLines lines hold the text.
func drawText(picture *image.NRGBA, f *opentype.Font, text string) error {
	size := picture.Bounds().Size()
	room := fixed.I(size.X * 9 / 10)
	for points := float64(min(size.X, size.Y)) / 10; ; points *= 0.85 {
		face, err := opentype.NewFace(f, &opentype.FaceOptions{Size: points, DPI: 72, Hinting: font.HintingFull})
		if err != nil {
			return err
		}
		lines := wrap(face, text, room)
		if len(lines) > maxCardLines && points > 4 {
			face.Close()
			continue
		}
		d := font.Drawer{Dst: picture, Src: cardText, Face: face}
		step := face.Metrics().Height
		for i, line := range lines {
			d.Dot = fixed.Point26_6{X: (fixed.I(size.X) - d.MeasureString(line)) / 2, Y: fixed.I(size.Y*2/3) + fixed.Int26_6(i)*step}
			d.DrawString(line)
		}
		return face.Close()
	}
}

// wrap cuts a text into lines that are no wider than room: between words, or within a word that is too wide by itself.
func wrap(face font.Face, text string, room fixed.Int26_6) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		for font.MeasureString(face, word) > room {
			if line != "" {
				lines, line = append(lines, line), ""
			}
			head := cut(face, word, room)
			lines, word = append(lines, head), word[len(head):]
		}
		switch {
		case line == "":
			line = word
		case font.MeasureString(face, line+" "+word) <= room:
			line += " " + word
		default:
			lines, line = append(lines, line), word
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// cut returns the longest beginning of a word that is no wider than room, but one letter at least.
func cut(face font.Face, word string, room fixed.Int26_6) string {
	end := 0
	for i, r := range word {
		next := i + utf8.RuneLen(r)
		if i > 0 && font.MeasureString(face, word[:next]) > room {
			break
		}
		end = next
	}
	return word[:end]
}
