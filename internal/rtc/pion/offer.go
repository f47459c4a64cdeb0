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

// cleanOffer writes the offer as pion is to see it: what was chosen and nothing else, so that pion has nothing to choose,
// and trips over nothing that a client left behind. The offerer sends, or plays.
func cleanOffer(d *rtc.Description, plays bool) string {
	var b strings.Builder
	line := func(format string, args ...any) {
		fmt.Fprintf(&b, format, args...)
		b.WriteString("\r\n")
	}
	line("v=0")
	line("o=- 1 1 IN IP4 127.0.0.1")
	line("s=-")
	line("t=0 0")
	mids := ""
	for _, s := range d.Used() {
		mids += " " + s.MID
	}
	line("a=group:BUNDLE%s", mids)
	if d.Lite {
		line("a=ice-lite")
	}
	for _, s := range d.Used() {
		cleanSection(line, s, plays)
	}
	return b.String()
}

func cleanSection(line func(string, ...any), s *rtc.Section, plays bool) {
	types := fmt.Sprint(s.PayloadType)
	if s.RTXType != 0 {
		types += fmt.Sprintf(" %d", s.RTXType)
	}
	line("m=%s 9 UDP/TLS/RTP/SAVPF %s", s.Kind, types)
	line("c=IN IP4 0.0.0.0")
	line("a=ice-ufrag:%s", s.Ufrag)
	line("a=ice-pwd:%s", s.Pwd)
	line("a=fingerprint:%s", s.Fingerprint)
	switch s.Setup {
	case "active", "passive":
		line("a=setup:%s", s.Setup)
	default:
		line("a=setup:actpass")
	}
	line("a=mid:%s", s.MID)
	line("a=%s", map[bool]string{false: "sendonly", true: "recvonly"}[plays])
	line("a=rtcp-mux")
	if s.TWCC != 0 {
		line("a=extmap:%d %s", s.TWCC, sdp.TransportCCURI)
	}
	line("a=rtpmap:%d %s", s.PayloadType, s.RTPMap)
	for _, fb := range s.Feedback() {
		line("a=rtcp-fb:%d %s", s.PayloadType, fb)
	}
	if s.Format != "" {
		line("a=fmtp:%d %s", s.PayloadType, s.Format)
	}
	if s.RTXType != 0 {
		line("a=rtpmap:%d rtx/90000", s.RTXType)
		line("a=fmtp:%d apt=%d", s.RTXType, s.PayloadType)
	}
	if s.SSRC != 0 && !plays {
		if s.RTXSSRC != 0 {
			line("a=ssrc-group:FID %d %d", s.SSRC, s.RTXSSRC)
			line("a=ssrc:%d cname:c", s.RTXSSRC)
		}
		line("a=msid:m %s", s.Kind)
		line("a=ssrc:%d cname:c", s.SSRC)
	}
	for _, c := range s.Candidates {
		line("a=candidate:%s", c)
	}
}

// newAPI makes pion's API for one offer: it knows the codecs that were chosen, under the offer's payload types.
func (e *Endpoint) newAPI(d *rtc.Description, tcp bool, tap *tap) (*webrtc.API, error) {
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
	return e.api(d, tcp, reg)
}

// api makes pion's API for one offer with interceptors.
func (e *Endpoint) api(d *rtc.Description, tcp bool, reg *interceptor.Registry) (*webrtc.API, error) {
	m := &webrtc.MediaEngine{}
	for _, s := range d.Used() {
		if err := register(m, s); err != nil {
			return nil, err
		}
	}
	settings := e.settings
	if tcp {
		settings.SetICEUDPMux(nil)
		settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeTCP4, webrtc.NetworkTypeTCP6})
	}
	settings.DisableMediaEngineCopy(true) // it is this peer's own
	return webrtc.NewAPI(webrtc.WithMediaEngine(m), webrtc.WithInterceptorRegistry(reg),
		webrtc.WithSettingEngine(settings)), nil
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

// register tells pion of a section's codec, its retransmissions and its header extension.
func register(m *webrtc.MediaEngine, s *rtc.Section) error {
	kind := webrtc.RTPCodecTypeAudio
	if s.Kind == media.Video {
		kind = webrtc.RTPCodecTypeVideo
	}
	codec := webrtc.RTPCodecParameters{RTPCodecCapability: capability(s), PayloadType: webrtc.PayloadType(s.PayloadType)}
	for _, fb := range s.Feedback() {
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
	if s.TWCC == 0 {
		return nil
	}
	return m.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: sdp.TransportCCURI}, kind)
}
