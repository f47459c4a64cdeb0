package pion

import (
	"strings"

	"github.com/pion/interceptor"
	"github.com/pion/webrtc/v4"
)

// tap is an interceptor that takes retransmissions as soon as they come. Without it pion hands them out only when the next
// packet of the repaired stream is read, up to one frame later.
type tap struct {
	interceptor.NoOp
	retransmission func(packet []byte)
}

// NewInterceptor implements interceptor.Factory.
func (t *tap) NewInterceptor(string) (interceptor.Interceptor, error) { return t, nil }

// BindRemoteStream implements interceptor.Interceptor.
func (t *tap) BindRemoteStream(info *interceptor.StreamInfo, next interceptor.RTPReader) interceptor.RTPReader {
	if !strings.EqualFold(info.MimeType, webrtc.MimeTypeRTX) {
		return next
	}
	return interceptor.RTPReaderFunc(func(b []byte, a interceptor.Attributes) (int, interceptor.Attributes, error) {
		n, a, err := next.Read(b, a)
		if err != nil {
			return n, a, err
		}
		t.retransmission(b[:n])
		return 0, a, nil // pion ignores an empty read
	})
}
