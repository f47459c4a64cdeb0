package picture

import (
	"cmp"
	"errors"
	"fmt"

	"transponder/internal/media"
	"transponder/internal/transcode/libav"
)

var (
	// ErrDisabled means that pictures would have to be transcoded, and that the settings forbid it. The words are the contract's.
	//
	//lint:ignore ST1005 the contract begins them with a capital
	ErrDisabled = errors.New("Transcoding required, but disabled")
	// ErrTranscoder means that a rendition has ended because its child process failed too often.
	ErrTranscoder = errors.New("the pictures could not be transcoded")
)

// Profile describes the pictures that are wanted of a source. Users of one source who want the same profile share one encoder.
// The zero value asks for H.264 of the source's size and frame rate. Everything else about the encoder is in Config.
type Profile struct {
	// Codec is H264 or VP8; none: H264.
	Codec media.Codec
	// Width and Height are even. With a Height alone, the shorter side of the picture becomes Height, and the longer side keeps the
	// shape of the source.
	Width, Height int
	// Letterbox fits the picture into Width x Height and fills the rest with black; without it, the picture is stretched.
	Letterbox bool
	// FPS asks for a constant frame rate, for which pictures are dropped or repeated; 0: each picture is sent at its own time.
	FPS float64
	// KeyFrameInterval is the number of frames from one key frame to the next; 0: Config.KeyFrameTime applies.
	KeyFrameInterval int
	// RateBPS is the bit rate in bit/s; 0: Config.RateBPS applies.
	RateBPS int
}

// Validate reports every value that no encoder can produce.
func (p Profile) Validate() error { return Config{}.engine(p).Validate() }

// Size returns the size of the pictures that are made of pictures of width x height, measured after rotation.
func (p Profile) Size(width, height int) (int, int) { return Config{}.engine(p).Size(width, height) }

// engine returns the configuration of the codecs that makes this profile under these settings.
func (c Config) engine(p Profile) libav.VideoConfig {
	return libav.VideoConfig{
		Codec: p.Codec, Width: p.Width, Height: p.Height, Letterbox: p.Letterbox,
		FPS: p.FPS, KeyFrameInterval: p.KeyFrameInterval, KeyFrameTime: c.KeyFrameTime,
		RateBPS: cmp.Or(p.RateBPS, c.RateBPS), Quality: c.Quality, Buffer: c.Buffer, Preset: c.Preset, Threads: c.Threads,
	}
}

// BusyError says that a rendition needs more than this machine has left.
type BusyError struct {
	Reason string // one sentence
}

// Error says why.
func (e *BusyError) Error() string { return fmt.Sprintf("no transcoding: %s", e.Reason) }

// Stats are the figures of one rendition.
type Stats struct {
	Frames   int64   // the encoder made
	Dropped  int64   // pictures left out because the encoder could not keep up
	Damaged  int64   // pictures that could not be decoded
	Restarts int64   // of the child process
	CPU      float64 // cores used by the child process over the last seconds
}

// add adds the figures of b.
func (s *Stats) add(b Stats) {
	s.Frames += b.Frames
	s.Dropped += b.Dropped
	s.Damaged += b.Damaged
	s.Restarts += b.Restarts
	s.CPU += b.CPU
}
