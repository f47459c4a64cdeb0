package picture

import (
	"errors"
	"fmt"

	"transponder/internal/transcode/libav"
)

// Profile says what a source's pictures are made into. Who wants the same of one source shares one encoder. The preset,
// the threads, the quality, the buffer and the time between key frames are the server's settings, and zero here.
type Profile = libav.VideoConfig

// ErrTranscoder means that pictures cannot be transcoded any more: what does it has failed too often.
var ErrTranscoder = errors.New("the pictures could not be transcoded")

// BusyError says that a rendition is more than this machine can do beside what it does already.
type BusyError struct {
	Reason string // one sentence
}

// Error says why.
func (e *BusyError) Error() string { return fmt.Sprintf("no transcoding: %s", e.Reason) }

// Stats are the figures of one rendition of pictures.
type Stats struct {
	Frames   int64   // that came from the encoder
	Dropped  int64   // pictures that were left out because the encoder could not keep up
	Damaged  int64   // pictures that could not be decoded
	Restarts int64   // of the process that transcodes
	CPU      float64 // cores used, over the last seconds
}

// add adds the figures of b.
func (s *Stats) add(b Stats) {
	s.Frames += b.Frames
	s.Dropped += b.Dropped
	s.Damaged += b.Damaged
	s.Restarts += b.Restarts
	s.CPU += b.CPU
}
