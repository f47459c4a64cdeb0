// Package recordings makes short pieces of sound from files in Debian packages: music, noises and speech from games, and instruments of a
// sound font that fluidsynth plays. Encoders are compared on these pieces. A piece whose package is not installed is left out.
//
// Some pieces were compressed before. All except the worst have far better quality than the encoders that are measured here.
package recordings

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
)

const (
	// Rate is the sampling rate of all recordings, which are stereo in 16 bits.
	Rate = 48000
	// frame is the size of a sample of both channels.
	frame = 4
)

// The kinds of recordings.
const (
	Music       = "music"
	Speech      = "speech"
	Instruments = "instruments"
)

// Recording is one piece. It has files, notes or wave.
type Recording struct {
	Name, Kind string

	pkg   string
	files []string // patterns; the sounds of all matching files follow each other
	from  int      // second at which to begin in each file; if under is set, in the music
	under string   // a file of music below the files

	notes []note // for fluidsynth
	wave  func(seconds int) []byte
}

const games = "/usr/share/games/"

// All are all pieces.
var All = []Recording{
	{Name: "01-battle", Kind: Music, pkg: "wesnoth-1.16-music", files: []string{games + "wesnoth/1.16/data/core/music/battle.ogg"}, from: 30},
	{Name: "02-minstrels", Kind: Music, pkg: "wesnoth-1.16-music", files: []string{games + "wesnoth/1.16/data/core/music/traveling_minstrels.ogg"}, from: 20},
	{Name: "03-rock", Kind: Music, pkg: "hedgewars-data", files: []string{games + "hedgewars/Data/Music/Rock.ogg"}, from: 20},
	{Name: "04-pop", Kind: Music, pkg: "lincity-ng-data", files: []string{games + "lincity-ng/music/default/01*.ogg"}, from: 40},
	{Name: "05-deprecation", Kind: Music, pkg: "singularity-music", files: []string{games + "singularity/music/Deprecation.ogg"}, from: 60},
	{Name: "06-nebula", Kind: Music, pkg: "singularity-music", files: []string{games + "singularity/music/Nebula.ogg"}, from: 60},
	{Name: "07-chip", Kind: Music, pkg: "supertux-data", files: []string{games + "supertux2/music/antarctic/chipdisko.ogg"}, from: 20},
	{Name: "08-blues", Kind: Music, pkg: "lincity-ng-data", files: []string{games + "lincity-ng/music/default/02*.ogg"}, from: 30},
	{Name: "09-city", Kind: Music, pkg: "hedgewars-data", files: []string{games + "hedgewars/Data/Music/City.ogg"}, from: 30},
	{Name: "10-christmas", Kind: Music, pkg: "supertux-data", files: []string{games + "supertux2/music/misc/christmas_theme.ogg"}, from: 20},
	{Name: "11-rain", Kind: Music, pkg: "supertux-data", files: []string{games + "supertux2/sounds/rain.wav"}},
	{Name: "12-market", Kind: Music, pkg: "lincity-ng-data", files: []string{games + "lincity-ng/sounds/MarketFull1.wav"}},
	{Name: "13-speech", Kind: Speech, pkg: "alsa-utils", files: []string{"/usr/share/sounds/alsa/*_*.wav"}},
	{Name: "14-voices", Kind: Speech, pkg: "hedgewars-data", files: []string{games + "hedgewars/Data/Sounds/voices/British/*.ogg"}},
	{Name: "15-dialogue", Kind: Speech, pkg: "fillets-ng-data", files: []string{games + "fillets-ng/sound/linux/en/*.ogg"}},
	{Name: "16-over-music", Kind: Speech, pkg: "hedgewars-data", files: []string{games + "hedgewars/Data/Sounds/voices/Classic/*.ogg"},
		under: games + "hedgewars/Data/Music/Beach.ogg", from: 20},
	{Name: "17-castanets", Kind: Instruments, notes: strokes(85, 0.3)},
	{Name: "18-glockenspiel", Kind: Instruments, notes: melody(9, 79, 0.4, 1.2)},
	{Name: "19-harpsichord", Kind: Instruments, notes: chords(6, 48, 0.5)},
	{Name: "20-triangle", Kind: Instruments, notes: strokes(81, 0.9)},
	{Name: "21-trumpet", Kind: Instruments, notes: melody(56, 67, 0.45, 0.45)},
	{Name: "22-accordion", Kind: Instruments, notes: chords(21, 55, 1)},
	{Name: "23-drums", Kind: Instruments, notes: drums()},
	{Name: "24-clicks", Kind: Instruments, wave: clicks},
	{Name: "25-pulses", Kind: Instruments, wave: pulses},
}

