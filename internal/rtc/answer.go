package rtc

import (
	"fmt"
	"strings"

	"transponder/internal/media"
)

// Answer is what we answer to an offer, before it is written as SDP.
type Answer struct {
	Offer *ParsedOffer

	TransportCC bool                   // transport-wide feedback is used where it is offered
	Rotation    bool                   // the sender tells the rotation of pictures where it offers to; otherwise it rotates them itself
	Sent        map[media.Kind]Sending // what we send; nil: we only receive
	Both        bool                   // we receive too what the client sends; otherwise we only send if Sent is not nil
}

// Directions says what we do in a section that is used.
func (a Answer) Directions(s *Section) (receives, sends bool) {
	return s.Sends && (a.Both || a.Sent == nil), s.Receives && a.Sent != nil
}

// Sending names what is sent in a section.
type Sending struct {
	Stream        string // sections of one stream are played together
	SSRC, RTXSSRC uint32 // RTXSSRC is 0 without retransmissions
}

// Transport is our end of a session's transport.
type Transport struct {
	ID          uint64 // the origin line's session id
	Ufrag, Pwd  string
	Fingerprint string // "sha-256 AB:CD:…"
	Setup       string // "active" or "passive"; in our own offer "actpass"
	Lite        bool
	Candidates  []string // values of a=candidate; at least one: the Web SDK never learns of others
}

// SDP writes the answer. Each section receives, or sends, the one codec that was chosen, under the offerer's own payload
// types. A section that is not used is refused, or inactive if the bundle needs it (see Section.Kept). The a=rtcp-fb lines
// stand right after their a=rtpmap: the Web SDK inserts parameters of its own between the two.
func (a Answer) SDP(t Transport) string {
	var b strings.Builder
	line := func(format string, args ...any) {
		fmt.Fprintf(&b, format, args...)
		b.WriteString("\r\n")
	}
	mids := ""
	for _, s := range a.Offer.Bundle {
		mids += " " + s.MID
	}
	t.head(line, mids)
	for _, s := range a.Offer.Sections {
		switch {
		case s.Kept:
			s.keep(line, t)
		case s.Codec == media.CodecNone:
			s.refusal(line)
		default:
			a.section(line, s, t)
		}
	}
	return b.String()
}

// head writes the lines before the sections. mids names the sections of the BUNDLE group, with a space before each.
func (t Transport) head(line func(string, ...any), mids string) {
	line("v=0")
	line("o=- %d 2 IN IP4 127.0.0.1", t.ID&(1<<62-1))
	line("s=-")
	line("t=0 0")
	if mids != "" {
		line("a=group:BUNDLE%s", mids)
	}
	if t.Lite {
		line("a=ice-lite")
	}
	line("a=msid-semantic: WMS *")
}

// section answers a section that is used.
func (a Answer) section(line func(string, ...any), s *Section, t Transport) {
	line("m=%s 9 %s%s", s.Media, s.Protocol, s.types())
	t.write(line, s.MID)
	receives, sends := a.Directions(s)
	sent := a.Sent[s.Kind]
	switch {
	case receives && sends:
		line("a=sendrecv")
	case sends:
		line("a=sendonly")
	default:
		line("a=recvonly")
	}
	if sends {
		line("a=msid:%s %s", sent.Stream, s.Kind)
	}
	line("a=rtcp-mux")
	if s.ReducedRTCP {
		line("a=rtcp-rsize")
	}
	if a.TransportCC && s.TWCC != 0 {
		line("a=extmap:%d %s", s.TWCC, transportCCURI)
	}
	if a.Rotation && s.Orientation != 0 {
		line("a=extmap:%d %s", s.Orientation, orientationURI)
	}
	s.codec(line, a.TransportCC)
	if sends {
		sent.sources(line)
	}
}

// types returns the payload types of the codec and of retransmissions, with a space before each.
func (s *Section) types() string {
	if s.RTXType == 0 {
		return fmt.Sprintf(" %d", s.PayloadType)
	}
	return fmt.Sprintf(" %d %d", s.PayloadType, s.RTXType)
}

