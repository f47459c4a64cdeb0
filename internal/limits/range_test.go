package limits

import (
	"math"
	"testing"
	"time"
)

func TestRange(t *testing.T) {
	sockets := Of(1, 64)
	for n, want := range map[int]bool{0: false, 1: true, 64: true, 65: false} {
		if sockets.Contains(n) != want {
			t.Errorf("%v contains %d: %v, want %v", sockets, n, !want, want)
		}
	}
	if Of(0.0, 1.0).Contains(math.NaN()) {
		t.Error("NaN is in a range")
	}
	if err := sockets.Check("sockets", 64); err != nil {
		t.Error(err)
	}
	pause := Of(100*time.Millisecond, time.Hour)
	if got, want := pause.Check("pause", time.Millisecond).Error(), "pause 1ms is not from 100ms to 1h0m0s"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
