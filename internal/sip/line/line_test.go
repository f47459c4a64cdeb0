package line

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"transponder/internal/panics"
	"transponder/internal/sip/dialog"
	"transponder/internal/testkit"
)

const patience = 5 * time.Second

// node is a Line on loopback, and what it was told.
type node struct {
	*Line
	t        *testing.T
	requests chan told
	got      chan told
	log      *lockedBuffer
}

// told is a request, a response, or an error.
type told struct {
	request  *dialog.Request
	response *dialog.Response
	err      error
	from     Origin
}

func (n *node) Response(p *dialog.Response, from Origin) { n.got <- told{response: p, from: from} }
func (n *node) Unsent(r *dialog.Request, err error)      { n.got <- told{request: r, err: err} }

// newNode runs a Line until the end of the test. change may alter the settings and the parts.
func newNode(t *testing.T, change func(*Config, *Parts)) *node {
	t.Helper()
	n := &node{t: t, requests: make(chan told, 1000), got: make(chan told, 1000), log: &lockedBuffer{}}
	cfg := DefaultConfig()
	cfg.Address, cfg.Port, cfg.Listen = "127.0.0.1", 0, true
	parts := Parts{
		Welcome:  func(netip.AddrPort, string) bool { return true },
		Incoming: func(r *dialog.Request, from Origin) { n.requests <- told{request: r, from: from} },
	}
	if change != nil {
		change(&cfg, &parts)
	}
	n.Line = New(cfg, parts, slog.New(slog.NewTextHandler(n.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run returned %v", err)
		}
	})
	if cfg.Listen {
		if err := n.open(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// lockedBuffer collects what is logged.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func take(t *testing.T, from chan told) told {
	t.Helper()
	select {
	case m := <-from:
		return m
	case <-time.After(patience):
		t.Fatal("nothing came")
		return told{}
	}
}

func (n *node) wantResponse(code int) told {
	n.t.Helper()
	m := take(n.t, n.got)
	if m.response == nil || m.response.Code != code {
		n.t.Fatalf("got %+v, want %d", m, code)
	}
	return m
}

func (n *node) wantRequest(method string) told {
	n.t.Helper()
	m := take(n.t, n.requests)
	if m.request.Method != method {
		n.t.Fatalf("got %s, want %s", m.request.Method, method)
	}
	return m
}

func (n *node) resolve(uri, transport string) Path {
	n.t.Helper()
	p, err := n.Resolve(n.t.Context(), uri, transport)
	if err != nil {
		n.t.Fatal(err)
	}
	return p
}

// dialFrom connects to a node from another address of loopback.
func dialFrom(network, source string, to *node) (net.Conn, error) {
	dialer := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(source), 0))}
	if network == "udp" {
		dialer.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(source), 0))
	}
	return dialer.Dial(network, fmt.Sprintf("127.0.0.1:%d", to.Port(network)))
}

func (n *node) uri() string { return fmt.Sprintf("sip:127.0.0.1:%d", n.Port("udp")) }

// eventually waits for a condition that nobody tells us of.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	testkit.Eventually(t, patience, func() string {
		if ok() {
			return ""
		}
		return "it is not so that " + what
	})
}

