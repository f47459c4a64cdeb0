package leg

import (
	"slices"
	"testing"

	"transponder/internal/rtc"
)

// TestFormOf: RFC 7983, 7; RFC 5761, 4; RFC 5389, 6; RFC 6347, 4.1.
func TestFormOf(t *testing.T) {
	header := func(first, second byte, n int) []byte {
		return append([]byte{first, second}, make([]byte, n-2)...)
	}
	for _, tt := range []struct {
		name string
		b    []byte
		want form
	}{
		{"nothing", nil, formMalformed},
		{"one byte", []byte{0x80}, formMalformed},
		{"RTP", header(0x80, 0, 12), formRTP},
		{"RTP with a marker", header(0x80, 0x80|96, 1200), formRTP},
		{"RTP, type 63", header(0x80, 63, 12), formRTP},
		{"RTP that is cut off", header(0x80, 0, 11), formMalformed},
		{"a sender report", header(0x80, 200, 28), formRTCP},
		{"feedback", header(0x81, 206, 12), formRTCP},
		{"the first and the last type of RTCP", header(0x80, 192, 8), formRTCP},
		{"", header(0x80, 223, 8), formRTCP},
		{"RTP beside them", header(0x80, 224, 12), formRTP},
		{"RTCP that is cut off", header(0x80, 200, 7), formMalformed},
		{"a binding request", header(0, 1, 20), formSTUN},
		{"a keep-alive of STUN", header(1, 1, 20), formSTUN},
		{"a handshake of DTLS", header(22, 254, 60), formDTLS},
		{"a channel of TURN", header(0x40, 0, 20), formMalformed},
		{"version 1", header(0x7f, 0, 20), formMalformed},
		{"version 3", header(0xc0, 0, 20), formMalformed},
		{"a message of SIP", []byte("OPTIONS sip:a@b SIP/2.0"), formMalformed},
	} {
		if got := formOf(tt.b); got != tt.want {
			t.Errorf("%s: form %d, want %d", tt.name, got, tt.want)
		}
	}
}

// FuzzFormOf: whatever counts as RTP has the header that the parser needs, and what the parser takes counts as RTP or RTCP.
func FuzzFormOf(f *testing.F) {
	f.Add([]byte{0x80, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0xff})
	f.Add([]byte{0x80, 200, 0, 6, 0, 0, 0, 1, 0, 0, 0, 2})
	f.Add([]byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42})
	f.Fuzz(func(t *testing.T, b []byte) {
		form := formOf(b)
		_, err := rtc.ParsePacket(slices.Clone(b))
		if form == formRTP && (len(b) < 12 || b[0]>>6 != 2) || err == nil && form != formRTP && form != formRTCP {
			t.Errorf("form %d, and the parser says %v", form, err)
		}
	})
}
