package leg

import (
	"time"

	"transponder/internal/media"
)

// Events takes what happens in a leg. The methods are called without a lock until Leg.Run returns: from goroutines of the leg and of Legs, and
// by Agree and Publish on the caller's goroutine, for packets that came before. They must not block.
type Events interface {
	// Began reports the first packet of a kind that was accepted after Leg.Start.
	Began(media.Kind)
	// Digit reports a key of the phone once, when it is released.
	Digit(key byte, d time.Duration)
	// KeyFrameMissing reports that the picture has needed a key frame for a second, though the phone was asked by RTCP. It comes again every
	// two seconds until a key frame comes.
	KeyFrameMissing()
	// MediaTimeout reports, once, that the phone sends nothing. The error names the address that should send.
	MediaTimeout(error)
	// StreamEnded reports that a played stream is over. The error wraps rtc.ErrSourceEnded, or says why the stream cannot be played.
	StreamEnded(error)
	// SoundEnded reports that a file is over (io.EOF), or why it cannot be played.
	SoundEnded(error)
}
