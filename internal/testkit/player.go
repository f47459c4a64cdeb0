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

// PlayerConfig says what a player takes, and what goes wrong on the way to it.
type PlayerConfig struct {
	Video, Audio bool
	MimeType     string  // the only codec of pictures that it takes; empty: any
	Drop         float64 // share of the incoming packets that are lost
	Seed         uint64
}

// Played is one frame that a player got: of H.264 a byte stream with start codes, else what the packets held.
type Played struct {
	Data []byte
	Time uint32 // of RTP
}

// Report is a sender report that a player got.
type Report struct {
	NTP  uint64
	Time uint32 // of RTP
}

// Player plays over any exchange of offer and answer, and keeps what comes. It is made with NewPlayer and lives as long as Run.
type Player struct {
	cfg       PlayerConfig
	connected chan struct{}

	mu      sync.Mutex
	changed chan struct{}       // guarded by mu; closed and made anew when something came
	frames  map[string][]Played // guarded by mu; by kind
	reports map[string][]Report // guarded by mu; likewise
	pc      *webrtc.PeerConnection
	ssrc    webrtc.SSRC // guarded by mu; of the pictures
}

// NewPlayer makes a player.
func NewPlayer(cfg PlayerConfig) *Player {
	return &Player{
		cfg: cfg, connected: make(chan struct{}), changed: make(chan struct{}),
		frames: map[string][]Played{}, reports: map[string][]Report{},
	}
}

// Connected is closed when DTLS is done.
func (p *Player) Connected() <-chan struct{} { return p.connected }

// Frames returns what came so far, of "video" or "audio".
func (p *Player) Frames(kind string) []Played {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.frames[kind]
}

// Reports returns the sender reports that came so far.
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

// Wait waits until a condition holds, which is looked at whenever something came.
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

// Run offers, connects and plays until ctx ends (nil) or the connection does.
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

// prefer leaves but one codec of pictures in the offer.
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

// read puts packets together until the track ends.
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

// sequence puts packets in order. It waits for those that are missing, as if it had all the time in the world.
type sequence struct {
	begun   bool
	next    uint16
	waiting map[uint16]*rtp.Packet
}

// maxWaiting is how many packets wait for a missing one.
const maxWaiting = 8192

// put returns the packets whose turn it is now that this one came.
func (s *sequence) put(p *rtp.Packet) (out []*rtp.Packet) {
	if !s.begun {
		s.begun, s.next = true, p.SequenceNumber
	}
	if int16(p.SequenceNumber-s.next) < 0 {
		return nil // it came before
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

// losses drops a share of the incoming packets. Repeated ones are spared: they are decrypted by then, and the same one once more would
// count for a replay.
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
