package line

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// zone is a DNS without a network.
type zone struct {
	srv   map[string][]*net.SRV
	hosts map[string]string // name → addresses, with blanks between them
	fault error             // of every question for SRV
	asked []string
}

func (z *zone) LookupSRV(_ context.Context, service, proto, name string) (string, []*net.SRV, error) {
	key := "_" + service + "._" + proto + "." + name
	z.asked = append(z.asked, key)
	if z.fault != nil {
		return "", nil, z.fault
	}
	if records := z.srv[key]; records != nil {
		return key, records, nil
	}
	return "", nil, &net.DNSError{Err: "no such host", Name: key, IsNotFound: true}
}

func (z *zone) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	z.asked = append(z.asked, host)
	var found []netip.Addr
	for _, s := range strings.Fields(z.hosts[strings.TrimSuffix(host, ".")]) {
		found = append(found, netip.MustParseAddr(s))
	}
	if found == nil {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return found, nil
}

func silent() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

var errForbidden = errors.New("not this address")

func TestFind(t *testing.T) {
	dns := &zone{
		srv: map[string][]*net.SRV{
			"_sip._udp.example.com":  {{Target: "u1.example.com.", Port: 5070}, {Target: "u2.example.com.", Port: 5080}},
			"_sip._tcp.example.com":  {{Target: "u2.example.com.", Port: 5081}},
			"_sips._tcp.example.com": {{Target: "u1.example.com.", Port: 5091}},
			"_sip._tcp.tcp.example":  {{Target: "u1.example.com.", Port: 5071}},
			"_sip._udp.none.example": {{Target: ".", Port: 0}},
			"_sip._udp.lost.example": {{Target: "gone.example.com.", Port: 5070}},
			"_sip._udp.half.example": {{Target: "gone.example.com.", Port: 5070}, {Target: "u2.example.com.", Port: 5080}},
			"_sip._udp.many.example": {{Target: "many.example.com.", Port: 5070}},
		},
		hosts: map[string]string{
			"example.com": "192.0.2.1", "u1.example.com": "192.0.2.11", "u2.example.com": "2001:db8::12 192.0.2.12", "plain.example": "192.0.2.20",
			"tcp.example": "192.0.2.99", "none.example": "192.0.2.99", "mixed.example": "192.0.2.66 192.0.2.21", "bad.example": "192.0.2.66 127.0.0.1",
			"many.example.com": "192.0.2.31 192.0.2.32 192.0.2.33 192.0.2.34 192.0.2.35", "multi.example": "224.0.1.75", "zero.example": "0.0.0.0", "evil.example": "192.0.2.20",
		},
	}
	allowed := func(host string, remote netip.AddrPort) error {
		if a := remote.Addr(); host == "evil.example" || a == netip.MustParseAddr("192.0.2.66") || a.IsLoopback() {
			return errForbidden
		}
		return nil
	}
	l := New(DefaultConfig(), Parts{Resolver: dns, Allowed: allowed}, silent())
	tests := []struct {
		name, uri, transport string
		want                 string // transport, then addresses; or part of the error
		is                   error
	}{
		{"numeric", "sip:a@192.0.2.5", "", "udp 192.0.2.5:5060", nil},
		{"numeric, with a port", "sip:192.0.2.5:5999", "tcp", "tcp 192.0.2.5:5999", nil},
		{"numeric, sips", "sips:a@192.0.2.5", "", "tls 192.0.2.5:5061", nil},
		{"IPv6", "sip:a@[2001:db8::1]", "", "udp [2001:db8::1]:5060", nil},
		{"IPv6, with a port", "<sip:[2001:db8::1]:5080;transport=tcp;lr>", "", "tcp [2001:db8::1]:5080", nil},
		{"IPv4 within IPv6", "sip:[::ffff:192.0.2.5]", "", "udp 192.0.2.5:5060", nil},
		{"a port", "sip:example.com:5070", "", "udp 192.0.2.1:5070", nil},
		{"SRV", "sip:bob@example.com", "", "udp 192.0.2.11:5070 192.0.2.12:5080 [2001:db8::12]:5080", nil},
		{"SRV of TCP", "sip:bob@example.com", "tcp", "tcp 192.0.2.12:5081 [2001:db8::12]:5081", nil},
		{"SRV of TCP by the URI", "sip:bob@example.com;transport=TCP", "udp", "tcp 192.0.2.12:5081 [2001:db8::12]:5081", nil},
		{"SRV of TLS", "sip:bob@example.com", "tls", "tls 192.0.2.11:5091", nil},
		{"SRV of sips", "sips:bob@example.com", "", "tls 192.0.2.11:5091", nil},
		{"sips with transport=tcp", "sips:bob@example.com;transport=tcp", "", "tls 192.0.2.11:5091", nil},
		{"DNS chooses TCP", "sip:bob@tcp.example", "", "tcp 192.0.2.11:5071", nil},
		{"no SRV", "sip:bob@plain.example", "", "udp 192.0.2.20:5060", nil},
		{"no SRV, TLS", "sip:bob@plain.example", "tls", "tls 192.0.2.20:5061", nil},
		{"one SRV target without an address", "sip:half.example", "", "udp 192.0.2.12:5080 [2001:db8::12]:5080", nil},
		{"at most four", "sip:many.example", "udp", "udp 192.0.2.31:5070 192.0.2.32:5070 192.0.2.33:5070 192.0.2.34:5070", nil},
		{"maddr", "sip:bob@example.com;maddr=192.0.2.7", "", "udp 192.0.2.7:5060", nil},
		{"maddr with a port", "sip:bob@example.com:5099;maddr=u1.example.com", "", "udp 192.0.2.11:5099", nil},
		{"a Route with a name", `"Proxy, 1" <sip:plain.example;lr>`, "", "udp 192.0.2.20:5060", nil},
		{"URI headers", "sip:bob@plain.example?Subject=a;transport=tcp", "", "udp 192.0.2.20:5060", nil},
		{"an @ in the user", "sip:a%40b@plain.example", "", "udp 192.0.2.20:5060", nil},
		{"forbidden, one of two", "sip:mixed.example", "", "udp 192.0.2.21:5060", nil},
		{"forbidden, all", "sip:bad.example", "", "", errForbidden},
		{"forbidden name", "sip:evil.example", "", "", errForbidden},
		{"forbidden number", "sip:127.0.0.1", "", "", errForbidden},
		{"forbidden number within IPv6", "sip:[::ffff:127.0.0.1]", "", "", errForbidden},
		{"multicast", "sip:multi.example", "", "", errNoAddress},
		{"multicast by maddr", "sip:plain.example;maddr=224.0.1.75", "", "", errNoAddress},
		{"unspecified", "sip:zero.example", "", "", errNoAddress},
		{"no service", "sip:none.example", "udp", "", errNoAddress},
		{"SRV targets without addresses", "sip:lost.example", "udp", "", errNoAddress},
		{"TLS asked for, URI says UDP", "sip:example.com;transport=udp", "tls", "", errDowngrade},
		{"TLS asked for, URI says TCP", "sip:example.com;transport=tcp", "tls", "", errDowngrade},
		{"sips over UDP", "sips:example.com;transport=udp", "", "", errDowngrade},
		{"unknown name", "sip:gone.example", "", "no such host", nil},
		{"tel", "tel:+4930", "", "begins neither with sip:", nil},
		{"no host", "sip:bob@", "", "malformed host", nil},
		{"port 0", "sip:example.com:0", "", "malformed host", nil},
		{"port 65536", "sip:example.com:65536", "", "malformed host", nil},
		{"SCTP", "sip:example.com;transport=sctp", "", "not supported", nil},
		{"line break", "sip:exam\r\nple.com", "", "malformed host", nil},
	}
	for _, test := range tests {
		got, err := resolveText(l, test.uri, test.transport)
		switch {
		case test.is != nil:
			if !errors.Is(err, test.is) {
				t.Errorf("%s: got %s, %v, want the error %v", test.name, got, err, test.is)
			}
		case err != nil:
			if test.want == "" || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: %v, want %s", test.name, err, test.want)
			}
		case got != test.want:
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}
	dns.fault = &net.DNSError{Err: "server misbehaving", IsTemporary: true}
	if got, err := resolveText(l, "sip:example.com", ""); err != nil || got != "udp 192.0.2.1:5060" {
		t.Errorf("a resolver that knows no SRV: got %s, %v", got, err)
	}
}

