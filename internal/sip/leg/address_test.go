package leg

import (
	"net/netip"
	"testing"
)

// An SDP must not aim our media at all hosts of a network.
func TestBroadcast(t *testing.T) {
	networks := []netip.Prefix{
		netip.MustParsePrefix("192.0.2.9/24"), netip.MustParsePrefix("198.51.100.4/31"), netip.MustParsePrefix("203.0.113.7/32"),
		netip.MustParsePrefix("2001:db8::1/64"),
	}
	for address, want := range map[string]bool{
		"192.0.2.255": true, "192.0.2.254": false, "192.0.3.255": false, "198.51.100.5": false, "203.0.113.7": false,
		"2001:db8::ffff:ffff:ffff:ffff": false, "255.255.255.255": false,
	} {
		if got := isBroadcast(netip.MustParseAddr(address), networks); got != want {
			t.Errorf("%s: %v, want %v", address, got, want)
		}
	}
}
