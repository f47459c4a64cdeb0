package pion

import (
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"transponder/internal/rtc"
)

func TestConfig(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Errorf("the default is not valid: %v", err)
	}
	bad := DefaultConfig()
	bad.TCPPort, bad.KeepAlive = -1, 0
	for _, want := range []string{"media TCP port -1", "keep-alive"} {
		if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %q", err, want)
		}
	}
}

// Retransmissions do not count for the jitter, and another SSRC begins another measurement.
func TestJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		text, err := os.ReadFile("../testdata/chromium.sdp")
		if err != nil {
			t.Fatal(err)
		}
		offer, err := rtc.ParseOffer(string(text))
		if err != nil {
			t.Fatal(err)
		}
		s := newSession(newLink(&Endpoint{cfg: DefaultConfig()}, rtc.Answer{Offer: offer}), deaf{})
		s.expect()
		defer s.timer.Stop()
		give := func(ssrc uint32, n int, repair bool) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.give(&s.audio, rtc.Packet{SSRC: ssrc, Seq: uint16(n), Time: uint32(960 * n), Repair: repair, Payload: []byte{1}})
		}
		for n := range 500 {
			give(7, n, false)
			give(7, n/2, true)
			time.Sleep([]time.Duration{24 * time.Millisecond, 16 * time.Millisecond}[n%2])
		}
		if got := s.audio.meter.Jitter(); (got - 4*time.Millisecond).Abs() > 100*time.Microsecond {
			t.Errorf("jitter %v, want 4ms", got)
		}
		give(8, 0, false)
		if got := s.audio.meter.Jitter(); got != 0 {
			t.Errorf("jitter of the first packet of another SSRC is %v", got)
		}
	})
}
