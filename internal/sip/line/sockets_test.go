package line

import (
	"testing"

	"transponder/internal/testkit"
)

// TestListenInherits: sockets of another process are used if they fit the settings, and closed if they do not.
func TestListenInherits(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Address, cfg.Port = "127.0.0.1", 0
	for _, tt := range []struct {
		name             string
		change           func(*Config)
		usesUDP, usesTLS bool
	}{
		{"the same settings", func(*Config) {}, true, true},
		{"any port", func(c *Config) { c.Port = 0 }, true, true},
		{"no TLS any more", func(c *Config) { c.TLSPort = 0 }, true, false},
		{"another TLS port", func(c *Config) { c.TLSPort = testkit.FreePorts(t, 1) }, true, false},
		{"another port", func(c *Config) { c.Port = testkit.FreePorts(t, 1) }, false, true},
		{"another address", func(c *Config) { c.Address = "127.0.0.2" }, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			first := cfg
			first.TLSPort = testkit.FreePorts(t, 1)
			before, err := Listen(t.Context(), first, true, Sockets{})
			if err != nil {
				t.Fatal(err)
			}
			second := first
			second.Port = portOf(before.UDP.LocalAddr())
			tt.change(&second)
			udp, tcp, tls := before.UDP, before.TCP, before.TLS
			got, err := Listen(t.Context(), second, true, *before)
			if err != nil {
				t.Fatal(err)
			}
			defer got.Close()
			if (got.UDP == udp) != tt.usesUDP || (got.TCP == tcp) != tt.usesUDP || (got.TLS == tls) != tt.usesTLS {
				t.Errorf("it uses UDP %v, TCP %v, TLS %v", got.UDP == udp, got.TCP == tcp, got.TLS == tls)
			}
			if !tt.usesUDP && (udp.SetReadBuffer(receiveBuffer) == nil || tcp.Close() == nil) || !tt.usesTLS && tls.Close() == nil {
				t.Error("what does not fit is still open")
			}
			if portOf(got.UDP.LocalAddr()) != portOf(got.TCP.Addr()) || (got.TLS != nil) != (second.TLSPort != 0) {
				t.Errorf("it listens at %v, %v, %v", got.UDP.LocalAddr(), got.TCP.Addr(), got.TLS)
			}
		})
	}
}
