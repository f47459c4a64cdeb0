package pion

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/pion/webrtc/v4"

	"transponder/internal/rtc"
)

// link is what sessions of all directions have in common: a PeerConnection, and what was agreed on.
type link struct {
	endpoint *Endpoint
	answer   rtc.Answer // ours to the client's offer; or, to our own offer, the client's
	tcp      bool       // over ICE-TCP only
	pc       *webrtc.PeerConnection
	dtls     *webrtc.DTLSTransport
	readers  sync.WaitGroup // of RTP and RTCP

	fingerprint atomic.Pointer[string] // of the client's certificate, as its SDP says; nil before its answer
}

// newLink plans an answer. An offer for TCP is answered with UDP if TCP is off: UDP may work, and nothing else could.
func newLink(e *Endpoint, answer rtc.Answer) *link {
	l := &link{endpoint: e, answer: answer, tcp: answer.Offer.TCP && e.tcp != nil}
	l.fingerprint.Store(&answer.Offer.Used()[0].Fingerprint)
	return l
}

// negotiate answers the offer. It calls addTracks, if not nil, when pion knows the offer, so that the answer has what we send.
func (l *link) negotiate(ctx context.Context, addTracks func() error) (string, error) {
	offer := webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: cleanSDP(l.answer, "actpass")}
	if err := l.pc.SetRemoteDescription(offer); err != nil {
		return "", fmt.Errorf("%w: %w", rtc.ErrBadOffer, err)
	}
	if addTracks != nil {
		if err := addTracks(); err != nil {
			return "", err
		}
	}
	answer, err := l.pc.CreateAnswer(nil)
	if err != nil {
		return "", fmt.Errorf("%w: %w", rtc.ErrBadOffer, err)
	}
	l.dtls = l.pc.GetTransceivers()[0].Receiver().Transport()
	if err := l.describe(ctx, answer); err != nil {
		return "", err
	}
	return l.answer.SDP(l.transport(answer.SDP)), nil
}

// describe gives pion its own description, and waits until pion has its addresses.
func (l *link) describe(ctx context.Context, own webrtc.SessionDescription) error {
	gathered := webrtc.GatheringCompletePromise(l.pc)
	if err := l.pc.SetLocalDescription(own); err != nil {
		return fmt.Errorf("start WebRTC: %w", err)
	}
	select {
	case <-gathered: // local addresses only: some milliseconds at most
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// transport returns our end of the transport. It takes ICE and DTLS from pion's description.
func (l *link) transport(pionSDP string) rtc.Transport {
	t := rtc.Transport{ID: rand.Uint64(), Fingerprint: l.endpoint.fingerprint, Candidates: l.endpoint.candidates(l.tcp)}
	for line := range strings.Lines(pionSDP) {
		line = strings.TrimSpace(line)
		if v, ok := strings.CutPrefix(line, "a=ice-ufrag:"); ok {
			t.Ufrag = v
		} else if v, ok := strings.CutPrefix(line, "a=ice-pwd:"); ok {
			t.Pwd = v
		} else if v, ok := strings.CutPrefix(line, "a=setup:"); ok {
			t.Setup = v
		}
	}
	return t
}

// guard runs f, which is our part of what a goroutine of pion does. If f panics, end ends the session of the link, and the other
// sessions go on. f must hold no lock after a panic.
func (l *link) guard(end func(error), f func()) {
	e := l.endpoint
	if err := e.panics.Run(e.log, "session panicked", func() error { f(); return nil }); err != nil {
		end(err)
	}
}

// failure says why a connection ended that we did not close. Pion does not say it: it may report a failed handshake as
// closed too, if the client hangs up first.
func (l *link) failure(state webrtc.PeerConnectionState, connected bool) error {
	iceFailed := l.dtls.ICETransport().State() == webrtc.ICETransportStateFailed
	cert := l.dtls.GetRemoteCertificate()
	switch {
	case cert != nil && !l.known(cert):
		return rtc.ErrDTLSFingerprint
	case state == webrtc.PeerConnectionStateClosed && connected:
		return rtc.ErrClientClosed
	case iceFailed && connected:
		return rtc.ErrICEKeepAlive
	case iceFailed:
		return rtc.ErrICEFailed
	default:
		return rtc.ErrDTLS
	}
}

// known says whether a certificate has the fingerprint of the client's SDP. It is true if we cannot compute that kind of
// fingerprint.
func (l *link) known(cert []byte) bool {
	said := l.fingerprint.Load()
	return said == nil || !strings.HasPrefix(*said, "sha-256 ") || strings.EqualFold(rtc.Fingerprint(cert), *said)
}

// AddCandidate takes the value of an a=candidate line. It is a part of rtc.Trickler and rtc.Outlet.
func (l *link) AddCandidate(candidate string) error {
	if !rtc.UsableCandidate(candidate) {
		return nil
	}
	if err := l.pc.AddICECandidate(webrtc.ICECandidateInit{Candidate: candidate}); err != nil {
		return fmt.Errorf("%w: %w", rtc.ErrBadOffer, err)
	}
	return nil
}

// RestartICE implements rtc.ICERestarter. Pion gives its old paths up at once, and goes on with the first one that the client shows.
func (l *link) RestartICE(ctx context.Context, client []rtc.ICE) ([]rtc.ICE, error) {
	if l.pc.SignalingState() != webrtc.SignalingStateStable {
		return nil, fmt.Errorf("%w: the session is not negotiated", rtc.ErrNoRestart)
	}
	again := l.answer
	again.Offer = again.Offer.WithICE(client[0])
	if last := l.pc.RemoteDescription(); strings.Contains(last.SDP, "a=ice-ufrag:"+client[0].Ufrag+"\r\n") {
		return nil, fmt.Errorf("%w: the ICE user name is the one before", rtc.ErrNoRestart)
	}
	offer := webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: cleanSDP(again, "actpass")}
	if err := l.pc.SetRemoteDescription(offer); err != nil {
		return nil, fmt.Errorf("restart ICE: %w", err)
	}
	answer, err := l.pc.CreateAnswer(nil)
	if err != nil {
		return nil, fmt.Errorf("restart ICE: %w", err)
	}
	if err := l.describe(ctx, answer); err != nil {
		return nil, err
	}
	t := l.transport(answer.SDP)
	return []rtc.ICE{{Ufrag: t.Ufrag, Pwd: t.Pwd, Candidates: t.Candidates}}, nil
}

// shut closes the PeerConnection and joins its goroutines. The session of the link is no longer the endpoint's.
func (l *link) shut(session io.Closer) error {
	var err error
	if l.pc != nil {
		err = l.endpoint.closeConnection(func() error { return closeSettled(l.pc) }, &l.readers)
	}
	l.endpoint.remove(session)
	if err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("close WebRTC: %w", err)
	}
	return nil
}
