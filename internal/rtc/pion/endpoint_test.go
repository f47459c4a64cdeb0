package pion

import (
	"log/slog"
	"testing"
	"time"

	"go.uber.org/goleak"

	"transponder/internal/rtc/udp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newEndpoint makes an endpoint, on a port of its own, for the duration of a test.
func newEndpoint(t *testing.T) *Endpoint {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Expiry = 10 * time.Second // a client that hangs up at once may not say so
	return endpointWith(t, cfg)
}

func endpointWith(t *testing.T, own Config) *Endpoint {
	t.Helper()
	cfg := udp.DefaultConfig()
	cfg.Port = 0
	port, err := udp.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { port.Close() })
	e, err := New(t.Context(), own, port, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}
