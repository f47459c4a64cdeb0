package recordings

import (
	"bytes"
	"cmp"
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
	soundFont = "/usr/share/sounds/sf2/FluidR3_GM.sf2"

	// MIDI time has 480 ticks a quarter note and two quarter notes a second, the default of a file without a tempo.
	ticksPerQuarter = 480
	ticksPerSecond  = 960

	percussion = 9 // the channel of drums (General MIDI)
	played     = 30.0
)

// note is a note of General MIDI. Times are in seconds. For percussion, the key is the instrument.
type note struct {
	drum         bool
	program, key int
	at, length   float64
}

// strokes returns strokes of one percussion instrument.
func strokes(key int, every float64) (notes []note) {
	for t := 0.1; t < played; t += every {
		notes = append(notes, note{drum: true, key: key, at: t, length: every})
	}
	return notes
}

// drums are a simple beat.
func drums() []note {
	const bass, snare, closedHat, crash = 36, 38, 42, 49
	return slices.Concat(strokes(bass, 0.5), strokes(closedHat, 0.25), shift(strokes(snare, 1), 0.5), strokes(crash, 4))
}

func shift(notes []note, by float64) []note {
	for i := range notes {
		notes[i].at += by
	}
	return notes
}

// melody returns notes that go up and down a scale, beginning at a key.
func melody(program, key int, every, length float64) (notes []note) {
	scale := []int{0, 4, 7, 12, 11, 9, 5, 2}
	for i := 0; float64(i)*every < played; i++ {
		notes = append(notes, note{program: program, key: key + scale[i%len(scale)], at: 0.1 + float64(i)*every, length: length})
	}
	return notes
}

// chords returns chords of three keys.
func chords(program, key int, every float64) (notes []note) {
	for i, step := range []int{0, 7, 16} {
		for _, n := range melody(program, key+step, every, every) {
			n.at += 0.01 * float64(i)
			notes = append(notes, n)
		}
	}
	return notes
}

// play lets fluidsynth play notes, without reverberation.
func play(ctx context.Context, notes []note, seconds int) ([]byte, error) {
	fluidsynth, err := exec.LookPath("fluidsynth")
	if err != nil {
		return nil, fmt.Errorf("fluidsynth: %w", ErrMissing)
	}
	if _, err := os.Stat(soundFont); errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("fluid-soundfont-gm: %w", ErrMissing)
	}
	dir, err := os.MkdirTemp("", "recordings")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	midi, raw := filepath.Join(dir, "notes.mid"), filepath.Join(dir, "notes.raw")
	if err := os.WriteFile(midi, midiFile(notes), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, fluidsynth, "-q", "-n", "-i", "-R", "0", "-C", "0", "-g", "0.8", "-r", strconv.Itoa(Rate),
		"-T", "raw", "-O", "s16", "-F", raw, soundFont, midi)
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("fluidsynth: %w: %s", err, bytes.TrimSpace(out))
	}
	pcm, err := os.ReadFile(raw)
	return pcm[:min(len(pcm), seconds*Rate*frame)], err
}

// midiFile returns a standard MIDI file of format 0.
func midiFile(notes []note) []byte {
	type event struct {
		tick int
		data []byte
	}
	var events []event
	for _, n := range notes {
		channel := byte(0)
		if n.drum {
			channel = percussion
		} else {
			events = append(events, event{0, []byte{0xc0, byte(n.program)}})
		}
		tick := func(at float64) int { return int(at * ticksPerSecond) }
		events = append(events, event{tick(n.at), []byte{0x90 | channel, byte(n.key), 100}},
			event{tick(n.at + n.length), []byte{0x80 | channel, byte(n.key), 0}})
	}
	slices.SortStableFunc(events, func(a, b event) int { return cmp.Compare(a.tick, b.tick) })
	var track []byte
	now := 0
	for _, e := range events {
		track = append(variable(track, e.tick-now), e.data...)
		now = e.tick
	}
	track = append(track, 0, 0xff, 0x2f, 0)
	be := binary.BigEndian
	file := be.AppendUint32([]byte("MThd"), 6)
	file = be.AppendUint16(be.AppendUint16(be.AppendUint16(file, 0), 1), ticksPerQuarter)
	return append(be.AppendUint32(append(file, "MTrk"...), uint32(len(track))), track...)
}

// variable appends a number as MIDI files have it: seven bits a byte, the highest first.
func variable(b []byte, n int) []byte {
	if n >= 1<<7 {
		for shift := 21; shift > 0; shift -= 7 {
			if n >= 1<<shift {
				b = append(b, byte(n>>shift&0x7f|0x80))
			}
		}
	}
	return append(b, byte(n&0x7f))
}

// clicks returns single pulses, four a second.
func clicks(seconds int) (b []byte) {
	for i := range seconds * Rate {
		x := 0.0
		if i%(Rate/4) == Rate/10 {
			x = 20000
		}
		b = sample(sample(b, x), x)
	}
	return b
}

// pulses returns the pulses of a voice without the resonance of a mouth: about 100 a second, each with a falling spectrum.
func pulses(seconds int) (b []byte) {
	var phase, level float64
	for i := range seconds * Rate {
		phase += (100 + 10*math.Sin(2*math.Pi*0.7*float64(i)/Rate)) / Rate
		x := 0.0
		if phase >= 1 {
			phase--
			x = 12000
		}
		level += 0.5 * (x - level)
		b = sample(sample(b, level), level)
	}
	return b
}
