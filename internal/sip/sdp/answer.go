package sdp

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"transponder/internal/media"
)

// ErrNotAcceptable means that no section of an offer or an answer can be used. An offer is then refused with status 488.
var ErrNotAcceptable = errors.New("no section can be used")

// Answer answers an offer. The answer has as many sections as the offer, in the same order: the first audio and the first video that can be
// used, and refusals of all others. last is our last offer or answer of the call, nil if there was none: only the origin line depends on it.
// Answer fails with ErrNotAcceptable if no section can be used; the error says why for each.
//
// A section that is used has one codec, under the offerer's payload type, and the offerer's type for telephone events. The codec is H.264
// if it is offered, since RTMP carries H.264 as it is; else it is the offerer's first that is ours.
func (l *Local) Answer(offer, last *Session) (*Session, error) {
	s := l.session()
	var reasons []string
	for i := range offer.Media {
		offered := &offer.Media[i]
		m, err := offered.refused(), error(nil)
		if s.used(offered.Kind()) == nil {
			m, err = l.answered(offered)
		}
		if err != nil {
			reasons = append(reasons, fmt.Sprintf("%.20s: %v", offered.Name, err))
			m = offered.refused()
		}
		s.Media = append(s.Media, m)
	}
	if s.used(media.Audio) == nil && s.used(media.Video) == nil {
		return nil, fmt.Errorf("%w: %s", ErrNotAcceptable, strings.Join(reasons, "; "))
	}
	s.follow(last)
	return s, nil
}

// used returns the section of a kind that is not refused, nil if there is none.
func (s *Session) used(k media.Kind) *Media {
	if i := s.place(k); i >= 0 && s.Media[i].Port != 0 {
		return &s.Media[i]
	}
	return nil
}

// answered makes the answer to a section that is to be used. It fails if the section cannot be used.
func (l *Local) answered(offered *Media) (Media, error) {
	wanted := l.media(offered.Kind())
	switch {
	case offered.Port == 0:
		return Media{}, errors.New("the offer has port 0")
	case wanted == nil:
		return Media{}, errors.New("it is not wanted")
	case offered.Slides:
		return Media{}, errors.New("it shows slides, not the camera")
	case !slices.Contains([]string{"RTP/AVP", "RTP/AVPF", "RTP/SAVP", "RTP/SAVPF"}, strings.ToUpper(offered.Proto)):
		return Media{}, fmt.Errorf("protocol %.40s is not supported", offered.Proto)
	case !sameFamily(l.Address, offered.Address):
		return Media{}, fmt.Errorf("the address %s is of another family than ours, %s", offered.Address, l.Address)
	}
	crypto, err := l.answerCrypto(offered, wanted)
	if err != nil {
		return Media{}, err
	}
	m := l.section(offered.Name, offered.Proto, wanted)
	m.Types = wanted.choose(offered.Types)
	if m.Types == nil {
		return Media{}, fmt.Errorf("none of its codecs is ours: %s", codecNames(offered.Types))
	}
	m.Crypto = crypto
	m.RTCPMux = l.RTCPMux && offered.RTCPMux
	m.Direction = wanted.Direction & offered.Direction.Reverse()
	return m, nil
}

// choose returns the types of an answer: one codec, and telephone events if both sides have them. It returns nil without a common codec.
func (w *LocalMedia) choose(offered []Type) []Type {
	ours := func(t Type) bool { return slices.Contains(w.Codecs, t.Codec) && t.isMedia() && t.usable() }
	i := slices.IndexFunc(offered, func(t Type) bool { return t.Codec == H264 && ours(t) })
	if i < 0 {
		i = slices.IndexFunc(offered, ours)
	}
	if i < 0 {
		return nil
	}
	types := []Type{offered[i].answered()}
	if slices.ContainsFunc(w.Codecs, Codec.isEvents) {
		if e := eventsFor(types[0].Codec, offered); e != nil {
			types = append(types, Type{Number: e.Number, Codec: e.Codec, Params: events})
		}
	}
	return types
}

// eventsFor returns the type of telephone events that belongs to a codec: with the same clock, else the first. Many phones have only
// events of 8000 Hz beside Opus.
func eventsFor(c Codec, types []Type) *Type {
	i := slices.IndexFunc(types, func(t Type) bool { return t.Codec.isEvents() && t.Codec.Clock == c.Clock })
	if i < 0 {
		i = slices.IndexFunc(types, func(t Type) bool { return t.Codec.isEvents() })
	}
	if i < 0 {
		return nil
	}
	return &types[i]
}

// answered returns the type with the parameters of an answer. Those of H.264 must be as offered (RFC 6184, 8.2.2). Other parameters of
// the offer describe the offerer, such as max-mbps and sprop-parameter-sets, and are not repeated.
func (t Type) answered() Type {
	var params []string
	switch t.Codec {
	case H264:
		for _, name := range []string{"profile-level-id", "packetization-mode"} {
			if value := t.Param(name); value != "" {
				params = append(params, name+"="+value)
			}
		}
	case Opus:
		params = []string{opusParams}
	}
	t.Params = strings.Join(params, ";")
	return t
}

// answerCrypto returns our key for the answer to a section, none if the section is not encrypted. The answer repeats the tag of the first
// line of the offer whose suite is ours.
func (l *Local) answerCrypto(offered *Media, wanted *LocalMedia) ([]Crypto, error) {
	if l.SRTP == SRTPOff {
		if offered.secure() {
			return nil, errors.New("it demands SRTP, which is off")
		}
		return nil, nil
	}
	for _, theirs := range offered.Crypto {
		for _, ours := range wanted.Crypto {
			if ours.Suite == theirs.Suite {
				ours.Tag = theirs.Tag
				return []Crypto{ours}, nil
			}
		}
	}
	if l.SRTP == SRTPRequired || offered.secure() {
		return nil, errors.New("it has no a=crypto line with a suite of ours")
	}
	return nil, nil
}

// codecNames lists codecs for an error.
func codecNames(types []Type) string {
	var names []string
	for _, t := range types {
		if t.Codec.Name == "" {
			names = append(names, fmt.Sprint("type ", t.Number))
		} else {
			names = append(names, t.Codec.String())
		}
	}
	return fmt.Sprintf("%.300s", strings.Join(names, ", "))
}
