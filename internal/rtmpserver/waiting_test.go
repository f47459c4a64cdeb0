package rtmpserver

import (
	"net/netip"
	"testing"

	"transponder/internal/guard"
)

// TestWaiting: an address has a share of the connections that are not admitted, and gets it back.
func TestWaiting(t *testing.T) {
	w := waiting{shares: guard.SharesConfig{Proxies: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}}, by: map[netip.Prefix]int{}}
	for _, c := range []struct {
		address, same string // same is another address that counts as this one
		limited       bool
	}{
		{"192.0.2.1", "192.0.2.1", true},
		{"2001:db8::1", "2001:db8::2", true},
		{"127.0.0.1", "127.0.0.1", false},
		{"198.51.100.7", "198.51.100.7", false},
	} {
		var leave []func()
		for range maxWaiting {
			admitted := w.enter(netip.MustParseAddr(c.address))
			if admitted == nil {
				t.Fatalf("%s: only %d may wait", c.address, len(leave))
			}
			leave = append(leave, admitted)
		}
		if more := w.enter(netip.MustParseAddr(c.same)); (more == nil) != c.limited {
			t.Errorf("%s: one more may wait: %v", c.same, more != nil)
		}
		if w.enter(netip.MustParseAddr("203.0.113.9")) == nil {
			t.Errorf("%s keeps others out", c.address)
		}
		leave[0]()
		leave[0]() // at the admission, and at the end
		if w.enter(netip.MustParseAddr(c.same)) == nil {
			t.Errorf("%s: the place is not free again", c.address)
		}
		if c.limited && w.enter(netip.MustParseAddr(c.same)) != nil {
			t.Errorf("%s: one place was given back twice", c.address)
		}
		w.by = map[netip.Prefix]int{}
	}
}
