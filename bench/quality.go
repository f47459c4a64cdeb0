package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"transponder/bench/hearing"
	"transponder/bench/internal/recordings"
)

// worseBy: if our grade (ODG) for an item is lower than that of the better one of FFmpeg's coders by more than this, a line says so.
const worseBy = 0.3

// aacCoder is an encoder: a command in which {wav}, {aac} and {rate} are filled in.
type aacCoder struct {
	name    string
	command []string
}

// Our encoder and the coders of FFmpeg. "fast" has the options with which the server used it before it had an encoder of its own.
var (
	ourCoder  = aacCoder{"ours", []string{"bin/aacenc", "-rate", "{rate}", "{wav}", "{aac}"}}
	ffmpegOwn = []aacCoder{
		{"fast", ffmpegAAC("-aac_coder", "fast", "-aac_tns", "0", "-aac_pns", "0")},
		{"two-loop", ffmpegAAC("-aac_coder", "twoloop")},
	}
	// fdk is Fraunhofer's encoder. It is used if the example program of its library is on PATH.
	fdk = aacCoder{"fdk", []string{"aac-enc", "-r", "{rate}", "-t", "2", "-a", "1", "{wav}", "{aac}"}}
)

func ffmpegAAC(options ...string) []string {
	command := []string{"ffmpeg", "-v", "error", "-y", "-i", "{wav}", "-c:a", "aac"}
	return append(append(command, options...), "-b:a", "{rate}", "-f", "adts", "{aac}")
}

// heard holds the results of one encoder for one recording.
type heard struct {
	odg, nmr, kbps float64
	snr            []float64
}

// qualities measures encoders on recordings.
type qualities struct {
	dir     string
	seconds int
	coders  []aacCoder
	grade   func(ctx context.Context, dir, want, got string) (float64, error) // computes the grade; nil: no program for it is installed
	out     io.Writer
}

// quality grades our encoder and others on recordings, and prints the grades.
func quality(ctx context.Context, args []string, out io.Writer) error {
	q := qualities{coders: append([]aacCoder{ourCoder}, ffmpegOwn...), grade: grader(), out: out}
	flags := flag.NewFlagSet("quality", flag.ExitOnError)
	rates := flags.String("rates", "64,96,128", "kbit/s")
	only := flags.String("only", "", "recordings whose names have this in them")
	flags.StringVar(&q.dir, "recordings", "bench/testdata/recordings", "folder to keep recordings in once they are made")
	flags.IntVar(&q.seconds, "seconds", 10, "length of a recording, 30 at most")
	flags.Func("coder", "a further encoder, as `NAME=COMMAND` with {wav}, {aac} and {rate} (bit/s)", func(s string) error {
		name, command, ok := strings.Cut(s, "=")
		if !ok {
			return errors.New("want NAME=COMMAND")
		}
		q.coders = append(q.coders, aacCoder{name, strings.Fields(command)})
		return nil
	})
	_ = flags.Parse(args) // exits on an error
	kbps, err := parseNumbers(*rates)
	if err != nil {
		return err
	}
	if _, err := exec.LookPath(fdk.command[0]); err == nil {
		q.coders = append(q.coders, fdk)
	}
	if q.grade == nil {
		fmt.Fprintln(out, "! no ODG: neither peaq (of gstpeaq) nor peaqb is on PATH")
	}
	pieces, err := q.record(ctx, *only)
	if err != nil {
		return err
	}
	for _, rate := range kbps {
		if err := q.measure(ctx, pieces, rate); err != nil {
			return err
		}
	}
	return nil
}

// record makes the recordings whose packages are installed, and prints how to get the others.
func (q *qualities) record(ctx context.Context, only string) ([]recordings.Recording, error) {
	if err := os.MkdirAll(q.dir, 0o755); err != nil {
		return nil, err
	}
	var there []recordings.Recording
	var missing []string
	for _, r := range recordings.All {
		if !strings.Contains(r.Name, only) {
			continue
		}
		if _, err := os.Stat(q.path(r)); err != nil {
			err := r.Write(ctx, q.path(r), q.seconds)
			if errors.Is(err, recordings.ErrMissing) {
				missing = append(missing, r.Name)
				continue
			}
			if err != nil {
				return nil, err
			}
		}
		there = append(there, r)
	}
	if len(missing) > 0 {
		fmt.Fprintf(q.out, "! not installed: %s (bench/recordings.sh installs what they are made of)\n", strings.Join(missing, ", "))
	}
	if len(there) == 0 {
		return nil, errors.New("there is no recording")
	}
	return there, nil
}

