package pion

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"transponder/internal/media"
	"transponder/internal/rtc"
	"transponder/internal/rtc/udp"
)

// repeatable is how many packets of each track are kept for retransmission: about three seconds of 4 Mbit/s.
const repeatable = 1024

// outlet is the media that is sent to one client: a player, or the client of a call.
type outlet struct {
	*link
	streamID string // names the stream in the answer and in reports
	events   rtc.SendEvents
	tracks   [2]*sendTrack // indexed as in method of; nil: not sent

	nacked, plis atomic.Int64

	mu        sync.Mutex
	connected bool // guarded by mu
	ended     bool // guarded by mu: events will not be called again
}

// sendTrack is one track that is sent.
type sendTrack struct {
	ssrc   uint32
	local  *webrtc.TrackLocalStaticRTP
	sender *webrtc.RTPSender
	packet rtp.Packet // the next packet; owned by the goroutine that calls Write

	packets, bytes atomic.Int64
	lost           atomic.Int64

	report []rtcp.Packet // the last sender report; guarded by the outlet's mu
}

var (
	_ rtc.Sender       = (*Endpoint)(nil)
	_ rtc.Outlet       = (*outlet)(nil)
	_ rtc.ICERestarter = (*outlet)(nil)
)

// Send implements rtc.Sender.
func (e *Endpoint) Send(ctx context.Context, offer *rtc.ParsedOffer, streamID string, events rtc.SendEvents) (rtc.Outlet, string, error) {
	answer := rtc.Answer{Offer: offer, Sent: map[media.Kind]rtc.Sending{}}
	o := &outlet{link: newLink(e, answer), streamID: streamID, events: events}
	if !e.add(o) {
		return nil, "", net.ErrClosed
	}
	text, err := o.start(ctx)
	if err != nil {
		o.abandon()
		_ = o.shut(o) // the caller gets the first error
		return nil, "", err
	}
	return o, text, nil
}

// abandon ends a session that could not be started. The events are not called. The caller shuts the link.
func (o *outlet) abandon() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
}

// sendInterceptors adds the interceptors of a session that sends.
func sendInterceptors(reg *interceptor.Registry) error {
	repeats, err := nack.NewResponderInterceptor(nack.ResponderSize(repeatable))
	if err != nil {
		return fmt.Errorf("set up WebRTC: %w", err)
	}
	reg.Add(repeats)
	return nil
}

// start makes the PeerConnection and returns the answer.
func (o *outlet) start(ctx context.Context) (string, error) {
	reg := &interceptor.Registry{}
	if err := sendInterceptors(reg); err != nil {
		return "", err
	}
	if err := o.setUp(reg, o.answer.Offer.Used()); err != nil {
		return "", err
	}
	o.pc.OnConnectionStateChange(o.stateChanged)
	return o.negotiate(ctx, o.addTracks)
}

// addTracks adds the tracks that are sent, to the PeerConnection and to the answer.
func (o *outlet) addTracks() error {
	for _, s := range o.answer.Offer.Used() {
		if !s.Receives {
			continue
		}
		local, err := o.newTrack(s)
		if err != nil {
			return err
		}
		sender, err := o.pc.AddTrack(local)
		if err != nil {
			return fmt.Errorf("set up WebRTC: %w", err)
		}
		o.answer.Sent[s.Kind] = o.send(s, local, sender)
	}
	return nil
}

// newTrack makes pion's track for a section's codec.
func (o *outlet) newTrack(s *rtc.Section) (*webrtc.TrackLocalStaticRTP, error) {
	local, err := webrtc.NewTrackLocalStaticRTP(capability(s), s.Kind.String(), o.streamID)
	if err != nil {
		return nil, fmt.Errorf("set up WebRTC: %w", err)
	}
	return local, nil
}

// send begins to read the feedback for a track, and says how the track is sent.
func (o *outlet) send(s *rtc.Section, local *webrtc.TrackLocalStaticRTP, sender *webrtc.RTPSender) rtc.Sending {
	encoding := sender.GetParameters().Encodings[0]
	sent := rtc.Sending{Stream: o.streamID, SSRC: uint32(encoding.SSRC)}
	if s.RTXType != 0 {
		sent.RTXSSRC = uint32(encoding.RTX.SSRC)
	}
	t := &sendTrack{ssrc: sent.SSRC, local: local, sender: sender}
	t.packet.Header = rtp.Header{Version: 2, SequenceNumber: uint16(rand.Uint32())}
	*o.of(s.Kind) = t
	o.readers.Go(func() { o.guard(o.fail, func() { o.read(t) }) })
	return sent
}

// change gives the track of an offer of ours the codec that the client has accepted. It is called before the session is
// connected.
func (o *outlet) change(s *rtc.Section) error {
	local, err := o.newTrack(s)
	if err != nil {
		return err
	}
	t := *o.of(s.Kind)
	if err := t.sender.ReplaceTrack(local); err != nil {
		return fmt.Errorf("set up WebRTC: %w", err)
	}
	t.local = local
	return nil
}

