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

	"transponder/internal/panics"
	"transponder/internal/rtc"
	"transponder/internal/rtc/udp"
)

// Endpoint receives from and sends to clients on one UDP port. All methods may be called from any goroutine.
type Endpoint struct {
	cfg      Config
	log      *slog.Logger
	mux      *mux
	tcp      *ice.TCPMuxDefault // nil: no ICE-TCP
	tcpPort  int
	settings webrtc.SettingEngine
	config   webrtc.Configuration

	fingerprint string // of our certificate

	stuck  atomic.Int64 // connections that could not be closed
	panics panics.Counter

	mu       sync.Mutex
	closed   bool               // guarded by mu
	sessions map[io.Closer]bool // guarded by mu; of both directions
}

var _ rtc.Receiver = (*Endpoint)(nil)

// New makes an endpoint on a port, and listens for ICE-TCP if cfg asks for it. Whoever made the endpoint closes it, before
// the port.
func New(ctx context.Context, cfg Config, port *udp.Port, log *slog.Logger) (*Endpoint, error) {
	e := &Endpoint{cfg: cfg, log: log, mux: &mux{Port: port}, sessions: map[io.Closer]bool{}}
	cert, err := rtc.NewCertificate()
	if err != nil {
		return nil, err
	}
	e.fingerprint = rtc.Fingerprint(cert.Leaf.Raw)
	e.config.Certificates = []webrtc.Certificate{webrtc.CertificateFromX509(cert.PrivateKey, cert.Leaf)}
	if cfg.TCP {
		if err := e.listenTCP(ctx); err != nil {
			return nil, err
		}
	}
	e.settings = e.engine()
	return e, nil
}

func (e *Endpoint) listenTCP(ctx context.Context) error {
	l := e.cfg.TCPListener
	if l == nil {
		var err error
		var lc net.ListenConfig
		if l, err = lc.Listen(ctx, "tcp", fmt.Sprintf(":%d", e.cfg.TCPPort)); err != nil {
			return fmt.Errorf("listen for media over TCP: %w", err)
		}
	}
	e.tcpPort = l.Addr().(*net.TCPAddr).Port
	e.tcp = ice.NewTCPMuxDefault(ice.TCPMuxParams{
		Listener:        l,
		Logger:          rtc.PionLog{Log: e.log}.NewLogger("ice"),
		ReadBufferSize:  64,
		WriteBufferSize: 1 << 20, // for each client: our feedback, and media to a player. What does not fit is lost
	})
	return nil
}

// engine returns pion's settings, which all sessions share.
func (e *Endpoint) engine() webrtc.SettingEngine {
	var settings webrtc.SettingEngine
	settings.LoggerFactory = rtc.PionLog{Log: e.log}
	settings.SetICEUDPMux(e.mux)
	networks := []webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6}
	if e.tcp != nil {
		settings.SetICETCPMux(e.tcp)
		networks = append(networks, webrtc.NetworkTypeTCP4, webrtc.NetworkTypeTCP6)
	}
	settings.SetNetworkTypes(networks)
	settings.DisableActiveTCP(true)
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	settings.SetIncludeLoopbackCandidate(true)
	disconnected := min(5*time.Second, e.cfg.Expiry/3)
	settings.SetICETimeouts(disconnected, e.cfg.Expiry-disconnected, e.cfg.KeepAlive)
	// If we offered, we choose among the client's addresses. They show only in the client's checks: pages do not tell them, so
	// there are no better ones to wait for.
	settings.SetPrflxAcceptanceMinWait(0)
	// A sender without RTX repeats a packet under the old sequence number, long after the packets beside it.
	settings.SetSRTPReplayProtectionWindow(1024)
	settings.SetSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AEAD_AES_256_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80)
	// ICE has proved the client's address; a cookie would cost another round trip.
	settings.SetDTLSInsecureSkipHelloVerify(true)
	settings.SetDTLSRetransmissionInterval(250 * time.Millisecond)
	// Otherwise pion reads the first packets itself, to look at them.
	settings.SetFireOnTrackBeforeFirstRTP(true)
	return settings
}

// Name implements rtc.Receiver.
func (*Endpoint) Name() string { return "peer" }

// Accepts implements rtc.Receiver. It accepts every offer.
func (*Endpoint) Accepts(*rtc.ParsedOffer) error { return nil }

// Answer implements rtc.Receiver.
func (e *Endpoint) Answer(ctx context.Context, offer *rtc.ParsedOffer, sink rtc.Sink) (rtc.Session, string, error) {
	s := newSession(newLink(e, rtc.Answer{Offer: offer, TransportCC: true, Rotation: e.cfg.Orientation}), sink)
	if !e.add(s) {
		return nil, "", net.ErrClosed
	}
	answer, err := s.start(ctx)
	if err != nil {
		s.abandon()
		_ = s.shut(s) // the caller gets the first error
		return nil, "", err
	}
	return s, answer, nil
}

func (e *Endpoint) add(s io.Closer) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return false
	}
	e.sessions[s] = true
	return true
}

func (e *Endpoint) remove(s io.Closer) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.sessions, s)
}

// Panics returns how many sessions have ended because they panicked.
func (e *Endpoint) Panics() int64 { return e.panics.Load() }

// Dropped returns how many datagrams were dropped because a session's goroutine was too slow.
func (e *Endpoint) Dropped() int64 { return e.mux.dropped.Load() }

// Close implements rtc.Receiver.
func (e *Endpoint) Close() error {
	e.mu.Lock()
	e.closed = true
	var all []io.Closer
	for s := range e.sessions {
		all = append(all, s)
	}
	e.mu.Unlock()
	var wg sync.WaitGroup
	for _, s := range all {
		wg.Go(func() { s.Close() })
	}
	wg.Wait()
	if e.tcp != nil {
		return e.tcp.Close()
	}
	return nil
}

// candidates returns the values of the answer's a=candidate lines.
func (e *Endpoint) candidates(tcpOnly bool) []string {
	var list []string
	if !tcpOnly {
		list = e.mux.Candidates()
	}
	if e.tcp == nil {
		return list
	}
	for i, a := range e.mux.Addresses() {
		// RFC 6544, 4.2: direction preference 4 for passive. The local preference keeps the order of the list.
		list = append(list, fmt.Sprintf("%d 1 tcp %d %s %d typ host tcptype passive", 2*i+2,
			90<<24|(4<<13|uint32(65535-i)&0x1fff)<<8|255, a, e.tcpPort))
	}
	return list
}
