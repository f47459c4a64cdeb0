package sound

import (
	"bytes"
	"encoding/hex"

	"transponder/internal/media"
)

// maxSamples is the largest packet of G.711 and G.722, in bytes, that Silence can replace: half a second of G.711 in stereo,
// more than any live packet.
const maxSamples = 8000

// These packets hold the codes of G.711 that are closest to 0. A code of G.722 is a difference; with the one here, the sound
// comes to rest at a constant, 57 dB below full scale, which nobody hears.
var silentSamples = map[media.Codec][]byte{
	media.PCMA: bytes.Repeat([]byte{0xd5}, maxSamples),
	media.PCMU: bytes.Repeat([]byte{0xff}, maxSamples),
	media.G722: bytes.Repeat([]byte{0xfd}, maxSamples),
}

// silentSpeex and silentNarrow are frames of silence, encoded by libspeex after another frame of silence.
var (
	silentNarrow, _ = hex.DecodeString("2e9d1b9a2002017fffffffffff8100bfffffffffffc0805fffffffffffe0402ffffffffffff7")
	silentSpeex, _  = hex.DecodeString("369d1b9a20080168e8e8e8e8e8e8e88400b47474747474747442005a3a3a3a3a3a3a3a21002d1d1d1d1d1d1d1d" +
		"1b3b60ababababab0ababababab0ababababab0ababababab7")
)

// SilentSpeex returns a frame of silence of Speex or SpeexNarrow.
func SilentSpeex(c media.Codec) []byte {
	if c == media.SpeexNarrow {
		return silentNarrow
	}
	return silentSpeex
}

// Silence returns a frame with the same codec, form, time and length, whose sound is silence. It uses no encoder. If it knows
// no silence for the codec, it returns the frame unchanged and false.
func Silence(f media.Frame) (media.Frame, bool) {
	if data := silence(f); data != nil {
		f.Data = data
		return f, true
	}
	return f, false
}

func silence(f media.Frame) []byte {
	n := len(f.Data)
	switch f.Track.Codec {
	case media.AAC:
		packet, _, err := media.SilentAAC(f.Track.Config)
		if err != nil {
			return nil
		}
		return packet
	case media.PCMA, media.PCMU, media.G722:
		if n <= maxSamples {
			return silentSamples[f.Track.Codec][:n]
		}
	case media.Opus:
		return silentOpus(OpusSamples(f.Data))
	case media.Speex, media.SpeexNarrow:
		frames, _ := SpeexFrames(f.Data)
		if frames == 1 {
			return SilentSpeex(f.Track.Codec)
		}
		packets := make([][]byte, frames)
		for i := range packets {
			packets[i] = SilentSpeex(f.Track.Codec)
		}
		return JoinSpeex(packets...)
	}
	return nil
}

// OpusSamples returns the length of an Opus packet in samples at 48 kHz; 0 if it is not valid (RFC 6716, 3.1 and 3.2).
func OpusSamples(packet []byte) int {
	if len(packet) == 0 {
		return 0
	}
	frames := 1
	switch packet[0] & 3 {
	case 1, 2:
		frames = 2
	case 3:
		if len(packet) < 2 {
			return 0
		}
		frames = int(packet[1] & 0x3f)
	}
	config := packet[0] >> 3
	switch {
	case config < 12: // SILK: 10, 20, 40, 60 ms
		return frames * [...]int{480, 960, 1920, 2880}[config&3]
	case config < 16: // hybrid: 10, 20 ms
		return frames * 480 << (config & 1)
	default: // CELT: 2.5, 5, 10, 20 ms
		return frames * 120 << (config & 3)
	}
}

// silentOpus returns a packet of silence with so many samples. Its frames are CELT at full bandwidth, as long as possible,
// with the silence flag, which is the first symbol (RFC 6716, 4.3).
func silentOpus(samples int) []byte {
	if samples <= 0 || samples > 5760 {
		return nil
	}
	size, length := byte(3), 960
	for samples%length != 0 {
		size, length = size-1, length/2
	}
	toc, frames := (28+size)<<3, samples/length
	if frames == 1 {
		return []byte{toc, 0xff, 0xfe}
	}
	out := []byte{toc | 3, byte(frames)} // all of the same size
	for range frames {
		out = append(out, 0xff, 0xfe)
	}
	return out
}
