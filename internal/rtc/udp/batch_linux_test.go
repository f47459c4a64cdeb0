package udp

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// message returns a control message in the form of the kernel, on a little-endian machine.
func message(level, kind byte, data ...byte) []byte {
	b := append([]byte{byte(unix.SizeofCmsghdr + len(data)), 0, 0, 0, 0, 0, 0, 0, level, 0, 0, 0, kind, 0, 0, 0}, data...)
	return append(b, make([]byte, (8-len(b)%8)%8)...)
}

var (
	info4   = message(unix.IPPROTO_IP, unix.IP_PKTINFO, 1, 0, 0, 0, 192, 0, 2, 1, 192, 0, 2, 9)
	info6   = message(unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, slices.Concat(netip.MustParseAddr("2001:db8::1").AsSlice(), []byte{1, 0, 0, 0})...)
	stamp   = message(unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 5, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0)
	dropped = message(unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 3, 0, 0, 0)
)

func TestParseControl(t *testing.T) {
	v4, v6, at := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1"), time.Unix(5, 7)
	for _, tt := range []struct {
		name string
		b    []byte
		want control
	}{
		{"nothing", nil, control{}},
		{"IPv4", slices.Concat(stamp, info4, dropped), control{v4, at, 3}},
		{"IPv6", slices.Concat(info6, dropped, stamp), control{v6, at, 3}},
		{"something else first", slices.Concat(message(unix.IPPROTO_IP, unix.IP_TOS, 1), info4), control{to: v4}},
		{"cut off", slices.Concat(info4, stamp[:20]), control{to: v4}},
		{"of no length", slices.Concat(make([]byte, 16), info4), control{}},
		{"too short for what it is", message(unix.IPPROTO_IP, unix.IP_PKTINFO, 1, 0, 0, 0), control{}},
	} {
		if got := parseControl(tt.b); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// FuzzParseControl: it reads nothing that is not there, and reads on behind an unknown message.
func FuzzParseControl(f *testing.F) {
	f.Add(make([]byte, controlSize))
	f.Add(info4)
	f.Add(slices.Concat(stamp, info4, dropped))
	f.Add(slices.Concat(dropped, info6, stamp))
	f.Fuzz(func(t *testing.T, b []byte) {
		c := parseControl(b)
		if c.to.IsValid() && len(b) < unix.SizeofCmsghdr+unix.SizeofInet4Pktinfo || !c.arrived.IsZero() && len(b) < unix.SizeofCmsghdr+16 ||
			c.full != 0 && len(b) < unix.SizeofCmsghdr+4 {
			t.Errorf("%v of %d bytes", c, len(b))
		}
		if got := parseControl(append(message(unix.IPPROTO_IP, unix.IP_TOS, 1), b...)); got != c {
			t.Errorf("%v behind another message, %v alone", got, c)
		}
	})
}
