package soundfile

import (
	"errors"
	"io"

	"transponder/internal/media"
	"transponder/internal/transcode/sound"
)

// opusFrame is the length of our packets of Opus, in samples at 48 kHz. Packets of live sound that are longer or shorter are not replaced.
const opusFrame = 960

// ErrForm means that the live sound has a codec or form for which no file can be encoded.
var ErrForm = errors.New("no file can be played in the place of sound of this form")

// Player plays a file in the place of one stream's live sound. One goroutine uses it; Close may be called from any.
type Player struct {
	library *Library
	key     encodingKey  // its format is that of track
	track   *media.Track // of the live sound
	rest    []byte       // of the present chunk: the packets that are still to be sent
	left    []byte       // of G.711 and G.722: the part of a packet that is still to be sent
	err     error        // why the file has ended

	// Guarded by Library.mu.
	encoding *encoding
	at       int     // number of the present chunk, -1 before the first
	next     *[]byte // the chunk after it, once it is in memory
	closed   bool
}

// Replace returns a live frame with the file's next packet as its data; track and time stay. While the next packet is not ready, the
// data is silence. Replace never blocks.
//
// It fails with io.EOF after the end of the file, with ErrForm if no file can be encoded in the form of the live sound, and with
// another error if the file cannot be played to its end. With an error it returns the live frame unchanged.
func (p *Player) Replace(f media.Frame) (media.Frame, error) {
	if f.Track != p.track {
		if err := p.follow(f.Track); err != nil {
			return f, err
		}
	}
	if p.err != nil {
		return f, p.err
	}
	data, err := p.data(f)
	switch {
	case err != nil:
		p.err = err
		return f, err
	case data == nil:
		f, _ = sound.Silence(f)
		return f, nil
	}
	f.Data = data
	return f, nil
}

// follow adapts the player to another track. If the format differs, the file begins again.
func (p *Player) follow(t *media.Track) error {
	l := p.library
	format, err := sound.FormatOf(t, l.cfg.RateBPS)
	if err != nil {
		return ErrForm
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	p.track = t
	if format == p.key.format || p.closed {
		return nil
	}
	l.leave(p)
	p.key.format, p.rest, p.left, p.err = format, nil, nil, nil
	l.join(p)
	return nil
}

// data returns the data that replaces that of a live frame, nil if it is not ready yet.
func (p *Player) data(f media.Frame) ([]byte, error) {
	switch f.Track.Codec {
	case media.PCMA, media.PCMU, media.G722:
		return p.samples(len(f.Data))
	case media.Opus:
		if sound.OpusSamples(f.Data) != opusFrame {
			return nil, ErrForm
		}
	case media.Speex, media.SpeexNarrow:
		if n, _ := sound.SpeexFrames(f.Data); n > 1 {
			return p.frames(n)
		}
	}
	return p.packet()
}

// packet returns the next packet, nil if it is not ready yet.
func (p *Player) packet() ([]byte, error) {
	if len(p.rest) == 0 {
		if err := p.nextChunk(); err != nil || len(p.rest) == 0 {
			return nil, err
		}
	}
	n := 2 + int(p.rest[0])<<8 + int(p.rest[1])
	packet := p.rest[2:n:n]
	p.rest = p.rest[n:]
	return packet, nil
}

// nextChunk goes on to the next chunk. If that is not ready yet, rest stays empty.
func (p *Player) nextChunk() error {
	l := p.library
	l.mu.Lock()
	defer l.mu.Unlock()
	e := p.encoding
	switch {
	case e == nil: // closed
		return io.EOF
	case p.next != nil:
		p.rest, p.next = *p.next, nil
		p.at = e.after(p.at)
		signal(e.wake)
		return nil
	case e.err != nil:
		return e.err
	case e.after(p.at) < 0:
		return io.EOF
	}
	l.stats.Starved++
	return nil
}

// samples returns n bytes of G.711 or G.722, whatever the size of the file's packets. At the end of the file, silence fills up the last n.
func (p *Player) samples(n int) ([]byte, error) {
	if len(p.left) >= n {
		data := p.left[:n:n]
		p.left = p.left[n:]
		return data, nil
	}
	data := append(make([]byte, 0, n), p.left...)
	for len(data) < n {
		packet, err := p.packet()
		if err != nil && len(data) > 0 {
			fill, _ := sound.Silence(media.Frame{Track: p.track, Data: make([]byte, n-len(data))})
			packet, err = fill.Data, nil
		}
		if err != nil || packet == nil {
			p.left = data // sent once there is more
			return nil, err
		}
		k := min(len(packet), n-len(data))
		data, p.left = append(data, packet[:k]...), packet[k:]
	}
	return data, nil
}

// frames returns one packet with n frames of Speex. At the end of the file, silence fills it up.
func (p *Player) frames(n int) ([]byte, error) {
	var packets [][]byte
	for range n {
		packet, err := p.packet()
		if packet == nil && len(packets) == 0 {
			return nil, err
		}
		if packet == nil {
			packet = sound.SilentSpeex(p.key.format.Codec)
		}
		packets = append(packets, packet)
	}
	return sound.JoinSpeex(packets...), nil
}

// Close ends the player. It may be called more than once. After it, Replace returns io.EOF once the chunk that was begun is over.
func (p *Player) Close() {
	l := p.library
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.closed {
		return
	}
	p.closed = true
	l.leave(p)
	l.stats.Players--
}
