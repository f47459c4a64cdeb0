package line

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// errFrame means that the end of a message cannot be found, so that nothing after it can be read.
var errFrame = errors.New("malformed SIP stream")

// framer cuts a stream into messages by Content-Length (RFC 3261, 18.3).
type framer struct {
	reader   *bufio.Reader
	deadline func(on bool) error // bounds the time for the rest of a message
	pong     func()              // answers a ping
}

// next returns the bytes of the next message.
func (f *framer) next() ([]byte, error) {
	if err := f.deadline(false); err != nil {
		return nil, err
	}
	if err := f.skipLineEnds(); err != nil {
		return nil, err
	}
	if err := f.deadline(true); err != nil {
		return nil, err
	}
	head, err := f.head()
	if err != nil {
		return nil, err
	}
	if line, _, _ := bytes.Cut(head, []byte("\r\n")); !bytes.HasPrefix(line, []byte("SIP/2.0 ")) && !bytes.HasSuffix(line, []byte(" SIP/2.0")) {
		return nil, fmt.Errorf("%w: no start line", errFrame) // the Content-Length before was wrong
	}
	length, err := contentLength(head)
	if err != nil {
		return nil, err
	}
	if len(head)+length > maxMessage {
		return nil, fmt.Errorf("%w: longer than %d bytes", errFrame, maxMessage)
	}
	data := append(head, make([]byte, length)...)
	_, err = io.ReadFull(f.reader, data[len(head):])
	return data, err
}

// skipLineEnds reads what keeps the connection alive. Two line ends that arrive together are a ping (RFC 5626, 3.5.1).
func (f *framer) skipLineEnds() error {
	for n := 0; ; {
		b, err := f.reader.ReadByte()
		if err != nil {
			return err
		}
		if b != '\r' && b != '\n' {
			return f.reader.UnreadByte()
		}
		if n++; n == len(ping) {
			f.pong()
			n = 0
		}
		if f.reader.Buffered() == 0 {
			n = 0 // one line end alone answers a ping of ours
		}
	}
}

// head reads up to the empty line.
func (f *framer) head() ([]byte, error) {
	var head []byte
	for start := 0; ; start = len(head) {
		for {
			part, err := f.reader.ReadSlice('\n')
			head = append(head, part...)
			if len(head) > maxDatagram {
				return nil, fmt.Errorf("%w: the fields are longer than %d bytes", errFrame, maxDatagram)
			}
			if err == nil {
				break
			}
			if !errors.Is(err, bufio.ErrBufferFull) {
				return nil, err
			}
		}
		if bytes.Equal(head[start:], []byte("\r\n")) {
			return head, nil
		}
	}
}

// contentLength finds the length of the body. Over a stream it must be there, once or always the same.
func contentLength(head []byte) (int, error) {
	length := -1
	for line := range strings.SplitSeq(string(head), "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		if !strings.EqualFold(longName(strings.TrimSpace(name)), "Content-Length") {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(value), 10, 24)
		if err != nil || length >= 0 && length != int(n) {
			return 0, fmt.Errorf("%w: Content-Length", errFrame)
		}
		length = int(n)
	}
	if length < 0 {
		return 0, fmt.Errorf("%w: no Content-Length", errFrame)
	}
	return length, nil
}