// A call in both directions, over UDP and TCP. Over TCP, all messages share one connection.
func TestCall(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			a, b := newNode(t, nil), newNode(t, nil)
			invite := request("INVITE", 1)
			invite.Body = bytes.Repeat([]byte("a=line of an offer\r\n"), 85)
			path := a.resolve(b.uri(), transport)
			a.Send(invite, path, a)
			in := b.wantRequest("INVITE")
			if !bytes.Equal(in.request.Body, invite.Body) {
				t.Errorf("the body has %d bytes, want %d", len(in.request.Body), len(invite.Body))
			}
			b.Reply(in.request, answerTo(in.request, 180))
			b.Reply(in.request, answerTo(in.request, 200))
			a.wantResponse(180)
			ok := a.wantResponse(200)
			want := netip.AddrPortFrom(path.Local, uint16(a.Port("udp"))).String()
			if transport == "udp" && ok.response.Seen != want {
				t.Errorf("we are seen at %q, want %q", ok.response.Seen, want)
			}
			a.Send(request("ACK", 1), path.At(ok.from), a)
			b.wantRequest("ACK")
			b.Send(request("BYE", 2), b.Back(in.from), b)
			bye := a.wantRequest("BYE")
			a.Reply(bye.request, answerTo(bye.request, 200))
			b.wantResponse(200)
			wantLinks := 0
			if transport == "tcp" {
				wantLinks = 1
			}
			if x, y := a.Stats(), b.Stats(); x.Connections != wantLinks || y.Connections != wantLinks {
				t.Errorf("%d and %d connections, want %d", x.Connections, y.Connections, wantLinks)
			}
		})
	}
}

func TestContact(t *testing.T) {
	a := newNode(t, func(cfg *Config, _ *Parts) {
		cfg.Address, cfg.External = "", []netip.Addr{netip.MustParseAddr("203.0.113.5"), netip.MustParseAddr("2001:db8::5")}
	})
	port := a.Port("udp")
	local := netip.MustParseAddr("192.168.1.2")
	for _, test := range []struct {
		path Path
		want string
	}{
		{Path{Transport: "udp", Remote: peerA, Local: local}, fmt.Sprintf("sip:x@203.0.113.5:%d", port)},
		{Path{Transport: "tls", Remote: peerA, Local: local}, fmt.Sprintf("sip:x@203.0.113.5:%d;transport=tls", port)},
		{Path{Transport: "tcp", Remote: netip.MustParseAddrPort("[2001:db8::9]:5060")}, fmt.Sprintf("sip:x@[2001:db8::5]:%d;transport=tcp", port)},
		{a.resolve("sip:127.0.0.1", "udp"), fmt.Sprintf("sip:x@127.0.0.1:%d", port)},
	} {
		if got := a.Contact("x", test.path); got != test.want {
			t.Errorf("got %s, want %s", got, test.want)
		}
	}
}

// No socket is open before the first request.
func TestLazy(t *testing.T) {
	a := newNode(t, func(cfg *Config, _ *Parts) { cfg.Listen = false })
	if a.Port("udp") != 0 || a.Port("tcp") != 0 {
		t.Error("a port is open")
	}
	a.resolve("sip:127.0.0.1", "")
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", a.Port("tcp")))
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestPortTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cfg := DefaultConfig()
	cfg.Address, cfg.Port, cfg.Listen = "127.0.0.1", portOf(taken.Addr()), true
	l := New(cfg, Parts{}, silent())
	if _, err := l.Resolve(t.Context(), "sip:127.0.0.1", ""); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("Resolve: %v", err)
	}
	if err := l.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("Run: %v", err)
	}
	if _, err := l.Resolve(t.Context(), "sip:127.0.0.1", ""); !errors.Is(err, ErrClosed) {
		t.Errorf("Resolve after Run: %v", err)
	}
	l.Send(request("BYE", 1), Path{}, nil) // does nothing
}

// A phone that is not there: the owner learns of a refused TCP connection, and over UDP of nothing.
func TestRefused(t *testing.T) {
	a, b := newNode(t, nil), newNode(t, nil)
	uri := "sip:127.0.0.1:" + testkit.FreePort(t) // nobody listens there
	a.Send(request("INVITE", 1), a.resolve(uri, "tcp"), a)
	if m := take(t, a.got); m.err == nil || !strings.Contains(m.err.Error(), "refused") {
		t.Errorf("got %+v", m)
	}
	path := a.resolve(uri, "tcp")
	path.more = []netip.AddrPort{netip.MustParseAddrPort(fmt.Sprintf("127.0.0.1:%d", b.Port("tcp")))}
	a.Send(request("INVITE", 2), path, a)
	in := b.wantRequest("INVITE")
	b.Reply(in.request, answerTo(in.request, 486))
	a.wantResponse(486)
	a.Send(request("CANCEL", 3), path, a)
	if m := take(t, a.got); !errors.Is(m.err, errNoTransaction) {
		t.Errorf("got %+v", m)
	}
}

