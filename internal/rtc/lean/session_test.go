package lean

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	dtlsnet "github.com/pion/dtls/v3/pkg/net"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
	"github.com/pion/stun/v4"
	"go.uber.org/goleak"

	"transponder/internal/media"
	"transponder/internal/rtc"
	"transponder/internal/rtc/udp"
	"transponder/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// counting is a sink that counts calls.
type counting struct{ units, packets, lost, reports int }

func (*counting) Connected()                                {}
func (c *counting) Video(media.Codec, []byte, uint32, bool) { c.units++ }
func (*counting) Rotated(int)                               {}
func (c *counting) Audio(media.Codec, []byte, uint32)       { c.packets++ }
func (c *counting) Clock(media.Kind, uint64, uint32)        { c.reports++ }
func (c *counting) Lost(media.Kind)                         { c.lost++ }
func (*counting) Closed(error)                              {}

func newReceiver(tb testing.TB) *Receiver {
	tb.Helper()
	return newReceiverWith(tb, DefaultConfig())
}

func newReceiverWith(tb testing.TB, cfg Config) *Receiver {
	tb.Helper()
	port, err := udp.Open(tb.Context(), udp.Config{Sockets: 1})
	if err != nil {
		tb.Fatal(err)
	}
	r, err := New(cfg, port, slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		r.Close()
		port.Close()
	})
	return r
}

func offer(tb testing.TB, name string) rtc.Offer {
	tb.Helper()
	sdp, err := os.ReadFile(filepath.Join("../testdata", name+".sdp"))
	if err != nil {
		tb.Fatal(err)
	}
	return rtc.Offer{SDP: string(sdp)}
}

func parse(tb testing.TB, o rtc.Offer) *rtc.ParsedOffer {
	tb.Helper()
	parsed, err := o.Parse()
	if err != nil {
		tb.Fatal(err)
	}
	return parsed
}

// remote is the client of a session: it has the same keys.
type remote struct {
	*session
	sink   *counting
	rx, tx *srtp.Context
}

// newRemote makes a session for an offer, and gives both ends keys as if DTLS had agreed on them.
func newRemote(tb testing.TB, r *Receiver, o rtc.Offer) *remote {
	tb.Helper()
	p := &remote{sink: &counting{}}
	made, _, err := r.Answer(tb.Context(), parse(tb, o), p.sink)
	if err != nil {
		tb.Fatal(err)
	}
	p.session = made.(*session)
	create := func(options ...srtp.ContextOption) *srtp.Context {
		c, err := srtp.CreateContext(make([]byte, 16), make([]byte, 12), srtp.ProtectionProfileAeadAes128Gcm, options...)
		if err != nil {
			tb.Fatal(err)
		}
		return c
	}
	p.rx, p.tx = create(), create()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.session.rx, p.session.tx = create(srtp.SRTPReplayProtection(1024)), create()
	return p
}

// inSocket runs f in the goroutine of the socket.
func (p *remote) inSocket(tb testing.TB, f func(socket *udp.Socket)) {
	tb.Helper()
	done := make(chan struct{})
	socket := p.r.port.Socket(false)
	socket.Do(func() {
		defer close(done)
		f(socket)
	})
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		tb.Fatal("the socket's goroutine does nothing")
	}
}

// check makes a check of the client.
func (p *remote) check(tb testing.TB, setters ...stun.Setter) []byte {
	tb.Helper()
	all := append([]stun.Setter{stun.TransactionID, stun.BindingRequest, stun.NewUsername(p.ice.keys.ufrag + ":" + p.offer.Used()[0].Ufrag)}, setters...)
	m, err := stun.Build(append(all, p.ice.keys.local, stun.Fingerprint)...)
	if err != nil {
		tb.Fatal(err)
	}
	return m.Raw
}

