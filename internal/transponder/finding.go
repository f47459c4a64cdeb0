package transponder

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"transponder/internal/destination"
	"transponder/internal/media"
	"transponder/internal/stream"
)

// FindingCode is what about a stream breaks the rules of the platform that it goes to. The list is closed.
type FindingCode string

// The codes of findings.
const (
	FindingNoSound      FindingCode = "no_sound"
	FindingCodec        FindingCode = "codec"
	FindingProfile      FindingCode = "profile"
	FindingSize         FindingCode = "size"
	FindingFrameRate    FindingCode = "frame_rate"
	FindingKeyInterval  FindingCode = "key_interval"
	FindingBFrames      FindingCode = "b_frames"
	FindingVideoBitrate FindingCode = "video_bitrate"
	FindingAudioBitrate FindingCode = "audio_bitrate"
	FindingAudioCodec   FindingCode = "audio_codec"
	FindingAudioRate    FindingCode = "audio_rate"
)

// FindingCodes are all codes.
func FindingCodes() []FindingCode {
	return []FindingCode{
		FindingNoSound, FindingCodec, FindingProfile, FindingSize, FindingFrameRate, FindingKeyInterval, FindingBFrames, FindingVideoBitrate,
		FindingAudioBitrate, FindingAudioCodec, FindingAudioRate,
	}
}

// Finding says what about a stream breaks a rule of the platform, and what to change.
type Finding struct {
	Code   FindingCode
	Detail string
}

// shape is what a destination gets. A zero means that it is not known.
type shape struct {
	video, sound       *media.Track
	silent             bool // the stream has no sound; silence is sent
	fps                float64
	keyInterval        time.Duration
	videoBPS, soundBPS int64
}

const (
	// bitrateSlack is by how much a bit rate may be above a limit for a moment, in percent: the figure is that of one second.
	bitrateSlack = 15
	// rateSlack is the same for frames a second, which are counted, not declared.
	rateSlack = 1
	// longestKeys is the time between key frames that is too long for any server: somebody who joins waits so long for a picture.
	longestKeys = 10 * time.Second
)

// compare returns what about a stream breaks the rules of a platform, in the order of the codes. With the zero Preset there are only the rules
// that hold everywhere.
func compare(p destination.Preset, s shape) []Finding {
	var all []Finding
	add := func(is bool, code FindingCode, format string, args ...any) {
		if is {
			all = append(all, Finding{code, fmt.Sprintf(format, args...)})
		}
	}
	name := cmp.Or(p.Name, "The destination")
	add(p.NeedsSound && s.silent, FindingNoSound, "The stream has no sound, so silence is sent. %s wants sound: switch on a microphone, or play a file with sound_on.", name)
	if s.video != nil {
		comparePictures(p, s, name, add)
	}
	add(p.MaxVideoKbps > 0 && isOver(s.videoBPS, p.MaxVideoKbps), FindingVideoBitrate,
		"The pictures have %d kbit/s, and %s takes %d. Lower the bit rate of the encoder, or set options.bitrate.", s.videoBPS/1000, name, p.MaxVideoKbps)
	if s.sound == nil {
		return all
	}
	add(p.MaxAudioKbps > 0 && isOver(s.soundBPS, p.MaxAudioKbps), FindingAudioBitrate,
		"The sound has %d kbit/s, and %s takes %d. Lower the bit rate of the encoder, or set options.audioBitrate.", s.soundBPS/1000, name, p.MaxAudioKbps)
	add(p.Limits != "" && s.sound.Codec != media.AAC && s.sound.Codec != media.CodecNone, FindingAudioCodec,
		"The sound is %s, and %s takes AAC. Set options.audioCodec to aac.", codecName(s.sound.Codec), name)
	add(s.sound.Codec == media.AAC && s.sound.SampleRate > 0 && len(p.SampleRates) > 0 && !slices.Contains(p.SampleRates, s.sound.SampleRate), FindingAudioRate,
		"The sound has %d Hz, and %s takes 44100 and 48000. Set options.audioRate to 48000.", s.sound.SampleRate, name)
	return all
}