func (q *qualities) path(r recordings.Recording) string {
	return filepath.Join(q.dir, fmt.Sprintf("%s-%ds.pcm", r.Name, q.seconds))
}

// measure prints the tables of one bit rate.
func (q *qualities) measure(ctx context.Context, pieces []recordings.Recording, kbps int) error {
	results := make([][]heard, len(pieces))
	for i, piece := range pieces {
		for _, coder := range q.coders {
			h, err := q.listen(ctx, piece, coder, kbps)
			if err != nil {
				return fmt.Errorf("%s, %s, %d kbit/s: %w", piece.Name, coder.name, kbps, err)
			}
			results[i] = append(results[i], h)
		}
	}
	q.printGrades(pieces, results, kbps)
	q.printBands(pieces, results)
	for i, r := range results {
		theirs := max(r[1].odg, r[2].odg)
		if r[0].odg < theirs-worseBy {
			fmt.Fprintf(q.out, "! %s at %d kbit/s: ODG %.2f, FFmpeg's better coder has %.2f\n", pieces[i].Name, kbps, r[0].odg, theirs)
		}
	}
	fmt.Fprintln(q.out)
	return nil
}

// listen encodes and decodes a recording.
func (q *qualities) listen(ctx context.Context, piece recordings.Recording, coder aacCoder, kbps int) (heard, error) {
	pcm, err := os.ReadFile(q.path(piece))
	if err != nil {
		return heard{}, err
	}
	dir, err := os.MkdirTemp("", "quality")
	if err != nil {
		return heard{}, err
	}
	defer os.RemoveAll(dir)
	wav, aac, decoded := filepath.Join(dir, "want.wav"), filepath.Join(dir, "coded.aac"), filepath.Join(dir, "got.wav")
	if err := os.WriteFile(wav, waveFile(recordings.Rate, pcm), 0o600); err != nil {
		return heard{}, err
	}
	fill := strings.NewReplacer("{wav}", wav, "{aac}", aac, "{rate}", strconv.Itoa(1000*kbps))
	var command []string
	for _, word := range coder.command {
		command = append(command, fill.Replace(word))
	}
	if _, err := run(ctx, "", command...); err != nil {
		return heard{}, err
	}
	coded, err := os.ReadFile(aac)
	if err != nil {
		return heard{}, err
	}
	raw, err := run(ctx, "", "ffmpeg", "-v", "error", "-i", aac, "-ac", "2", "-ar", strconv.Itoa(recordings.Rate), "-f", "s16le", "-")
	if err != nil {
		return heard{}, err
	}
	raw = align(pcm, raw)
	h := heard{odg: math.NaN(), kbps: float64(payload(coded)) * 8 / 1000 / (float64(len(pcm)) / 4 / recordings.Rate)}
	want, got := floats(pcm), floats(raw)
	h.nmr, h.snr = hearing.NoiseToMask(want, got), hearing.SignalToNoise(want, got)
	if q.grade != nil {
		if err := os.WriteFile(decoded, waveFile(recordings.Rate, raw), 0o600); err != nil {
			return heard{}, err
		}
		if h.odg, err = q.grade(ctx, dir, wav, decoded); err != nil {
			return heard{}, err
		}
	}
	return h, nil
}

func run(ctx context.Context, dir string, command ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = dir
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w: %s", command[0], err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.Bytes(), nil
}

// payload returns how many bytes of an ADTS file are not headers (ISO/IEC 14496-3, 1.A.3.2).
func payload(file []byte) (n int) {
	const header = 7
	for len(file) >= header {
		size := int(file[3]&3)<<11 | int(file[4])<<3 | int(file[5])>>5
		if size < header || size > len(file) {
			break
		}
		n += size - header
		file = file[size:]
	}
	return n
}

func floats(pcm []byte) []float32 {
	out := make([]float32, len(pcm)/2)
	for i := range out {
		out[i] = float32(int16(binary.LittleEndian.Uint16(pcm[2*i:]))) / 32768
	}
	return out
}

