package testkit

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/transport/v5/stdnet"
	"github.com/pion/webrtc/v4"
)

// ErrConnection means that the connection of a publisher failed or was closed by the other side.
var ErrConnection = errors.New("connection lost")

// PublisherConfig says what a publisher sends, and what goes wrong on the network.
type PublisherConfig struct {
	Video, Audio bool
	Units        []Unit // of video, repeated; nil: SyntheticUnits
	Opus         [][]byte
	FPS          int
	Frames       int // ends after so many frames; 0: when the context ends
	MaxPayload   int // of an RTP packet

	NACK bool // sends packets again on request
	RTX  bool // uses a retransmission stream for that

	// Shares of the outgoing packets, retransmissions included, that are lost, swapped with the next, or sent twice.
	Drop, Swap, Twice float64
	Seed              uint64

	PLIGap    time.Duration // shortest time between two requested key frames
	Codecs    []webrtc.RTPCodecParameters
	NoReports bool // sends no sender reports
	Padding   bool // sends a packet of padding after each frame

	EveryNetwork bool   // also of other interfaces than the loopback
	Interface    string // the only network interface that it uses; "": see EveryNetwork

	Relays []webrtc.ICEServer // TURN servers: the publisher reaches others through them only; none: directly

	Certificate *tls.Certificate // nil: a new one
	Active      bool             // starts the DTLS handshake

	WrapAfter time.Duration // RTP times and sequence numbers wrap after so long; 0: they begin at random
}

// DefaultPublisherConfig is like a browser on a good network: 30 frames a second and Opus.
func DefaultPublisherConfig() PublisherConfig {
	return PublisherConfig{
		Video: true, Audio: true, FPS: 30, MaxPayload: 1180, NACK: true, RTX: true, PLIGap: 300 * time.Millisecond,
	}
}

// Publisher publishes known frames over any exchange of offer and answer. It is made by NewPublisher and lives as long as Run.
type Publisher struct {
	cfg PublisherConfig

	connected chan struct{}
	answeredAt, connectedAt,
	sent, plis, nacks atomic.Int64
	wantKey atomic.Bool

	mu     sync.Mutex
	pauses []Pause                               // guarded by mu
	pc     atomic.Pointer[webrtc.PeerConnection] // nil before Run

	networks *stdnet.Net // nil before Run
}

// Exchange gives an offer to a server and returns its answer.
type Exchange func(ctx context.Context, offer string) (answer string, err error)

// NewPublisher makes a publisher.
func NewPublisher(cfg PublisherConfig) *Publisher {
	if cfg.Units == nil {
		cfg.Units = SyntheticUnits(30, 2000)
	}
	if cfg.Opus == nil {
		cfg.Opus = [][]byte{{0xfc, 0xff, 0xfe}} // 20 ms of silence, stereo
	}
	return &Publisher{cfg: cfg, connected: make(chan struct{})}
}

// Connected is closed when the DTLS handshake is done.
func (p *Publisher) Connected() <-chan struct{} { return p.connected }

// ConnectTime returns the time from the answer to the end of the DTLS handshake. It is valid after Connected is closed.
func (p *Publisher) ConnectTime() time.Duration {
	return time.Duration(p.connectedAt.Load() - p.answeredAt.Load())
}

// Sent returns how many frames were sent.
func (p *Publisher) Sent() int64 { return p.sent.Load() }

// Pause is a time in which a publisher sent nothing, because the machine had no time for it.
type Pause struct{ From, To time.Time }

// leastPause is the length of the shortest pause that is noted.
const leastPause = 200 * time.Millisecond

// Pauses returns when the publisher sent nothing for long though it should have.
func (p *Publisher) Pauses() []Pause {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.pauses)
}

