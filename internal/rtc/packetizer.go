package rtc

import (
	"cmp"
	"encoding/binary"

	"github.com/pion/rtp/codecs"

	"transponder/internal/media"
)

// maxPayload leaves room for the headers of RTP, SRTP and retransmissions in a datagram of 1200 bytes, which every path
// carries.
const maxPayload = 1150

// maxNAL limits a packet that must hold a whole NAL unit: a UDP datagram takes no more.
const maxNAL = 65_000

// PacketizerConfig says how frames are cut into packets.
type PacketizerConfig struct {
	Codec      media.Codec
	MaxPayload int // the largest payload in bytes; 0: 1150, which leaves room for all headers in 1200

	// SingleNAL makes a packet of each NAL unit of H.264, as large as the unit is: packetization mode 0 (RFC 6184, 6.2) has no
	// fragments.
	SingleNAL bool
	// NoSTAPA does not put small NAL units of H.264 together, for receivers that take only fragments of mode 1.
	NoSTAPA bool
}

// Packetizer cuts the frames of one track into the payloads of RTP packets. One goroutine may use it.
type Packetizer interface {
	// Payloads returns the payloads of a frame. They are valid until the next call.
	Payloads(f media.Frame) [][]byte
}

// NewPacketizer returns a packetizer, nil if the codec cannot be sent.
func NewPacketizer(cfg PacketizerConfig) Packetizer {
	limit := cmp.Or(cfg.MaxPayload, maxPayload)
	switch cfg.Codec {
	case media.H264:
		return &h264Packets{limit: limit, whole: cfg.SingleNAL, alone: cfg.SingleNAL || cfg.NoSTAPA}
	case media.VP8:
		return pionPackets{&codecs.VP8Payloader{EnablePictureID: true}, uint16(limit)}
	case media.VP9:
		return pionPackets{&codecs.VP9Payloader{}, uint16(limit)}
	case media.AV1:
		return pionPackets{&codecs.AV1Payloader{}, uint16(limit)}
	case media.Opus, media.PCMA, media.PCMU, media.G722, media.Speex, media.SpeexNarrow:
		return wholePackets{}
	}
	return nil
}

// sendable says whether frames of a codec can be sent.
func sendable(c media.Codec) bool { return NewPacketizer(PacketizerConfig{Codec: c}) != nil }

// wholePackets makes one packet of each frame, for sound.
type wholePackets struct{}

func (wholePackets) Payloads(f media.Frame) [][]byte { return [][]byte{f.Data} }

// pionPackets uses a payloader of pion.
type pionPackets struct {
	codec interface {
		Payload(mtu uint16, payload []byte) [][]byte
	}
	limit uint16
}

func (p pionPackets) Payloads(f media.Frame) [][]byte { return p.codec.Payload(p.limit, f.Data) }

// h264Packets puts small NAL units together in STAP-A packets and cuts large ones into FU-A packets (RFC 6184, 5.7 and
// 5.8). It sends the parameter sets before each key frame.
type h264Packets struct {
	limit int  // of a payload
	whole bool // no FU-A
	alone bool // no STAP-A

	track *media.Track
	sets  [][]byte // the parameter sets of track

	out  [][]byte
	buf  []byte   // holds the packets in out that are not just parts of the frame
	stap [][]byte // NAL units for the next packet
	size int      // of the next packet
}

func (p *h264Packets) Payloads(f media.Frame) [][]byte {
	if f.Track != p.track {
		p.track = f.Track
		sps, pps, err := media.H264ParameterSets(f.Track.Config)
		p.sets = append(sps, pps...)
		if err != nil { // the frames may hold their own
			p.sets = nil
		}
	}
	// Packets are slices of buf, so buf must not grow while they are made.
	if need := len(f.Data) + len(f.Data)/p.limit*2 + 1024 + setsSize(p.sets); cap(p.buf) < need {
		p.buf = make([]byte, 0, need)
	}
	p.out, p.buf = p.out[:0], p.buf[:0]
	if f.Key {
		for _, set := range p.sets {
			p.add(set)
		}
	}
	for rest := f.Data; len(rest) > 4; {
		size := int(binary.BigEndian.Uint32(rest))
		if size == 0 || size > len(rest)-4 {
			break
		}
		p.add(rest[4 : 4+size])
		rest = rest[4+size:]
	}
	p.flush()
	return p.out
}

func setsSize(sets [][]byte) (n int) {
	for _, s := range sets {
		n += len(s) + 2
	}
	return n
}

// add takes a NAL unit.
func (p *h264Packets) add(nal []byte) {
	switch {
	case p.whole && len(nal) > maxNAL:
		return
	case len(nal) > p.limit && !p.whole:
		p.flush()
		p.fragment(nal)
		return
	case len(p.stap) > 0 && (p.alone || p.size+2+len(nal) > p.limit):
		p.flush()
	}
	if len(p.stap) == 0 {
		p.size = 1
	}
	p.stap = append(p.stap, nal)
	p.size += 2 + len(nal)
}

// flush makes a packet of the NAL units in stap.
func (p *h264Packets) flush() {
	switch len(p.stap) {
	case 0:
		return
	case 1:
		p.out = append(p.out, p.stap[0])
	default:
		from := len(p.buf)
		header := byte(nalSTAPA)
		p.buf = append(p.buf, header)
		for _, nal := range p.stap {
			header = max(header, nal[0]&0x60|nalSTAPA) // the highest nal_ref_idc
			p.buf = binary.BigEndian.AppendUint16(p.buf, uint16(len(nal)))
			p.buf = append(p.buf, nal...)
		}
		p.buf[from] = header
		p.out = append(p.out, p.buf[from:len(p.buf):len(p.buf)])
	}
	p.stap = p.stap[:0]
}

// fragment cuts a NAL unit into FU-A packets.
func (p *h264Packets) fragment(nal []byte) {
	const start, end = 0x80, 0x40
	for body, mark := nal[1:], byte(start); len(body) > 0; mark = 0 {
		n := min(len(body), p.limit-2)
		if n == len(body) {
			mark |= end
		}
		from := len(p.buf)
		p.buf = append(p.buf, nal[0]&^nalTypeMask|nalFUA, mark|nal[0]&nalTypeMask)
		p.buf = append(p.buf, body[:n]...)
		p.out = append(p.out, p.buf[from:len(p.buf):len(p.buf)])
		body = body[n:]
	}
}