// align removes the delay of decoded sound, and makes it as long as the sound that was encoded. It chooses the delay with the least error in
// the loudest part of the sound: correlation alone is too inexact for bass, and one sample more or less changes the result by a grade.
func align(want, got []byte) []byte {
	const longest, part = 4096, 16384 // samples
	a, b := floats(want), floats(got)
	from, loudest := 0, -1.0
	for at := 0; at+2*part <= len(a); at += part {
		var energy float64
		for _, x := range a[at : at+2*part] {
			energy += float64(x) * float64(x)
		}
		if energy > loudest {
			from, loudest = at, energy
		}
	}
	sound := a[from:min(from+2*part, len(a))]
	delay, least := 0, float32(math.Inf(1))
	for d := 0; d < longest && from+2*d+len(sound) <= len(b); d++ {
		var sum float32
		for i, y := range b[from+2*d : from+2*d+len(sound)] {
			e := sound[i] - y
			sum += e * e
		}
		if sum < least {
			delay, least = d, sum
		}
	}
	got = got[min(4*delay, len(got)):]
	return append(got[:min(len(got), len(want))], make([]byte, max(0, len(want)-len(got)))...)
}

// grader returns the function that computes the objective difference grade (ODG) of ITU-R BS.1387, basic version: 0 is no difference, -4 a
// very annoying one. The function is nil if no program for it is installed.
func grader() func(ctx context.Context, dir, want, got string) (float64, error) {
	for _, program := range []struct {
		name    string
		want    []string
		pattern string
	}{
		{"peaq", []string{"{want}", "{got}"}, `Objective Difference Grade: (-?[0-9.]+)`},
		{"peaqb", []string{"-r", "{want}", "-t", "{got}"}, `ODG: (-?[0-9.]+)`}, // it prints a grade after each frame: the last one counts
	} {
		if _, err := exec.LookPath(program.name); err != nil {
			continue
		}
		pattern := regexp.MustCompile(program.pattern)
		return func(ctx context.Context, dir, want, got string) (float64, error) {
			command := []string{program.name}
			for _, word := range program.want {
				command = append(command, strings.NewReplacer("{want}", want, "{got}", got).Replace(word))
			}
			out, err := run(ctx, dir, command...)
			if err != nil {
				return 0, err
			}
			all := pattern.FindAllSubmatch(out, -1)
			if len(all) == 0 {
				return 0, fmt.Errorf("%s: no grade in %q", program.name, out)
			}
			return strconv.ParseFloat(string(all[len(all)-1][1]), 64)
		}
	}
	return nil
}

// printGrades prints the grade of each encoder for each recording, and the means.
func (q *qualities) printGrades(pieces []recordings.Recording, results [][]heard, kbps int) {
	w := tabwriter.NewWriter(q.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	defer w.Flush()
	head := []string{fmt.Sprintf("%d kbit/s", kbps)}
	for _, what := range []string{"ODG ", "NMR ", "kbit/s "} {
		for _, c := range q.coders {
			head = append(head, what+c.name)
		}
	}
	line(w, head...)
	row := func(name string, of func(r recordings.Recording) bool) {
		cells := []string{name}
		for _, value := range []func(h heard) float64{
			func(h heard) float64 { return h.odg }, func(h heard) float64 { return h.nmr }, func(h heard) float64 { return h.kbps },
		} {
			for c := range q.coders {
				var sum, n float64
				for i, r := range pieces {
					if of(r) {
						sum += value(results[i][c])
						n++
					}
				}
				cells = append(cells, decimals(sum/n, 2))
			}
		}
		line(w, cells...)
	}
	for _, piece := range pieces {
		row(piece.Name, func(r recordings.Recording) bool { return r.Name == piece.Name })
	}
	for _, kind := range []string{recordings.Music, recordings.Speech, recordings.Instruments} {
		if slices.ContainsFunc(pieces, func(r recordings.Recording) bool { return r.Kind == kind }) {
			row(kind, func(r recordings.Recording) bool { return r.Kind == kind })
		}
	}
	row("all", func(recordings.Recording) bool { return true })
}

// printBands prints the signal-to-noise ratios by bands, for music.
func (q *qualities) printBands(pieces []recordings.Recording, results [][]heard) {
	w := tabwriter.NewWriter(q.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	defer w.Flush()
	head := []string{"SNR of music, dB, below Hz"}
	for _, hz := range hearing.Edges[1:] {
		head = append(head, number(hz, 0))
	}
	line(w, head...)
	for c, coder := range q.coders {
		cells := []string{coder.name}
		for b := range len(hearing.Edges) - 1 {
			var sum, n float64
			for i, r := range pieces {
				if x := results[i][c].snr[b]; r.Kind == recordings.Music && !math.IsNaN(x) {
					sum += x
					n++
				}
			}
			cells = append(cells, decimals(sum/n, 1))
		}
		line(w, cells...)
	}
}

// decimals formats a number that may be negative, or a dash if there is none.
func decimals(x float64, n int) string {
	if math.IsNaN(x) {
		return "-"
	}
	return strconv.FormatFloat(x, 'f', n, 64)
}
