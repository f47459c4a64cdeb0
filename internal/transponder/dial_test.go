package transponder

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"transponder/internal/testkit"
)

// recordLine stands between us and an RTMPS server, and can spoil a TLS record.
type recordLine struct {
	listener net.Listener
	server   string
	spoil    atomic.Pointer[spoiling] // what becomes of the next record that is sent to the server; taken by it
	wg       sync.WaitGroup
}

// spoiling carries a record on its way to the server, or does something else.
type spoiling func(server, client net.Conn, record []byte)

// newRecordLine makes a line to an rtmps:// address, until the test ends.
func newRecordLine(t *testing.T, url string) *recordLine {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, _, _ := strings.Cut(strings.TrimPrefix(url, "rtmps://"), "/")
	line := &recordLine{listener: l, server: server}
	line.wg.Go(line.accept)
	t.Cleanup(func() {
		l.Close()
		line.wg.Wait()
	})
	return line
}

func (l *recordLine) url() string { return "rtmps://" + l.listener.Addr().String() + "/live" }

func (l *recordLine) accept() {
	for {
		client, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.wg.Go(func() {
			defer client.Close()
			server, err := net.Dial("tcp", l.server)
			if err != nil {
				return
			}
			var back sync.WaitGroup
			back.Go(func() {
				io.Copy(client, server)
				client.Close()
			})
			l.forth(server, client)
			server.Close()
			back.Wait()
		})
	}
}

// forth carries the client's records until one of the two connections ends.
func (l *recordLine) forth(server, client net.Conn) {
	for {
		record := make([]byte, 5) // RFC 8446, 5.1
		if _, err := io.ReadFull(client, record); err != nil {
			return
		}
		record = append(record, make([]byte, binary.BigEndian.Uint16(record[3:]))...)
		if _, err := io.ReadFull(client, record[5:]); err != nil {
			return
		}
		if spoil := l.spoil.Swap(nil); spoil != nil {
			(*spoil)(server, client, record)
		} else if _, err := server.Write(record); err != nil {
			return
		}
	}
}

// Whatever happens to the bytes below a live push counts as a broken connection, and the push comes back.
func TestBrokenTLS(t *testing.T) {
	record := func(kind byte, version, length uint16, body []byte) []byte {
		b := binary.BigEndian.AppendUint16([]byte{kind}, version)
		return append(binary.BigEndian.AppendUint16(b, length), body...)
	}
	send := func(b []byte) spoiling { // to us, in the server's name
		return func(_, client net.Conn, _ []byte) { client.Write(b) }
	}
	const handshake, data, tls12 = 22, 23, 0x0303
	for _, tt := range []struct {
		name  string
		spoil spoiling
	}{
		{"a byte of what we send", func(server, _ net.Conn, record []byte) {
			record[len(record)/2] ^= 1
			server.Write(record)
		}},
		{"a byte of the length of what we send", func(server, _ net.Conn, record []byte) {
			record[3] ^= 0x80
			server.Write(record)
		}},
		{"a record with another's key", send(record(data, tls12, 64, make([]byte, 64)))},
		{"a record of another version", send(record(data, 0x0909, 64, make([]byte, 64)))},
		{"a record of an unknown type", send(record(99, tls12, 64, make([]byte, 64)))},
		{"a record that is too long", send(record(data, tls12, 0xffff, nil))},
		{"a handshake in the clear", send(record(handshake, tls12, 4, make([]byte, 4)))},
		{"no TLS", send([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))},
		{"records of nothing", send(bytes.Repeat(record(20, tls12, 1, []byte{1}), 40))}, // change_cipher_spec, which is passed over
		{"the end within a record", func(_, client net.Conn, _ []byte) {
			client.Write(record(data, tls12, 64, make([]byte, 9)))
			client.(*net.TCPConn).CloseWrite()
		}},
		{"the end without a goodbye", func(_, client net.Conn, _ []byte) { client.(*net.TCPConn).CloseWrite() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, func(c *Config) { c.SkipTLSVerify = true })
			server := testkit.NewRTMPSServer(t, testkit.Script{}, selfSigned(t))
			line := newRecordLine(t, server.URL("live"))
			s := b.source("s")
			id := b.start(Request{StreamName: "s", URL: line.url(), Options: Options{Restore: quickly}}).ID
			s.live(t, server)
			line.spoil.Store(&tt.spoil)
			var story []Event
			b.wait("return", func() bool {
				s.write(1, 20)
				story = b.storyOf(id)
				return story[len(story)-1].To == Live && story[len(story)-1].Attempt > 1
			})
			lost := story[len(story)-3]
			if lost.To != Waiting || lost.Reason != ReasonPeerClosed || lost.Detail == "" {
				t.Errorf("the connection was lost as %s, %s (%s); want %s", lost.To, lost.Reason, lost.Detail, ReasonPeerClosed)
			}
		})
	}
}
