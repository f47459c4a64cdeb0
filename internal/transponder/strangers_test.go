package transponder

import (
	"net/netip"
	"testing"
)

// Strangers learn one and the same of whatever is, or is not, at an address in a private network; all else is told as it is.
func TestForStrangers(t *testing.T) {
	for reason := range classes {
		var want Reason = reason
		switch reason {
		case ReasonRefused, ReasonTimeout, ReasonTLS, ReasonTLSVerify, ReasonHandshake, ReasonProtocol, ReasonAuth, ReasonBadApp,
			ReasonKeyInUse, ReasonKeyRejected, ReasonPeerClosed, ReasonPeerStalled:
			want = ReasonUnreachable
		}
		i := Info{Reason: reason, Detail: "exactly so", Hidden: true}
		if got := i.ForStrangers(); got.Reason != want || want == ReasonUnreachable && got.Detail == i.Detail {
			t.Errorf("of %s strangers learn %s, %q", reason, got.Reason, got.Detail)
		}
		e := Event{Reason: reason, Detail: "exactly so", Hidden: true}
		if got := e.ForStrangers(); got.Reason != want {
			t.Errorf("of an event of %s strangers learn %s", reason, got.Reason)
		}
		i.Hidden = false
		if got := i.ForStrangers(); got.Reason != reason || got.Detail != i.Detail {
			t.Errorf("of %s elsewhere strangers learn %s", reason, got.Reason)
		}
	}
	for address, want := range map[string]bool{
		"127.0.0.1": true, "::1": true, "10.1.2.3": true, "fd00::1": true, "::ffff:192.168.1.1": true, "64:ff9b::a01:203": true,
		"203.0.113.1": false, "2001:db8::1": false,
	} {
		if got := isInside(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s is in a private network: %t, want %t", address, got, want)
		}
	}
}