// A message that leads to a panic ends itself alone.
func TestPanic(t *testing.T) {
	count := &panics.Counter{}
	a := newNode(t, nil)
	b := newNode(t, func(_ *Config, parts *Parts) {
		tell := parts.Incoming
		parts.Panics = count
		parts.Welcome = func(source netip.AddrPort, _ string) bool {
			if source.Addr() == netip.MustParseAddr("127.0.0.9") {
				panic("a bug")
			}
			return true
		}
		parts.Incoming = func(r *dialog.Request, from Origin) {
			if r.Method == "INFO" {
				panic("a bug")
			}
			tell(r, from)
		}
	})
	path := a.resolve(b.uri(), "udp")
	a.Send(request("INFO", 1), path, a)
	for _, network := range []string{"udp", "tcp"} {
		conn, err := dialFrom(network, "127.0.0.9", b)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = conn.Write([]byte("OPTIONS "))
	}
	a.Send(request("OPTIONS", 2), path, a)
	b.wantRequest("OPTIONS")
	eventually(t, "three panics are counted", func() bool { return count.Load() == 3 })
}

// A source at which the policy panics is not welcome. The sources after it are judged.
func TestPolicyPanics(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			count, asked := &panics.Counter{}, &atomic.Int32{}
			a, b := newNode(t, nil), newNode(t, func(_ *Config, p *Parts) {
				p.Panics = count
				p.Welcome = func(netip.AddrPort, string) bool {
					if asked.Add(1) == 1 {
						panic("a bug")
					}
					return true
				}
			})
			a.Send(request("OPTIONS", 1), a.resolve(b.uri(), transport), a)
			eventually(t, "the panic is counted", func() bool { return count.Load() == 1 })
			a.Send(request("OPTIONS", 2), a.resolve(b.uri(), transport), a)
			b.wantRequest("OPTIONS")
		})
	}
}

// Passwords and numbers in messages reach no log, also if the messages are broken.
func TestLogHasNoMessages(t *testing.T) {
	a := newNode(t, nil)
	conn, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", a.Port("udp")))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stream, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", a.Port("tcp")))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	for _, data := range []string{
		"INVITE hunter2 SIP/2.0\r\n\r\n", "INVITE sip:hunter2 SIP/2.0\r\nhunter2\r\n\r\n", "SIP/2.0 200 hunter2\r\n\r\n",
		with("Content-Length", "Content-Length: hunter2"), with("Via", "Via: hunter2"), with("Max-Forwards", "hunter2: hunter2"),
	} {
		_, _ = conn.Write([]byte(data))
		_, _ = stream.Write([]byte(data))
	}
	eventually(t, "all are read", func() bool { s := a.Stats(); return s.Malformed >= 6 && s.Received == 1 })
	report(a.Line.log, Stats{}, a.Stats())
	if log := a.log.String(); strings.Contains(log, "hunter2") || !strings.Contains(log, "malformed=") {
		t.Errorf("the log is %s", log)
	}
}

