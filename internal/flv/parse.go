package flv

import (
	"encoding/binary"
	"fmt"

	"transponder/internal/media"
)

// Packet is the kind of content of an audio or video message.
type Packet uint8

// The kinds of content.
const (
	Nothing Packet = iota // a message without media: an end of sequence, a command, a description
	Config                // Payload is a decoder configuration
	Frame                 // Payload is a frame
)

// Video is a video message.
type Video struct {
	Packet  Packet
	Codec   media.Codec
	Key     bool
	DelayMS int32 // PTS - DTS
	Payload []byte
}

// Audio is an audio message.
type Audio struct {
	Packet               Packet
	Codec                media.Codec
	SampleRate, Channels int // as the message says; 0 if only the configuration or the frames say so
	Payload              []byte
}

// ParseVideo reads a video message. Payload is a slice of b. It fails with ErrUnsupported for codecs other than H.264, HEVC and, in Enhanced
// RTMP, AV1 and VP9, and with ErrTrack for tracks other than the first.
func ParseVideo(b []byte) (Video, error) {
	if len(b) == 0 {
		return Video{}, nil // some encoders send such messages to keep a connection alive
	}
	if b[0]&0x80 != 0 {
		return parseVideoEx(b)
	}
	if b[0]>>4 == frameCommand {
		return Video{}, nil
	}
	codec, ok := videoCodecs[b[0]&0x0f]
	if !ok {
		return Video{}, fmt.Errorf("%w: video codec %d", ErrUnsupported, b[0]&0x0f)
	}
	if len(b) == 2 && b[1] == avcEnd {
		return Video{}, nil
	}
	if len(b) < 5 {
		return Video{}, fmt.Errorf("%w: video of %d bytes", ErrInvalid, len(b))
	}
	v := Video{Codec: codec, Key: b[0]>>4 == frameKey, Payload: b[5:]}
	switch b[1] {
	case avcConfig:
		v.Packet = Config
	case avcFrame:
		v.Packet, v.DelayMS = Frame, int24(b[2:])
	case avcEnd:
		return Video{}, nil
	default:
		return Video{}, fmt.Errorf("%w: AVC packet type %d", ErrInvalid, b[1])
	}
	return v, nil
}

// videoCodecs are the supported codec ids.
var videoCodecs = map[byte]media.Codec{videoAVC: media.H264, videoHEVC: media.H265}

// fourCCVideos are the supported video codecs of Enhanced RTMP.
var fourCCVideos = map[string]media.Codec{"avc1": media.H264, "hvc1": media.H265, "av01": media.AV1, "vp09": media.VP9}

// parseVideoEx reads the extended header of Enhanced RTMP v2.
func parseVideoEx(b []byte) (Video, error) {
	frame := b[0] >> 4 & 7
	packet, rest, err := skipModifiers(b[0]&0x0f, b[1:])
	if err != nil || frame == frameCommand {
		return Video{}, err
	}
	fourCC, packet, rest, err := takeTrack(packet, exMultitrack, rest)
	if err != nil {
		return Video{}, err
	}
	codec, ok := fourCCVideos[fourCC]
	if !ok {
		return Video{}, fmt.Errorf("%w: %s", ErrUnsupported, fourCC)
	}
	v := Video{Codec: codec, Key: frame == frameKey, Payload: rest}
	switch packet {
	case exConfig:
		v.Packet = Config
	case exFrame:
		v.Packet = Frame
		if !reordered(codec) {
			break
		}
		if len(rest) < 3 {
			return Video{}, fmt.Errorf("%w: no composition time", ErrInvalid)
		}
		v.DelayMS, v.Payload = int24(rest), rest[3:]
	case exFrameX:
		v.Packet = Frame
	default: // the end of a sequence, colour information
		return Video{}, nil
	}
	return v, nil
}

// soundCodecs are the supported sound formats.
var soundCodecs = map[byte]media.Codec{
	soundMP3: media.MP3, soundPCMA: media.PCMA, soundPCMU: media.PCMU, soundAAC: media.AAC, soundSpeex: media.Speex,
}

// ParseAudio reads an audio message. Payload is a slice of b. It fails with ErrUnsupported for codecs other than AAC, G.711, Speex, MP3 and,
// in Enhanced RTMP, Opus, and with ErrTrack for tracks other than the first.
func ParseAudio(b []byte) (Audio, error) {
	if len(b) == 0 {
		return Audio{}, nil // some encoders send this at the end of the sound
	}
	format := b[0] >> 4
	if format == soundEx {
		return parseAudioEx(b)
	}
	codec, ok := soundCodecs[format]
	if !ok {
		return Audio{}, fmt.Errorf("%w: sound format %d", ErrUnsupported, format)
	}
	a := Audio{Packet: Frame, Codec: codec, Channels: 1 + int(b[0]&1), Payload: b[1:]}
	switch codec {
	case media.AAC:
		return parseAAC(b)
	case media.PCMA, media.PCMU:
		a.SampleRate = 8000
	case media.Speex:
		a.SampleRate, a.Channels = 16000, 1
	case media.MP3:
		a.SampleRate = soundRates[b[0]>>2&3]
	}
	if len(a.Payload) == 0 {
		return Audio{}, nil
	}
	return a, nil
}

