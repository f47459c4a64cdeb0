package sip

import (
	"net/netip"
	"testing"
)

func TestBehindNAT(t *testing.T) {
	tests := []struct {
		name, contact, source string
		want                  bool
	}{
		{"phone behind a NAT", "sip:bob@192.168.1.5:5060", "203.0.113.1", true},
		{"with parameters", "sip:bob@10.0.0.5;transport=udp", "203.0.113.1", true},
		{"same address", "sip:bob@192.168.1.5", "192.168.1.5", false},
		{"same address in IPv6 form", "sip:bob@192.168.1.5", "::ffff:192.168.1.5", false},
		{"one private network", "sip:bob@192.168.1.5", "192.168.1.9", false},
		{"two servers of a provider", "sip:bob@203.0.113.2", "203.0.113.1", false},
		{"a name", "sip:bob@pbx.example.com", "203.0.113.1", false},
		{"this machine", "sip:bob@10.0.0.5", "127.0.0.1", false},
		{"nonsense", "sip:", "203.0.113.1", false},
	}
	for _, tt := range tests {
		if got := behindNAT(tt.contact, netip.MustParseAddr(tt.source)); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestPeers(t *testing.T) {
	var p peers
	a := netip.MustParseAddr("192.0.2.1")
	p.add(a)
	p.add(a)
	p.remove(a)
	if !p.has(a) {
		t.Error("an address that a call still talks to is forgotten")
	}
	p.remove(a)
	if p.has(a) || len(p.n) != 0 {
		t.Error("an address that nobody talks to is kept")
	}
}
