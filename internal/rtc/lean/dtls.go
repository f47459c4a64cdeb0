package lean

import (
	"context"
	"crypto/x509"
	"errors"
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

// errPanic ends a session that a fault of ours has broken.
var errPanic = errors.New("internal error")

// profiles are those that we take, the cheapest first.
var profiles = []dtls.SRTPProtectionProfile{
	dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AEAD_AES_256_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80,
}

// setup is our part in the handshake. To begin with it saves a round trip.
func (s *session) setup() string {
	if s.offer.Used()[0].Setup == "active" {
		return "passive"
	}
	return "active"
}

// secure waits for the peer, agrees on keys with it, and waits until it goes. It returns why the session ended.
func (s *session) secure(ctx context.Context) error {
	defer s.dtls.Close()
	if err := s.meet(ctx); err != nil {
		return err
	}
	conn, err := s.shakeHands(ctx)
	if err != nil {
		return err
	}
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { // says goodbye, and ends the read
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
			return rtc.ErrPeerClosed
		}
	}
}

// meet waits until the peer has found us, and knocks where it may be.
func (s *session) meet(ctx context.Context) error {
	wait := time.NewTimer(s.r.cfg.Expiry)
	defer wait.Stop()
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
		case <-wait.C:
			return rtc.ErrICEFailed
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// shakeHands makes a DTLS connection.
func (s *session) shakeHands(ctx context.Context) (*dtls.Conn, error) {
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

// offered says whether a certificate is the one of the offer.
func (s *session) offered(der []byte) bool {
	return strings.EqualFold(rtc.Fingerprint(der), s.offer.Used()[0].Fingerprint)
}

// connect takes the keys, and the media that came before them.
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
	// A packet that a sender without RTX repeats comes under its old number, long after its neighbours.
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
	defer s.release()
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
	socket := s.socket
	socket.Do(func() { s.tick(socket, s.r.port.Now()) }) // asks for the first key frame
	return nil
}

// maxFlight is how many datagrams wait for the handshake: more than the greatest flight has.
const maxFlight = 32

// maxSlotTime is how long a handshake keeps its slot among Config.Handshakes: a peer that is far away, or falls silent, must not keep
// others out.
const maxSlotTime = 250 * time.Millisecond

// dtlsConn is the peer as a net.PacketConn for pion: what it sends is put in by the socket's goroutine.
type dtlsConn struct {
	s        *session
	in       chan []byte
	slot     atomic.Pointer[time.Timer] // releases the slot after maxSlotTime; nil: none acquired yet
	deadline *deadline.Deadline
	closed   chan struct{}
	once     sync.Once
}

func newDTLSConn(s *session) *dtlsConn {
	return &dtlsConn{s: s, in: make(chan []byte, maxFlight), deadline: deadline.New(), closed: make(chan struct{})}
}

// acquireSlot waits for a slot, once: before the peer's first message is read, as there is no work before it.
func (c *dtlsConn) acquireSlot() error {
	if c.slot.Load() != nil {
		return nil
	}
	places := c.s.r.handshakes
	select {
	case places <- struct{}{}:
		c.slot.Store(time.AfterFunc(maxSlotTime, func() { <-places }))
		return nil
	case <-c.deadline.Done():
		return os.ErrDeadlineExceeded
	case <-c.closed:
		return net.ErrClosed
	}
}

// releaseSlot gives the slot back when the handshake is over.
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
		dtls.WithInsecureSkipVerifyHello(true), // ICE has proved the peer's address; a cookie would cost a round trip more
	}
	for _, o := range options {
		list = append(list, o)
	}
	return dtls.ServerWithOptions(c, &net.UDPAddr{}, list...)
}

// put queues a datagram. Where there are too many one is lost, as it may be on the way: DTLS repeats it.
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

// WriteTo implements net.PacketConn.
func (c *dtlsConn) WriteTo(b []byte, _ net.Addr) (int, error) { return c.s.write(b) }

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
