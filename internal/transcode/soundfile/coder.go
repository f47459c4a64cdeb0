package soundfile

import (
	"io"
	"math"
	"time"

	"transponder/internal/media"
	"transponder/internal/transcode/sound"
)

const (
	// loopLength is the least length of what is repeated in a loop, so that making it whole packets is not heard: half a packet in
	// so long is a hundredth of a semitone.
	loopLength = 30 * time.Second
	// loopLead is how many packets of a loop come before those that are repeated. By then the coder has forgotten that there was
	// silence before the file, so that each of them follows the last as it followed the one before it.
	loopLead = 8
	// loopPause is how many frames of silence end a loop of Speex. It tells each frame from those before it, and a decoder whose
	// memory is of others goes astray; in silence the memories meet.
	loopPause = 2
)

// coder makes the packets of a file, one after the other, and is for one goroutine.
//
// Packets of AAC overlap: each holds half of two frames. A file that is played once is laid between frames of silence. A loop
// is a number of whole files, stretched to a whole number of frames; its packets from number loopStart on follow the last.
type coder struct {
	src      *wavReader
	enc      sound.Encoder
	channels int
	rate     *sound.Resampler

	frames    int64 // of sound until the pause; 0: there is none
	sent      int64 // frames to the encoder
	packets   int64 // there are in all
	loopStart int64
	made      int64
	in, pcm   []float32
}

// newCoder codes a file once, or so often that it is as long as a loop is to be at least.
func newCoder(w *wav, enc sound.Encoder, f media.AudioFormat, loop time.Duration) *coder {
	c := &coder{src: w.reader(f.Channels, loop > 0), enc: enc, channels: f.Channels}
	size := int64(enc.FrameSize())
	if loop == 0 {
		c.rate = sound.NewResampler(f.Channels, int64(w.rate), int64(f.SampleRate))
		c.packets = int64(math.Ceil(float64(w.frames)*float64(f.SampleRate)/float64(w.rate)/float64(size))) + c.lead()
		return c
	}
	least := int64(loop.Seconds() * float64(w.rate))
	unit := w.frames * (1 + (least-1)/w.frames)
	frames := int64(math.Round(float64(unit) * float64(f.SampleRate) / float64(w.rate) / float64(size)))
	c.rate = sound.NewResampler(f.Channels, unit, frames*size)
	if f.Codec == media.Speex {
		c.frames, c.packets = frames, frames+loopPause
		return c
	}
	c.loopStart = loopLead + c.lead()
	c.packets = c.loopStart + frames
	return c
}

// lead returns by how many packets the sound trails what is encoded.
func (c *coder) lead() int64 {
	size := c.enc.FrameSize()
	return int64((c.enc.Delay() + size - 1) / size)
}

// next appends the next packet to dst, behind its length in two bytes. It fails with io.EOF after the last.
func (c *coder) next(dst []byte) ([]byte, error) {
	if c.made == c.packets {
		return dst, io.EOF
	}
	size := c.channels * c.enc.FrameSize()
	for {
		for len(c.pcm) < size {
			if err := c.read(); err != nil {
				return dst, err
			}
		}
		packet, err := c.enc.Encode(c.pcm[:size])
		if err != nil {
			return dst, err
		}
		c.pcm = c.pcm[:copy(c.pcm, c.pcm[size:])]
		c.sent++
		if n := len(packet); n > 0 {
			c.made++
			return append(append(dst, byte(n>>8), byte(n)), packet...), nil
		}
	}
}

// read takes a little more of the file, or of the pause in a loop.
func (c *coder) read() error {
	if c.frames > 0 && c.sent >= c.frames {
		c.pcm = append(c.pcm[:0], make([]float32, c.channels*c.enc.FrameSize())...)
		return nil
	}
	var err error
	if c.in, err = c.src.read(c.in[:0], c.enc.FrameSize()); err != nil {
		return err
	}
	c.pcm = c.rate.Append(c.pcm, c.in)
	return nil
}
