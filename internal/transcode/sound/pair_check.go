package sound

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"transponder/internal/media"
	"transponder/internal/transcode/libav"
)

// errPair means that a packet of one channel, written as a pair, does not decode to the same sound.
var errPair = errors.New("one channel cannot be written as two")

// pairsWork runs checkPairs on the codecs of this program, once: they do not change.
var pairsWork = sync.OnceValue(func() error {
	return checkPairs(
		func(f media.AudioFormat) (Encoder, error) { return libav.NewEncoder(f) },
		func(t *media.Track) (decoder, error) { return libav.NewDecoder(t) })
})

// checkPairs encodes some sound in one channel, writes the packets as pairs, and checks that both decode to the same samples,
// to the last bit. That can fail with another version of FFmpeg, because nothing in a packet says where the data of its
// channel ends.
func checkPairs(newEncoder func(media.AudioFormat) (Encoder, error), newDecoder func(*media.Track) (decoder, error)) error {
	f := media.AudioFormat{Codec: media.AAC, RateBPS: 128_000, SampleRate: sampleRate, Channels: channels}
	stereo, err := newEncoder(f)
	if err != nil {
		return err
	}
	config := stereo.Config()
	stereo.Close()
	f.Channels = 1
	enc, err := newEncoder(f)
	if err != nil {
		return err
	}
	defer enc.Close()
	if made := stereoConfig(enc.Config()); !bytes.Equal(made, config) {
		return fmt.Errorf("%w: the configuration is %x, not %x", errPair, config, made)
	}
	var packets, pairs [][]byte
	for frame := range slices.Chunk(checkSound(enc.FrameSize()), enc.FrameSize()) {
		packet, err := enc.Encode(frame)
		if err != nil {
			return err
		}
		if len(packet) == 0 {
			continue
		}
		pair, err := media.StereoAAC(nil, packet)
		if err != nil {
			return err
		}
		packets, pairs = append(packets, bytes.Clone(packet)), append(pairs, pair)
	}
	one, err := decodeCheck(newDecoder, &media.Track{Codec: media.AAC, Config: enc.Config(), SampleRate: f.SampleRate, Channels: 1}, packets)
	if err != nil {
		return err
	}
	two, err := decodeCheck(newDecoder, &media.Track{Codec: media.AAC, Config: config, SampleRate: f.SampleRate, Channels: channels}, pairs)
	if err != nil {
		return err
	}
	if len(one) == 0 || !slices.Equal(one, two) {
		return fmt.Errorf("%w: it does not sound the same", errPair)
	}
	return nil
}

// checkSound returns whole frames of one channel: silence, a tone, pulses that make the encoder use short windows, and noise.
func checkSound(size int) []float32 {
	const frames = 24
	pcm := make([]float32, frames*size)
	noise := uint32(1)
	for i := range pcm {
		noise = noise*1664525 + 1013904223
		x := float64(noise>>8)/(1<<23) - 1
		stroke := math.Exp(-float64(i%5000) / 300)
		switch i / size * 4 / frames {
		case 1:
			pcm[i] = float32(0.4 * math.Sin(2*math.Pi*997*float64(i)/sampleRate))
		case 2:
			pcm[i] = float32(0.7 * x * stroke)
		case 3:
			pcm[i] = float32(0.2 * x)
		}
	}
	return pcm
}

// decodeCheck decodes packets to PCM.
func decodeCheck(newDecoder func(*media.Track) (decoder, error), t *media.Track, packets [][]byte) ([]float32, error) {
	dec, err := newDecoder(t)
	if err != nil {
		return nil, err
	}
	defer dec.Close()
	pcm := make([]float32, channels*libav.MaxSamples)
	var all []float32
	for _, p := range packets {
		n, err := dec.Decode(pcm, p)
		if err != nil {
			return nil, err
		}
		all = append(all, pcm[:channels*n]...)
	}
	return all, nil
}
