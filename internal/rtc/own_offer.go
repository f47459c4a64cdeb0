package rtc

import (
	"fmt"
	"slices"
	"strings"

	"transponder/internal/media"
)

// OwnOffer is an offer of ours, of media both ways, before it is written as SDP.
type OwnOffer struct {
	Sections []*OwnSection
}

// OwnSection is one m-section of an OwnOffer.
type OwnSection struct {
	Kind   media.Kind
	Codecs []*Section // one for each codec, the best first
	MID    string     // filled in by the Connector, as is Sent
	Sent   Sending
}

// newOwnOffer makes an offer: sound first, then pictures. It prefers codecs as ParseCall does.
func newOwnOffer(terms Terms) *OwnOffer {
	o := &OwnOffer{}
	for _, kind := range []media.Kind{media.Audio, media.Video} {
		if !terms.has(kind) {
			continue
		}
		s := &OwnSection{Kind: kind}
		for _, c := range ownCodecs {
			if c.Codec.Kind() == kind {
				codec := c
				codec.Kind = kind
				s.Codecs = append(s.Codecs, &codec)
			}
		}
		slices.SortStableFunc(s.Codecs, func(a, b *Section) int { return terms.order(a.Codec) - terms.order(b.Codec) })
		o.Sections = append(o.Sections, s)
	}
	return o
}

// ownTWCC is the id of the header extension for transport-wide sequence numbers in our offers.
const ownTWCC = 3

// ownCodecs are the codecs that we offer: those that every browser must have (RFC 7742, 5, and RFC 7874, 3). H.264 is offered
// in the profile and the packetization mode that all browsers share.
var ownCodecs = []Section{
	{Codec: media.Opus, PayloadType: 111, RTPMap: "opus/48000/2", Format: "minptime=10;useinbandfec=1", TWCC: ownTWCC},
	{Codec: media.PCMU, PayloadType: 0, RTPMap: "PCMU/8000", TWCC: ownTWCC},
	{Codec: media.PCMA, PayloadType: 8, RTPMap: "PCMA/8000", TWCC: ownTWCC},
	{
		Codec: media.H264, PayloadType: 102, RTPMap: "H264/90000", RTXType: 103, NACK: true, REMB: true, TWCC: ownTWCC,
		Format: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
	},
	{Codec: media.VP8, PayloadType: 96, RTPMap: "VP8/90000", RTXType: 97, NACK: true, REMB: true, TWCC: ownTWCC},
}

// SDP writes the offer. All sections share one transport. The a=rtcp-fb lines stand right after their a=rtpmap, as in answers.
func (o *OwnOffer) SDP(t Transport) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	mids := ""
	for _, s := range o.Sections {
		mids += " " + s.MID
	}
	t.head(line, mids)
	for _, s := range o.Sections {
		s.write(line, t)
	}
	return b.String()
}

func (s *OwnSection) write(line func(string, ...any), t Transport) {
	types := ""
	for _, c := range s.Codecs {
		types += c.types()
	}
	line("m=%s 9 UDP/TLS/RTP/SAVPF%s", s.Kind, types)
	t.write(line, s.MID)
	line("a=sendrecv")
	line("a=msid:%s %s", s.Sent.Stream, s.Kind)
	line("a=rtcp-mux")
	line("a=rtcp-rsize")
	line("a=extmap:%d %s", ownTWCC, transportCCURI)
	for _, c := range s.Codecs {
		c.codec(line, true)
	}
	s.Sent.sources(line)
}
