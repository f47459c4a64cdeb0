package leg

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"
)

var loopback = netip.MustParseAddr("127.0.0.1")

// TestPorts: each pair of a range is handed out once, even for RTP and odd for RTCP, in no order; pairs in use by others are passed over.
func TestPorts(t *testing.T) {
	const from, to = 26001, 26020 // 26002 to 26019 are nine pairs
	busy, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 26007})
	if err != nil {
		t.Skip(err)
	}
	defer busy.Close()
	p := newPorts(from, to)
	if n := p.left(); n != 9 {
		t.Errorf("%d pairs are free, want 9", n)
	}
	open := map[int]pair{}
	inOrder := true
	last := 0
	for range 8 {
		x, err := p.open(loopback)
		if err != nil {
			t.Fatal(err)
		}
		port := x.port()
		if _, twice := open[port]; twice || port%2 != 0 || port < from || port+1 > to || x.rtcp.Port() != port+1 || port == 26006 || !p.isOpen(port) || !p.isOpen(port+1) {
			t.Errorf("got the port %d", port)
		}
		open[port] = x
		inOrder = inOrder && port > last
		last = port
	}
	if inOrder {
		t.Error("the ports came in order") // by chance in one of 40320 runs
	}
	if _, err := p.open(loopback); !errors.Is(err, ErrNoPorts) {
		t.Errorf("the range is full, and open says %v", err)
	}
	for port, x := range open {
		p.close(x)
		if p.isOpen(port) {
			t.Error("a closed pair counts as open")
		}
	}
	if _, err := p.open(loopback); !errors.Is(err, ErrNoPorts) {
		t.Error("a port was handed out again at once")
	}
	p.mu.Lock()
	for port, until := range p.taken {
		p.taken[port] = until.Add(-rest)
	}
	p.mu.Unlock()
	if n := p.left(); n != 9 {
		t.Errorf("after a rest %d pairs are free, want 9", n)
	}
}

// TestOpenFails: a call that does not get all its ports keeps none.
func TestOpenFails(t *testing.T) {
	cfg := testConfig()
	cfg.PortFrom, cfg.PortTo = 26100, 26105
	legs, _ := newLegs(t, cfg, Parts{})
	one, err := legs.Open(Options{Bind: loopback, Audio: true, Video: true})
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	if n := legs.Room(); n != 0 {
		t.Errorf("room for %d more", n)
	}
	if _, err := legs.Open(Options{Bind: loopback, Audio: true, Video: true}); !errors.Is(err, ErrNoPorts) {
		t.Errorf("open says %v", err)
	}
	open := 0
	for port := cfg.PortFrom; port < cfg.PortTo; port += 2 {
		if legs.ports.isOpen(port) {
			open++
		}
	}
	if open != 2 || one.AudioPort() == 0 || one.VideoPort() == 0 || one.AudioPort() == one.VideoPort() {
		t.Errorf("%d pairs are open", open)
	}
	one.Close()
	legs.ports.mu.Lock()
	clear(legs.ports.taken) // as after a rest
	legs.ports.mu.Unlock()
	two, err := legs.Open(Options{Bind: loopback, Audio: true, Video: true})
	if err != nil {
		t.Fatal(err)
	}
	defer two.Close()
	if one.Close(); !legs.ports.isOpen(two.AudioPort()) || !legs.ports.isOpen(two.VideoPort()) {
		t.Error("a call that is closed twice frees the ports of another")
	}
	if _, err := legs.Open(Options{Bind: netip.MustParseAddr("192.0.2.77"), Audio: true}); err == nil {
		t.Error("an address of another machine can be bound")
	}
}

// TestConfig: what is refused.
func TestConfig(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*Config){
		"no ports":            func(c *Config) { c.PortFrom, c.PortTo = 30000, 30002 },
		"ports that are odd":  func(c *Config) { c.PortFrom, c.PortTo = 30001, 30004 },
		"ports of the system": func(c *Config) { c.PortFrom = 80 },
		"ports above all":     func(c *Config) { c.PortTo = 70000 },
		"a negative limit":    func(c *Config) { c.Activity = -1 },
		"a long tone":         func(c *Config) { c.Tone = time.Second },
		"strict and lenient":  func(c *Config) { c.Strict, c.LearnAny = true, true },
	} {
		c := DefaultConfig()
		if change(&c); c.Validate() == nil {
			t.Errorf("%s is valid", name)
		}
	}
}
