package phone

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtcp"
)

// Stream is the RTP socket and the RTCP socket of one m-section. It keeps all that reaches it. Its methods may be called from any
// goroutine.
type Stream struct {
	t    testing.TB
	rtp  *net.UDPConn
	rtcp *net.UDPConn

	// Network decides what becomes of the n-th packet that Play sends: how many copies of it are sent, after how many of the packets
	// that follow. nil: all packets are sent in order. It is set before Play.
	Network func(n int, p Packet) (copies, after int)

	mu       sync.Mutex
	to       netip.AddrPort    // guarded by mu; where RTP goes
	toRTCP   netip.AddrPort    // guarded by mu
	keys     *keys             // guarded by mu; of SRTP
	packets  []Packet          // guarded by mu; all that came
	requests []KeyFrameRequest // guarded by mu
	control  []rtcp.Packet     // guarded by mu; all RTCP that came
	strange  int               // guarded by mu; datagrams that are neither RTP nor RTCP, or do not decrypt
	keyWish  bool              // guarded by mu; a key frame was asked for since the last one
	deaf     bool              // guarded by mu; ignores PLI and FIR
	changed  chan struct{}     // guarded by mu

	done chan struct{}
	wg   sync.WaitGroup
}

// KeyFrameRequest is a PLI or a FIR that came.
type KeyFrameRequest struct {
	FIR  bool
	SSRC uint32 // of the picture that is asked for
	At   time.Time
}

// NewStream opens a pair of sockets on 127.0.0.1, which live as long as the test.
func NewStream(t testing.TB) *Stream { return NewStreamAt(t, "127.0.0.1") }

// NewStreamAt opens them on another address.
func NewStreamAt(t testing.TB, host string) *Stream {
	t.Helper()
	s := &Stream{t: t, changed: make(chan struct{}), done: make(chan struct{})}
	for try := 0; s.rtcp == nil; try++ {
		a, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(host)})
		if err != nil {
			t.Fatal(err)
		}
		port := a.LocalAddr().(*net.UDPAddr).Port
		b, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(host), Port: port ^ 1})
		switch {
		case err != nil && try > 100:
			t.Fatal(err)
		case err != nil:
			a.Close()
		case port%2 == 0:
			s.rtp, s.rtcp = a, b
		default:
			s.rtp, s.rtcp = b, a
		}
	}
	s.rtp.SetReadBuffer(4 << 20)
	s.wg.Go(func() { s.read(s.rtp) })
	s.wg.Go(func() { s.read(s.rtcp) })
	t.Cleanup(s.close)
	return s
}

func (s *Stream) close() {
	close(s.done)
	s.rtp.Close()
	s.rtcp.Close()
	s.wg.Wait()
}

// Port returns the port of RTP. RTCP has the next one.
func (s *Stream) Port() int { return s.rtp.LocalAddr().(*net.UDPAddr).Port }

// Section writes an m-section for the stream, such as Section("audio", "RTP/AVP 0 101", "a=rtpmap:101 telephone-event/8000").
func (s *Stream) Section(kind, proto string, lines ...string) string {
	return strings.Join(append([]string{fmt.Sprintf("m=%s %d %s", kind, s.Port(), proto)}, lines...), "\r\n") + "\r\n"
}

// SendTo says where RTP goes from now on, and RTCP to the next port. The peer's section says it.
func (s *Stream) SendTo(to Section) {
	s.t.Helper()
	address, err := netip.ParseAddrPort(net.JoinHostPort(to.Address, strconv.Itoa(to.Port)))
	if err != nil {
		s.t.Errorf("the section of %s has no address: %v", to.Kind, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.to, s.toRTCP = address, netip.AddrPortFrom(address.Addr(), address.Port()+1)
}

func (s *Stream) read(conn *net.UDPConn) {
	b := make([]byte, 1<<16)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(b)
		if err != nil {
			select {
			case <-s.done:
				return
			default:
				continue // ICMP: nobody listens where we send
			}
		}
		s.take(bytes.Clone(b[:n]), from)
	}
}

func (s *Stream) take(b []byte, from netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	isControl := len(b) > 1 && b[1] >= 192 && b[1] <= 223 // RFC 5761, 4
	b, err := s.keys.open(b, isControl)
	if err != nil {
		s.strange++
		return
	}
	if isControl {
		s.takeControl(b)
	} else if p, ok := ReadPacket(b); ok {
		p.At, p.From = time.Now(), netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		s.packets = append(s.packets, p)
	} else {
		s.strange++
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// takeControl reads RTCP. The caller holds mu.
func (s *Stream) takeControl(b []byte) {
	all, err := rtcp.Unmarshal(b)
	if err != nil {
		s.strange++
		return
	}
	s.control = append(s.control, all...)
	for _, p := range all {
		switch p := p.(type) {
		case *rtcp.PictureLossIndication:
			s.requests = append(s.requests, KeyFrameRequest{SSRC: p.MediaSSRC, At: time.Now()})
			s.keyWish = s.keyWish || !s.deaf
		case *rtcp.FullIntraRequest:
			for _, f := range p.FIR {
				s.requests = append(s.requests, KeyFrameRequest{FIR: true, SSRC: f.SSRC, At: time.Now()})
			}
			s.keyWish = s.keyWish || !s.deaf
		}
	}
}

// Deaf says whether PLI and FIR are ignored.
func (s *Stream) Deaf(deaf bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deaf = deaf
}

// Refresh makes the next picture a key frame, as a phone does that was asked by INFO.
func (s *Stream) Refresh() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keyWish = true
}

// wished says whether a key frame was asked for since the last call.
func (s *Stream) wished() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	wish := s.keyWish
	s.keyWish = false
	return wish
}

// Packets returns the RTP packets that came.
func (s *Stream) Packets() []Packet {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.packets)
}

// Requests returns the requests for key frames that came.
func (s *Stream) Requests() []KeyFrameRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Control returns the RTCP packets that came.
func (s *Stream) Control() []rtcp.Packet {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.control)
}

// Strange returns how many datagrams came that are neither RTP nor RTCP, or that the keys do not open.
func (s *Stream) Strange() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.strange
}

// Forget forgets all that came.
func (s *Stream) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.packets, s.requests, s.control, s.strange = nil, nil, nil, 0
}

// Wait waits until a condition holds. It checks the condition whenever something came, and fails the test after 15 s.
func (s *Stream) Wait(what string, condition func() bool) {
	s.t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		if condition() {
			return
		}
		select {
		case <-changed:
		case <-limit.C:
			s.t.Fatalf("after %v there is no %s; %d packets, %d requests for key frames", patience, what, len(s.Packets()), len(s.Requests()))
		}
	}
}

// Send sends a packet at once.
func (s *Stream) Send(p Packet) {
	s.mu.Lock()
	b, to := s.keys.sealPacket(p.bytes()), s.to
	s.mu.Unlock()
	s.rtp.WriteToUDPAddrPort(b, to) // an error is an ICMP message: nobody listens there
}

// SendRaw sends any bytes to the peer's port of RTP.
func (s *Stream) SendRaw(b []byte) {
	s.mu.Lock()
	to := s.to
	s.mu.Unlock()
	s.rtp.WriteToUDPAddrPort(b, to)
}

// SendControl sends RTCP.
func (s *Stream) SendControl(packets ...rtcp.Packet) {
	b, err := rtcp.Marshal(packets)
	if err != nil {
		s.t.Error(err)
		return
	}
	s.mu.Lock()
	b, to := s.keys.sealControl(b), s.toRTCP
	s.mu.Unlock()
	s.rtcp.WriteToUDPAddrPort(b, to)
}
