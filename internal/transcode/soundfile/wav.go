package soundfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
)

// The codings that a WAV file may have (Microsoft's mmreg.h).
const (
	wavPCM        = 1
	wavFloat      = 3
	wavALaw       = 6
	wavMuLaw      = 7
	wavExtensible = 0xfffe
)

// maxWAVChunks is how many chunks of a file are searched for the samples.
const maxWAVChunks = 1000

// maxWAVFrames is the most samples of a channel, so that no product overflows: two months at the highest rate.
const maxWAVFrames = 1 << 40

// wavSubtype follows the coding in the GUID of WAVE_FORMAT_EXTENSIBLE.
const wavSubtype = "\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"

// wav describes a RIFF WAV file (Multimedia Programming Interface and Data Specifications 1.0) or an RF64 file (EBU Tech 3306). It
// holds no samples; a wavReader reads them.
type wav struct {
	file           io.ReaderAt
	coding         int
	rate, channels int
	size           int   // of a sample of one channel, in bytes
	begin          int64 // offset of the first sample in the file
	frames         int64 // samples of each channel
}

// parseWAV reads the header of a file of size bytes. Errors say in a few words, for users, what is wrong with the file.
func parseWAV(file io.ReaderAt, size int64) (*wav, error) {
	var head [12]byte
	if _, err := file.ReadAt(head[:], 0); err != nil {
		return nil, wavError(err, "it is no RIFF WAV file")
	}
	form := string(head[:4])
	if form != "RIFF" && form != "RF64" && form != "BW64" || string(head[8:]) != "WAVE" {
		return nil, errors.New("it is no RIFF WAV file")
	}
	// The header of a file does not tell the length while the file is recorded, and after a crash of the recorder.
	open := form == "RIFF" && (binary.LittleEndian.Uint32(head[4:]) == 0 || binary.LittleEndian.Uint32(head[4:]) == math.MaxUint32)
	w := &wav{file: file}
	data, err := w.chunks(size, open)
	switch {
	case err != nil:
		return nil, err
	case w.channels == 0:
		return nil, errors.New("it does not say what its samples are")
	case w.begin == 0:
		return nil, errors.New("it has no samples")
	}
	switch w.frames = data / int64(w.size*w.channels); {
	case w.frames <= 0:
		return nil, errors.New("it has no samples")
	case w.frames > maxWAVFrames:
		return nil, errors.New("it is too long")
	}
	return w, nil
}

// wavError returns an error with the words if the file is too short, and another one if it cannot be read at all.
func wavError(err error, words string) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New(words)
	}
	return errors.New("it cannot be read") // the error itself may name a path
}

// chunks finds the format and the samples, and returns the size of the samples. open says that the header does not tell the size.
func (w *wav) chunks(size int64, open bool) (data int64, err error) {
	long := int64(-1) // the size as RF64 has it
	at := int64(12)
	for range maxWAVChunks {
		if w.channels > 0 && w.begin > 0 {
			return data, nil
		}
		var head [8]byte
		if at+8 > size {
			return data, nil
		}
		if _, err := w.file.ReadAt(head[:], at); err != nil {
			return 0, wavError(err, "it ends early")
		}
		at += 8
		n := int64(binary.LittleEndian.Uint32(head[4:]))
		switch string(head[:4]) {
		case "ds64":
			var b [16]byte
			if _, err := w.file.ReadAt(b[:], at); err != nil {
				return 0, wavError(err, "it ends early")
			}
			if long = int64(binary.LittleEndian.Uint64(b[8:])); long < 0 {
				return 0, errors.New("its size makes no sense")
			}
		case "fmt ":
			if err := w.format(at, n); err != nil {
				return 0, err
			}
		case "data":
			if n == math.MaxUint32 {
				n = size - at
				if long >= 0 {
					n = min(n, long)
				}
			} else if n == 0 && open {
				n = size - at
			}
			w.begin, data = at, min(n, size-at)
		}
		at += n + n&1
	}
	return data, nil
}

