package lean

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"

	"transponder/internal/media"
	"transponder/internal/rtc"
	"transponder/internal/rtc/udp"
)

// errPanic ends a session after a panic, which is a bug of ours.
var errPanic = errors.New("internal error")

// session is one client that sends.
//
// Two kinds of goroutine work on it. The goroutine of the UDP socket on which the client's packets arrive does the work:
// Receive and tick. The goroutine that executes run does the DTLS handshake. mu protects the fields below it: from the
// handshake, from the moment when the client moves to another socket, so that two sockets' goroutines have its packets, and
// from calls of other goroutines (Stats, AddCandidate, Close). The sink is called with mu held. Lock order: session.mu,
// then the locks of package udp.
type session struct {
	r           *Receiver
	offer       *rtc.ParsedOffer
	transportCC uint8 // id of the header extension for transport-wide sequence numbers; 0: not used
	reducedRTCP bool  // feedback may stand alone, without a report before it (RFC 5506)

	dtls   *dtlsConn
	cancel context.CancelCauseFunc
	found  chan struct{} // closed when the client's address is known
	done   chan struct{} // closed when run has ended

	socket   atomic.Pointer[udp.Socket] // its goroutine has the timer; nil until the client is found. Stored with mu held
	wantsKey atomic.Bool                // RequestKeyFrame was called

	mu       sync.Mutex
	sink     rtc.Sink
	ice      iceAgent
	audio    receiveTrack
	video    receiveTrack
	holder   *udp.Socket // the socket whose goroutine holds mu now; nil if another goroutine holds it
	timer    *udp.Timer  // calls tick; only socket's goroutine may set it
	timerAt  time.Duration
	rx, tx   *srtp.Context // nil until the handshake is done
	early    [][]byte      // media that came before the handshake was done
	header   rtp.Header    // scratch for decryption
	arrivals *arrivals     // nil: no transport-wide feedback
	rtcp     []byte        // scratch: RTCP to be sent
	sealed   []byte        // scratch: the same, encrypted
	due      schedule
	ended    bool // the sink is closed
}

// receiveTrack is one received RTP stream, of one m-section.
type receiveTrack struct {
	section *rtc.Section // nil: not offered
	jitter  *rtc.JitterBuffer
	ssrc    uint32 // 0 while unknown
	arrived rtc.Reception
}

var (
	_ rtc.Session      = (*session)(nil)
	_ rtc.Trickler     = (*session)(nil)
	_ rtc.ICERestarter = (*session)(nil)
	_ udp.User         = (*session)(nil)
)

// newSession makes a session and its context. The session lives until Close, longer than ctx.
func newSession(ctx context.Context, r *Receiver, offer *rtc.ParsedOffer, sink rtc.Sink) (*session, context.Context) {
	s := &session{
		r: r, offer: offer, sink: sink, reducedRTCP: true,
		found: make(chan struct{}), done: make(chan struct{}),
	}
	ctx, s.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	s.ice = newICEAgent(r, s, offer)
	s.dtls = newDTLSConn(s)
	s.audio = s.newReceiveTrack(offer.Section(media.Audio))
	s.video = s.newReceiveTrack(offer.Section(media.Video))
	for _, section := range offer.Used() {
		s.reducedRTCP = s.reducedRTCP && section.ReducedRTCP
		if section.TWCC != 0 {
			s.transportCC = section.TWCC
			s.arrivals = &arrivals{}
		}
	}
	return s, ctx
}

func (s *session) newReceiveTrack(section *rtc.Section) receiveTrack {
	if section == nil {
		return receiveTrack{}
	}
	return receiveTrack{
		section: section,
		jitter:  section.NewJitterBuffer(s.r.cfg.JitterBuffer, s.r.cfg.Orientation, s.sink),
		ssrc:    section.SSRC,
		arrived: rtc.Reception{Meter: rtc.JitterMeter{Rate: int64(section.Codec.ClockRate())}},
	}
}

// run does the handshake, and waits for the end of the session.
func (s *session) run(ctx context.Context) {
	defer close(s.done)
	cause := s.secure(ctx)
	s.mu.Lock()
	defer s.unlock()
	s.end(cause)
}

// Receive implements udp.User. The first byte tells what a datagram is (RFC 7983).
func (s *session) Receive(d *udp.Datagram) {
	s.mu.Lock()
	defer s.unlock()
	if s.ended || len(d.Data) == 0 {
		return
	}
	s.holder = d.Socket
	switch first := d.Data[0]; {
	case first < 4:
		if p, ok := s.ice.receive(d); ok {
			s.heard(d, p)
		}
	case first >= 20 && first < 64:
		s.dtls.put(d.Data)
	case first >= 128 && first < 192:
		s.takeMedia(d)
	default:
		s.r.refused.Add(1)
	}
}

// unlock unlocks mu. It also recovers from a panic: a bug ends this session, and not the other sessions of the port.
func (s *session) unlock() {
	if v := recover(); v != nil {
		_ = s.r.panics.Note(s.r.log.With("session", s.ice.name), "session panicked", v)
		s.end(errPanic)
	}
	s.holder = nil
	s.mu.Unlock()
}

// heard notes that something genuine came from the client, over the path p (nil if none is known). If p is the path to send
// on, the socket on which the datagram arrived becomes the session's. mu is held.
func (s *session) heard(d *udp.Datagram, p *path) {
	selected := s.ice.heard(p, d.At)
	before := s.socket.Load()
	if !selected || before == d.Socket {
		return
	}
	if before == nil {
		close(s.found)
		rtc.NoteICE(s.sink)
	}
	s.adopt(d.Socket, d.At)
}

// end closes the sink, once. mu is held.
func (s *session) end(cause error) {
	if s.ended {
		return
	}
	s.ended = true
	s.early = nil
	s.ice.leave()
	s.sink.Closed(cause)
	s.cancel(cause)
}

// RequestKeyFrame implements rtc.Session. It does not lock mu: the sink, which is called with mu held, may call it through
// the hub.
func (s *session) RequestKeyFrame() {
	if s.wantsKey.Swap(true) {
		return
	}
	if socket := s.socket.Load(); socket != nil {
		socket.Do(func() { s.tick(socket, s.r.port.Now()) })
	}
}

// AddCandidate implements rtc.Trickler.
func (s *session) AddCandidate(candidate string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ice.addCandidate(candidate)
}

// RestartICE implements rtc.ICERestarter.
func (s *session) RestartICE(_ context.Context, client []rtc.ICE) ([]rtc.ICE, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return nil, net.ErrClosed
	}
	if err := s.ice.restart(client[0]); err != nil {
		return nil, err
	}
	return []rtc.ICE{{Ufrag: s.ice.keys.ufrag, Pwd: s.ice.keys.pwd, Candidates: s.r.port.Candidates()}}, nil
}

// Stats implements rtc.Session.
func (s *session) Stats() rtc.SessionStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := rtc.SessionStats{RoundTrip: s.ice.roundTrip, ICEConnected: s.ice.selected != nil && !s.ended}
	for _, t := range []*receiveTrack{&s.audio, &s.video} {
		if t.jitter != nil {
			st.Add(t.jitter.Stats())
			st.Jitter = max(st.Jitter, t.arrived.Meter.Jitter())
		}
	}
	return st
}

// Close implements rtc.Session.
func (s *session) Close() error {
	s.mu.Lock()
	s.end(context.Canceled)
	s.mu.Unlock()
	<-s.done
	s.r.remove(s)
	return nil
}