func parseAAC(b []byte) (Audio, error) {
	if len(b) < 2 {
		return Audio{}, fmt.Errorf("%w: AAC of %d bytes", ErrInvalid, len(b))
	}
	a := Audio{Codec: media.AAC, Payload: b[2:]}
	switch {
	case b[1] == 0xff: // an ADTS header where the packet type should be
		a.Packet, a.Payload = Frame, b[1:]
	case len(a.Payload) == 0: // some encoders send this while they have no configuration
		return Audio{}, nil
	case b[1] == aacConfig:
		a.Packet = Config
	case b[1] == aacFrame:
		a.Packet = Frame
	default:
		return Audio{}, fmt.Errorf("%w: AAC packet type %d", ErrInvalid, b[1])
	}
	return a, nil
}

// fourCCSounds are the supported audio codecs of Enhanced RTMP.
var fourCCSounds = map[string]media.Codec{"mp4a": media.AAC, "Opus": media.Opus, ".mp3": media.MP3}

// parseAudioEx reads the extended header of Enhanced RTMP v2.
func parseAudioEx(b []byte) (Audio, error) {
	packet, rest, err := skipModifiers(b[0]&0x0f, b[1:])
	if err != nil {
		return Audio{}, err
	}
	fourCC, packet, rest, err := takeTrack(packet, exMultiSound, rest)
	if err != nil {
		return Audio{}, err
	}
	codec, ok := fourCCSounds[fourCC]
	if !ok {
		return Audio{}, fmt.Errorf("%w: %s", ErrUnsupported, fourCC)
	}
	a := Audio{Codec: codec, Payload: rest}
	switch {
	case len(rest) == 0:
		return Audio{}, nil
	case packet == exConfig:
		a.Packet = Config
	case packet == exFrame:
		a.Packet = Frame
	default: // the end of a sequence, the order of channels
		return Audio{}, nil
	}
	return a, nil
}

// skipModifiers skips ModEx packets, which may precede the type of a packet.
func skipModifiers(packet byte, b []byte) (byte, []byte, error) {
	for packet == exModifier {
		if len(b) < 1 {
			return 0, nil, fmt.Errorf("%w: modifier ends early", ErrInvalid)
		}
		size := int(b[0]) + 1
		b = b[1:]
		if size == 256 {
			if len(b) < 2 {
				return 0, nil, fmt.Errorf("%w: modifier ends early", ErrInvalid)
			}
			size = int(binary.BigEndian.Uint16(b)) + 1
			b = b[2:]
		}
		if len(b) < size+1 {
			return 0, nil, fmt.Errorf("%w: modifier ends early", ErrInvalid)
		}
		packet = b[size] & 0x0f
		b = b[size+1:]
	}
	return packet, b, nil
}

// takeTrack reads the codec, the packet type and the payload of the only track of a message, or of track 0 if the message lists its tracks
// (Enhanced RTMP v2, multitrack).
func takeTrack(packet, multi byte, b []byte) (fourCC string, _ byte, payload []byte, err error) {
	if packet != multi {
		fourCC, b, err = takeFourCC(b)
		return fourCC, packet, b, err
	}
	if len(b) < 1 {
		return "", 0, nil, fmt.Errorf("%w: multitrack message ends early", ErrInvalid)
	}
	kind := b[0] >> 4
	packet, b = b[0]&0x0f, b[1:]
	if kind > manyTracksManyCodecs || packet == multi || packet == exModifier {
		return "", 0, nil, fmt.Errorf("%w: multitrack message of type %d", ErrInvalid, kind)
	}
	if kind != manyTracksManyCodecs {
		if fourCC, b, err = takeFourCC(b); err != nil {
			return "", 0, nil, err
		}
	}
	for len(b) > 0 {
		if kind == manyTracksManyCodecs {
			if fourCC, b, err = takeFourCC(b); err != nil {
				return "", 0, nil, err
			}
		}
		head := 4 // the id of the track and the length of its payload
		if kind == oneTrack {
			head = 1
		}
		if len(b) < head {
			return "", 0, nil, fmt.Errorf("%w: multitrack message ends early", ErrInvalid)
		}
		id, size := b[0], len(b)-head
		if kind != oneTrack {
			size = int(b[1])<<16 | int(b[2])<<8 | int(b[3])
		}
		if size > len(b)-head {
			return "", 0, nil, fmt.Errorf("%w: multitrack message ends early", ErrInvalid)
		}
		if id == 0 {
			return fourCC, packet, b[head : head+size : head+size], nil
		}
		b = b[head+size:]
	}
	return "", 0, nil, ErrTrack
}

func takeFourCC(b []byte) (string, []byte, error) {
	if len(b) < 4 {
		return "", nil, fmt.Errorf("%w: no codec", ErrInvalid)
	}
	return string(b[:4]), b[4:], nil
}

// int24 reads a signed 24-bit number.
func int24(b []byte) int32 { return int32(uint32(b[0])<<24|uint32(b[1])<<16|uint32(b[2])<<8) >> 8 }
