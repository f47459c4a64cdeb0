package rtc

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/pion/rtp/codecs"

	"transponder/internal/media"
)

// maxPayload leaves room in a datagram of 1200 bytes, which goes everywhere, for the headers of RTP, SRTP and retransmission.
const maxPayload = 1150

// packetizer cuts the frames of one track into the payloads of RTP packets. It is for one goroutine.
type packetizer interface {
	// payloads returns the packets of a frame, valid until the next call.
	payloads(f media.Frame) [][]byte
}

// newPacketizer returns the packetizer for a codec, nil if it is not sent to peers.
func newPacketizer(c media.Codec) packetizer {
	switch c {
	case media.H264:
		return &h264Packets{}
	case media.VP8:
		return pionPackets{&codecs.VP8Payloader{EnablePictureID: true}}
	case media.VP9:
		return pionPackets{&codecs.VP9Payloader{}}
	case media.AV1:
		return pionPackets{&codecs.AV1Payloader{}}
	case media.Opus, media.PCMA, media.PCMU:
		return wholePackets{}
	}
	return nil
}

// wholePackets are frames of sound, each of which is a packet.
type wholePackets struct{}

func (wholePackets) payloads(f media.Frame) [][]byte { return [][]byte{f.Data} }

// pionPackets cuts as pion does.
type pionPackets struct {
	codec interface {
		Payload(mtu uint16, payload []byte) [][]byte
	}
}

func (p pionPackets) payloads(f media.Frame) [][]byte { return p.codec.Payload(maxPayload, f.Data) }

// h264Packets makes STAP-A packets of small NAL units and FU-A packets of large ones (RFC 6184, 5.7 and 5.8). Parameter sets go
// before each key frame.
type h264Packets struct {
	track *media.Track
	sets  [][]byte // of track

	out  [][]byte
	buf  []byte   // of the packets in out that are made here
	stap [][]byte // NAL units that wait for a packet together
	size int      // of that packet
}

func (p *h264Packets) payloads(f media.Frame) [][]byte {
	if f.Track != p.track {
		p.track = f.Track
		sps, pps, err := media.H264ParameterSets(f.Track.Config)
		p.sets = append(sps, pps...)
		if err != nil { // the frames may bring their own
			p.sets = nil
		}
	}
	// Packets are parts of buf, which must not move while they are.
	if need := len(f.Data) + len(f.Data)/maxPayload*2 + 1024 + setsSize(p.sets); cap(p.buf) < need {
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
	if len(nal) > maxPayload {
		p.flush()
		p.fragment(nal)
		return
	}
	if len(p.stap) > 0 && p.size+2+len(nal) > maxPayload {
		p.flush()
	}
	if len(p.stap) == 0 {
		p.size = 1
	}
	p.stap = append(p.stap, nal)
	p.size += 2 + len(nal)
}

// flush makes a packet of the NAL units that wait.
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

// fragment cuts a NAL unit.
func (p *h264Packets) fragment(nal []byte) {
	const start, end = 0x80, 0x40
	for body, mark := nal[1:], byte(start); len(body) > 0; mark = 0 {
		n := min(len(body), maxPayload-2)
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

// stopwatch tells the RTP times of one track. Sound follows its own count of samples as long as its packets follow each other:
// receivers hear it when they do not. Every other time is the stream's.
type stopwatch struct {
	rate  int64 // per second
	count bool

	begun bool
	from  media.Timestamp // where time was origin
	origin,
	time uint32 // the RTP time of the latest frame
	last media.Timestamp // when that was
	long int64           // its duration by the count
}

// newStopwatch begins at any time.
func newStopwatch(rate int, count bool, origin uint32) *stopwatch {
	return &stopwatch{rate: int64(rate), count: count, origin: origin}
}

// slack is how far a packet may be from where the count has it: sound's times on the stream's clock follow the publisher's reports,
// and so are no exact multiples.
const slack = 20 * time.Millisecond

// at returns the RTP time of the next frame, that lasts so many units.
func (w *stopwatch) at(t media.Timestamp, long int64) uint32 {
	expected := time.Duration(w.long * 1e9 / w.rate)
	switch {
	case !w.begun:
		w.begun, w.from, w.time = true, t, w.origin
	case w.count && w.long > 0 && (t.Sub(w.last)-expected).Abs() < slack:
		w.time += uint32(w.long)
	default:
		if w.count { // from here on
			w.from, w.origin = w.last, w.time
		}
		w.time = w.origin + w.units(t.Sub(w.from))
	}
	w.last, w.long = t, long
	return w.time
}

// now returns the RTP time at a time of the stream.
func (w *stopwatch) now(t media.Timestamp) uint32 { return w.time + w.units(t.Sub(w.last)) }

func (w *stopwatch) units(d time.Duration) uint32 {
	return uint32(int64(math.Round(d.Seconds() * float64(w.rate))))
}
