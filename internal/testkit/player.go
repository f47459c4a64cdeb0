package testkit

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"
)

// PlayerConfig says what a player takes, and what goes wrong on the network to it.
type PlayerConfig struct {
	Video, Audio bool
	MimeType     string  // the only video codec that it takes; empty: any
	Drop         float64 // share of the incoming packets that are lost
	Seed         uint64
}

// Played is one frame that a player got: for H.264 a byte stream with start codes, otherwise the content of the packets.
type Played struct {
	Data []byte
	Time uint32 // of RTP
}

// Report is a sender report that a player got.
type Report struct {
	NTP  uint64
	Time uint32 // of RTP
}

// Player plays over any exchange of offer and answer, and keeps what it gets. It is made by NewPlayer and lives as long as Run.
type Player struct {
	cfg       PlayerConfig
	connected chan struct{}

	mu      sync.Mutex
	changed chan struct{}       // guarded by mu; closed and replaced when something was received
	frames  map[string][]Played // guarded by mu; by kind
	packets map[string]int      // guarded by mu; by kind
	reports map[string][]Report // guarded by mu; by kind
	pc      *webrtc.PeerConnection
	ssrc    webrtc.SSRC // guarded by mu; of the video
}

// NewPlayer makes a player.
func NewPlayer(cfg PlayerConfig) *Player {
	return &Player{
		cfg: cfg, connected: make(chan struct{}), changed: make(chan struct{}),
		frames: map[string][]Played{}, packets: map[string]int{}, reports: map[string][]Report{},
	}
}

// Connected is closed when the DTLS handshake is done.
func (p *Player) Connected() <-chan struct{} { return p.connected }

// Frames returns the frames received so far, of "video" or "audio".
func (p *Player) Frames(kind string) []Played {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.frames[kind]
}

// Packets returns how many packets came so far, of "video" or "audio". A packet that is lost for good holds up the frames after it, but not the count.
func (p *Player) Packets(kind string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.packets[kind]
}

// Reports returns the sender reports received so far.
func (p *Player) Reports(kind string) []Report {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reports[kind]
}

// RequestKeyFrame sends a PLI.
func (p *Player) RequestKeyFrame() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: uint32(p.ssrc)}})
}

// RestartICE restarts ICE, as Publisher.RestartICE does. The player is connected.
func (p *Player) RestartICE(ctx context.Context, exchange Exchange) error {
	p.mu.Lock()
	pc := p.pc
	p.mu.Unlock()
	return restartICE(ctx, pc, exchange)
}

// Wait waits until a condition holds. It checks the condition whenever something was received.
func (p *Player) Wait(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		p.mu.Lock()
		changed := p.changed
		p.mu.Unlock()
		if condition() {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("the player waits in vain for %s", what)
		}
	}
}

func (p *Player) note(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	close(p.changed)
	p.changed = make(chan struct{})
}

// Run offers, connects and plays until ctx ends, and then returns nil, or until the connection ends.
func (p *Player) Run(ctx context.Context, exchange Exchange) error {
	pc, err := p.connection()
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer pc.GracefulClose()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	for kind, wanted := range map[webrtc.RTPCodecType]bool{webrtc.RTPCodecTypeAudio: p.cfg.Audio, webrtc.RTPCodecTypeVideo: p.cfg.Video} {
		if wanted {
			direction := webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}
			t, err := pc.AddTransceiverFromKind(kind, direction)
			if err == nil && kind == webrtc.RTPCodecTypeVideo {
				err = p.prefer(t)
			}
			if err != nil {
				return err
			}
		}
	}
	pc.OnTrack(func(t *webrtc.TrackRemote, r *webrtc.RTPReceiver) {
		wg.Go(func() { p.readReports(t.Kind().String(), r) })
		p.read(t)
	})
	var once sync.Once
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		switch s {
		case webrtc.PeerConnectionStateConnected:
			once.Do(func() { close(p.connected) })
		case webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateClosed:
			cancel(ErrConnection)
		}
	})
	p.mu.Lock()
	p.pc = pc
	p.mu.Unlock()
	if err := Negotiate(ctx, pc, exchange); err != nil {
		return err
	}
	<-ctx.Done()
	if cause := context.Cause(ctx); errors.Is(cause, ErrConnection) {
		return cause
	}
	return nil
}

// prefer leaves only one video codec in the offer.
func (p *Player) prefer(t *webrtc.RTPTransceiver) error {
	if p.cfg.MimeType == "" {
		return nil
	}
	return t.SetCodecPreferences(slices.DeleteFunc(t.Receiver().GetParameters().Codecs, func(c webrtc.RTPCodecParameters) bool {
		return !strings.EqualFold(c.MimeType, p.cfg.MimeType)
	}))
}

