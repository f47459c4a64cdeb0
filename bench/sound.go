package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"transponder/bench/internal/blackbox"
)

// targetSoundCores is how much more a muted push, or a push that plays a file, may cost than one that does neither.
const targetSoundCores = 0.001

const (
	// soundFile is the file that the pushes play.
	soundFile = "tone.wav"
	// soundMade is how long to wait until our server has encoded soundFile, once for all pushes. That takes as long as 30 s of playing.
	soundMade = 35 * time.Second
)

// sounds pushes one stream many times: untouched, muted, and with a file in place of its sound. It prints how much more the last two
// cost than the first.
func sounds(ctx context.Context, args []string, out io.Writer) error {
	c := comparison{out: out}
	flags := c.flags("sound")
	n := flags.Int("n", 50, "destinations")
	_ = flags.Parse(args) // exits on an error
	return c.inDir(func() error {
		var reports []*blackbox.Report
		for _, state := range soundStates {
			r, err := c.measureSound(ctx, *n, state)
			if err != nil {
				return err
			}
			reports = append(reports, r)
		}
		printSounds(out, *n, reports)
		printNotes(out, reports...)
		return nil
	})
}

// soundStates are the states of a push that are measured, with the options of each. The others are compared with the first.
var soundStates = []struct{ name, options string }{
	{"untouched", `{}`},
	{"muted", `{"action":"mute"}`},
	{"playing a file", `{"action":"sound_on","soundFile":"` + soundFile + `","loop":true}`},
}

func (c *comparison) measureSound(ctx context.Context, n int, state struct{ name, options string }) (*blackbox.Report, error) {
	cfg, err := c.serverConfig(1, state.name)
	if err != nil {
		return nil, err
	}
	if err := c.addMedia(&cfg); err != nil {
		return nil, err
	}
	cfg.Pushes, cfg.RTMPURL, cfg.Warmup = n, "rtmp://{sink}/live{k}", soundMade
	cfg.PushBody = pushBody(`"options":` + state.options)
	return c.measure(ctx, cfg)
}

// pushBody returns the request of a push with further members.
func pushBody(more string) string { return `{"streamName":"{name}","rtmpUrl":"{rtmp}",` + more + `}` }

// addMedia gives the server a directory with a sound file.
func (c *comparison) addMedia(cfg *blackbox.Config) error {
	dir, err := filepath.Abs(filepath.Join(c.dir, "media"))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	cfg.Command = append(slices.Clone(cfg.Command), "--set", "media_dir="+dir)
	return os.WriteFile(filepath.Join(dir, soundFile), toneWAV(), 0o644)
}

// toneWAV makes ten seconds of a tone in stereo, 16 bits at 44.1 kHz.
func toneWAV() []byte {
	const rate, seconds, hz = 44100, 10, 441
	le := binary.LittleEndian
	var pcm []byte
	for i := range rate * seconds {
		x := uint16(int16(8000 * math.Sin(2*math.Pi*hz*float64(i)/rate)))
		pcm = le.AppendUint16(le.AppendUint16(pcm, x), x)
	}
	return waveFile(rate, pcm)
}

// waveFile makes a WAV file of samples of 16 bits in stereo.
func waveFile(rate int, pcm []byte) []byte {
	const channels, size = 2, 2
	le := binary.LittleEndian
	b := append([]byte("RIFF"), le.AppendUint32(nil, uint32(36+len(pcm)))...)
	b = append(b, "WAVEfmt "...)
	b = le.AppendUint32(b, 16)
	b = le.AppendUint16(b, 1) // PCM
	b = le.AppendUint16(b, channels)
	b = le.AppendUint32(b, uint32(rate))
	b = le.AppendUint32(b, uint32(rate*channels*size))
	b = le.AppendUint16(b, channels*size)
	b = le.AppendUint16(b, 8*size)
	b = append(b, "data"...)
	return append(le.AppendUint32(b, uint32(len(pcm))), pcm...)
}

// printSounds prints the cost of each state beside the target.
func printSounds(out io.Writer, n int, reports []*blackbox.Report) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	defer w.Flush()
	line(w, fmt.Sprintf("1 stream to %d destinations", n), "cores", "each", "each beyond untouched", "target", "MB", "others")
	for i, r := range reports {
		beyond, target := unknown+0.0, unknown+0.0
		if i > 0 {
			beyond, target = max(r.CPUCores-reports[0].CPUCores, 0)/float64(n), targetSoundCores
		}
		line(w, soundStates[i].name, number(r.CPUCores, 3), number(r.CPUCores/float64(n), 4), number(beyond, 5), number(target, 4),
			number(r.PSSMB, 1), number(r.OthersCores, 2))
	}
}