// format reads the format chunk.
func (w *wav) format(at, n int64) error {
	var b [40]byte
	if n < 16 {
		return errors.New("its format is too short")
	}
	n = min(n, int64(len(b)))
	if _, err := w.file.ReadAt(b[:n], at); err != nil {
		return wavError(err, "it ends early")
	}
	coding, bits := int(binary.LittleEndian.Uint16(b[:])), int(binary.LittleEndian.Uint16(b[14:]))
	channels, rate := int(binary.LittleEndian.Uint16(b[2:])), int64(binary.LittleEndian.Uint32(b[4:]))
	if coding == wavExtensible {
		if coding = int(binary.LittleEndian.Uint16(b[24:])); n < 40 || string(b[26:40]) != wavSubtype {
			return errors.New("its coding is unknown")
		}
	}
	size := (bits + 7) / 8
	switch known := coding == wavPCM && size >= 1 && size <= 4 || coding == wavFloat && (bits == 32 || bits == 64) ||
		(coding == wavALaw || coding == wavMuLaw) && bits == 8; {
	case !known:
		return fmt.Errorf("its coding (%d with %d bits) is none of PCM of 8 to 32 bits, float, A-law and µ-law", coding, bits)
	case channels < 1 || channels > len(wavMix):
		return fmt.Errorf("it has %d channels, not 1 to %d", channels, len(wavMix))
	case rate < 8000 || rate > 192000:
		return fmt.Errorf("its rate of %d Hz is not within 8000 and 192000", rate)
	case int(binary.LittleEndian.Uint16(b[12:])) != size*channels:
		return errors.New("its samples are packed in an unknown way")
	}
	w.coding, w.channels, w.rate, w.size = coding, channels, int(rate), size
	return nil
}

// wavMix says, for 1 to 8 channels in the usual order of speakers, how much of each channel goes to the left and to the right. A
// centre and the surrounds count 3 dB less (ITU-R BS.775-4, annex 4), an LFE channel is left out; mix scales the sum to full scale.
var wavMix = [...][][2]float32{
	{{1, 1}},
	{{1, 0}, {0, 1}},
	{{1, 0}, {0, 1}, {.707, .707}},
	{{1, 0}, {0, 1}, {.707, 0}, {0, .707}},
	{{1, 0}, {0, 1}, {.707, .707}, {.707, 0}, {0, .707}},
	{{1, 0}, {0, 1}, {.707, .707}, {0, 0}, {.707, 0}, {0, .707}},
	{{1, 0}, {0, 1}, {.707, .707}, {0, 0}, {.5, .5}, {.707, 0}, {0, .707}},
	{{1, 0}, {0, 1}, {.707, .707}, {0, 0}, {.707, 0}, {0, .707}, {.707, 0}, {0, .707}},
}

// mix returns how much of each channel goes to each of one or two output channels.
func (w *wav) mix(channels int) [][2]float32 {
	shares := make([][2]float32, w.channels)
	var sum float32
	for c, s := range wavMix[w.channels-1] {
		if shares[c] = s; channels == 1 {
			shares[c] = [2]float32{(s[0] + s[1]) / 2}
		}
		sum += shares[c][0]
	}
	for c := range shares {
		shares[c][0] /= sum
		shares[c][1] /= sum
	}
	return shares
}

// wavReader reads the samples of a file in order, mixed to one or two channels.
type wavReader struct {
	*wav
	as     int // channels
	shares [][2]float32
	loop   bool
	at     int64
	whole  bool // bytes holds all samples of the file
	bytes  []byte
}

// wavBlock is how many bytes of a file are read at a time. A file that is not larger is read only once.
const wavBlock = 256 << 10

