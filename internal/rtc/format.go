package rtc

import (
	"fmt"
	"slices"
	"strings"

	"transponder/internal/media"
)

// format is one payload type of a section.
type format struct {
	rtpmap, fmtp string
	feedback     []string
}

// rank returns the codec of a payload type and its rank; 0: it cannot be used.
func (f *format) rank(k media.Kind) (media.Codec, int) {
	name, rest, _ := strings.Cut(strings.ToLower(f.rtpmap), "/")
	switch {
	case k == media.Video && rest == "90000":
		return f.rankVideo(name)
	case k == media.Audio && name == "opus" && rest == "48000/2":
		return media.Opus, 2
	case k == media.Audio && name == "pcma" && (rest == "8000" || rest == "8000/1"):
		return media.PCMA, 1
	case k == media.Audio && name == "pcmu" && (rest == "8000" || rest == "8000/1"):
		return media.PCMU, 1
	default:
		return media.CodecNone, 0
	}
}

// rankVideo prefers H.264, which RTMP carries without transcoding. The other codecs are equal.
func (f *format) rankVideo(name string) (media.Codec, int) {
	profile := parameter(f.fmtp, "profile-id")
	switch {
	case name == "h264" && parameter(f.fmtp, "packetization-mode") == "1":
		return media.H264, 3
	case name == "h264":
		return media.H264, 2
	case name == "vp8":
		return media.VP8, 1
	case name == "vp9" && (profile == "" || profile == "0"): // 8 bits, 4:2:0
		return media.VP9, 1
	case name == "av1" && (parameter(f.fmtp, "profile") == "" || parameter(f.fmtp, "profile") == "0"):
		return media.AV1, 1
	case name == "h265" && (profile == "" || profile == "1"): // Main
		return media.H265, 1
	default:
		return media.CodecNone, 0
	}
}

// rankFor prefers the codec of the first track. For H.264 it also prefers the mode that allows fragments, and the profile
// of the track. Most decoders take any profile, whatever the offer says, but some may be strict.
func (f *format) rankFor(k media.Kind, tracks []*media.Track) (media.Codec, int) {
	codec, _ := f.rank(k)
	i := slices.IndexFunc(tracks, func(t *media.Track) bool { return t.Codec == codec })
	if codec == media.CodecNone || i < 0 {
		return media.CodecNone, 0
	}
	rank := 4 * (len(tracks) - i)
	if codec == media.H264 {
		if parameter(f.fmtp, "packetization-mode") == "1" {
			rank += 2
		}
		level := parameter(f.fmtp, "profile-level-id")
		if c := tracks[i].Config; len(c) > 1 && len(level) == 6 && strings.EqualFold(level[:2], fmt.Sprintf("%02x", c[1])) {
			rank++
		}
	}
	return codec, rank
}

// rankCall prefers the codecs that the terms prefer. Then it ranks as rank does.
func (f *format) rankCall(k media.Kind, terms Terms) (media.Codec, int) {
	codec, rank := f.rank(k)
	if rank == 0 || !canMake(codec) {
		return media.CodecNone, 0
	}
	return codec, rank + 4*(len(terms.Prefer)-terms.order(codec))
}

// parameter returns the value of a parameter of an a=fmtp line, "" if there is none.
func parameter(fmtp, name string) string {
	for part := range strings.SplitSeq(fmtp, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if strings.EqualFold(key, name) {
			return value
		}
	}
	return ""
}
