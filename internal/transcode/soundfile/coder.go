package soundfile

import (
	"io"
	"math"
	"time"

	"transponder/internal/media"
	"transponder/internal/transcode/sound"
)

const (
	// loopLength is the least duration of the packets that a loop repeats. The file is stretched to whole packets for that; over this
	// duration the change is a hundredth of a semitone at most, which nobody hears.
	loopLength = 30 * time.Second
	// loopLead is how many packets of a loop are sent once, before the repeated ones. After these the encoder's state no longer
	// depends on the silence before the file, so the first repeated packet also fits behind the last one.
	loopLead = 8
	// loopPause is how many frames of silence end a loop of Speex. A Speex frame is decoded from the frames before it. At the jump
	// back to the beginning these are other frames than the encoder saw; after silence the difference is not heard.
	loopPause = 2
)

// coder encodes a file, packet by packet. One goroutine uses it.
//
// Packets of AAC overlap: each holds half of two frames. If the file is played once, there is silence before and after it. For a
// loop, the file is repeated until it lasts loopLength, and stretched to a whole number of frames; after the last packet, playing
// continues with packet loopStart.
type coder struct {
	src      *wavReader
	enc      sound.Encoder
	channels int
	rate     *sound.Resampler

	frames    int64 // of sound before loopPause; 0: there is no pause
	sent      int64 // frames given to the encoder
	packets   int64 // that the file will have
	loopStart int64
	made      int64
	in, pcm   []float32
}

// newCoder returns a coder that encodes a file once (loop is 0), or as a loop that lasts at least that long.
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
	if f.Codec == media.Speex || f.Codec == media.SpeexNarrow {
		c.frames, c.packets = frames, frames+loopPause
		return c
	}
	c.loopStart = loopLead + c.lead()
	c.packets = c.loopStart + frames
	return c
}

// lead returns the encoder's delay in packets, rounded up.
func (c *coder) lead() int64 {
	size := c.enc.FrameSize()
	return int64((c.enc.Delay() + size - 1) / size)
}

// next appends the length of the next packet, in two bytes, and the packet to dst. It fails with io.EOF after the last packet.
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

// read adds the sound of one frame, from the file or from the pause in a loop, to pcm.
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
