package pion

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/pion/webrtc/v4"

	"transponder/internal/rtc"
)

// link is what sessions of both directions have in common: a PeerConnection, and how the offer is answered.
type link struct {
	endpoint *Endpoint
	answer   rtc.Answer
	tcp      bool // over ICE-TCP only
	pc       *webrtc.PeerConnection
	dtls     *webrtc.DTLSTransport
}

// newLink plans an answer. An offer for TCP is answered with UDP if TCP is off: UDP may work, and nothing else could.
func newLink(e *Endpoint, answer rtc.Answer) link {
	return link{endpoint: e, answer: answer, tcp: answer.Offer.TCP && e.tcp != nil}
}

// negotiate answers the offer. It calls addTracks, if not nil, when pion knows the offer, so that the answer has what we send.
func (l *link) negotiate(ctx context.Context, addTracks func() error) (string, error) {
	gathered := webrtc.GatheringCompletePromise(l.pc)
	offer := webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: cleanOffer(l.answer)}
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
	if err := l.pc.SetLocalDescription(answer); err != nil {
		return "", fmt.Errorf("start WebRTC: %w", err)
	}
	select {
	case <-gathered: // local addresses only: some milliseconds at most
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	return l.write(answer.SDP), nil
}

// write writes our own answer. It takes the transport from pion's answer.
func (l *link) write(pionAnswer string) string {
	t := rtc.Transport{ID: rand.Uint64(), Fingerprint: l.endpoint.fingerprint, Candidates: l.endpoint.candidates(l.tcp)}
	for line := range strings.Lines(pionAnswer) {
		line = strings.TrimSpace(line)
		if v, ok := strings.CutPrefix(line, "a=ice-ufrag:"); ok {
			t.Ufrag = v
		} else if v, ok := strings.CutPrefix(line, "a=ice-pwd:"); ok {
			t.Pwd = v
		} else if v, ok := strings.CutPrefix(line, "a=setup:"); ok {
			t.Setup = v
		}
	}
	return l.answer.SDP(t)
}

// failure says why a connection ended that we did not close. Pion does not say it: it may report a failed handshake as
// closed too, if the client hangs up first.
func (l *link) failure(state webrtc.PeerConnectionState, connected bool) error {
	iceFailed := l.dtls.ICETransport().State() == webrtc.ICETransportStateFailed
	cert := l.dtls.GetRemoteCertificate()
	switch {
	case cert != nil && !l.offered(cert):
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

// offered says whether a certificate has the fingerprint of the offer. It is true if we cannot compute that kind of
// fingerprint.
func (l *link) offered(cert []byte) bool {
	offered := l.answer.Offer.Used()[0].Fingerprint
	return !strings.HasPrefix(offered, "sha-256 ") || strings.EqualFold(rtc.Fingerprint(cert), offered)
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
