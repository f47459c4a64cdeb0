package sdp

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"transponder/internal/media"
)

// Session is a session description: an offer or an answer, ours or the peer's. It is not changed once it was made.
type Session struct {
	ID, Version string // of the origin line; "0" if there is none
	Address     string // for sections that have no address of their own; "" if there is none
	Media       []Media
}

// Media is one m-section.
type Media struct {
	Name  string // first word of the m-line: "audio", "video", "application", ...
	Port  int    // 0: the section is refused; then only Name, Proto and Formats are kept
	Proto string // as written: "RTP/AVP", "RTP/SAVP", "UDP/BFCP", "udptl", ...
	// Types are the payload types, in order of preference. Formats is the list of the m-line as written if the section is refused or is
	// not RTP. Exactly one of the two is set.
	Types   []Type
	Formats string

	Address     string // of the section, else of the session; IPv4, IPv6 or a host name; "" if there is none
	RTCPPort    int    // 0: the port after Port
	RTCPAddress string // "": Address
	RTCPMux     bool   // the owner can receive RTCP on the port of RTP

	Direction  Direction
	PacketTime time.Duration // a=ptime: how much sound a packet to the owner should hold; 0 if not said
	Bandwidth  int           // bits per second that the owner wants to receive at most; 0 if not said
	Slides     bool          // a=content has slides: the picture of a computer, not of the camera
	Crypto     []Crypto      // keys of SDES that can be used
}

// Kind returns the kind of the section, media.KindNone for others than audio and video.
func (m *Media) Kind() media.Kind {
	switch {
	case strings.EqualFold(m.Name, "audio"):
		return media.Audio
	case strings.EqualFold(m.Name, "video"):
		return media.Video
	default:
		return media.KindNone
	}
}

// rtcp returns where the owner receives RTCP, if mux says whether RTCP comes to the port of RTP. The port is 0 if there is none.
func (m *Media) rtcp(mux bool) (address string, port int) {
	switch {
	case mux:
		return m.Address, m.Port
	case m.RTCPAddress != "":
		return m.RTCPAddress, m.RTCPPort
	case m.RTCPPort != 0:
		return m.Address, m.RTCPPort
	case m.Port < maxPort:
		return m.Address, m.Port + 1
	default:
		return m.Address, 0
	}
}

// refused returns the section as an answer refuses it: with port 0, and the same protocol and formats.
func (m *Media) refused() Media { return Media{Name: m.Name, Proto: m.Proto, Formats: m.formats()} }

// formats returns the list of the m-line.
func (m *Media) formats() string {
	if len(m.Types) == 0 {
		return m.Formats
	}
	numbers := make([]string, len(m.Types))
	for i, t := range m.Types {
		numbers[i] = strconv.Itoa(int(t.Number))
	}
	return strings.Join(numbers, " ")
}

// secure says whether the protocol demands SRTP.
func (m *Media) secure() bool { return strings.HasPrefix(strings.ToUpper(m.Proto), "RTP/SAVP") }

// find returns the payload type with a number, nil if there is none.
func (m *Media) find(number uint8) *Type {
	i := slices.IndexFunc(m.Types, func(t Type) bool { return t.Number == number })
	if i < 0 {
		return nil
	}
	return &m.Types[i]
}

// has says whether the section has a type of the codec that can be used.
func (m *Media) has(c Codec) bool {
	return slices.ContainsFunc(m.Types, func(t Type) bool { return t.Codec == c && t.usable() })
}
