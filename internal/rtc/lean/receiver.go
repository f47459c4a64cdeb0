package lean

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"

	"transponder/internal/media"
	"transponder/internal/panics"
	"transponder/internal/rtc"
	"transponder/internal/rtc/udp"
)

// Receiver receives publishers on a UDP port. All methods may be called from any goroutine.
type Receiver struct {
	cfg         Config
	port        *udp.Port
	log         *slog.Logger
	certificate tls.Certificate
	fingerprint string
	handshakes  chan struct{} // a semaphore: one entry for each slot that is taken

	refused atomic.Int64 // datagrams that were not genuine, or not valid
	panics  panics.Counter

	mu       sync.Mutex
	closed   bool              // guarded by mu
	sessions map[*session]bool // guarded by mu
}

var _ rtc.Receiver = (*Receiver)(nil)

// New makes a receiver on a port. Whoever made the receiver closes it, before the port.
func New(cfg Config, port *udp.Port, log *slog.Logger) (*Receiver, error) {
	cert, err := rtc.NewCertificate()
	if err != nil {
		return nil, err
	}
	return &Receiver{
		cfg: cfg, port: port, log: log,
		certificate: cert, fingerprint: rtc.Fingerprint(cert.Leaf.Raw),
		handshakes: make(chan struct{}, cfg.Handshakes),
		sessions:   map[*session]bool{},
	}, nil
}

// Name implements rtc.Receiver.
func (*Receiver) Name() string { return "lean" }

// Accepts implements rtc.Receiver. It accepts H.264 and Opus or G.711, over UDP, from a full ICE agent.
func (r *Receiver) Accepts(offer *rtc.ParsedOffer) error {
	if offer.TCP {
		return fmt.Errorf("%w: this receiver has no ICE-TCP", rtc.ErrBadOffer)
	}
	if offer.Lite {
		return fmt.Errorf("%w: two ICE-lite agents never start checks", rtc.ErrBadOffer)
	}
	for _, s := range offer.Used() {
		switch {
		case s.Codec != media.H264 && s.Codec != media.Opus && s.Codec != media.PCMA && s.Codec != media.PCMU:
			return fmt.Errorf("%w: this receiver takes no %v", rtc.ErrNoCommonCodecs, s.Codec)
		case s.Simulcast:
			return fmt.Errorf("%w: this receiver takes no simulcast", rtc.ErrBadOffer)
		case !strings.HasPrefix(s.Fingerprint, "sha-256 "):
			return fmt.Errorf("%w: this receiver knows SHA-256 fingerprints only", rtc.ErrBadOffer)
		}
	}
	return nil
}

// Answer implements rtc.Receiver.
func (r *Receiver) Answer(ctx context.Context, offer *rtc.ParsedOffer, sink rtc.Sink) (rtc.Session, string, error) {
	if err := r.Accepts(offer); err != nil {
		return nil, "", err
	}
	s, ctx := newSession(ctx, r, offer, sink)
	if err := s.ice.join(s.ice.keys); err != nil {
		return nil, "", err
	}
	if !r.add(s) {
		s.ice.leave()
		return nil, "", net.ErrClosed
	}
	go s.run(ctx)
	answer := rtc.Answer{Offer: offer, TransportCC: true, Rotation: r.cfg.Orientation}
	return s, answer.SDP(rtc.Transport{
		ID: random(), Ufrag: s.ice.keys.ufrag, Pwd: s.ice.keys.pwd, Fingerprint: r.fingerprint, Setup: s.setup(), Lite: true,
		Candidates: r.port.Candidates(),
	}), nil
}

func random() uint64 {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint64(b[:])
}

func (r *Receiver) add(s *session) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.sessions[s] = true
	return true
}

func (r *Receiver) remove(s *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.sessions, s)
}

// Refused returns how many datagrams came for a session, by its user name or from its client's address, and were not
// genuine or not valid.
func (r *Receiver) Refused() int64 { return r.refused.Load() }

// Panics returns how many sessions have ended because they panicked.
func (r *Receiver) Panics() int64 { return r.panics.Load() }

// Close implements rtc.Receiver.
func (r *Receiver) Close() error {
	r.mu.Lock()
	r.closed = true
	var all []*session
	for s := range r.sessions {
		all = append(all, s)
	}
	r.mu.Unlock()
	var wg sync.WaitGroup
	for _, s := range all {
		wg.Go(func() { s.Close() })
	}
	wg.Wait()
	return nil
}
