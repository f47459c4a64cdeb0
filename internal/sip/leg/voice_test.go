package leg

import (
	"bytes"
	"testing"
	"time"

	"transponder/internal/media"
	"transponder/internal/sip/sdp"
)

// Sound that waits to be sent is dropped when the phone agrees on another codec: it would be noise there.
func TestQueuedSoundOfAnotherCodec(t *testing.T) {
	terms := func(c sdp.Codec) soundTerms {
		return newSoundTerms(&sdp.Flow{Direction: sdp.SendRecv, Send: sdp.Type{Codec: c}})
	}
	for _, tt := range []struct {
		name string
		next sdp.Codec
		want []byte
	}{
		{"another codec", sdp.PCMA, bytes.Repeat([]byte{0xd5}, 160)},
		{"the same codec again", sdp.PCMU, []byte("old")},
	} {
		v := voice{}
		v.agree(terms(sdp.PCMU))
		for range 3 {
			v.push(media.PCMU, piece{payload: []byte("old"), length: usualLength})
		}
		v.agree(terms(tt.next))
		if s, _, ok := v.next(time.Second); !ok || !bytes.Equal(s.payload, tt.want) {
			t.Errorf("%s: the next packet is % x, want % x", tt.name, s.payload, tt.want)
		}
	}
}
