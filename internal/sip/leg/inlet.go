package leg

import (
	"transponder/internal/media"
	"transponder/internal/rtc"
)

// inlet takes media in order from the jitter buffers, with mu held.
type inlet struct{ l *Leg }

var _ rtc.MediaSink = inlet{}

func (i inlet) Video(codec media.Codec, unit []byte, rtpTime uint32, key bool) {
	if key {
		i.l.keys.came()
	}
	i.l.frames.Video(codec, unit, rtpTime, key)
}

func (i inlet) Rotated(degrees int) { i.l.frames.Rotated(degrees) }

func (i inlet) Audio(codec media.Codec, payload []byte, rtpTime uint32) {
	i.l.frames.Audio(codec, payload, rtpTime)
}

func (i inlet) Clock(kind media.Kind, ntp uint64, rtpTime uint32) {
	i.l.frames.Clock(kind, ntp, rtpTime)
}

func (i inlet) Lost(kind media.Kind) { i.l.frames.Lost(kind) }
