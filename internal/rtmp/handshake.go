package rtmp

import (
	"crypto/rand"
	"fmt"
	"io"
)

const (
	version       = 3    // of plain RTMP (RTMP 1.0, 5.2.2)
	handshakeSize = 1536 // of C1, C2, S1 and S2
)

// Hello is the beginning of a client's handshake: random bytes. By them a server recognizes a connection that it made to itself, also
// through a proxy.
type Hello = [16]byte

// Trail is the hello of a connection, followed by the hellos of the connections by which the stream came, latest first. So a server recognizes a
// stream that it sent out itself and that another server sends back. Other clients send random bytes or zeros there.
type Trail = [8]Hello

// helloAt is the position of the trail in C1: after a time of 0 and four zero bytes, which ask for the simple handshake.
const helloAt = 8

// clientHandshake does the handshake as client (RTMP 1.0, 5.2). S2 is not compared with C1, since servers that sign their handshake send other
// bytes there.
func clientHandshake(r io.Reader, w io.Writer, trail Trail) error {
	var c0c1 [1 + handshakeSize]byte
	c0c1[0] = version
	rand.Read(c0c1[1+helloAt:])
	for i, hello := range trail {
		if hello != (Hello{}) {
			copy(c0c1[1+helloAt+i*len(hello):], hello[:])
		}
	}
	if _, err := w.Write(c0c1[:]); err != nil {
		return fmt.Errorf("%w: send C0 and C1: %w", ErrHandshake, err)
	}
	if err := readVersion(r); err != nil {
		return err
	}
	var b [handshakeSize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return fmt.Errorf("%w: read S1: %w", ErrHandshake, noEOF(err))
	}
	if _, err := w.Write(b[:]); err != nil {
		return fmt.Errorf("%w: send C2: %w", ErrHandshake, err)
	}
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return fmt.Errorf("%w: read S2: %w", ErrHandshake, noEOF(err))
	}
	return nil
}

// serverHandshake does the handshake as server. A client that signs C1 continues without signatures, because the version in S1 is zero.
func serverHandshake(r io.Reader, w io.Writer) (trail Trail, err error) {
	if err := readVersion(r); err != nil {
		return trail, err
	}
	var answer [1 + 2*handshakeSize]byte
	answer[0] = version
	rand.Read(answer[1+8 : 1+handshakeSize])
	echo := answer[1+handshakeSize:]
	if _, err := io.ReadFull(r, echo); err != nil {
		return trail, fmt.Errorf("%w: read C1: %w", ErrHandshake, noEOF(err))
	}
	for i := range trail {
		copy(trail[i][:], echo[helloAt+i*len(trail[i]):])
	}
	if _, err := w.Write(answer[:]); err != nil {
		return trail, fmt.Errorf("%w: send S0, S1 and S2: %w", ErrHandshake, err)
	}
	if _, err := io.ReadFull(r, echo); err != nil {
		return trail, fmt.Errorf("%w: read C2: %w", ErrHandshake, noEOF(err))
	}
	return trail, nil
}

// readVersion reads only C0 or S0, so that another protocol is detected at its first byte.
func readVersion(r io.Reader) error {
	var b [1]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return fmt.Errorf("%w: read the version: %w", ErrHandshake, noEOF(err))
	}
	if b[0] != version {
		return fmt.Errorf("%w: version %d", ErrHandshake, b[0])
	}
	return nil
}
