package pion

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/webrtc/v4"

	"transponder/internal/media"
	"transponder/internal/rtc"
)

// session is one client that sends. Several goroutines of pion bring packets and reports. Each locks mu to call the jitter
// buffers and the sink.
type session struct {
	*link
	began time.Time
	timer *time.Timer // runs tick

	wantsKey atomic.Bool // RequestKeyFrame was called

	mu        sync.Mutex
	sink      rtc.Sink      // guarded by mu
	audio     receiveTrack  // guarded by mu
	video     receiveTrack  // guarded by mu
	tickAt    time.Duration // guarded by mu: when the timer is set for
	remb      time.Duration // guarded by mu: when the next REMB is due
	connected bool          // guarded by mu
	ended     bool          // guarded by mu: the sink is closed
}

// receiveTrack is one received RTP stream, of one m-section.
type receiveTrack struct {
	section *rtc.Section // nil: not offered
	jitter  *rtc.JitterBuffer
	meter   rtc.JitterMeter
	ssrc    uint32 // 0 while unknown
}

// never is later than all other times.
const never = time.Duration(1<<63 - 1)

var (
	_ rtc.Session      = (*session)(nil)
	_ rtc.Trickler     = (*session)(nil)
	_ rtc.ICERestarter = (*session)(nil)
)

func newSession(l *link, sink rtc.Sink) *session {
	s := &session{link: l, sink: sink, began: time.Now(), tickAt: never}
	s.timer = time.AfterFunc(never, func() { s.safely(s.tick) })
	return s
}

// expect prepares for the media that the client sends.
func (s *session) expect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.audio = s.newReceiveTrack(s.answer.Offer.Section(media.Audio))
	s.video = s.newReceiveTrack(s.answer.Offer.Section(media.Video))
}

func (s *session) newReceiveTrack(section *rtc.Section) receiveTrack {
	if section == nil || !section.Sends {
		return receiveTrack{}
	}
	jitter := section.NewJitterBuffer(s.endpoint.cfg.JitterBuffer, s.answer.Rotation, s.sink)
	return receiveTrack{section: section, jitter: jitter, meter: rtc.JitterMeter{Rate: int64(section.Codec.ClockRate())}, ssrc: section.SSRC}
}

// start makes the PeerConnection and returns the answer.
func (s *session) start(ctx context.Context) (string, error) {
	interceptors, err := receiveInterceptors(&tap{retransmission: s.retransmission})
	if err != nil {
		return "", fmt.Errorf("set up WebRTC: %w", err)
	}
	s.expect()
	if err := s.setUp(interceptors, s.answer.Offer.Used()); err != nil {
		return "", err
	}
	s.pc.OnTrack(s.read)
	s.pc.OnConnectionStateChange(s.stateChanged)
	s.pc.OnICEConnectionStateChange(func(state webrtc.ICEConnectionState) {
		if state == webrtc.ICEConnectionStateConnected {
			s.safely(func() { rtc.NoteICE(s.sink) })
		}
	})
	return s.negotiate(ctx, nil)
}

// safely runs f. If f panics, the session ends.
func (s *session) safely(f func()) { s.guard(s.end, f) }

// stateChanged follows the common state of ICE and DTLS.
func (s *session) stateChanged(state webrtc.PeerConnectionState) {
	switch state {
	case webrtc.PeerConnectionStateConnected:
		s.safely(func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.connect()
		})
	case webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateClosed:
		s.mu.Lock()
		connected := s.connected
		s.mu.Unlock()
		s.end(s.failure(state, connected))
	}
}

// connect reports the connection to the sink, once, and asks for the first key frame. mu is held.
func (s *session) connect() {
	if s.connected || s.ended {
		return
	}
	s.connected = true
	s.sink.Connected()
	s.schedule(s.now())
}

// now returns the time since the session began.
func (s *session) now() time.Duration { return time.Since(s.began) }

// end closes the sink, once.
func (s *session) end(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	s.ended = true
	s.timer.Stop()
	s.sink.Closed(cause)
}

// RequestKeyFrame implements rtc.Session. It does not lock mu: the sink, which is called with mu held, may call it through
// the hub.
func (s *session) RequestKeyFrame() {
	s.wantsKey.Store(true)
	s.timer.Reset(0)
}

// Stats implements rtc.Session.
func (s *session) Stats() rtc.SessionStats {
	var st rtc.SessionStats
	s.mu.Lock()
	for _, t := range []receiveTrack{s.audio, s.video} {
		if t.jitter != nil {
			st.Add(t.jitter.Stats())
			st.Jitter = max(st.Jitter, t.meter.Jitter())
		}
	}
	s.mu.Unlock()
	ice := s.dtls.ICETransport()
	st.ICEConnected = ice.State() == webrtc.ICETransportStateConnected || ice.State() == webrtc.ICETransportStateCompleted
	if pair, ok := ice.GetSelectedCandidatePairStats(); ok {
		st.RoundTrip = time.Duration(pair.CurrentRoundTripTime * float64(time.Second))
	}
	return st
}

// Close implements rtc.Session.
func (s *session) Close() error {
	s.end(context.Canceled)
	return s.shut(s)
}

// abandon ends a session that could not be started. The sink is not called. The caller shuts the link.
func (s *session) abandon() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.timer.Stop()
}
