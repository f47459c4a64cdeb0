package leg

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"go.uber.org/goleak"

	"transponder/internal/media"
	"transponder/internal/rtc"
	"transponder/internal/sip/sdp"
	"transponder/internal/stream"
	"transponder/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// told takes the events of a leg.
type told struct {
	mu    sync.Mutex
	lines []string // guarded by mu
}

func (e *told) add(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lines = append(e.lines, fmt.Sprintf(format, args...))
}

func (e *told) Began(k media.Kind)              { e.add("began %v", k) }
func (e *told) Digit(key byte, d time.Duration) { e.add("digit %c %v", key, d) }
func (e *told) KeyFrameMissing()                { e.add("key frame missing") }
func (e *told) MediaTimeout(err error)          { e.add("timeout: %v", err) }
func (e *told) StreamEnded(err error)           { e.add("stream ended: %v", err) }
func (e *told) SoundEnded(err error)            { e.add("sound ended: %v", err) }
func (e *told) all() []string                   { e.mu.Lock(); defer e.mu.Unlock(); return slices.Clone(e.lines) }
func (e *told) has(line string) bool            { return slices.Contains(e.all(), line) }
func (e *told) await(t *testing.T, line string) {
	t.Helper()
	testkit.Eventually(t, 10*time.Second, func() string {
		if e.has(line) {
			return ""
		}
		return fmt.Sprintf("no event %q, only %q", line, e.all())
	})
}

// line is one leg with the phone at its other end. The clock of the leg stands still, and the ticker does nothing, until pass is called.
type line struct {
	t      testing.TB
	legs   *Legs
	leg    *Leg
	events *told
	hub    *stream.Hub
	src    *stream.Source // that the leg writes to
	clock  *atomic.Int64
	ended  chan error
	cancel context.CancelFunc

	audio, video *socket // of the phone
	audioRTCP    *socket
	videoRTCP    *socket
}

// newLegs makes the media of calls with a clock that the test moves.
func newLegs(tb testing.TB, cfg Config, parts Parts) (*Legs, *atomic.Int64) {
	tb.Helper()
	if err := cfg.Validate(); err != nil {
		tb.Fatal(err)
	}
	s := New(cfg, parts, slog.New(slog.DiscardHandler))
	clock := &atomic.Int64{}
	clock.Store(int64(time.Hour))
	s.clock = func() time.Duration { return time.Duration(clock.Load()) }
	return s, clock
}

// testConfig has ports of its own: below those that the kernel hands out, and apart from those of other tests.
func testConfig() Config {
	cfg := DefaultConfig()
	cfg.PortFrom, cfg.PortTo = 24000, 25999
	return cfg
}

// newLine opens a leg, and a phone on 127.0.0.1.
func newLine(tb testing.TB, change ...func(*Config, *Parts)) *line {
	tb.Helper()
	cfg, parts := testConfig(), Parts{}
	for _, f := range change {
		f(&cfg, &parts)
	}
	legs, clock := newLegs(tb, cfg, parts)
	return newLineOf(tb, legs, clock)
}

func newLineOf(tb testing.TB, legs *Legs, clock *atomic.Int64) *line {
	tb.Helper()
	p := &line{t: tb, legs: legs, clock: clock, events: &told{}, ended: make(chan error, 1)}
	cfg := stream.DefaultConfig()
	cfg.KeyFrameGap = 0 // each wish is asked for at once
	p.hub = stream.NewHub(cfg, nil)
	var err error
	p.leg, err = legs.Open(Options{Name: "call", Bind: netip.MustParseAddr("127.0.0.1"), Audio: true, Video: true, Events: p.events})
	if err != nil {
		tb.Fatal(err)
	}
	p.audio, p.video = p.socket(p.leg.AudioPort()), p.socket(p.leg.VideoPort())
	p.audioRTCP, p.videoRTCP = p.socket(p.leg.AudioPort()+1), p.socket(p.leg.VideoPort()+1)
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	go func() { p.ended <- p.leg.Run(ctx) }()
	testkit.Eventually(tb, 10*time.Second, func() string {
		if list, _ := legs.running(nil); !slices.Contains(list, p.leg) {
			return "the leg does not run"
		}
		return ""
	})
	tb.Cleanup(func() {
		cancel()
		if err := p.wait(); !errors.Is(err, context.Canceled) && !tb.Failed() {
			tb.Errorf("the leg ended with %v", err)
		}
		if p.src != nil {
			p.src.Close(nil)
		}
	})
	return p
}

// wait returns why Run has ended.
func (p *line) wait() error {
	select {
	case err := <-p.ended:
		p.ended <- err
		return err
	case <-time.After(10 * time.Second):
		return errors.New("it does not end")
	}
}

// pass lets time pass for the leg, with the beats of the ticker.
func (p *line) pass(d time.Duration) {
	for range d / beat {
		p.leg.beat(time.Duration(p.clock.Add(int64(beat))))
	}
}

// publish makes the stream that the leg writes to.
func (p *line) publish() {
	p.t.Helper()
	var err error
	p.src, err = p.hub.Publish(stream.Info{Name: "phone", ID: "phone", HasAudio: true, HasVideo: true, AskKeyFrame: p.leg.AskKeyFrame})
	if err != nil {
		p.t.Fatal(err)
	}
	p.leg.Publish(p.src)
}

