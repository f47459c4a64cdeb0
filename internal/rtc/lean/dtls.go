package lean

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/srtp/v3"
	"github.com/pion/transport/v5/deadline"

	"transponder/internal/rtc"
)

// profiles are the SRTP profiles that we take, the cheapest first.
var profiles = []dtls.SRTPProtectionProfile{
	dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AEAD_AES_256_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80,
}

// setup is our role in the handshake. If the client leaves the choice to us we start it, which saves a round trip.
func (s *session) setup() string {
	if s.offer.Used()[0].Setup == "active" {
		return "passive"
	}
	return "active"
}

// secure waits for the client, does the handshake, and waits for the end of the session. It returns why the session ended.
func (s *session) secure(ctx context.Context) error {
	defer s.dtls.Close()
	if err := s.waitForClient(ctx); err != nil {
		return err
	}
	conn, err := s.handshake(ctx)
	if err != nil {
		return err
	}
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { // sends close_notify, and ends the read below
		defer close(closed)
		conn.Close()
	})
	defer func() {
		if !stop() {
			<-closed
		}
		conn.Close()
	}()
	if err := s.connect(conn); err != nil {
		return err
	}
	var nothing [64]byte
	for {
		if _, err := conn.Read(nothing[:]); err != nil {
			return rtc.ErrClientClosed
		}
	}
}

