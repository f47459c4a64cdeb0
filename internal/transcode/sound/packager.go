package sound

import (
	"bytes"

	"transponder/internal/media"
	"transponder/internal/stream"
)

// settle is how many silent frames in a row are encoded before the last of their packets stands for all that follow: by
// then the coder's look-ahead and the overlap of its windows hold nothing but silence. As it is then left in the state
// that every further silent frame would leave it in, it can go on at any time.
const settle = 4

// packager turns full frames of the tape into the encoder's form, encodes them and writes them to a feed, at times that follow
// from the number of packets.
type packager struct {
	enc    Encoder
	format media.AudioFormat
	out    *stream.Feed
	track  *media.Track
	start  media.Timestamp // of packet 0

	step  int        // samples in a frame of the tape: those of a packet, or a part of one less
	exact bool       // those of a packet
	rate  *Resampler // nil: the tape has the encoder's rate
	mono  []float32  // a frame of the tape in one channel
	pcm   []float32  // in the encoder's form

	packets, reused int64
	quiet           int    // silent frames in a row
	rest            []byte // the packet of a silent frame among silent frames, once it is known
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

// frame encodes one frame, which may be known to be silent. It is a tape's put.
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
	if silent && p.exact { // else packets and frames would part
		if p.quiet++; p.quiet >= settle {
			p.rest = data
		}
	}
	p.write(data)
	return nil
}

// encode returns the packet that a frame of the tape makes full, if any.
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