// resolveText does what Resolve does, without sockets.
func resolveText(l *Line, uri, transport string) (string, error) {
	target, err := parseTarget(uri, transport)
	if err != nil {
		return "", err
	}
	transport, found, err := l.find(context.Background(), target)
	if err != nil {
		return "", err
	}
	found, err = l.allowed(target.host, found)
	for _, a := range found {
		transport += " " + a.String()
	}
	return transport, err
}

// An IPv4 socket cannot reach IPv6 addresses.
func TestFamily(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Address = "127.0.0.1"
	l := New(cfg, Parts{Resolver: &zone{hosts: map[string]string{"both.example": "2001:db8::1 192.0.2.1", "six.example": "2001:db8::1"}}}, silent())
	if got, err := resolveText(l, "sip:both.example", ""); got != "udp 192.0.2.1:5060" {
		t.Errorf("got %s, %v", got, err)
	}
	if got, err := resolveText(l, "sip:six.example", ""); !errors.Is(err, errNoAddress) {
		t.Errorf("got %s, %v", got, err)
	}
}

// A DNS server that never answers costs 5 s at most.
func TestResolveTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(DefaultConfig(), Parts{Resolver: deafDNS{}}, silent())
		l.ports.Store(&ports{sip: 5060}) // the sockets are not needed
		began := time.Now()
		_, err := l.Resolve(t.Context(), "sip:example.com", "")
		if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took > resolveTimeout {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

// deafDNS waits for the end of the context.
type deafDNS struct{}

func (deafDNS) LookupSRV(ctx context.Context, _, _, _ string) (string, []*net.SRV, error) {
	<-ctx.Done()
	return "", nil, ctx.Err()
}

func (deafDNS) LookupNetIP(ctx context.Context, _, _ string) ([]netip.Addr, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// After an answer of the second address, later requests go there.
func TestAt(t *testing.T) {
	p := Path{Transport: "udp", Remote: peerA, more: []netip.AddrPort{peerB}}
	for _, test := range []struct {
		from Origin
		want netip.AddrPort
	}{
		{Origin{Transport: "udp", Source: peerB}, peerB},
		{Origin{Transport: "udp", Source: peerA}, peerA},
		{Origin{Transport: "udp", Source: netip.MustParseAddrPort("192.0.2.3:5060")}, peerA},
		{Origin{Transport: "tcp", Source: peerB}, peerA},
	} {
		if got := p.At(test.from); got.Remote != test.want || got.more != nil {
			t.Errorf("%v: got %v", test.from, got)
		}
	}
	if !slices.Equal(p.more, []netip.AddrPort{peerB}) {
		t.Error("At changes the path")
	}
}