func (p *Player) connection() (*webrtc.PeerConnection, error) {
	m := &webrtc.MediaEngine{}
	if err := m.RegisterDefaultCodecs(); err != nil {
		return nil, err
	}
	reg := &interceptor.Registry{}
	reg.Add(&losses{share: p.cfg.Drop, rand: rand.New(rand.NewPCG(p.cfg.Seed, 1))})
	if err := webrtc.RegisterDefaultInterceptors(m, reg); err != nil {
		return nil, err
	}
	var settings webrtc.SettingEngine
	settings.SetIncludeLoopbackCandidate(true)
	return webrtc.NewAPI(webrtc.WithMediaEngine(m), webrtc.WithInterceptorRegistry(reg), webrtc.WithSettingEngine(settings)).
		NewPeerConnection(webrtc.Configuration{})
}

// read assembles frames from packets until the track ends.
func (p *Player) read(t *webrtc.TrackRemote) {
	kind := t.Kind().String()
	if kind == "video" {
		p.note(func() { p.ssrc = t.SSRC() })
	}
	var parts rtp.Depacketizer
	switch t.Codec().MimeType {
	case webrtc.MimeTypeH264:
		parts = &codecs.H264Packet{}
	case webrtc.MimeTypeVP8:
		parts = &codecs.VP8Packet{}
	case webrtc.MimeTypeVP9:
		parts = &codecs.VP9Packet{}
	default:
		parts = &codecs.OpusPacket{}
	}
	order := sequence{waiting: map[uint16]*rtp.Packet{}}
	var frame []byte
	for {
		packet, _, err := t.ReadRTP()
		if err != nil {
			return
		}
		p.note(func() { p.packets[kind]++ })
		for _, packet := range order.put(packet) {
			part, err := parts.Unmarshal(packet.Payload)
			if err != nil {
				continue
			}
			frame = append(frame, part...)
			if kind == "audio" || packet.Marker {
				whole := Played{Data: frame, Time: packet.Timestamp}
				p.note(func() { p.frames[kind] = append(p.frames[kind], whole) })
				frame = nil
			}
		}
	}
}

// sequence puts packets in order. It waits for missing ones without a time limit.
type sequence struct {
	begun   bool
	next    uint16
	waiting map[uint16]*rtp.Packet
}

// maxWaiting is how many packets may wait for a missing one.
const maxWaiting = 8192

// put takes a packet and returns those that are now in order.
func (s *sequence) put(p *rtp.Packet) (out []*rtp.Packet) {
	if !s.begun {
		s.begun, s.next = true, p.SequenceNumber
	}
	if int16(p.SequenceNumber-s.next) < 0 {
		return nil // a duplicate
	}
	s.waiting[p.SequenceNumber] = p
	for len(s.waiting) > 0 {
		p, ok := s.waiting[s.next]
		if !ok && len(s.waiting) < maxWaiting {
			break
		}
		if ok {
			delete(s.waiting, s.next)
			out = append(out, p)
		}
		s.next++
	}
	return out
}

func (p *Player) readReports(kind string, r *webrtc.RTPReceiver) {
	for {
		packets, _, err := r.ReadRTCP()
		if err != nil {
			return
		}
		for _, packet := range packets {
			if sr, ok := packet.(*rtcp.SenderReport); ok {
				p.note(func() { p.reports[kind] = append(p.reports[kind], Report{NTP: sr.NTPTime, Time: sr.RTPTime}) })
			}
		}
	}
}

// losses drops a share of the incoming packets, but never a packet that was sent again: packets are decrypted before they get here, and
// receiving the same one a third time would count as a replay.
type losses struct {
	interceptor.NoOp
	share float64

	mu   sync.Mutex
	rand *rand.Rand // guarded by mu
}

func (l *losses) NewInterceptor(string) (interceptor.Interceptor, error) { return l, nil }

func (l *losses) BindRemoteStream(info *interceptor.StreamInfo, next interceptor.RTPReader) interceptor.RTPReader {
	if l.share == 0 || info.MimeType == webrtc.MimeTypeRTX {
		return next
	}
	return interceptor.RTPReaderFunc(func(b []byte, a interceptor.Attributes) (int, interceptor.Attributes, error) {
		for {
			n, a, err := next.Read(b, a)
			l.mu.Lock()
			lost := err == nil && l.rand.Float64() < l.share
			l.mu.Unlock()
			if !lost {
				return n, a, err
			}
		}
	})
}
