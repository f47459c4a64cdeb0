package rtc

import (
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/opus"

	"transponder/internal/media"
)

// SoundPacket is a piece of sound of the length that was agreed on.
type SoundPacket struct {
	Payload []byte
	Time    media.Timestamp // on the stream's clock
	Units   int64           // the duration in RTP time, for RTPClock.At; 0: unknown
}

// SoundCutter makes packets of one length from the frames of a stream's sound. One goroutine may use it.
//
// It joins and cuts the codecs that have 8 bytes in each millisecond: G.711 and G.722 (RFC 3551, 4.5.2 and 4.5.14). Frames
// of other codecs cannot be cut, and each becomes a packet: a receiver takes packets of any length (RFC 8866, 6.4).
type SoundCutter struct {
	size int // of a packet in bytes; 0: frames are not cut

	rest []byte          // the beginning of the next packet
	from media.Timestamp // of rest
	out  []SoundPacket
	buf  []byte // the payloads in out
}

// bytesPerMS is the rate of G.711 and G.722, whose RTP time counts bytes, too.
const bytesPerMS = 8

// NewSoundCutter makes a cutter for packets of a length in whole milliseconds.
func NewSoundCutter(codec media.Codec, packetTime time.Duration) *SoundCutter {
	c := &SoundCutter{}
	switch codec {
	case media.PCMA, media.PCMU, media.G722:
		c.size = bytesPerMS * int(packetTime/time.Millisecond)
	}
	return c
}

// Cut takes the next frame and returns the packets that are full now. They are valid until the next call. Before a gap, what
// is left of the frames before it becomes a shorter packet.
func (c *SoundCutter) Cut(f media.Frame) []SoundPacket {
	c.out = c.out[:0]
	if c.size <= 0 {
		return append(c.out, SoundPacket{Payload: f.Data, Time: f.Time, Units: soundUnits(f)})
	}
	c.buf = c.buf[:0]
	if gap := f.Time.Sub(c.from) - lengthOf(c.rest); len(c.rest) > 0 && gap.Abs() >= slack {
		c.flush()
	}
	if len(c.rest) == 0 {
		c.from = f.Time
	}
	c.buf = append(append(c.buf, c.rest...), f.Data...)
	all := c.buf[len(c.buf)-len(c.rest)-len(f.Data):]
	for len(all) >= c.size {
		c.put(all[:c.size:c.size])
		all = all[c.size:]
	}
	c.rest = append(c.rest[:0], all...)
	return c.out
}

// flush makes a packet of the rest.
func (c *SoundCutter) flush() {
	c.buf = append(c.buf, c.rest...)
	c.put(c.buf[:len(c.buf):len(c.buf)])
	c.rest = c.rest[:0]
}

func (c *SoundCutter) put(payload []byte) {
	c.out = append(c.out, SoundPacket{Payload: payload, Time: c.from, Units: int64(len(payload))})
	c.from = c.from.Add(lengthOf(payload))
}

// soundUnits returns the duration of a frame of sound in RTP time, 0 if the frame does not tell.
func soundUnits(f media.Frame) int64 {
	switch f.Track.Codec {
	case media.Opus:
		return opus.PacketDuration2(f.Data)
	case media.PCMA, media.PCMU, media.G722:
		return int64(len(f.Data))
	default:
		return 0
	}
}

func lengthOf(b []byte) time.Duration {
	return time.Duration(len(b)) * time.Millisecond / bytesPerMS
}