// codec writes the section's codec and retransmissions.
func (s *Section) codec(line func(string, ...any), transportCC bool) {
	line("a=rtpmap:%d %s", s.PayloadType, s.answerMap())
	for _, fb := range s.Feedback(transportCC) {
		line("a=rtcp-fb:%d %s", s.PayloadType, fb)
	}
	if f := s.answerFormat(); f != "" {
		line("a=fmtp:%d %s", s.PayloadType, f)
	}
	if s.RTXType != 0 {
		line("a=rtpmap:%d rtx/90000", s.RTXType)
		line("a=fmtp:%d apt=%d", s.RTXType, s.PayloadType)
	}
}

// sources writes which SSRCs are sent.
func (s Sending) sources(line func(string, ...any)) {
	line("a=ssrc:%d cname:%s", s.SSRC, s.Stream)
	if s.RTXSSRC != 0 {
		line("a=ssrc:%d cname:%s", s.RTXSSRC, s.Stream)
		line("a=ssrc-group:FID %d %d", s.SSRC, s.RTXSSRC)
	}
}

// refusal refuses the section.
func (s *Section) refusal(line func(string, ...any)) {
	line("m=%s 0 %s %s", s.Media, s.Protocol, s.FirstPT)
	line("c=IN IP4 0.0.0.0")
	line("a=inactive")
	line("a=mid:%s", s.MID)
}

// keep answers the section as inactive, with the first of its formats. A section for data channels cannot be inactive: it is
// accepted, and no channel is ever opened.
func (s *Section) keep(line func(string, ...any), t Transport) {
	line("m=%s 9 %s %s", s.Media, s.Protocol, s.FirstPT)
	t.write(line, s.MID)
	if !s.isRTP() {
		line("a=sctp-port:5000")
		return
	}
	line("a=inactive")
	line("a=rtcp-mux")
	if s.FirstMap != "" {
		line("a=rtpmap:%s %s", s.FirstPT, s.FirstMap)
	}
	if s.FirstFormat != "" {
		line("a=fmtp:%s %s", s.FirstPT, s.FirstFormat)
	}
}

// write writes our end of the transport and the name of a section.
func (t Transport) write(line func(string, ...any), mid string) {
	line("c=IN IP4 0.0.0.0")
	line("a=rtcp:9 IN IP4 0.0.0.0")
	for _, c := range t.Candidates {
		line("a=candidate:%s", c)
	}
	line("a=end-of-candidates")
	line("a=ice-ufrag:%s", t.Ufrag)
	line("a=ice-pwd:%s", t.Pwd)
	line("a=fingerprint:%s", t.Fingerprint)
	line("a=setup:%s", t.Setup)
	line("a=mid:%s", mid)
}

// answerMap spells the codec in the way that the Web SDK looks for.
func (s *Section) answerMap() string {
	_, clock, _ := strings.Cut(s.RTPMap, "/")
	return s.Codec.String() + "/" + clock
}

// Feedback returns the kinds of feedback that the answer has, as values of a=rtcp-fb. transportCC says whether
// transport-wide feedback is used where it is offered.
func (s *Section) Feedback(transportCC bool) []string {
	var fb []string
	if transportCC && s.TWCC != 0 {
		fb = append(fb, "transport-cc")
	}
	if s.REMB {
		fb = append(fb, "goog-remb")
	}
	if s.NACK {
		fb = append(fb, "nack")
	}
	if s.Kind == media.Video {
		fb = append(fb, "nack pli", "ccm fir")
	}
	return fb
}

// answerFormat returns the codec's parameters. The parameters of video are the offer's: the profile must be the same, and
// the level says what the offerer can do. Opus is stereo if the offerer sends stereo.
func (s *Section) answerFormat() string {
	switch s.Codec {
	case media.H264, media.VP9, media.AV1, media.H265:
		return s.Format
	case media.Opus:
		f := "minptime=10;useinbandfec=1"
		if parameter(s.Format, "stereo") == "1" || parameter(s.Format, "sprop-stereo") == "1" {
			f += ";stereo=1"
		}
		return f
	default:
		return ""
	}
}
