package flv

import (
	"encoding/binary"

	"transponder/internal/media"
)

// FourCC returns the name of a codec in Enhanced RTMP v2, "" for codecs that plain FLV has. Track.Config of these video codecs is the content
// of hvcC, av1C or vpcC in MP4, and frames have the form that they have in MP4.
func FourCC(c media.Codec) string {
	switch c {
	case media.H265:
		return "hvc1"
	case media.AV1:
		return "av01"
	case media.VP9:
		return "vp09"
	case media.Opus:
		return "Opus"
	default:
		return ""
	}
}

// reordered reports whether frames of a codec carry a composition time.
func reordered(c media.Codec) bool { return c == media.H264 || c == media.H265 }

// exFrameTag makes the tag of a frame in the extended format. delay is in milliseconds.
func exFrameTag(fourCC string, f media.Frame, delay, ms int64) Tag {
	if f.Kind() == media.Audio {
		return exTag(TypeAudio, soundEx<<4|exFrame, fourCC, ms, f.Data)
	}
	head := 0x80 | frameInter<<4
	if f.Key {
		head = 0x80 | frameKey<<4
	}
	if !reordered(f.Track.Codec) {
		return exTag(TypeVideo, head|exFrame, fourCC, ms, f.Data)
	}
	if delay == 0 {
		return exTag(TypeVideo, head|exFrameX, fourCC, ms, f.Data)
	}
	t := exTag(TypeVideo, head|exFrame, fourCC, ms, f.Data)
	delay = fit24(delay)
	t.head[5], t.head[6], t.head[7] = byte(delay>>16), byte(delay>>8), byte(delay)
	t.headLen = 8
	return t
}

// exConfigTag makes the tag that starts a sequence in the extended format.
func exConfigTag(fourCC string, t *media.Track, ms int64) Tag {
	switch {
	case t.Codec.Kind() == media.Video:
		return exTag(TypeVideo, 0x80|frameKey<<4|exConfig, fourCC, ms, t.Config)
	case t.Config == nil: // the source has none, such as WebRTC
		return exTag(TypeAudio, soundEx<<4|exConfig, fourCC, ms, opusHead(t))
	default:
		return exTag(TypeAudio, soundEx<<4|exConfig, fourCC, ms, t.Config)
	}
}

func exTag(kind, first byte, fourCC string, ms int64, payload []byte) Tag {
	t := Tag{Type: kind, Time: uint32(ms), Payload: payload, head: [8]byte{first}, headLen: 5}
	copy(t.head[1:], fourCC)
	return t
}

// opusHead makes an Opus identification header (RFC 7845, 5.1). No samples are skipped, since a live stream is joined in the middle.
func opusHead(t *media.Track) []byte {
	b := append([]byte("OpusHead"), 1, byte(t.Channels), 0, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(t.SampleRate))
	return append(b, 0, 0, 0) // no gain; one stream of one or two channels
}
