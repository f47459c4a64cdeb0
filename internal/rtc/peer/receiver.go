package peer

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"

	"transponder/internal/rtc"
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

	mu       sync.Mutex
	closed   bool               // guarded by mu
	sessions map[io.Closer]bool // guarded by mu; of both directions
}

var _ rtc.Receiver = (*Receiver)(nil)

// New opens the media port. Whoever made the receiver closes it.
func New(ctx context.Context, cfg Config, log *slog.Logger) (_ *Receiver, err error) {
	r := &Receiver{cfg: cfg, log: log, sessions: map[io.Closer]bool{}}
	r.config.Certificates, err = certificates()
	if err != nil {
		return nil, err
	}
	n := cfg.Sockets
	if !canShare {
		n = 1
	}
	r.mux, err = newMux(ctx, cfg.Port, n, cfg.ReadBuffer)
	if err != nil {
		return nil, err
	}
	if cfg.TCP {
		if err := r.listenTCP(ctx); err != nil {
			r.mux.Close()
			return nil, err
		}
	}
	r.settings = r.engine()
	return r, nil
}

// certificates makes the DTLS certificate of all sessions. Peers compare its fingerprint and nothing else, so it only has
// to outlive the process.
func certificates() ([]webrtc.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make DTLS key: %w", err)
	}
	now := time.Now()
	c, err := webrtc.NewCertificate(key, x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: "WebRTC"},
		NotBefore:    now.AddDate(0, 0, -1),
		NotAfter:     now.AddDate(10, 0, 0),
	})
	if err != nil {
		return nil, fmt.Errorf("make DTLS certificate: %w", err)
	}
	return []webrtc.Certificate{*c}, nil
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
		Logger:          logFactory{r.log}.NewLogger("ice"),
		ReadBufferSize:  64,
		WriteBufferSize: 1 << 20, // of feedback only; a peer that does not read it loses it
	})
	return nil
}

// engine returns what all peers' settings have in common.
func (r *Receiver) engine() webrtc.SettingEngine {
	var e webrtc.SettingEngine
	e.LoggerFactory = logFactory{r.log}
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

// Accepts implements rtc.Receiver: everything that rtc.ParseOffer can read.
func (r *Receiver) Accepts(offer string) error {
	_, err := rtc.ParseOffer(offer)
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
		for _, section := range d.Sections {
			section.Orientation = 0
		}
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

// Port returns the UDP port that peers are received on.
func (r *Receiver) Port() int { return r.mux.port }

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
	err := r.mux.Close()
	if r.tcp != nil {
		err = errors.Join(err, r.tcp.Close())
	}
	return err
}

// candidates returns the values of the answer's a=candidate lines: every address of this machine, or those of the
// configuration and the loopback address, so that a browser beside the server needs no network.
func (r *Receiver) candidates(tcpOnly bool) []string {
	var list []string
	for i, a := range r.addresses() {
		if a.Is6() && r.mux.ipv6 == nil {
			continue
		}
		// RFC 8445, 5.1.2.1; the local preference keeps the order of the list.
		local := uint32(65535 - i)
		if !tcpOnly {
			list = append(list, fmt.Sprintf("%d 1 udp %d %s %d typ host", 2*i+1, 126<<24|local<<8|255, a, r.mux.port))
		}
		if r.tcp != nil {
			// RFC 6544, 4.2: direction preference 4 for passive.
			list = append(list, fmt.Sprintf("%d 1 tcp %d %s %d typ host tcptype passive", 2*i+2,
				90<<24|(4<<13|local&0x1fff)<<8|255, a, r.tcpPort))
		}
	}
	return list
}

// addresses returns what peers are told, the likeliest first: IPv4, IPv6, loopback.
func (r *Receiver) addresses() []netip.Addr {
	list := slices.Clone(r.cfg.Addresses)
	local, _ := net.InterfaceAddrs()
	var v6, loopback []netip.Addr
	for _, a := range local {
		p, err := netip.ParsePrefix(a.String())
		if err != nil {
			continue
		}
		ip := p.Addr().Unmap()
		switch {
		case ip.IsLoopback():
			loopback = append(loopback, ip)
		case len(r.cfg.Addresses) > 0 || ip.IsLinkLocalUnicast():
		case ip.Is4():
			list = append(list, ip)
		default:
			v6 = append(v6, ip)
		}
	}
	return slices.Concat(list, v6, loopback)
}

// fingerprint returns our certificate's, as a=fingerprint spells it.
func (r *Receiver) fingerprint() (string, error) {
	f, err := r.config.Certificates[0].GetFingerprints()
	if err != nil {
		return "", fmt.Errorf("fingerprint of our certificate: %w", err)
	}
	return f[0].Algorithm + " " + strings.ToUpper(f[0].Value), nil
}
