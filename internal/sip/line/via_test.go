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

// Where we are seen becomes our Contact: it is an address and a port, or nothing.
func TestSeen(t *testing.T) {
	for entry, want := range map[string]string{
		"SIP/2.0/UDP 10.0.0.1:5062;received=203.0.113.5;rport=61000;branch=b": "203.0.113.5:61000",
		"SIP/2.0/UDP 10.0.0.1:5062;rport=61000;branch=b":                      "10.0.0.1:61000",
		"SIP/2.0/UDP 10.0.0.1;received=2001:db8::1;rport=5060;branch=b":       "[2001:db8::1]:5060",
		"SIP/2.0/UDP 10.0.0.1;received=203.0.113.5;branch=b":                  "",
		"SIP/2.0/UDP 10.0.0.1;received=203.0.113.5;rport=5060>x;branch=b":     "",
		"SIP/2.0/UDP 10.0.0.1;received=203.0.113.5;rport=0;branch=b":          "",
		"SIP/2.0/UDP 10.0.0.1;received=203.0.113.5;rport=70000;branch=b":      "",
		"SIP/2.0/UDP 10.0.0.1;received=fe80::1%x>y;rport=5060;branch=b":       "",
		"SIP/2.0/UDP pc.example.com;rport=5060;branch=b":                      "",
	} {
		v, err := parseVia(entry)
		if err != nil {
			t.Fatalf("%s: %v", entry, err)
		}
		if got := v.seen(); got != want {
			t.Errorf("%s: we are seen at %q, want %q", entry, got, want)
		}
	}
}
