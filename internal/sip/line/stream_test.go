package line

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// certificate makes a certificate for a name, and the pool that trusts it.
func certificate(t *testing.T, name string) (*tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, DNSNames: []string{name},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// A TLS server must prove the name in the URI, not that of the SRV record (RFC 5922). Requests of the server come back over our connection.
func TestTLS(t *testing.T) {
	own, trusted := certificate(t, "sip.example")
	_, others := certificate(t, "sip.example")
	server := newNode(t, func(cfg *Config, parts *Parts) {
		cfg.TLSPort = testkit.FreePorts(t, 1)
		parts.Certificate = func() *tls.Certificate { return own }
	})
	records := []*net.SRV{{Target: "host.example.", Port: uint16(server.Port("tls"))}}
	dns := &zone{
		srv:   map[string][]*net.SRV{"_sips._tcp.sip.example": records, "_sips._tcp.evil.example": records},
		hosts: map[string]string{"host.example": "127.0.0.1"},
	}
	elsewhere := fmt.Sprintf(":%d;maddr=127.0.0.1", server.Port("tls"))
	for _, test := range []struct {
		name, domain string
		roots        *x509.CertPool
		insecure, ok bool
	}{
		{"right, by another address", "sip.example" + elsewhere, trusted, false, true},
		{"another name, by another address", "evil.example" + elsewhere, trusted, false, false},
		{"right", "sip.example", trusted, false, true},
		{"signed by a stranger", "sip.example", others, false, false},
		{"another name", "evil.example", trusted, false, false},
		{"for tests", "evil.example", others, true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			client := newNode(t, func(cfg *Config, parts *Parts) {
				cfg.Roots, cfg.TLSInsecure, parts.Resolver = test.roots, test.insecure, dns
			})
			path := client.resolve("sips:"+test.domain, "")
			client.Send(request("REGISTER", 1), path, client)
			if !test.ok {
				m := take(t, client.got)
				var verification *tls.CertificateVerificationError
				if !errors.As(m.err, &verification) {
					t.Errorf("got %+v, want a refused certificate", m)
				}
				if s := client.Stats(); s.Sent != 0 || s.Unsent != 1 {
					t.Errorf("figures %+v", s)
				}
				return
			}
			in := server.wantRequest("REGISTER")
			server.Reply(in.request, answerTo(in.request, 200))
			client.wantResponse(200)
			server.Send(request("OPTIONS", 2), server.Back(in.from), server)
			back := client.wantRequest("OPTIONS")
			client.Reply(back.request, answerTo(back.request, 200))
			server.wantResponse(200)
			client.Send(request("INFO", 3), client.Back(back.from), client)
			if again := server.wantRequest("INFO"); again.from.Source != in.from.Source {
				t.Errorf("a second connection from %v, the first is from %v", again.from.Source, in.from.Source)
			}
			if got := client.Contact("x", path); !strings.HasSuffix(got, ";transport=tls") {
				t.Errorf("the contact is %s", got)
			}
		})
	}
}

// stream is a scripted TCP peer of a node.
type stream struct {
	net.Conn
	t *testing.T
	r *bufio.Reader
}

func dialNode(t *testing.T, n *node) *stream {
	t.Helper()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", n.Port("tcp")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	return &stream{Conn: conn, t: t, r: bufio.NewReader(conn)}
}

func (s *stream) send(data string) {
	s.t.Helper()
	if _, err := io.WriteString(s, data); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stream) wantClosed() {
	s.t.Helper()
	if data, err := io.ReadAll(s.r); len(data) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		s.t.Errorf("read %q, %v: want a closed connection", data, err)
	}
}

func overTCP(method string, seq int, branch string) string {
	return incoming(method, seq, "SIP/2.0/TCP 10.0.0.1;branch="+cookie+branch)
}

// Two line ends at once are a ping. One answers a ping of ours, however many come.
func TestFramerPong(t *testing.T) {
	for _, test := range []struct{ size, want int }{{2, 0}, {4, 2}, {8, 2}} {
		pongs := 0
		f := &framer{
			reader:   bufio.NewReader(&pieceReader{[]byte("\r\n\r\n\r\n\r\n" + invite), test.size}),
			deadline: func(bool) error { return nil },
			pong:     func() { pongs++ },
		}
		if data, err := f.next(); err != nil || string(data) != invite || pongs != test.want {
			t.Errorf("%d bytes at a time: %d pongs, want %d; %q, %v", test.size, pongs, test.want, data, err)
		}
	}
}

