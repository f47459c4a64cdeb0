// Package soundtest makes sound for tests, has the ffmpeg command encode it, and measures what comes out. PCM is
// interleaved stereo float32 at 48 kHz.
package soundtest

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os/exec"
	"testing"
	"time"

	"transponder/internal/media"
)

const rate = 48000

// Tone returns a sine on both channels, with an amplitude of level.
func Tone(hz, level float64, d time.Duration) []float32 {
	pcm := make([]float32, 2*samples(d))
	for i := range len(pcm) / 2 {
		x := float32(level * math.Sin(2*math.Pi*hz*float64(i)/rate))
		pcm[2*i], pcm[2*i+1] = x, x
	}
	return pcm
}

// Music returns something with harmonics, attacks and noise, different on both channels: what an encoder usually gets.
func Music(d time.Duration) []float32 {
	pcm := make([]float32, 2*samples(d))
	noise := rand.New(rand.NewPCG(1, 2))
	var left, right float64
	for i := range len(pcm) / 2 {
		beat := float64(i%(rate/4)) / rate
		var chord float64
		for k, hz := range []float64{196, 247, 294, 392, 588, 784, 1176, 2352} {
			chord += math.Sin(2*math.Pi*hz*float64(i)/rate) * math.Exp(-beat*float64(4+2*k)) / 12
		}
		left += (noise.Float64() - 0.5 - left) * 0.2
		right += (noise.Float64() - 0.5 - right) * 0.2
		pcm[2*i], pcm[2*i+1] = float32(chord+left/8), float32(chord*0.7+right/8)
	}
	return pcm
}

// Ensemble returns what is as hard as recorded music: a bass, chords of many harmonics at different places of the stereo image, drums,
// cymbals and room noise up to 16 kHz. All of it sounds all the time, so every band needs bits.
func Ensemble(d time.Duration) []float32 {
	pcm := make([]float32, 2*samples(d))
	noise := rand.New(rand.NewPCG(7, 8))
	voice := func(hz, t float64) (x float64) { // a sawtooth without what is above 12 kHz, with vibrato
		for k := 1; hz*float64(k) < 12000 && k <= 30; k++ {
			x += math.Sin(2*math.Pi*float64(k)*(hz*t+0.1*math.Sin(2*math.Pi*5*t))) / float64(k)
		}
		return x
	}
	var low [2]float64 // of the noise, for each channel
	for i := range len(pcm) / 2 {
		t := float64(i) / rate
		beat, bar := math.Mod(t, 0.5), int(t*2)%4
		root := []float64{55, 65.4, 73.4, 49}[bar]
		bass := 0.25*math.Sin(2*math.Pi*root*t) + 0.08*math.Sin(2*math.Pi*2*root*t)
		chord := [3]float64{voice(4*root, t), voice(5*root, t), voice(6*root, t)}
		drum := 0.3 * math.Sin(2*math.Pi*60*beat) * math.Exp(-beat*25)
		for c, place := range [2][3]float64{{0.05, 0.01, 0.03}, {0.01, 0.05, 0.03}} {
			x := noise.NormFloat64()
			low[c] += 0.15 * (x - low[c])
			cymbal := (x - low[c]) * (0.004 + 0.04*math.Exp(-math.Mod(t, 0.25)*30))
			pcm[2*i+c] = float32(bass + drum + cymbal + 0.01*low[c] + place[0]*chord[0] + place[1]*chord[1] + place[2]*chord[2])
		}
	}
	return pcm
}

// Click returns silence with one short burst of a high tone that begins at a time.
func Click(at, d time.Duration) []float32 {
	pcm := make([]float32, 2*samples(d))
	copy(pcm[2*samples(at):], Tone(4000, 0.8, 5*time.Millisecond))
	return pcm
}

// Onset returns where the sound first gets louder than level.
func Onset(pcm []float32, level float32) (time.Duration, bool) {
	for i, x := range pcm {
		if x > level || x < -level {
			return media.Samples(int64(i/2), rate), true
		}
	}
	return 0, false
}

// Level returns the amplitude of a frequency on a channel (Goertzel).
func Level(pcm []float32, channel int, hz float64) float64 {
	n := len(pcm) / 2
	k := 2 * math.Cos(2*math.Pi*hz/rate)
	var s1, s2 float64
	for i := range n {
		s1, s2 = float64(pcm[2*i+channel])+k*s1-s2, s1
	}
	power := max(0, s1*s1+s2*s2-k*s1*s2)
	return 2 * math.Sqrt(power) / float64(n)
}