// Strangers get no byte, and nothing is kept of them. Whom we called may answer.
func TestStrangers(t *testing.T) {
	a := newNode(t, func(_ *Config, parts *Parts) { parts.Welcome = nil })
	stranger, err := net.ListenPacket("udp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	to := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: a.Port("udp")}
	methods := append([]string{"GET", ""}, methods...)
	for _, method := range methods {
		_, _ = stranger.WriteTo([]byte(incoming("X"+method, 1, "SIP/2.0/UDP 127.0.0.2;rport;branch=z9hG4bK1")), to)
		_, _ = stranger.WriteTo([]byte(strings.Replace(invite, "INVITE", method, 2)), to)
	}
	eventually(t, "all are counted", func() bool { return a.Stats().Strangers == int64(2*len(methods)) })
	conn, err := dialFrom("tcp", "127.0.0.2", a)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if n, err := conn.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Errorf("a stranger reads %d bytes, %v", n, err)
	}

	a.Send(request("OPTIONS", 1), a.resolve("sip:"+stranger.LocalAddr().String(), "udp"), a)
	buffer := make([]byte, 2000)
	_ = stranger.SetReadDeadline(time.Now().Add(patience))
	n, _, err := stranger.ReadFrom(buffer)
	if err != nil || !bytes.HasPrefix(buffer[:n], []byte("OPTIONS ")) {
		t.Fatalf("the stranger got %q, %v: want our OPTIONS first", buffer[:n], err)
	}
	m, err := parse(buffer[:n])
	if err != nil {
		t.Fatal(err)
	}
	_, _ = stranger.WriteTo([]byte(response(m, 200, "x")), to)
	a.wantResponse(200)
	if s := a.Stats(); s.Received != 1 || s.Connections != 0 {
		t.Errorf("figures %+v", s)
	}
}

// Large datagrams and unknown methods are dropped before they are parsed.
func TestDatagramsDropped(t *testing.T) {
	a := newNode(t, nil)
	conn, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", a.Port("udp")))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, data := range []string{
		strings.Replace(invite, "\r\n\r\n", "\r\nX: "+strings.Repeat("x", maxDatagram)+"\r\n\r\n", 1),
		strings.Replace(invite, "From:", strings.Repeat("X: 1\r\n", 130)+"From:", 1),
		strings.Replace(invite, "INVITE", "INVENT", 2), "\r\n\r\n", "\x00\x00", "x",
	} {
		if _, err := conn.Write([]byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all are counted", func() bool { s := a.Stats(); return s.Size == 2 && s.Method == 2 })
	if s := a.Stats(); s.Received != 0 || s.Malformed != 0 {
		t.Errorf("figures %+v", s)
	}
}

// Keep reminds the NAT over UDP, until it is released.
func TestKeep(t *testing.T) {
	a := newNode(t, func(cfg *Config, _ *Parts) { cfg.Timers.Alive = 5 * time.Millisecond })
	peer, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	release := a.Keep(a.resolve("sip:"+peer.LocalAddr().String(), "udp"), nil)
	buffer := make([]byte, 100)
	_ = peer.SetReadDeadline(time.Now().Add(patience))
	for range 3 {
		if n, _, err := peer.ReadFrom(buffer); err != nil || string(buffer[:n]) != "\r\n\r\n" {
			t.Fatalf("got %q, %v", buffer[:n], err)
		}
	}
	release()
	release()
	eventually(t, "it stops", func() bool {
		_ = peer.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		_, _, err := peer.ReadFrom(buffer)
		return err != nil
	})
}

// A message over UDP that gets lost is sent again.
func TestLostDatagram(t *testing.T) {
	a := newNode(t, func(cfg *Config, _ *Parts) { cfg.Timers.T1 = 5 * time.Millisecond })
	peer, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	a.Send(request("OPTIONS", 1), a.resolve("sip:"+peer.LocalAddr().String(), "udp"), a)
	buffer := make([]byte, 2000)
	_ = peer.SetReadDeadline(time.Now().Add(patience))
	var from net.Addr
	var n int
	for range 3 {
		if n, from, err = peer.ReadFrom(buffer); err != nil {
			t.Fatal(err)
		}
	}
	m, err := parse(buffer[:n])
	if err != nil {
		t.Fatal(err)
	}
	_, _ = peer.WriteTo([]byte(response(m, 200, "x")), from)
	a.wantResponse(200)
	if s := a.Stats(); s.Repeated < 2 {
		t.Errorf("figures %+v", s)
	}
}
