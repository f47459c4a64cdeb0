package source

import (
	"bytes"
	"errors"
	"os"
)

// LoadOpus reads the packets of an Ogg Opus file, without its two headers, and
// cuts them to whole seconds: the encoder adds a last packet for its delay,
// which would delay the audio by 20 ms at each loop.
func LoadOpus(path string) ([][]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	const pageHeader = 27
	var packets [][]byte
	var partial []byte
	for len(b) > 0 {
		if len(b) < pageHeader || !bytes.Equal(b[:4], []byte("OggS")) {
			return nil, errors.New("not an Ogg page")
		}
		segments := int(b[26])
		if len(b) < pageHeader+segments {
			return nil, errors.New("short Ogg page")
		}
		lacing := b[pageHeader : pageHeader+segments]
		b = b[pageHeader+segments:]
		for _, n := range lacing {
			if len(b) < int(n) {
				return nil, errors.New("short Ogg packet")
			}
			partial = append(partial, b[:n]...)
			b = b[n:]
			if n < 255 {
				packets = append(packets, partial)
				partial = nil
			}
		}
	}
	if len(packets) < 3 || !bytes.HasPrefix(packets[0], []byte("OpusHead")) {
		return nil, errors.New("not an Ogg Opus file")
	}
	const perSecond = 50
	packets = packets[2:]
	if whole := len(packets) / perSecond * perSecond; whole > 0 {
		packets = packets[:whole]
	}
	return packets, nil
}
