package line

import (
	"net/netip"
	"testing"
)

// A response goes where RFC 3261, 18.2.2, and RFC 3581, 4, say, and tells the client where its request came from.
func TestAnswerTo(t *testing.T) {
	source := netip.MustParseAddrPort("192.0.2.9:4711")
	tests := []struct{ name, entry, to, stamped string }{
		{"rport", "SIP/2.0/UDP 10.0.0.1:5062;rport;branch=b", "192.0.2.9:4711", "SIP/2.0/UDP 10.0.0.1:5062;branch=b;rport=4711;received=192.0.2.9"},
		{"no rport", "SIP/2.0/UDP 10.0.0.1:5062;branch=b", "192.0.2.9:5062", "SIP/2.0/UDP 10.0.0.1:5062;branch=b;received=192.0.2.9"},
		{"no port", "SIP/2.0/UDP pc.example.com;branch=b", "192.0.2.9:5060", "SIP/2.0/UDP pc.example.com;branch=b;received=192.0.2.9"},
		{"the same address", "SIP/2.0/UDP 192.0.2.9:5062;branch=b", "192.0.2.9:5062", "SIP/2.0/UDP 192.0.2.9:5062;branch=b"},
		{"maddr", "SIP/2.0/UDP 192.0.2.9;maddr=203.0.113.1;branch=b", "192.0.2.9:5060", "SIP/2.0/UDP 192.0.2.9;maddr=203.0.113.1;branch=b"},
		{
			"a forged received", "SIP/2.0/UDP 10.0.0.1;received=203.0.113.1;rport=9;branch=b",
			"192.0.2.9:4711", "SIP/2.0/UDP 10.0.0.1;branch=b;rport=4711;received=192.0.2.9",
		},
	}
	for _, test := range tests {
		v, err := parseVia(test.entry)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		if got := v.answerTo(source).String(); got != test.to {
			t.Errorf("%s: the response goes to %s, want %s", test.name, got, test.to)
		}
		if got := v.stamp(test.entry, source); got != test.stamped {
			t.Errorf("%s: got %s, want %s", test.name, got, test.stamped)
		}
	}
}

func TestSplitHostPort(t *testing.T) {
	for s, want := range map[string]struct {
		host string
		port uint16
	}{
		"a": {"a", 0}, "a:1": {"a", 1}, "[::1]": {"::1", 0}, "[::1]:65535": {"::1", 65535}, "::1": {"::1", 0},
		"": {}, ":1": {}, "a:": {}, "a:0": {}, "a:65536": {}, "a:x": {}, "a:-1": {}, "[::1]x": {}, "a b": {}, "a@b": {}, "a\x00": {},
	} {
		host, port, err := splitHostPort(s)
		if (err != nil) != (want.host == "") || err == nil && (host != want.host || port != want.port) {
			t.Errorf("%q: got %q %d %v, want %q %d", s, host, port, err, want.host, want.port)
		}
	}
}
