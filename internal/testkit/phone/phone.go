package phone

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Config says where and how a phone listens.
type Config struct {
	Transport   string           // "udp", "tcp" or "tls"; "": "udp"
	Host        string           // to listen on; "": 127.0.0.1
	Port        int              // 0: a free one
	Certificate *tls.Certificate // of the TLS server
	User        string           // of the Contact; "": "phone"
	RootCAs     *x509.CertPool   // for connections to TLS servers; nil: any certificate is taken

	// Handle sees each new message on the goroutine that reads; it takes those for which it returns true. The others come to Await.
	Handle func(*Message) bool
}

// Phone sends and receives SIP on one socket. Its methods may be called from any goroutine; those that wait fail the test, and are for
// the goroutine of the test.
type Phone struct {
	t   testing.TB
	cfg Config

	udp      *net.UDPConn
	listener net.Listener

	mu      sync.Mutex
	inbox   []*Message          // guarded by mu; what nobody has taken
	log     []*Message          // guarded by mu; all that came, repeated ones too
	answers map[string][]byte   // guarded by mu; the last response of each transaction
	invites map[string]outgoing // guarded by mu; by branch
	conns   map[string]net.Conn // guarded by mu; by the peer's address
	seen    map[string]bool     // guarded by mu; messages that came
	faults  []string            // guarded by mu; what came and is no message
	changed chan struct{}       // guarded by mu; closed and replaced when something came
	closed  bool                // guarded by mu

	wg sync.WaitGroup
}

// outgoing is an INVITE that was sent.
type outgoing struct {
	way  way
	text string
}

// New starts a phone, which ends with the test.
func New(t testing.TB, cfg Config) *Phone {
	t.Helper()
	cfg.Transport, cfg.Host, cfg.User = cmp.Or(cfg.Transport, "udp"), cmp.Or(cfg.Host, "127.0.0.1"), cmp.Or(cfg.User, "phone")
	p := &Phone{
		t: t, cfg: cfg, answers: map[string][]byte{}, invites: map[string]outgoing{}, conns: map[string]net.Conn{},
		seen: map[string]bool{}, changed: make(chan struct{}),
	}
	address := net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port))
	var err error
	switch cfg.Transport {
	case "udp":
		var at *net.UDPAddr
		if at, err = net.ResolveUDPAddr("udp", address); err == nil {
			p.udp, err = net.ListenUDP("udp", at)
		}
	case "tls":
		p.listener, err = tls.Listen("tcp", address, &tls.Config{Certificates: []tls.Certificate{*cfg.Certificate}})
	default:
		p.listener, err = net.Listen("tcp", address)
	}
	if err != nil {
		t.Fatal(err)
	}
	if p.udp != nil {
		p.udp.SetReadBuffer(4 << 20) // a busy machine loses nothing
		p.wg.Go(p.readUDP)
	} else {
		p.wg.Go(p.accept)
	}
	t.Cleanup(p.close)
	return p
}

func (p *Phone) close() {
	p.mu.Lock()
	p.closed = true
	conns := p.conns
	p.conns = map[string]net.Conn{}
	p.mu.Unlock()
	for _, conn := range conns {
		conn.Close()
	}
	if p.udp != nil {
		p.udp.Close()
	} else {
		p.listener.Close()
	}
	p.wg.Wait()
	if p.t.Failed() {
		p.t.Logf("%s received:\n%s", p.Addr(), p.Story())
	}
}

// Addr returns the address that the phone listens on.
func (p *Phone) Addr() netip.AddrPort {
	at := net.Addr(nil)
	if p.udp != nil {
		at = p.udp.LocalAddr()
	} else {
		at = p.listener.Addr()
	}
	return netip.MustParseAddrPort(at.String())
}

// URI returns the phone's SIP URI with a user.
func (p *Phone) URI(user string) string {
	uri := "sip:" + user + "@" + p.Addr().String()
	if p.cfg.Transport != "udp" {
		uri += ";transport=" + p.cfg.Transport
	}
	return uri
}

func (p *Phone) contact() string { return "<" + p.URI(p.cfg.User) + ">" }

// via makes a Via with a new branch.
func (p *Phone) via() string {
	return fmt.Sprintf("SIP/2.0/%s %s;branch=z9hG4bK%s;rport", strings.ToUpper(p.cfg.Transport), p.Addr(), rand.Text()[:16])
}

func (p *Phone) readUDP() {
	b := make([]byte, 1<<16)
	for {
		n, from, err := p.udp.ReadFromUDPAddrPort(b)
		if err != nil {
			if p.over() {
				return
			}
			continue // ICMP: the peer has closed its port
		}
		if len(bytes.TrimSpace(b[:n])) > 0 { // else it is a keep-alive
			from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
			p.take(bytes.Clone(b[:n]), from.String(), way{udp: p.udp, to: from})
		}
	}
}

func (p *Phone) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.serve(conn)
	}
}

// serve reads from a connection until it ends.
func (p *Phone) serve(conn net.Conn) {
	from := conn.RemoteAddr().String()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		conn.Close()
		return
	}
	p.conns[from] = conn
	p.wg.Go(func() {
		defer conn.Close()
		w := way{conn: conn}
		r := bufio.NewReader(conn)
		for {
			b, err := readMessage(r, func() { w.send([]byte("\r\n")) })
			if err != nil {
				p.note(func() { delete(p.conns, from) })
				return
			}
			p.take(b, from, w)
		}
	})
}

// Cut closes all connections. Peers can make new ones.
func (p *Phone) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range p.conns {
		conn.Close()
	}
	clear(p.conns)
}

func (p *Phone) over() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// reach returns the way to an address.
func (p *Phone) reach(to netip.AddrPort) (way, error) {
	if p.udp != nil {
		return way{udp: p.udp, to: to}, nil
	}
	p.mu.Lock()
	conn := p.conns[to.String()]
	p.mu.Unlock()
	if conn != nil {
		return way{conn: conn}, nil
	}
	conn, err := net.DialTimeout("tcp", to.String(), writeTimeout)
	if err != nil {
		return way{}, err
	}
	if p.cfg.Transport == "tls" {
		client := tls.Client(conn, p.clientTLS())
		client.SetDeadline(time.Now().Add(writeTimeout))
		if err := client.Handshake(); err != nil {
			conn.Close()
			return way{}, err
		}
		client.SetDeadline(time.Time{})
		conn = client
	}
	p.serve(conn)
	return way{conn: conn}, nil
}

func (p *Phone) clientTLS() *tls.Config {
	return &tls.Config{InsecureSkipVerify: p.cfg.RootCAs == nil, RootCAs: p.cfg.RootCAs, ServerName: p.cfg.Host}
}

// SendRaw sends any bytes to an address.
func (p *Phone) SendRaw(to netip.AddrPort, b []byte) error {
	w, err := p.reach(to)
	if err != nil {
		return err
	}
	return w.send(b)
}
