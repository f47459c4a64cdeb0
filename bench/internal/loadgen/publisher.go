package loadgen

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"transponder/bench/internal/mono"
	"transponder/bench/internal/stats"
)

const (
	connectTimeout = 15 * time.Second
	deleteTimeout  = 5 * time.Second
)

var errConnection = errors.New("the connection failed")

// Publisher is one stream.
type Publisher struct {
	gen   *Generator
	index int
	name  string

	answerNS, connectedNS atomic.Int64
	frames, bytes         atomic.Int64
	plis, firs, nacks     atomic.Int64
	forcedKeys            atomic.Int64
	wantKey               atomic.Bool

	mu           sync.Mutex
	late, burst  []float64 // guarded by mu
	windowFrames int       // guarded by mu
	err          error     // guarded by mu
}

// Report describes what a publisher did. Late is how long after the due time a frame was begun. Burst is how long it took to send the
// packets of one frame. If they grow, the generator lacks CPU time.
type Report struct {
	Name         string     `json:"name"`
	Index        int        `json:"index"`
	AnswerNS     int64      `json:"answer_ns"`
	ConnectedNS  int64      `json:"connected_ns"`
	Frames       int64      `json:"frames"`
	WindowFrames int        `json:"window_frames"`
	Bytes        int64      `json:"bytes"`
	PLI          int64      `json:"pli"`
	FIR          int64      `json:"fir"`
	NACKed       int64      `json:"nacked_packets"`
	ForcedKeys   int64      `json:"forced_keyframes"`
	LateMS       stats.Dist `json:"late_ms"`
	BurstMS      stats.Dist `json:"burst_ms"`
	Error        string     `json:"error,omitempty"`
}

// Name of the stream.
func (p *Publisher) Name() string { return p.name }

// Index returns the number of the stream, which is in the marks.
func (p *Publisher) Index() int { return p.index }

// Report describes the publisher now.
func (p *Publisher) Report() Report {
	r := Report{
		Name: p.name, Index: p.index,
		AnswerNS: p.answerNS.Load(), ConnectedNS: p.connectedNS.Load(),
		Frames: p.frames.Load(), Bytes: p.bytes.Load(),
		PLI: p.plis.Load(), FIR: p.firs.Load(), NACKed: p.nacks.Load(), ForcedKeys: p.forcedKeys.Load(),
	}
	p.mu.Lock()
	late, burst := slices.Clone(p.late), slices.Clone(p.burst)
	r.WindowFrames = p.windowFrames
	if p.err != nil {
		r.Error = p.err.Error()
	}
	p.mu.Unlock()
	r.LateMS, r.BurstMS = stats.Summarise(late), stats.Summarise(burst)
	return r
}

// run publishes until ctx ends, and keeps why it ended before that.
func (p *Publisher) run(ctx context.Context, onAnswer func(context.Context, *Publisher)) {
	publish := p.publish
	if p.gen.cfg.CallURL != "" {
		publish = p.call
	}
	if err := publish(ctx, onAnswer); err != nil && ctx.Err() == nil {
		p.mu.Lock()
		p.err = errors.Join(p.err, err)
		p.mu.Unlock()
	}
}

func (p *Publisher) publish(ctx context.Context, onAnswer func(context.Context, *Publisher)) (err error) {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	pc, err := p.gen.api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pc.Close()) }() // and with it the readers of feedback

	connected := make(chan struct{})
	var once sync.Once
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		switch s {
		case webrtc.PeerConnectionStateConnected:
			once.Do(func() { close(connected) })
		case webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateClosed:
			cancel(errConnection)
		}
	})
	video, err := p.addTrack(&wg, pc, videoCodec(nil), "video")
	if err != nil {
		return err
	}
	audio, err := p.addTrack(&wg, pc, audioCodec(), "audio")
	if err != nil {
		return err
	}
	session, err := p.offer(ctx, pc)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deleteTimeout)
		defer cancel()
		err = errors.Join(err, session.delete(ctx))
	}()
	if onAnswer != nil {
		wg.Go(func() { onAnswer(ctx, p) })
	}
	select {
	case <-connected:
	case <-time.After(connectTimeout):
		return fmt.Errorf("not connected after %v", connectTimeout)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	p.connectedNS.Store(mono.Now())
	return p.send(ctx, video, audio)
}

// offer makes the offer, posts it over WHIP and applies the answer.
func (p *Publisher) offer(ctx context.Context, pc *webrtc.PeerConnection) (*whipSession, error) {
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		return nil, err
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(offer); err != nil {
		return nil, err
	}
	select {
	case <-gathered:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	endpoint := expand(p.gen.cfg.WHIPURL, p.name, p.index)
	session, err := postOffer(ctx, endpoint, p.gen.cfg.Token, pc.LocalDescription().SDP)
	if err != nil {
		return nil, err
	}
	p.answerNS.Store(mono.Now())
	answer := webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: session.answer}
	if err := pc.SetRemoteDescription(answer); err != nil {
		return nil, fmt.Errorf("take the answer: %w", err)
	}
	return session, nil
}

func (p *Publisher) addTrack(wg *sync.WaitGroup, pc *webrtc.PeerConnection, codec webrtc.RTPCodecCapability,
	id string,
) (*webrtc.TrackLocalStaticRTP, error) {
	track, err := webrtc.NewTrackLocalStaticRTP(codec, id, p.name)
	if err != nil {
		return nil, err
	}
	transceiver, err := pc.AddTransceiverFromTrack(track,
		webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	if err != nil {
		return nil, err
	}
	wg.Go(func() { p.readFeedback(transceiver.Sender()) })
	return track, nil
}

// readFeedback ends with the connection.
func (p *Publisher) readFeedback(s *webrtc.RTPSender) {
	for {
		packets, _, err := s.ReadRTCP()
		if err != nil {
			return
		}
		p.takeFeedback(packets)
	}
}

// takeFeedback notes what the server asks for.
func (p *Publisher) takeFeedback(packets []rtcp.Packet) {
	for _, packet := range packets {
		switch packet := packet.(type) {
		case *rtcp.PictureLossIndication:
			p.plis.Add(1)
			p.wantKey.Store(true)
		case *rtcp.FullIntraRequest:
			p.firs.Add(1)
			p.wantKey.Store(true)
		case *rtcp.TransportLayerNack:
			for _, pair := range packet.Nacks {
				p.nacks.Add(int64(len(pair.PacketList())))
			}
		}
	}
}
