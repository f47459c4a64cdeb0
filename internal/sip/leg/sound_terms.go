package leg

import (
	"time"

	"transponder/internal/media"
	"transponder/internal/sip/sdp"
	"transponder/internal/transcode/sound"
)

// soundTerms say how we send sound. The zero value means that we send none.
type soundTerms struct {
	on     bool
	number uint8 // payload type
	codec  media.Codec
	clock  int           // of RTP times
	length time.Duration // of a packet
	silent media.Frame   // a packet of silence

	events *sdp.Type // how we send digits; nil: not
}

// newSoundTerms returns how a flow lets us send.
func newSoundTerms(f *sdp.Flow) soundTerms {
	if f == nil || !f.Direction.Sends() {
		return soundTerms{}
	}
	codec := f.Send.Codec.Media()
	t := soundTerms{
		on: true, number: f.Send.Number, codec: codec, clock: f.Send.Codec.Clock, length: f.PacketTime, events: f.Events,
	}
	if t.length <= 0 {
		t.length = usualLength
	}
	data := make([]byte, 8*t.length/time.Millisecond) // of G.711 and G.722
	switch codec {
	case media.Opus:
		data, t.length = []byte{31 << 3}, usualLength // RFC 6716, 3.1: one frame of 20 ms
	case media.Speex, media.SpeexNarrow:
		data, t.length = sound.SilentSpeex(codec), usualLength
	}
	channels := max(1, f.Send.Codec.Channels)
	t.silent = media.Frame{Track: &media.Track{Codec: codec, SampleRate: codec.ClockRate(), Channels: channels}, Key: true, Data: data}
	t.silent, t.on = sound.Silence(t.silent)
	return t
}

// usualLength is the length of a packet of sound.
const usualLength = 20 * time.Millisecond

// units converts a duration to RTP time.
func (t soundTerms) units(d time.Duration) uint32 {
	return uint32(int64(d) * int64(t.clock) / int64(time.Second))
}

// same says whether packets have the same form as by other terms.
func (t soundTerms) same(o soundTerms) bool {
	return t.on == o.on && t.codec == o.codec && t.length == o.length
}