// waitForClient waits for the client's first check. Meanwhile it sends checks to the client's candidates, with longer and
// longer pauses.
func (s *session) waitForClient(ctx context.Context) error {
	limit := time.NewTimer(s.r.cfg.Expiry)
	defer limit.Stop()
	pause := firstPunch
	punch := time.NewTimer(pause)
	defer punch.Stop()
	for {
		select {
		case <-s.found:
			return nil
		case <-punch.C:
			s.punch()
			pause *= 2
			punch.Reset(pause)
		case <-limit.C:
			return rtc.ErrICEFailed
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (s *session) punch() {
	s.mu.Lock()
	defer s.unlock()
	s.ice.punch()
}

// handshake does the DTLS handshake.
func (s *session) handshake(ctx context.Context) (*dtls.Conn, error) {
	defer s.dtls.releaseSlot()
	var forged atomic.Bool
	options := []dtls.Option{
		dtls.WithCertificates(s.r.certificate),
		dtls.WithSRTPProtectionProfiles(profiles...),
		dtls.WithInsecureSkipVerify(true), // the fingerprint is what is verified
		dtls.WithVerifyPeerCertificate(func(certs [][]byte, _ [][]*x509.Certificate) error {
			if len(certs) == 0 || !s.offered(certs[0]) {
				forged.Store(true)
				return rtc.ErrDTLSFingerprint
			}
			return nil
		}),
		dtls.WithFlightInterval(250 * time.Millisecond),
		dtls.WithLoggerFactory(rtc.PionLog{Log: s.r.log}),
	}
	conn, err := s.dtls.open(s.setup() == "active", options)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", rtc.ErrDTLS, err)
	}
	limit, cancel := context.WithTimeout(ctx, s.r.cfg.Expiry)
	defer cancel()
	if err := conn.HandshakeContext(limit); err != nil {
		conn.Close()
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case forged.Load():
			return nil, rtc.ErrDTLSFingerprint
		default:
			return nil, fmt.Errorf("%w: %w", rtc.ErrDTLS, err)
		}
	}
	return conn, nil
}

// offered says whether a certificate has the fingerprint of the offer.
func (s *session) offered(der []byte) bool {
	return strings.EqualFold(rtc.Fingerprint(der), s.offer.Used()[0].Fingerprint)
}

// connect takes the keys from the handshake, and then the media that came before them.
func (s *session) connect(conn *dtls.Conn) error {
	state, ok := conn.ConnectionState()
	profile, agreed := conn.SelectedSRTPProtectionProfile()
	if !ok || !agreed {
		return fmt.Errorf("%w: no SRTP profile in common", rtc.ErrDTLS)
	}
	cfg := srtp.Config{Profile: srtp.ProtectionProfile(profile)}
	if err := cfg.ExtractSessionKeysFromDTLS(&state, s.setup() == "active"); err != nil {
		return fmt.Errorf("%w: %w", rtc.ErrDTLS, err)
	}
	// A sender without RTX repeats a packet under the old sequence number, long after the packets beside it.
	rx, err := srtp.CreateContext(cfg.Keys.RemoteMasterKey, cfg.Keys.RemoteMasterSalt, cfg.Profile,
		srtp.SRTPReplayProtection(1024), srtp.SRTCPReplayProtection(64))
	if err != nil {
		return fmt.Errorf("%w: %w", rtc.ErrDTLS, err)
	}
	tx, err := srtp.CreateContext(cfg.Keys.LocalMasterKey, cfg.Keys.LocalMasterSalt, cfg.Profile)
	if err != nil {
		return fmt.Errorf("%w: %w", rtc.ErrDTLS, err)
	}
	s.mu.Lock()
	defer s.unlock()
	if s.ended {
		return nil
	}
	s.rx, s.tx = rx, tx
	s.sink.Connected()
	now := s.r.port.Now()
	early := s.early
	s.early = nil
	for _, b := range early {
		s.open(b, now, now)
	}
	socket := s.socket.Load()
	socket.Do(func() { s.tick(socket, s.r.port.Now()) }) // asks for the first key frame
	return nil
}

// maxFlight limits the datagrams that wait for the handshake. It is more than the largest flight has.
const maxFlight = 32

// maxSlotTime is how long a handshake keeps its slot of Config.Handshakes. A client that is far away or falls silent must
// not keep others out.
const maxSlotTime = 250 * time.Millisecond

// dtlsConn is the client as a net.PacketConn, for pion. The socket's goroutine puts datagrams in; pion's goroutines read
// and write.
type dtlsConn struct {
	s        *session
	in       chan []byte
	slot     atomic.Pointer[time.Timer] // gives the slot back after maxSlotTime; nil: no slot was acquired yet
	deadline *deadline.Deadline
	closed   chan struct{}
	once     sync.Once
}

func newDTLSConn(s *session) *dtlsConn {
	return &dtlsConn{s: s, in: make(chan []byte, maxFlight), deadline: deadline.New(), closed: make(chan struct{})}
}

// acquireSlot waits for one of the Config.Handshakes slots. The first read calls it: before the client's first message
// there is no work. Later calls do nothing.
func (c *dtlsConn) acquireSlot() error {
	if c.slot.Load() != nil {
		return nil
	}
	slots := c.s.r.handshakes
	select {
	case slots <- struct{}{}:
		c.slot.Store(time.AfterFunc(maxSlotTime, func() { <-slots }))
		return nil
	case <-c.deadline.Done():
		return os.ErrDeadlineExceeded
	case <-c.closed:
		return net.ErrClosed
	}
}

// releaseSlot gives the slot back at the end of the handshake, unless maxSlotTime has passed.
func (c *dtlsConn) releaseSlot() {
	if t := c.slot.Load(); t != nil && t.Stop() {
		<-c.s.r.handshakes
	}
}

// open makes a DTLS endpoint on the conn.
func (c *dtlsConn) open(client bool, options []dtls.Option) (*dtls.Conn, error) {
	if client {
		var list []dtls.ClientOption
		for _, o := range options {
			list = append(list, o)
		}
		return dtls.ClientWithOptions(c, &net.UDPAddr{}, list...)
	}
	list := []dtls.ServerOption{
		dtls.WithClientAuth(dtls.RequireAnyClientCert),
		dtls.WithInsecureSkipVerifyHello(true), // ICE has proved the client's address; a cookie would cost another round trip
	}
	for _, o := range options {
		list = append(list, o)
	}
	return dtls.ServerWithOptions(c, &net.UDPAddr{}, list...)
}

// put queues a datagram for pion. If too many wait, it drops this one: DTLS sends it again, as after a loss on the path.
func (c *dtlsConn) put(b []byte) {
	select {
	case c.in <- slices.Clone(b):
	default:
		c.s.r.refused.Add(1)
	}
}

// ReadFrom implements net.PacketConn.
func (c *dtlsConn) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case in := <-c.in:
		return copy(b, in), &net.UDPAddr{}, c.acquireSlot()
	case <-c.deadline.Done():
		return 0, nil, os.ErrDeadlineExceeded
	case <-c.closed:
		return 0, nil, net.ErrClosed
	}
}

// WriteTo implements net.PacketConn. It sends over the selected path.
func (c *dtlsConn) WriteTo(b []byte, _ net.Addr) (int, error) {
	c.s.mu.Lock()
	socket, p := c.s.socket.Load(), c.s.ice.selected
	c.s.mu.Unlock()
	if socket == nil {
		return 0, net.ErrClosed
	}
	return socket.Write(b, p.source, p.addr)
}

// Close implements net.PacketConn.
func (c *dtlsConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

// LocalAddr implements net.PacketConn.
func (*dtlsConn) LocalAddr() net.Addr { return &net.UDPAddr{} }

// SetDeadline implements net.PacketConn.
func (c *dtlsConn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetReadDeadline implements net.PacketConn.
func (c *dtlsConn) SetReadDeadline(t time.Time) error {
	c.deadline.Set(t)
	return nil
}

// SetWriteDeadline implements net.PacketConn.
func (*dtlsConn) SetWriteDeadline(time.Time) error { return nil }