// Packages are the Debian packages to install for all recordings.
func Packages() []string {
	packages := []string{"fluidsynth", "fluid-soundfont-gm"}
	for _, r := range All {
		if r.pkg != "" && !slices.Contains(packages, r.pkg) {
			packages = append(packages, r.pkg)
		}
	}
	return packages
}

// ErrMissing means that the package of a recording is not installed.
var ErrMissing = errors.New("not installed")

// Write makes a recording of some seconds, as interleaved stereo samples of 16 bits. It fails with ErrMissing.
func (r Recording) Write(ctx context.Context, path string, seconds int) error {
	pcm, err := r.make(ctx, seconds)
	if err != nil {
		return fmt.Errorf("make %s: %w", r.Name, err)
	}
	if len(pcm) < Rate*frame {
		return fmt.Errorf("make %s: less than a second of sound", r.Name)
	}
	if err := os.WriteFile(path+".new", pcm, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func (r Recording) make(ctx context.Context, seconds int) ([]byte, error) {
	switch {
	case r.wave != nil:
		return r.wave(seconds), nil
	case r.notes != nil:
		return play(ctx, r.notes, seconds)
	case r.under == "":
		return decodeAll(ctx, r, r.from, seconds)
	}
	voices, err := decodeAll(ctx, r, 0, seconds)
	if err != nil {
		return nil, err
	}
	music, err := decode(ctx, r.under, r.from, seconds)
	if err != nil {
		return nil, err
	}
	return mix(voices, music), nil
}

// decodeAll returns the sounds of a recording's files, one after the other. from is the second at which each begins.
func decodeAll(ctx context.Context, r Recording, from, seconds int) ([]byte, error) {
	size := seconds * Rate * frame
	var pcm []byte
	for _, pattern := range r.files {
		files, err := filepath.Glob(pattern)
		if err != nil {
			return nil, err
		}
		for i := 0; i < len(files) && len(pcm) < size; i++ {
			b, err := decode(ctx, files[i], from, seconds)
			if err != nil {
				return nil, err
			}
			pcm = append(pcm, b...)
		}
	}
	if len(pcm) == 0 {
		return nil, fmt.Errorf("%s: %w", r.pkg, ErrMissing)
	}
	return pcm[:min(len(pcm), size)], nil
}

// decode returns some seconds of a file. It needs the ffmpeg command.
func decode(ctx context.Context, file string, from, seconds int) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "ffmpeg", "-v", "error", "-ss", strconv.Itoa(from), "-t", strconv.Itoa(seconds), "-i", file,
		"-ac", "2", "-ar", strconv.Itoa(Rate), "-f", "s16le", "-")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("ffmpeg: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.Bytes(), nil
}

// mix adds music at half its level.
func mix(pcm, music []byte) []byte {
	le := binary.LittleEndian
	n := min(len(pcm), len(music))
	out := make([]byte, 0, n)
	for i := 0; i+1 < n; i += 2 {
		out = sample(out, float64(int16(le.Uint16(pcm[i:])))+0.5*float64(int16(le.Uint16(music[i:]))))
	}
	return out
}

// sample appends one sample, rounded and clipped.
func sample(b []byte, x float64) []byte {
	return binary.LittleEndian.AppendUint16(b, uint16(int16(max(-32768, min(32767, math.Round(x))))))
}
