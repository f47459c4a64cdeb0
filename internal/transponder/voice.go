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

// Sounds plays sound files; package soundfile does.
type Sounds interface {
	// Check fails with soundfile.ErrNotFound or soundfile.ErrUnplayable.
	Check(name string) error
	// Open fails as Check does.
	Open(name string, loop bool) (SoundPlayer, error)
}

// SoundPlayer plays one file in the place of live sound. Replace never blocks; it fails with io.EOF after the end of the file.
type SoundPlayer interface {
	Replace(media.Frame) (media.Frame, error)
	Close()
}

// voice decides which sound a push sends: the sound of the stream, silence, or a file. It changes neither the times nor the headers of
// frames, so it outlives holds and connections. A file that is muted plays on, unheard. All methods may be called from any goroutine.
type voice struct {
	log   *slog.Logger
	ended func() // called when a file has ended, without a lock

	mu     sync.Mutex   // taken before the locks of the player
	muted  bool         // guarded by mu
	file   string       // guarded by mu; that plays
	loop   bool         // guarded by mu; the file plays in a loop
	player SoundPlayer  // guarded by mu; nil: the sound of the stream
	over   bool         // guarded by mu; nothing is played any more
	track  *media.Track // guarded by mu; of the latest sound
}

func (v *voice) mute(on bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.muted = on
}

// play replaces the sound of the stream by a file, from the beginning of the file, until the file ends or play is called again. A nil
// player brings back the sound of the stream. play fails with ErrUnsupported if no file can replace this kind of sound, and with
// ErrNotFound when the push is over.
func (v *voice) play(file string, loop bool, player SoundPlayer) error {
	before, err := v.swap(file, loop, player)
	if before != nil {
		before.Close()
	}
	return err
}

// swap is play, but leaves it to the caller to close the player that played before.
func (v *voice) swap(file string, loop bool, player SoundPlayer) (before SoundPlayer, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.over {
		return nil, ErrNotFound
	}
	if player != nil && v.track != nil && v.track.Codec == media.Opus {
		return nil, fmt.Errorf("a sound file in a push whose sound passes as Opus: %w", ErrUnsupported)
	}
	before = v.player
	v.file, v.loop, v.player = file, loop, player
	return before, nil
}

// close ends all playing, now and later.
func (v *voice) close() {
	v.mu.Lock()
	player := v.player
	v.file, v.player, v.over = "", nil, true
	v.mu.Unlock()
	if player != nil {
		player.Close()
	}
}

// state returns what is asked for now.
func (v *voice) state() (muted bool, file string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.muted, v.file
}

// kept returns what is asked for now, with what is needed to ask for it again.
func (v *voice) kept() (muted bool, file string, loop bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.muted, v.file, v.loop && v.file != ""
}

// apply puts the sound that is to be heard into frames and returns how many frames are left: muted sound is left out if its codec has no
// silence that is known.
func (v *voice) apply(frames []media.Frame) int {
	kept, ended := v.replaceAll(frames)
	if ended.player != nil {
		if !errors.Is(ended.err, io.EOF) {
			v.log.Warn("sound file ends early, the stream's sound is back", "file", ended.file, "err", ended.err)
		}
		ended.player.Close()
		if v.ended != nil {
			v.ended()
		}
	}
	return kept
}

// endedFile is a file that plays no longer, and why.
type endedFile struct {
	file   string
	player SoundPlayer // nil: no file has ended
	err    error       // io.EOF: the file is over
}

func (v *voice) replaceAll(frames []media.Frame) (kept int, ended endedFile) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, f := range frames {
		if f.Kind() == media.Audio {
			v.track = f.Track
			if v.player != nil {
				if played, err := v.player.Replace(f); err == nil {
					f = played
				} else {
					ended = endedFile{v.file, v.player, err}
					v.file, v.player = "", nil
				}
			}
			if v.muted {
				var ok bool
				if f, ok = sound.Silence(f); !ok {
					continue
				}
			}
		}
		frames[kept] = f
		kept++
	}
	clear(frames[kept:])
	return kept, ended
}
