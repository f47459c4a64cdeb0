package app

import (
	"bufio"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/guard"
)

// memory is a listener for connections in memory.
type memory struct{ conns chan net.Conn }

func (m memory) Accept() (net.Conn, error) {
	c, ok := <-m.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (m memory) Close() error   { return nil }
func (m memory) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// Connections that wait for a request for long are closed when places are rare, and only then, and only those.
func TestIdleConnectionsMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		places := guard.SharesConfig{}.Places(10)
		idle := newIdlers(places)
		l := memory{make(chan net.Conn)}
		s := &http.Server{Handler: http.NotFoundHandler(), IdleTimeout: idleTimeout, ConnState: idle.note}
		ended := make(chan error)
		go func() { ended <- s.Serve(places.Listener(l, "http", nil)) }()
		ask := func(c net.Conn) error {
			if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")); err != nil {
				return err
			}
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err == nil {
				resp.Body.Close()
			}
			return err
		}
		open := func() net.Conn {
			t.Helper()
			client, server := net.Pipe()
			l.conns <- server
			if err := ask(client); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			return client
		}
		var old []net.Conn
		for range 7 {
			old = append(old, open())
		}
		time.Sleep(time.Minute)
		young := open() // the eighth of ten: there is room
		for _, c := range old[:3] {
			if err := ask(c); err != nil {
				t.Fatalf("with room for others, a connection is closed: %v", err)
			}
		}
		open() // the ninth
		for i, c := range old {
			if err := ask(c); (err == nil) != (i < 3) {
				t.Errorf("connection %d: %v", i, err)
			}
		}
		if err := ask(young); err != nil {
			t.Errorf("the youngest is closed: %v", err)
		}
		close(l.conns)
		s.Close()
		<-ended
	})
}
