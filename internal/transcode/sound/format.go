package sound

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"transponder/internal/limits"
	"transponder/internal/media"
	"transponder/internal/transcode/libav"
)

// RateRange is the range of AAC's bit rate, in bit/s. Below, not even speech in mono is intelligible; a frame cannot hold more.
var RateRange = limits.Of(16_000, 512_000)

// ChannelsRange is the range of AAC's channels: mono and stereo.
var ChannelsRange = limits.Of(1, 2)

// opusRateBPS is a bit rate at which few listeners hear that stereo music was encoded in Opus.
const opusRateBPS = 96_000

// SampleRates are the sampling rates of AAC that can be encoded, in Hz.
var SampleRates = []int{8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000}

// ErrForm means that sound in the form of a track cannot be encoded.
var ErrForm = errors.New("sound of this form is not made here")

// complete fills in the fields of codecs that have only one form.
func complete(f media.AudioFormat) media.AudioFormat {
	switch f.Codec {
	case media.PCMA, media.PCMU, media.SpeexNarrow:
		return media.AudioFormat{Codec: f.Codec, SampleRate: 8000, Channels: 1}
	case media.Speex, media.G722:
		return media.AudioFormat{Codec: f.Codec, SampleRate: 16000, Channels: 1}
	case media.Opus:
		return media.AudioFormat{Codec: f.Codec, RateBPS: cmp.Or(f.RateBPS, opusRateBPS), SampleRate: sampleRate, Channels: channels}
	}
	return f
}

// checkFormat returns what is wrong with a format. Zero fields are right.
func checkFormat(f media.AudioFormat) error {
	switch f.Codec {
	case media.CodecNone, media.AAC:
	case media.Opus: // for players; to RTMP, Opus is only passed on
		if f.SampleRate != 0 && f.SampleRate != sampleRate || f.Channels != 0 && f.Channels != channels {
			return fmt.Errorf("sound in Opus is stereo at %d Hz", sampleRate)
		}
	case media.PCMA, media.PCMU, media.Speex, media.G722, media.SpeexNarrow: // the last two are for phones
		if only := complete(f); f.RateBPS != 0 || f.SampleRate != 0 && f.SampleRate != only.SampleRate || f.Channels > 1 {
			return fmt.Errorf("%v has %d Hz and one channel, and no other bit rate than its own", f.Codec, only.SampleRate)
		}
	default:
		return fmt.Errorf("sound cannot be sent as %v", f.Codec)
	}
	switch {
	case f.RateBPS != 0 && !RateRange.Contains(f.RateBPS):
		return fmt.Errorf("audio bit rate %d bit/s is not %v", f.RateBPS, RateRange)
	case f.SampleRate != 0 && !slices.Contains(SampleRates, f.SampleRate):
		return fmt.Errorf("audio sample rate %d Hz is none of %v", f.SampleRate, SampleRates)
	case f.Channels != 0 && !ChannelsRange.Contains(f.Channels):
		return fmt.Errorf("%d audio channels are not %v", f.Channels, ChannelsRange)
	}
	return nil
}

// FormatOf returns the format in which sound must be encoded so that a decoder of the track can decode it. rateBPS is the bit
// rate of stereo AAC at 48 kHz, in bit/s.
func FormatOf(t *media.Track, rateBPS int) (media.AudioFormat, error) {
	f := media.AudioFormat{Codec: t.Codec}
	switch t.Codec {
	case media.PCMA, media.PCMU:
		f.SampleRate, f.Channels = cmp.Or(t.SampleRate, 8000), cmp.Or(t.Channels, 1)
		if f.SampleRate != 8000 || f.Channels > 2 {
			return f, ErrForm
		}
	case media.Speex, media.G722, media.SpeexNarrow, media.Opus:
		f = complete(f)
	case media.AAC:
		var c mpeg4audio.AudioSpecificConfig
		if err := c.Unmarshal(t.Config); err != nil {
			return f, ErrForm
		}
		f.SampleRate, f.Channels = c.SampleRate, int(c.ChannelConfig)
		plain := c.Type == mpeg4audio.ObjectTypeAACLC && c.ExtensionType == 0 && !c.FrameLengthFlag
		if !plain || !ChannelsRange.Contains(f.Channels) || !slices.Contains(SampleRates, f.SampleRate) {
			return f, ErrForm
		}
		f.RateBPS = max(RateRange.Min, rateBPS/(3-f.Channels))
	default:
		return f, ErrForm
	}
	if !libav.CanEncode(f.Codec) {
		return f, ErrForm
	}
	return f, nil
}
