// Command aacenc encodes a WAV file of 16 bits to an ADTS file with our encoder, for "bench quality" and for listening. The server does
// not use it.
//
//	aacenc -rate 128000 in.wav out.aac
package main

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"

	"transponder/internal/media"
	"transponder/internal/transcode/aac"
)

func main() {
	rate := flag.Int("rate", 128_000, "bits a second")
	flag.Parse()
	if flag.NArg() != 2 {
		fmt.Fprintln(os.Stderr, "usage: aacenc [-rate BITS] IN.wav OUT.aac")
		os.Exit(2)
	}
	if err := encode(*rate, flag.Arg(0), flag.Arg(1)); err != nil {
		fmt.Fprintln(os.Stderr, "aacenc:", err)
		os.Exit(1)
	}
}

func encode(rateBPS int, from, to string) error {
	wav, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	f, pcm, err := readWAV(wav)
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	f.RateBPS = rateBPS
	file, err := makeADTS(f, pcm)
	if err != nil {
		return err
	}
	return os.WriteFile(to, file, 0o644)
}

var errWAV = errors.New("it is no WAV file of 16 bits")

// readWAV returns the format and the samples, from -1 to 1.
func readWAV(b []byte) (f media.AudioFormat, pcm []float32, err error) {
	le := binary.LittleEndian
	f.Codec = media.AAC
	if len(b) < 12 || string(b[:4]) != "RIFF" || string(b[8:12]) != "WAVE" {
		return f, nil, errWAV
	}
	for b = b[12:]; len(b) >= 8; {
		id, size := string(b[:4]), int(le.Uint32(b[4:]))
		b = b[8:]
		body := b[:min(size, len(b))]
		switch {
		case id == "fmt " && len(body) >= 16:
			if le.Uint16(body[14:]) != 16 {
				return f, nil, errWAV
			}
			f.Channels, f.SampleRate = int(le.Uint16(body[2:])), int(le.Uint32(body[4:]))
		case id == "data" && f.Channels > 0:
			for ; len(body) >= 2; body = body[2:] {
				pcm = append(pcm, float32(int16(le.Uint16(body)))/32768)
			}
			return f, pcm, nil
		}
		b = b[min(size+size%2, len(b)):]
	}
	return f, nil, errWAV
}

// makeADTS encodes all samples. It fills up the last frame with silence and adds two more frames: one because each packet
// comes a frame later, one because decoded sound is a frame behind.
func makeADTS(f media.AudioFormat, pcm []float32) (file []byte, err error) {
	e, err := aac.New(f)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	size := f.Channels * e.FrameSize()
	pcm = append(pcm, make([]float32, 3*size-len(pcm)%size)...)
	for frame := range slices.Chunk(pcm, size) {
		packet, err := e.Encode(frame)
		if err != nil {
			return nil, err
		}
		if len(packet) > 0 {
			file = append(file, header(f, len(packet))...)
			file = append(file, packet...)
		}
	}
	return file, nil
}

// header is that of ADTS (ISO/IEC 14496-3, 1.A.3.2).
func header(f media.AudioFormat, size int) []byte {
	index := slices.Index([]int{96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000}, f.SampleRate)
	n := size + 7
	return []byte{0xff, 0xf1, byte(1<<6 | index<<2), byte(f.Channels<<6 | n>>11), byte(n >> 3), byte(n<<5 | 0x1f), 0xfc}
}
