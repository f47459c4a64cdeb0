package transponder

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func mustPolicy(t *testing.T, allow, deny string, denyPrivate bool) TargetPolicy {
	t.Helper()
	p, err := ParseTargetPolicy(strings.Fields(allow), strings.Fields(deny), denyPrivate)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestTargetPolicy(t *testing.T) {
	const private = true
	tests := []struct {
		name        string
		allow, deny string
		denyPrivate bool
		host, addr  string
		want        bool
	}{
		{"a public server", "", "", false, "a.rtmp.youtube.com", "142.250.1.1:1935", true},
		{"loopback, as the documented default is", "", "", false, "localhost", "127.0.0.1:1935", true},
		{"loopback over IPv6", "", "", false, "localhost", "[::1]:1935", true},
		{"the local network", "", "", false, "192.168.1.5", "192.168.1.5:1935", true},
		{"port 0", "", "", false, "example.com", "142.250.1.1:0", false},

		// what is always forbidden
		{"metadata", "", "", false, "169.254.169.254", "169.254.169.254:80", false},
		{"a name that points to metadata", "", "", false, "169.254.169.254.nip.io", "169.254.169.254:1935", false},
		{"metadata by name", "", "", false, "metadata.google.internal", "142.250.1.1:1935", false},
		{"metadata by name, upper case, final dot", "", "", false, "Metadata.Google.Internal.", "142.250.1.1:80", false},
		{"metadata of AWS, IPv6", "", "", false, "x", "[fd00:ec2::254]:80", false},
		{"metadata of Google, IPv6", "", "", false, "x", "[fd20:ce::254]:80", false},
		{"metadata of Alibaba", "", "", false, "x", "100.100.100.200:80", false},
		{"metadata of Azure", "", "", false, "x", "168.63.129.16:80", false},
		{"metadata, mapped", "", "", false, "x", "[::ffff:169.254.169.254]:80", false},
		{"metadata, translated", "", "", false, "x", "[64:ff9b::a9fe:a9fe]:80", false},
		{"metadata, translated inside a network", "", "", false, "x", "[64:ff9b:1:a9fe:a9:fe00::]:80", false},
		{"metadata, 6to4", "", "", false, "x", "[2002:a9fe:a9fe::1]:80", false},
		{"link-local", "", "", false, "x", "169.254.1.2:1935", false},
		{"link-local, IPv6, with zone", "", "", false, "fe80::1%eth0", "[fe80::1%eth0]:1935", false},
		{"unspecified", "", "", false, "0", "0.0.0.0:1935", false},
		{"this network", "", "", false, "0.1.2.3", "0.1.2.3:1935", false},
		{"unspecified, IPv6", "", "", false, "::", "[::]:1935", false},
		{"multicast", "", "", false, "x", "239.1.1.1:1935", false},
		{"multicast, IPv6", "", "", false, "x", "[ff02::1]:1935", false},
		{"broadcast", "", "", false, "x", "255.255.255.255:1935", false},
		{"always means always", "169.254.0.0/16 *", "", false, "x", "169.254.1.2:1935", false},

		// push_deny_private
		{"private: a public server", "", "", private, "example.com", "142.250.1.1:1935", true},
		{"private: a public server, IPv6", "", "", private, "example.com", "[2607:f8b0::1]:1935", true},
		{"private: a public server through NAT64", "", "", private, "example.com", "[64:ff9b::8efa:101]:1935", true},
		{"private: a public name that was rebound", "", "", private, "rebind.example.com", "127.0.0.1:1935", false},
		{"private: decimal", "", "", private, "2130706433", "127.0.0.1:1935", false},
		{"private: octal", "", "", private, "0177.0.0.1", "127.0.0.1:1935", false},
		{"private: hexadecimal", "", "", private, "0x7f.1", "127.0.0.1:1935", false},
		{"private: loopback anywhere", "", "", private, "x", "127.8.9.10:1935", false},
		{"private: loopback, IPv6", "", "", private, "x", "[::1]:1935", false},
		{"private: loopback, mapped", "", "", private, "::ffff:127.0.0.1", "[::ffff:127.0.0.1]:1935", false},
		{"private: loopback, compatible", "", "", private, "x", "[::127.0.0.1]:1935", false},
		{"private: 10", "", "", private, "x", "10.1.2.3:1935", false},
		{"private: 10, NAT64", "", "", private, "64:ff9b::a00:1", "[64:ff9b::a00:1]:1935", false},
		{"private: 10, 6to4", "", "", private, "x", "[2002:a00:1::1]:1935", false},
		{"private: 10, Teredo client", "", "", private, "x", "[2001:0:808:808::f5ff:fffe]:1935", false},
		{"private: 10, SIIT", "", "", private, "x", "[::ffff:0:a00:1]:1935", false},
		{"private: local NAT64", "", "", private, "x", "[64:ff9b:1::808:808]:1935", false},
		{"private: 172.16", "", "", private, "x", "172.31.255.255:1935", false},
		{"private: beside 172.16", "", "", private, "x", "172.32.0.1:1935", true},
		{"private: 192.168", "", "", private, "x", "192.168.1.1:1935", false},
		{"private: carrier", "", "", private, "x", "100.64.0.1:1935", false},
		{"private: unique local", "", "", private, "x", "[fd12::1]:1935", false},
		{"private: allow does not open", "10.0.0.5", "", private, "x", "10.0.0.5:1935", false},

		// push_deny
		{"deny name", "", "bad.example.com", false, "bad.example.com", "142.250.1.1:1935", false},
		{"deny name, upper case, final dot", "", "Bad.Example.com.", false, "BAD.example.COM.", "142.250.1.1:1935", false},
		{"deny name, another", "", "bad.example.com", false, "good.example.com", "142.250.1.1:1935", true},
		{"deny names below", "", "*.example.com", false, "a.b.example.com", "142.250.1.1:1935", false},
		{"deny names below, itself", "", "*.example.com", false, "example.com", "142.250.1.1:1935", true},
		{"deny names below, one that ends alike", "", "*.example.com", false, "badexample.com", "142.250.1.1:1935", true},
		{"deny network", "", "142.250.0.0/16", false, "x", "142.250.1.1:1935", false},
		{"deny network, mapped", "", "142.250.0.0/16", false, "x", "[::ffff:142.250.1.1]:1935", false},
		{"deny network, NAT64", "", "142.250.0.0/16", false, "x", "[64:ff9b::8efa:101]:1935", false},
		{"deny address", "", "142.250.1.1", false, "x", "142.250.1.1:1935", false},
		{"deny IPv6 network", "", "2001:db8::/32", false, "x", "[2001:db8::7]:1935", false},
		{"deny port", "", "*:22", false, "x", "142.250.1.1:22", false},
		{"deny port, another", "", "*:22", false, "x", "142.250.1.1:1935", true},
		{"deny network at port, another", "", "[2001:db8::/32]:22", false, "x", "[2001:db8::7]:1935", true},
		{"deny beats allow", "*.example.com", "142.250.0.0/16", false, "a.example.com", "142.250.1.1:1935", false},
		{"a name that is not ASCII", "", "xn--bcher-kva.example", false, "bücher.example", "142.250.1.1:1935", false},
		{"its ASCII form", "", "", false, "xn--bcher-kva.example", "142.250.1.1:1935", true},

		// push_allow
		{"allow name", "live.example.com", "", false, "live.example.com", "142.250.1.1:1935", true},
		{"allow name, another", "live.example.com", "", false, "x", "142.250.1.1:1935", false},
		{"allow name at port", "live.example.com:1935", "", false, "live.example.com", "142.250.1.1:1935", true},
		{"allow name at port, another", "live.example.com:1935", "", false, "live.example.com", "142.250.1.1:443", false},
		{"allow network", "10.0.0.0/8", "", false, "x", "10.2.3.4:1935", true},
		{"allow network, mapped", "10.0.0.0/8", "", false, "x", "[::ffff:10.2.3.4]:1935", true},
		{"allow network, merely held", "10.0.0.0/8", "", false, "x", "[2002:a00:1::1]:1935", false},
		{"allow one of several", "a.example.com 10.0.0.0/8:1935 *.b.example.com", "", false, "x.b.example.com", "1.2.3.4:443", true},
		{"allow everything at a port", "*:443", "", false, "x", "142.250.1.1:443", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := mustPolicy(t, tt.allow, tt.deny, tt.denyPrivate)
			err := p.Check(tt.host, netip.MustParseAddrPort(tt.addr))
			if (err == nil) != tt.want {
				t.Fatalf("Check(%s, %s) = %v, want allowed: %v", tt.host, tt.addr, err, tt.want)
			}
			var forbidden *targetError
			if err == nil {
				return
			}
			if !errors.As(err, &forbidden) || forbidden.Rule == "" {
				t.Errorf("%#v is no targetError with a rule", err)
			}
			if err.Error() != (&targetError{}).Error() {
				t.Errorf("%q tells the caller more than that it is forbidden", err)
			}
		})
	}
}

