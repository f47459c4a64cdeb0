package pion

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"

	"transponder/internal/rtc"
	"transponder/internal/rtc/udp"
)

// Receiver receives peers on one UDP port. All methods may be called from any goroutine.
type Receiver struct {
	cfg      Config
	log      *slog.Logger
	mux      *mux
	tcp      *ice.TCPMuxDefault // nil: no ICE-TCP
	tcpPort  int
	settings webrtc.SettingEngine
	config   webrtc.Configuration

	fingerprint string // of our certificate

	stuck atomic.Int64 // peers that could not be closed

	mu       sync.Mutex
	closed   bool               // guarded by mu
	sessions map[io.Closer]bool // guarded by mu; of both directions
}

var _ rtc.Receiver = (*Receiver)(nil)

// New makes a receiver on a port, which outlives it. Whoever made the receiver closes it.
func New(ctx context.Context, cfg Config, port *udp.Port, log *slog.Logger) (*Receiver, error) {
	r := &Receiver{cfg: cfg, log: log, mux: &mux{Port: port}, sessions: map[io.Closer]bool{}}
	cert, err := rtc.NewCertificate()
	if err != nil {
		return nil, err
	}
	r.fingerprint = rtc.Fingerprint(cert.Leaf.Raw)
	r.config.Certificates = []webrtc.Certificate{webrtc.CertificateFromX509(cert.PrivateKey, cert.Leaf)}
	if cfg.TCP {
		if err := r.listenTCP(ctx); err != nil {
			return nil, err
		}
	}
	r.settings = r.engine()
	return r, nil
}

func (r *Receiver) listenTCP(ctx context.Context) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", fmt.Sprintf(":%d", r.cfg.TCPPort))
	if err != nil {
		return fmt.Errorf("listen for media over TCP: %w", err)
	}
	r.tcpPort = l.Addr().(*net.TCPAddr).Port
	r.tcp = ice.NewTCPMuxDefault(ice.TCPMuxParams{
		Listener:        l,
		Logger:          rtc.PionLog{Log: r.log}.NewLogger("ice"),
		ReadBufferSize:  64,
		WriteBufferSize: 1 << 20, // of feedback only; a peer that does not read it loses it
	})
	return nil
}

// engine returns what all peers' settings have in common.
func (r *Receiver) engine() webrtc.SettingEngine {
	var e webrtc.SettingEngine
	e.LoggerFactory = rtc.PionLog{Log: r.log}
	e.SetICEUDPMux(r.mux)
	networks := []webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6}
	if r.tcp != nil {
		e.SetICETCPMux(r.tcp)
		networks = append(networks, webrtc.NetworkTypeTCP4, webrtc.NetworkTypeTCP6)
	}
	e.SetNetworkTypes(networks)
	e.DisableActiveTCP(true)
	e.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	e.SetIncludeLoopbackCandidate(true)
	e.SetICETimeouts(r.cfg.DisconnectAfter, r.cfg.FailAfter, r.cfg.KeepAlive)
	// A packet that a sender without RTX repeats comes under its old number, long after its neighbours.
	e.SetSRTPReplayProtectionWindow(1024)
	e.SetSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AEAD_AES_256_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80)
	// ICE has proved the peer's address; a cookie would cost a round trip more.
	e.SetDTLSInsecureSkipHelloVerify(true)
	e.SetDTLSRetransmissionInterval(250 * time.Millisecond)
	// The first packets are read by us, not by pion to look at them.
	e.SetFireOnTrackBeforeFirstRTP(true)
	return e
}

// Name implements rtc.Receiver.
func (*Receiver) Name() string { return "peer" }

// Accepts implements rtc.Receiver: everything that rtc.ParseOffer can read.
func (r *Receiver) Accepts(offer rtc.Offer) error {
	_, err := rtc.ParseOffer(offer.SDP)
	return err
}

// Answer implements rtc.Receiver. An offer for TCP is answered with UDP where TCP is off: it may work, and nothing else
// could.
func (r *Receiver) Answer(ctx context.Context, offer rtc.Offer, sink rtc.Sink) (rtc.Session, string, error) {
	d, err := rtc.ParseOffer(offer.SDP)
	if err != nil {
		return nil, "", err
	}
	if !r.cfg.Orientation {
		d.RefuseOrientation()
	}
	s := newSession(r, d, sink)
	if !r.add(s) {
		return nil, "", net.ErrClosed
	}
	answer, err := s.start(ctx, offer.TCP && r.tcp != nil)
	if err != nil {
		s.abandon()
		return nil, "", err
	}
	return s, answer, nil
}

func (r *Receiver) add(s io.Closer) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.sessions[s] = true
	return true
}

func (r *Receiver) remove(s io.Closer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.sessions, s)
}

// Dropped returns how many datagrams were thrown away because a peer's goroutine did not keep up.
func (r *Receiver) Dropped() int64 { return r.mux.dropped.Load() }

// Close implements rtc.Receiver.
func (r *Receiver) Close() error {
	r.mu.Lock()
	r.closed = true
	var all []io.Closer
	for s := range r.sessions {
		all = append(all, s)
	}
	r.mu.Unlock()
	var wg sync.WaitGroup
	for _, s := range all {
		wg.Go(func() { s.Close() })
	}
	wg.Wait()
	if r.tcp != nil {
		return r.tcp.Close()
	}
	return nil
}

// candidates returns the values of the answer's a=candidate lines.
func (r *Receiver) candidates(tcpOnly bool) []string {
	var list []string
	if !tcpOnly {
		list = r.mux.Candidates()
	}
	if r.tcp == nil {
		return list
	}
	for i, a := range r.mux.Addresses() {
		// RFC 6544, 4.2: direction preference 4 for passive. The local preference keeps the order of the list.
		list = append(list, fmt.Sprintf("%d 1 tcp %d %s %d typ host tcptype passive", 2*i+2,
			90<<24|(4<<13|uint32(65535-i)&0x1fff)<<8|255, a, r.tcpPort))
	}
	return list
}
