package sound

import (
	"bytes"
	"fmt"
	"time"

	"transponder/internal/media"
)

const (
	// pairPatience is how long both channels must have been the same before one of them is coded for both. A stereo recording has
	// such passages too, and each change costs some frames' encoding.
	pairPatience = 3 * time.Second

	// primeFrames is how many of the last frames an encoder is fed that takes over from another. AAC looks one frame ahead and
	// overlaps with the one before; the others let it forget the silence that it began in, which tells on the form of its windows.
	// With four of them changes are heard as a click, with five not; see TestPairChangesAreNotHeard.
	primeFrames = 6
)

// pairEncoder makes stereo AAC with FFmpeg's encoder. While both channels are the same, as those of most microphones are, it codes one of them,
// which costs little more than half, and writes it as a pair of channels; the stream's form never changes. It goes over to coding
// both with the first frame in which they differ, and back when they have been the same for a while.
//
// At a change, the encoder that takes over has coded the last frames as well, and the packets overlap in frames whose channels
// are the same, so that both encoders' packets are of the same sound there and nothing is heard of it.
type pairEncoder struct {
	open   func(media.AudioFormat) (Encoder, error)
	format media.AudioFormat
	refuse func(error) // says that a packet could not be made a pair

	enc      Encoder
	one      bool // enc has one channel
	never    bool // packets of one channel cannot be used
	same     int  // frames in a row with both channels the same, those not coded left out
	patience int  // frames

	past [primeFrames][]float32 // one channel of the last frames whose channels are the same, in a ring
	held int                    // how many there are, up to primeFrames
	last int                    // the latest
	both []float32              // one of them, for an encoder of both channels
	out  []byte

	frames  int64 // packets made of one channel
	changes int64 // of the encoder
}

// newPairEncoder returns an encoder for a format, which is stereo AAC. Errors of single packets go to refuse, and are mended.
func newPairEncoder(f media.AudioFormat, open func(media.AudioFormat) (Encoder, error), refuse func(error)) (*pairEncoder, error) {
	e := &pairEncoder{open: open, format: f, refuse: refuse, one: true}
	var err error
	if e.enc, err = open(e.form(true)); err != nil {
		return nil, err
	}
	size := e.enc.FrameSize()
	e.patience = int(pairPatience * time.Duration(f.SampleRate) / time.Second / time.Duration(size))
	for i := range e.past {
		e.past[i] = make([]float32, size)
	}
	e.both = make([]float32, channels*size)
	return e, nil
}

// form is the format of the encoder of one channel, or of both. The bit rate is what was asked for in both cases.
func (e *pairEncoder) form(one bool) media.AudioFormat {
	f := e.format
	if one {
		f.Channels = 1
	}
	return f
}

func (e *pairEncoder) FrameSize() int { return e.enc.FrameSize() }
func (e *pairEncoder) Delay() int     { return e.enc.Delay() }
func (e *pairEncoder) Close()         { e.enc.Close() }

// Config returns the AudioSpecificConfig of stereo.
func (e *pairEncoder) Config() []byte {
	if e.one {
		return stereoConfig(e.enc.Config())
	}
	return e.enc.Config()
}

// stereoConfig makes the AudioSpecificConfig of stereo from that of mono (ISO/IEC 14496-3, table 1.15; all rates that are made have
// an index of four bits).
func stereoConfig(mono []byte) []byte {
	const mask = 0x0f << 3
	config := bytes.Clone(mono)
	if len(config) >= 2 {
		config[1] = config[1]&^mask | channels<<3
	}
	return config
}

// Mono returns how many packets were made of one channel, and how often the encoder changed.
func (e *pairEncoder) Mono() (packets, changes int64) { return e.frames, e.changes }

// Encode is libav.Encoder's.
func (e *pairEncoder) Encode(pcm []float32) ([]byte, error) {
	if !alike(pcm) {
		e.same = 0
		if e.one {
			if _, err := e.change(false); err != nil {
				return nil, err
			}
		}
		return e.enc.Encode(pcm)
	}
	e.same++
	e.keep(pcm)
	var packet []byte
	var err error
	switch {
	case e.one:
		packet, err = e.enc.Encode(e.past[e.last])
	case e.never || e.same < e.patience:
		return e.enc.Encode(pcm)
	default:
		if packet, err = e.change(true); err != nil { // what there is goes on
			e.same = 0
			return e.enc.Encode(pcm)
		}
	}
	if err != nil || len(packet) == 0 {
		return nil, err
	}
	if e.out, err = media.StereoAAC(e.out[:0], packet); err != nil {
		e.never = true
		e.refuse(err)
		return e.change(false)
	}
	e.frames++
	return e.out, nil
}

// keep puts one channel of a frame to the past.
func (e *pairEncoder) keep(pcm []float32) {
	e.last = (e.last + 1) % primeFrames
	e.held = min(e.held+1, primeFrames)
	frame := e.past[e.last]
	for i := range frame {
		frame[i] = pcm[channels*i]
	}
}

// change goes over to an encoder of one channel, or of both, that has coded the past. It returns the packet of the latest frame.
func (e *pairEncoder) change(one bool) ([]byte, error) {
	enc, err := e.open(e.form(one))
	if err != nil {
		return nil, fmt.Errorf("change encoders: %w", err)
	}
	var packet []byte
	for i := e.held - 1; i >= 0; i-- {
		frame := e.past[(e.last-i+primeFrames)%primeFrames]
		if !one {
			for k, x := range frame {
				e.both[channels*k], e.both[channels*k+1] = x, x
			}
			frame = e.both
		}
		if packet, err = enc.Encode(frame); err != nil {
			enc.Close()
			return nil, fmt.Errorf("change encoders: %w", err)
		}
	}
	e.enc.Close()
	e.enc, e.one = enc, one
	e.changes++
	return packet, nil
}

// alike says whether both channels are the same.
func alike(pcm []float32) bool {
	for i := 0; i+1 < len(pcm); i += channels {
		if pcm[i] != pcm[i+1] {
			return false
		}
	}
	return true
}