// pause notes that nothing was sent between two times, if something was due long before the end.
func (p *Publisher) pause(from, due, to time.Time) {
	if to.Sub(from) < leastPause || to.Sub(due) < leastPause {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pauses = append(p.pauses, Pause{from, to})
}

// PLIs returns how many key frames were requested.
func (p *Publisher) PLIs() int64 { return p.plis.Load() }

// NACKed returns how many packets were requested again.
func (p *Publisher) NACKed() int64 { return p.nacks.Load() }

// Run offers, connects and sends until ctx ends, or until something fails. It returns nil if ctx ended. If the number of frames is
// limited, Run stays connected after the last frame until ctx ends, to answer NACKs for it.
func (p *Publisher) Run(ctx context.Context, exchange Exchange) error {
	return p.run(ctx, webrtc.RTPTransceiverDirectionSendonly, func(ctx context.Context, pc *webrtc.PeerConnection) error {
		return Negotiate(ctx, pc, func(ctx context.Context, offer string) (string, error) {
			if p.cfg.Active {
				offer = strings.ReplaceAll(offer, "a=setup:actpass", "a=setup:active")
			}
			answer, err := exchange(ctx, offer)
			p.answeredAt.Store(time.Now().UnixNano())
			return answer, err
		})
	})
}

// Checking says whether the offer was answered and ICE has begun. A restart before that confuses pion.
func (p *Publisher) Checking() bool {
	pc := p.pc.Load()
	return pc != nil && pc.ICEConnectionState() == webrtc.ICEConnectionStateChecking
}

// Offer returns the last offer.
func (p *Publisher) Offer() string { return p.pc.Load().LocalDescription().SDP }

// RestartICE restarts ICE, as a client does that has got another network. The publisher is connected.
func (p *Publisher) RestartICE(ctx context.Context, exchange Exchange) error {
	pc := p.pc.Load()
	if err := p.networks.UpdateInterfaces(); err != nil { // pion looks for them once
		return err
	}
	return restartICE(ctx, pc, exchange)
}

func restartICE(ctx context.Context, pc *webrtc.PeerConnection, exchange Exchange) error {
	offer, err := pc.CreateOffer(&webrtc.OfferOptions{ICERestart: true})
	if err != nil {
		return err
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(offer); err != nil {
		return err
	}
	<-gathered
	own := pc.LocalDescription().SDP
	answer, err := exchange(ctx, own)
	if err != nil {
		return err
	}
	for i := strings.Count(answer, "\r\nm="); i < strings.Count(own, "\r\nm="); i++ { // the transceiver of settle
		answer += fmt.Sprintf("m=audio 0 UDP/TLS/RTP/SAVPF 0\r\nc=IN IP4 0.0.0.0\r\na=inactive\r\na=mid:%d\r\n", i)
	}
	return pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer})
}

// run is Run with tracks of a direction, which negotiate offers or answers with.
func (p *Publisher) run(ctx context.Context, direction webrtc.RTPTransceiverDirection,
	negotiate func(context.Context, *webrtc.PeerConnection) error,
) error {
	var err error
	if p.networks, err = stdnet.NewNet(); err != nil {
		return err
	}
	api, err := p.api()
	if err != nil {
		return err
	}
	var own webrtc.Configuration
	if c := p.cfg.Certificate; c != nil {
		own.Certificates = []webrtc.Certificate{webrtc.CertificateFromX509(c.PrivateKey, c.Leaf)}
	}
	if len(p.cfg.Relays) > 0 {
		own.ICEServers, own.ICETransportPolicy = p.cfg.Relays, webrtc.ICETransportPolicyRelay
	}
	pc, err := api.NewPeerConnection(own)
	if err != nil {
		return err
	}
	p.pc.Store(pc)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer pc.GracefulClose()

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	video, err := p.addTrack(pc, &wg, "video", p.cfg.Video, direction)
	if err != nil {
		return err
	}
	audio, err := p.addTrack(pc, &wg, "audio", p.cfg.Audio, direction)
	if err != nil {
		return err
	}
	var once sync.Once
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		switch s {
		case webrtc.PeerConnectionStateConnected:
			once.Do(func() {
				p.connectedAt.Store(time.Now().UnixNano())
				close(p.connected)
			})
		case webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateClosed:
			cancel(ErrConnection)
		}
	})
	if err := negotiate(ctx, pc); err != nil {
		return err
	}
	select {
	case <-p.connected:
		settle(ctx, pc)
		err = p.send(ctx, video, audio)
	case <-ctx.Done():
	}
	if cause := context.Cause(ctx); errors.Is(cause, ErrConnection) {
		return cause
	}
	return err
}

// settle waits until pion has done what is in its queue. A connection of pion v4.2.26 can never be closed if its end comes between the end of
// the DTLS handshake and the next operation in that queue, which starts the readers of RTCP. Pion tells of the end of the queue only by
// OnNegotiationNeeded: so a transceiver is added that nobody negotiates.
func settle(ctx context.Context, pc *webrtc.PeerConnection) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	done := make(chan struct{})
	pc.OnNegotiationNeeded(sync.OnceFunc(func() { close(done) }))
	if _, err := pc.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio); err != nil {
		return
	}
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// Negotiate offers all tracks of the connection.
func Negotiate(ctx context.Context, pc *webrtc.PeerConnection, exchange Exchange) error {
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		return err
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(offer); err != nil {
		return err
	}
	<-gathered
	answer, err := exchange(ctx, pc.LocalDescription().SDP)
	if err != nil {
		return err
	}
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	return nil
}

