package rtmpserver

import (
	"testing"
	"time"

	"transponder/internal/media"
)

// TestClock feeds a publisher's milliseconds with their times of arrival.
func TestClock(t *testing.T) {
	type message struct {
		ms      uint32
		arrival time.Duration
		want    time.Duration
	}
	const s, ms = time.Second, time.Millisecond
	for _, c := range []struct {
		name     string
		messages []message
		jumps    int64
	}{
		{"begins at its arrival, keeps its own pace", []message{
			{5000, 3 * s, 3 * s}, {5040, 3*s + 90*ms, 3*s + 40*ms}, {5080, 3*s + 91*ms, 3*s + 80*ms},
		}, 0},
		{"sound before pictures", []message{{100, 0, 0}, {60, 1 * ms, -40 * ms}, {140, 2 * ms, 40 * ms}}, 0},
		{"over 2^32", []message{{0xfffffff0, s, s}, {0x10, s, s + 32*ms}}, 0},
		{"over 2^31", []message{{0x7ffffff0, s, s}, {0x80000010, s, s + 32*ms}}, 0},
		{"jumps ahead", []message{{0, s, s}, {100_000, s + 40*ms, s + 40*ms}, {100_040, s + 80*ms, s + 80*ms}}, 1},
		{"jumps back", []message{{100_000, s, s}, {0, s + 40*ms, s + 40*ms}, {40, s + 80*ms, s + 80*ms}}, 1},
		{"gap in which time passed", []message{{0, s, s}, {2000, 3 * s, 3 * s}}, 0},
		{"falls behind", []message{{0, s, s}, {1000, 8 * s, 8 * s}}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var k clock
			for i, m := range c.messages {
				if got := k.timestamp(m.ms, media.Timestamp(m.arrival)); got != media.Timestamp(m.want) {
					t.Errorf("message %d at %v, want %v", i, time.Duration(got), m.want)
				}
			}
			if k.jumps != c.jumps {
				t.Errorf("%d jumps, want %d", k.jumps, c.jumps)
			}
		})
	}
}

// TestClockDrift runs a publisher whose clock is off for ten hours, with arrivals that jitter by up to 200 ms.
func TestClockDrift(t *testing.T) {
	for _, ppm := range []int64{-200, 200} {
		var k clock
		var now time.Duration
		for i := range int64(10 * 3600 * 10) { // ten messages a second
			sent := time.Duration(i) * 100 * time.Millisecond
			now = sent + time.Duration(i*i%200)*time.Millisecond
			ms := sent.Milliseconds() * (1_000_000 + ppm) / 1_000_000
			lag := now - time.Duration(k.timestamp(uint32(ms), media.Timestamp(now)))
			if lag < -50*time.Millisecond || lag > 250*time.Millisecond {
				t.Fatalf("%d ppm: after %v it is %v behind", ppm, now, lag)
			}
		}
		if k.jumps != 0 {
			t.Errorf("%d ppm: %d jumps", ppm, k.jumps)
		}
	}
}
