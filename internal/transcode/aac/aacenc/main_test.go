//go:build cgo

package main

import (
	"bytes"
	"encoding/binary"
	"math"
	"os/exec"
	"path/filepath"
	"testing"
)

// All of a file is in what is decoded, however long it is.
func TestEncode(t *testing.T) {
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		t.Skip("no ffmpeg: apt-get install ffmpeg")
	}
	const rate, delay = 48000, 1024
	for _, samples := range []int{10 * 1024, 10*1024 + 1, 11*1024 - 1} {
		dir := t.TempDir()
		wav, aac := filepath.Join(dir, "a.wav"), filepath.Join(dir, "a.aac")
		le := binary.LittleEndian
		var pcm []byte
		for i := range samples {
			x := uint16(int16(8000 * math.Sin(2*math.Pi*440*float64(i)/rate)))
			pcm = le.AppendUint16(le.AppendUint16(pcm, x), x)
		}
		cmd := exec.CommandContext(t.Context(), ffmpeg, "-v", "error", "-f", "s16le", "-ar", "48000", "-ac", "2", "-i", "-", wav)
		cmd.Stdin = bytes.NewReader(pcm)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("ffmpeg: %v: %s", err, out)
		}
		if err := encode(128_000, wav, aac); err != nil {
			t.Fatal(err)
		}
		got, err := exec.CommandContext(t.Context(), ffmpeg, "-v", "error", "-i", aac, "-f", "s16le", "-").Output()
		if err != nil {
			t.Fatal(err)
		}
		if len(got) < len(pcm)+4*delay {
			t.Fatalf("%d samples: %d are decoded, want %d at least", samples, len(got)/4, samples+delay)
		}
		for i := 2000; i < samples; i++ {
			want, have := int16(le.Uint16(pcm[4*i:])), int16(le.Uint16(got[4*(i+delay):]))
			if d := int(want) - int(have); d > 2500 || d < -2500 { // the sound ends abruptly, which no codec does
				t.Fatalf("%d samples: sample %d is %d, want about %d", samples, i, have, want)
			}
		}
	}
}

func TestReadWAV(t *testing.T) {
	for name, b := range map[string][]byte{"nothing": nil, "no WAVE": []byte("RIFF0000WAVX"), "no samples": []byte("RIFF0000WAVE"), "cut": []byte("RIFF0000WAVEfmt \x10\x00\x00\x00\x01")} {
		if _, _, err := readWAV(b); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
