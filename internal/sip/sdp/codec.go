package sdp

import (
	"fmt"
	"strconv"
	"strings"

	"transponder/internal/media"
)

// Codec is a codec as a=rtpmap names it. Two codecs are the same if they are equal. The zero Codec is unknown.
type Codec struct {
	Name     string // for the codecs below spelled as here; else as it was written
	Clock    int    // of RTP timestamps, in Hz
	Channels int    // 0: one, or video
}

// The codecs that a call can use. Events are digits (RFC 4733), CN is comfort noise (RFC 3389).
var (
	PCMU      = Codec{Name: "PCMU", Clock: 8000}
	PCMA      = Codec{Name: "PCMA", Clock: 8000}
	G722      = Codec{Name: "G722", Clock: 8000} // the sound has 16000 samples a second (RFC 3551, 4.5.2)
	Opus      = Codec{Name: "opus", Clock: 48000, Channels: 2}
	Speex     = Codec{Name: "speex", Clock: 8000}
	SpeexWide = Codec{Name: "speex", Clock: 16000}
	Events    = Codec{Name: "telephone-event", Clock: 8000}
	CN        = Codec{Name: "CN", Clock: 8000}
	H264      = Codec{Name: "H264", Clock: 90000}
	VP8       = Codec{Name: "VP8", Clock: 90000}

	EventsWide = Codec{Name: "telephone-event", Clock: 48000} // beside Opus
)

var known = [...]Codec{PCMU, PCMA, G722, Opus, Speex, Events, CN, H264, VP8} // each name once

// static are the payload types whose codec needs no a=rtpmap (RFC 3551, 6), as far as we use the codec.
var static = map[uint8]Codec{0: PCMU, 8: PCMA, 9: G722, 13: CN}

// Media returns the codec as the rest of the server names it, media.CodecNone if the server has none of this name.
func (c Codec) Media() media.Codec {
	switch c {
	case PCMU:
		return media.PCMU
	case PCMA:
		return media.PCMA
	case Opus:
		return media.Opus
	case G722:
		return media.G722
	case Speex:
		return media.SpeexNarrow
	case SpeexWide:
		return media.Speex
	case H264:
		return media.H264
	case VP8:
		return media.VP8
	default:
		return media.CodecNone
	}
}

// isEvents says whether packets hold digits. Their clock may be that of any codec.
func (c Codec) isEvents() bool { return c.Name == Events.Name }

// isNoise says whether packets hold comfort noise.
func (c Codec) isNoise() bool { return c.Name == CN.Name }

// String returns the codec as a=rtpmap has it, such as "opus/48000/2".
func (c Codec) String() string {
	if c.Channels > 1 {
		return fmt.Sprintf("%s/%d/%d", c.Name, c.Clock, c.Channels)
	}
	return fmt.Sprintf("%s/%d", c.Name, c.Clock)
}

// parseCodec reads the codec of an a=rtpmap.
func parseCodec(text string) Codec {
	name, rest, _ := strings.Cut(text, "/")
	clock, channels, _ := strings.Cut(rest, "/")
	if name == "" {
		return Codec{}
	}
	c := Codec{Name: name, Clock: number(clock, 1<<31-1), Channels: number(channels, 255)}
	if c.Channels == 1 {
		c.Channels = 0
	}
	for _, k := range known {
		if strings.EqualFold(c.Name, k.Name) {
			c.Name = k.Name
		}
	}
	if c.Name == Opus.Name {
		c.Channels = Opus.Channels // RFC 7587, 7: always 2. Some PBXs leave it out.
	}
	return c
}

// number reads a decimal number from 0 to most. It returns 0 for everything else.
func number(text string, most int) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > most {
		return 0
	}
	return n
}
