package sound

import (
	"bytes"

	"transponder/internal/media"
	"transponder/internal/stream"
)

// After settledFrames silent frames in a row, the state of the encoder contains only silence. The last packet is then
// repeated for further silent frames instead of encoding them, and the encoder can continue at any time, because these frames
// would not change its state.
const settledFrames = 4

// packager converts full frames of the tape to the form that the encoder takes, encodes them, and writes the packets to a
// feed. The time of a packet follows from the number of packets before it.
type packager struct {
	enc    Encoder
	format media.AudioFormat
	out    *stream.Feed
	track  *media.Track
	start  media.Timestamp // of packet 0

	step  int        // samples in a frame of the tape: those of a packet, rounded down
	exact bool       // step needed no rounding
	rate  *Resampler // nil: the tape has the encoder's rate
	mono  []float32  // a frame of the tape, mixed to one channel
	pcm   []float32  // samples for the encoder

	packets, reused int64
	quiet           int    // silent frames in a row
	rest            []byte // the packet that is repeated for further silent frames, once it is known
}

func newPackager(enc Encoder, f media.AudioFormat, out *stream.Feed, start media.Timestamp) *packager {
	size := enc.FrameSize() * sampleRate
	p := &packager{
		enc:    enc,
		format: f,
		out:    out,
		track:  &media.Track{Codec: f.Codec, Config: enc.Config(), SampleRate: f.SampleRate, Channels: f.Channels},
		start:  start,
		step:   size / f.SampleRate,
		exact:  size%f.SampleRate == 0,
	}
	if f.Channels == 1 {
		p.mono = make([]float32, p.step)
	}
	if f.SampleRate != sampleRate {
		p.rate = NewResampler(f.Channels, sampleRate, int64(f.SampleRate))
	}
	return p
}

// frame encodes one frame. silent says that it is known to be silent. It is the put of a tape.
func (p *packager) frame(pcm []float32, silent bool) error {
	if !silent {
		p.quiet, p.rest = 0, nil
	}
	if p.rest != nil {
		p.reused++
		p.write(p.rest)
		return nil
	}
	packet, err := p.encode(pcm)
	if err != nil {
		return err
	}
	if len(packet) == 0 {
		return nil
	}
	data := bytes.Clone(packet)
	if silent && p.exact { // otherwise frames and packets are not one to one
		if p.quiet++; p.quiet >= settledFrames {
			p.rest = data
		}
	}
	p.write(data)
	return nil
}

// encode returns the packet that this frame completes, nil if it completes none.
func (p *packager) encode(pcm []float32) ([]byte, error) {
	if p.mono != nil {
		for i := range p.mono {
			p.mono[i] = (pcm[2*i] + pcm[2*i+1]) / 2
		}
		pcm = p.mono
	}
	if p.rate == nil {
		return p.enc.Encode(pcm)
	}
	p.pcm = p.rate.Append(p.pcm, pcm)
	size := p.format.Channels * p.enc.FrameSize()
	if len(p.pcm) < size {
		return nil, nil
	}
	packet, err := p.enc.Encode(p.pcm[:size])
	p.pcm = p.pcm[:copy(p.pcm, p.pcm[size:])]
	return packet, err
}

func (p *packager) write(data []byte) {
	at := p.start.Add(media.Samples(p.packets*int64(p.enc.FrameSize()), p.format.SampleRate))
	p.packets++
	p.out.Write(media.Frame{Track: p.track, Time: at, Key: true, Data: data})
}
