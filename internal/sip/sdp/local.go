package sdp

import (
	"net/netip"
	"slices"
	"strconv"
	"time"

	"transponder/internal/media"
)

// Local is our side of a call: what we want to receive and send, and where. The same value, with another direction or key, serves for the
// whole call.
type Local struct {
	ID           uint64 // of the origin line: random, the same for the whole call
	Address      string // numeric
	Audio, Video LocalMedia
	SRTP         SRTP
	RTCPMux      bool // offer RTCP on the port of RTP
}

// LocalMedia is what we want of audio or of video.
type LocalMedia struct {
	Port        int // of RTP; RTCP has the next one. 0: we do not want this kind
	Direction   Direction
	Codecs      []Codec       // in the order of the offer. With any telephone-event here, an answer accepts one of any clock
	HighProfile bool          // offer H.264 in High profile, too. It is accepted in any case
	PacketTime  time.Duration // 0: not said
	Bandwidth   int           // bits per second; 0: not said
	Crypto      []Crypto      // our keys: one for each suite, in order of preference
}

// SRTP says whether media is encrypted.
type SRTP uint8

// The ways of encryption.
const (
	SRTPOff      SRTP = iota // offers that demand encryption are refused
	SRTPOptional             // keys are offered in a section of plain RTP, which the peer may ignore
	SRTPRequired             // sections without encryption are refused
)

func (l *Local) session() *Session {
	return &Session{ID: strconv.FormatUint(l.ID, 10), Version: "1", Address: l.Address}
}

// media returns what we want of a kind, nil if we want none of it.
func (l *Local) media(k media.Kind) *LocalMedia {
	switch {
	case k == media.Audio && l.Audio.Port != 0:
		return &l.Audio
	case k == media.Video && l.Video.Port != 0:
		return &l.Video
	default:
		return nil
	}
}

// Offer makes an offer of everything that we want. last is our last offer or answer of the call, nil if there was none: the offer then has
// the sections of last in the same order (RFC 3264, 8), and more behind them if last had no place for a kind.
func (l *Local) Offer(last *Session) *Session {
	s := l.session()
	if last != nil {
		for i := range last.Media {
			s.Media = append(s.Media, last.Media[i].refused())
		}
	}
	for _, k := range []media.Kind{media.Audio, media.Video} {
		wanted := l.media(k)
		if wanted == nil {
			continue
		}
		m := l.offered(k, wanted)
		if len(m.Types) == 0 {
			continue // the settings leave no codec
		}
		if i := last.place(k); i >= 0 {
			s.Media[i] = m
		} else {
			s.Media = append(s.Media, m)
		}
	}
	s.follow(last)
	return s
}

// Again makes an offer that repeats our last description with the ports and directions of l, so that a hold changes nothing else.
func (l *Local) Again(last *Session) *Session {
	s := *last
	s.Address = l.Address
	s.Media = slices.Clone(last.Media)
	for i := range s.Media {
		m := &s.Media[i]
		if wanted := l.media(m.Kind()); m.Port != 0 && wanted != nil {
			m.Port, m.Address, m.Direction = wanted.Port, l.Address, wanted.Direction
		}
	}
	s.follow(last)
	return &s
}

// place returns the index of the section for a kind: the one that is used, else the first that was refused. It is -1 if there is none.
func (s *Session) place(k media.Kind) int {
	if s == nil {
		return -1
	}
	used := slices.IndexFunc(s.Media, func(m Media) bool { return m.Kind() == k && m.Port != 0 })
	if used >= 0 {
		return used
	}
	return slices.IndexFunc(s.Media, func(m Media) bool { return m.Kind() == k })
}

// follow makes s the description after last: the version rises by one if anything else has changed (RFC 3264, 8).
func (s *Session) follow(last *Session) {
	if last == nil {
		return
	}
	s.ID, s.Version = last.ID, last.Version
	if s.SDP() != last.SDP() {
		version, _ := strconv.ParseUint(last.Version, 10, 64)
		s.Version = strconv.FormatUint(version+1, 10)
	}
}

// section makes a section of ours, still without payload types.
func (l *Local) section(name, proto string, wanted *LocalMedia) Media {
	return Media{
		Name: name, Port: wanted.Port, Proto: proto, Address: l.Address,
		Direction: wanted.Direction, PacketTime: wanted.PacketTime, Bandwidth: wanted.Bandwidth,
	}
}

func (l *Local) offered(k media.Kind, wanted *LocalMedia) Media {
	m := l.section(k.String(), "RTP/AVP", wanted)
	if l.SRTP == SRTPRequired {
		m.Proto = "RTP/SAVP"
	}
	if l.SRTP != SRTPOff {
		m.Crypto = wanted.Crypto
	}
	m.RTCPMux = l.RTCPMux
	for _, c := range wanted.Codecs {
		m.Types = append(m.Types, offeredTypes(c, wanted.HighProfile)...)
	}
	if k == media.Video {
		for i := range m.Types {
			m.Types[i].PLI, m.Types[i].FIR = true, true
		}
	}
	return m
}

// offeredTypes returns the payload types under which a codec is offered, none for a codec that cannot be.
func offeredTypes(c Codec, highProfile bool) []Type {
	switch c {
	case PCMU:
		return []Type{{Number: 0, Codec: c}}
	case PCMA:
		return []Type{{Number: 8, Codec: c}}
	case G722:
		return []Type{{Number: 9, Codec: c}}
	case VP8:
		return []Type{{Number: 100, Codec: c}}
	case Events:
		return []Type{{Number: 101, Codec: c, Params: events}}
	case EventsWide:
		return []Type{{Number: 110, Codec: c, Params: events}}
	case Opus:
		return []Type{{Number: 111, Codec: c, Params: opusParams}}
	case SpeexWide:
		return []Type{{Number: 112, Codec: c}}
	case Speex:
		return []Type{{Number: 113, Codec: c}}
	case H264:
		types := []Type{
			{Number: 97, Codec: c, Params: "profile-level-id=42e01f;packetization-mode=1"},
			{Number: 98, Codec: c, Params: "profile-level-id=42e01f"},
		}
		if highProfile {
			types = append(types, Type{Number: 99, Codec: c, Params: "profile-level-id=64001f;packetization-mode=1"})
		}
		return types
	default:
		return nil
	}
}

const (
	events     = "0-16" // the digits, *, #, A to D and flash
	opusParams = "useinbandfec=1"
)

// sameFamily says whether both addresses are IPv4, or both IPv6. A host name may be either.
func sameFamily(a, b string) bool {
	x, errX := netip.ParseAddr(a)
	y, errY := netip.ParseAddr(b)
	return errX != nil || errY != nil || x.Unmap().Is4() == y.Unmap().Is4()
}