// reader returns a wavReader that reads the file once and then silence, or the file in a loop.
func (w *wav) reader(channels int, loop bool) *wavReader {
	return &wavReader{wav: w, as: channels, shares: w.mix(channels), loop: loop}
}

// read appends from 1 to n samples of each channel to pcm.
func (r *wavReader) read(pcm []float32, n int) ([]float32, error) {
	if r.at == r.frames {
		if !r.loop {
			return append(pcm, make([]float32, r.as*n)...), nil
		}
		r.at = 0
	}
	size := int64(r.size * r.channels)
	n = int(min(int64(n), r.frames-r.at, wavBlock/size))
	b, err := r.load(r.at*size, int64(n)*size)
	if err != nil {
		return pcm, err
	}
	r.at += int64(n)
	for ; len(b) > 0; b = b[size:] {
		var left, right float32
		for c, share := range r.shares {
			x := r.sample(b[c*r.size:])
			left += share[0] * x
			right += share[1] * x
		}
		if pcm = append(pcm, left); r.as == 2 {
			pcm = append(pcm, right)
		}
	}
	return pcm, nil
}

// load reads bytes of the file. The slice is valid until the next call.
func (r *wavReader) load(at, n int64) ([]byte, error) {
	if r.whole {
		return r.bytes[at:][:n], nil
	}
	all := r.frames * int64(r.size*r.channels)
	if r.whole = all <= wavBlock; r.whole {
		r.bytes = make([]byte, all)
		if err := r.fill(r.bytes, 0); err != nil {
			r.whole = false
			return nil, err
		}
		return r.bytes[at:][:n], nil
	}
	if r.bytes == nil {
		r.bytes = make([]byte, wavBlock)
	}
	return r.bytes[:n], r.fill(r.bytes[:n], at)
}

func (r *wavReader) fill(b []byte, at int64) error {
	if _, err := r.file.ReadAt(b, r.begin+at); err != nil {
		return wavError(err, "it has become shorter")
	}
	return nil
}

// sample decodes one sample to a value from -1 to 1. NaN becomes 0.
func (w *wav) sample(b []byte) float32 {
	switch w.coding {
	case wavALaw:
		return aLaw[b[0]]
	case wavMuLaw:
		return muLaw[b[0]]
	case wavFloat:
		x := float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
		if w.size == 8 {
			x = math.Float64frombits(binary.LittleEndian.Uint64(b))
		}
		if x != x {
			return 0
		}
		return float32(min(max(x, -1), 1))
	}
	switch w.size {
	case 1:
		return float32(int(b[0])-128) / 128
	case 2:
		return float32(int16(binary.LittleEndian.Uint16(b))) / (1 << 15)
	case 3:
		return float32(int32(uint32(b[0])<<8|uint32(b[1])<<16|uint32(b[2])<<24)) / (1 << 31)
	default:
		return float32(int32(binary.LittleEndian.Uint32(b))) / (1 << 31)
	}
}

// aLaw and muLaw hold the sample value of each code of G.711.
var aLaw, muLaw = func() (a, mu [256]float32) {
	for i := range 256 {
		b := i ^ 0x55
		x := b&0x0f<<4 + 8
		if seg := b >> 4 & 7; seg > 0 {
			x = (x + 0x100) << (seg - 1)
		}
		if b&0x80 == 0 {
			x = -x
		}
		a[i] = float32(x) / (1 << 15)

		b = ^i & 0xff
		x = (b&0x0f<<3+0x84)<<(b>>4&7) - 0x84
		if b&0x80 != 0 {
			x = -x
		}
		mu[i] = float32(x) / (1 << 15)
	}
	return a, mu
}()

// Inspect returns the duration of a WAV file of size bytes. It fails with ErrUnplayable.
func Inspect(file io.ReaderAt, size int64) (time.Duration, error) {
	w, err := parseWAV(file, size)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrUnplayable, err)
	}
	return time.Duration(float64(w.frames) / float64(w.rate) * float64(time.Second)), nil
}