func TestStream(t *testing.T) {
	n := newNode(t, nil)
	t.Run("in pieces, and together", func(t *testing.T) {
		s := dialNode(t, n)
		data := "\r\n" + overTCP("OPTIONS", 1, "a") + overTCP("INFO", 2, "b") + "\r\n\r\n" + overTCP("BYE", 3, "c")
		s.send(data[:10])
		s.send(data[10:15])
		s.send(data[15:])
		for _, method := range []string{"OPTIONS", "INFO", "BYE"} {
			in := n.wantRequest(method)
			n.Reply(in.request, answerTo(in.request, 200))
		}
		pong := false
		for seen := 0; seen < 3; {
			line, err := s.r.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(line, "SIP/2.0 200") {
				seen++
				for line != "\r\n" {
					line, _ = s.r.ReadString('\n')
				}
			} else if line == "\r\n" {
				pong = true
			}
		}
		if !pong {
			t.Error("the ping between the messages is not answered")
		}
	})
	t.Run("ping", func(t *testing.T) {
		s := dialNode(t, n)
		s.send("\r\n\r\n")
		if got, err := s.r.Peek(2); string(got) != "\r\n" {
			t.Errorf("got %q, %v", got, err)
		}
	})
	for name, data := range map[string]string{
		"no Content-Length":  strings.Replace(overTCP("BYE", 1, "d"), "Content-Length: 0\r\n", "", 1),
		"two lengths":        strings.Replace(overTCP("BYE", 1, "d"), "Content-Length: 0", "Content-Length: 0\r\nl: 1", 1),
		"too short a length": strings.Replace(overTCP("BYE", 1, "d"), "Content-Length: 0\r\n\r\n", "Content-Length: 2\r\n\r\nv=0\r\n\r\n", 1),
		"a negative length":  strings.Replace(overTCP("BYE", 1, "d"), "Content-Length: 0", "Content-Length: -1", 1),
		"too long a body":    strings.Replace(overTCP("BYE", 1, "d"), "Content-Length: 0", "Content-Length: 70000", 1),
		"fields without end": "BYE sip:a SIP/2.0\r\nX: " + strings.Repeat("x", maxDatagram),
		"lines without end":  "BYE sip:a SIP/2.0\r\n" + strings.Repeat("X: 1\r\n", maxDatagram/6),
	} {
		t.Run(name, func(t *testing.T) {
			s := dialNode(t, n)
			s.send(data)
			s.wantClosed()
		})
	}
	if in := n.wantRequest("BYE"); string(in.request.Body) != "v=" { // the one whose length is too short
		t.Errorf("the body is %q", in.request.Body)
	}
	t.Run("a broken message between good ones", func(t *testing.T) {
		s := dialNode(t, n)
		s.send(strings.Replace(overTCP("BYE", 1, "e"), "Call-ID: c1\r\n", "", 1) + overTCP("INFO", 2, "f"))
		n.wantRequest("INFO")
	})
	eventually(t, "all connections are closed", func() bool { return n.Stats().Connections == 0 })
}

// A peer that begins a message and does not end it loses the connection. One that is silent between messages does not.
func TestUnfinishedMessage(t *testing.T) {
	n := newNode(t, func(cfg *Config, _ *Parts) { cfg.Timers.Finish = 50 * time.Millisecond })
	silent, slow := dialNode(t, n), dialNode(t, n)
	began := time.Now()
	slow.send(overTCP("BYE", 1, "a")[:40])
	slow.wantClosed()
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %v", took)
	}
	silent.send(overTCP("INFO", 2, "b"))
	n.wantRequest("INFO")
}