func TestTargetPolicyPicksAddresses(t *testing.T) {
	p := mustPolicy(t, "", "", true)
	public, inside := netip.MustParseAddr("142.250.1.1"), netip.MustParseAddr("10.0.0.1")
	got, err := p.allowed("x", 1935, []netip.Addr{inside, public})
	if err != nil || !slices.Equal(got, []netip.Addr{public}) {
		t.Errorf("allowed = %v, %v, want only %v", got, err, public)
	}
	var forbidden *targetError
	if got, err := p.allowed("x", 1935, []netip.Addr{inside}); !errors.As(err, &forbidden) || got != nil {
		t.Errorf("allowed = %v, %v, want a targetError", got, err)
	}
	if got, err := p.allowed("x", 1935, nil); err != nil || got != nil {
		t.Errorf("allowed of nothing = %v, %v", got, err)
	}
	if _, err := (TargetPolicy{}).allowed("x", 1935, []netip.Addr{{}}); err == nil {
		t.Error("the zero address is allowed")
	}
}

func TestParseTargetPolicyErrors(t *testing.T) {
	tests := []struct{ rule, want string }{
		{"", "no host name"},
		{"bücher.example", "xn--"},
		{"ex ample.com", "no host name"},
		{"a..b", "no host name"},
		{"*example.com", "no host name"},
		{"a.*.com", "no host name"},
		{"rtmp://example.com", "the port"},
		{"127.1", "no host name"},
		{"2130706433", "no host name"},
		{"0x7f000001", "no host name"},
		{"256.1.1.1", "no host name"},
		{"10.0.0.1/8", "10.0.0.0/8"},
		{"10.0.0.0/33", "address/bits"},
		{"::ffff:10.0.0.0/104", "IPv4"},
		{"fe80::1%eth0", "zone"},
		{"example.com:0", "1 to 65535"},
		{"example.com:65536", "1 to 65535"},
		{"example.com:", "host:port"},
		{":22", "*:port"},
		{"[fd00::1", "[address]:port"},
		{"[fd00::1]x", "[address]:port"},
		{"[fd00::1]:", "[address]:port"},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			_, err := ParseTargetPolicy([]string{"good.example.com"}, []string{tt.rule}, false)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "push_deny") {
				t.Errorf("rule %q: %v, want %q", tt.rule, err, tt.want)
			}
		})
	}
	_, err := ParseTargetPolicy([]string{"a..b"}, []string{"c..d"}, false)
	if err == nil || !strings.Contains(err.Error(), "a..b") || !strings.Contains(err.Error(), "c..d") {
		t.Errorf("%v, want both rules named", err)
	}
}

// FuzzTargetPolicy: parsing never panics, and no rules allow what is always forbidden.
func FuzzTargetPolicy(f *testing.F) {
	for _, s := range []string{"*", "a.b:1", "[fd00::/8]:1", "169.254.0.0/16", "*.x", "::ffff:1.2.3.4", "[", "]:", "/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, rule string) {
		p, err := ParseTargetPolicy([]string{rule}, nil, false)
		if err != nil {
			return
		}
		if p.Check("169.254.169.254", netip.MustParseAddrPort("169.254.169.254:80")) == nil {
			t.Errorf("%q opens what is always forbidden", rule)
		}
		if _, err := ParseTargetPolicy(nil, []string{p.allow[0].text}, false); err != nil {
			t.Errorf("%q is a rule to allow but not to deny: %v", rule, err)
		}
	})
}
