package lipsync

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

// dump writes the times of 8 s of video and audio: audio is skewMS late against video, and arrives latencyMS after it was
// made.
func dump(skewMS, latencyMS float64) string {
	var b strings.Builder
	const videoStart = 1000.0 // RTMP time of frame 0
	b.WriteString("8 0 0 \n")
	for frame := range 240 {
		ms := float64(frame) * frameMS
		fmt.Fprintf(&b, "9 %.0f %.0f %d %.0f false\n", videoStart+ms, (ms+5)*1e6, frame, ms*1e6)
	}
	for frame := range 375 {
		ms := float64(frame) * aacFrame * 1000 / rate
		fmt.Fprintf(&b, "8 %.3f %.0f \n", videoStart+ms+skewMS+opusPreSkip, (ms+latencyMS+opusPreSkip)*1e6)
	}
	return b.String()
}

func beeping() []float64 {
	pcm := make([]float64, 8*rate)
	for i := range pcm {
		pcm[i] = 0.1 * math.Sin(2*math.Pi*196*float64(i)/rate)
		if i%(2*rate) < rate/10 {
			pcm[i] += 0.6 * math.Sin(2*math.Pi*beepHz*float64(i)/rate)
		}
	}
	return pcm
}

func TestJudge(t *testing.T) {
	found := beeps(beeping())
	if len(found) != 4 {
		t.Fatalf("beeps at samples %v, want 4 of them", found)
	}
	tests := []struct {
		name          string
		skew, latency float64
	}{
		{"in step", 0, 40},
		{"audio late", 58, 117},
		{"audio early", -22, 30},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			times, err := readTimes(strings.NewReader(dump(test.skew, test.latency)))
			if err != nil {
				t.Fatal(err)
			}
			got, err := judge(times, found)
			if err != nil {
				t.Fatal(err)
			}
			// RTMP time is in whole milliseconds, and a beep is found to about half one; a tag's arrival says when its
			// first sample came, up to a frame before the beep's.
			if math.Abs(got.SkewMS.P50-test.skew) > 1.5 {
				t.Errorf("skew %v, want %v", got.SkewMS, test.skew)
			}
			if math.Abs(got.AudioLatencyMS.P50-test.latency) > 22 {
				t.Errorf("latency %v, want %v", got.AudioLatencyMS, test.latency)
			}
		})
	}
}

func TestJudgeFindsNoBeep(t *testing.T) {
	times, err := readTimes(strings.NewReader(dump(0, 0)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := judge(times, nil); err == nil {
		t.Error("no error without beeps")
	}
}
