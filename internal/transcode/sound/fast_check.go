package sound

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"transponder/internal/media"
	"transponder/internal/transcode/aac"
	"transponder/internal/transcode/libav"
)

// errFast means that decoding does not give back the sound that the fast encoder was given.
var errFast = errors.New("what is made of AAC is not the sound that it was made of")

// fastLeast is how many times larger than the error the power of the sound must be. A correct encoder reaches 20; most of its
// error is the sound above its bandwidth. Sound of half the amplitude would reach 4.
const fastLeast = 8

// fastWorks runs checkFast on the codecs of this program, once: they do not change.
var fastWorks = sync.OnceValue(func() error {
	return checkFast(
		func(f media.AudioFormat) (Encoder, error) { return aac.New(f) },
		func(t *media.Track) (decoder, error) { return libav.NewDecoder(t) })
})

// checkFast encodes some sound, first the same on both channels, then on the left channel only, and checks that FFmpeg's
// decoder gives it back.
func checkFast(newEncoder func(media.AudioFormat) (Encoder, error), newDecoder func(*media.Track) (decoder, error)) error {
	f := media.AudioFormat{Codec: media.AAC, RateBPS: 128_000, SampleRate: sampleRate, Channels: channels}
	enc, err := newEncoder(f)
	if err != nil {
		return err
	}
	defer enc.Close()
	one := checkSound(enc.FrameSize())
	pcm := make([]float32, 0, 2*channels*len(one))
	for _, x := range one {
		pcm = append(pcm, x, x)
	}
	for _, x := range one {
		pcm = append(pcm, x, 0)
	}
	var packets [][]byte
	for frame := range slices.Chunk(pcm, channels*enc.FrameSize()) {
		packet, err := enc.Encode(frame)
		if err != nil {
			return err
		}
		if len(packet) > 0 {
			packets = append(packets, slices.Clone(packet))
		}
	}
	track := &media.Track{Codec: f.Codec, Config: enc.Config(), SampleRate: f.SampleRate, Channels: f.Channels}
	heard, err := decodeCheck(newDecoder, track, packets)
	if err != nil {
		return err
	}
	lead := channels * enc.Delay()
	if len(heard) < lead+len(pcm)/2 {
		return fmt.Errorf("%w: %d samples", errFast, len(heard)/channels)
	}
	var sound, wrong float64
	for i, x := range heard[lead:] {
		d := float64(x - pcm[i])
		sound += float64(pcm[i]) * float64(pcm[i])
		wrong += d * d
	}
	if !(sound > fastLeast*wrong) { // also false for NaN
		return fmt.Errorf("%w: an error of %.2g of its power", errFast, wrong/sound)
	}
	return nil
}
