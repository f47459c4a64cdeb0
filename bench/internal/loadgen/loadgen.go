// Package loadgen publishes N WebRTC streams over WHIP (RFC 9725), or is N SIP phones that the server calls. The sources were made
// beforehand. Nothing is encoded while it runs: for a frame it only fills in the mark and sends the packets.
package loadgen

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/webrtc/v4"

	"transponder/bench/internal/source"
)

// Config says what to publish and where.
type Config struct {
	WHIPURL string        // {name} and {i} stand for the stream's name and number
	CallURL string        // starts a SIP call over REST; if set, each stream is a phone that is called, and WHIPURL is not used
	Token   string        // bearer token, if any
	Name    string        // format of a stream's name, for fmt; the argument is the stream's number
	Streams int           //
	Ramp    time.Duration // between one stream's start and the next
	Video   string        // Annex B file
	Audio   string        // Ogg Opus file
	Drop    float64       // share of outgoing packets to lose, 0 to 1
}

// DefaultConfig returns one stream of the sources that mkmedia.sh makes.
func DefaultConfig() Config {
	return Config{
		Name: "bench%03d", Streams: 1, Ramp: 100 * time.Millisecond,
		Video: "bench/testdata/video.h264", Audio: "bench/testdata/audio.ogg",
	}
}

// The fixed rates of the sources, and limits that a browser would have.
const (
	frameRate   = 30
	videoClock  = 90000
	frameTicks  = videoClock / frameRate
	audioClock  = 48000
	packetTime  = 20 * time.Millisecond
	packetTicks = audioClock / 50
	maxPayload  = 1180                   // bytes of an RTP payload
	keyFrameGap = 300 * time.Millisecond // least time between two key frames made for PLIs
	loopback    = "lo"                   // the only interface to gather candidates on
)

// Generator is a set of publishers.
type Generator struct {
	cfg        Config
	api        *webrtc.API
	frames     []source.Frame
	opus       [][]byte
	publishers []*Publisher
}

// New loads the sources.
func New(cfg Config) (*Generator, error) {
	frames, err := source.LoadH264(cfg.Video, maxPayload)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", cfg.Video, err)
	}
	opus, err := source.LoadOpus(cfg.Audio)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", cfg.Audio, err)
	}
	api, err := newAPI(cfg.Drop)
	if err != nil {
		return nil, err
	}
	g := &Generator{cfg: cfg, api: api, frames: frames, opus: opus}
	for i := range cfg.Streams {
		g.publishers = append(g.publishers, &Publisher{gen: g, index: i, name: fmt.Sprintf(cfg.Name, i)})
	}
	return g, nil
}

// newAPI offers the same as a browser for one H.264 and one Opus track: NACK, PLI, sender reports and transport-wide
// sequence numbers.
func newAPI(drop float64) (*webrtc.API, error) {
	m := &webrtc.MediaEngine{}
	feedback := []webrtc.RTCPFeedback{
		{Type: "goog-remb"}, {Type: "transport-cc"}, {Type: "ccm", Parameter: "fir"},
		{Type: "nack"}, {Type: "nack", Parameter: "pli"},
	}
	err := errors.Join(
		m.RegisterCodec(webrtc.RTPCodecParameters{PayloadType: 106, RTPCodecCapability: videoCodec(feedback)},
			webrtc.RTPCodecTypeVideo),
		m.RegisterCodec(webrtc.RTPCodecParameters{PayloadType: 111, RTPCodecCapability: audioCodec()},
			webrtc.RTPCodecTypeAudio),
	)
	if err != nil {
		return nil, err
	}
	registry := &interceptor.Registry{}
	if drop > 0 {
		registry.Add(&dropper{share: drop})
	}
	err = errors.Join(
		webrtc.ConfigureNack(m, registry),
		webrtc.ConfigureRTCPReports(registry),
		webrtc.ConfigureTWCCHeaderExtensionSender(m, registry),
	)
	if err != nil {
		return nil, err
	}
	var settings webrtc.SettingEngine
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetInterfaceFilter(func(name string) bool { return name == loopback })
	return webrtc.NewAPI(webrtc.WithMediaEngine(m), webrtc.WithInterceptorRegistry(registry),
		webrtc.WithSettingEngine(settings)), nil
}

func videoCodec(feedback []webrtc.RTCPFeedback) webrtc.RTPCodecCapability {
	return webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeH264, ClockRate: videoClock, RTCPFeedback: feedback,
		SDPFmtpLine: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
	}
}

func audioCodec() webrtc.RTPCodecCapability {
	return webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeOpus, ClockRate: audioClock, Channels: 2,
		SDPFmtpLine:  "minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1",
		RTCPFeedback: []webrtc.RTCPFeedback{{Type: "transport-cc"}},
	}
}

// Run starts the publishers one by one, and returns when all have ended; they end with ctx. onAnswer, if not nil, is called
// for each on a goroutine of its own once its WHIP answer is in.
func (g *Generator) Run(ctx context.Context, onAnswer func(context.Context, *Publisher)) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, p := range g.publishers {
		wg.Go(func() { p.run(ctx, onAnswer) })
		select {
		case <-ctx.Done():
			return
		case <-time.After(g.cfg.Ramp):
		}
	}
}

// Publishers are in the order of their numbers.
func (g *Generator) Publishers() []*Publisher { return g.publishers }

// ResetWindow forgets the timing samples taken so far.
func (g *Generator) ResetWindow() {
	for _, p := range g.publishers {
		p.mu.Lock()
		p.late, p.burst, p.windowFrames = nil, nil, 0
		p.mu.Unlock()
	}
}

func expand(template, name string, i int) string {
	return strings.NewReplacer("{name}", name, "{i}", fmt.Sprint(i)).Replace(template)
}
