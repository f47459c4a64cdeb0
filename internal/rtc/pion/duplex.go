package pion

import (
	"context"
	"fmt"
	"net"

	"github.com/pion/webrtc/v4"

	"transponder/internal/media"
	"transponder/internal/rtc"
)

// duplex is one client that sends and receives over one PeerConnection. The two halves share the link. Both learn of the state
// of the link, but only the half that receives reports it to the events.
type duplex struct {
	*session
	out *outlet
}

var (
	_ rtc.Connector   = (*Endpoint)(nil)
	_ rtc.CallSession = (*duplex)(nil)
)

func newDuplex(l *link, streamID string, events rtc.CallEvents) *duplex {
	return &duplex{session: newSession(l, events), out: &outlet{link: l, streamID: streamID, events: callOutlet{events}}}
}

// callOutlet takes the events of the half that sends. It passes on what the other half does not tell.
type callOutlet struct{ rtc.CallEvents }

func (callOutlet) Connected()   {}
func (callOutlet) Closed(error) {}

// AnswerCall implements rtc.Connector.
func (e *Endpoint) AnswerCall(ctx context.Context, offer *rtc.ParsedOffer, streamID string, events rtc.CallEvents) (rtc.CallSession, string, error) {
	answer := rtc.Answer{Offer: offer, TransportCC: true, Rotation: e.cfg.Orientation, Both: true, Sent: map[media.Kind]rtc.Sending{}}
	d := newDuplex(newLink(e, answer), streamID, events)
	return e.call(d, func() (string, error) { return d.answerOffer(ctx) })
}

// OfferCall implements rtc.Connector.
func (e *Endpoint) OfferCall(ctx context.Context, own *rtc.OwnOffer, streamID string, events rtc.CallEvents) (rtc.CallSession, string, error) {
	d := newDuplex(&link{endpoint: e, answer: rtc.Answer{TransportCC: true}}, streamID, events)
	return e.call(d, func() (string, error) { return d.offer(ctx, own) })
}

// call starts a session. If that fails, the session is shut.
func (e *Endpoint) call(d *duplex, start func() (string, error)) (rtc.CallSession, string, error) {
	if !e.add(d) {
		return nil, "", net.ErrClosed
	}
	text, err := start()
	if err != nil {
		d.session.abandon()
		d.out.abandon()
		_ = d.shut(d) // the caller gets the first error
		return nil, "", err
	}
	return d, text, nil
}

// answerOffer makes the PeerConnection and returns the answer.
func (d *duplex) answerOffer(ctx context.Context) (string, error) {
	d.expect()
	if err := d.prepare(d.answer.Offer.Used()); err != nil {
		return "", err
	}
	return d.negotiate(ctx, d.out.addTracks)
}

// prepare makes the PeerConnection for these codecs.
func (d *duplex) prepare(codecs []*rtc.Section) error {
	reg, err := receiveInterceptors(&tap{retransmission: d.retransmission})
	if err != nil {
		return fmt.Errorf("set up WebRTC: %w", err)
	}
	if err := sendInterceptors(reg); err != nil {
		return err
	}
	if err := d.setUp(reg, codecs); err != nil {
		return err
	}
	d.pc.OnTrack(d.read)
	d.pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		d.session.stateChanged(state)
		d.out.stateChanged(state)
	})
	return nil
}

// offer makes the PeerConnection and returns our offer.
func (d *duplex) offer(ctx context.Context, own *rtc.OwnOffer) (string, error) {
	var codecs []*rtc.Section
	for _, s := range own.Sections {
		codecs = append(codecs, s.Codecs...)
	}
	if err := d.prepare(codecs); err != nil {
		return "", err
	}
	for _, s := range own.Sections {
		if err := d.addSection(s); err != nil {
			return "", err
		}
	}
	offer, err := d.pc.CreateOffer(nil)
	if err != nil {
		return "", fmt.Errorf("start WebRTC: %w", err)
	}
	for i, t := range d.pc.GetTransceivers() {
		own.Sections[i].MID = t.Mid()
	}
	d.dtls = d.pc.GetTransceivers()[0].Receiver().Transport()
	if err := d.describe(ctx, offer); err != nil {
		return "", err
	}
	return own.SDP(d.transport(offer.SDP)), nil
}

// addSection adds a section to our offer. Its track has the first codec until the client has answered.
func (d *duplex) addSection(s *rtc.OwnSection) error {
	local, err := d.out.newTrack(s.Codecs[0])
	if err != nil {
		return err
	}
	both := webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendrecv}
	t, err := d.pc.AddTransceiverFromTrack(local, both)
	if err != nil {
		return fmt.Errorf("set up WebRTC: %w", err)
	}
	s.Sent = d.out.send(s.Codecs[0], local, t.Sender())
	return nil
}

// Accept implements rtc.CallSession.
func (d *duplex) Accept(answer *rtc.ParsedOffer) error {
	d.answer = rtc.Answer{Offer: answer, TransportCC: true, Both: true, Sent: map[media.Kind]rtc.Sending{}}
	d.fingerprint.Store(&answer.Used()[0].Fingerprint)
	d.expect()
	for _, s := range answer.Used() {
		if !s.Receives {
			continue
		}
		if err := d.out.change(s); err != nil {
			return err
		}
	}
	remote := webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: cleanSDP(d.answer, "active")}
	if err := d.pc.SetRemoteDescription(remote); err != nil {
		return fmt.Errorf("%w: %w", rtc.ErrBadAnswer, err)
	}
	return nil
}

// Outlet implements rtc.CallSession.
func (d *duplex) Outlet() rtc.MediaOutlet { return d.out }

// Close implements rtc.Session.
func (d *duplex) Close() error {
	d.out.bye()
	d.session.end(context.Canceled)
	return d.shut(d)
}
