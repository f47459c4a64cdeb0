package transponder

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"

	"transponder/internal/media"
	"transponder/internal/transcode/sound"
)

// Sounds plays sound files; package transcode does.
type Sounds interface {
	// Check fails with soundfile.ErrNotFound or soundfile.ErrUnplayable.
	Check(name string) error
	// Open fails as Check does.
	Open(name string, loop bool) (SoundPlayer, error)
}

// SoundPlayer plays one file in the place of live sound. Replace never blocks; it fails with io.EOF behind the file's end.
type SoundPlayer interface {
	Replace(media.Frame) (media.Frame, error)
	Close()
}

// voice is what becomes of a push's sound on its way out: as it is, silence, or a file in its place. It changes neither times
// nor headers, and so lives through holds and new connections. A file that is muted goes on unheard. All methods may be called from any
// goroutine.
type voice struct {
	log *slog.Logger

	mu     sync.Mutex
	muted  bool         // guarded by mu
	file   string       // guarded by mu; that plays
	player SoundPlayer  // guarded by mu; nil: live sound
	over   bool         // guarded by mu; nothing is played any more
	track  *media.Track // guarded by mu; of the last sound
}

func (v *voice) mute(on bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.muted = on
}

// play has a file take the place of the live sound, from its beginning, until it ends or another is played. nil brings live sound
// back. It fails with ErrUnsupported for sound that no file can take the place of, and with ErrNotFound when the push is over.
func (v *voice) play(file string, player SoundPlayer) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.over {
		return ErrNotFound
	}
	if player != nil && v.track != nil && v.track.Codec == media.Opus {
		return fmt.Errorf("a sound file in a push whose sound passes as Opus: %w", ErrUnsupported)
	}
	v.stop()
	v.file, v.player = file, player
	return nil
}

// close ends a file that plays, and all playing.
func (v *voice) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.stop()
	v.over = true
}

// stop is close for who holds mu.
func (v *voice) stop() {
	if v.player != nil {
		v.player.Close()
		v.player, v.file = nil, ""
	}
}

// state returns what is asked for now.
func (v *voice) state() (muted bool, file string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.muted, v.file
}

// apply puts into frames what is to be heard and returns how many are left: sound that is muted and of which no silence is
// known must not go out at all.
func (v *voice) apply(frames []media.Frame) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	kept := 0
	for _, f := range frames {
		if f.Kind() == media.Audio {
			var ok bool
			if f, ok = v.replace(f); !ok {
				continue
			}
		}
		frames[kept] = f
		kept++
	}
	clear(frames[kept:])
	return kept
}

func (v *voice) replace(f media.Frame) (media.Frame, bool) {
	v.track = f.Track
	if v.player != nil {
		played, err := v.player.Replace(f)
		if err == nil {
			f = played
		} else {
			if !errors.Is(err, io.EOF) {
				v.log.Warn("sound file ends early, the stream's sound is back", "file", v.file, "err", err)
			}
			v.stop()
		}
	}
	if !v.muted {
		return f, true
	}
	return sound.Silence(f)
}
