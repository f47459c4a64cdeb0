package testkit

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Fate is what happens to a packet on the network: how many copies arrive, and how much later. The zero value loses the packet.
type Fate struct {
	Copies int
	Delay  time.Duration
}

// Relay is a faulty network between one WebRTC client and a server. It is made by NewRelay, and its maker closes it.
type Relay struct {
	// RTP decides the fate of the n-th media packet of the client; nil: all packets arrive. It is called from one goroutine.
	RTP func(n int) Fate
	// IPv6 says that the server is reached by IPv6.
	IPv6 bool

	server netip.AddrPort
	front  *net.UDPConn // towards the client
	cut    atomic.Bool
	media  atomic.Int64
	done   chan struct{}
	wg     sync.WaitGroup

	mu     sync.Mutex
	closed bool           // guarded by mu
	client netip.AddrPort // guarded by mu
	shaker netip.AddrPort // guarded by mu: address of the last DTLS packet
	back   *net.UDPConn   // guarded by mu: towards the server
	backs  []*net.UDPConn // guarded by mu: back, and those before it
}

// relayBuffer is the socket buffer that a relay asks for, so that a busy machine loses no other packets than those it is told to.
const relayBuffer = 4 << 20

// NewRelay makes a relay. Answer starts it.
func NewRelay() (*Relay, error) {
	front, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	return &Relay{front: front, done: make(chan struct{})}, front.SetReadBuffer(relayBuffer)
}

var loopbackCandidate = regexp.MustCompile(`a=candidate:\d+ 1 udp \d+ (127\.0\.0\.1 \d+) typ host`)

// Answer starts the relay to the server of an answer, and returns the answer with the address of the relay.
func (r *Relay) Answer(answer string) (string, error) {
	m := loopbackCandidate.FindStringSubmatch(answer)
	if m == nil {
		return "", errors.New("the answer has no candidate on the loopback address")
	}
	var err error
	if r.server, err = netip.ParseAddrPort(strings.Replace(m[1], " ", ":", 1)); err != nil {
		return "", err
	}
	if r.IPv6 {
		r.server = netip.AddrPortFrom(netip.IPv6Loopback(), r.server.Port())
	}
	if err := r.Move(); err != nil {
		return "", err
	}
	r.wg.Go(r.forth)
	return r.Again(answer), nil
}

// Again returns another answer of the same server with the address of the relay, as after an ICE restart.
func (r *Relay) Again(answer string) string {
	ours := fmt.Sprintf("a=candidate:1 1 udp 2130706431 127.0.0.1 %d typ host", r.Addr().Port)
	var b strings.Builder
	first := true
	for line := range strings.Lines(answer) {
		switch {
		case strings.HasPrefix(line, "m="):
			first = true
			b.WriteString(line)
		case !strings.HasPrefix(line, "a=candidate:"):
			b.WriteString(line)
		case first:
			first = false
			b.WriteString(ours + "\r\n")
		}
	}
	return b.String()
}

// Move gives the client another address, as the server sees it.
func (r *Relay) Move() error {
	ip := net.IPv4(127, 0, 0, 1)
	if r.IPv6 {
		ip = net.IPv6loopback
	}
	back, err := net.ListenUDP("udp", &net.UDPAddr{IP: ip})
	if err != nil {
		return err
	}
	if err := back.SetReadBuffer(relayBuffer); err != nil {
		back.Close()
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		back.Close()
		return net.ErrClosed
	}
	r.back = back
	r.backs = append(r.backs, back)
	r.wg.Go(func() { r.home(back) })
	return nil
}

// Cut loses all packets from now on.
func (r *Relay) Cut() { r.cut.Store(true) }

// Inject sends bytes to the server as if they came from the client.
func (r *Relay) Inject(b []byte) { r.send(b) }

// Addr returns the address for the client. Answers to DTLS packets go to the address that sent the last one.
func (r *Relay) Addr() *net.UDPAddr { return r.front.LocalAddr().(*net.UDPAddr) }

// Media returns how many media packets the client has sent.
func (r *Relay) Media() int64 { return r.media.Load() }

// forth forwards packets of the client.
func (r *Relay) forth() {
	buf := make([]byte, 2048)
	for {
		n, from, err := r.front.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || r.cut.Load() {
			continue
		}
		r.mu.Lock()
		if isDTLS(buf[:n]) {
			r.shaker = from
		} else {
			r.client = from
		}
		r.mu.Unlock()
		fate := Fate{Copies: 1}
		if isRTP(buf[:n]) {
			k := r.media.Add(1)
			if r.RTP != nil {
				fate = r.RTP(int(k - 1))
			}
		}
		b := append([]byte(nil), buf[:n]...)
		for range fate.Copies {
			r.later(b, fate.Delay)
		}
	}
}

func (r *Relay) later(b []byte, delay time.Duration) {
	if delay == 0 {
		r.send(b)
		return
	}
	r.wg.Go(func() {
		select {
		case <-time.After(delay):
			r.send(b)
		case <-r.done:
		}
	})
}

func (r *Relay) send(b []byte) {
	r.mu.Lock()
	back := r.back
	r.mu.Unlock()
	_, _ = back.WriteToUDPAddrPort(b, r.server) // as if lost
}

// home forwards packets of the server.
func (r *Relay) home(back *net.UDPConn) {
	buf := make([]byte, 2048)
	for {
		n, _, err := back.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || r.cut.Load() {
			continue
		}
		r.mu.Lock()
		to := r.client
		if isDTLS(buf[:n]) && r.shaker.IsValid() {
			to = r.shaker
		}
		r.mu.Unlock()
		_, _ = r.front.WriteToUDPAddrPort(buf[:n], to)
	}
}

func isDTLS(b []byte) bool { return len(b) > 0 && b[0] >= 20 && b[0] < 64 }

// isRTP says whether a packet is RTP, and not RTCP, DTLS or STUN (RFC 7983, RFC 5761).
func isRTP(b []byte) bool {
	return len(b) > 12 && b[0]>>6 == 2 && (b[1] < 192 || b[1] >= 224)
}

// Close ends the relay and waits for it.
func (r *Relay) Close() {
	r.mu.Lock()
	r.closed = true
	for _, b := range r.backs {
		b.Close()
	}
	r.mu.Unlock()
	close(r.done)
	r.front.Close()
	r.wg.Wait()
}
