package phone

import (
	"bufio"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// writeTimeout bounds a write to a peer that no longer reads.
const writeTimeout = 5 * time.Second

// way is how messages get to a peer: over a connection, or in datagrams.
type way struct {
	conn net.Conn
	udp  *net.UDPConn
	to   netip.AddrPort // of datagrams
}

func (w way) send(b []byte) error {
	if w.conn == nil {
		_, err := w.udp.WriteToUDPAddrPort(b, w.to)
		return err
	}
	w.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := w.conn.Write(b)
	return err
}

// readMessage reads a message from a connection (RFC 3261, 18.3). Line ends between messages are keep-alives: it hands each to alive.
func readMessage(r *bufio.Reader, alive func()) ([]byte, error) {
	var b []byte
	length := 0
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return nil, err
		}
		if len(b) == 0 && strings.TrimSpace(line) == "" {
			alive()
			continue
		}
		b = append(b, line...)
		if line == "\r\n" {
			break
		}
		key, value, _ := strings.Cut(line, ":")
		if key = strings.ToLower(strings.TrimSpace(key)); key == "content-length" || key == "l" {
			if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil || length < 0 || length > 1<<20 {
				return nil, io.ErrUnexpectedEOF
			}
		}
	}
	body := make([]byte, length)
	_, err := io.ReadFull(r, body)
	return append(b, body...), err
}
