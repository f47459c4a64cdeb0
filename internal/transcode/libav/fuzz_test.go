//go:build cgo

package libav

import (
	"encoding/binary"
	"errors"
	"image"
	"math"
	"testing"

	"transponder/internal/media"
)

// FuzzEncoder asks for sound in any form and gives it what no decoder should make: what is not a number, or has no bounds.
func FuzzEncoder(f *testing.F) {
	codecs := []media.Codec{media.AAC, media.PCMA, media.PCMU, media.Speex, media.Opus, media.G722, media.SpeexNarrow}
	for i, form := range []media.AudioFormat{
		{RateBPS: 128_000, SampleRate: 48000, Channels: 2}, {SampleRate: 8000, Channels: 1}, {SampleRate: 8000, Channels: 1},
		{SampleRate: 16000, Channels: 1}, {SampleRate: 48000, Channels: 2}, {SampleRate: 16000, Channels: 1}, {SampleRate: 8000, Channels: 1},
	} {
		f.Add(uint8(i), int32(form.RateBPS), int32(form.SampleRate), int32(form.Channels), []byte{0, 0, 0x80, 0x7f, 0, 0, 0xc0, 0xff, 0, 0, 0, 0x3f})
	}
	f.Fuzz(func(t *testing.T, codec uint8, rateBPS, sampleRate, channels int32, samples []byte) {
		form := media.AudioFormat{
			Codec: codecs[int(codec)%len(codecs)], RateBPS: int(rateBPS), SampleRate: int(sampleRate), Channels: int(channels),
		}
		e, err := NewEncoder(form)
		if err != nil {
			return
		}
		defer e.Close()
		size := form.Channels * e.FrameSize()
		if size < 1 || size > 1<<20 {
			t.Fatalf("%+v takes frames of %d samples", form, size)
		}
		pcm := make([]float32, size)
		for i := range pcm {
			if len(samples) >= 4 {
				pcm[i] = math.Float32frombits(binary.LittleEndian.Uint32(samples[4*(i%(len(samples)/4)):]))
			}
		}
		for range 4 {
			if _, err := e.Encode(pcm); err != nil {
				t.Fatalf("%+v: %v", form, err)
			}
		}
	})
}

// FuzzStill makes key frames of pictures of any size for any other.
func FuzzStill(f *testing.F) {
	f.Add(uint16(20), uint16(10), uint16(64), uint16(48), []byte{1, 2, 3, 255})
	f.Add(uint16(1), uint16(1000), uint16(16), uint16(256), []byte{})
	f.Fuzz(func(t *testing.T, fromWidth, fromHeight, width, height uint16, pixels []byte) {
		const most = 512 // larger ones are slower, not other
		from := image.Rect(0, 0, int(fromWidth%most), int(fromHeight%most))
		picture := image.NewNRGBA(from)
		for i := range picture.Pix {
			if len(pixels) > 0 {
				picture.Pix[i] = pixels[i%len(pixels)]
			}
		}
		w, h := int(width%most), int(height%most)
		unit, err := EncodeStill(picture, w, h)
		switch fit := from.Dx() > 0 && from.Dy() > 0 && w >= MinSide && h >= MinSide && w%2 == 0 && h%2 == 0; {
		case !fit && !errors.Is(err, ErrUnsupported):
			t.Errorf("%v as %dx%d: %v", from, w, h, err)
		case fit && (err != nil || len(unit) < 10):
			t.Errorf("%v as %dx%d: %d bytes, %v", from, w, h, len(unit), err)
		}
	})
}
