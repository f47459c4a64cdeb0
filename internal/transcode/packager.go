package transcode

import (
	"bytes"

	"transponder/internal/media"
	"transponder/internal/stream"
)

// settle is how many silent frames in a row are encoded before the last of their packets stands for all that follow: by
// then the coder's look-ahead and the overlap of its windows hold nothing but silence. As it is then left in the state
// that every further silent frame would leave it in, it can go on at any time.
const settle = 4

// packager encodes full frames and writes them to a feed, at times that follow from their number.
type packager struct {
	enc   encoder
	out   *stream.Feed
	track *media.Track
	start media.Timestamp // of packet 0

	packets, reused int64
	quiet           int    // silent frames in a row
	rest            []byte // the packet of a silent frame among silent frames, once it is known
}

func newPackager(enc encoder, out *stream.Feed, start media.Timestamp) *packager {
	return &packager{
		enc:   enc,
		out:   out,
		track: &media.Track{Codec: media.AAC, Config: enc.Config(), SampleRate: sampleRate, Channels: channels},
		start: start,
	}
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
	packet, err := p.enc.Encode(pcm)
	if err != nil {
		return err
	}
	if len(packet) == 0 {
		return nil
	}
	data := bytes.Clone(packet)
	if silent {
		if p.quiet++; p.quiet >= settle {
			p.rest = data
		}
	}
	p.write(data)
	return nil
}

func (p *packager) write(data []byte) {
	at := p.start.Add(media.Samples(p.packets*int64(p.enc.FrameSize()), sampleRate))
	p.packets++
	p.out.Write(media.Frame{Track: p.track, Time: at, Key: true, Data: data})
}
