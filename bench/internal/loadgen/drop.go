package loadgen

import (
	"math/rand/v2"

	"github.com/pion/interceptor"
	"github.com/pion/rtp"
)

// dropper loses outgoing packets at random, retransmissions included. It has to be the first interceptor registered: that one
// stands next to the wire.
type dropper struct {
	interceptor.NoOp
	share float64
}

func (d *dropper) NewInterceptor(string) (interceptor.Interceptor, error) { return d, nil }

func (d *dropper) BindLocalStream(_ *interceptor.StreamInfo, next interceptor.RTPWriter) interceptor.RTPWriter {
	return interceptor.RTPWriterFunc(func(h *rtp.Header, payload []byte, a interceptor.Attributes) (int, error) {
		if rand.Float64() < d.share {
			return len(payload), nil
		}
		return next.Write(h, payload, a)
	})
}
