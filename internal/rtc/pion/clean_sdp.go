package pion

import (
	"fmt"
	"strings"

	"github.com/pion/sdp/v3"

	"transponder/internal/rtc"
)

// cleanSDP writes the client's offer or answer for pion: with the codecs that were chosen and nothing else. So pion has
// nothing to choose, and never fails on a line that a client left behind. setup is the DTLS role if the client has named
// none.
func cleanSDP(answer rtc.Answer, setup string) string {
	var b strings.Builder
	line := func(format string, args ...any) {
		fmt.Fprintf(&b, format, args...)
		b.WriteString("\r\n")
	}
	line("v=0")
	line("o=- 1 1 IN IP4 127.0.0.1")
	line("s=-")
	line("t=0 0")
	used := answer.Offer.Used()
	mids := ""
	for _, s := range used {
		mids += " " + s.MID
	}
	line("a=group:BUNDLE%s", mids)
	if answer.Offer.Lite {
		line("a=ice-lite")
	}
	for _, s := range used {
		cleanSection(line, s, answer, setup)
	}
	return b.String()
}

func cleanSection(line func(string, ...any), s *rtc.Section, answer rtc.Answer, setup string) {
	receives, sends := answer.Directions(s)
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
		line("a=setup:%s", setup)
	}
	line("a=mid:%s", s.MID)
	switch { // the client's direction is the reverse of ours
	case receives && sends:
		line("a=sendrecv")
	case sends:
		line("a=recvonly")
	default:
		line("a=sendonly")
	}
	line("a=rtcp-mux")
	if answer.TransportCC && s.TWCC != 0 {
		line("a=extmap:%d %s", s.TWCC, sdp.TransportCCURI)
	}
	line("a=rtpmap:%d %s", s.PayloadType, s.RTPMap)
	for _, fb := range s.Feedback(answer.TransportCC) {
		line("a=rtcp-fb:%d %s", s.PayloadType, fb)
	}
	if s.Format != "" {
		line("a=fmtp:%d %s", s.PayloadType, s.Format)
	}
	if s.RTXType != 0 {
		line("a=rtpmap:%d rtx/90000", s.RTXType)
		line("a=fmtp:%d apt=%d", s.RTXType, s.PayloadType)
	}
	if s.SSRC != 0 && receives {
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
