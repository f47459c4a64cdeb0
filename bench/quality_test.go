package main

import (
	"bytes"
	"math"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"

	"transponder/bench/hearing"
)

func TestAlign(t *testing.T) {
	if testing.Short() {
		t.Skip("too long for the race detector: make unit runs it without")
	}
	r := rand.New(rand.NewPCG(1, 2))
	sound := make([]byte, 4*48000)
	for i := range sound {
		sound[i] = byte(r.Uint32())
	}
	for _, delay := range []int{0, 1, 1024, 2048} {
		got := append(make([]byte, 4*delay), sound...)
		if aligned := align(sound, got); !bytes.Equal(aligned, sound) {
			t.Errorf("sound that is %d samples late is not aligned", delay)
		}
		cut := align(sound, got[:len(got)-400])
		if len(cut) != len(sound) || !bytes.Equal(cut[:len(cut)-400], sound[:len(sound)-400]) {
			t.Errorf("sound that is %d samples late and 100 too short has %d bytes, want %d", delay, len(cut), len(sound))
		}
	}
}

// Each coder gets a row of signal-to-noise ratios, and each recording its bit rate, with nothing but ffmpeg.
func TestQuality(t *testing.T) {
	if testing.Short() {
		t.Skip("too long for the race detector: make unit runs it without")
	}
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Skip("no ffmpeg: apt-get install ffmpeg")
	}
	var out bytes.Buffer
	q := qualities{dir: t.TempDir(), seconds: 2, coders: append([]aacCoder{{"self", ffmpegOwn[0].command}}, ffmpegOwn...), out: &out}
	pieces, err := q.record(t.Context(), "24-clicks")
	if err != nil {
		t.Fatal(err)
	}
	if err := q.measure(t.Context(), pieces, 96); err != nil {
		t.Fatal(err)
	}
	var rows [][]string
	for row := range strings.Lines(out.String()) {
		if fields := strings.Fields(row); len(fields) > 0 {
			rows = append(rows, fields)
		}
	}
	find := func(name string) []string {
		for _, row := range rows {
			if row[0] == name {
				return row[1:]
			}
		}
		t.Fatalf("no row %q in:\n%s", name, out.String())
		return nil
	}
	piece, self, fast := find("24-clicks"), find("self"), find("fast")
	if len(piece) != 9 || piece[0] != "-" || piece[3] != piece[4] || piece[6] != piece[7] || piece[6] == piece[8] {
		t.Errorf("the row of a recording is %q", piece)
	}
	if len(self) != len(hearing.Edges)-1 || strings.Join(self, " ") != strings.Join(fast, " ") {
		t.Errorf("one coder has %q, the same under another name %q", self, fast)
	}
}

func TestDecimals(t *testing.T) {
	if got := decimals(-0.125, 2) + decimals(math.NaN(), 2); got != "-0.12-" {
		t.Errorf("%q", got)
	}
}
