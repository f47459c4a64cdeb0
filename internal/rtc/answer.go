package rtc

import (
	"fmt"
	"strings"

	"transponder/internal/media"
)

// Transport is our end of a session's transport, for the answer.
type Transport struct {
	ID          uint64 // the origin line's session id
	Ufrag, Pwd  string
	Fingerprint string // "sha-256 AB:CD:…"
	Setup       string // "active" or "passive"
	Lite        bool
	Candidates  []string // values of a=candidate; at least one: the Web SDK never learns of others
}

// Answer writes the answer to the offer: each section receives, or sends, the one codec that was chosen, under the offerer's own
// payload types. What is not used is refused, or inactive where the bundle needs it (see Section.Kept). Right after each a=rtpmap
// stands its a=rtcp-fb: the Web SDK inserts parameters of its own between the two.
func (d *Description) Answer(t Transport) string {
	var b strings.Builder
	line := func(format string, args ...any) {
		fmt.Fprintf(&b, format, args...)
		b.WriteString("\r\n")
	}
	line("v=0")
	line("o=- %d 2 IN IP4 127.0.0.1", t.ID&(1<<62-1))
	line("s=-")
	line("t=0 0")
	if len(d.Bundle) > 0 {
		mids := ""
		for _, s := range d.Bundle {
			mids += " " + s.MID
		}
		line("a=group:BUNDLE%s", mids)
	}
	if t.Lite {
		line("a=ice-lite")
	}
	line("a=msid-semantic: WMS *")
	for _, s := range d.Sections {
		switch {
		case s.Kept:
			s.keep(line, t)
		case s.Codec == media.CodecNone:
			s.refusal(line)
		default:
			s.answer(line, t)
		}
	}
	return b.String()
}

// refusal answers a section that is not used.
func (s *Section) refusal(line func(string, ...any)) {
	line("m=%s 0 %s %s", s.Media, s.Protocol, s.FirstPT)
	line("c=IN IP4 0.0.0.0")
	line("a=inactive")
	line("a=mid:%s", s.MID)
}

// keep answers a section as inactive, with the first of its formats. A section for data channels cannot be inactive: it is accepted,
// and no channel is ever opened.
func (s *Section) keep(line func(string, ...any), t Transport) {
	line("m=%s 9 %s %s", s.Media, s.Protocol, s.FirstPT)
	s.transport(line, t)
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

// transport writes our end of the transport, and the section's name.
func (s *Section) transport(line func(string, ...any), t Transport) {
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
	line("a=mid:%s", s.MID)
}

func (s *Section) answer(line func(string, ...any), t Transport) {
	types := fmt.Sprint(s.PayloadType)
	if s.RTXType != 0 {
		types += fmt.Sprintf(" %d", s.RTXType)
	}
	line("m=%s 9 %s %s", s.Media, s.Protocol, types)
	s.transport(line, t)
	if s.Sent.SSRC == 0 {
		line("a=recvonly")
	} else {
		line("a=sendonly")
		line("a=msid:%s %s", s.Sent.Stream, s.Kind)
	}
	line("a=rtcp-mux")
	if s.ReducedRTCP {
		line("a=rtcp-rsize")
	}
	if s.TWCC != 0 {
		line("a=extmap:%d %s", s.TWCC, transportCC)
	}
	if s.Orientation != 0 {
		line("a=extmap:%d %s", s.Orientation, orientation)
	}
	line("a=rtpmap:%d %s", s.PayloadType, s.answerMap())
	for _, fb := range s.Feedback() {
		line("a=rtcp-fb:%d %s", s.PayloadType, fb)
	}
	if f := s.AnswerFormat(); f != "" {
		line("a=fmtp:%d %s", s.PayloadType, f)
	}
	if s.RTXType != 0 {
		line("a=rtpmap:%d rtx/90000", s.RTXType)
		line("a=fmtp:%d apt=%d", s.RTXType, s.PayloadType)
	}
	s.sources(line)
}

// sources says which SSRCs are sent.
func (s *Section) sources(line func(string, ...any)) {
	if s.Sent.SSRC == 0 {
		return
	}
	line("a=ssrc:%d cname:%s", s.Sent.SSRC, s.Sent.Stream)
	if s.Sent.RTXSSRC != 0 {
		line("a=ssrc:%d cname:%s", s.Sent.RTXSSRC, s.Sent.Stream)
		line("a=ssrc-group:FID %d %d", s.Sent.SSRC, s.Sent.RTXSSRC)
	}
}

// answerMap spells the codec as the Web SDK looks for it.
func (s *Section) answerMap() string {
	_, clock, _ := strings.Cut(s.RTPMap, "/")
	return s.Codec.String() + "/" + clock
}

// Feedback returns the kinds of feedback that we send, as values of a=rtcp-fb.
func (s *Section) Feedback() []string {
	var fb []string
	if s.TWCC != 0 {
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

// AnswerFormat returns the codec's parameters. Those of video are the offer's: the profile must be the same, and a level is what
// the offerer can do. Opus is taken in stereo from those who send it so.
func (s *Section) AnswerFormat() string {
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
