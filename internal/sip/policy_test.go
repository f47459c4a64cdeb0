package sip

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"transponder/internal/transponder"
)

func TestCalleePolicy(t *testing.T) {
	tests := []struct {
		allowed, denied, callee string
		ok                      bool
	}{
		{"", "", "+4930", true},
		{"", `^(00|\+)`, "+4930", false},
		{"", `^(00|\+)`, "%2B4930", false},
		{"", `^(00|\+)`, "0-0-4930", false},
		{"", `^(00|\+)`, "(0)0.4930", false},
		{"", `^(00|\+)`, "4930", true},
		{"", `^(00|\+)`, "0%20049", false},
		{"", `^(00|\+)`, "%20+4930", false},
		{"", `^(00|\+)`, "0!0~4930", false},
		{"", `^(00|\+)`, "0/0,49;x", false},
		{"", `^(00|\+)`, "%D9%A0%D9%A049", false}, // Arabic digits
		{"", `^118$`, "118;ext=1", false},
		{"", `^118$`, "118", false},
		{"", `^118$`, "1181", true},
		{`^[0-9]{3}$`, "", "123", true},
		{`^[0-9]{3}$`, "", "1234", false},
		{`^[0-9]{3}$`, "", "12-3-4", false},
		{`^1`, `3$`, "123", false},
		{`^room-[0-9]+$`, "", "room-7", true}, // a name, not a number
		{`^room-[0-9]+$`, "", "room-7;x=1", false},
		{"", "^192", "sip:192.0.2.1", false},
	}
	for _, tt := range tests {
		cfg := DefaultConfig()
		cfg.AllowedCallees, cfg.DeniedCallees = tt.allowed, tt.denied
		p, err := newPolicy(cfg)
		if err != nil {
			t.Fatal(err)
		}
		a, problem := parseCallee(tt.callee, "example.com")
		if problem != "" {
			t.Fatal(problem)
		}
		if err := p.callee(a); (err == nil) != tt.ok || err != nil && !errors.Is(err, ErrPolicy) {
			t.Errorf("%q with %q, %q: %v, want it allowed: %v", tt.callee, tt.allowed, tt.denied, err, tt.ok)
		}
	}
}

func TestHostPolicy(t *testing.T) {
	targets, err := transponder.ParseTargetPolicy(nil, []string{"192.0.2.0/24"}, false)
	if err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig()
	if cfg.Targets, err = targets.WithAllow("sip_allowed_hosts", []string{"*.example.com", "198.51.100.1"}); err != nil {
		t.Fatal(err)
	}
	p, err := newPolicy(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		host, address string
		ok            bool
	}{
		{"pbx.example.com", "203.0.113.1", true},
		{"pbx.example.com", "192.0.2.1", false},
		{"pbx.example.com", "169.254.169.254", false},
		{"pbx.example.org", "203.0.113.1", false},
		{"198.51.100.1", "198.51.100.1", true},
	} {
		if err := p.host(tt.host, netip.AddrPortFrom(netip.MustParseAddr(tt.address), 5060)); (err == nil) != tt.ok {
			t.Errorf("%s at %s: %v, want it allowed: %v", tt.host, tt.address, err, tt.ok)
		}
	}
}

func TestRate(t *testing.T) {
	r := rate{limit: 15}
	now := time.Now()
	count := func(callee string, n int) (taken int) {
		for range n {
			if r.take(now, callee) {
				taken++
			}
		}
		return taken
	}
	if n := count("a", 20); n != perCallee {
		t.Errorf("%d calls to one callee, want %d", n, perCallee)
	}
	if n := count("b", 20); n != 5 {
		t.Errorf("%d calls to another, want 5: the limit is 15", n)
	}
	now = now.Add(rateTime)
	if n := count("b", 20); n != perCallee {
		t.Errorf("%d calls a minute later, want %d", n, perCallee)
	}
}
