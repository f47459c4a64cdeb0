package rtc

import (
	"testing"
	"time"
)

func TestJitterMeter(t *testing.T) {
	const ms = time.Millisecond
	tests := []struct {
		name string
		from uint32 // RTP time of the first packet
		at   func(n int) time.Duration
		want time.Duration
	}{
		{"evenly", 0, func(n int) time.Duration { return time.Duration(n) * 20 * ms }, 0},
		{"evenly, and RTP time wraps", 1<<32 - 48_000, func(n int) time.Duration { return time.Duration(n) * 20 * ms }, 0},
		{"each second packet 4 ms late", 1<<32 - 48_000, func(n int) time.Duration { return time.Duration(n)*20*ms + time.Duration(n%2)*4*ms }, 4 * ms},
		{"all late by the same", 0, func(n int) time.Duration { return time.Duration(n)*20*ms + time.Hour }, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := JitterMeter{Rate: 48_000}
			for n := range 1000 {
				m.Add(tt.from+uint32(n)*960, tt.at(n))
			}
			if got := m.Jitter(); (got - tt.want).Abs() > 50*time.Microsecond {
				t.Errorf("jitter %v, want %v", got, tt.want)
			}
		})
	}
	if got := (&JitterMeter{}).Jitter(); got != 0 {
		t.Errorf("jitter without a rate is %v", got)
	}
}