func comparePictures(p destination.Preset, s shape, name string, add func(bool, FindingCode, string, ...any)) {
	codec := optionOf(s.video.Codec)
	add(p.Limits != "" && codec != "" && !slices.Contains(p.Codecs, codec), FindingCodec,
		"The pictures are %s, which %s does not take. Leave %q out of options.codecs, so that they are sent as H.264.", codecName(s.video.Codec), name, codec)
	profile, known := media.H264Profile{}, false
	if s.video.Codec == media.H264 {
		profile, known = media.H264ProfileOf(s.video.Config)
	}
	switch {
	case known && p.Baseline && profile.Name != "Baseline":
		add(true, FindingProfile, "The pictures have the H.264 profile %s, and %s takes Baseline only. Set the profile of the encoder to baseline.", profile.Name, name)
	case known && !profile.Common:
		add(true, FindingProfile, "The pictures have the H.264 profile %s, which most players cannot show. Set the profile of the encoder to main or high, with 8 bits and 4:2:0.",
			cmp.Or(profile.Name, "of an unusual kind"))
	}
	long, short := max(s.video.Width, s.video.Height), min(s.video.Width, s.video.Height)
	add(p.MaxWidth > 0 && (long > p.MaxWidth || short > p.MaxHeight), FindingSize,
		"The pictures are %dx%d, and %s takes up to %dx%d. Lower the size in the encoder, or set height.", s.video.Width, s.video.Height, name, p.MaxWidth, p.MaxHeight)
	add(p.MaxFPS > 0 && s.fps > float64(p.MaxFPS+rateSlack), FindingFrameRate,
		"There are %.0f pictures a second, and %s takes %d. Lower the frame rate of the encoder, or set fps.", s.fps, name, p.MaxFPS)
	// Platforms recommend 2 s and warn at twice that (YouTube and Facebook say so). Browsers are asked for a key frame every 2 s and send it a
	// little later.
	recommended := time.Duration(p.KeyFrameSeconds) * time.Second
	switch {
	case recommended > 0 && s.keyInterval > 2*recommended:
		add(true, FindingKeyInterval, "There are %.1f s between key frames, and %s wants %d s. Set the key frame interval of the encoder to %d s, or set keyFrameInterval.",
			s.keyInterval.Seconds(), name, p.KeyFrameSeconds, p.KeyFrameSeconds)
	case s.keyInterval > longestKeys:
		add(true, FindingKeyInterval, "There are %.1f s between key frames, and viewers who join wait so long for a picture. Set the key frame interval of the encoder to 2 s, or set keyFrameInterval.",
			s.keyInterval.Seconds())
	}
	add(p.NoBFrames && profile.BFrames, FindingBFrames, "The pictures have B-frames, which %s does not take. Switch B-frames off in the encoder.", name)
}

func isOver(bps int64, kbps int) bool { return bps*100 > int64(kbps)*1000*(100+bitrateSlack) }

// optionOf returns the name of a codec of pictures in options.codecs, "" for H.264 and sound.
func optionOf(c media.Codec) string {
	for name, codec := range passable {
		if codec == c && codec.Kind() == media.Video {
			return name
		}
	}
	return ""
}

// codecName returns the name of a codec for people.
func codecName(c media.Codec) string {
	if c == media.AAC {
		return "AAC"
	}
	return c.String()
}

// platform returns what is known of the platform of a target; the zero Preset: nothing.
func (t pushTarget) platform() destination.Preset {
	if p, ok := destination.PresetByID(t.Preset); ok && t.Preset != "custom" {
		return p
	}
	p, _ := destination.PresetOf(t.Host)
	return p
}

// findings compares what a push sends with the rules of the platform. They say nothing of the moments at which the push is not live, and at
// which it sends made-up pictures.
func (p *push) findings(state State) []Finding {
	if state != Live && state != Degraded {
		return nil
	}
	s := p.soundShape(p.source(), p.req.Options)
	if feed := p.in.feed(); feed != nil {
		stats := feed.Stats()
		s.fps, s.videoBPS = stats.FrameRate, stats.RateBPS
	}
	p.mu.Lock()
	s.video, s.keyInterval = p.picture, p.keyInterval
	p.mu.Unlock()
	return compare(p.present().target.platform(), s)
}

// soundShape returns what the sound of a stream becomes in a push with those options.
func (c pushConfig) soundShape(src *stream.Source, o Options) shape {
	s := shape{silent: !src.HasAudio(), sound: c.parts.Audio.Expect(src, o.Audio), soundBPS: int64(o.Audio.RateBPS)}
	if own := src.Audio.Stats(); own.Track != nil && own.Track == s.sound {
		s.soundBPS = own.RateBPS
	}
	return s
}
