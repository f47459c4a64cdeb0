// Package lipsync judges the lip sync and the audio latency of a stream that the sink dumped. It finds the source's beeps in
// the audio, which ffmpeg decodes, and compares them with the marks in the video.
//
// The beeps come every two seconds, so whole multiples of that cannot be told apart: skew is given between -1 s and 1 s,
// latency between 0 and 2 s.
package lipsync

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"transponder/bench/internal/stats"
)

const (
	rate        = 48000
	aacFrame    = 1024 // samples
	beepHz      = 3000
	beepEveryMS = 2000.0
	frameMS     = 1000.0 / 30
	opusPreSkip = 6.5 // ms by which Opus delays the source

	flvAudio = 8
)

// Result is the judgement of one stream.
type Result struct {
	Beeps          int        `json:"beeps"`
	SkewMS         stats.Dist `json:"audio_after_video_ms"`
	SkewFirstMS    float64    `json:"audio_after_video_first_ms"`
	SkewLastMS     float64    `json:"audio_after_video_last_ms"`
	AudioLatencyMS stats.Dist `json:"audio_latency_ms"`
}

// Judge reads base.flv and base.times, as the sink wrote them.
func Judge(ctx context.Context, base string) (Result, error) {
	file, err := os.Open(base + ".times")
	if err != nil {
		return Result{}, err
	}
	defer file.Close()
	times, err := readTimes(file)
	if err != nil {
		return Result{}, fmt.Errorf("read %s: %w", file.Name(), err)
	}
	pcm, err := decode(ctx, base+".flv")
	if err != nil {
		return Result{}, fmt.Errorf("decode %s.flv: %w", base, err)
	}
	return judge(times, beeps(pcm))
}

func judge(t times, beeps []int) (Result, error) {
	var skew, latency []float64
	for _, at := range beeps {
		frame := at / aacFrame
		if frame >= len(t.audio) {
			break
		}
		tag := t.audio[frame]
		heard := tag.ts + float64(at%aacFrame)*1000/rate - opusPreSkip
		skew = append(skew, wrap(heard-t.videoOffset, -beepEveryMS/2))
		latency = append(latency, wrap(tag.arrival-t.origin-opusPreSkip, 0))
	}
	if len(skew) == 0 {
		return Result{}, errors.New("no beep found")
	}
	return Result{
		Beeps: len(skew), SkewMS: stats.Summarise(skew), SkewFirstMS: skew[0], SkewLastMS: skew[len(skew)-1],
		AudioLatencyMS: stats.Summarise(latency),
	}, nil
}

// wrap returns v modulo the period of the beeps, in the period that begins at low.
func wrap(v, low float64) float64 {
	return v - math.Floor((v-low)/beepEveryMS)*beepEveryMS
}

// times holds what a dump tells without decoding, in milliseconds. arrival and origin are times of CLOCK_MONOTONIC.
type times struct {
	audio       []tag
	videoOffset float64 // RTMP time of the source's frame 0
	origin      float64 // when that frame was sent
}

type tag struct{ ts, arrival float64 }

func readTimes(r io.Reader) (times, error) {
	t := times{origin: math.Inf(1)}
	var offsets []float64
	headerSeen := false
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		numbers, err := parse(fields)
		if err != nil {
			return t, err
		}
		kind, ts, arrival := numbers[0], numbers[1], numbers[2]
		switch {
		case kind == flvAudio && !headerSeen: // the sequence header has no sound
			headerSeen = true
		case kind == flvAudio:
			t.audio = append(t.audio, tag{ts, arrival / 1e6})
		case len(numbers) == 5: // a marked frame
			seq, sent := numbers[3], numbers[4]
			offsets = append(offsets, ts-seq*frameMS)
			t.origin = min(t.origin, sent/1e6-seq*frameMS)
		}
	}
	if len(offsets) == 0 || len(t.audio) == 0 {
		return t, errors.Join(lines.Err(), errors.New("no marked video or no audio"))
	}
	slices.Sort(offsets)
	t.videoOffset = offsets[len(offsets)/2]
	return t, lines.Err()
}

// parse reads the leading numbers of a line: three, and two more if a mark follows.
func parse(fields []string) ([]float64, error) {
	want := 3
	if len(fields) == 6 {
		want = 5
	}
	if len(fields) < want {
		return nil, fmt.Errorf("line of %d fields", len(fields))
	}
	var out []float64
	for _, field := range fields[:want] {
		v, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// decode returns the sound as one channel of samples between -1 and 1.
func decode(ctx context.Context, path string) ([]float64, error) {
	cmd := exec.CommandContext(ctx, "ffmpeg", "-hide_banner", "-loglevel", "error", "-i", path,
		"-vn", "-f", "s16le", "-ac", "1", "-ar", strconv.Itoa(rate), "-")
	cmd.Stderr = os.Stderr
	raw, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	pcm := make([]float64, len(raw)/2)
	for i := range pcm {
		pcm[i] = float64(int16(binary.LittleEndian.Uint16(raw[2*i:]))) / -math.MinInt16
	}
	return pcm, nil
}

// beeps returns the samples at which a beep begins: where the power at its pitch passes half its height for the first time
// in half a second.
func beeps(pcm []float64) []int {
	const window, step = 96, 12
	var power []float64
	for at := 0; at+window <= len(pcm); at += step {
		power = append(power, goertzel(pcm[at:at+window]))
	}
	if len(power) == 0 {
		return nil
	}
	threshold := slices.Max(power) / 2
	var out []int
	quiet := rate // samples since the last loud window
	for i, p := range power {
		if p < threshold {
			quiet += step
			continue
		}
		if quiet > rate/2 {
			out = append(out, i*step+window/2)
		}
		quiet = 0
	}
	return out
}

// goertzel returns the power of x at the pitch of the beep.
func goertzel(x []float64) float64 {
	c := 2 * math.Cos(2*math.Pi*beepHz/rate)
	var s1, s2 float64
	for _, v := range x {
		s1, s2 = v+c*s1-s2, s1
	}
	return s1*s1 + s2*s2 - c*s1*s2
}
