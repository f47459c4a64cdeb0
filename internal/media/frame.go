package media

import "time"

// Track describes frames. It does not change once a frame points to it. When a source changes its parameters (a new picture size, say), its
// next key frame points to a new Track. So a reader detects a change by comparing pointers.
type Track struct {
	Codec Codec

	// Config is the decoder configuration as in MP4 and FLV: for H.264 the AVCDecoderConfigurationRecord
	// (ISO/IEC 14496-15, 5.3.3.1), for AAC the AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1), nil if the codec needs none.
	Config []byte

	Width, Height int // of the coded picture; 0 for audio or while unknown
	Rotation      int // degrees clockwise (0, 90, 180 or 270) by which a player must rotate the picture

	SampleRate, Channels int // 0 for video
}

// Frame is one access unit of video or one packet of audio.
//
// A frame does not change once it is in the hub, since all readers share its Data. H.264 consists of NAL units with 4-byte lengths, without
// access unit delimiters and without parameter sets, which are in Track.Config.
type Frame struct {
	Track *Track
	Time  Timestamp     // of decoding (DTS); never goes back within a track
	Delay time.Duration // from decoding to presentation (PTS - DTS); 0 without B-frames
	Key   bool          // decoding may start here; always true for audio
	Data  []byte
}

// Kind returns the kind of the track of the frame.
func (f Frame) Kind() Kind { return f.Track.Codec.Kind() }
