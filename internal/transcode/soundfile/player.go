package soundfile

import (
	"errors"
	"io"

	"transponder/internal/media"
	"transponder/internal/transcode/sound"
)

// ErrForm means that no file can be played in the place of live sound of this codec or form.
var ErrForm = errors.New("no file can be played in the place of sound of this form")

// Player plays a file in the place of live sound. It is for one goroutine, but for Close.
type Player struct {
	library *Library
	key     encodingKey
	track   *media.Track // that key.format fits
	rest    []byte       // of the chunk that is played, behind what was
	left    []byte       // G.711 that was begun
	err     error        // why there is no more

	// Guarded by Library.mu.
	encoding *encoding
	at       int     // the chunk that is played, -1 before the first
	next     *[]byte // the one after it, once it is in memory
	closed   bool
}

// Replace returns the file's next packet in the place of a live frame's, with the same Track and Time. Silence takes its place
// while the file's packet is not ready. It never blocks. It fails with io.EOF after the file's end, with ErrForm if the live
// sound has a form that no file can be given, and otherwise if the file cannot be played to its end; the live frame is then
// the one to be sent.
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

// follow makes the file fit another track. One of another form has it begin anew.
func (p *Player) follow(t *media.Track) error {
	format, err := sound.FormatOf(t, p.library.cfg.RateBPS)
	if err != nil {
		return ErrForm
	}
	l := p.library
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

// data returns what takes the place of a frame's data, nil while that is not ready.
func (p *Player) data(f media.Frame) ([]byte, error) {
	switch f.Track.Codec {
	case media.PCMA, media.PCMU:
		return p.samples(len(f.Data))
	case media.Speex:
		if n, _ := sound.SpeexFrames(f.Data); n > 1 {
			return p.frames(n)
		}
	}
	return p.packet()
}

// packet returns the next packet.
func (p *Player) packet() ([]byte, error) {
	if len(p.rest) == 0 {
		if err := p.turn(); err != nil || len(p.rest) == 0 {
			return nil, err
		}
	}
	n := 2 + int(p.rest[0])<<8 + int(p.rest[1])
	packet := p.rest[2:n:n]
	p.rest = p.rest[n:]
	return packet, nil
}

// turn goes on to the next chunk if it is there.
func (p *Player) turn() error {
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

// samples returns n bytes of G.711, however long the packets are; silence fills up the last.
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
			p.left = data // to be heard once there is more
			return nil, err
		}
		k := min(len(packet), n-len(data))
		data, p.left = append(data, packet[:k]...), packet[k:]
	}
	return data, nil
}

// frames returns a packet of n frames of Speex, fewer at the end.
func (p *Player) frames(n int) ([]byte, error) {
	var packets [][]byte
	for range n {
		packet, err := p.packet()
		if packet == nil && len(packets) == 0 {
			return nil, err
		}
		if packet == nil {
			packet = sound.SilentSpeex
		}
		packets = append(packets, packet)
	}
	return sound.JoinSpeex(packets...), nil
}

// Close ends the playing. It may be called more than once, and from any goroutine; Replace then says io.EOF soon.
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
