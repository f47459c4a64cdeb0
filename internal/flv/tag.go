package flv

import (
	"fmt"

	"transponder/internal/media"
)

// The types of a tag, which are also the message types of RTMP.
const (
	TypeAudio uint8 = 8
	TypeVideo uint8 = 9
	TypeData  uint8 = 18
)

// Tag is one message: a short head and the payload after it. The payload is shared with the frame or track of the tag, and is not changed.
type Tag struct {
	Type    uint8
	Time    uint32 // milliseconds, modulo 2^32
	Payload []byte

	head    [8]byte
	headLen uint8
}

// Head returns the bytes before the payload, as a slice of t.
func (t *Tag) Head() []byte { return t.head[:t.headLen] }

// Len returns the size of the whole body.
func (t *Tag) Len() int { return int(t.headLen) + len(t.Payload) }

// FrameTag makes the tag of a frame that is decoded at ms milliseconds on the clock of the receiver. The wire has ms modulo 2^32. Codecs that
// plain FLV does not have get the headers of Enhanced RTMP, which not every receiver understands. FrameTag fails with ErrUnsupported for
// codecs that neither has.
func FrameTag(f media.Frame, ms int64) (Tag, error) {
	delay := f.Time.Add(f.Delay).Milliseconds() - f.Time.Milliseconds()
	if f.Track.Codec == media.H264 {
		return avcTag(f.Key, avcFrame, delay, ms, f.Data), nil
	}
	if fourCC := FourCC(f.Track.Codec); fourCC != "" {
		return exFrameTag(fourCC, f, delay, ms), nil
	}
	b, ok := audioHead(f.Track)
	if !ok {
		return Tag{}, fmt.Errorf("%w: %s", ErrUnsupported, f.Track.Codec)
	}
	t := Tag{Type: TypeAudio, Time: uint32(ms), Payload: f.Data, head: [8]byte{b, aacFrame}, headLen: 1}
	if f.Track.Codec == media.AAC {
		t.headLen = 2
	}
	return t, nil
}

// ConfigTag makes the tag with the decoder configuration of a track, which is sent before the first frame of the track. ok is false if FLV has
// no such tag for the codec.
func ConfigTag(t *media.Track, ms int64) (tag Tag, ok bool) {
	switch t.Codec {
	case media.H264:
		return avcTag(true, avcConfig, 0, ms, t.Config), true
	case media.AAC:
		head := [8]byte{soundAAC<<4 | soundAACFlags, aacConfig}
		return Tag{Type: TypeAudio, Time: uint32(ms), Payload: t.Config, head: head, headLen: 2}, true
	}
	if fourCC := FourCC(t.Codec); fourCC != "" && (t.Config != nil || t.Codec == media.Opus) {
		return exConfigTag(fourCC, t, ms), true
	}
	return Tag{}, false
}

// avcTag makes a tag of the AVC video packet format (FLV 10.1, E.4.3.1). delay is in milliseconds.
func avcTag(key bool, packet byte, delay, ms int64, payload []byte) Tag {
	frame := frameInter
	if key {
		frame = frameKey
	}
	delay = fit24(delay)
	return Tag{
		Type: TypeVideo, Time: uint32(ms), Payload: payload,
		head:    [8]byte{frame<<4 | videoAVC, packet, byte(delay >> 16), byte(delay >> 8), byte(delay)},
		headLen: 5,
	}
}

// fit24 limits a number to the range of a signed 24-bit field.
func fit24(n int64) int64 { return min(max(n, -1<<23), 1<<23-1) }

// audioHead returns the first byte of the audio tags of a track (FLV 10.1, E.4.2.1).
func audioHead(t *media.Track) (byte, bool) {
	var stereo byte
	if t.Channels == 2 {
		stereo = 1
	}
	switch t.Codec {
	case media.AAC:
		return soundAAC<<4 | soundAACFlags, true
	case media.PCMA:
		return soundPCMA<<4 | sound16Bit | stereo, true
	case media.PCMU:
		return soundPCMU<<4 | sound16Bit | stereo, true
	case media.Speex:
		return soundSpeex<<4 | sound16Bit, true // always 16 kHz mono, although the field of the rate is 0
	case media.MP3:
		for i, rate := range soundRates {
			if rate == t.SampleRate {
				return soundMP3<<4 | byte(i)<<2 | sound16Bit | stereo, true
			}
		}
		return soundMP3<<4 | 3<<2 | sound16Bit | stereo, true // decoders read the rate from the frames
	default:
		return 0, false
	}
}