// packet makes an RTP packet of the client.
func (p *remote) packet(tb testing.TB, h rtp.Header, payload []byte) []byte {
	tb.Helper()
	h.Version = 2
	plain, err := (&rtp.Packet{Header: h, Payload: payload}).Marshal()
	if err != nil {
		tb.Fatal(err)
	}
	b, err := p.tx.EncryptRTP(nil, plain, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestAccepts(t *testing.T) {
	r := newReceiver(t)
	for name, want := range map[string]error{
		"chromium": nil, "edge-publish": nil, "safari-publish": nil, "safari-ios-publish": nil, "android-publish": nil,
		"firefox-publish": nil, "obs-publish": nil, "android-without-h264-publish": rtc.ErrNoCommonCodecs,
	} {
		if err := r.Accepts(parse(t, offer(t, name))); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	for name, edit := range map[string]func(*rtc.Offer){
		"TCP":         func(o *rtc.Offer) { o.TCP = true },
		"lite":        func(o *rtc.Offer) { o.SDP = strings.Replace(o.SDP, "t=0 0\r\n", "t=0 0\r\na=ice-lite\r\n", 1) },
		"simulcast":   func(o *rtc.Offer) { o.SDP += "a=simulcast:send h;l\r\n" },
		"fingerprint": func(o *rtc.Offer) { o.SDP = strings.ReplaceAll(o.SDP, "sha-256", "sha-384") },
	} {
		o := offer(t, "chromium")
		edit(&o)
		if err := r.Accepts(parse(t, o)); !errors.Is(err, rtc.ErrBadOffer) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAnswer: the answer has what the client needs, and nothing is left when the session is closed.
func TestAnswer(t *testing.T) {
	r := newReceiver(t)
	s, answer, err := r.Answer(t.Context(), parse(t, offer(t, "safari-publish")), &counting{})
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(answer, "\r\n")
	for _, want := range []string{"a=ice-lite", "a=group:BUNDLE 0 1", "a=setup:active", "a=end-of-candidates", "a=recvonly"} {
		if !slices.Contains(lines, want) {
			t.Errorf("no %q in the answer\n%s", want, answer)
		}
	}
	ufrag := s.(*session).ice.keys.ufrag
	if r.port.User(ufrag, false) == nil || r.port.User(ufrag, true) == nil {
		t.Error("the session is not known by its name")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if r.port.User(ufrag, false) != nil || r.port.User(ufrag, true) != nil || len(r.sessions) > 0 {
		t.Error("a closed session is known")
	}
	r.Close()
	if _, _, err := r.Answer(t.Context(), parse(t, offer(t, "safari-publish")), &counting{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed receiver answers with %v", err)
	}
}

// client opens a socket for a client.
func client(t *testing.T) *net.UDPConn {
	t.Helper()
	return clientOn(t, netip.MustParseAddr("127.0.0.1"))
}

func clientOn(t *testing.T, host netip.Addr) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(host, 0)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

func address(c *net.UDPConn) netip.AddrPort { return c.LocalAddr().(*net.UDPAddr).AddrPort() }

// TestChecks: which checks get which replies, and which addresses are believed.
func TestChecks(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		t.Run(host, func(t *testing.T) { testChecks(t, netip.MustParseAddr(host)) })
	}
}

func testChecks(t *testing.T, host netip.Addr) {
	r := newReceiver(t)
	if r.port.Socket(host.Is6()) == nil {
		t.Skip("no IPv6 here")
	}
	p := newRemote(t, r, offer(t, "chromium"))
	c := clientOn(t, host)
	server := netip.AddrPortFrom(host, uint16(r.port.Number()))
	forged := p.check(t)
	forged[len(forged)-20] ^= 1 // in the integrity, which the fingerprint covers as well
	stranger, _ := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername(p.ice.keys.ufrag+":other"), p.ice.keys.local)
	for _, b := range [][]byte{forged, stranger.Raw, p.check(t, stun.RawAttribute{Type: stun.AttrICEControlled, Value: make([]byte, 8)}), p.check(t)} {
		if _, err := c.WriteToUDPAddrPort(b, server); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, udp.MaxDatagram)
	var got []stun.MessageType
	for range 3 {
		n, _, err := c.ReadFromUDPAddrPort(buf)
		if err != nil {
			t.Fatalf("after %v: %v", got, err)
		}
		m := stun.Message{Raw: buf[:n]}
		if err := m.Decode(); err != nil {
			if buf[0] >= 20 { // the handshake, which we begin
				got = append(got, stun.MessageType{})
				continue
			}
			t.Fatal(err)
		}
		var code stun.ErrorCodeAttribute
		if m.Type == stun.BindingError && (code.GetFrom(&m) != nil || code.Code != stun.CodeRoleConflict) {
			t.Errorf("refused with %v", code)
		}
		if m.Type == stun.BindingSuccess {
			var mapped stun.XORMappedAddress
			if err := mapped.GetFrom(&m); err != nil || mapped.Port != int(address(c).Port()) || p.ice.keys.local.Check(&m) != nil {
				t.Errorf("answered with %v, %v", mapped, err)
			}
		}
		got = append(got, m.Type)
	}
	if got[0] != stun.BindingError || got[1] != stun.BindingSuccess {
		t.Errorf("answered with %v", got)
	}
	if n := r.Refused(); n != 2 {
		t.Errorf("%d datagrams refused, want 2", n)
	}
	if st := p.Stats(); !st.ICEConnected {
		t.Errorf("stats %+v", st)
	}
	p.Close()
}

// TestHandshakeSlots: with one slot, the second handshake waits for the first, but not for long if the first client falls
// silent.
func TestHandshakeSlots(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Handshakes = 1
	r := newReceiverWith(t, cfg)
	r.handshakes <- struct{}{} // somebody has the only place
	o := offer(t, "chromium")
	o.SDP = strings.ReplaceAll(o.SDP, "a=setup:actpass", "a=setup:active")
	p, c := newRemote(t, r, o), client(t)
	defer p.Close()
	server := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(r.port.Number()))
	send := func(b []byte) {
		t.Helper()
		if _, err := c.WriteToUDPAddrPort(b, server); err != nil {
			t.Fatal(err)
		}
	}
	send(p.check(t))
	<-p.found
	buf := make([]byte, udp.MaxDatagram)
	answered := func() bool {
		t.Helper()
		for {
			n, _, err := c.ReadFromUDPAddrPort(buf)
			switch {
			case errors.Is(err, os.ErrDeadlineExceeded):
				return false
			case err != nil:
				t.Fatal(err)
			case n > 0 && buf[0] == 22:
				return true
			}
		}
	}
	send(clientHello(t))
	if err := c.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if answered() {
		t.Error("a handshake began while another one had the only slot")
	}
	<-r.handshakes
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if !answered() {
		t.Fatal("the handshake never began")
	}
	select {
	case r.handshakes <- struct{}{}: // the client has fallen silent
	case <-time.After(10 * time.Second):
		t.Error("a silent client keeps its slot")
	}
}

// clientHello returns the first message of a handshake.
func clientHello(tb testing.TB) []byte {
	tb.Helper()
	in, out := net.Pipe()
	defer in.Close()
	c, err := dtls.ClientWithOptions(dtlsnet.PacketConnFromConn(out), &net.UDPAddr{}, dtls.WithInsecureSkipVerify(true),
		dtls.WithSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM))
	if err != nil {
		tb.Fatal(err)
	}
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(tb.Context())
	go func() {
		defer close(done)
		_ = c.HandshakeContext(ctx)
	}()
	defer func() {
		cancel()
		in.Close()
		<-done
		c.Close()
	}()
	b := make([]byte, udp.MaxDatagram)
	n, err := in.Read(b)
	if err != nil {
		tb.Fatal(err)
	}
	return b[:n]
}

// faulty is a sink that panics.
type faulty struct {
	counting
	closed chan error
}

func (*faulty) Video(media.Codec, []byte, uint32, bool) { panic("a fault") }
func (f *faulty) Closed(cause error)                    { f.closed <- cause }

// TestPanicEndsOneSession: after a panic in one session the socket's goroutine goes on, and with it the other sessions.
func TestPanicEndsOneSession(t *testing.T) {
	r := newReceiver(t)
	sink := &faulty{closed: make(chan error, 1)}
	p := newRemote(t, r, offer(t, "chromium"))
	other := newRemote(t, r, offer(t, "chromium"))
	p.mu.Lock()
	p.session.sink, p.session.video.jitter = sink, p.video.section.NewJitterBuffer(r.cfg.JitterBuffer, r.cfg.Orientation, sink)
	p.mu.Unlock()
	for _, x := range []*remote{p, other} {
		frame := x.frames(t, 1)[0]
		x.inSocket(t, func(socket *udp.Socket) {
			for _, b := range frame {
				x.Receive(&udp.Datagram{Socket: socket, Data: b, From: netip.MustParseAddrPort("127.0.0.1:9")})
			}
		})
	}
	select {
	case err := <-sink.closed:
		if !errors.Is(err, errPanic) {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the session goes on")
	}
	if other.sink.units != 1 || r.panics.Load() != 1 {
		t.Errorf("%d units for the other one, %d panics", other.sink.units, r.panics.Load())
	}
	p.Close()
	other.Close()
}

// TestPathsAreBounded: of a client that sends checks from many addresses, some paths are kept, and the selected path is one
// of them.
func TestPathsAreBounded(t *testing.T) {
	r := newReceiver(t)
	p := newRemote(t, r, offer(t, "chromium"))
	used := netip.MustParseAddrPort("127.0.0.1:9")
	p.inSocket(t, func(socket *udp.Socket) {
		for i := range 50 {
			from := netip.AddrPortFrom(used.Addr(), used.Port()+uint16(i))
			setters := []stun.Setter{}
			if i == 0 {
				setters = append(setters, stun.RawAttribute{Type: stun.AttrUseCandidate})
			}
			p.Receive(&udp.Datagram{Socket: socket, Data: p.check(t, setters...), From: from, Check: true, At: time.Duration(i)})
		}
	})
	p.mu.Lock()
	n, at := len(p.ice.paths), p.ice.selected.addr
	p.mu.Unlock()
	if n != maxPaths || at != used {
		t.Errorf("%d paths, %v in use", n, at)
	}
	p.Close()
}

// TestFeedback: each compound packet starts as RFC 3550 demands, unless reduced size was agreed on, and has what is due.
func TestFeedback(t *testing.T) {
	for _, reduced := range []bool{false, true} {
		r := newReceiver(t)
		o := offer(t, "chromium")
		if !reduced {
			o.SDP = strings.ReplaceAll(o.SDP, "a=rtcp-rsize\r\n", "")
		}
		o.SDP = strings.ReplaceAll(o.SDP, "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01", "none")
		p := newRemote(t, r, o)
		c := client(t)
		video := p.video.section.PayloadType
		p.mu.Lock()
		p.ice.selected = &path{addr: address(c), keys: p.ice.keys}
		p.socket.Store(r.port.Socket(false))
		for _, seq := range []uint16{65534, 65535, 3} { // 0, 1 and 2 are missing
			p.open(p.packet(t, rtp.Header{PayloadType: video, SequenceNumber: seq, SSRC: 77}, []byte{0x41, 1}), time.Second, time.Second)
		}
		report, err := p.tx.EncryptRTCP(nil, must(t)((&rtcp.SenderReport{SSRC: 77, NTPTime: 0x0000_1234_5678_0000}).Marshal()), nil)
		if err != nil {
			t.Fatal(err)
		}
		p.open(report, time.Second, time.Second)
		p.session.feedback(1100 * time.Millisecond)
		p.session.feedback(1200 * time.Millisecond)
		p.ice.selected = nil
		p.socket.Store(nil)
		p.mu.Unlock()

		first, second := read(t, p, c), read(t, p, c)
		rr, ok := first[0].(*rtcp.ReceiverReport)
		if !ok || len(rr.Reports) != 1 {
			t.Fatalf("reduced %v: begins with %v", reduced, first)
		}
		want := rtcp.ReceptionReport{
			SSRC: 77, FractionLost: 3 * 256 / 6, TotalLost: 3, LastSequenceNumber: 65536 + 3, LastSenderReport: 0x1234_5678, Delay: 6553,
			Jitter: rr.Reports[0].Jitter,
		}
		if rr.Reports[0] != want {
			t.Errorf("reduced %v: reports %+v, want %+v", reduced, rr.Reports[0], want)
		}
		if _, ok := first[1].(*rtcp.SourceDescription); !ok {
			t.Errorf("reduced %v: %T is second", reduced, first[1])
		}
		var nack *rtcp.TransportLayerNack
		var kinds [3]bool
		for _, x := range first[2:] {
			switch x := x.(type) {
			case *rtcp.TransportLayerNack:
				nack, kinds[0] = x, true
			case *rtcp.PictureLossIndication:
				kinds[1] = x.MediaSSRC == 77
			case *rtcp.ReceiverEstimatedMaximumBitrate:
				kinds[2] = x.Bitrate == 10_000_000
			}
		}
		if kinds != [3]bool{true, true, true} || !slices.Equal(nack.Nacks[0].PacketList(), []uint16{0, 1, 2}) {
			t.Errorf("reduced %v: %v", reduced, first)
		}
		if _, bare := second[0].(*rtcp.TransportLayerNack); bare != reduced {
			t.Errorf("reduced %v: then %v", reduced, second)
		}
		p.Close()
	}
}

// TestTransportFeedback: the feedback tells when the kernel got packets, not when they were read.
func TestTransportFeedback(t *testing.T) {
	r := newReceiver(t)
	p := newRemote(t, r, offer(t, "chromium"))
	defer p.Close()
	c := client(t)
	p.mu.Lock()
	p.ice.selected = &path{addr: address(c), keys: p.ice.keys}
	p.socket.Store(r.port.Socket(false))
	arrived := []time.Duration{100 * time.Millisecond, 103 * time.Millisecond, 103 * time.Millisecond, 121 * time.Millisecond}
	for i, at := range arrived {
		h := rtp.Header{PayloadType: p.audio.section.PayloadType, SequenceNumber: uint16(i), SSRC: 7}
		if err := h.SetExtension(p.transportCC, []byte{255, byte(i)}); err != nil {
			t.Fatal(err)
		}
		p.open(p.packet(t, h, []byte{1}), 150*time.Millisecond, at)
	}
	p.due.report = time.Hour
	p.session.feedback(200 * time.Millisecond)
	p.ice.selected = nil
	p.socket.Store(nil)
	p.mu.Unlock()
	for _, x := range read(t, p, c) {
		f, ok := x.(*rtcp.TransportLayerCC)
		if !ok {
			continue
		}
		var got []time.Duration
		at := time.Duration(f.ReferenceTime) * 64 * time.Millisecond
		for _, d := range f.RecvDeltas {
			at += time.Duration(d.Delta) * time.Microsecond
			got = append(got, at)
		}
		if f.BaseSequenceNumber != 255<<8 || !slices.Equal(got, arrived) {
			t.Errorf("packets from %d on came at %v, want %v", f.BaseSequenceNumber, got, arrived)
		}
		return
	}
	t.Error("no transport-wide feedback")
}

func must(t *testing.T) func([]byte, error) []byte {
	return func(b []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
}

func read(t *testing.T, p *remote, c *net.UDPConn) []rtcp.Packet {
	t.Helper()
	buf := make([]byte, udp.MaxDatagram)
	n, _, err := c.ReadFromUDPAddrPort(buf)
	if err != nil {
		t.Fatal(err)
	}
	packets, err := rtcp.Unmarshal(must(t)(p.rx.DecryptRTCP(nil, buf[:n], nil)))
	if err != nil {
		t.Fatal(err)
	}
	return packets
}

// FuzzSTUN: checks have any attributes, signed with the right password, because the client itself may be hostile. It can
// move only itself.
func FuzzSTUN(f *testing.F) {
	r := newReceiver(f)
	o := offer(f, "chromium")
	f.Add([]byte{0, 0x25, 0, 0})
	f.Add([]byte{0x80, 0x29, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8})
	f.Add([]byte{0x80, 0x2a, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0x24, 0, 4, 0x6e, 0, 1, 0xff, 0, 0x25, 0, 0})
	f.Add([]byte{0, 6, 0, 3, 'a', ':', 'b', 0, 0, 8, 0, 20, 0x80, 0x28, 0, 4})
	f.Fuzz(func(t *testing.T, attributes []byte) {
		p := newRemote(t, r, o)
		defer p.Close()
		m := &stun.Message{Type: stun.BindingRequest}
		m.WriteHeader()
		_ = stun.NewUsername(p.ice.keys.ufrag + ":" + p.offer.Used()[0].Ufrag).AddTo(m)
		m.Raw = append(m.Raw, attributes...)
		m.Length += uint32(len(attributes))
		m.WriteLength()
		_ = p.ice.keys.local.AddTo(m)
		from := netip.MustParseAddrPort("127.0.0.1:9")
		p.inSocket(t, func(socket *udp.Socket) {
			for _, b := range [][]byte{m.Raw, attributes} {
				p.Receive(&udp.Datagram{Socket: socket, Data: slices.Clone(b), From: from, Check: true})
			}
			p.stands(t, from)
		})
	})
}

// stands fails if the session has ended, or sends to another address.
func (p *remote) stands(t *testing.T, at netip.AddrPort) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := p.r.panics.Load(); n > 0 || p.ended || p.ice.selected != nil && p.ice.selected.addr != at || len(p.ice.paths) > 1 {
		t.Errorf("%d panics, ended %v, %d paths", n, p.ended, len(p.ice.paths))
	}
}

// FuzzStranger: a datagram from somebody without the keys changes nothing.
func FuzzStranger(f *testing.F) {
	r := newReceiver(f)
	o := offer(f, "chromium")
	forged, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername("a:b"), stun.NewShortTermIntegrity("x"), stun.Fingerprint)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(forged.Raw)
	f.Add([]byte{1, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add(clientHello(f))
	f.Add([]byte{0x80, 102, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0x7c, 0x85, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{0x80, 200, 0, 6, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5, 0x80, 0, 0, 1})
	f.Add([]byte{70, 1, 2, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		p := newRemote(t, r, o)
		defer p.Close()
		here, there := netip.MustParseAddrPort("127.0.0.1:9"), netip.MustParseAddrPort("127.0.0.1:13")
		p.inSocket(t, func(socket *udp.Socket) {
			p.Receive(&udp.Datagram{Socket: socket, Data: p.check(t), From: here, Check: true, At: time.Second})
			for _, from := range []netip.AddrPort{here, there} {
				p.Receive(&udp.Datagram{Socket: socket, Data: slices.Clone(b), From: from, At: time.Minute})
			}
			// DTLS has a handshake that strangers can end (RFC 6347, 4.1.2.7).
			if len(b) == 0 || b[0] < 20 || b[0] >= 64 {
				p.stands(t, here)
			}
			if p.ice.heardAt != time.Second {
				t.Errorf("a stranger keeps the session alive, at %v", p.ice.heardAt)
			}
		})
	})
}

// FuzzDTLS: a handshake with any datagrams, each behind its length, after a good first one or not, ends in time and gives
// its slot back.
func FuzzDTLS(f *testing.F) {
	r := newReceiver(f)
	o := offer(f, "chromium")
	o.SDP = strings.ReplaceAll(o.SDP, "a=setup:actpass", "a=setup:active")
	hello := clientHello(f)
	f.Add(true, []byte{15, 21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 1, 0})
	f.Add(false, append([]byte{byte(len(hello))}, hello...))
	f.Add(true, []byte{26, 22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 7, 0, 13, 1, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 1, 0})
	f.Add(true, []byte{14, 20, 254, 253, 0, 0, 0, 0, 0, 0, 0, 3, 0, 1, 1, 14, 23, 254, 253, 0, 1, 0, 0, 0, 0, 0, 9, 0, 1, 0})
	f.Add(false, []byte{25, 22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, begun bool, in []byte) {
		p := newRemote(t, r, o)
		from := netip.MustParseAddrPort("127.0.0.1:9")
		take := func(b []byte) {
			p.inSocket(t, func(socket *udp.Socket) {
				p.Receive(&udp.Datagram{Socket: socket, Data: b, From: from})
			})
		}
		take(p.check(t))
		if begun {
			take(hello)
		}
		for len(in) > 1 {
			n := min(int(in[0]), len(in)-1)
			if b := in[1 : 1+n]; n > 0 && b[0] >= 20 && b[0] < 64 {
				take(b)
			}
			in = in[1+n:]
		}
		closed := make(chan struct{})
		go func() {
			p.Close()
			close(closed)
		}()
		select {
		case <-closed:
		case <-time.After(10 * time.Second):
			t.Fatal("the session does not end")
		}
		testkit.Eventually(t, 10*time.Second, func() string {
			if len(r.handshakes) > 0 {
				return "the handshake keeps its slot"
			}
			return ""
		})
		if n := r.panics.Load(); n > 0 {
			t.Fatalf("%d panics", n)
		}
	})
}

// FuzzMedia: after any packet, with or without the right keys, good packets still get through.
func FuzzMedia(f *testing.F) {
	r := newReceiver(f)
	o := offer(f, "chromium")
	f.Add([]byte{0x80, 102, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0x7c, 0x85, 1, 2})
	f.Add([]byte{0x90, 103, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0xbe, 0xde, 0, 1, 0x31, 1, 2, 0, 1, 2, 0x41, 0})
	f.Add([]byte{0x90, 111, 0xff, 0xff, 0, 0, 0, 1, 0, 0, 0, 3, 0xbe, 0xde, 0, 1, 0x31, 1, 2, 0, 0xfc})
	f.Add([]byte{0x80, 200, 0, 6, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 6})
	f.Fuzz(func(t *testing.T, b []byte) {
		p := newRemote(t, r, o)
		defer p.Close()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.open(slices.Clone(b), 0, 0)
		if sealed, err := p.tx.EncryptRTP(nil, slices.Clone(b), nil); err == nil && len(b) <= 1500 {
			p.open(sealed, time.Second, time.Second)
		}
		if sealed, err := p.tx.EncryptRTCP(nil, slices.Clone(b), nil); err == nil {
			p.open(sealed, time.Second, time.Second)
		}
		before := p.sink.packets
		// Where it took the place of the sound's SSRC, this one may take it back after a while.
		for i := range 2 {
			good := p.packet(t, rtp.Header{PayloadType: p.audio.section.PayloadType, SequenceNumber: uint16(i), SSRC: 0xfeed}, []byte{1})
			p.open(good, time.Minute, time.Minute)
		}
		if p.sink.packets < before+1 {
			t.Errorf("%d packets of sound after it", p.sink.packets-before)
		}
	})
}

// frames makes frames of the client: all are key frames, of ten packets each.
func (p *remote) frames(tb testing.TB, n int) [][][]byte {
	tb.Helper()
	const packets = 10
	frames := make([][][]byte, n)
	payload := make([]byte, 1150)
	var seq uint16
	for k := range frames {
		for i := range packets {
			payload[0], payload[1] = 0x7c, 0x05 // FU-A of an IDR slice
			switch i {
			case 0:
				payload[1] |= 0x80
			case packets - 1:
				payload[1] |= 0x40
			}
			h := rtp.Header{
				PayloadType: p.video.section.PayloadType, SequenceNumber: seq, Timestamp: uint32(3000 * k), SSRC: 77, Marker: i == packets-1,
			}
			if err := h.SetExtension(p.transportCC, []byte{byte(seq >> 8), byte(seq)}); err != nil {
				tb.Fatal(err)
			}
			frames[k] = append(frames[k], p.packet(tb, h, payload))
			seq++
		}
	}
	return frames
}

// take gives the session a frame, in the way of its socket.
func (p *remote) take(frame [][]byte, now time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range frame {
		p.open(b, now, now)
	}
}

// TestMemory: a packet or a frame needs no memory on the way to the sink, and neither does feedback.
func TestMemory(t *testing.T) {
	p := newRemote(t, newReceiver(t), offer(t, "chromium"))
	defer p.Close()
	nowhere, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer nowhere.Close()
	const runs, each = 300, 3
	frames := p.frames(t, (2*runs+1)*each)
	i := 0
	p.inSocket(t, func(socket *udp.Socket) {
		p.mu.Lock()
		p.ice.selected = &path{addr: nowhere.LocalAddr().(*net.UDPAddr).AddrPort(), keys: p.ice.keys}
		p.socket.Store(socket)
		p.due.report = time.Hour // reports are made anew each second
		p.mu.Unlock()
		next := func() {
			for range each {
				p.take(frames[i], time.Duration(i)*feedbackInterval/each)
				i++
			}
			p.mu.Lock()
			defer p.mu.Unlock()
			p.feedback(time.Duration(i)*feedbackInterval/each + grid)
		}
		for range runs {
			next()
		}
		if n := testing.AllocsPerRun(runs, next); n != 0 && countsAllocations {
			t.Errorf("%v allocations for three frames of ten packets and the feedback, want none", n)
		}
	})
	if told := uint8(len(frames) / each % 256); p.sink.units != len(frames) || p.arrivals.due() || p.arrivals.count != told {
		t.Errorf("%d units of %d frames, feedback number %d, want %d", p.sink.units, len(frames), p.arrivals.count, told)
	}
}

// countsAllocations is false under the race detector, where sync.Pool drops items at random.
var countsAllocations = true

// BenchmarkFrame measures the cost of a frame of ten packets, up to the sink.
func BenchmarkFrame(b *testing.B) {
	r := newReceiver(b)
	b.ReportAllocs()
	for i := 0; i < b.N; {
		b.StopTimer()
		p := newRemote(b, r, offer(b, "chromium"))
		frames := p.frames(b, min(b.N-i, 500))
		b.StartTimer()
		for k, frame := range frames {
			p.take(frame, time.Duration(k)*33*time.Millisecond)
		}
		i += len(frames)
		b.StopTimer()
		p.Close()
	}
}
