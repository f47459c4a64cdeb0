package rtc

import (
	"slices"
	"strings"

	"transponder/internal/media"
)

// Offer is an offer as a door got it, and what was agreed on beside the SDP.
type Offer struct {
	SDP string
	TCP bool // answer with ICE-TCP candidates only (the Web SDK's transport option)
	// Whole refuses the offer if a section that sends cannot be used. Otherwise the answer refuses that section only.
	Whole bool
}

// Parse reads an offer to send, as ParseOffer does.
func (o Offer) Parse() (*ParsedOffer, error) {
	p, err := ParseOffer(o.SDP)
	if err != nil {
		return nil, err
	}
	p.TCP = o.TCP
	return p, nil
}

// parsePlay reads an offer to receive, as ParsePlay does.
func (o Offer) parsePlay(tracks []*media.Track) (*ParsedOffer, error) {
	p, err := ParsePlay(o.SDP, tracks...)
	if err != nil {
		return nil, err
	}
	p.TCP = o.TCP
	return p, nil
}

// parseCall reads an offer of media both ways, as ParseCall does.
func (o Offer) parseCall(terms Terms) (*ParsedOffer, error) {
	p, err := ParseCall(o.SDP, terms)
	if err != nil {
		return nil, err
	}
	p.TCP = o.TCP
	return p, nil
}

// ParsedOffer is what an offer says, or the answer to an offer of ours, with one codec chosen for each section. Nobody changes
// it: what we answer is an Answer.
type ParsedOffer struct {
	Sections []*Section // as many as the offer has, in the same order
	Lite     bool       // the offerer is an ICE-lite agent
	TCP      bool       // Offer.TCP
	// Bundle holds the sections of the answer's BUNDLE group, the tagged section first. It is empty if the offer has no
	// group for the sections that are used.
	Bundle []*Section
	// Unbundled: audio and video have a transport each, because no group of the offer has both.
	Unbundled bool
	// Left says why a section that sends is not used. It is empty if all sections that send are used.
	Left string
}

// Section is one m-section of an offer.
type Section struct {
	Kind     media.Kind // KindNone: of no kind that we know; the answer refuses it
	Media    string     // the first word of the m-line
	Protocol string
	FirstPT  string // the first payload type; the answer of a section that is not used repeats it
	MID      string

	FirstMap, FirstFormat string // rtpmap and fmtp of FirstPT; empty if the offer has none

	Disabled   bool // the offerer itself refuses the section: port 0 without a=bundle-only
	BundleOnly bool // port 0, but the section lives in a bundle (RFC 9143, 6)
	// Sends and Receives tell the directions that the client offers, or has chosen in its answer.
	Sends, Receives bool
	// Kept marks a section of the bundle that is not used. The answer has it as inactive. Refusing the tagged section would
	// take the transport away from the others (RFC 9143, 7.3.1), and GStreamer 1.22 does not start at all if one section of
	// a bundle is refused.
	Kept bool

	Ufrag, Pwd  string
	Fingerprint string // "sha-256 AB:CD:…"
	Setup       string
	Candidates  []string // with numeric addresses only, without the mDNS names of browsers
	ReducedRTCP bool

	Codec       media.Codec // CodecNone: the section is not used
	PayloadType uint8
	RTPMap      string // as in the offer: "H264/90000"
	Format      string // the value of a=fmtp; "" if there is none
	RTXType     uint8  // payload type of retransmissions; 0 if not offered
	NACK        bool
	TWCC        uint8 // id of the header extension for transport-wide sequence numbers; 0 if not offered
	REMB        bool
	Simulcast   bool  // several encodings of one picture are offered
	Orientation uint8 // id of the header extension for the rotation of pictures; 0 if not offered

	SSRC, RTXSSRC uint32 // 0 if the offer does not say
}

// Section returns the section of a kind that is used, nil if there is none.
func (o *ParsedOffer) Section(k media.Kind) *Section {
	for _, s := range o.Sections {
		if s.Kind == k && s.Codec != media.CodecNone {
			return s
		}
	}
	return nil
}

// sends says whether the client sends media of a kind that is used.
func (o *ParsedOffer) sends(k media.Kind) bool {
	s := o.Section(k)
	return s != nil && s.Sends
}

// Used returns the sections that are used: at most one of each kind.
func (o *ParsedOffer) Used() []*Section {
	return slices.DeleteFunc(slices.Clone(o.Sections), func(s *Section) bool { return s.Codec == media.CodecNone })
}

// NewJitterBuffer makes the jitter buffer for the section's packets. With rotation, it reads the rotation of pictures from
// them.
func (s *Section) NewJitterBuffer(cfg JitterBufferConfig, rotation bool, sink MediaSink) *JitterBuffer {
	cfg.Codec, cfg.NACK, cfg.SpropParameterSets = s.Codec, s.NACK, parameter(s.Format, "sprop-parameter-sets")
	if rotation {
		cfg.Orientation = s.Orientation
	}
	return NewJitterBuffer(cfg, sink)
}

// isRTP says whether the section is for media, over the protocol of WebRTC.
func (s *Section) isRTP() bool { return strings.Contains(s.Protocol, "RTP/SAVP") }
