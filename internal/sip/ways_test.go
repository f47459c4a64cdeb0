package sip

import (
	"context"
	"log/slog"
	"net/netip"
	"testing"

	"transponder/internal/sip/dialog"
	"transponder/internal/sip/line"
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

// asker is a line that remembers what it is asked to resolve.
type asker struct {
	*fakeLine
	transport string
}

func (a *asker) Resolve(ctx context.Context, uri, transport string) (line.Path, error) {
	a.transport = transport
	return a.fakeLine.Resolve(ctx, uri, transport)
}

// Requests within a call go to the route set, or to the Contact, or else to where the peer sends from.
func TestWayWithinCall(t *testing.T) {
	source := netip.MustParseAddrPort("203.0.113.1:4444")
	for _, tt := range []struct {
		name, contact, route, over string
		lost                       bool
		want                       netip.AddrPort
		asked                      string // the transport that the server is looked up for
	}{
		{"a Contact", "sip:bob@198.51.100.5", "", "udp", false, peer, ""},
		{"a Contact behind a NAT", "sip:bob@192.168.1.5", "", "udp", false, source, ""},
		{"a Contact behind a NAT and a proxy", "sip:bob@192.168.1.5", "<sip:198.51.100.7;lr>", "udp", false, peer, ""},
		{"a Contact that cannot be found", "sip:bob@pbx.example", "", "udp", true, source, ""},
		{"a connection of the peer", "sip:bob@198.51.100.5", "", "tcp", false, source, ""},
		{"a proxy of a call that began over TLS", "sip:bob@198.51.100.5", "<sip:198.51.100.7;lr>", "tls", false, peer, "tls"},
	} {
		l := &asker{fakeLine: &fakeLine{lost: tt.lost}}
		k := &call{calls: &Calls{line: l}, log: slog.New(slog.DiscardHandler)}
		k.ways = ways{
			first: line.Path{Transport: tt.over, Remote: peer}, known: map[string]line.Path{},
			heard: line.Origin{Transport: tt.over, Source: source},
		}
		bye := &dialog.Request{Method: "BYE", URI: tt.contact, Header: dialog.Header{{Name: "To", Value: "<sip:bob@example.com>;tag=1"}}}
		if tt.route != "" {
			bye.Header = append(bye.Header, dialog.Field{Name: "Route", Value: tt.route})
		}
		if got := k.wayOf(t.Context(), bye).Remote; got != tt.want || l.transport != tt.asked {
			t.Errorf("%s: it goes to %v, by a look-up for %q; want %v and %q", tt.name, got, l.transport, tt.want, tt.asked)
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
