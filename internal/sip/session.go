package sip

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"transponder/internal/sip/sdp"
)

// videoBandwidth is what we ask phones to send at most, in bits per second: enough for 720p. Room systems send nothing if nothing is asked.
const videoBandwidth = 2_048_000

// wants is what a call shall have.
type wants struct {
	audio, video bool
	sendVideo    bool // we send pictures, too
	pushed       bool // the call is pushed at once
}

// session is the SDP of a call: what we want, and what both sides said last. It has no lock: the goroutine of the call uses it.
type session struct {
	local sdp.Local
	lines string // more lines for the first offer or answer

	ours    *sdp.Session // our last offer or answer; its version counts
	offered *sdp.Session // our offer that has no final answer yet
	active  *sdp.Session // ours of the last exchange that succeeded
}

// newLocal says what we want, and where. secure says that nobody on the way can read the keys.
func (c Config) newLocal(w wants, address netip.Addr, audioPort, videoPort int, secure bool) (sdp.Local, error) {
	l := sdp.Local{ID: rand.Uint64() >> 1, Address: address.String(), SRTP: srtpModes[c.SRTP]}
	if !secure && !c.SRTPWithoutTLS && l.SRTP != sdp.SRTPOff {
		if l.SRTP == sdp.SRTPRequired {
			return l, fmt.Errorf("%w: sip_srtp=required needs TLS, because keys travel in the messages", ErrPolicy)
		}
		l.SRTP = sdp.SRTPOff
	}
	if w.audio {
		l.Audio = sdp.LocalMedia{Port: audioPort, Direction: sdp.SendRecv, Codecs: c.audioCodecs(w.pushed), PacketTime: 20 * time.Millisecond}
	}
	if w.video {
		l.Video = sdp.LocalMedia{
			Port: videoPort, Direction: sdp.RecvOnly, Codecs: c.videoCodecs(w.pushed), HighProfile: c.HighProfile, Bandwidth: videoBandwidth,
		}
		if w.sendVideo || c.SendVideo {
			l.Video.Direction = sdp.SendRecv
		}
	}
	if l.SRTP == sdp.SRTPOff {
		return l, nil
	}
	for _, m := range []*sdp.LocalMedia{&l.Audio, &l.Video} {
		for i, suite := range []sdp.Suite{sdp.AES128SHA80, sdp.AES128SHA32} {
			crypto, err := sdp.NewCrypto(fmt.Sprint(i+1), suite)
			if err != nil {
				return l, err
			}
			m.Crypto = append(m.Crypto, crypto)
		}
	}
	return l, nil
}

// codecNames has the codecs by the names of Web Call Server and of SDP.
var codecNames = map[string][]sdp.Codec{
	"pcmu": {sdp.PCMU}, "ulaw": {sdp.PCMU}, "pcma": {sdp.PCMA}, "alaw": {sdp.PCMA}, "opus": {sdp.Opus}, "g722": {sdp.G722},
	"speex": {sdp.Speex, sdp.SpeexWide}, "speex16": {sdp.SpeexWide}, "telephone-event": {sdp.Events}, "h264": {sdp.H264}, "vp8": {sdp.VP8},
}

// audioCodecs returns the codecs for sound in the order of an offer: first those that every phone has.
func (c Config) audioCodecs(pushed bool) []sdp.Codec {
	codecs := []sdp.Codec{sdp.PCMU, sdp.PCMA, sdp.Opus, sdp.G722, sdp.SpeexWide, sdp.Speex, sdp.Events}
	if c.OpusFirst {
		codecs = append([]sdp.Codec{sdp.Opus}, slices.DeleteFunc(codecs, func(x sdp.Codec) bool { return x == sdp.Opus })...)
	}
	return c.without(codecs, pushed)
}

func (c Config) videoCodecs(pushed bool) []sdp.Codec {
	codecs := []sdp.Codec{sdp.H264}
	if c.VP8 {
		codecs = append(codecs, sdp.VP8)
	}
	return c.without(codecs, pushed)
}

// without leaves out the codecs that the settings exclude.
func (c Config) without(codecs []sdp.Codec, pushed bool) []sdp.Codec {
	excluded := c.Exclude
	if pushed {
		excluded = c.ExcludePushed
	}
	for _, name := range excluded {
		for _, x := range codecNames[strings.ToLower(name)] {
			codecs = slices.DeleteFunc(codecs, func(y sdp.Codec) bool { return y == x })
		}
	}
	return codecs
}

// offer makes an offer of everything that we want.
func (s *session) offer() []byte {
	first := s.ours == nil
	s.ours = s.local.Offer(s.ours)
	s.offered = s.ours
	text := s.ours.SDP()
	if first {
		text += s.lines
	}
	return []byte(text)
}

// again makes an offer that only says which way media flows from now on.
func (s *session) again() []byte {
	if s.active == nil {
		return s.offer()
	}
	next := s.local.Again(s.active)
	next.Version = s.ours.Version
	if next.SDP() != s.ours.SDP() { // an offer that was refused counts, too
		version, _ := strconv.ParseUint(s.ours.Version, 10, 64) // is ours
		next.Version = strconv.FormatUint(version+1, 10)
	}
	s.ours, s.offered = next, next
	return []byte(next.SDP())
}

// hold sets the directions of the next offers: on hold we only send sound, and no pictures go either way.
func (s *session) hold(on bool, sendVideo bool) {
	s.local.Audio.Direction, s.local.Video.Direction = sdp.SendRecv, sdp.RecvOnly
	if sendVideo {
		s.local.Video.Direction = sdp.SendRecv
	}
	if on {
		s.local.Audio.Direction, s.local.Video.Direction = sdp.SendOnly, sdp.Inactive
	}
}

// answer answers an offer of the peer. If the offer cannot be taken, the session stays as it was.
func (s *session) answer(offer []byte) ([]byte, sdp.Agreement, error) {
	theirs, err := sdp.Parse(string(offer))
	if err != nil {
		return nil, sdp.Agreement{}, err
	}
	ours, err := s.local.Answer(theirs, s.ours)
	if err != nil {
		return nil, sdp.Agreement{}, err
	}
	a, err := sdp.Choose(ours, theirs)
	if err != nil {
		return nil, a, err
	}
	text := ours.SDP()
	if s.ours == nil {
		text += s.lines
	}
	s.ours, s.active, s.offered = ours, ours, nil
	return []byte(text), a, nil
}

// answered takes the peer's answer to our offer. An early answer may be followed by another. An answer to a refresh, which repeats our last
// description, comes only if the peer has changed something.
func (s *session) answered(answer []byte, early bool) (sdp.Agreement, error) {
	ours := cmp.Or(s.offered, s.active)
	if ours == nil {
		return sdp.Agreement{}, fmt.Errorf("%w: there was no offer", sdp.ErrNotAcceptable)
	}
	theirs, err := sdp.Parse(string(answer))
	if err != nil {
		return sdp.Agreement{}, err
	}
	a, err := sdp.Choose(ours, theirs)
	if err != nil || early {
		return a, err
	}
	s.active, s.offered = ours, nil
	return a, nil
}

// refused takes the refusal of our offer.
func (s *session) refused() { s.offered = nil }

// peerHolds says whether the peer has put us on hold: it does not take the sound that we would send. In a call without sound, it does not send the
// pictures that we would take.
func peerHolds(local sdp.Local, a sdp.Agreement) bool {
	switch {
	case a.Audio != nil:
		return local.Audio.Direction.Sends() && !a.Audio.Direction.Sends()
	case a.Video != nil:
		return local.Video.Direction.Receives() && !a.Video.Direction.Receives()
	default:
		return false
	}
}