// Step returns the greatest bend between neighbouring samples (the second difference) of the left channel and where it
// is. A click is a bend far above those of the sound itself.
func Step(pcm []float32) (bend float64, at int) {
	for i := 1; i+1 < len(pcm)/2; i++ {
		b := math.Abs(float64(pcm[2*i-2]) - 2*float64(pcm[2*i]) + float64(pcm[2*i+2]))
		if b > bend {
			bend, at = b, i
		}
	}
	return bend, at
}

// Opus encodes PCM to Opus packets of 20 ms, or as the further arguments of ffmpeg say.
func Opus(t testing.TB, pcm []float32, args ...string) [][]byte {
	t.Helper()
	args = append([]string{"-c:a", "libopus", "-b:a", "64k", "-frame_duration", "20"}, args...)
	return Ogg(t, pcm, append(args, "-f", "ogg")...)
}

// Ogg encodes PCM to an Ogg file of Opus or Speex, as the arguments of ffmpeg say, and returns its packets.
func Ogg(t testing.TB, pcm []float32, args ...string) [][]byte {
	t.Helper()
	return oggPackets(t, ffmpeg(t, pcm, args...))[2:] // behind the two headers of RFC 7845, or of the Speex manual, 6
}

// G711 encodes PCM to packets of 20 ms of "alaw" or "mulaw".
func G711(t testing.TB, pcm []float32, law string) [][]byte {
	t.Helper()
	return cut160(ffmpeg(t, pcm, "-ar", "8000", "-af", "pan=mono|c0=c0", "-f", law))
}

// G722 encodes PCM to packets of 20 ms.
func G722(t testing.TB, pcm []float32) [][]byte {
	t.Helper()
	return cut160(ffmpeg(t, pcm, "-ar", "16000", "-af", "pan=mono|c0=c0", "-c:a", "g722", "-f", "g722"))
}

// cut160 cuts sound of 64 kbit/s into packets of 20 ms.
func cut160(b []byte) (packets [][]byte) {
	for ; len(b) >= 160; b = b[160:] {
		packets = append(packets, b[:160])
	}
	return packets
}

// FLV encodes PCM as the arguments of ffmpeg say and returns the audio payloads of an FLV file: for AAC the
// AudioSpecificConfig as config and raw frames as packets.
func FLV(t testing.TB, pcm []float32, args ...string) (config []byte, packets [][]byte) {
	t.Helper()
	b := ffmpeg(t, pcm, append(args, "-f", "flv")...)
	for b = b[13:]; len(b) > 11; {
		size := int(b[1])<<16 | int(b[2])<<8 | int(b[3])
		kind, body := b[0], b[11:11+size]
		b = b[11+size+4:]
		switch {
		case kind != 8 || size < 2:
		case body[0]>>4 != 10: // not AAC
			packets = append(packets, body[1:])
		case body[1] == 0:
			config = body[2:]
		default:
			packets = append(packets, body[2:])
		}
	}
	return config, packets
}

// Decode has the ffmpeg command decode the left channel of a file; it comes out on both.
func Decode(t testing.TB, file []byte) []float32 {
	t.Helper()
	b := run(t, file, "-i", "-", "-af", "pan=stereo|c0=c0|c1=c0", "-ar", "48000", "-f", "f32le")
	pcm := make([]float32, len(b)/4)
	for i := range pcm {
		pcm[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return pcm
}

// ffmpeg runs PCM through the command and returns what it writes.
func ffmpeg(t testing.TB, pcm []float32, args ...string) []byte {
	t.Helper()
	in := make([]byte, 0, 4*len(pcm))
	for _, x := range pcm {
		in = binary.LittleEndian.AppendUint32(in, math.Float32bits(x))
	}
	return run(t, in, append([]string{"-f", "f32le", "-ar", "48000", "-ac", "2", "-i", "-"}, args...)...)
}

// run feeds the ffmpeg command and returns what it writes.
func run(t testing.TB, in []byte, args ...string) []byte {
	t.Helper()
	args = append([]string{"-hide_banner", "-loglevel", "error"}, args...)
	cmd := exec.CommandContext(t.Context(), "ffmpeg", append(args, "-")...)
	cmd.Stdin = bytes.NewReader(in)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, stderr.Bytes())
	}
	return out
}

// oggPackets returns the packets of an Ogg file with one stream (RFC 3533).
func oggPackets(t testing.TB, b []byte) [][]byte {
	t.Helper()
	var packets [][]byte
	var part []byte
	for len(b) > 0 {
		if len(b) < 27 || string(b[:4]) != "OggS" {
			t.Fatal("not an Ogg page")
		}
		lacing := b[27 : 27+int(b[26])]
		b = b[27+len(lacing):]
		for _, n := range lacing {
			part = append(part, b[:n]...)
			b = b[n:]
			if n < 255 {
				packets = append(packets, part)
				part = nil
			}
		}
	}
	return packets
}

func samples(d time.Duration) int { return int(d * rate / time.Second) }
