package lean

import (
	"context"
	"crypto/rand"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
	"github.com/pion/stun/v4"

	"transponder/internal/media"
	"transponder/internal/rtc"
	"transponder/internal/rtc/udp"
)

// session is one peer that sends. The goroutine of the socket that the peer's datagrams come in by does the work; mu is for the
// short time in which that may be two, and for those who ask. The sink is called with mu held.
type session struct {
	r          *Receiver
	offer      *rtc.ParsedOffer
	ufrag, pwd string
	ours       stun.MessageIntegrity // of checks that we get
	theirs     stun.MessageIntegrity // of checks that we send
	transport  uint8                 // id of the transport-wide sequence numbers, 0 for none
	reduced    bool                  // feedback needs no report before it (RFC 5506)

	dtls   *dtlsConn
	cancel context.CancelCauseFunc
	found  chan struct{} // closed when the peer's address is known
	done   chan struct{} // closed when run has ended

	home     atomic.Pointer[udp.Socket] // as socket, for those who must not wait for mu
	wantsKey atomic.Bool                // a key frame, by RequestKeyFrame

	mu         sync.Mutex
	sink       rtc.Sink
	audio      receiveTrack
	video      receiveTrack
	in         *udp.Socket // whose goroutine has mu; nil: that of none
	socket     *udp.Socket // whose goroutine has the timer; nil while the peer is unknown
	timer      *udp.Timer
	timerAt    time.Duration
	paths      []*path          // at most maxPaths
	path       *path            // the one to send on
	candidates []netip.AddrPort // candidates of the peer's, at most maxCandidates
	heardAt    time.Duration
	pending    [stun.TransactionIDSize]byte // the last check of ours
	pendingAt  time.Duration
	roundTrip  time.Duration
	rx, tx     *srtp.Context // nil before the keys are agreed on
	early      [][]byte      // what came before them
	header     rtp.Header
	arrivals   *arrivals // nil: no transport-wide feedback
	report     []byte    // scratch: of RTCP to be sent
	sealed     []byte    // scratch: the same, encrypted
	due        schedule
	ended      bool // the sink is closed
}

// receiveTrack is what a session keeps of one m-section.
type receiveTrack struct {
	section *rtc.Section // nil: not offered
	jitter  *rtc.JitterBuffer
	ssrc    uint32 // 0 while unknown
	arrived reception
}

var (
	_ rtc.Session  = (*session)(nil)
	_ rtc.Trickler = (*session)(nil)
	_ udp.User     = (*session)(nil)
)

// newSession makes a session, and the context that ends with it: it lives until Close, beyond ctx.
func newSession(ctx context.Context, r *Receiver, offer *rtc.ParsedOffer, sink rtc.Sink) (*session, context.Context) {
	first := offer.Used()[0]
	// RFC 8445, 5.3: at least 24 and 128 bits of chance; rand.Text has 130.
	s := &session{
		r: r, offer: offer, sink: sink, ufrag: rand.Text()[:8], pwd: rand.Text(), reduced: true,
		found: make(chan struct{}), done: make(chan struct{}),
	}
	ctx, s.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	s.ours, s.theirs = stun.NewShortTermIntegrity(s.pwd), stun.NewShortTermIntegrity(first.Pwd)
	s.dtls = newDTLSConn(s)
	s.audio = s.newReceiveTrack(offer.Section(media.Audio))
	s.video = s.newReceiveTrack(offer.Section(media.Video))
	for _, section := range offer.Used() {
		for _, c := range section.Candidates {
			_ = s.addCandidate(c) // one that cannot be read is as good as none
		}
		s.reduced = s.reduced && section.ReducedRTCP
		if section.TWCC != 0 {
			s.transport = section.TWCC
			s.arrivals = &arrivals{}
		}
	}
	return s, ctx
}

func (s *session) newReceiveTrack(section *rtc.Section) receiveTrack {
	if section == nil {
		return receiveTrack{}
	}
	t := receiveTrack{section: section, jitter: section.NewJitterBuffer(s.r.cfg.JitterBuffer, s.r.cfg.Orientation, s.sink), ssrc: section.SSRC}
	t.arrived.rate = int64(section.Codec.ClockRate())
	return t
}

// join makes the session known by its user name, on both address families.
func (s *session) join() error {
	if err := s.r.port.Join(s.ufrag, false, s); err != nil {
		return err
	}
	if err := s.r.port.Join(s.ufrag, true, s); err != nil {
		s.leavePort()
		return err
	}
	return nil
}

// leavePort lets nothing more come.
func (s *session) leavePort() {
	addresses := make([]netip.AddrPort, 0, maxPaths)
	for _, p := range s.paths {
		addresses = append(addresses, p.addr)
	}
	s.r.port.Leave(s, s.ufrag, false, addresses...)
	s.r.port.Leave(s, s.ufrag, true)
}

// run agrees on keys, and waits for the peer's goodbye.
func (s *session) run(ctx context.Context) {
	defer close(s.done)
	cause := s.secure(ctx)
	s.mu.Lock()
	defer s.release()
	s.end(cause)
}

// Receive implements udp.User (RFC 7983 tells what is what).
func (s *session) Receive(d *udp.Datagram) {
	s.mu.Lock()
	defer s.release()
	if s.ended || len(d.Data) == 0 {
		return
	}
	s.in = d.Socket
	switch first := d.Data[0]; {
	case first < 4:
		s.takeSTUN(d)
	case first >= 20 && first < 64:
		s.dtls.put(d.Data)
	case first >= 128 && first < 192:
		s.takeMedia(d)
	default:
		s.r.refused.Add(1)
	}
}

// release gives mu back. A panic is a bug, of which the port's other peers must not suffer: it ends this session.
func (s *session) release() {
	if v := recover(); v != nil {
		_ = s.r.panics.Note(s.r.log.With("session", s.ufrag), "session panicked", v)
		s.end(errPanic)
	}
	s.in = nil
	s.mu.Unlock()
}

// end closes the sink, once. mu is held.
func (s *session) end(cause error) {
	if s.ended {
		return
	}
	s.ended = true
	s.early = nil
	s.leavePort()
	s.sink.Closed(cause)
	s.cancel(cause)
}

// RequestKeyFrame implements rtc.Session. It takes no lock of the session's: a sink may call it, through the hub.
func (s *session) RequestKeyFrame() {
	if s.wantsKey.Swap(true) {
		return
	}
	if socket := s.home.Load(); socket != nil {
		socket.Do(func() { s.tick(socket, s.r.port.Now()) })
	}
}

// AddCandidate implements rtc.Trickler. The peer's checks show where it is; its candidates serve where none come.
func (s *session) AddCandidate(candidate string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addCandidate(candidate)
}

// Stats implements rtc.Session.
func (s *session) Stats() rtc.SessionStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := rtc.SessionStats{RoundTrip: s.roundTrip, ICEConnected: s.path != nil && !s.ended}
	for _, t := range []*receiveTrack{&s.audio, &s.video} {
		if t.jitter != nil {
			st.Add(t.jitter.Stats())
			st.Jitter = max(st.Jitter, t.arrived.jitterTime())
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
