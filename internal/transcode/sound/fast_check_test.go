//go:build cgo

package sound

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"transponder/internal/media"
	"transponder/internal/transcode/aac"
)

func TestFastWorks(t *testing.T) {
	if err := fastWorks(); err != nil {
		t.Fatal(err)
	}
}

// alteredEncoder changes the samples that another one is given.
type alteredEncoder struct {
	Encoder
	alter func(pcm []float32)
}

func (e *alteredEncoder) Encode(pcm []float32) ([]byte, error) {
	own := slices.Clone(pcm)
	e.alter(own)
	return e.Encoder.Encode(own)
}

func TestFastThatDoesNotWork(t *testing.T) {
	opened := func(wrap func(*aac.Encoder) Encoder) func(media.AudioFormat) (Encoder, error) {
		return func(f media.AudioFormat) (Encoder, error) {
			enc, err := aac.New(f)
			if err != nil {
				return nil, err
			}
			return wrap(enc), nil
		}
	}
	altered := func(alter func(pcm []float32)) func(media.AudioFormat) (Encoder, error) {
		return opened(func(e *aac.Encoder) Encoder { return &alteredEncoder{e, alter} })
	}
	for _, tt := range []struct {
		name string
		open func(media.AudioFormat) (Encoder, error)
		want error
	}{
		{"no encoder", func(media.AudioFormat) (Encoder, error) { return nil, errFake }, errFake},
		{"half as loud", altered(func(pcm []float32) {
			for i := range pcm {
				pcm[i] /= 2
			}
		}), errFast},
		{"upside down", altered(func(pcm []float32) {
			for i := range pcm {
				pcm[i] = -pcm[i]
			}
		}), errFast},
		{"channels for each other", altered(func(pcm []float32) {
			for i := 0; i < len(pcm); i += channels {
				pcm[i], pcm[i+1] = pcm[i+1], pcm[i]
			}
		}), errFast},
		{"a sample late", altered(func(pcm []float32) { copy(pcm[channels:], slices.Clone(pcm)) }), errFast},
		{"rubbish", opened(func(e *aac.Encoder) Encoder {
			return &changedEncoder{Encoder: e, change: func(p []byte) []byte { return bytes.Repeat([]byte{0x55}, len(p)) }}
		}), nil},
	} {
		if err := checkFast(tt.open, openDecoder); err == nil || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}
