package guard

import (
	"io"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"
)

func TestPlaces(t *testing.T) {
	cfg := DefaultSharesConfig()
	cfg.Proxies = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}
	tests := []struct {
		all   int
		peers []string // take a place one after another, until there is none for any of them
		want  []int    // places that each of them gets
	}{
		{50, []string{"203.0.113.1", "203.0.113.2"}, []int{10, 10}},
		{50, []string{"203.0.113.1", "203.0.113.1"}, []int{10, 0}},
		{1, []string{"203.0.113.1", "203.0.113.2"}, []int{1, 0}},
		{50, []string{"192.168.1.20", "192.168.1.21"}, []int{10, 10}},
		{50, []string{"127.0.0.1", "203.0.113.1"}, []int{40, 10}}, // a proxy may run there
		{50, []string{"::1", "127.0.0.2", "203.0.113.1"}, []int{40, 10, 0}},
		{50, []string{"10.1.0.9", "10.2.0.9"}, []int{40, 10}},
		{50, []string{"2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"}, []int{10, 0, 10}},
	}
	for _, tt := range tests {
		places := cfg.Places(tt.all)
		var leave func()
		for i, peer := range tt.peers {
			got := 0
			for {
				l, why := places.Take(netip.MustParseAddr(peer))
				if l == nil {
					if want := map[bool]string{true: WhyFull, false: WhyShare}[places.taken == tt.all]; why != want {
						t.Errorf("%v: %s is refused for %q, want %q", tt, peer, why, want)
					}
					break
				}
				leave = l
				got++
			}
			if got != tt.want[i] {
				t.Errorf("%v: %s gets %d places", tt, peer, got)
			}
		}
		leave()
		if places.taken == tt.all {
			t.Errorf("%v: no place is given back", tt)
		}
	}
}

func TestClient(t *testing.T) {
	cfg := DefaultSharesConfig()
	cfg.Proxies = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}
	for _, tt := range []struct{ peer, forwarded, want string }{
		{"203.0.113.1:1", "", "203.0.113.1"},
		{"203.0.113.1:1", "198.51.100.7", "203.0.113.1"}, // not from a proxy: anybody can send the header
		{"192.168.1.20:1", "198.51.100.7", "192.168.1.20"},
		{"127.0.0.1:1", "", "127.0.0.1"},
		{"127.0.0.1:1", "198.51.100.7", "198.51.100.7"},
		{"127.0.0.1:1", "192.0.2.9, 198.51.100.7", "198.51.100.7"}, // the client has sent the first address
		{"[::ffff:127.0.0.1]:1", "198.51.100.7, 10.1.2.3", "198.51.100.7"},
		{"10.1.0.1:1", "2001:db8::1", "2001:db8::1"},
		{"127.0.0.1:1", "unknown", "127.0.0.1"},
	} {
		r := request("GET", tt.peer, "localhost")
		if tt.forwarded != "" {
			r.Header.Set("X-Forwarded-For", tt.forwarded)
		}
		if got := cfg.Client(r).String(); got != tt.want {
			t.Errorf("who asks from %s for %q is %s, want %s", tt.peer, tt.forwarded, got, tt.want)
		}
	}
}

// One address gets its share of connections, another one still gets in, and closing makes room.
func TestListener(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refusals := NewRefusals(slog.New(slog.DiscardHandler))
	l = DefaultSharesConfig().Places(5).Listener(l, "http", refusals)
	defer l.Close()
	accepted := make(chan net.Conn, 10)
	go func() {
		defer close(accepted)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	dial := func(from string) net.Conn {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 5 * time.Second}
		c, err := d.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	var last net.Conn
	for range 4 {
		dial("127.0.0.1")
		last = <-accepted
	}
	refused := dial("127.0.0.1")
	refused.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := refused.Read(make([]byte, 1)); err == nil || err != io.EOF && !isReset(err) {
		t.Errorf("the fifth connection of an address reads %v, want its end", err)
	}
	if got := refusals.Counts()[Refused{"http", WhyShare}]; got != 1 {
		t.Errorf("%d refusals are counted, want 1", got)
	}
	if _, ok := last.(halfCloser); !ok {
		t.Error("a connection cannot be closed in one direction")
	}
	dial("127.0.0.2")
	<-accepted
	last.Close()
	last.Close() // as both net/http and TLS do
	dial("127.0.0.1")
	<-accepted
}

func isReset(err error) bool {
	_, ok := err.(*net.OpError)
	return ok
}
