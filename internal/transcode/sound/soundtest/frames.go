package soundtest

import (
	"bytes"
	"math"
	"testing"
	"time"

	"transponder/internal/media"
)

// ToneLevel is the amplitude of tones that are neither soft nor near full scale.
const ToneLevel = 0.5

// AACStereo is the form of AAC that the server makes by default.
var AACStereo = media.AudioFormat{Codec: media.AAC, RateBPS: 128_000, SampleRate: rate, Channels: 2}

// Forms are forms of sound for which packets of silence and of sound files can be made.
var Forms = []struct {
	Name   string
	Format media.AudioFormat
}{
	{"AAC", AACStereo},
	{"AAC 44100 Hz", media.AudioFormat{Codec: media.AAC, RateBPS: 128_000, SampleRate: 44100, Channels: 2}},
	{"AAC 32000 Hz mono", media.AudioFormat{Codec: media.AAC, RateBPS: 64_000, SampleRate: 32000, Channels: 1}},
	{"A-law", media.AudioFormat{Codec: media.PCMA, SampleRate: 8000, Channels: 1}},
	{"mu-law", media.AudioFormat{Codec: media.PCMU, SampleRate: 8000, Channels: 1}},
	{"Speex", media.AudioFormat{Codec: media.Speex, SampleRate: 16000, Channels: 1}},
	{"G.722", media.AudioFormat{Codec: media.G722, SampleRate: 16000, Channels: 1}},
	{"Opus", media.AudioFormat{Codec: media.Opus, RateBPS: 96_000, SampleRate: rate, Channels: 2}},
	{"Speex 8000 Hz", media.AudioFormat{Codec: media.SpeexNarrow, SampleRate: 8000, Channels: 1}},
}

// ToneOf returns a sine of amplitude ToneLevel with the sampling rate and the channels of a format.
func ToneOf(f media.AudioFormat, hz float64, d time.Duration) []float32 {
	n := int(d * time.Duration(f.SampleRate) / time.Second)
	pcm := make([]float32, 0, f.Channels*n)
	for i := range n {
		x := float32(ToneLevel * math.Sin(2*math.Pi*hz*float64(i)/float64(f.SampleRate)))
		for range f.Channels {
			pcm = append(pcm, x)
		}
	}
	return pcm
}

// Encoder is what EncodeFrames needs of an encoder.
type Encoder interface {
	FrameSize() int
	Config() []byte
	Encode(pcm []float32) ([]byte, error)
	Close()
}

// EncodeFrames encodes PCM of an encoder's format as the frames of a live stream, and closes the encoder.
func EncodeFrames(t testing.TB, enc Encoder, f media.AudioFormat, pcm []float32) []media.Frame {
	t.Helper()
	defer enc.Close()
	track := &media.Track{Codec: f.Codec, Config: enc.Config(), SampleRate: f.SampleRate, Channels: f.Channels}
	size := f.Channels * enc.FrameSize()
	var frames []media.Frame
	for ; len(pcm) >= size; pcm = pcm[size:] {
		packet, err := enc.Encode(pcm[:size])
		if err != nil {
			t.Fatal(err)
		}
		if len(packet) > 0 {
			at := media.Timestamp(media.Samples(int64(len(frames)*enc.FrameSize()), f.SampleRate))
			frames = append(frames, media.Frame{Track: track, Time: at, Key: true, Data: bytes.Clone(packet)})
		}
	}
	return frames
}

// Decoder is what DecodeFrames needs of a decoder.
type Decoder interface {
	Decode(pcm []float32, packet []byte) (int, error)
	Close()
}

// DecodeFrames decodes frames of at most so many samples each to stereo PCM at 48 kHz, which begins at the first frame's time.
// It closes the decoder.
func DecodeFrames(t testing.TB, dec Decoder, samples int, frames []media.Frame) []float32 {
	t.Helper()
	defer dec.Close()
	var all []float32
	pcm := make([]float32, 2*samples)
	for _, f := range frames {
		n, err := dec.Decode(pcm, f.Data)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, pcm[:2*n]...)
	}
	return all
}

// Between cuts PCM of DecodeFrames by times on the stream's clock.
func Between(frames []media.Frame, pcm []float32, from, to media.Timestamp) []float32 {
	start := frames[0].Time
	return pcm[2*samples(time.Duration(from.Sub(start))) : 2*samples(time.Duration(to.Sub(start)))]
}