// soundFlow and pictureFlow are what the phone of the line agrees to.
func (p *line) soundFlow() *sdp.Flow {
	at := p.audio.addr()
	return &sdp.Flow{
		Direction: sdp.SendRecv, Send: sdp.Type{Number: 0, Codec: sdp.PCMU}, Events: &sdp.Type{Number: 101, Codec: sdp.Events},
		Receive: map[uint8]sdp.Codec{0: sdp.PCMU, 8: sdp.PCMA, 111: sdp.Opus, 101: sdp.Events, 13: sdp.CN},
		Address: at.Addr().String(), Port: int(at.Port()),
		RTCPAddress: at.Addr().String(), RTCPPort: int(p.audioRTCP.addr().Port()), PacketTime: 20 * time.Millisecond,
	}
}

func (p *line) pictureFlow() *sdp.Flow {
	at := p.video.addr()
	return &sdp.Flow{
		Direction: sdp.RecvOnly, Send: sdp.Type{Number: 97, Codec: sdp.H264, Params: "packetization-mode=1"},
		Receive: map[uint8]sdp.Codec{97: sdp.H264, 96: sdp.H264},
		Address: at.Addr().String(), Port: int(at.Port()),
		RTCPAddress: at.Addr().String(), RTCPPort: int(p.videoRTCP.addr().Port()), PLI: true, FIR: true,
	}
}

// answer agrees on sound and picture, starts the call and publishes it.
func (p *line) answer() {
	p.agree(p.soundFlow(), p.pictureFlow())
	p.leg.Start()
	p.publish()
}

func (p *line) agree(sound, picture *sdp.Flow) {
	p.leg.Agree(sdp.Agreement{Audio: sound, Video: picture}, netip.MustParseAddr("127.0.0.3"))
}

// socket is a socket of the phone, or of a stranger.
type socket struct {
	p    *line
	conn *net.UDPConn
	to   netip.AddrPort
	ssrc uint32
	seq  uint16
	time uint32
}

// socket makes one that sends to a port of the leg.
func (p *line) socket(port int) *socket { return p.socketOn("127.0.0.1", port) }

func (p *line) socketOn(host string, port int) *socket {
	p.t.Helper()
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(host), 0)))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { conn.Close() })
	return &socket{
		p: p, conn: conn, to: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port)), ssrc: uint32(port), seq: 65530, time: 1 << 31,
	}
}

func (s *socket) addr() netip.AddrPort { return s.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// send sends bytes to the leg.
func (s *socket) send(b []byte) {
	s.p.t.Helper()
	if _, err := s.conn.WriteToUDPAddrPort(b, s.to); err != nil {
		s.p.t.Fatal(err)
	}
}

// packet makes the next packet.
func (s *socket) packet(number uint8, marker bool, payload []byte) []byte {
	if marker {
		number |= 0x80
	}
	b := []byte{0x80, number}
	b = binary.BigEndian.AppendUint16(b, s.seq)
	b = binary.BigEndian.AppendUint32(b, s.time)
	b = binary.BigEndian.AppendUint32(b, s.ssrc)
	s.seq++
	return append(b, payload...)
}

// rtp sends a packet.
func (s *socket) rtp(number uint8, marker bool, payload ...byte) {
	s.p.t.Helper()
	s.send(s.packet(number, marker, payload))
}

// read returns the next datagram, nil if none is there.
func (s *socket) read() []byte {
	s.p.t.Helper()
	b := make([]byte, 65536)
	if err := s.conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		s.p.t.Fatal(err)
	}
	n, err := s.conn.Read(b)
	if err != nil {
		return nil
	}
	return b[:n]
}

// packets returns the RTP packets that are there.
func (s *socket) packets() (list []rtc.Packet) {
	s.p.t.Helper()
	for b := s.read(); b != nil; b = s.read() {
		p, err := rtc.ParsePacket(b)
		if err != nil {
			s.p.t.Fatalf("% x: %v", b, err)
		}
		list = append(list, p)
	}
	return list
}

// reports returns the RTCP packets that are there, each datagram checked as a compound packet.
func (s *socket) reports() (list []rtcp.Packet) {
	s.p.t.Helper()
	for b := s.read(); b != nil; b = s.read() {
		packets, err := rtcp.Unmarshal(b)
		if err == nil {
			err = rtcp.CompoundPacket(packets).Validate()
		}
		if err != nil {
			s.p.t.Fatalf("% x: %v", b, err)
		}
		list = append(list, packets...)
	}
	return list
}

// refused waits until the leg has refused so many datagrams, and checks the causes.
func (p *line) refused(t *testing.T, k media.Kind, want Refused) {
	t.Helper()
	testkit.Eventually(t, 10*time.Second, func() string {
		if got := p.stats(k).Refused; got != want {
			return fmt.Sprintf("refused %+v, want %+v", got, want)
		}
		return ""
	})
}

func (p *line) stats(k media.Kind) TrackStats {
	st := p.leg.Stats()
	if k == media.Video {
		return st.Video
	}
	return st.Audio
}

// received waits until the leg has taken so many packets of a kind.
func (p *line) received(t *testing.T, k media.Kind, want int64) {
	t.Helper()
	testkit.Eventually(t, 10*time.Second, func() string {
		if st := p.stats(k); st.Packets != want {
			return fmt.Sprintf("%d packets, want %d; refused %+v", st.Packets, want, st.Refused)
		}
		return ""
	})
}
