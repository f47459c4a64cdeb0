package pion

import (
	"fmt"
	"strings"

	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"transponder/internal/media"
	"transponder/internal/rtc"
)

// receiveInterceptors returns the interceptors of a session that receives.
func receiveInterceptors(tap *tap) (*interceptor.Registry, error) {
	reg := &interceptor.Registry{}
	reports, err := report.NewReceiverInterceptor()
	if err != nil {
		return nil, err
	}
	feedback, err := twcc.NewSenderInterceptor()
	if err != nil {
		return nil, err
	}
	reg.Add(reports)
	reg.Add(feedback)
	reg.Add(tap) // the last one gets packets after the others saw them
	return reg, nil
}

// setUp makes a PeerConnection that knows the codecs of these sections, under the payload types of the offer.
func (l *link) setUp(reg *interceptor.Registry, codecs []*rtc.Section) error {
	m := &webrtc.MediaEngine{}
	for _, s := range codecs {
		if err := register(m, s, l.answer.TransportCC); err != nil {
			return fmt.Errorf("set up WebRTC: %w", err)
		}
	}
	settings := l.endpoint.settings
	if l.tcp {
		settings.SetICEUDPMux(nil)
		settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeTCP4, webrtc.NetworkTypeTCP6})
	}
	settings.SetICEBindingRequestHandler((&moves{}).checked)
	settings.DisableMediaEngineCopy(true) // no other connection uses it
	api := webrtc.NewAPI(webrtc.WithMediaEngine(m), webrtc.WithInterceptorRegistry(reg), webrtc.WithSettingEngine(settings))
	var err error
	if l.pc, err = api.NewPeerConnection(l.endpoint.config); err != nil {
		return fmt.Errorf("set up WebRTC: %w", err)
	}
	return nil
}

// capability describes a section's codec to pion.
func capability(s *rtc.Section) webrtc.RTPCodecCapability {
	c := webrtc.RTPCodecCapability{
		MimeType:    s.Kind.String() + "/" + s.Codec.String(),
		ClockRate:   uint32(s.Codec.ClockRate()),
		SDPFmtpLine: s.Format,
	}
	if s.Codec == media.Opus {
		c.Channels = 2
	}
	return c
}

// register tells pion of a section's codec and retransmissions and, with transportCC, of the header extension for
// transport-wide sequence numbers.
func register(m *webrtc.MediaEngine, s *rtc.Section, transportCC bool) error {
	kind := webrtc.RTPCodecTypeAudio
	if s.Kind == media.Video {
		kind = webrtc.RTPCodecTypeVideo
	}
	codec := webrtc.RTPCodecParameters{RTPCodecCapability: capability(s), PayloadType: webrtc.PayloadType(s.PayloadType)}
	for _, fb := range s.Feedback(transportCC) {
		t, p, _ := strings.Cut(fb, " ")
		codec.RTCPFeedback = append(codec.RTCPFeedback, webrtc.RTCPFeedback{Type: t, Parameter: p})
	}
	if err := m.RegisterCodec(codec, kind); err != nil {
		return err
	}
	if s.RTXType != 0 {
		rtx := webrtc.RTPCodecParameters{PayloadType: webrtc.PayloadType(s.RTXType)}
		rtx.MimeType, rtx.ClockRate = webrtc.MimeTypeRTX, codec.ClockRate
		rtx.SDPFmtpLine = fmt.Sprintf("apt=%d", s.PayloadType)
		if err := m.RegisterCodec(rtx, kind); err != nil {
			return err
		}
	}
	if !transportCC || s.TWCC == 0 {
		return nil
	}
	return m.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: sdp.TransportCCURI}, kind)
}
