package sound

import (
	"bytes"
	"fmt"
	"time"

	"transponder/internal/media"
)

const (
	// pairPatience is how long both channels must have been the same before only one is encoded. Stereo recordings have such
	// passages too, and each change encodes some frames twice.
	pairPatience = 3 * time.Second

	// primeFrames is how many of the last frames an encoder is given when it takes over from another one. AAC looks one frame
	// ahead and overlaps with one frame before; the others let the encoder forget the silence in which it began, which shows
	// in the shape of its windows. With four frames a change is heard as a click, with five it is not; see
	// TestPairChangesAreNotHeard.
	primeFrames = 6
)

// pairEncoder makes stereo AAC with FFmpeg's encoder. While both channels are the same, as with most microphones, it encodes
// one channel, which takes little more than half the time, and writes the result as a pair of channels. The format of the
// stream never changes. The first frame in which the channels differ switches to encoding both. When they have been the same
// for pairPatience, it switches back.
//
// At a change, the new encoder also encodes the last frames. The channels of these frames are the same, so both encoders'
// packets hold the same sound where they overlap, and the change is not heard.
type pairEncoder struct {
	open   func(media.AudioFormat) (Encoder, error)
	format media.AudioFormat
	refuse func(error) // is told when a packet cannot be written as a pair

	enc      Encoder
	one      bool // enc has one channel
	never    bool // a packet could not be written as a pair; always encode both channels
	same     int  // frames in a row with both channels the same
	patience int  // pairPatience in frames

	past [primeFrames][]float32 // ring of the last frames with both channels the same, one channel each
	held int                    // frames in past
	last int                    // index of the latest frame in past
	both []float32              // a frame of past, for an encoder of both channels
	out  []byte

	frames  int64 // packets made from one channel
	changes int64 // of encoders
}

// newPairEncoder returns an encoder for stereo AAC. refuse is told of a packet that cannot be written as a pair; from then on
// both channels are encoded.
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

// form returns the format of the encoder of one channel, or of both. The bit rate is the same.
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

// stereoConfig returns the AudioSpecificConfig of stereo for that of mono (ISO/IEC 14496-3, table 1.15; all sampling rates in
// use here have an index of four bits).
func stereoConfig(mono []byte) []byte {
	const mask = 0x0f << 3
	config := bytes.Clone(mono)
	if len(config) >= 2 {
		config[1] = config[1]&^mask | channels<<3
	}
	return config
}

// Mono returns how many packets were made from one channel, and how often the encoder changed.
func (e *pairEncoder) Mono() (packets, changes int64) { return e.frames, e.changes }

// Encode works as libav.Encoder.Encode.
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
		if packet, err = e.change(true); err != nil { // continue with the present encoder
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

// keep stores one channel of a frame in past.
func (e *pairEncoder) keep(pcm []float32) {
	e.last = (e.last + 1) % primeFrames
	e.held = min(e.held+1, primeFrames)
	frame := e.past[e.last]
	for i := range frame {
		frame[i] = pcm[channels*i]
	}
}

// change switches to a new encoder of one channel, or of both, which first encodes past. It returns the packet of the latest
// frame.
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

// alike reports whether both channels are the same.
func alike(pcm []float32) bool {
	for i := 0; i+1 < len(pcm); i += channels {
		if pcm[i] != pcm[i+1] {
			return false
		}
	}
	return true
}