// of returns the place of a kind's track.
func (o *outlet) of(kind media.Kind) **sendTrack {
	if kind == media.Video {
		return &o.tracks[0]
	}
	return &o.tracks[1]
}

// stateChanged follows the common state of ICE and DTLS.
func (o *outlet) stateChanged(state webrtc.PeerConnectionState) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.ended:
	case state == webrtc.PeerConnectionStateConnected && !o.connected:
		o.connected = true
		o.events.Connected()
	case state == webrtc.PeerConnectionStateFailed || state == webrtc.PeerConnectionStateClosed:
		o.ended = true
		o.events.Closed(o.failure(state, o.connected))
	}
}

// read processes the client's feedback for one track until it ends.
func (o *outlet) read(t *sendTrack) {
	buf := make([]byte, udp.MaxDatagram)
	for {
		n, _, err := t.sender.Read(buf)
		if err != nil {
			return
		}
		packets, err := rtcp.Unmarshal(buf[:n])
		if err != nil {
			continue
		}
		for _, p := range packets {
			o.feedback(t, p)
		}
	}
}

func (o *outlet) feedback(t *sendTrack, p rtcp.Packet) {
	switch p := p.(type) {
	case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
		o.plis.Add(1)
		o.events.WantsKeyFrame()
	case *rtcp.TransportLayerNack:
		for _, pair := range p.Nacks {
			o.nacked.Add(int64(len(pair.PacketList())))
		}
	case *rtcp.ReceiverReport:
		for _, r := range p.Reports {
			if r.SSRC == t.ssrc {
				t.lost.Store(max(0, int64(int32(r.TotalLost<<8)>>8))) // a signed number of 24 bits: duplicates reduce it
			}
		}
	}
}

// Write implements rtc.Outlet.
func (o *outlet) Write(kind media.Kind, payloads [][]byte, rtpTime uint32, last bool) error {
	t := *o.of(kind)
	if t == nil {
		return nil
	}
	p := &t.packet
	p.Timestamp = rtpTime
	for i, payload := range payloads {
		p.Payload = payload
		p.Marker = last && kind == media.Video && i == len(payloads)-1
		// If the session is being closed, its events say so.
		if err := t.local.WriteRTP(p); err != nil && !errors.Is(err, net.ErrClosed) && o.open() {
			return fmt.Errorf("send RTP: %w", err)
		}
		p.SequenceNumber++
		t.packets.Add(1)
		t.bytes.Add(int64(p.MarshalSize()))
	}
	return nil
}

// fail ends the session for a cause on this side.
func (o *outlet) fail(cause error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.ended {
		o.ended = true
		o.events.Closed(cause)
	}
}

func (o *outlet) open() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.ended
}

// Report implements rtc.Outlet.
func (o *outlet) Report(kind media.Kind, wall time.Time, rtpTime uint32) {
	t := *o.of(kind)
	if t == nil {
		return
	}
	ssrc := t.ssrc
	report := []rtcp.Packet{
		&rtcp.SenderReport{
			SSRC: ssrc, NTPTime: rtc.NTPTime(wall), RTPTime: rtpTime,
			PacketCount: uint32(t.packets.Load()), OctetCount: uint32(t.bytes.Load()),
		},
		&rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{{
			Source: ssrc, Items: []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: o.streamID}},
		}}},
	}
	o.mu.Lock()
	t.report = report
	o.mu.Unlock()
	_ = o.pc.WriteRTCP(report) // fails only when the session is closed
}

// Stats implements rtc.Outlet.
func (o *outlet) Stats() rtc.PlayStats {
	st := rtc.PlayStats{NACKed: o.nacked.Load(), PLIs: o.plis.Load()}
	for _, kind := range []media.Kind{media.Video, media.Audio} {
		if t := *o.of(kind); t != nil {
			st.Packets += t.packets.Load()
			st.Bytes += t.bytes.Load()
			st.Lost += t.lost.Load()
			if kind == media.Video {
				st.VideoBytes = t.bytes.Load()
			}
		}
	}
	return st
}

// Close implements rtc.Outlet.
func (o *outlet) Close() error {
	o.bye()
	return o.shut(o)
}

// bye ends the session, and tells the client that its tracks have ended.
func (o *outlet) bye() {
	for _, packets := range o.end() {
		_ = o.pc.WriteRTCP(packets) // fails only when the session is closed
	}
}

// end ends the session, unless it has ended. It returns the packets that tell the client that its tracks have ended (RFC 3550, 6.6). The
// client may notice these sooner than the end of the connection. Such a packet begins with a report (6.1).
func (o *outlet) end() (goodbyes [][]rtcp.Packet) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended {
		return nil
	}
	o.ended = true
	o.events.Closed(context.Canceled)
	for _, t := range o.tracks {
		if t != nil && t.report != nil {
			goodbyes = append(goodbyes, append(t.report, &rtcp.Goodbye{Sources: []uint32{t.ssrc}}))
		}
	}
	return goodbyes
}
