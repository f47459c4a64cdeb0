package sink

import (
	"encoding/hex"
	"fmt"

	"transponder/bench/internal/source"
)

// Of the FLV tag headers (Adobe's Video File Format 10.1, E.4, and Enhanced RTMP v2).
const (
	legacyAVC     = 7
	legacyAAC     = 10
	enhancedAudio = 9
	enhancedVideo = 0x80
	nalIDR        = 5
)

type audioTag struct {
	codec    string
	header   bool // a sequence header, which holds no sound
	noHeader bool // a codec that has none
	body     []byte
}

func parseAudioTag(p []byte) (audioTag, bool) {
	if len(p) < 2 {
		return audioTag{}, false
	}
	switch format := p[0] >> 4; {
	case format == legacyAAC:
		return audioTag{codec: "aac", header: p[1] == 0, body: p[2:]}, true
	case format == enhancedAudio && len(p) >= 5:
		return audioTag{codec: "enhanced " + string(p[1:5]), header: p[0]&15 == 0, body: p[5:]}, true
	case format == enhancedAudio:
		return audioTag{}, false
	default:
		return audioTag{codec: fmt.Sprintf("legacy format %d", format), noHeader: true, body: p[1:]}, true
	}
}

// describeAudioConfig spells out an AudioSpecificConfig (ISO 14496-3, 1.6.2.1).
func describeAudioConfig(codec string, b []byte) string {
	if codec != "aac" || len(b) < 2 {
		return hex.EncodeToString(b)
	}
	rates := [16]int{96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350}
	object, rate, channels := b[0]>>3, rates[b[0]&7<<1|b[1]>>7], b[1]>>3&15
	return fmt.Sprintf("%x object=%d rate=%d channels=%d", b, object, rate, channels)
}

type videoTag struct {
	key, header bool
	body        []byte
}

// parseVideoTag removes the tag header. It returns the codec also for tags whose content is not judged.
func parseVideoTag(p []byte) (tag videoTag, codec string, ok bool) {
	if len(p) < 5 {
		return videoTag{}, "", false
	}
	if p[0]&enhancedVideo != 0 {
		tag, ok = parseEnhancedVideo(p)
		return tag, "enhanced " + string(p[1:5]), ok
	}
	if p[0]&15 != legacyAVC {
		return videoTag{}, fmt.Sprintf("legacy codec %d", p[0]&15), false
	}
	return videoTag{key: p[0]>>4 == 1, header: p[1] == 0, body: p[5:]}, "avc", p[1] <= 1
}

func parseEnhancedVideo(p []byte) (videoTag, bool) {
	const sequenceStart, codedFrames, codedFramesX = 0, 1, 3
	tag := videoTag{key: p[0]>>4&7 == 1, body: p[5:]}
	switch kind := p[0] & 15; {
	case kind == sequenceStart:
		tag.header = true
	case kind == codedFramesX:
	case kind == codedFrames && len(tag.body) >= 3:
		tag.body = tag.body[3:] // the composition time
	default:
		return videoTag{}, false
	}
	return tag, true
}

// unit holds what the NAL units of a frame tell.
type unit struct {
	mark   source.Mark
	marked bool
	idr    bool
}

// scanUnit walks NAL units with lengths of lengthSize bytes, and says whether they fill b.
func scanUnit(b []byte, lengthSize int) (u unit, ok bool) {
	for len(b) > 0 {
		if lengthSize == 0 || len(b) < lengthSize {
			return u, false
		}
		n := 0
		for _, c := range b[:lengthSize] {
			n = n<<8 | int(c)
		}
		b = b[lengthSize:]
		if n == 0 || n > len(b) {
			return u, false
		}
		u.idr = u.idr || b[0]&0x1f == nalIDR
		if mark, found := source.FindMark(b[:n]); found {
			u.mark, u.marked = mark, true
		}
		b = b[n:]
	}
	return u, true
}