// api makes pion offer what a browser would, on the loopback interface.
func (p *Publisher) api() (*webrtc.API, error) {
	m := &webrtc.MediaEngine{}
	reg := &interceptor.Registry{}
	reg.Add(&faults{cfg: p.cfg, rand: rand.New(rand.NewPCG(p.cfg.Seed, 1))}) // the interceptor that is added first is the last before the network
	codecs := p.cfg.Codecs
	if codecs == nil {
		codecs = publisherCodecs(p.cfg)
	}
	for _, c := range codecs {
		kind := webrtc.RTPCodecTypeVideo
		if c.MimeType[0] == 'a' {
			kind = webrtc.RTPCodecTypeAudio
		}
		if err := m.RegisterCodec(c, kind); err != nil {
			return nil, err
		}
	}
	if p.cfg.NACK {
		if err := webrtc.ConfigureNack(m, reg); err != nil {
			return nil, err
		}
	}
	if !p.cfg.NoReports {
		if err := webrtc.ConfigureRTCPReports(reg); err != nil {
			return nil, err
		}
	}
	if err := webrtc.ConfigureTWCCHeaderExtensionSender(m, reg); err != nil {
		return nil, err
	}
	var s webrtc.SettingEngine
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeTCP4})
	s.SetIncludeLoopbackCandidate(true)
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	s.SetInterfaceFilter(func(name string) bool {
		if p.cfg.Interface != "" {
			return name == p.cfg.Interface
		}
		return p.cfg.EveryNetwork || name == "lo"
	})
	s.SetNet(p.networks)
	return webrtc.NewAPI(webrtc.WithMediaEngine(m), webrtc.WithInterceptorRegistry(reg), webrtc.WithSettingEngine(s)), nil
}

func publisherCodecs(cfg PublisherConfig) []webrtc.RTPCodecParameters {
	h264 := webrtc.RTPCodecParameters{PayloadType: 106}
	h264.MimeType, h264.ClockRate = webrtc.MimeTypeH264, 90000
	h264.SDPFmtpLine = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"
	h264.RTCPFeedback = []webrtc.RTCPFeedback{{Type: "goog-remb"}, {Type: "transport-cc"}, {Type: "ccm", Parameter: "fir"}}
	opus := webrtc.RTPCodecParameters{PayloadType: 111}
	opus.MimeType, opus.ClockRate, opus.Channels = webrtc.MimeTypeOpus, 48000, 2
	opus.SDPFmtpLine = "minptime=10;useinbandfec=1"
	list := []webrtc.RTPCodecParameters{h264, opus}
	if cfg.RTX {
		rtx := webrtc.RTPCodecParameters{PayloadType: 107}
		rtx.MimeType, rtx.ClockRate, rtx.SDPFmtpLine = webrtc.MimeTypeRTX, 90000, "apt=106"
		list = append(list, rtx)
	}
	return list
}

func (p *Publisher) addTrack(pc *webrtc.PeerConnection, wg *sync.WaitGroup, kind string, wanted bool,
	direction webrtc.RTPTransceiverDirection,
) (*webrtc.TrackLocalStaticRTP, error) {
	if !wanted {
		return nil, nil
	}
	c := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeH264, ClockRate: 90000}
	if kind == "audio" {
		c = webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2}
	}
	if len(p.cfg.Codecs) > 0 {
		for _, own := range p.cfg.Codecs {
			if own.MimeType[:5] == kind {
				c = own.RTPCodecCapability
				break
			}
		}
	}
	t, err := webrtc.NewTrackLocalStaticRTP(c, kind, "publisher")
	if err != nil {
		return nil, err
	}
	tr, err := pc.AddTransceiverFromTrack(t, webrtc.RTPTransceiverInit{Direction: direction})
	if err != nil {
		return nil, err
	}
	wg.Go(func() { p.readFeedback(tr.Sender()) })
	return t, nil
}

func (p *Publisher) readFeedback(s *webrtc.RTPSender) {
	for {
		packets, _, err := s.ReadRTCP()
		if err != nil {
			return
		}
		for _, pkt := range packets {
			switch pkt := pkt.(type) {
			case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
				p.plis.Add(1)
				p.wantKey.Store(true)
			case *rtcp.TransportLayerNack:
				for _, pair := range pkt.Nacks {
					p.nacks.Add(int64(len(pair.PacketList())))
				}
			}
		}
	}
}