// The peer gets a ping now and then. A peer that connected to us sends its own.
func TestPing(t *testing.T) {
	n := newNode(t, func(cfg *Config, _ *Parts) { cfg.Timers.Alive = 5 * time.Millisecond })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	n.Send(request("ACK", 1), n.resolve("sip:"+listener.Addr().String(), "tcp"), n)
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	r := bufio.NewReader(conn)
	for line := ""; line != "\r\n"; {
		if line, err = r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	got := make([]byte, 8)
	if _, err := io.ReadFull(r, got); err != nil || string(got) != "\r\n\r\n\r\n\r\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

// A connection that the peer closed while it was idle is made again for the next request.
func TestReconnect(t *testing.T) {
	n := newNode(t, nil)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	path := n.resolve("sip:"+listener.Addr().String(), "tcp")
	for i := range 3 {
		n.Send(request("OPTIONS", i), path, n)
		conn, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		f := &framer{reader: bufio.NewReader(conn), deadline: func(bool) error { return nil }, pong: func() {}}
		data, err := f.next()
		if err != nil {
			t.Fatal(err)
		}
		m, err := parse(data)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, response(m, 200, "x"))
		n.wantResponse(200)
		conn.Close()
	}
}

// Keep tells when the connection breaks, however often, and not after release.
func TestKeepTells(t *testing.T) {
	n := newNode(t, nil)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	path := n.resolve("sip:"+listener.Addr().String(), "tcp")
	broken, released := make(chan error, 10), make(chan error, 10)
	defer n.Keep(path, nil)()
	defer n.Keep(path, func(err error) { broken <- err })()
	n.Keep(path, func(err error) { released <- err })()
	n.Keep(n.resolve("sip:127.0.0.1:1", "tcp"), func(err error) { released <- err }) // another way
	connect := func() {
		n.Send(request("ACK", 1), path, n)
		if conn, err := listener.Accept(); err == nil {
			conn.Close()
		}
		select {
		case err := <-broken:
			if err == nil {
				t.Error("no reason is told")
			}
		case <-time.After(patience):
			t.Error("nothing is told")
		}
	}
	connect()
	connect()
	listener.Close()
	connect() // refused
	if len(broken)+len(released) > 0 {
		t.Errorf("told %d times too often, and %d times after release", len(broken), len(released))
	}
}

// One address cannot take all connections.
func TestConnectionsOfOneAddress(t *testing.T) {
	n := newNode(t, nil)
	for range maxOfAddress {
		dialNode(t, n)
	}
	eventually(t, "all are counted", func() bool { return n.Stats().Connections == maxOfAddress })
	dialNode(t, n).wantClosed()
	if got := n.Stats().Full; got != 1 {
		t.Errorf("%d refused, want 1", got)
	}
}

// An idle connection is closed, if Keep does not hold it.
func TestIdle(t *testing.T) {
	l := New(DefaultConfig(), Parts{}, silent())
	idle, held, busy := newLink(route{remote: peerA}, nil), newLink(route{remote: peerB}, &net.TCPConn{}), newLink(route{}, nil)
	for _, c := range []*link{idle, held, busy} {
		l.links.add(c)
		c.used = start
	}
	l.links.keep(held.route, &keeper{})
	busy.used = start.Add(idleTime)
	l.links.keepAlive(start.Add(idleTime + time.Second))
	for name, test := range map[string]struct {
		c    *link
		want bool
	}{"idle": {idle, true}, "held": {held, false}, "busy": {busy, false}} {
		ended := false
		select {
		case <-test.c.ended:
			ended = true
		default:
		}
		if ended != test.want {
			t.Errorf("%s: ended: %v, want %v", name, ended, test.want)
		}
	}
	if len(busy.out) != 1 || len(held.out) != 0 {
		t.Errorf("%d pings to a peer, %d to one that connected to us: want 1 and none", len(busy.out), len(held.out))
	}
}

// A peer that does not read loses the connection, and the request fails.
func TestSlowPeer(t *testing.T) {
	c := newLink(route{remote: peerA}, nil)
	for i := range maxQueued {
		if err := c.write(ping); err != nil {
			t.Fatalf("%d: %v", i, err)
		}
	}
	if err := c.write(ping); !errors.Is(err, errSlow) {
		t.Errorf("got %v", err)
	}
	select {
	case <-c.ended:
	default:
		t.Error("the connection goes on")
	}
}

// FuzzFramer holds that no stream panics, and that messages come out as they went in.
func FuzzFramer(f *testing.F) {
	f.Add([]byte(invite), uint8(3))
	f.Add([]byte("\r\n\r\n"+invite), uint8(200))
	f.Fuzz(func(t *testing.T, data []byte, cut uint8) {
		frames := func(r io.Reader) (all [][]byte) {
			f := &framer{reader: bufio.NewReader(r), deadline: func(bool) error { return nil }, pong: func() {}}
			for {
				message, err := f.next()
				if err != nil {
					return all
				}
				all = append(all, message)
				_, _ = parse(message)
			}
		}
		whole := frames(bytes.NewReader(data))
		pieces := frames(&pieceReader{data, int(cut%32) + 1})
		if len(whole) != len(pieces) {
			t.Fatalf("%d messages at once, %d in pieces", len(whole), len(pieces))
		}
		for i := range whole {
			if !bytes.Equal(whole[i], pieces[i]) || !bytes.Contains(data, whole[i]) {
				t.Errorf("%q and %q", whole[i], pieces[i])
			}
		}
	})
}

// pieceReader gives a few bytes at a time.
type pieceReader struct {
	data []byte
	size int
}

func (r *pieceReader) Read(p []byte) (int, error) {
	if len(r.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), r.size)], r.data)
	r.data = r.data[n:]
	return n, nil
}

// The gate forgets the oldest address if it knows too many.
func TestGateIsBounded(t *testing.T) {
	g := newGate(func(netip.AddrPort, string) bool { return false }, &counters{})
	address := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }
	for i := range maxKnown + 10 {
		g.know(start.Add(time.Duration(i)*ms), address(i))
		g.block(start.Add(time.Duration(i)*ms), sender{address(i), true}, time.Minute)
	}
	if len(g.known) != maxKnown || len(g.blocked) != maxKnown {
		t.Errorf("%d known, %d blocked, want %d", len(g.known), len(g.blocked), maxKnown)
	}
	if g.knows(start, address(0)) || !g.knows(start, address(maxKnown)) || g.knows(start.Add(2*knownFor), address(maxKnown)) {
		t.Error("the wrong addresses are known")
	}
}
