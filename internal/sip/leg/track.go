package leg

import (
	"net/netip"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"

	"transponder/internal/media"
	"transponder/internal/rtc"
	"transponder/internal/rtc/udp"
	"transponder/internal/sip/sdp"
)

// track is the sound or the picture of a leg: what is agreed on, what is received, and the reports of both. kind, pair and out do not change
// after Open. Leg.mu guards the other fields.
type track struct {
	kind media.Kind
	pair pair
	out  *out

	flow  *sdp.Flow // nil: nothing is agreed on
	types [128]payloadType
	latch latch

	told     netip.AddrPort // where RTCP goes, by the SDP; not valid if unknown
	mux      bool           // RTCP goes to the port of RTP
	rtcpFrom netip.AddrPort // where RTCP came from last; not valid before
	reports  allowance      // for RTCP
	reportAt time.Duration  // of the next report
	sealRTCP *srtp.Context  // nil: not encrypted, or the key cannot be used

	key    *sdp.Crypto   // of the phone; nil: not encrypted
	open   *srtp.Context // nil without key, or if the key cannot be used
	header rtp.Header    // scratch for decryption

	jitter  *rtc.JitterBuffer // nil before the first agreement
	arrived rtc.Reception
	ssrc    uint32 // of the last packet
	began   bool   // a packet came since the start of the call
	heardAt time.Duration
	stats   TrackStats
}

// newTrack makes a track without sockets.
func (s *Legs) newTrack(kind media.Kind) track {
	return track{kind: kind, latch: latch{strict: s.cfg.Strict, any: s.cfg.LearnAny, learn: s.cfg.Learn}}
}

// payloadType is what a payload type means.
type payloadType struct {
	class typeClass
	codec media.Codec
	clock int
}

type typeClass uint8

const (
	typeUnknown typeClass = iota // was not agreed on
	typeMedia
	typeEvents
	typeSkipped // comfort noise
)

// classify returns what the payload types of a flow mean, and the codecs for the jitter buffer.
func classify(kind media.Kind, flow *sdp.Flow) (types [128]payloadType, codecs map[uint8]media.Codec) {
	codecs = map[uint8]media.Codec{}
	for number, codec := range flow.Receive {
		t := payloadType{class: typeSkipped, codec: codec.Media(), clock: codec.Clock}
		switch {
		case t.codec.Kind() == kind:
			t.class = typeMedia
		case codec.Name == sdp.Events.Name:
			t.class = typeEvents
		}
		types[number&0x7f] = t
		codecs[number&0x7f] = t.codec
	}
	return types, codecs
}

// socket returns the socket from which RTCP is sent.
func (t *track) socket() *udp.Conn {
	if t.mux {
		return t.pair.rtp
	}
	return t.pair.rtcp
}

// reportsTo returns where RTCP goes, which is not valid if that is unknown. The SDP of a phone behind a NAT names a private address; then the
// port after the one that RTP comes from is the likeliest.
func (t *track) reportsTo() netip.AddrPort {
	remote := t.latch.remote()
	switch {
	case t.mux:
		return remote
	case t.rtcpFrom.IsValid():
		return t.rtcpFrom
	case t.latch.latched() && remote.Addr() != t.latch.told.Addr():
		return netip.AddrPortFrom(remote.Addr(), remote.Port()+1)
	default:
		return t.told
	}
}

// aim tells the sender where the phone is now.
func (t *track) aim(now time.Duration) { t.out.aim(t.latch.remote(), t.latch.latched(), now) }

// receives says whether the phone agreed to send.
func (t *track) receives() bool { return t.flow != nil && t.flow.Direction.Receives() }

// takeRTP checks a packet: its source, its key, its form and its type. It returns the packet if that goes on to the jitter buffer.
func (t *track) takeRTP(b []byte, from netip.AddrPort, now time.Duration) (p rtc.Packet, ok bool) {
	r := &t.stats.Refused
	v := t.latch.judge(from, now)
	switch {
	case v == stranger:
		r.Stranger++
		return p, false
	case t.flow == nil || t.types[b[1]&0x7f].class == typeUnknown:
		r.Type++
		return p, false
	case !t.receives():
		r.Held++
		return p, false
	}
	if t.key != nil {
		if t.open == nil {
			r.SRTP++
			return p, false
		}
		var err error
		if b, err = t.open.DecryptRTP(b[:0], b, &t.header); err != nil {
			r.SRTP++
			return p, false
		}
	}
	p, err := rtc.ParsePacket(b)
	if err != nil {
		r.Malformed++
		return p, false
	}
	if t.latch.heard(from, v, now) {
		t.rtcpFrom = netip.AddrPort{}
		t.aim(now)
	}
	t.count(p, now)
	return p, true
}

// count counts a packet of the phone.
func (t *track) count(p rtc.Packet, now time.Duration) {
	t.heardAt, t.ssrc = now, p.SSRC
	t.stats.Packets++
	t.stats.Bytes += int64(len(p.Payload))
	if x := t.types[p.PayloadType]; x.class == typeMedia {
		t.stats.Codec = x.codec
		t.arrived.Meter.Rate = int64(x.clock)
	}
	t.arrived.Add(p, now) // digits and comfort noise, too: they share the sequence numbers
}
