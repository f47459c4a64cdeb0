package sdp

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"transponder/internal/media"
)

// Agreement is what an offer and its answer agree on. A kind that one side refuses is nil.
type Agreement struct{ Audio, Video *Flow }

// Flow is what was agreed on for one section, as we see it.
type Flow struct {
	Direction Direction

	// Send is how we send: under the payload type that the peer named. If the codec is H.264, its ParameterSets are those of the picture
	// that the peer sends.
	Send   Type
	Events *Type // how we send digits; nil if that was not agreed on
	// Receive has the codec of each payload type that the peer may send. The peer may change between them at any packet. It contains
	// telephone events and comfort noise, which share the sequence numbers of the sound.
	Receive map[uint8]Codec

	// Address is where RTP goes: numeric or a host name, "" if the peer did not say. It can be 0.0.0.0 if the direction has no sending.
	Address     string
	Port        int
	RTCPAddress string
	RTCPPort    int // equal to Port if RTCP and RTP share it
	PacketTime  time.Duration
	Bandwidth   int  // bits per second that we may send; 0 if not said
	PLI, FIR    bool // the peer takes these requests for a key frame

	// Encrypt is our key and Decrypt the peer's. Both are nil if the section is not encrypted.
	Encrypt, Decrypt *Crypto
}

// Choose says what our description and the peer's agree on. It does not matter which of them is the offer. Sections belong together by
// their place; a section that is missing is refused. Choose fails with ErrNotAcceptable if nothing was agreed on; the error says why.
func Choose(ours, theirs *Session) (Agreement, error) {
	var a Agreement
	var reasons []string
	for i := range ours.Media {
		m := &ours.Media[i]
		flow := &a.Audio
		if m.Kind() == media.Video {
			flow = &a.Video
		}
		if m.Port == 0 || m.Kind() == media.KindNone || *flow != nil {
			continue
		}
		var err error
		if *flow, err = m.agree(theirs, i); err != nil {
			reasons = append(reasons, fmt.Sprintf("%s: %v", m.Kind(), err))
		}
	}
	if a.Audio == nil && a.Video == nil {
		return a, fmt.Errorf("%w: %s", ErrNotAcceptable, strings.Join(reasons, "; "))
	}
	return a, nil
}

// agree says what our section and the peer's section at the same place agree on.
func (m *Media) agree(peer *Session, place int) (*Flow, error) {
	if place >= len(peer.Media) || peer.Media[place].Port == 0 {
		return nil, errors.New("the peer refuses it")
	}
	theirs := &peer.Media[place]
	if theirs.Kind() != m.Kind() {
		return nil, fmt.Errorf("the peer has %.20s in its place", theirs.Name)
	}
	if !sameFamily(m.Address, theirs.Address) {
		return nil, fmt.Errorf("the peer's address %s is of another family than ours, %s", theirs.Address, m.Address)
	}
	sends := slices.IndexFunc(theirs.Types, func(t Type) bool { return t.isMedia() && t.usable() && m.has(t.Codec) })
	if sends < 0 {
		return nil, fmt.Errorf("none of the peer's codecs is ours: %s", codecNames(theirs.Types))
	}
	send := theirs.Types[sends]
	encrypt, decrypt, err := keys(m, theirs)
	if err != nil {
		return nil, err
	}
	f := &Flow{
		Direction: m.Direction & theirs.Direction.Reverse(),
		Send:      send,
		Receive:   m.receive(theirs),
		Address:   theirs.Address, Port: theirs.Port,
		PacketTime: theirs.packetTime(),
		Bandwidth:  theirs.Bandwidth,
		PLI:        send.PLI && slices.ContainsFunc(m.Types, func(t Type) bool { return t.PLI }),
		FIR:        send.FIR && slices.ContainsFunc(m.Types, func(t Type) bool { return t.FIR }),
		Encrypt:    encrypt, Decrypt: decrypt,
	}
	if e := eventsFor(send.Codec, theirs.Types); e != nil && m.has(e.Codec) {
		f.Events = e
	}
	f.RTCPAddress, f.RTCPPort = theirs.rtcp(m.RTCPMux && theirs.RTCPMux)
	return f, nil
}

// receive returns the codec of each payload type that the peer may send. By RFC 3264 the peer uses our numbers. Some peers use their own
// (SIPp does), so these count, too, unless ours give the number to another codec that was agreed on.
func (m *Media) receive(theirs *Media) map[uint8]Codec {
	codecs := map[uint8]Codec{}
	add := func(types []Type, other *Media) {
		for _, t := range types {
			_, taken := codecs[t.Number]
			if !taken && t.usable() && (other.has(t.Codec) || t.Codec.isNoise()) {
				codecs[t.Number] = t.Codec
			}
		}
	}
	add(m.Types, theirs)
	add(theirs.Types, m)
	if m.Kind() == media.Audio {
		add([]Type{{Number: 13, Codec: CN}}, theirs) // some phones send comfort noise without asking
	}
	return codecs
}

// packetTime returns how much sound each packet to the owner holds. Values that a packet of ours cannot have count as not said.
func (m *Media) packetTime() time.Duration {
	const usual = 20 * time.Millisecond
	switch m.PacketTime {
	case usual, 30 * time.Millisecond, 40 * time.Millisecond, 60 * time.Millisecond:
		return m.PacketTime
	default:
		return usual
	}
}

// keys returns the keys of both sides: those of the first tag and suite that both have. They are nil for sections without encryption.
func keys(ours, theirs *Media) (encrypt, decrypt *Crypto, err error) {
	for _, c := range ours.Crypto {
		for _, t := range theirs.Crypto {
			if c.Tag == t.Tag && c.Suite == t.Suite {
				return &c, &t, nil
			}
		}
	}
	if ours.secure() || theirs.secure() {
		return nil, nil, errors.New("there are no keys for SRTP that both sides have")
	}
	return nil, nil, nil
}
