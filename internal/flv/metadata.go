package flv

import (
	"encoding/binary"

	"transponder/internal/amf"
	"transponder/internal/media"
)

// Metadata describes a stream for players that want to know before the first frame.
type Metadata struct {
	Video, Audio *media.Track // nil: the stream has none
	FrameRate    float64      // 0: unknown, as for the bit rates below
	VideoBPS     int64
	AudioBPS     int64
	Encoder      string
}

// MetadataTag makes the message with which a publisher sets onMetaData of a stream at a time in milliseconds (FLV 10.1, E.5).
func MetadataTag(m Metadata, ms int64) Tag {
	return Tag{Type: TypeData, Time: uint32(ms), Payload: amf.Append(nil, "@setDataFrame", "onMetaData", m.array())}
}

// PlayerMetadataTag makes onMetaData as a server sends it to players. Its time is always zero: FFmpeg takes onMetaData of any other time for
// a track of text, and then waits for the text.
func PlayerMetadataTag(m Metadata, _ int64) Tag {
	return Tag{Type: TypeData, Payload: amf.Append(nil, "onMetaData", m.array())}
}

func (m Metadata) array() amf.ECMAArray {
	var a amf.ECMAArray
	number := func(name string, v float64) {
		if v != 0 {
			a = append(a, amf.Property{Name: name, Value: v})
		}
	}
	if m.Video != nil {
		number("width", float64(m.Video.Width))
		number("height", float64(m.Video.Height))
		number("framerate", m.FrameRate)
		number("rotation", float64(m.Video.Rotation)) // in no specification, but some players read it
		number("videocodecid", videoID(m.Video))
		number("videodatarate", float64(m.VideoBPS)/1000)
	}
	if m.Audio != nil {
		number("audiocodecid", audioID(m.Audio))
		number("audiosamplerate", float64(m.Audio.SampleRate))
		number("audiosamplesize", 16)
		number("audiochannels", float64(m.Audio.Channels))
		number("audiodatarate", float64(m.AudioBPS)/1000)
		a = append(a, amf.Property{Name: "stereo", Value: m.Audio.Channels == 2})
	}
	if m.Encoder != "" {
		a = append(a, amf.Property{Name: "encoder", Value: m.Encoder})
	}
	return a
}

// videoID returns the codec of a track as a number: its codec id, or its fourCC read as a number (Enhanced RTMP v2).
func videoID(t *media.Track) float64 {
	if fourCC := FourCC(t.Codec); fourCC != "" {
		return float64(binary.BigEndian.Uint32([]byte(fourCC)))
	}
	return float64(videoAVC)
}

// audioID is videoID for sound.
func audioID(t *media.Track) float64 {
	if fourCC := FourCC(t.Codec); fourCC != "" {
		return float64(binary.BigEndian.Uint32([]byte(fourCC)))
	}
	head, _ := audioHead(t)
	return float64(head >> 4)
}