// send keeps the stream's time: frame k is due k/FPS after the start and audio packet j is due 20 ms * j after it.
func (p *Publisher) send(ctx context.Context, video, audio *webrtc.TrackLocalStaticRTP) error {
	start := time.Now()
	frame := time.Second / time.Duration(max(1, p.cfg.FPS))
	const packet = 20 * time.Millisecond
	v := videoSender{p: p, track: video, packet: newPacket(), base: rand.Uint32()}
	a, base := newPacket(), rand.Uint32()
	units := uint32(960) // in a packet
	if audio != nil {
		units = audio.Codec().ClockRate / 50
	}
	if wrap := p.cfg.WrapAfter; wrap > 0 {
		v.base, base = -uint32(wrap.Microseconds()*90/1000), -uint32(wrap.Microseconds()*48/1000)
		v.packet.SequenceNumber, a.SequenceNumber = -uint16(wrap.Seconds()*float64(p.cfg.FPS)), -uint16(wrap/(20*time.Millisecond))
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	var k, j int64
	last := start
	for {
		vDue, aDue := time.Duration(k)*frame, time.Duration(j)*packet
		done := video == nil || p.cfg.Frames > 0 && k >= int64(p.cfg.Frames)
		if done && audio == nil {
			<-ctx.Done()
			return nil
		}
		sendAudio := audio != nil && (done || aDue <= vDue)
		due := vDue
		if sendAudio {
			due = aDue
		}
		timer.Reset(max(0, time.Until(start.Add(due))))
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil
		}
		now := time.Now()
		p.pause(last, start.Add(due), now)
		last = now
		if sendAudio {
			a.Timestamp = base + uint32(j)*units
			a.Payload = p.cfg.Opus[int(j)%len(p.cfg.Opus)]
			if err := audio.WriteRTP(a); err != nil {
				return err
			}
			a.SequenceNumber++
			j++
			continue
		}
		if err := v.send(k, vDue); err != nil {
			return err
		}
		k++
	}
}

func newPacket() *rtp.Packet {
	return &rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: uint16(rand.Uint32())}}
}

type videoSender struct {
	p       *Publisher
	track   *webrtc.TrackLocalStaticRTP
	packet  *rtp.Packet
	base    uint32
	at      int // in the units
	lastKey time.Time
}

func (v *videoSender) send(number int64, due time.Duration) error {
	units := v.p.cfg.Units
	if v.p.wantKey.Load() && time.Since(v.lastKey) >= v.p.cfg.PLIGap {
		v.p.wantKey.Store(false)
		for !units[v.at].Key {
			v.at = (v.at + 1) % len(units)
		}
	}
	u := units[v.at]
	v.at = (v.at + 1) % len(units)
	if u.Key {
		v.lastKey = time.Now()
	}
	v.packet.Timestamp = v.base + uint32(due.Microseconds()*90/1000)
	payloads := packetize(u, number, v.p.cfg.MaxPayload)
	for i, payload := range payloads {
		v.packet.Payload, v.packet.Marker = payload, i == len(payloads)-1
		if err := v.track.WriteRTP(v.packet); err != nil {
			return err
		}
		v.packet.SequenceNumber++
	}
	v.p.sent.Add(1)
	if v.p.cfg.Padding {
		return v.pad()
	}
	return nil
}

// pad sends a packet of padding.
func (v *videoSender) pad() error {
	p := *v.packet
	p.Marker, p.Payload = false, nil
	p.Header.Padding, p.Header.PaddingSize = true, 100
	v.packet.SequenceNumber++
	return v.track.WriteRTP(&p)
}

// faults loses, swaps and repeats outgoing packets.
type faults struct {
	interceptor.NoOp
	cfg PublisherConfig

	mu   sync.Mutex
	rand *rand.Rand // guarded by mu
}

func (f *faults) NewInterceptor(string) (interceptor.Interceptor, error) { return f, nil }

func (f *faults) chance(share float64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rand.Float64() < share
}

func (f *faults) BindLocalStream(_ *interceptor.StreamInfo, next interceptor.RTPWriter) interceptor.RTPWriter {
	if f.cfg.Drop == 0 && f.cfg.Swap == 0 && f.cfg.Twice == 0 {
		return next
	}
	var mu sync.Mutex
	var held *rtp.Packet // waits for the next one
	write := func(h *rtp.Header, payload []byte, a interceptor.Attributes) (int, error) {
		if f.chance(f.cfg.Drop) {
			return len(payload), nil
		}
		if f.chance(f.cfg.Twice) {
			_, _ = next.Write(h, payload, a)
		}
		return next.Write(h, payload, a)
	}
	return interceptor.RTPWriterFunc(func(h *rtp.Header, payload []byte, a interceptor.Attributes) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		if held == nil && f.chance(f.cfg.Swap) {
			held = &rtp.Packet{Header: h.Clone(), Payload: append([]byte(nil), payload...)}
			return len(payload), nil
		}
		n, err := write(h, payload, a)
		if held != nil {
			_, _ = write(&held.Header, held.Payload, a)
			held = nil
		}
		return n, err
	})
}
