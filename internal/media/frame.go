package media

import "time"

// Track says how frames are to be read. It never changes once a frame points to it: when a source changes its parameters
// (a new picture size), its next key frame points to a new Track, so a reader sees a change by comparing pointers.
type Track struct {
	Codec Codec

	// Config is the decoder's configuration as MP4 and FLV carry it: for H.264 the AVCDecoderConfigurationRecord
	// (ISO/IEC 14496-15, 5.3.3.1), for AAC the AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1), nil where the codec needs none.
	Config []byte

	Width, Height int // of the picture as coded; 0 for audio or while unknown
	Rotation      int // degrees clockwise, 0, 90, 180 or 270, by which the picture is to be turned when shown

	SampleRate, Channels int // 0 for video
}

// Frame is one access unit of video or one packet of audio.
//
// A frame is immutable once it is in the hub; all readers share its Data. H.264 is in NAL units with 4-byte lengths, without
// parameter sets and access unit delimiters: those are in Track.Config.
type Frame struct {
	Track *Track
	Time  Timestamp     // when it is decoded (DTS); never goes back within a track
	Delay time.Duration // from decoding to presentation (PTS - DTS); 0 without B-frames
	Key   bool          // decoding may start here; always true for audio
	Data  []byte
}

// Kind returns the kind of the frame's track.
func (f Frame) Kind() Kind { return f.Track.Codec.Kind() }
